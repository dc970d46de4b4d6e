"""Writes a folder for `jmt shard features`: two noisy signals of some people, and beside them classes
(the third is rare), two yes-or-no labels (both mostly no) and a value. Standard library alone.

    python3 tests/golden/labelled.py DIR [SHIFT_OF_PEOPLE...]    person K's `pain` signal is moved by a SHIFT"""
import math
import os
import random
import sys

PEOPLE, RECORDINGS, STEPS = 12, 2, 40


def cells(values):
    return ",".join(f"{v:.6f}" if isinstance(v, float) else str(v) for v in values) + "\n"


def write_recording(directory, name, chance, shift):
    files = {"a": [], "b": [], "label:kind": [], "label:pain": [], "label:tired": [], "label:level": []}
    phase, speed = chance.uniform(0, 6.28), chance.uniform(0.15, 0.3)
    for step in range(STEPS + chance.randrange(12)):
        level = math.sin(phase + speed * step)
        kind = 2 if level > 0.93 else int(level > 0.1)
        pain, tired = int(level + chance.gauss(0, 0.4) > 0.8), int(math.cos(phase + 0.1 * step) > 0.7)
        files["a"].append([level + chance.gauss(0, 0.5) + shift, chance.gauss(0, 1), kind * 0.5
                           + chance.gauss(0, 0.7), chance.gauss(0, 1)])
        files["b"].append([math.cos(phase + 0.1 * step) + chance.gauss(0, 0.6), pain
                           + chance.gauss(0, 1), chance.gauss(0, 1)])
        for target, label in (("kind", kind), ("pain", pain), ("tired", tired), ("level", level)):
            files["label:" + target].append([label if chance.random() > 0.05 else "nan"])
    rows = []
    for modality, lines in files.items():
        path = f"{name}-{modality.replace(':', '-')}.csv"
        with open(os.path.join(directory, path), "w") as file:
            file.writelines(cells(line) for line in lines)
        rows.append((modality, path))
    return rows


def write(directory, shifts=()):
    chance = random.Random(7)
    os.makedirs(directory)
    with open(os.path.join(directory, "manifest.csv"), "w") as manifest:
        manifest.write("recording,subject,group,modality,rate_hz,path\n")
        for person in range(PEOPLE):
            shift = shifts[person % len(shifts)] if shifts else 0.0
            for number in range(RECORDINGS):
                name = f"r{person}-{number}"
                for modality, path in write_recording(directory, name, chance, shift):
                    manifest.write(f"{name},person{person},,{modality},10,{path}\n")


if __name__ == "__main__":
    write(sys.argv[1], [float(word) for word in sys.argv[2:]])
