"""The PyTorch twin of `jmt cv CONFIG`: each fold trained from the program's initial weights, in its
order, scored by the checkpoint that the held-out people choose; folds pooled.

    python3 tests/reference/cv_twin.py CONFIG... --data DIR [--seeds 0 1 2] [--folds 0 1 ...]
            [--jobs N] [--work DIR] [--jmt build/jmt] [--set K=V]... [--precision f32|f64]
            [--out F.json] [--compare-steps N]

Prints, and writes to --out, by configuration the pooled scores of each seed, their mean and sample
deviation, and the mean of the folds' own scores. --work DIR keeps each fold's predictions there and
goes on from those it finds. --compare-steps N: trains N steps of each fold both ways, as
mosi_twin.py. Needs torch and h5py."""
import argparse
import hashlib
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time

import torch

import models
from mosi_twin import ROOT, compare, twin_of, words_of
from twin import Twin, scores_of


def options_of(options, fold):
    own = argparse.Namespace(**vars(options))
    own.sets = options.sets + [f"split.fold={fold}"]
    return own


def folds_of(options, config):
    if options.folds:
        return options.folds
    twin = twin_of(options_of(options, 0), config, options.seeds[0])
    people = sum(len(subjects) for subjects in twin.data.subjects.values())
    folds = twin.config["split"]["folds"]
    return list(range(people if folds < 0 else folds))


def name_of(config):
    return os.path.splitext(os.path.basename(config))[0]


def train_fold(job):
    """Leaves the predictions for the fold's people in a file, named by all that decides them."""
    options, config, seed, fold = job
    torch.set_num_threads(1)
    begin, own = time.time(), options_of(options, fold)
    resolved = Twin.resolve(options.jmt, words_of(own, config, seed))
    key = hashlib.sha256(json.dumps([resolved, options.precision]).encode()).hexdigest()[:16]
    path = os.path.join(options.work, f"{name_of(config)}-seed-{seed}-fold-{fold}-{key}.pt")
    if not os.path.exists(path):
        twin = twin_of(own, config, seed)
        epoch = twin.train()
        outputs, targets = twin.outputs("test")
        torch.save({"config": twin.config, "epoch": epoch, "outputs": outputs, "targets": targets,
                    "who": twin.data.splits["test"].who}, path + ".part")
        os.rename(path + ".part", path)
    print(f"  {config} seed {seed} fold {fold}: {time.time() - begin:.0f} s", file=sys.stderr,
          flush=True)
    return path


def flat(rows):
    return {f"{target}.{metric}": value for target, row in rows.items()
            for metric, value in row.items()}


def pooled(paths):
    """Scores of all folds of a seed as if they were one test part; the folds' own; best epochs."""
    rows = [torch.load(path) for path in paths]
    spec = models.Spec(rows[0]["config"])
    outputs, targets = ({name: torch.cat([row[part][name] for row in rows]) for name in spec.targets}
                        for part in ("outputs", "targets"))
    who = [sample for row in rows for sample in row["who"]]
    own = [flat(scores_of(spec, row["outputs"], row["targets"], row["who"])) for row in rows]
    return flat(scores_of(spec, outputs, targets, who)), own, [row["epoch"] for row in rows]


def summary_of(seeds):
    summary = {}
    for metric in seeds[0][0]:
        values = [row[metric] for row, _, _ in seeds]
        summary[metric] = {"mean": statistics.mean(values), "values": values,
                           "std": statistics.stdev(values) if len(values) > 1 else 0.0,
                           "over_folds": statistics.mean(row[metric] for _, own, _ in seeds
                                                         for row in own)}
    return summary | {"folds": len(seeds[0][1]), "best_epochs": [epochs for _, _, epochs in seeds]}


def run(options):
    jobs = [(options, config, seed, fold) for config in options.configs
            for folds in [folds_of(options, config)] for seed in options.seeds for fold in folds]
    paths = {}
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        for (_, config, seed, _), path in zip(jobs, pool.imap(train_fold, jobs)):
            paths.setdefault((config, seed), []).append(path)
    return {"made_by": f"tests/reference/cv_twin.py, torch {torch.__version__}, "
                       f"{options.precision}", "seeds": options.seeds,
            "models": {name_of(config): summary_of([pooled(paths[config, seed])
                                                    for seed in options.seeds])
                       for config in options.configs}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, nargs="+")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--jmt", default=os.path.join(ROOT, "build", "jmt"))
    parser.add_argument("--set", dest="sets", action="append", default=[])
    parser.add_argument("--precision", choices=("f32", "f64"), default="f32")
    parser.add_argument("--compare-steps", type=int, default=0)
    parser.add_argument("--work")
    parser.add_argument("--out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.compare_steps:
        for config in options.configs:
            for fold in folds_of(options, config):
                for seed in options.seeds:
                    print(f"fold {fold}:", flush=True)
                    compare(options_of(options, fold), config, seed)
        return
    with tempfile.TemporaryDirectory() as directory:
        options.work = options.work or directory
        os.makedirs(options.work, exist_ok=True)
        summary = run(options)
    if options.out:
        with open(options.out, "w") as file:
            json.dump(summary, file, indent=1)
            file.write("\n")
    print(json.dumps(summary["models"], indent=1))


if __name__ == "__main__":
    main()
