"""Initial weights are distributed as PyTorch's defaults (jmt.md 1.9): Linear weight and bias
uniform within 1/sqrt(fan_in); packed projections Xavier-uniform over [3d, d], their bias and the
output projection's bias 0; LayerNorm 1 and 0; convolutions as Linear of all their taps, with g the
norms of v. Judged by bounds and by mean and variance within
five of their standard errors; tensors and seeds must be unrelated."""
import math
import os
import tempfile

import golden
import cases
import formulas
import safetensors

TCN = ["--set", "modalities.audio.front=tcn", "--set", "modalities.audio.dim=96", "--set",
       "modalities.audio.tcn_blocks=1", "--set", "modalities.audio.tcn_kernel=3"]
FULL = os.path.join(cases.ROOT, "configs", "full", "jmt.yaml")


def expected(name, shapes):
    """(bound of a uniform distribution, or None; else the constant)"""
    if formulas.is_gain(name) or name.endswith(".norm.weight"):
        return None, 1.0
    if ".norm" in name or name.endswith("in_proj_bias") or name.endswith("out_proj.bias"):
        return None, 0.0
    if name.endswith("in_proj_weight"):
        rows, columns = shapes[name]
        return math.sqrt(6 / (rows + columns)), None
    weight = name[:-len("bias")] + "weight" if name.endswith(".bias") else name
    weight += "" if weight in shapes else "_v"
    return 1 / math.sqrt(formulas.count_of(shapes[weight][1:])), None


def check_norms(report, name, norms, v):
    """g = |v|, rounded to float."""
    width = len(v) // len(norms)
    for row, norm in enumerate(norms):
        size = golden.norm(v[row * width:(row + 1) * width])
        report.check(f"{name}[{row}]", "g against |v|, relative", abs(norm / size - 1), 6e-8)


def check_uniform(report, name, values, bound):
    count = len(values)
    report.check(name, "largest, of the bound", max(map(abs, values)) / bound, 1 + 1e-6)
    mean = sum(values) / count
    report.check(name, "mean, standard errors", abs(mean) / (bound / math.sqrt(3 * count)), 5)
    square = sum(map(float.__mul__, values, values)) / count
    error = bound ** 2 * math.sqrt(4 / 45 / count) # sd of u^2 is sqrt(1/5 - 1/9)
    report.check(name, "variance, standard errors", abs(square - bound ** 2 / 3) / error, 5)


def check_unrelated(report, what, a, b):
    count = min(len(a), len(b), 4096)
    product = sum(map(float.__mul__, a[:count], b[:count]))
    size = golden.norm(a[:count]) * golden.norm(b[:count])
    report.check(what, "correlation, standard errors", abs(product) / size * math.sqrt(count), 5)


def initial(arguments, seed, directory):
    path = os.path.join(directory, "initial.safetensors")
    golden.run(["export"] + arguments + ["--set", f"seed={seed}", "--out", path])
    tensors, _ = safetensors.read(path)
    return {name: (shape, list(values)) for name, (shape, values) in tensors.items()}


def check_model(report, arguments):
    with tempfile.TemporaryDirectory() as directory:
        first, second = initial(arguments, 0, directory), initial(arguments, 1, directory)
    shapes = {name: shape for name, (shape, _) in first.items()}
    before = None
    for name, (_, values) in first.items():
        if name.endswith(".weight_g"):
            check_norms(report, name, values, first[name[:-1] + "v"][1])
            continue
        bound, constant = expected(name, shapes)
        if bound is None:
            report.equal(name + ": other than " + str(constant),
                         [v for v in values if v != constant][:3], [])
            continue
        check_uniform(report, name, values, bound)
        if len(values) >= 128:
            check_unrelated(report, name + ", another seed", values, second[name][1])
            if before is not None:
                check_unrelated(report, name + ", the tensor before", values, before)
            before = values


def main():
    report = golden.Report()
    check_model(report, [FULL] + TCN)
    for model in ("jca", "lfan", "can"):
        check_model(report, [os.path.join(os.path.dirname(FULL), model + ".yaml")])
    report.exit()


if __name__ == "__main__":
    main()
