"""Writes tests/golden/vectors/operations.safetensors: single operations by torch.nn in float64, in
and out, as rows of channels (channels last).

    python3 tests/reference/write_operations.py

OPERATION/CASE/settings holds what tests/unit/test_op_vectors.c makes a description of."""
import array
import os
import sys

import torch
from torch.nn import functional

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import safetensors  # noqa: E402

NONE = (1, 1, 1, 1, 0, 0)
# samples, channels in and out, groups, relu, bias, axes: extent, size, stride, dilation, padding
# before and after
CONVOLUTIONS = {
    "stem": (2, 3, 5, 1, True, False, ((3, 1, 1, 1, 0, 0), (9, 7, 2, 1, 3, 3), (11, 7, 2, 1, 3, 3))),
    "temporal": (2, 5, 6, 1, True, True, ((5, 3, 1, 1, 1, 1), (2, 1, 1, 1, 0, 0), (3, 1, 1, 1, 0, 0))),
    "spatial": (1, 4, 9, 1, False, False, ((3, 1, 1, 1, 0, 0), (5, 3, 2, 1, 1, 1), (6, 3, 2, 1, 1, 1))),
    "cube": (2, 3, 4, 1, True, True, ((5, 3, 2, 1, 1, 1), (4, 3, 2, 1, 1, 1), (5, 3, 2, 1, 1, 1))),
    "shortcut": (2, 6, 7, 1, False, False, ((3, 1, 2, 1, 0, 0), (4, 1, 2, 1, 0, 0), (5, 1, 2, 1, 0, 0))),
    "same": (1, 3, 4, 1, True, False, ((5, 7, 1, 1, 3, 3), (6, 7, 2, 1, 2, 3), (7, 2, 2, 1, 0, 1))),
    "image": (2, 1, 8, 1, True, True, (NONE, (12, 7, 2, 1, 3, 3), (15, 7, 2, 1, 3, 3))),
    "groups": (2, 6, 4, 2, False, True, (NONE, (6, 3, 1, 2, 2, 2), (5, 2, 3, 1, 1, 0))),
    "causal": (2, 4, 5, 1, False, True, (NONE, NONE, (11, 5, 1, 2, 8, 0))),
    "strided": (3, 2, 3, 1, True, False, (NONE, NONE, (23, 9, 4, 3, 5, 2))),
}

# rule, samples, channels, axes as above (of adaptive: extent and output)
POOLS = {
    "max_3d": ("max", 2, 5, ((5, 3, 2, 1, 1, 1), (6, 3, 2, 1, 1, 1), (7, 3, 2, 1, 1, 1))),
    "max_frames": ("max", 1, 4, ((3, 1, 1, 1, 0, 0), (6, 3, 2, 1, 0, 1), (7, 3, 2, 1, 1, 1))),
    "max_2d": ("max", 2, 3, (NONE, (8, 3, 2, 1, 1, 1), (9, 3, 2, 1, 1, 1))),
    "max_1d": ("max", 2, 3, (NONE, NONE, (13, 3, 2, 2, 1, 1))),
    "average_3d": ("average", 2, 3, ((4, 2, 1, 1, 0, 0), (7, 7, 1, 1, 0, 0), (7, 7, 1, 1, 0, 0))),
    "average_2d": ("average", 2, 3, (NONE, (8, 3, 2, 1, 1, 1), (7, 3, 2, 1, 1, 1))),
    "average_1d": ("average", 2, 3, (NONE, NONE, (11, 4, 3, 1, 2, 2))),
    "inside_2d": ("inside", 2, 3, (NONE, (8, 3, 2, 1, 1, 1), (7, 3, 2, 1, 1, 1))),
    "adaptive_3d": ("adaptive", 2, 3, ((5, 2), (7, 3), (4, 4))),
    "adaptive_1d": ("adaptive", 2, 3, (NONE, NONE, (5, 8))),
    "global_2d": ("adaptive", 2, 5, (NONE, (4, 1), (7, 1))),
}
RULES = ("max", "average", "inside", "adaptive")
# rows, channels, training, epsilon
NORMS = {"shard": (23, 7, True, 1e-5), "frozen": (23, 7, False, 1e-3), "wide": (9, 70, True, 1e-3)}


def flat(x):
    return array.array("d", x.detach().reshape(-1).tolist())


def rank_of(axes):
    return 3 if axes[0] != NONE else 2 if axes[1] != NONE else 1


def numbers(*shape):
    return (2 * torch.rand(*shape, dtype=torch.float64) - 1).requires_grad_()


def channels_first(x, axes, rank):
    """Rows of channels -> what torch takes, of so many dimensions."""
    extents = [axis[0] for axis in axes]
    x = x.reshape(-1, *extents[3 - rank:], x.shape[1])
    return x.movedim(-1, 1)


