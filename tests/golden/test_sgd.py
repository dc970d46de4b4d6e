"""Twenty steps of `jmt train` (SGD, momentum 0.9, Nesterov) at the published size against PyTorch in
float64: the same data, initial weights and sample order; losses within 1e-4, relative."""
import hashlib
import json
import os
import sys
import tempfile

import golden
import cases
import safetensors

STEPS, LOSS_LIMIT, NORM_LIMIT = 20, 1e-4, 5e-3
MODELS = ("jmt", "mt", "concat")
STORED = os.path.join(cases.VECTORS, "sgd.json")


def arguments(model, data):
    return [os.path.join(cases.HERE, "sgd.yaml"), "--set", "model.name=" + model, "--set",
            "data.path=" + data]


def make_data(directory):
    data = os.path.join(directory, "data")
    golden.run(["shard", "synthetic", "--out", data])
    return data


def weights_hash(words, directory):
    """Of the initial weights: what the stored losses begin from."""
    path = os.path.join(directory, "initial.safetensors")
    golden.run(["export"] + words + ["--out", path])
    tensors, _ = safetensors.read(path)
    os.remove(path)
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode() + b"\0" + tensors[name][1].tobytes())
    return total.hexdigest()


def train(words, directory):
    run = os.path.join(directory, "run")
    golden.run(["train"] + words + ["--run", run, "--steps", str(STEPS)])
    with open(os.path.join(run, "metrics.jsonl")) as file:
        events = [json.loads(line) for line in file]
    return [event for event in events if event["event"] == "step"]


def main():
    report = golden.Report()
    with open(STORED) as file:
        stored = json.load(file)
    for model in MODELS:
        with tempfile.TemporaryDirectory() as directory:
            words, want = arguments(model, make_data(directory)), stored[model]
            if weights_hash(words, directory) != want["weights_sha256"]:
                sys.exit(f"FAIL {model}: the program starts from other initial weights than the stored "
                         "losses; if that is meant, run tests/reference/write_sgd.py")
            events = train(words, directory)
        report.equal(model + ": steps", len(events), STEPS)
        for event, loss, norm in zip(events, want["loss"], want["grad_norm"]):
            what = f"{model} step {event['step']}"
            report.check(what, "loss, relative", abs(event["loss"] / loss - 1), LOSS_LIMIT)
            report.check(what, "gradient norm, relative", abs(event["grad_norm"] / norm - 1),
                         NORM_LIMIT)
    report.exit()


if __name__ == "__main__":
    main()
