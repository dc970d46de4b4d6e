"""Writes tests/golden/vectors/vggish_mel.npy by numpy in float64.

    python3 tests/reference/write_vggish_mel.py

VGGish's input as its authors describe it (16 kHz; 25 ms windows every 10 ms, periodic Hann, no
padding at the ends; magnitude of a transform of 512; 64 bands evenly spaced between 125 and
7500 Hz in 1127 ln(1 + f / 700), triangles straight in that scale; ln(band + 0.01)). The samples are
those of write_log_mel.py, which tests/unit/test_log_mel.c repeats."""
import os

import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "vectors")
RATE, SIZE, WINDOW, HOP, BANDS, LOW, HIGH, OFFSET = 16000, 512, 400, 160, 64, 125.0, 7500.0, 0.01


def samples(count):
    state, out = 1, []
    for i in range(count):
        state = (state * 1103515245 + 12345) % 2 ** 31
        out.append(abs(i * i % 65536 - 32768) - 16384 + (state >> 16) % 2048 - 1024)
    return np.array(out, dtype=np.float64) / 32768


def mel(hz):
    return 1127 * np.log(1 + np.asarray(hz, dtype=np.float64) / 700)


def filters():
    """[bins, bands]; the constant part of a frame is in none."""
    bins = mel(np.arange(SIZE // 2 + 1) * RATE / SIZE)[:, None]
    edges = np.linspace(mel(LOW), mel(HIGH), BANDS + 2)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    bank = np.maximum(0, np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)))
    bank[0] = 0
    return bank


def vggish_mel(x):
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(x, WINDOW)[::HOP]
    return np.log(np.abs(np.fft.rfft(frames * window, SIZE)) @ filters() + OFFSET)


if __name__ == "__main__":
    sound = samples(16000)
    sound[8000:9000] = 0  # and some frames of silence
    result = vggish_mel(sound)
    assert result.shape == (98, BANDS) and result.min() == np.log(OFFSET)
    np.save(os.path.join(OUT, "vggish_mel.npy"), result.astype(np.float32))
