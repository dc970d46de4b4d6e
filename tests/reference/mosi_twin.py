"""The PyTorch twin of `jmt train CONFIG` and `jmt evaluate`: same initial weights, order, data.

    python3 tests/reference/mosi_twin.py CONFIG... --data DIR [--seeds 0 1 2 3 4] [--jmt build/jmt]
            [--set K=V]... [--precision f32|f64] [--out F.json] [--compare-steps N]
            [--torch-dropout]

DIR is the output of `jmt shard mosi` (or of any importer: nothing here is particular to MOSI).
Prints, and writes to --out, the scores of the test split by configuration and seed, and mean and
sample standard deviation. --compare-steps N: trains N steps both ways and prints how far losses
and gradient norms are apart, no scores. --torch-dropout: masks by torch's generator, another
training of the same cost less counted numbers, to be timed. Needs torch and h5py."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import torch

from twin import Twin

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def words_of(options, config, seed):
    words = [config]
    for pair in options.sets + [f"data.path={options.data}", f"seed={seed}"]:
        words += ["--set", pair]
    return words


def twin_of(options, config, seed):
    dtype = {"f32": torch.float32, "f64": torch.float64}[options.precision]
    return Twin(options.jmt, words_of(options, config, seed), dtype, options.torch_dropout)


def compare(options, config, seed):
    with tempfile.TemporaryDirectory() as directory:
        run = os.path.join(directory, "run")
        subprocess.run([options.jmt, "train"] + words_of(options, config, seed)
                       + ["--run", run, "--steps", str(options.compare_steps)],
                       stderr=subprocess.DEVNULL, check=True)
        with open(os.path.join(run, "metrics.jsonl")) as file:
            events = [json.loads(line) for line in file]
    events = [event for event in events if event["event"] == "step"]
    twin, rows = twin_of(options, config, seed), []
    while len(rows) < len(events):
        epoch = events[len(rows)]["epoch"]
        rows += twin.train_epoch(epoch, len(events) - len(rows))
    for event, (loss, norm) in zip(events, rows):
        print(f"{config} seed {seed} step {event['step']}: loss {event['loss']:.9f} and "
              f"{loss:.9f}, relative {abs(event['loss'] / loss - 1):.2g}; gradient norm relative "
              f"{abs(event['grad_norm'] / norm - 1):.2g}", flush=True)


def score(options, config, seed):
    twin = twin_of(options, config, seed)

    def log(epoch, rows, scores):
        mean = sum(loss for loss, _ in rows) / len(rows)
        print(f"  epoch {epoch} loss {mean:.4f} valid {scores}", file=sys.stderr, flush=True)

    epoch = twin.train(log)
    scores, _ = twin.evaluate("test")
    flat = {f"{target}.{metric}": value for target, row in scores.items()
            for metric, value in row.items()}
    print(f"{config} seed {seed} epoch {epoch}: {flat}", flush=True)
    return flat


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("configs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jmt", default=os.path.join(ROOT, "build", "jmt"))
    parser.add_argument("--set", dest="sets", action="append", default=[])
    parser.add_argument("--precision", choices=("f32", "f64"), default="f32")
    parser.add_argument("--torch-dropout", action="store_true")
    parser.add_argument("--compare-steps", type=int, default=0)
    parser.add_argument("--out")
    options = parser.parse_args()
    if options.compare_steps:
        for config in options.configs:
            for seed in options.seeds:
                compare(options, config, seed)
        return
    summary = {"made_by": f"tests/reference/mosi_twin.py, torch {torch.__version__}, "
                          f"{options.precision}", "seeds": options.seeds, "models": {}}
    for config in options.configs:
        rows = [score(options, config, seed) for seed in options.seeds]
        name = os.path.splitext(os.path.basename(config))[0]
        summary["models"][name] = {}
        for metric in rows[0]:
            values = [row[metric] for row in rows]
            summary["models"][name][metric] = {
                "mean": statistics.mean(values), "values": values,
                "std": statistics.stdev(values) if len(values) > 1 else 0.0}
    if options.out:
        with open(options.out, "w") as file:
            json.dump(summary, file, indent=1)
            file.write("\n")
    print(json.dumps(summary["models"], indent=1))


if __name__ == "__main__":
    main()
