"""Writes tests/golden/vectors/backbone_*.safetensors: backbones by torchvision's own modules (the
signal network by torch.nn), in float64.

    venv/bin/pip install torch torchvision
    venv/bin/python tests/reference/write_backbones.py [NAME...]

Steps that are masked are left out before the backbone, so that no statistic can see them, and are
rows of zeros behind it. Statistics of a batch behind forty layers make a step ill-conditioned in
float32: how far PyTorch's own float32 is from its float64 is stored beside."""
import json
import os
import sys

import torch
import torchvision
from torch import nn
from torchvision.models import video

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "golden"))

import cases  # noqa: E402
import formulas  # noqa: E402
import write_vectors  # noqa: E402


class Signal(nn.Module):
    """jmt.md 1.4."""

    def __init__(self, channels, samples, relu):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, 32, 5, stride=2)
        self.conv2 = nn.Conv1d(32, 64, 5)
        places = (((samples - 5) // 2 + 1) // 2 - 4) // 2
        self.fc1 = nn.Linear(64 * places, 512)
        self.relu = relu

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = nn.functional.max_pool1d(torch.relu(conv(x)), 2)
        x = self.fc1(x.flatten(1))
        return torch.relu(x) if self.relu else x


def places_of(trunk, x):
    """Everything in front of the published pooling: [N, 512, ...]."""
    stages = ("stem",) if hasattr(trunk, "stem") else ("conv1", "bn1", "relu", "maxpool")
    for name in stages + ("layer1", "layer2", "layer3", "layer4"):
        x = getattr(trunk, name)(x)
    return x


def trunk_of(row, options):
    name, clip, _, channels, _ = row
    if name == "cnn_1d":
        return Signal(channels, clip, options.get("fc_relu") == "true")
    if name == "resnet_18":
        trunk = torchvision.models.resnet18(weights=None)
        trunk.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    else:
        trunk = getattr(video, name)(weights=None)
    del trunk.avgpool
    trunk.fc = None
    return trunk


def reduced(trunk, x, rule):
    if rule == "flatten":
        return trunk.fc(x.flatten(1))
    x = x.flatten(2)
    return x.mean(2) if rule == "average" else x.max(2).values


def build(row, options):
    """The backbone and the heads behind it."""
    trunk = trunk_of(row, options)
    shape = cases.backbone_shape(row)
    if options.get("reduce") == "flatten":
        with torch.no_grad():
            probe = places_of(trunk.eval(), torch.zeros(1, shape[-1], *shape[:-1]))
        trunk.fc = nn.Linear(probe.numel(), 512)
    heads = nn.ModuleDict({"head": nn.Sequential(nn.Linear(512, 128)),
                           "valence": nn.ModuleDict({"head": nn.ModuleDict({"3": nn.Linear(128, 1)})}),
                           "level": nn.ModuleDict({"head": nn.ModuleDict({"3": nn.Linear(128, 1)})})})
    return trunk, heads


def named(trunk, heads):
    tensors = {"stream.backbone." + name: x for name, x in trunk.state_dict(keep_vars=True).items()
               if not name.endswith("num_batches_tracked")}
    tensors.update(heads.state_dict(keep_vars=True))
    return tensors


def ccc_loss(x, y):
    mx, my = x.mean(), y.mean()
    covariance = ((x - mx) * (y - my)).mean()
    return 1 - 2 * covariance / (x.var(unbiased=False) + y.var(unbiased=False) + (mx - my) ** 2
                                 + 1e-8)


def step(row, case, dtype):
    options = dict(cases._options(row[4]))
    trunk, heads = build(row, options)
    trunk.to(dtype), heads.to(dtype)

    def given(entry):
        return write_vectors.tensor(entry).to(dtype)

    tensors = named(trunk, heads)
    order = [(name, tuple(x.shape)) for name, x in tensors.items()]
    for number, (name, shape) in enumerate(order):
        with torch.no_grad():
            tensors[name].copy_(given((shape, case.weight(number, name, shape))))
    trunk.train(options.get("batch_norm") == "shard")
    for parameter in trunk.parameters():
        parameter.requires_grad_(options.get("frozen") != "true")

    steps, valid = cases.backbone_shape(row), torch.tensor([True, True, True, False])
    x = given(case.batch["input/stream"]).requires_grad_()
    clips = x.reshape(4, *steps)[valid].movedim(-1, 1)
    rows = torch.zeros(4, 512, dtype=dtype)
    made = trunk(clips) if row[0] == "cnn_1d" else \
        reduced(trunk, places_of(trunk, clips), options.get("reduce", "max"))
    rows = rows.index_put((valid.nonzero()[:, 0],), made)
    hidden = torch.relu(heads["head"][0](rows))
    outputs = {name: heads[name]["head"]["3"](hidden).reshape(2, 2) for name in ("valence", "level")}
    targets = {name: given(case.batch["target/" + name]) for name in outputs}
    loss = ccc_loss(outputs["valence"].flatten(), targets["valence"].flatten()) \
        + 0.3 * ((outputs["level"] - targets["level"]) ** 2).mean()
    loss.backward()
    gradients = {name: tensors[name].grad for name, _ in order
                 if isinstance(tensors[name], nn.Parameter) and tensors[name].requires_grad}
    gradients["input/stream"] = x.grad.nan_to_num()
    statistics = {name: (tensors[name].detach() - 0.9 * given(
        (shape, case.weight(number, name, shape)))) / 0.1
                  for number, (name, shape) in enumerate(order)
                  if name.endswith(("running_mean", "running_var")) and trunk.training}
    return order, outputs, loss, gradients, statistics


def furthest(exact, single):
    """The largest relative difference of a tensor."""
    return max((float(((single[name].double() - x).norm() / x.norm()).detach())
                for name, x in exact.items() if float(x.detach().norm()) > 0), default=0.0)


def main():
    for row, case in cases.backbones():
        if len(sys.argv) == 1 or case.name in sys.argv[1:]:
            order, *exact = step(row, case, torch.float64)
            single = step(row, case, torch.float32)[1:]
            far = {kind: furthest(exact[i], single[i])
                   for kind, i in (("output", 0), ("gradient", 2), ("statistics", 3))}
            write_vectors.write_step(case, order, *exact, extra={"float32": json.dumps(far)})


if __name__ == "__main__":
    main()
