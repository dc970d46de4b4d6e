"""A prediction depends on its own sample alone, for every model, to the last bit: not on the other
samples of the batch, nor on its place among them, nor on what stands behind a mask; also of a
sample that lacks a modality wholly, in part, or all of them."""
import array
import math
import os
import tempfile

import golden
import cases
import safetensors

def instruction_sets():
    """Of this processor."""
    with open("/proc/cpuinfo") as file:
        flags = next((line for line in file if line.startswith("flags")), "").split()
    return ["generic"] + [isa for isa, flag in (("avx2", "avx2"), ("avx512", "avx512dq")) if flag in flags]


ISAS = instruction_sets()
RUNS = [("ref", "f32", "")] + [("cpu", "f32", isa) for isa in ISAS]
RUNS = golden.with_gpu(RUNS + [("cpu", "bf16", ISAS[-1])], ("cuda", "f32_strict", ""), ("cuda", "bf16", ""))


def part(entry, samples):
    """The samples of the list, in its order."""
    shape, values = entry
    width = len(values) // shape[0]
    picked = array.array(values.typecode)
    for b in samples:
        picked.extend(values[b * width:(b + 1) * width])
    return (len(samples),) + tuple(shape[1:]), picked


def taken(batch, samples):
    return {name: part(entry, samples) for name, entry in batch.items()}


def other_numbers(batch, samples):
    """These samples replaced: other features, everything valid."""
    changed = {}
    for name, (shape, values) in batch.items():
        values = values[:]
        width = len(values) // shape[0]
        for b in samples:
            for i in range(b * width, (b + 1) * width):
                if name.startswith("input/"):
                    values[i] = math.sin(0.7 * i) * 3.0
                elif name.startswith("mask/"):
                    values[i] = 1
        changed[name] = (shape, values)
    return changed


def nothing_valid(batch, sample):
    changed = dict(batch)
    for name, (shape, values) in batch.items():
        width = len(values) // shape[0]
        if name.startswith("mask/"):
            values = values[:]
            values[sample * width:(sample + 1) * width] = array.array(values.typecode, [0] * width)
            changed[name] = (shape, values)
    return changed


def garbage(batch, number):
    """Behind every mask, this number."""
    changed = dict(batch)
    for name, (shape, values) in batch.items():
        if name.startswith("input/"):
            _, mask = batch["mask/" + name[len("input/"):]]
            dim = shape[2]
            values = array.array("d", [v if mask[i // dim] else number
                                       for i, v in enumerate(values)])
            changed[name] = (shape, values)
    return changed


class Asker:
    def __init__(self, step, directory, backend, precision, isa):
        self.step, self.directory = step, directory
        self.backend, self.precision, self.isa = backend, precision, isa
        self.label = " ".join(filter(None, (step.case.name, backend, precision, isa)))

    def outputs(self, batch):
        self.step.batch = os.path.join(self.directory, "asked.safetensors")
        safetensors.write(self.step.batch, batch)
        if self.isa:
            os.environ["JMT_ISA"] = self.isa
        result = self.step.run(self.backend, self.precision)
        os.environ.pop("JMT_ISA", None)
        return {name: entry for name, entry in result.items() if name.startswith("output/")}


def check_same(report, what, got, want):
    """Bit for bit, and not by being nothing."""
    for name, (_, values) in want.items():
        report.equal(f"{what}: {name} is finite", all(map(math.isfinite, values)), True)
        report.equal(f"{what}: {name}", got[name][1].tobytes(), values.tobytes())


def check_company(report, ask, batch):
    whole = ask.outputs(batch)
    check_same(report, f"{ask.label} sample 1 alone", ask.outputs(taken(batch, [1])),
               taken(whole, [1]))
    changed = ask.outputs(other_numbers(batch, [1, 2]))
    check_same(report, f"{ask.label} sample 0 in other company", taken(changed, [0]),
               taken(whole, [0]))
    report.equal(f"{ask.label} other company is other",
                 taken(changed, [1, 2]) != taken(whole, [1, 2]), True)
    crowd = [2, 1, 0, 1, 0, 2, 2]
    check_same(report, f"{ask.label} another order and more of them",
               ask.outputs(taken(batch, crowd)), taken(whole, crowd))


def check_missing(report, ask, batch):
    """Sample 0 lacks steps and 2 a modality (see cases.py); 1 is made to have none at all."""
    batch = nothing_valid(batch, 1)
    want = ask.outputs(garbage(batch, math.nan))
    check_same(report, f"{ask.label} other numbers behind the masks",
               ask.outputs(garbage(batch, -3e30)), want)


MODELS = ("masked_jmt_1_last_1", "masked_jmt_2_last_1", "masked_jmt_4_mean_1",
          "masked_mt_3_last_1", "masked_concat_3_last_1", "masked_concat_encoder_3_last_2",
          "masked_unimodal_1_last_1", "variant_no_joint_3_mean", "variant_concat_att_3",
          "variant_decision_3", "variant_fc_2", "variant_concat_encoder_2", "variant_everything_3",
          "variant_missing_sum_causal_3", "variant_literal_everything_3", "variant_jca_3",
          "variant_rjcma_2", "variant_lfan_3", "variant_can_3")


def main():
    report = golden.Report()
    chosen = [case for case in cases.masked() + cases.variants() if case.name in MODELS]
    report.equal("the models that are asked", len(chosen), len(MODELS))
    for case in chosen:
        with tempfile.TemporaryDirectory() as directory:
            step = golden.Step(case, directory, report)
            for backend, precision, isa in RUNS:
                ask = Asker(step, directory, backend, precision, isa)
                check_company(report, ask, case.batch)
                if backend == "cuda" or (backend, precision) == ("ref", "f32"):
                    check_missing(report, ask, case.batch)
    report.exit()


if __name__ == "__main__":
    main()
