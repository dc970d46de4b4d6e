"""Shards as PyTorch sees them: read with h5py, dealt to splits, brought to one clock, cut into windows,
standardised, all of it written from the pages of data-sharding and not from the program's reader."""
import glob
import math
import os

import h5py
import numpy as np

from random_numbers import permutation

SPLITS = ("train", "valid", "test")
SLACK = 1e-6 # of a period: rates such as 1 / 0.2 are not exact in binary


class Track:
    def __init__(self, values, valid, rate, start):
        self.values, self.valid, self.rate, self.start = values, valid, rate, start


class Recording:
    def __init__(self, name, subject, mark):
        self.name, self.subject, self.mark = name, subject, mark
        self.tracks = {} # those that are there

    def set_clock(self, targets, rate):
        """From the first to the last of the targets, or of everything where there is no target."""
        lines = [self.tracks[t] for t in targets if t in self.tracks] or list(self.tracks.values())
        self.start = min(t.start for t in lines)
        self.rate = rate or lines[0].rate
        end = max(t.start + len(t.values) / t.rate for t in lines)
        self.steps = math.ceil((end - self.start) * self.rate - SLACK)

    def at_clock(self, name):
        """values [steps, D] and valid [steps] at each step: the last sample known, if it is valid."""
        track = self.tracks[name]
        sample = np.floor((self.start - track.start) * track.rate
                          + np.arange(self.steps) * (track.rate / self.rate) + SLACK).astype(int)
        there = (sample >= 0) & (sample < len(track.values))
        sample = np.where(there, sample, 0)
        valid = there & track.valid[sample]
        return np.where(valid[:, None], track.values[sample].astype(float), 0.0), valid


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
                        if span["length"] > 0:
                            recording.tracks[name] = Track(values[part], valid[part],
                                                           float(span["rate_hz"]),
                                                           float(span["start_s"]))
            recordings += own
    return recordings


def deal(recordings, split):
    """{recording: split}: marks or folds, then people held out for validation."""
    people = list(dict.fromkeys(r.subject for r in recordings)) # by first recording
    seed, tested = split["seed"], set()

    def hold_out(candidates, name, fraction):
        count = min(max(math.floor(fraction * len(candidates) + 0.5), 1), len(candidates) - 1)
        order = permutation(seed, name, len(candidates))
        return {candidates[i] for i in order[:count if fraction > 0 else 0]}

    if split["folds"] != 0:
        folds = len(people) if split["folds"] < 0 else split["folds"]
        order = permutation(seed, "folds", len(people))
        tested = {people[subject] for place, subject in enumerate(order)
                  if place % folds == split["fold"]}
    elif any(r.mark for r in recordings):
        tested = {r.subject for r in recordings if r.mark == "test"}
    else:
        tested = hold_out(people, "test", split["test_fraction"])
    held = hold_out([p for p in people if p not in tested], "valid", split["valid_fraction"])
    return {r: "test" if r.subject in tested else "valid" if r.subject in held else "train"
            for r in recordings}


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


class Samples:
    """A split: who [N] (recording, first step), features {name: [N, L, D]}, masks {name: [N, L]},
    targets {name: [N, L], NaN: none}."""

    def __init__(self):
        self.who, self.features, self.masks, self.targets = [], {}, {}, {}


