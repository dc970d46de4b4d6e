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


def main():
    torch.manual_seed(1)
    tensors = {}
    for name, case in CONVOLUTIONS.items():
        convolution(tensors, name, case)
    path = os.path.join(ROOT, "tests", "golden", "vectors", "operations.safetensors")
    safetensors.write(path, tensors, {
        "made_by": f"tests/reference/write_operations.py, torch {torch.__version__}, float64"})
    print(f"{path}: {len(tensors)} tensors")


if __name__ == "__main__":
    main()
