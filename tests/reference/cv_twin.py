"""The PyTorch twin of `jmt cv CONFIG`: each fold trained from the program's initial weights, in its
order, scored by the checkpoint that the held-out people choose; folds pooled.

    python3 tests/reference/cv_twin.py CONFIG... --data DIR [--seeds 0 1 2] [--folds 0 1 ...]
            [--jmt build/jmt] [--set K=V]... [--precision f32|f64] [--out F.json]

Prints, and writes to --out, by configuration the pooled scores of each seed, their mean and sample
deviation. Needs torch and h5py."""
import argparse
import json
import os
import statistics
import sys
import time

import torch

from mosi_twin import ROOT, twin_of
from twin import scores_of


def fold_count(twin):
    people = sum(len(subjects) for subjects in twin.data.subjects.values())
    folds = twin.config["split"]["folds"]
    return people if folds < 0 else folds


def pooled(options, config, seed):
    """All folds of a seed scored together."""
    outputs, targets, who, fold, folds, begin = [], [], [], 0, options.folds, time.time()
    sets, spec = list(options.sets), None
    while folds is None or fold < len(folds):
        options.sets = sets + [f"split.fold={folds[fold] if folds else 0}"]
        twin = twin_of(options, config, seed)
        folds = folds or list(range(fold_count(twin)))
        epoch = twin.train()
        out, truth = twin.outputs("test")
        outputs.append(out)
        targets.append(truth)
        who += twin.data.splits["test"].who
        spec, fold = twin.spec, fold + 1
        print(f"  {config} seed {seed} fold {folds[fold - 1]}: epoch {epoch}, "
              f"{time.time() - begin:.0f} s", file=sys.stderr, flush=True)
    options.sets = sets

    def joined(parts):
        return {name: torch.cat([part[name] for part in parts]) for name in spec.targets}

    scores = scores_of(spec, joined(outputs), joined(targets), who)
    flat = {f"{target}.{metric}": value for target, row in scores.items()
            for metric, value in row.items()}
    print(f"{config} seed {seed}: {flat}", flush=True)
    return flat


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, nargs="+")
    parser.add_argument("--jmt", default=os.path.join(ROOT, "build", "jmt"))
    parser.add_argument("--set", dest="sets", action="append", default=[])
    parser.add_argument("--precision", choices=("f32", "f64"), default="f32")
    parser.add_argument("--out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    made_by = f"tests/reference/cv_twin.py, torch {torch.__version__}, {options.precision}"
    summary = {"made_by": made_by, "seeds": options.seeds, "models": {}}
    for config in options.configs:
        rows = [pooled(options, config, seed) for seed in options.seeds]
        name = os.path.splitext(os.path.basename(config))[0]
        summary["models"][name] = {
            metric: {"mean": statistics.mean(values), "values": values,
                     "std": statistics.stdev(values) if len(values) > 1 else 0.0}
            for metric in rows[0] for values in [[row[metric] for row in rows]]}
    if options.out:
        with open(options.out, "w") as file:
            json.dump(summary, file, indent=1)
            file.write("\n")
    print(json.dumps(summary["models"], indent=1))


if __name__ == "__main__":
    main()