class Dataset:
    def __init__(self, config, spec):
        data = config["data"]
        self.window, self.stride = data["window"], data["stride"] or data["window"]
        self.modalities, self.targets = spec.inputs, list(spec.targets)
        recordings = read_shards(data["path"], self.modalities, self.targets)
        for recording in recordings:
            recording.set_clock(self.targets, data["rate_hz"])
        split = deal(recordings, config["split"])
        scales = self.scales(data["standardize"], recordings, split)
        self.splits = {name: self.samples([r for r in recordings if split[r] == name], scales)
                       for name in SPLITS}
        self.train_labels = {name: np.concatenate([self.labels(r, name) for r in recordings
                                                   if split[r] == "train"])
                             for name in self.targets}
        self.subjects = {name: {r.subject for r in recordings if split[r] == name}
                         for name in self.splits}
        if data["permute_labels"]:
            within = data["permute_within"] == "person"
            person = {r.name: r.subject if within else "" for r in recordings}
            for number, name in enumerate(SPLITS[:2]): # the test people keep theirs
                self.permute(config["seed"], number, self.splits[name], person)

    def scales(self, kind, recordings, split):
        """{(subject, modality): (mean, factor)}: of the training people's steps, or of all that was
        recorded of the person."""
        scales = {}
        for name in self.modalities if kind != "none" else []:
            groups = {}
            for r in recordings:
                if name not in r.tracks:
                    continue
                if kind == "person":
                    track = r.tracks[name]
                    groups.setdefault(r.subject, []).append(track.values[track.valid])
                elif split[r] == "train":
                    values, valid = r.at_clock(name)
                    groups.setdefault("all", []).append(values[valid])
            constant = 0.0 if kind == "person" else 1.0
            for key, rows in groups.items():
                rows = np.concatenate(rows).astype(float)
                mean, variance = rows.mean(axis=0), rows.var(axis=0)
                varies = variance > 1e-12 * (mean * mean + 1e-12)
                factor = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), constant)
                for subject in {r.subject for r in recordings} if key == "all" else [key]:
                    scales[subject, name] = (mean, factor)
        return scales

    def permute(self, seed, number, samples, person):
        """The control: steps with a label exchange theirs, all targets together, among those of a
        person; people are numbered as they come."""
        owner = np.repeat([person[name] for name, _ in samples.who], self.window)
        flat = {name: samples.targets[name].reshape(-1) for name in self.targets}
        labelled = np.any([~np.isnan(labels) for labels in flat.values()], axis=0)
        for i, who in enumerate(dict.fromkeys(owner)):
            places = np.flatnonzero((owner == who) & labelled)
            order = permutation(seed, "permute_labels", len(places), i * len(SPLITS) + number)
            for labels in flat.values():
                labels[places] = labels[places[order]]

    def labels(self, recording, name):
        if name not in recording.tracks:
            return np.zeros(0)
        values, valid = recording.at_clock(name)
        return values[valid, 0]

    def samples(self, recordings, scales):
        out, parts = Samples(), {}
        for r in recordings:
            tracks = {name: r.at_clock(name) for name in self.modalities + self.targets
                      if name in r.tracks}
            for first, scored in windows_of(r.steps, self.window, self.stride):
                self.add_window(out, parts, r, tracks, scales, first, scored)
        for name in self.modalities:
            out.features[name] = np.stack([x for x, _ in parts[name]])
            out.masks[name] = np.stack([mask for _, mask in parts[name]])
        for name in self.targets:
            out.targets[name] = np.stack(parts[name])
        return out

    def add_window(self, out, parts, r, tracks, scales, first, scored):
        labels = {name: np.full(self.window, np.nan) for name in self.targets}
        for name in self.targets:
            if name in tracks:
                values, valid = (part[first:first + self.window] for part in tracks[name])
                labels[name][:len(valid)][valid] = values[valid, 0]
                labels[name][:max(scored - first, 0)] = np.nan
        if all(np.isnan(label).all() for label in labels.values()):
            return
        out.who.append((r.name, first))
        for name in self.targets:
            parts.setdefault(name, []).append(labels[name])
        for name in self.modalities:
            dim = r.tracks[name].values.shape[1]
            x, mask = np.zeros((self.window, dim)), np.zeros(self.window, bool)
            values, valid = (part[first:first + self.window] for part in tracks[name])
            mean, factor = scales.get((r.subject, name), (0.0, 1.0))
            mask[:len(valid)] = valid
            x[:len(valid)][valid] = (values[valid] - mean) * factor
            parts.setdefault(name, []).append((x, mask))
