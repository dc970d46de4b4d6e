"""The published size (d = 512, 16 steps, two modalities) with weights by closed formula: outputs,
loss and the gradient of every tensor against PyTorch in float64, for JMT, MT and concatenation;
and what `jmt plan` says of them."""
import golden
import cases

# backend, precision, outputs, gradients, key biases (analytically zero)
RUNS = golden.with_gpu((("ref", "f64", 1e-10, 1e-9, 1e-12), ("cpu", "f32", 1e-5, 5e-3, 1e-5)),
                       ("cuda", "f32_strict", 1e-5, 5e-3, 1e-5))


def main():
    report = golden.Report()
    for step in golden.steps(cases.full_size(), report):
        for backend, precision, output, gradient, key_bias in RUNS:
            label = f"{backend}/{precision}"
            result = step.run(backend, precision)
            step.check_outputs(report, result, label, output)
            step.check_gradients(report, result, label, gradient)
            step.check_key_biases(report, result, label, key_bias)
    report.exit()


if __name__ == "__main__":
    main()
