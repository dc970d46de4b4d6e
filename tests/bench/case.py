"""A model with weights and a batch that `jmt` and its peer both get: data written for `jmt shard
features`, initial weights by `jmt export`, both as files. Standard library only."""
import array
import json
import pathlib
import random
import subprocess
import sys

import bench

sys.path.insert(0, str(bench.ROOT / "tests" / "reference"))
import safetensors # noqa: E402

CONFIG = str(bench.ROOT / "configs" / "full" / "jmt.yaml")
RATE_HZ = 5


def jmt(*words):
    """What `jmt WORDS` prints; its own error line, and its exit code, where it fails."""
    done = subprocess.run([bench.JMT, *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout


class Case:
    """sets: settings beside those of the configuration. Everything lies in `directory`."""

    def __init__(self, directory, config=CONFIG, sets=()):
        self.directory = pathlib.Path(directory)
        self.words = [config]
        for pair in (*sets, f"data.path={self.directory / 'data'}", "data.standardize=none",
                     "split.valid_fraction=0", "split.test_fraction=0"):
            self.words += ["--set", pair]
        self.config = json.loads(jmt("config", *self.words, "--json"))
        self.batch, self.length = self.config["batch"], self.config["data"]["window"]
        self.make_data()
        self.weights, self.config_file = self.file("weights.safetensors"), self.file("config.json")
        jmt("export", *self.words, "--out", self.weights)
        pathlib.Path(self.config_file).write_text(json.dumps(self.config), encoding="utf-8")

    def file(self, name):
        return str(self.directory / name)

    def make_data(self):
        """One batch of standard normal numbers, a recording for each sample."""
        source, gauss = self.directory / "source", random.Random(1).gauss
        source.mkdir()
        lines, batch = ["recording,subject,group,modality,rate_hz,path"], {}
        tracks = {f"input/{name}": m["dim"] for name, m in self.config["modalities"].items()}
        tracks.update({f"target/{name}": 1 for name in self.config["targets"]})
        for track, dim in tracks.items():
            kind, name = track.split("/")
            values = array.array("f", (gauss(0, 1) for _ in range(self.batch * self.length * dim)))
            shape = (self.batch, self.length) + ((dim,) if kind == "input" else ())
            batch[track] = (shape, values)
            for b in range(self.batch):
                file, run = f"{name}-{b:04d}.npy", self.length * dim
                bench.write_npy(source / file, self.length, dim, values[b * run:(b + 1) * run])
                label = name if kind == "input" else f"label:{name}"
                lines.append(f"r{b:04d},p{b:04d},,{label},{RATE_HZ},{file}")
        (source / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        jmt("shard", "features", "--source", str(source), "--out", str(self.directory / "data"))
        self.batch_file = self.file("batch.safetensors")
        safetensors.write(self.batch_file, batch)

    def gradients(self, *more):
        """A file with loss, outputs and gradients of the batch, by `jmt step`; more: words for it."""
        out = self.file("gradients.safetensors")
        jmt("step", *self.words, *more, "--weights", self.weights, "--batch", self.batch_file,
            "--out", out)
        return out
