"""Activations in bf16 against the independent numbers in float64. Each operation rounds its result to 8 bits once,
by 2^-9 of it on average; some twenty in a row, as if independent, leave sqrt(20) 2^-9 = 0.9 % on what comes out. The
loss couples the predictions by their differences, which are smaller than they are: 5 % is allowed for all."""
import golden
import cases

LIMIT = 0.05
NAMES = ("masked_jmt_1_last_1", "masked_jmt_4_mean_1", "masked_mt_3_last_1", "masked_concat_encoder_3_last_2")


def main():
    report = golden.Report()
    chosen = [case for case in cases.masked() if case.name in NAMES]
    report.equal("the models that are asked", len(chosen), len(NAMES))
    for step in golden.steps(chosen, report):
        for backend in ("ref", "cpu"):
            result = step.run(backend, "bf16")
            step.check_outputs(report, result, f"{backend}/bf16", LIMIT)
            float32 = step.run(backend, "f32")
            for name in ("grad/" + name for name in step.names):
                size = golden.norm(float32[name][1])
                report.equal(f"{step.case.name} {backend} {name} is finite", size < 1e30, True)
    report.exit()


if __name__ == "__main__":
    main()
