"""What must hold of every model whatever its numbers: a batch is its samples one by one (attention
never runs across the batch); permuted time steps permute the outputs (no model knows the order,
unless told to); and numbers behind a mask change no bit."""
import array
import math
import os
import tempfile

import golden
import cases
import safetensors

LIMITS = {"f64": 1e-13, "f32": 2e-5, "f32_strict": 2e-5}
RUNS = golden.with_gpu((("ref", "f64"), ("cpu", "f32")), ("cuda", "f32_strict"))
ORDER = (3, 0, 4, 1, 2)


def rows_of(entry, rows):
    """The tensor [B,L,...] with the rows (b,l) of the list, as [B',L',...] for shape's sake
    flat."""
    shape, values = entry
    width = len(values) // (shape[0] * shape[1])
    picked = array.array(values.typecode)
    for row in rows:
        picked.extend(values[row * width:(row + 1) * width])
    return picked


def with_batch(step, directory, name, batch, backend, precision):
    step.batch = os.path.join(directory, name + ".safetensors")
    safetensors.write(step.batch, batch)
    return step.run(backend, precision)


def compare(report, what, precision, got, want):
    report.check(what, "relative, " + precision, golden.relative(got, want), LIMITS[precision])


def outputs_of(result):
    return {name: entry for name, entry in result.items() if name.startswith("output/")}


def check_singles(report, step, directory, backend, precision, whole):
    batch, length = cases.BATCH, cases.LENGTH
    for b in range(batch):
        rows = range(b * length, (b + 1) * length)
        one = {name: ((1,) + entry[0][1:], rows_of(entry, rows))
               for name, entry in step.case.batch.items()}
        result = with_batch(step, directory, "single", one, backend, precision)
        for name, entry in outputs_of(whole).items():
            compare(report, f"{step.case.name} {backend} sample {b} alone: {name}", precision,
                    result[name][1], rows_of(entry, rows))
        for name in step.case.batch:
            if name.startswith("input/"):
                compare(report, f"{step.case.name} {backend} sample {b} alone: grad/{name}",
                        precision, result["grad/" + name][1], rows_of(whole["grad/" + name], rows))


def check_permuted(report, step, directory, backend, precision, whole):
    rows = [b * cases.LENGTH + t for b in range(cases.BATCH) for t in ORDER]
    permuted = {name: (entry[0], rows_of(entry, rows)) for name, entry in step.case.batch.items()}
    result = with_batch(step, directory, "permuted", permuted, backend, precision)
    for name, entry in outputs_of(whole).items():
        compare(report, f"{step.case.name} {backend} permuted: {name}", precision, result[name][1],
                rows_of(entry, rows))
    for name in step.names:
        if not name.startswith("input/") and not name.endswith("in_proj_bias"):
            compare(report, f"{step.case.name} {backend} permuted: grad/{name}", precision,
                    result["grad/" + name][1], whole["grad/" + name][1])


def check_masked_content(report, step, directory, backend, precision, whole):
    """Other numbers behind the mask: the same bits."""
    other = dict(step.case.batch)
    for name, (shape, values) in other.items():
        if name.startswith("input/"):
            other[name] = (shape, array.array("d", [7e7 if math.isnan(v) else v for v in values]))
    result = with_batch(step, directory, "other", other, backend, precision)
    changed = [name for name, entry in whole.items() if result[name][1] != entry[1]]
    report.equal(f"{step.case.name} {backend}: changed by what is masked", changed, [])


def knows_order(case):
    return any(word in case.config for word in ("position:", "causal: true", "front: tcn", "name: jca",
                                           "name: rjcma"))


def main():
    report = golden.Report()
    for case in cases.masked() + cases.variants() + cases.fronts() + cases.pairs():
        if not any(name.startswith("cotangent/") for name in case.batch):
            continue # a loss over the batch couples the samples' gradients
        with tempfile.TemporaryDirectory() as directory:
            step = golden.Step(case, directory, report)
            for backend, precision in RUNS:
                whole = with_batch(step, directory, "whole", case.batch, backend, precision)
                check_singles(report, step, directory, backend, precision, whole)
                if not knows_order(case):
                    check_permuted(report, step, directory, backend, precision, whole)
                check_masked_content(report, step, directory, backend, precision, whole)
    report.exit()


if __name__ == "__main__":
    main()
