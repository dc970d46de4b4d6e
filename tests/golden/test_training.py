"""`jmt train` against PyTorch in float64: the same data, initial weights and sample order; the
losses and gradient norms of the steps, and what validation says at the end of each epoch.

At the published size ten or twenty steps of SGD (momentum 0.9, Nesterov); at toy size whole epochs that
between them take every optimiser, schedule, loss, model, overlapping windows and dropout."""
import hashlib
import itertools
import json
import os
import sys
import tempfile

import golden
import cases
import labelled
import safetensors

LOSS_LIMIT, NORM_LIMIT, SCORE_LIMIT = 1e-4, 5e-3, 1e-3
STORED = os.path.join(cases.VECTORS, "training.json")
FULL = os.path.join(cases.HERE, "full_training.yaml")
LABELLED = os.path.join(cases.HERE, "labelled.yaml")
TINY = os.path.join(cases.ROOT, "configs", "tiny", "jmt.yaml")

# name: configuration, settings, steps (0: all epochs)
RUNS = {
    # Ten: in the first step a unit of audio.encoder.0.linear1 lies within rounding of relu's kink; on
    # which side, is 1e-6 of the gradient, and at this rate that grows threefold a step.
    "full_jmt": (FULL, ["model.name=jmt", "optimizer.learning_rate=1e-3"], 10),
    "full_mt": (FULL, ["model.name=mt"], 20),
    "full_concat": (FULL, ["model.name=concat"], 20),
    "tiny_adamw": (TINY, ["epochs=3", "model.heads=2", "model.layers=2", "model.head_dropout=0.2",
                          "optimizer.learning_rate=2e-3", "optimizer.weight_decay=0.05",
                          "optimizer.clip_norm=0.5", "schedule.name=cosine",
                          "schedule.warmup_steps=7"], 0),
    "tiny_adam": (TINY, ["epochs=3", "model.name=mt", "optimizer.name=adam",
                         "optimizer.learning_rate=2e-3", "optimizer.weight_decay=0.01",
                         "schedule.name=step", "schedule.step_epochs=1", "schedule.gamma=0.5",
                         "loss.ccc_unbiased=true"], 0),
    "tiny_sgd": (TINY, ["epochs=3", "model.token=mean", "optimizer.name=sgd",
                        "optimizer.learning_rate=5e-3", "optimizer.weight_decay=1e-2",
                        "targets.arousal.loss=mse", "targets.arousal.weight=0.5"], 0),
    "tiny_forms": (TINY, ["epochs=2", "model.dropout=0.2", "model.modality_dropout=0.4",
                          "model.head_dropout=0.1", "model.cross_residual=true",
                          "model.cross_ffn=true", "model.cross_weights=separate",
                          "model.position=sinusoidal", "model.causal=true", "model.heads=2",
                          "model.branches=[-noise<-joint]", "optimizer.learning_rate=1e-3"], 0),
    "tiny_tcn": (TINY, ["epochs=2", "modalities.video.front=tcn", "modalities.video.tcn_blocks=2",
                        "modalities.video.tcn_kernel=3", "modalities.video.tcn_dropout=0.2",
                        "modalities.audio.front=tcn", "modalities.audio.tcn_blocks=1",
                        "modalities.audio.tcn_causal=false", "modalities.audio.tcn_dropout=0",
                        "optimizer.learning_rate=1e-3"], 0),
    "tiny_pair": (TINY, ["epochs=2", "modalities.pair.of=[video, audio]", "model.dropout=0.2",
                         "model.modality_dropout=0.4", "modalities.video.front=tcn",
                         "modalities.video.tcn_blocks=1", "optimizer.learning_rate=1e-3"], 0),
    "labelled_weights": (LABELLED, ["split.test_fraction=0", "targets.kind.class_weights=balanced",
                                    "targets.kind.label_smoothing=0.1",
                                    "targets.pain.class_weights=balanced",
                                    "targets.tired.class_weights=2.5",
                                    "targets.level.mse_weight=0.5"], 0),
    "labelled_numbers": (LABELLED, ["split.test_fraction=0", "select_on=uar",
                                    "targets.kind.class_weights=[0.5, 1, 3]",
                                    "targets.tired.loss=mse"], 0),
    "tiny_plain": (TINY, ["epochs=3", "model.name=concat_encoder", "optimizer.name=sgd",
                          "optimizer.momentum=0", "optimizer.nesterov=false", "data.stride=5",
                          "optimizer.learning_rate=0.02", "model.modalities=audio video"], 0),
}


