"""The peer of tests/bench/import: pictures decoded by PIL, written by h5py a folder at a time, contiguous.

    import_peer.py make DIR FOLDERS PICTURES     DIR/raw: JPEGs, and a manifest for jmt shard media
    import_peer.py serve DIR

Reads lines: "compare" prints how far the pixels of DIR/data are from its own, anything else the milliseconds of an
import into DIR/peer.h5."""
import glob
import json
import os
import sys
import time

import h5py
import numpy as np
import PIL
from PIL import Image

SIDE = 112


def make(directory, folders, pictures):
    """Smooth pictures with some grain, about as large as a face of that size."""
    draw = np.random.default_rng(1)
    lines = ["recording,subject,group,modality,rate_hz,path"]
    for f in range(folders):
        os.makedirs(f"{directory}/raw/r{f}")
        lines.append(f"r{f},person{f},,video:face,25,r{f}")
        for i in range(pictures):
            rough = Image.fromarray(draw.integers(0, 256, (9, 9, 3), np.uint8)).resize((SIDE, SIDE), Image.BICUBIC)
            grain = np.asarray(rough).astype(int) + draw.integers(-8, 9, (SIDE, SIDE, 1))
            Image.fromarray(grain.clip(0, 255).astype(np.uint8)).save(f"{directory}/raw/r{f}/{i + 1:05d}.jpg",
                                                                      quality=90)
    with open(f"{directory}/raw/manifest.csv", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def folders_of(directory):
    return [sorted(glob.glob(folder + "/*.jpg")) for folder in sorted(glob.glob(directory + "/raw/r*"))]


def decode(directory):
    with h5py.File(directory + "/peer.h5", "w") as file:
        for f, names in enumerate(folders_of(directory)):
            pixels = np.empty((len(names), SIDE * SIDE * 3), np.uint8)
            for i, name in enumerate(names):
                with Image.open(name) as picture:
                    pixels[i] = np.asarray(picture.convert("RGB")).reshape(-1)
            file.create_dataset(f"r{f}", data=pixels)
        file.flush()
    with open(directory + "/peer.h5", "rb") as file:
        os.fsync(file.fileno())


def compare(directory):
    largest = pictures = 0
    with h5py.File(glob.glob(directory + "/data/*.h5")[0]) as ours, h5py.File(directory + "/peer.h5") as mine:
        index = ours["modalities/face/index"][:]
        for name, row in zip(ours["recordings/name"][:], index):
            name = name.decode() if isinstance(name, bytes) else name
            offset, length = int(row["offset"]), int(row["length"])
            pixels = ours["modalities/face/values"][offset:offset + length].astype(int)
            largest = max(largest, int(abs(pixels - mine[name][:]).max()))
            pictures += length
    return {"largest": largest, "pictures": pictures, "pil": PIL.__version__, "h5py": h5py.__version__}


def serve(directory):
    for line in sys.stdin:
        if line == "compare\n":
            print(json.dumps(compare(directory)), flush=True)
            continue
        begin = time.perf_counter()
        decode(directory)
        print(1e3 * (time.perf_counter() - begin), flush=True)


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    serve(sys.argv[2])
