"""Activations in bf16 against the independent numbers in float64. Each operation rounds its result to 8 bits once,
by 2^-9 of it on average; some twenty in a row, as if independent, leave sqrt(20) 2^-9 = 0.9 % on what comes out. The
loss couples the predictions by their differences, which are smaller than they are: 5 % is allowed for all."""
import golden
import cases

LIMIT = 0.05
BACKENDS = golden.with_gpu((("ref", "f32"), ("cpu", "f32")), ("cuda", "f32_strict"))
NAMES = ("masked_jmt_1_last_1", "masked_jmt_4_mean_1", "masked_mt_3_last_1", "masked_concat_encoder_3_last_2")


def gradients(step, result):
    """As one vector."""
    return [x for name in step.names for x in result["grad/" + name][1]]


def main():
    report = golden.Report()
    chosen = [case for case in cases.masked() if case.name in NAMES]
    report.equal("the models that are asked", len(chosen), len(NAMES))
    for step in golden.steps(chosen, report):
        for backend, floats in BACKENDS:
            result = step.run(backend, "bf16")
            step.check_outputs(report, result, f"{backend}/bf16", LIMIT)
            report.check(f"{step.case.name} {backend}", "all gradients, from those of float32",
                         golden.relative(gradients(step, result),
                                         gradients(step, step.run(backend, floats))), LIMIT)
    report.exit()


if __name__ == "__main__":
    main()
