"""What must hold of the rival fusions beside their numbers (test_masks): a sample shorter than the window is
computed with the weights of the steps that it has, as if the window were no longer; and joint
cross-attention applied once is joint cross-attention."""
import array
import os
import tempfile

import golden
import cases
import safetensors

LIMITS = {"f64": 1e-13, "f32": 2e-5, "f32_strict": 2e-5}
RUNS = golden.with_gpu((("ref", "f64"), ("cpu", "f32")), ("cuda", "f32_strict"))
SHORT = 3


def case_named(name):
    return next(case for case in cases.variants() if case.name == "variant_" + name)


def given(case, sets=(), cut=None):
    """The case with these settings; cut: only so many steps of each sample, of the window and of the
    weights that belong to it."""
    config, weights = case.config, case.weight
    if cut:
        config = config.replace(f"window: {cases.LENGTH}", f"window: {cut}")

        def weights(number, name, shape):
            whole = tuple(cases.LENGTH if n == cut and ".jca." in name else n for n in shape)
            values = case.weight(number, name, whole)
            if whole == tuple(shape):
                return values
            return array.array("d", [values[r * whole[1] + c] for r in range(shape[0])
                                     for c in range(shape[1])])
    return cases.Case(case.name, config, list(sets), weights, case.batch, case.entries)


def first_steps(batch, count, keep):
    """The first `count` steps of each sample; keep: their length stays, the others are masked."""
    out = {}
    for name, (shape, values) in batch.items():
        rows = [b * shape[1] + t for b in range(shape[0]) for t in range(shape[1])
                if keep or t < count]
        width = len(values) // (shape[0] * shape[1])
        picked = array.array(values.typecode)
        for row in rows:
            part = values[row * width:(row + 1) * width]
            hidden = keep and name.startswith("mask/") and row % shape[1] >= count
            picked.extend(array.array(values.typecode, [0] * width) if hidden else part)
        out[name] = ((shape[0], len(rows) // shape[0]) + tuple(shape[2:]), picked)
    return out


def outputs(case, batch, backend, precision, directory):
    """Without the vectors, which are of the case as it stands."""
    arguments = case.arguments(directory)
    paths = [os.path.join(directory, name + ".safetensors") for name in ("weights", "batch", "out")]
    parameters = golden.parameter_list(arguments, directory)
    safetensors.write(paths[0], {name: (shape, case.weight(number, name, shape))
                                 for number, (name, shape) in enumerate(parameters)})
    safetensors.write(paths[1], batch)
    golden.run(["step"] + arguments + ["--weights", paths[0], "--batch", paths[1], "--out", paths[2],
                                       "--backend", backend, "--precision", precision])
    result, _ = safetensors.read(paths[2])
    return {name: entry for name, entry in result.items() if name.startswith("output/")}


def check_short(report, model, backend, precision):
    case = case_named(model)
    with tempfile.TemporaryDirectory() as directory:
        long = outputs(case, first_steps(case.batch, SHORT, True), backend, precision, directory)
        short = outputs(given(case, cut=SHORT), first_steps(case.batch, SHORT, False), backend,
                        precision, directory)
    for name, (shape, values) in short.items():
        width = len(values) // (shape[0] * shape[1])
        want = array.array(values.typecode)
        for b in range(shape[0]):
            begin = b * cases.LENGTH * width
            want.extend(long[name][1][begin:begin + SHORT * width])
        report.check(f"{model} {backend} a short sample: {name}", "relative, " + precision,
                     golden.relative(values, want), LIMITS[precision])


def check_once(report, backend, precision):
    jca = case_named("jca_3")
    once = cases.Case("once", jca.config.replace("name: jca", "name: rjcma"),
                      ["model.recursions=1"], jca.weight, jca.batch, jca.entries)
    with tempfile.TemporaryDirectory() as directory:
        want = outputs(jca, jca.batch, backend, precision, directory)
        got = outputs(once, jca.batch, backend, precision, directory)
        twice = outputs(given(once, ["model.recursions=2"]), jca.batch, backend, precision, directory)
    for name, (_, values) in want.items():
        report.equal(f"rjcma once {backend}: {name}", got[name][1].tobytes(), values.tobytes())
        report.equal(f"rjcma twice {backend} is another: {name}", twice[name][1] == values, False)


def main():
    report = golden.Report()
    for backend, precision in RUNS:
        for model in ("jca_2", "jca_3", "rjcma_4", "lfan_2", "can_3"):
            check_short(report, model, backend, precision)
        check_once(report, backend, precision)
    report.exit()


if __name__ == "__main__":
    main()
