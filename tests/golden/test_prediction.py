"""What `jmt evaluate` computes (`jmt step --predict`): with one head its attention is folded. Against the
independent numbers where they have one head; elsewhere, on every model and every form of the fusion, with
masks, missing modalities and samples without any, against the step as it is trained. And a prediction is
that of its sample alone."""
import re
import tempfile

import golden
import cases
import test_company

INDEPENDENT = golden.with_gpu((("ref", "f64", 1e-10), ("ref", "f32", 1e-5), ("cpu", "f32", 1e-5)),
                              ("cuda", "f32_strict", 1e-5))
FOLDED = golden.with_gpu((("ref", "f64", 1e-12), ("cpu", "f32", 1e-5)), ("cuda", "f32_strict", 1e-5))
UNFOLDED = ["evaluation.fold_attention=false"]


def check_independent(report):
    for step in golden.steps(cases.appendix_a() + cases.full_size(), report):
        for backend, precision, limit in INDEPENDENT:
            if backend == "ref" and precision == "f32" and step.case.name.startswith("full"):
                continue # says nothing that ref/f64 and cpu/f32 do not
            result = step.run(backend, precision, "--predict")
            step.check_outputs(report, result, f"{backend}/{precision} predicted", limit)


def with_heads(case, heads, more=()):
    config = re.sub(r"^  heads: \d+$", f"  heads: {heads}", case.config, flags=re.MULTILINE)
    return cases.Case(case.name, config, case.sets + [*more], case.weight, case.batch, case.entries)


def check_folded(report, step, heads):
    """Against the step in double."""
    want = step.run("ref", "f64")
    for backend, precision, limit in FOLDED:
        result = step.run(backend, precision, "--predict")
        for name, (shape, values) in result.items():
            what = f"{step.case.name} heads {heads} {backend}/{precision} {name}"
            report.equal(what + " shape", shape, want[name][0])
            report.check(what, f"predicted, relative {backend}/{precision}",
                         golden.relative(values, want[name][1]), limit)
    outputs = [name for name in want if name.startswith("output/")]
    report.equal(step.case.name + " outputs", sorted(result), sorted(outputs))


def check_unfolded(report, case):
    """In plain C rows know nothing of one another: nothing folded, nothing changed."""
    with tempfile.TemporaryDirectory() as directory:
        step = golden.Step(case, directory, report)
        want = step.run("ref", "f32")
        for name, (_, values) in step.run("ref", "f32", "--predict").items():
            report.equal(f"{case.name} unfolded {name}", values.tobytes(), want[name][1].tobytes())


def check_forms(report):
    forms = cases.masked() + cases.variants() + cases.fronts() + cases.pairs()
    for case in forms:
        case.batch = test_company.nothing_valid(case.batch, 1)
    for heads, some in ((1, forms), (2, forms[::9])):
        for step in golden.steps([with_heads(case, heads) for case in some], report):
            check_folded(report, step, heads)
    for case in forms[:3] + [case for case in forms if "everything" in case.name]:
        check_unfolded(report, with_heads(case, 1, UNFOLDED))
        check_unfolded(report, with_heads(case, 3))


class Asker(test_company.Asker):
    """The same questions, to the predictor."""

    def outputs(self, batch):
        ordinary = self.step.run
        self.step.run = lambda backend, precision: ordinary(backend, precision, "--predict")
        try:
            return super().outputs(batch)
        finally:
            self.step.run = ordinary


def check_alone(report):
    """A sample's bits, whatever its company and its place: one of three, alone, one of seven."""
    names = ("masked_jmt_2_last_1", "masked_mt_3_last_2", "variant_everything_3", "variant_fc_2",
             "variant_literal_2")
    chosen = [case for case in cases.masked() + cases.variants() if case.name in names]
    report.equal("the models that are asked", len(chosen), len(names))
    for case in chosen:
        with tempfile.TemporaryDirectory() as directory:
            step = golden.Step(with_heads(case, 1), directory, report)
            for backend, precision, isa in test_company.RUNS:
                ask = Asker(step, directory, backend, precision, isa)
                test_company.check_company(report, ask, case.batch)
                if backend != "cpu":
                    test_company.check_missing(report, ask, case.batch)


def main():
    report = golden.Report()
    check_independent(report)
    check_forms(report)
    check_alone(report)
    report.exit()


if __name__ == "__main__":
    main()
