"""Writes tests/golden/vectors/sgd.json: twenty steps of SGD at the published size in PyTorch, float64.

    python3 tests/reference/write_sgd.py [build/jmt]        some minutes; needs torch and h5py

Refuses to write losses that would not tell plain momentum from Nesterov's, or a frozen optimiser."""
import json
import os
import sys
import tempfile

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "golden"))

import golden  # noqa: E402
import test_sgd  # noqa: E402
from twin import Twin  # noqa: E402


def losses_of(words):
    return Twin(golden.program(), words).train_epoch(0, test_sgd.STEPS)


def check_control(words, rows):
    """How far the losses move if the optimiser is another one."""
    for change in ("optimizer.nesterov=false", "optimizer.momentum=0"):
        others = losses_of(words + ["--set", change])
        moved = max(abs(a / b - 1) for (a, _), (b, _) in zip(others, rows))
        print(f"  {change}: losses move by {moved:.2g}")
        if moved < 10 * test_sgd.LOSS_LIMIT:
            sys.exit(f"{change} would pass: raise the learning rate")


def main():
    stored = {"made_by": f"tests/reference/write_sgd.py, torch {torch.__version__}, float64"}
    for model in test_sgd.MODELS:
        with tempfile.TemporaryDirectory() as directory:
            words = test_sgd.arguments(model, test_sgd.make_data(directory))
            rows = losses_of(words)
            if model != "jmt": # the same optimiser at a tenth of the price
                check_control(words, rows)
            stored[model] = {"weights_sha256": test_sgd.weights_hash(words, directory),
                             "loss": [loss for loss, _ in rows],
                             "grad_norm": [norm for _, norm in rows]}
        print(model, rows[0], rows[-1])
    with open(test_sgd.STORED, "w") as file:
        json.dump(stored, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
