"""Masks and odd sizes: one to four modalities (some behind a linear front or a TCN), 3 samples of 5 steps, 3
heads of 4, random masks, a wholly missing modality, a step without any; all models, every
form of the fusion, all losses, labels that are not valid. What is masked holds NaN and must not matter."""
import golden
import cases

RUNS = golden.with_gpu((("ref", "f64", 1e-10, 1e-9, 1e-12), ("ref", "f32", 1e-5, 5e-3, 1e-5),
                        ("cpu", "f32", 1e-5, 5e-3, 1e-5)), ("cuda", "f32_strict", 1e-5, 5e-3, 1e-5))


def check_masked_inputs(report, step, result, label):
    """Nothing flows back to what is masked: exactly."""
    for name, (_, mask) in step.case.batch.items():
        if name.startswith("mask/"):
            shape, gradient = result["grad/input/" + name[len("mask/"):]]
            leaked = [g for i, g in enumerate(gradient) if not mask[i // shape[2]] and g != 0.0]
            report.equal(f"{step.case.name} {label} {name}: gradients of masked inputs", leaked, [])


def main():
    report = golden.Report()
    everything = (cases.masked() + cases.variants() + cases.over_samples() + cases.fronts()
                  + cases.pairs() + cases.losses())
    for step in golden.steps(everything, report):
        for backend, precision, output, gradient, key_bias in RUNS:
            label = f"{backend}/{precision}"
            result = step.run(backend, precision)
            step.check_outputs(report, result, label, output)
            step.check_gradients(report, result, label, gradient)
            step.check_key_biases(report, result, label, key_bias)
            check_masked_inputs(report, step, result, label)
    report.exit()


if __name__ == "__main__":
    main()
