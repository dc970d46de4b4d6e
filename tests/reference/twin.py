"""Trains a model of the program again in PyTorch: same configuration, initial weights (`jmt
export`), sample order (`jmt plan --order`) and data; optimiser, schedule, loss, dropout's masks,
validation and early stopping written anew."""
import functools
import json
import math
import os
import subprocess
import tempfile

import numpy as np
import torch

import models
import safetensors
from dataset import Dataset
from random_numbers import check_philox, permutation, uniforms


# --- scores ---------------------------------------------------------------------------------------

def ccc(x, y):
    dx, dy = x - x.mean(), y - y.mean()
    return float(2 * (dx * dy).mean() / ((dx * dx).mean() + (dy * dy).mean()
                                         + (x.mean() - y.mean()) ** 2 + 1e-8))


def recalls(told, y):
    return [float((told[y == c] == c).double().mean()) for c in y.unique()]


def sequences_ccc(x, y, recordings):
    """Mean over recordings."""
    parts = [ccc(x[recordings == r], y[recordings == r]) for r in dict.fromkeys(recordings)]
    return sum(parts) / len(parts)


def scores_of(spec, outputs, targets, who):
    """Of every label; who: (recording, first step) of each sample."""
    scores = {}
    for name, target in spec.targets.items():
        valid = ~torch.isnan(targets[name])
        x, y = outputs[name][valid], targets[name][valid]
        if target["loss"] in ("cross_entropy", "binary_cross_entropy"):
            told = x.argmax(dim=1) if target["loss"] == "cross_entropy" else (x > 0).long()
            each = recalls(told, y.long())
            scores[name] = {"accuracy": float((told == y.long()).double().mean()),
                            "uar": sum(each) / len(each)}
        else:
            recording = np.repeat([r for r, _ in who], valid.sum(dim=1))
            scores[name] = {"ccc": ccc(x.double(), y.double()),
                            "ccc_per_sequence": sequences_ccc(x.double(), y.double(), recording),
                            "mae": float((x - y).abs().double().mean())}
    return scores


# --- the run --------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=4096)
def kept(seed, name, step, shape, p):
    """What dropout keeps: the same for every fold of a seed."""
    return torch.from_numpy(uniforms(seed, name, step, math.prod(shape)) >= p).reshape(shape)


