"""Writes tests/golden/vectors/*.safetensors from the PyTorch reference in float64.

    python3 tests/reference/write_vectors.py [--jmt build/jmt] [NAME...]

The program gives the resolved configuration alone; names, order, shapes, outputs, loss and
gradients come from models.py. A file holds output/TARGET and loss in full and one sketch per
gradient."""
import argparse
import array
import json
import os
import subprocess
import sys
import tempfile

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "golden"))

import cases  # noqa: E402
import formulas  # noqa: E402
import models  # noqa: E402
import models_check  # noqa: E402
import safetensors  # noqa: E402


def tensor(entry):
    shape, values = entry
    return torch.tensor(values.tolist(), dtype=torch.float64).reshape(shape)


def flat(x):
    return array.array("d", x.detach().reshape(-1).tolist())


def resolved(jmt, case, directory):
    words = [jmt, "config"] + case.arguments(directory) + ["--json"]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)


def reference_step(spec, case):
    shapes = models.shapes(spec)
    p = {name: tensor((shape, case.weight(number, name, shape))).requires_grad_()
         for number, (name, shape) in enumerate(shapes)}
    inputs, masks = [], []
    for name in spec.inputs:
        shape = case.batch["input/" + name][0]
        inputs.append(tensor(case.batch["input/" + name]).requires_grad_())
        mask = case.batch.get("mask/" + name)
        masks.append(torch.ones(shape[:2], dtype=torch.bool) if mask is None else tensor(mask) != 0)
    outputs = models.forward(p, spec, inputs, masks)
    if any(name.startswith("cotangent/") for name in case.batch):
        loss = sum((outputs[name] * tensor(case.batch["cotangent/" + name])).sum()
                   for name in spec.targets)
    else:
        loss = models.loss_of(spec, outputs, {name: tensor(case.batch["target/" + name])
                                              for name in spec.targets})
    loss.backward()
    gradients = dict(p)
    gradients.update({"input/" + name: x for name, x in zip(spec.inputs, inputs)})
    gradients = {name: x.grad if x.grad is not None else torch.zeros_like(x)
                 for name, x in gradients.items()}
    return shapes, outputs, loss, gradients


def write_case(jmt, case):
    with tempfile.TemporaryDirectory() as directory:
        spec = models.Spec(resolved(jmt, case, directory))
    write_step(case, *reference_step(spec, case))


def write_step(case, shapes, outputs, loss, gradients, statistics=None, extra=None):
    rows = array.array("d")
    for x in gradients.values():
        rows.extend(formulas.sketch(flat(x), case.entries))
    tensors = {"output/" + name: (tuple(y.shape), flat(y)) for name, y in outputs.items()}
    tensors["loss"] = ((1,), array.array("d", [float(loss.detach())]))
    for name, x in (statistics or {}).items():
        tensors["statistics/" + name] = (tuple(x.shape), flat(x))
    tensors["gradients"] = ((len(gradients), 2 + case.entries), rows)
    metadata = {"gradients": json.dumps(list(gradients)),
                "parameters": json.dumps([[name, list(shape)] for name, shape in shapes]),
                "made_by": f"{os.path.basename(sys.argv[0])}, torch {torch.__version__}, float64"}
    metadata.update(extra or {})
    safetensors.write(case.vectors(), tensors, metadata)
    print(f"{case.name}: loss {float(loss.detach()):.12f}, "
          f"{sum(formulas.count_of(shape) for _, shape in shapes)} parameters")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jmt", default=os.path.join(cases.ROOT, "build", "jmt"))
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    models_check.encoder_check()
    models_check.tcn_check()
    os.makedirs(cases.VECTORS, exist_ok=True)
    everything = (cases.appendix_a() + cases.full_size() + cases.masked() + cases.variants()
                  + cases.over_samples() + cases.fronts() + cases.pairs() + cases.losses())
    for case in everything:
        if not arguments.names or case.name in arguments.names:
            write_case(arguments.jmt, case)


if __name__ == "__main__":
    main()
