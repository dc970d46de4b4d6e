"""Shards as PyTorch sees them: read with h5py, cut into windows, standardised, all of it written
from the data section of the documentation and not from the program's reader."""
import glob
import os

import h5py
import numpy as np


class Recording:
    def __init__(self, name, subject, mark):
        self.name, self.subject, self.mark = name, subject, mark
        self.tracks = {} # name -> (values [T, D] float32, valid [T] bool)

    def steps(self):
        return max(len(values) for values, _ in self.tracks.values())


def read_shards(directory, modalities, targets):
    """Recordings in order of shards."""
    recordings = []
    for path in sorted(glob.glob(os.path.join(directory, "*.h5"))):
        with h5py.File(path, "r") as file:
            columns = [[text.decode() for text in file["recordings/" + name][:]]
                       for name in ("name", "subject", "split")]
            own = [Recording(*row) for row in zip(*columns)]
            for group, names in (("modalities", modalities), ("targets", targets)):
                for name in names:
                    track = file[f"{group}/{name}"]
                    values, valid = track["values"][:], track["valid"][:] != 0
                    for recording, span in zip(own, track["index"][:]):
                        part = slice(int(span["offset"]), int(span["offset"] + span["length"]))
                        recording.tracks[name] = (values[part], valid[part])
            recordings += own
    return recordings


def windows_of(steps, window, stride):
    """[(first, scored_from)]: the last window is moved back to end with the recording; a step
    covered twice is scored in the earlier window."""
    firsts = [0]
    while firsts[-1] + window < steps:
        firsts.append(min(firsts[-1] + stride, steps - window))
    scored, out = 0, []
    for first in firsts:
        out.append((first, scored))
        scored = first + window
    return out


class Dataset:
    """Samples of a split; train_samples: the `samples` of `jmt plan CONFIG --order E --json`, which
    say which recordings are trained on; the rest of those marked train are held out for
    validation."""

    def __init__(self, config, spec, train_samples):
        self.window = config["data"]["window"]
        self.stride = config["data"]["stride"] or self.window
        self.modalities, self.targets = spec.inputs, list(spec.targets)
        self.recordings = read_shards(config["data"]["path"], self.modalities, self.targets)
        trained = {sample["recording"] for sample in train_samples}
        split = {True: [], False: [], "test": []}
        for recording in self.recordings:
            key = "test" if recording.mark == "test" else recording.name in trained
            split[key].append(recording)
        self.splits = {"train": split[True], "valid": split[False], "test": split["test"]}
        people = {name: {r.subject for r in rows} for name, rows in self.splits.items()}
        for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")):
            if people[a] & people[b]:
                raise ValueError(f"people in both {a} and {b}: {sorted(people[a] & people[b])}")
        self.samples = {name: [(r, first, scored) for r in rows
                               for first, scored in windows_of(r.steps(), self.window, self.stride)]
                        for name, rows in self.splits.items()}
        listed = [(s["recording"], s["first_step"]) for s in train_samples]
        if [(r.name, first) for r, first, _ in self.samples["train"]] != listed:
            raise ValueError("the program cuts the training recordings into other windows")
        self.mean, self.scale = {}, {}
        if config["data"]["standardize"] == "train":
            self.standardize()

    def standardize(self):
        for name in self.modalities:
            rows = np.concatenate([values[valid] for values, valid in
                                   (r.tracks[name] for r in self.splits["train"])]).astype(float)
            deviation = rows.std(axis=0)
            self.mean[name] = rows.mean(axis=0)
            self.scale[name] = np.where(deviation > 1e-9 * np.abs(self.mean[name]) + 1e-12,
                                        1 / np.maximum(deviation, 1e-300), 1.0)

    def read(self, split, number):
        """features {name: [L, D]}, masks {name: [L]}, targets {name: [L], NaN: none}"""
        recording, first, scored = self.samples[split][number]
        features, masks, targets = {}, {}, {}
        for name in self.modalities + self.targets:
            values, valid = recording.tracks[name]
            part = values[first:first + self.window].astype(float)
            ok = valid[first:first + self.window]
            x = np.zeros((self.window, values.shape[1]))
            mask = np.zeros(self.window, bool)
            mask[:len(ok)] = ok
            if name in self.targets:
                x[:] = np.nan
                x[:len(ok)][ok] = part[ok]
                x[:max(scored - first, 0)] = np.nan
                targets[name] = x[:, 0]
                continue
            if name in self.mean:
                part = (part - self.mean[name]) * self.scale[name]
            x[:len(ok)][ok] = part[ok]
            features[name], masks[name] = x, mask
        return features, masks, targets
