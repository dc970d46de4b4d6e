"""Writes tests/golden/vectors/backbone_*.safetensors: backbones by torchvision's own modules (the
signal network by torch.nn), in float64.

    venv/bin/pip install torch torchvision
    venv/bin/python tests/reference/write_backbones.py [NAME...]

Steps that are masked are left out before the backbone, so that no statistic can see them, and are
rows of zeros behind it. Statistics of a batch behind forty layers, and units that lie within rounding
of a kink, make a step ill-conditioned in float32. How far PyTorch's own float32 is from its float64 is
stored beside, for each tensor the furthest of RUNS: in both memory formats, of the numbers as they are
and of such that differ by a unit of float32's last place."""
import functools
import json
import os
import sys

import torch
import torchvision
from torch import nn
from torchvision.models import video

RUNS = 8  # even: contiguous, odd: channels last; but for the first two with other last places
NAMED = 1e-3  # relative; gradients that are nearer are not stored one by one

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


class Unit(nn.Module):
    """Convolution, batch norm, ReLU, padded as TensorFlow does."""

    def __init__(self, channels_in, channels, size, stride):
        super().__init__()
        self.size, self.stride = (size,) * 3, (1, stride, stride)
        self.conv3d = nn.Conv3d(channels_in, channels, self.size, self.stride, bias=False)
        self.bn = nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01)

    def forward(self, x):
        return torch.relu(self.bn(self.conv3d(same(x, self.size, self.stride))))


def same(x, size, stride):
    padding = []
    for extent, k, s in reversed(list(zip(x.shape[2:], size, stride))):
        total = max(k - s, 0) if extent % s == 0 else max(k - extent % s, 0)
        padding += [total // 2, total - total // 2]
    return nn.functional.pad(x, padding)


def pooled(x, size, stride):
    stride = (1, stride, stride)
    return nn.functional.max_pool3d(same(x, size, stride), size, stride)


class Mixed(nn.Module):
    def __init__(self, channels_in, n):
        super().__init__()
        self.b0 = Unit(channels_in, n[0], 1, 1)
        self.b1a, self.b1b = Unit(channels_in, n[1], 1, 1), Unit(n[1], n[2], 3, 1)
        self.b2a, self.b2b = Unit(channels_in, n[3], 1, 1), Unit(n[3], n[4], 3, 1)
        self.b3b = Unit(channels_in, n[5], 1, 1)

    def forward(self, x):
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)),
                          self.b3b(pooled(x, (3, 3, 3), 1))], dim=1)


class WeightNormed(nn.Module):
    def __init__(self, channels_in, channels, dilation):
        super().__init__()
        self.weight_v = nn.Parameter(torch.zeros(channels, channels_in, 5))
        self.weight_g = nn.Parameter(torch.zeros(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.dilation = dilation

    def forward(self, x):
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(1, 2), keepdim=True)
        x = nn.functional.pad(x, (4 * self.dilation, 0))
        return nn.functional.conv1d(x, weight, self.bias, dilation=self.dilation)


class Tcn(nn.ModuleDict):
    """jmt.md 1.2 (b)."""

    def __init__(self):
        super().__init__()
        for b in range(4):
            width = 1024 if b == 0 else 512
            block = nn.ModuleDict({"conv1": WeightNormed(width, 512, 2 ** b),
                                   "conv2": WeightNormed(512, 512, 2 ** b)})
            if b == 0:
                block["downsample"] = nn.Conv1d(1024, 512, 1)
            self[str(b)] = block

    def forward(self, x):
        leaky = nn.functional.leaky_relu
        for block in self.values():
            y = leaky(block["conv2"](leaky(block["conv1"](x))))
            x = leaky(y + (block["downsample"](x) if "downsample" in block else x))
        return x


class I3d(nn.Module):
    def __init__(self):
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1, self.Conv3d_2c_3x3 = Unit(64, 64, 1, 1), Unit(64, 192, 3, 1)
        self.Mixed_3b = Mixed(192, (64, 96, 128, 16, 32, 32))
        self.Mixed_3c = Mixed(256, (128, 128, 192, 32, 96, 64))
        self.Mixed_4b = Mixed(480, (192, 96, 208, 16, 48, 64))
        self.Mixed_4c = Mixed(512, (160, 112, 224, 24, 64, 64))
        self.Mixed_4d = Mixed(512, (128, 128, 256, 24, 64, 64))
        self.Mixed_4e = Mixed(512, (112, 144, 288, 32, 64, 64))
        self.Mixed_4f = Mixed(528, (256, 160, 320, 32, 128, 128))
        self.Mixed_5b = Mixed(832, (256, 160, 320, 32, 128, 128))
        self.Mixed_5c = Mixed(832, (384, 192, 384, 48, 128, 128))
        self.tcn = Tcn()

    def forward(self, x):
        x = pooled(self.Conv3d_1a_7x7(x), (1, 3, 3), 2)
        x = pooled(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), 2)
        x = pooled(self.Mixed_3c(self.Mixed_3b(x)), (3, 3, 3), 2)
        for block in (self.Mixed_4b, self.Mixed_4c, self.Mixed_4d, self.Mixed_4e, self.Mixed_4f):
            x = block(x)
        x = self.Mixed_5c(self.Mixed_5b(pooled(x, (2, 2, 2), 2)))
        x = nn.functional.avg_pool3d(x, (2,) + tuple(x.shape[3:]), 1)
        return self.tcn(x.flatten(2)).max(2).values


