"""Writes tests/unit/mmmo/*.h5 by h5py: small files in the layout of ICT-MMMO, one of each kind for all three splits.

    python3 tests/reference/write_mmmo.py

The numbers follow a formula, which tests/unit/test_import_mmmo.c repeats."""
import pathlib

import h5py
import numpy

OUT = pathlib.Path(__file__).resolve().parent.parent / "unit" / "mmmo"
VIDEOS, STEPS, SLOPE = 2, 4, 7


def numbers(width):
    video, step, d = numpy.indices((VIDEOS, STEPS, width))
    values = 100.0 * video + 10.0 * step + d / 128 + 1
    values[1, :2] = 0  # of two words: the front is padding
    return values


def main():
    audio, video = numbers(74), numbers(36)
    audio[:, :, SLOPE] = -0.25
    audio[1, :2] = 0
    audio[0, 2, SLOPE], audio[1, 3, SLOPE] = -255, 255  # could not be computed
    audio[0, 1] = 0  # nothing was said
    video[0, 3] = 0  # no face
    made = {"audio": audio, "video": video, "y": numpy.array([1.5, 5.0]), "y_wrong": numpy.array([1.5, 5.5]),
            "y_nan": numpy.array([numpy.nan, 5.0]), "y_three": numpy.array([1.0, 2.0, 3.0]),
            "audio_silent": 0 * audio}
    OUT.mkdir(exist_ok=True)
    for name, values in made.items():
        with h5py.File(OUT / (name + ".h5"), "w") as file:
            file.create_dataset("d1", data=values)


main()
