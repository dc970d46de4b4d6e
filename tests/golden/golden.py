"""Runs `jmt step` on a case and compares it with the stored vectors: independent numbers in float64
(tests/reference/write_vectors.py). Standard library alone."""
import array
import functools
import json
import math
import os
import subprocess
import sys
import tempfile

import cases
import formulas
import safetensors


class Report:
    """Counts checks; the worst error of each kind is printed at the end."""

    def __init__(self):
        self.failed, self.checked, self.worst = 0, 0, {}

    def fail(self, text):
        """Says why, for the first ten."""
        self.failed += 1
        if self.failed <= 10:
            print("FAIL " + text, flush=True)

    def check(self, what, kind, error, limit):
        self.checked += 1
        ratio = error / limit if limit > 0 else (math.inf if error > 0 else 0.0)
        if not ratio <= 1.0: # NaN fails
            self.fail(f"{what}: {kind}: error {error:.3g}, limit {limit:.3g}")
        if not ratio <= self.worst.get(kind, (-1.0,))[0]:
            self.worst[kind] = (ratio, error, limit, what)

    def equal(self, what, got, want):
        self.checked += 1
        if got != want:
            self.fail(f"{what}: {got!r}, not {want!r}")

    def exit(self):
        for kind, (_, error, limit, what) in sorted(self.worst.items()):
            print(f"{kind}: worst error {error:.3g} (limit {limit:.3g}) in {what}")
        print(f"{self.checked} checks, {self.failed} failed")
        sys.exit(1 if self.failed or not self.checked else 0)


def program():
    """The program under test: the first argument, or the release build's."""
    return sys.argv[1] if len(sys.argv) > 1 else os.path.join(cases.ROOT, "build", "jmt")


@functools.lru_cache(maxsize=None)
def doctor():
    said = subprocess.run([program(), "doctor", "--json"], capture_output=True, text=True, check=False)
    if said.returncode != 0:
        sys.exit(f"jmt doctor: exit {said.returncode}: {said.stderr.strip()}")
    return json.loads(said.stdout)


def simulated():
    """Whether the program under test has the simulated GPU, on which all takes long."""
    return doctor()["gpus"] > 0 and "simulated GPU" in doctor()["cuda"]


def with_gpu(runs, *more):
    """Runs of a test, and those on a GPU where there is one; on the simulated GPU these alone, as the CPU's are
    tested in the release build."""
    if doctor()["gpus"] == 0:
        return tuple(runs)
    return more if simulated() else tuple(runs) + more


def run(arguments):
    done = subprocess.run([program()] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, check=False)
    if done.returncode != 0:
        sys.exit(f"jmt {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def plan(arguments):
    return json.loads(run(["plan", "--json"] + arguments))


def parameter_list(arguments, directory):
    """[(name, shape)] in order of creation, as the program gives it."""
    path = os.path.join(directory, "export.safetensors")
    run(["export"] + arguments + ["--out", path])
    tensors, metadata = safetensors.read(path)
    os.remove(path)
    return [(name, tensors[name][0]) for name in json.loads(metadata["creation_order"])]


def norm(values):
    return math.sqrt(sum(v * v for v in values))


def relative(got, want):
    """|got - want| / |want|, of vectors; absolute where the reference is zero."""
    size = norm(want)
    error = norm([a - b for a, b in zip(got, want)])
    return error / size if size > 0 else error


class Step:
    """Weights and batch of a case as files, ready to be run at several precisions."""

    def __init__(self, case, directory, report):
        self.case, self.directory = case, directory
        self.arguments = case.arguments(directory)
        self.want, metadata = safetensors.read(case.vectors())
        self.names, self.metadata = json.loads(metadata["gradients"]), metadata
        parameters = parameter_list(self.arguments, directory)
        mine = [[name, list(shape)] for name, shape in parameters]
        want = json.loads(metadata["parameters"])
        report.equal(case.name + ": number of parameters", len(mine), len(want))
        report.equal(case.name + ": parameters and their order",
                     [x for x in zip(mine, want) if x[0] != x[1]][:1], [])
        self.weights = os.path.join(directory, "weights.safetensors")
        self.batch = os.path.join(directory, "batch.safetensors")
        safetensors.write(self.weights, {name: (shape, case.weight(number, name, shape))
                                         for number, (name, shape) in enumerate(parameters)})
        safetensors.write(self.batch, case.batch)

    def run(self, backend, precision, *options):
        """options: --predict, to have what `jmt evaluate` computes."""
        path = os.path.join(self.directory, "result.safetensors")
        run(["step"] + self.arguments + ["--weights", self.weights, "--batch", self.batch, "--out",
                                         path, "--backend", backend, "--precision", precision, *options])
        result, _ = safetensors.read(path)
        os.remove(path)
        return result

    def stored_gradient(self, name):
        width = 2 + self.case.entries
        begin = self.names.index(name) * width
        return self.want["gradients"][1][begin:begin + width]

    def check_outputs(self, report, result, label, limit):
        for name, (shape, values) in self.want.items():
            if name.startswith("output/"):
                report.equal(f"{self.case.name} {label} {name} shape", result[name][0], shape)
                report.check(f"{self.case.name} {label} {name}", "output, relative " + label,
                             relative(result[name][1], values), limit)
        if "loss" not in result:
            return
        want = self.want["loss"][1][0]
        report.check(f"{self.case.name} {label}", "loss, relative " + label,
                     abs(result["loss"][1][0] - want) / max(abs(want), 1.0), limit)

    def check_gradients(self, report, result, label, limit):
        """Norm, product and entries of every gradient, relative to the reference's norm; one limit, or each its own."""
        limits = limit if isinstance(limit, dict) else dict.fromkeys(self.names, limit)
        largest = max(self.stored_gradient(name)[0] for name in self.names)
        for name in self.names:
            want = self.stored_gradient(name)
            values = array.array("d", result["grad/" + name][1])
            got = formulas.sketch(values, self.case.entries)
            what, kind = f"{self.case.name} {label} {name}", "gradient, relative " + label
            limit = limits[name]
            if want[0] < 1e-12 * largest: # zero but for rounding
                report.check(what, "zero gradient, of the largest " + label, got[0] / largest,
                             limit)
                continue
            report.check(what, kind, abs(got[0] - want[0]) / want[0], limit)
            report.check(what, kind, abs(got[1] - want[1]) / want[0], limit)
            part = max(norm(want[2:]), 1e-3 * want[0])
            error = norm([a - b for a, b in zip(got[2:], want[2:])])
            report.check(what, kind, error / part, limit)

    def check_key_biases(self, report, result, label, limit):
        """A constant added to all keys changes no softmax: the middle third of every packed bias
        has gradient zero, up to `limit` of the largest element of all. In the paper's literal form
        of cross-attention keys and queries have changed places."""
        gradients = {name: values for name, (_, values) in result.items()
                     if name.startswith("grad/") and not name.startswith("grad/input/")}
        largest = max(max(map(abs, values)) for values in gradients.values())
        for name, values in gradients.items():
            if name.endswith("in_proj_bias"):
                third = len(values) // 3
                literal = ".cross" in name and "attn_form: paper_literal" in self.case.config
                begin = 0 if literal else third
                report.check(f"{self.case.name} {label} {name}",
                             "key bias, of the largest " + label,
                             max(map(abs, values[begin:begin + third])) / largest, limit)


def steps(list_of_cases, report):
    for case in list_of_cases:
        with tempfile.TemporaryDirectory() as directory:
            yield Step(case, directory, report)