def arguments(name, data):
    config, sets, _ = RUNS[name]
    words = [config]
    for pair in sets + ["data.path=" + data]:
        words += ["--set", pair]
    return words


def make_data(name, directory):
    data, source = os.path.join(directory, "data"), os.path.join(directory, "source")
    if RUNS[name][0] == LABELLED:
        labelled.write(source)
        golden.run(["shard", "features", "--source", source, "--out", data, "--set", "header=0"])
    else:
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


# Settings that choose the backend. On the simulated GPU a run is its first steps.
BACKENDS = golden.with_gpu(((),), ("backend=cuda", "precision=f32_strict"))
SIMULATED_STEPS = 3


def train(words, backend, steps, directory):
    run = os.path.join(directory, "run")
    sets = [word for pair in backend for word in ("--set", pair)]
    golden.run(["train"] + words + sets + ["--run", run] + (["--steps", str(steps)] if steps else []))
    with open(os.path.join(run, "metrics.jsonl")) as file:
        events = [json.loads(line) for line in file]
    return ([event for event in events if event["event"] == "step"],
            [event for event in events if event["event"] == "valid"])


def check_export(report, name, directory):
    """The trained weights say which they are, in order, without the data."""
    path = os.path.join(directory, "trained.safetensors")
    golden.run(["export", os.path.join(directory, "run", "checkpoints", "last"), "--out", path])
    tensors, metadata = safetensors.read(path)
    order = json.loads(metadata["creation_order"])
    report.equal(name + ": in the export or in its creation order alone",
                 sorted(set(tensors).symmetric_difference(order)), [])


def check_run(report, name, backend, stored, directory):
    words, want = arguments(name, make_data(name, directory)), stored[name]
    if weights_hash(words, directory) != want["weights_sha256"]:
        sys.exit(f"FAIL {name}: the program starts from other initial weights than the stored "
                 "losses; if that is meant, run tests/reference/write_training.py")
    cut = SIMULATED_STEPS if golden.simulated() else 0
    steps, valid = train(words, backend, cut or RUNS[name][2], directory)
    report.equal(name + ": steps", len(steps), cut or len(want["loss"]))
    for event, loss, norm in zip(steps, want["loss"], want["grad_norm"]):
        what = f"{name} step {event['step']}"
        report.check(what, "loss, relative", abs(event["loss"] / loss - 1), LOSS_LIMIT)
        report.check(what, "gradient norm, relative", abs(event["grad_norm"] / norm - 1),
                     NORM_LIMIT)
    check_export(report, name, directory)
    if cut:
        return
    report.equal(name + ": validations", len(valid), len(want["valid"]))
    for event, row in zip(valid, want["valid"]):
        what = f"{name} validation after epoch {event['epoch']}"
        report.check(what, "validation loss, relative", abs(event["loss"] / row["loss"] - 1),
                     LOSS_LIMIT)
        for target, scores in row["scores"].items():
            for metric, value in scores.items():
                report.check(f"{what} {target}", "validation " + metric,
                             abs(event["targets"][target][metric] - value), SCORE_LIMIT)


def main():
    report = golden.Report()
    with open(STORED) as file:
        stored = json.load(file)
    runs = [name for name in RUNS if not (golden.simulated() and name.startswith("full"))]
    for name, backend in itertools.product(runs, BACKENDS):
        with tempfile.TemporaryDirectory() as directory:
            check_run(report, name, backend, stored, directory)
    report.exit()


if __name__ == "__main__":
    main()
