"""steps_data.py DIR - a folder for `jmt shard features`: sound, a signal and features of two that differ in rate from
the labels, with gaps, in recordings of different lengths, and a label that each knows something of."""
import math
import os
import sys

directory, rows = sys.argv[1], ["recording,subject,group,modality,rate_hz,path"]
os.makedirs(directory)


def table(modality, rate, recording, lines):
    path = f"{recording}-{modality.replace(':', '-')}.csv"
    rows.append(f"{recording},p{recording[0]},,{modality},{rate},{path}")
    with open(os.path.join(directory, path), "w") as file:
        file.write("".join(",".join("" if v is None else f"{v:.5f}" for v in line) + "\n" for line in lines))


for number in range(16):
    recording = "abcdefgh"[number // 2] + str(number % 2)
    label = [math.sin(1.7 * number + 0.9 * t) for t in range(5 + number % 4)]
    gone = range(6, 10) if number % 3 == 0 else ()
    table("voice", 3, recording, [[None if t in gone else
                                   math.sin(0.2 * k * (1 + label[t // 3])) + 0.2 * math.cos(k + t)
                                   for k in range(64)] for t in range(3 * len(label))])
    table("signal", 40, recording, [[math.sin(0.3 * t + label[t // 40])] for t in range(40 * len(label))])
    table("heart", 2, recording, [[math.cos(t + number), t % 3] for t in range(2 * len(label))])
    table("label:valence", 1, recording, [[y] for y in label])
with open(os.path.join(directory, "manifest.csv"), "w") as file:
    file.write("\n".join(rows) + "\n")