class Vggish(nn.Module):
    def __init__(self, frames):
        super().__init__()
        layers, width = [], 1
        for channels in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M"):
            if channels == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
                width = channels
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(nn.Linear(512 * (frames // 16) * 4, 4096), nn.ReLU(),
                                        nn.Linear(4096, 4096), nn.ReLU(),
                                        nn.Linear(4096, 128), nn.ReLU())

    def forward(self, x):
        return self.embeddings(self.features(x).permute(0, 2, 3, 1).flatten(1))


class Flatten(nn.Module):
    def forward(self, x):
        return x.flatten(1)


class IrBlock(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(channels_in), nn.Conv2d(channels_in, channels, 3, 1, 1, bias=False),
            nn.PReLU(channels), nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels))
        self.shortcut_layer = nn.MaxPool2d(1, stride) if channels_in == channels else nn.Sequential(
            nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return self.res_layer(x) + self.shortcut_layer(x)


class IrResnet50(nn.Module):
    """ArcFace's IR-50; its dropout is left out, as `jmt step` has none."""

    def __init__(self, size):
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64),
                                         nn.PReLU(64))
        blocks, width = [], 64
        for channels, count in ((64, 3), (128, 4), (256, 14), (512, 3)):
            for i in range(count):
                blocks.append(IrBlock(width, channels, 2 if i == 0 else 1))
                width = channels
            size = (size - 1) // 2 + 1
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(nn.BatchNorm2d(512), nn.Identity(), Flatten(),
                                          nn.Linear(512 * size * size, 512), nn.BatchNorm1d(512))

    def forward(self, x):
        return self.output_layer(self.body(self.input_layer(x)))


