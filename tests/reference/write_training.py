"""Writes tests/golden/vectors/training.json: training runs in PyTorch, float64.

    python3 tests/reference/write_training.py [build/jmt] [NAME...]    minutes; needs torch and h5py

Refuses to write losses that would not tell plain momentum, or none, from Nesterov's."""
import json
import os
import sys
import tempfile

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "golden"))

import golden  # noqa: E402
import test_training  # noqa: E402
from twin import Twin  # noqa: E402


def run(words, steps):
    twin, rows, valid = Twin(golden.program(), words), [], []
    if steps:
        return twin.train_epoch(0, steps), valid
    for epoch in range(twin.config["epochs"]):
        rows += twin.train_epoch(epoch)
        scores, loss = twin.evaluate("valid")
        valid.append({"loss": loss, "scores": scores})
    return rows, valid


def check_control(words, steps, rows):
    """How far the losses move if the optimiser is another one."""
    plain = ["optimizer.nesterov=false"]
    for change in (plain, plain + ["optimizer.momentum=0"]):
        sets = [word for pair in change for word in ("--set", pair)]
        others, _ = run(words + sets, steps)
        moved = max(abs(a / b - 1) for (a, _), (b, _) in zip(others, rows))
        print(f"  {change}: losses move by {moved:.2g}", flush=True)
        if moved < 10 * test_training.LOSS_LIMIT:
            sys.exit(f"{change} would pass: raise the learning rate")


def main():
    names = sys.argv[2:] or list(test_training.RUNS)
    stored = {}
    if os.path.exists(test_training.STORED):
        with open(test_training.STORED) as file:
            stored = json.load(file)
    stored["made_by"] = f"tests/reference/write_training.py, torch {torch.__version__}, float64"
    for name in names:
        steps = test_training.RUNS[name][2]
        with tempfile.TemporaryDirectory() as directory:
            words = test_training.arguments(name, test_training.make_data(name, directory))
            rows, valid = run(words, steps)
            if name == "full_concat": # the others have the same optimiser at ten times the price
                check_control(words, steps, rows)
            stored[name] = {"weights_sha256": test_training.weights_hash(words, directory),
                            "loss": [loss for loss, _ in rows],
                            "grad_norm": [norm for _, norm in rows], "valid": valid}
        print(name, len(rows), "steps", rows[0], rows[-1], valid[-1:], flush=True)
        with open(test_training.STORED, "w") as file:
            json.dump(stored, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