class Twin:
    def __init__(self, jmt, arguments, dtype=torch.float64, torch_dropout=False):
        """arguments: CONFIG [--set K=V]... torch_dropout: masks of its own, to be timed."""
        check_philox()
        self.jmt, self.arguments, self.dtype = jmt, list(arguments), dtype
        self.torch_dropout = torch_dropout
        self.config = self.resolve(jmt, arguments)
        self.spec = models.Spec(self.config)
        self.data = Dataset(self.config, self.spec)
        self.check_order()
        self.balance()
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "initial.safetensors")
            self.run("export", "--out", path)
            tensors, _ = safetensors.read(path)
        self.initial = tensors
        shapes = models.shapes(self.spec)
        assert {name: shape for name, shape in shapes} == {n: s for n, (s, _) in tensors.items()}
        self.p = {name: torch.tensor(tensors[name][1].tolist(), dtype=dtype).reshape(shape)
                  .requires_grad_() for name, shape in shapes}
        self.optimizer = self.make_optimizer()
        self.step = 0

    def run(self, command, *more):
        words = [self.jmt, command] + self.arguments + list(more)
        return subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout

    @staticmethod
    def resolve(jmt, arguments):
        words = [jmt, "config"] + list(arguments) + ["--json"]
        return json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)

    def order(self, epoch):
        if self.config["shuffle"] != "global": # the program alone tells
            return json.loads(self.run("plan", "--order", str(epoch), "--json"))["order"]
        return permutation(self.config["seed"], "shuffle", len(self.data.splits["train"].who), epoch)

    def check_order(self):
        """The program must train on the same windows in the same order."""
        plan = json.loads(self.run("plan", "--order", "0", "--json"))
        listed = [(s["recording"], s["first_step"]) for s in plan["samples"]]
        if self.data.splits["train"].who != listed:
            raise ValueError("the program trains on other windows")
        if self.order(0) != plan["order"]:
            raise ValueError("the program takes them in another order")

    def balance(self):
        """Weights of classes that are to be counted, from every label of the people trained on."""
        for name, target in self.spec.targets.items():
            if target["class_weights"] != "balanced":
                continue
            labels = self.data.train_labels[name].astype(int)
            counts = np.bincount(labels, minlength=target["classes"])
            target["class_weights"] = (
                [float(counts[0] / counts[1])] if target["loss"] == "binary_cross_entropy"
                else [float(counts.sum() / (len(counts) * n)) for n in counts])

    def make_optimizer(self):
        o = self.config["optimizer"]
        parameters, decay = list(self.p.values()), o["weight_decay"]
        if o["name"] == "sgd":
            return torch.optim.SGD(parameters, lr=0.0, momentum=o["momentum"], weight_decay=decay,
                                   nesterov=o["nesterov"] and o["momentum"] > 0)
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[o["name"]]
        return kind(parameters, lr=0.0, betas=(o["beta1"], o["beta2"]), eps=o["epsilon"],
                    weight_decay=decay, foreach=True)

    def learning_rate(self, epoch):
        s, rate = self.config["schedule"], self.config["optimizer"]["learning_rate"]
        if s["name"] == "step":
            rate *= s["gamma"] ** (epoch // s["step_epochs"])
        elif s["name"] == "cosine":
            rate *= (1 + math.cos(math.pi * epoch / self.config["epochs"])) / 2
        rate = max(rate, s["min_learning_rate"])
        return rate * min(1.0, (self.step + 1) / max(s["warmup_steps"], 1))

    def batch(self, split, numbers):
        samples, numbers = self.data.splits[split], list(numbers)

        def part(arrays, name, dtype):
            return torch.tensor(arrays[name][numbers], dtype=dtype)

        inputs = [part(samples.features, name, self.dtype) for name in self.spec.inputs]
        masks = [part(samples.masks, name, torch.bool) for name in self.spec.inputs]
        return inputs, masks, {name: part(samples.targets, name, self.dtype)
                               for name in self.spec.targets}

    def dropout(self, name, x):
        p = self.config["model"]["dropout" if name.endswith(".dropout") else "head_dropout"]
        if ".front." in name:
            p = self.config["modalities"][name.split(".")[0]]["tcn_dropout"]
        if p == 0:
            return x
        if self.torch_dropout:
            return torch.nn.functional.dropout(x, p)
        return x * kept(self.config["seed"], name, self.step, tuple(x.shape), p) / (1 - p)

    def drop_modalities(self, inputs, masks, numbers):
        """Hides modalities of samples; of those that are there the one with the largest number stays.
        Two that are made one go together."""
        p, count = self.config["model"]["modality_dropout"], len(self.spec.modalities)
        feeds = [s for s, name in enumerate(self.spec.modalities) for _ in self.spec.parts[name]]
        for row, number in enumerate(numbers if p > 0 else []):
            u = uniforms(self.config["seed"], "modality_dropout", self.step,
                         (number + 1) * count)[number * count:]
            there = {feeds[i] for i in range(len(inputs)) if bool(masks[i][row].any())}
            stays = max(there, key=lambda m: u[m]) if there else -1
            for i, m in enumerate(feeds):
                if u[m] < p and m != stays:
                    inputs[i][row] = 0
                    masks[i][row] = False

    def train_step(self, epoch, numbers):
        inputs, masks, targets = self.batch("train", numbers)
        self.drop_modalities(inputs, masks, numbers)
        self.optimizer.zero_grad()
        outputs = models.forward(self.p, self.spec, inputs, masks, self.dropout)
        loss = models.loss_of(self.spec, outputs, targets)
        loss.backward()
        norm = math.sqrt(sum(float((x.grad.double() ** 2).sum()) for x in self.p.values()))
        clip = self.config["optimizer"]["clip_norm"]
        if clip > 0 and norm > clip:
            for x in self.p.values():
                x.grad *= clip / norm
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(epoch)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach()), norm

    def train_epoch(self, epoch, steps=None):
        """[(loss, gradient norm)] of the epoch, or of its first steps."""
        order, size = self.order(epoch), self.config["batch"]
        batches = [order[i:i + size] for i in range(0, len(order), size)]
        return [self.train_step(epoch, numbers) for numbers in batches[:steps]]

    def outputs(self, split, at_once=256):
        """{target: all samples' outputs}, targets"""
        count, parts = len(self.data.splits[split].who), []
        with torch.no_grad():
            for first in range(0, count, at_once):
                inputs, masks, _ = self.batch(split, range(first, min(first + at_once, count)))
                parts.append(models.forward(self.p, self.spec, inputs, masks))
        outputs = {name: torch.cat([part[name] for part in parts]) for name in self.spec.targets}
        return outputs, self.batch(split, range(count))[2]

    def evaluate(self, split):
        """scores by target, and the loss over the whole split"""
        outputs, targets = self.outputs(split)
        loss = float(models.loss_of(self.spec, outputs, targets))
        return scores_of(self.spec, outputs, targets, self.data.splits[split].who), loss

    def selected(self, scores, loss):
        """The value of select_on, larger is better."""
        words = self.config["select_on"].split(".")
        if words == ["auto"]:
            words = ["ccc" if any("ccc" in s for s in scores.values()) else "accuracy"]
        if words == ["loss"]:
            return -loss
        rows = [scores[words[0]]] if len(words) == 2 else scores.values()
        values = [row[words[-1]] for row in rows if words[-1] in row]
        value = sum(values) / len(values)
        return -value if words[-1] == "mae" else value

    def train(self, log=lambda epoch, rows, scores: None):
        """Early stopping as configured; leaves the best epoch's weights in place. Their epoch."""
        best, best_epoch, best_p, bad = -math.inf, -1, None, 0
        patience = self.config["early_stopping"]["patience"]
        for epoch in range(self.config["epochs"]):
            rows = self.train_epoch(epoch)
            scores, loss = self.evaluate("valid")
            value = self.selected(scores, loss)
            bad = 0 if value > best else bad + 1
            if value > best:
                best, best_epoch = value, epoch
                best_p = {name: x.detach().clone() for name, x in self.p.items()}
            log(epoch, rows, scores)
            if patience > 0 and bad >= patience:
                break
        with torch.no_grad():
            for name, x in self.p.items():
                x.copy_(best_p[name])
        return best_epoch
