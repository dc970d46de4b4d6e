"""broken_data.py DIR - writes small folders in the layout that the importer mosi reads, each wrong in one
way: DIR/mosi-nan has a cell that is no number in audio_train0.csv, line 4; DIR/mosi-leak has one video in
training and test; DIR/mosi-good is right."""
import csv
import os
import random
import sys

WIDTHS = {"text": 100, "audio": 73, "video": 100}


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)


def make(directory, cell="0.5", leak=False):
    os.makedirs(directory)
    draw = random.Random(1)
    utterances = [("video%d" % (i // 5), i % 5 + 1, draw.choice([-1.2, 0.8])) for i in range(30)]
    split = ["test" if v in ("video4", "video5") else "train" for v, _, _ in utterances]
    if leak:
        split[29] = "train"
    write(directory + "/transcripts.csv",
          [("%s_%d" % (v, c), "WORDS", "93", int(s >= 0)) for v, c, s in utterances])
    with open(directory + "/OpinionLevelSentiment.csv", "w") as file:
        for v, c, s in utterances:
            file.write("0,1,%s,%d,%g\n" % (v, c, s))
    for part in ("train", "test"):
        rows = [i for i in range(30) if split[i] == part]
        write("%s/text_%s.csv" % (directory, part), [[i] + [0.0] * 100 + [0] for i in rows])
        for sense, width in WIDTHS.items():
            table = [["%.4f" % draw.gauss(0, 1) for _ in range(width)] + [int(utterances[i][2] >= 0)]
                     for i in rows]
            if (part, sense) == ("train", "audio"):
                table[3][7] = cell
            write("%s/%s_%s0.csv" % (directory, sense, part), table)


if __name__ == "__main__":
    make(sys.argv[1] + "/mosi-good")
    make(sys.argv[1] + "/mosi-nan", cell="nan")
    make(sys.argv[1] + "/mosi-leak", leak=True)
