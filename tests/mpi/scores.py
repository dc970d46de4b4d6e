"""Every metric again, from the predictions that the program wrote, by plain code:

    python3 tests/mpi/scores.py TOLD.json PREDICTIONS.csv TARGET:CLASSES...    0 classes: values; 2: of one logit

TOLD: `jmt evaluate --json`, or a seed of a summary. Metrics that a target has are exactly those here."""
import csv
import json
import math
import sys


def ccc(pairs):
    n = len(pairs)
    mx, my = math.fsum(x for x, _ in pairs) / n, math.fsum(y for _, y in pairs) / n
    vx = math.fsum((x - mx) ** 2 for x, _ in pairs) / n
    vy = math.fsum((y - my) ** 2 for _, y in pairs) / n
    cov = math.fsum((x - mx) * (y - my) for x, y in pairs) / n
    r = cov / math.sqrt(vx * vy) if vx > 0 and vy > 0 else 0.0
    return 2 * cov / (vx + vy + (mx - my) ** 2 + 1e-8), r


def of_values(rows):
    sequences = {}
    for row in rows:
        key = (row.get("fold"), row["recording"])
        sequences.setdefault(key, []).append((float(row["prediction"]), float(row["target"])))
    pairs = [pair for part in sequences.values() for pair in part]
    errors = [x - y for x, y in pairs]
    scores = {"mae": math.fsum(map(abs, errors)) / len(errors),
              "rmse": math.sqrt(math.fsum(e * e for e in errors) / len(errors)),
              "ccc": ccc(pairs)[0], "r": ccc(pairs)[1]}
    parts = [ccc(part)[0] for part in sequences.values() if len(part) > 1]
    if parts:
        scores["ccc_per_sequence"] = math.fsum(parts) / len(parts)
    return scores, None


def of_classes(rows, classes):
    pairs = [(int(float(row["target"])), int(row["prediction"])) for row in rows]
    table = [[pairs.count((a, b)) for b in range(classes)] for a in range(classes)]
    occurs = [sum(table[c]) for c in range(classes)]
    told = [sum(table[a][c] for a in range(classes)) for c in range(classes)]
    f1 = {c: 2 * table[c][c] / (occurs[c] + told[c]) for c in range(classes) if occurs[c] + told[c]}
    recalls = [table[c][c] / occurs[c] for c in range(classes) if occurs[c]]
    scores = {"accuracy": sum(table[c][c] for c in range(classes)) / len(pairs),
              "uar": sum(recalls) / len(recalls), "f1_macro": sum(f1.values()) / len(f1),
              "f1_weighted": sum(f * occurs[c] for c, f in f1.items()) / len(pairs)}
    if classes == 2:
        scores["f1_positive"] = f1.get(1, 0.0)
    return scores, table


def agree(what, told, want):
    names = {name for name in told if name not in ("n", "n_invalid", "threshold")}
    assert names == set(want), f"{what}: has {sorted(names)}, not {sorted(want)}"
    for name, value in want.items(): # sums of some thousand doubles
        assert abs(told[name] - value) <= 1e-9 * max(1, abs(value)), (what, name, told[name], value)


def main():
    with open(sys.argv[1]) as file:
        told = json.load(file)
    with open(sys.argv[2]) as file:
        rows = list(csv.DictReader(file))
    every = {}
    assert len(told["targets"]) == len(sys.argv) - 3
    for word in sys.argv[3:]:
        name, classes = word.split(":")
        own = [row for row in rows if row["name"] == name]
        want, table = of_classes(own, int(classes)) if int(classes) else of_values(own)
        agree(name, told["targets"][name], want)
        assert told["targets"][name]["n"] == len(own) > 0, name
        assert told["confusion"].get(name) == table, (name, told["confusion"].get(name), table)
        for metric, value in want.items():
            every.setdefault(metric, []).append(value)
    agree("metrics", told["metrics"], {m: sum(v) / len(v) for m, v in every.items()})


if __name__ == "__main__":
    main()