def rows_of(x):
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def padding_of(axes, rank):
    """As functional.pad takes it: the last axis first."""
    return [side for axis in reversed(axes[3 - rank:]) for side in axis[4:]]


def axis_settings(axes, extents_out):
    settings = []
    for axis, out in zip(axes, extents_out):
        extent, size, stride, dilation, before, _ = axis
        settings += [extent, out, size, stride, dilation, before]
    return settings


def backward(y, dy, **leaves):
    gradients = torch.autograd.grad((y * dy).sum(), list(leaves.values()))
    return {"d_" + name: gradient for name, gradient in zip(leaves, gradients)}


def store(tensors, name, settings, values):
    tensors[name + "/settings"] = ((len(settings),), array.array("q", settings))
    for key, x in values.items():
        tensors[f"{name}/{key}"] = (tuple(x.shape), flat(x))


def convolution(tensors, name, case):
    samples, channels, out, groups, relu, has_bias, axes = case
    rank = rank_of(axes)
    used = axes[3 - rank:]
    x = numbers(samples * axes[0][0] * axes[1][0] * axes[2][0], channels)
    weight = numbers(out, channels // groups, *[axis[1] for axis in used])
    leaves = {"x": x, "weight": weight}
    if has_bias:
        leaves["bias"] = numbers(out)
    padded = functional.pad(channels_first(x, axes, rank), padding_of(axes, rank))
    run = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    y = run(padded, weight, leaves.get("bias"), stride=[axis[2] for axis in used],
            dilation=[axis[3] for axis in used], groups=groups)
    extents = [1] * (3 - rank) + list(y.shape[2:])
    y = rows_of(functional.relu(y) if relu else y)
    dy = numbers(*y.shape)
    settings = [groups, int(relu), int(has_bias)] + axis_settings(axes, extents)
    store(tensors, "conv/" + name, settings,
          {**leaves, "y": y, "dy": dy, **backward(y, dy, **leaves)})


def pool(tensors, name, case):
    rule, samples, channels, axes = case
    rank = rank_of(axes)
    used = axes[3 - rank:]
    x = numbers(samples * axes[0][0] * axes[1][0] * axes[2][0], channels)
    grid = channels_first(x, axes, rank)
    if rule == "adaptive":
        run = getattr(functional, f"adaptive_avg_pool{rank}d")
        y = run(grid, [axis[1] for axis in used])
        axes = tuple((axis[0], 1, 1, 1, 0, 0) for axis in axes)
    elif rule == "max":
        padded = functional.pad(grid, padding_of(axes, rank), value=-float("inf"))
        y = getattr(functional, f"max_pool{rank}d")(
            padded, [axis[1] for axis in used], [axis[2] for axis in used],
            dilation=[axis[3] for axis in used])
    else:
        y = getattr(functional, f"avg_pool{rank}d")(
            grid, [axis[1] for axis in used], [axis[2] for axis in used],
            padding=[axis[4] for axis in used], count_include_pad=rule == "average")
    extents = [1] * (3 - rank) + list(y.shape[2:])
    y = rows_of(y)
    dy = numbers(*y.shape)
    store(tensors, "pool/" + name, [RULES.index(rule)] + axis_settings(axes, extents),
          {"x": x, "y": y, "dy": dy, **backward(y, dy, x=x)})


def norm(tensors, name, case):
    rows, channels, training, epsilon = case
    x = (3 * numbers(rows, channels) + torch.linspace(-2, 2, channels)).detach().requires_grad_()
    leaves = {"x": x, "weight": numbers(channels), "bias": numbers(channels)}
    mean, var = numbers(channels).detach(), torch.rand(channels, dtype=torch.float64) + 0.5
    statistics = {"running_mean": mean.clone(), "running_var": var.clone()}
    # a momentum of 1 leaves the batch's own statistics
    y = functional.batch_norm(x, mean, var, leaves["weight"], leaves["bias"], training, 1.0, epsilon)
    dy = numbers(*y.shape)
    store(tensors, "batch_norm/" + name, [int(training), round(1 / epsilon)],
          {**leaves, **statistics, "y": y, "dy": dy, **backward(y, dy, **leaves),
           "d_running_mean": mean, "d_running_var": var})


def main():
    torch.manual_seed(1)
    tensors = {}
    for name, case in CONVOLUTIONS.items():
        convolution(tensors, name, case)
    for name, case in POOLS.items():
        pool(tensors, name, case)
    for name, case in NORMS.items():
        norm(tensors, name, case)
    path = os.path.join(ROOT, "tests", "golden", "vectors", "operations.safetensors")
    safetensors.write(path, tensors, {
        "made_by": f"tests/reference/write_operations.py, torch {torch.__version__}, float64"})
    print(f"{path}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()