WHOLE = ("cnn_1d", "i3d", "ir_resnet_50", "vggish")


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
    if name in WHOLE:
        return {"i3d": I3d, "ir_resnet_50": lambda: IrResnet50(row[2]),
                "vggish": lambda: Vggish(clip)}[name]()
    if name == "resnet_18":
        trunk = torchvision.models.resnet18(weights=None)
        trunk.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    elif name == "resnet_50":
        trunk = torchvision.models.resnet50(weights=None)
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
    width = {"vggish": 128, "resnet_50": 2048}.get(row[0])
    front = {"stream": nn.ModuleDict({"front": nn.Linear(width, 512)})} if width else {}
    heads = nn.ModuleDict({**front, "head": nn.Sequential(nn.Linear(512, 128)),
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


def nudged(x, generator):
    """Each number as it is, or a unit of the last place up or down."""
    way = torch.randint(-1, 2, x.shape, generator=generator, dtype=x.dtype)
    return torch.where(way == 0, x, torch.nextafter(x, way * torch.inf))


def channels_last(x):
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.contiguous(memory_format=formats[x.dim()]) if x.dim() in formats else x


@functools.cache  # they take longer than the step
def weight_of(case, number, name, shape):
    return write_vectors.tensor((shape, case.weight(number, name, shape)))


def step(row, case, dtype, run=0):
    options = dict(cases._options(row[4]))
    trunk, heads = build(row, options)
    trunk.to(dtype), heads.to(dtype)
    generator = torch.Generator().manual_seed(run) if run > 1 else None

    def given(exact):
        x = exact.to(dtype)
        return nudged(x, generator) if generator and x.is_floating_point() else x

    tensors = named(trunk, heads)
    order = [(name, tuple(x.shape)) for name, x in tensors.items()]
    for number, (name, shape) in enumerate(order):
        with torch.no_grad():
            tensors[name].copy_(given(weight_of(case, number, name, shape)))
            if run % 2 == 1:
                tensors[name].data = channels_last(tensors[name].data)
    start = {name: x.detach().clone() for name, x in tensors.items()}
    trunk.train(options.get("batch_norm") in ("shard", "global"))
    for parameter in trunk.parameters():
        parameter.requires_grad_(options.get("frozen") != "true")

    steps, valid = cases.backbone_shape(row), torch.tensor([True, True, True, False])
    x = given(write_vectors.tensor(case.batch["input/stream"])).requires_grad_()
    clips = x.reshape(4, *steps)[valid].movedim(-1, 1)
    clips = channels_last(clips) if run % 2 == 1 else clips
    rows = torch.zeros(4, 512, dtype=dtype)
    made = trunk(clips) if row[0] in WHOLE else \
        reduced(trunk, places_of(trunk, clips), options.get("reduce", "max"))
    made = heads["stream"]["front"](made) if "stream" in heads else made
    rows = rows.index_put((valid.nonzero()[:, 0],), made)
    hidden = torch.relu(heads["head"][0](rows))
    outputs = {name: heads[name]["head"]["3"](hidden).reshape(2, 2) for name in ("valence", "level")}
    targets = {name: given(write_vectors.tensor(case.batch["target/" + name])) for name in outputs}
    loss = ccc_loss(outputs["valence"].flatten(), targets["valence"].flatten()) \
        + 0.3 * ((outputs["level"] - targets["level"]) ** 2).mean()
    loss.backward()
    gradients = {name: tensors[name].grad for name, _ in order
                 if isinstance(tensors[name], nn.Parameter) and tensors[name].requires_grad}
    gradients["input/stream"] = x.grad.nan_to_num()
    momentum = 0.01 if row[0] == "i3d" else 0.1
    statistics = {name: (tensors[name].detach() - (1 - momentum) * start[name]) / momentum
                  for name, _ in order
                  if name.endswith(("running_mean", "running_var")) and trunk.training}
    return order, outputs, loss, gradients, statistics


def distances(exact, single):
    """The relative difference of each tensor, but for those that are zero but for rounding."""
    norms = {name: float(x.detach().norm()) for name, x in exact.items()}
    return {name: float((single[name].double() - x).detach().norm()) / norms[name]
            for name, x in exact.items() if norms[name] > 1e-12 * max(norms.values())}


def furthest(row, case, exact):
    """Of all float32 runs: of any output, of any running statistic, and of each gradient."""
    far = {"output": 0.0, "statistics": 0.0, "gradients": {}}
    for run in range(RUNS):
        outputs, _, gradients, statistics = step(row, case, torch.float32, run)[1:]
        for kind, i, single in (("output", 0, outputs), ("statistics", 3, statistics)):
            far[kind] = max(far[kind], *distances(exact[i], single).values(), 0.0)
        for name, distance in distances(exact[2], gradients).items():
            far["gradients"][name] = max(far["gradients"].get(name, 0.0), distance)
    far["gradients"] = {name: float(f"{x:.3g}") for name, x in far["gradients"].items() if x > NAMED}
    return far


def main():
    for row, case in cases.backbones():
        if len(sys.argv) == 1 or case.name in sys.argv[1:]:
            weight_of.cache_clear()
            order, *exact = step(row, case, torch.float64)
            far = furthest(row, case, exact)
            write_vectors.write_step(case, order, *exact, extra={"float32": json.dumps(far)})


if __name__ == "__main__":
    main()
