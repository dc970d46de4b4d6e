"""`jmt step` refuses what it would otherwise have to guess, and any command settings that nothing
would read: exit 2, one line on standard error, and no result."""
import array
import math
import os
import subprocess
import tempfile

import golden
import cases
import safetensors


def spoilt(batch):
    """(what is wrong, words of the message, the batch)"""
    shape, values = batch["input/video"]
    broken = values[:]
    broken[next(i for i, v in enumerate(values) if not math.isnan(v))] = math.nan
    steps = (cases.BATCH, cases.LENGTH)
    zeros = (steps, array.array("d", [0.0] * (steps[0] * steps[1])))
    one = {name: entry for name, entry in batch.items() if not name.endswith("/level")}
    return [("NaN where valid", "not finite", dict(batch, **{"input/video": (shape, broken)})),
            ("no target", "target/level is missing", one),
            ("both kinds", "both", dict(one, **{"target/level": zeros, "cotangent/level": zeros})),
            ("misspelt mask", "mask/vidio", dict(batch, **{"mask/vidio": zeros})),
            ("a label that is no class", "has the label 3 at element",
             dict(batch, **{"target/kind": (steps, array.array("d", [3.0] * len(zeros[1])))})),
            ("another shape", "is expected", dict(batch, **{"input/audio": zeros}))]


# what is set beside the tiny configuration, and words of the message
UNREAD = (
    (["modalities.video.tcn_blocks=2"], "tcn_blocks has no effect with front auto"),
    (["modalities.video.tcn_kernel=3", "modalities.video.front=linear"],
     "tcn_kernel has no effect with front linear"),
    (["modalities.video.tcn_causal=false"], "tcn_causal has no effect with front auto"),
    (["modalities.video.tcn_dropout=0"], "tcn_dropout has no effect with front auto"),
    (["modalities.video.front=tcn", "modalities.video.tcn_causal=false", "model.causal=true"],
     "against model.causal"),
    (["modalities.video.size=48"], "size has no effect with backbone none"),
    (["modalities.video.reduce=average", "modalities.video.backbone=cnn_1d"],
     "reduce has no effect with backbone cnn_1d"),
    (["modalities.video.intra=concat_fc"], "intra has no effect on features of its own"),
    (["modalities.pair.of=[video, audio]", "modalities.pair.front=tcn"],
     "front has no effect beside of"),
    (["modalities.pair.of=[video, audio]", "model.modalities=[pair, audio]"],
     "both pair and its part 'audio'"),
)


def check_unread(report):
    config = os.path.join(cases.ROOT, "configs", "tiny", "jmt.yaml")
    for sets, words in UNREAD:
        arguments = [word for pair in sets for word in ("--set", pair)]
        done = subprocess.run([golden.program(), "plan", config] + arguments,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, check=False)
        what = " ".join(sets)
        report.equal(what + ": exit", done.returncode, 2)
        report.equal(what + ": lines", (done.stdout, len(done.stderr.splitlines())), ("", 1))
        report.equal(what + ": message " + done.stderr.strip(), words in done.stderr, True)


def main():
    report, case = golden.Report(), cases.masked()[2]
    check_unread(report)
    with tempfile.TemporaryDirectory() as directory:
        step = golden.Step(case, directory, report)
        for what, words, batch in spoilt(case.batch):
            safetensors.write(step.batch, batch)
            out = os.path.join(directory, "out.safetensors")
            files = ["--weights", step.weights, "--batch", step.batch, "--out", out]
            done = subprocess.run([golden.program(), "step"] + step.arguments + files,
                                  stderr=subprocess.PIPE, universal_newlines=True, check=False)
            lines = done.stderr.splitlines()
            report.equal(what + ": exit", done.returncode, 2)
            report.equal(what + ": lines", len(lines), 1)
            report.equal(what + ": message " + done.stderr.strip(), words in done.stderr, True)
            report.equal(what + ": output written", os.path.exists(out), False)
        safetensors.write(step.batch, case.batch)
        words = [golden.program(), "step"] + step.arguments + files
        words += ["--set", "targets.kind.class_weights=balanced"]
        done = subprocess.run(words, stderr=subprocess.PIPE, universal_newlines=True, check=False)
        report.equal("weights to be counted: exit", done.returncode, 2)
        report.equal("weights to be counted: message " + done.stderr.strip(),
                     "balanced: there are no training labels here" in done.stderr, True)
    report.exit()


if __name__ == "__main__":
    main()
