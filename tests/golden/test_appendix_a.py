"""Golden vectors of the fusion block: 974 parameters, 1 and 2 heads, double and float.

TABLE is printed in the method's specification (jmt.md, appendix A; central differences); the stored
vectors hold all 974 gradients from an independent float64 program."""
import golden
import cases

TABLE = {
    1: {"valence": (-5.436123664852, -5.435808050941, -5.428415365642),
        "arousal": (12.677059196215, 12.676083061088, 12.653837363134),
        "S": -85.786502049115, "ccc": 1.999862892544,
        "gradients": {
            ("joint.projection.weight", 1): -0.000266869,
            ("video.encoder.0.attention.in_proj_weight", 2): 0.014181481,
            ("audio.encoder.0.attention.out_proj.weight", 3): 0.251296796,
            ("joint.encoder.0.norm1.weight", 1): -0.002649550,
            ("video.cross.in_proj_weight", 5): 0.006692420,
            ("audio.cross.out_proj.weight", 1): -11.739158505,
            ("joint.cross.in_proj_bias", 9): 0.003015629,
            ("token.encoder.0.norm2.weight", 2): 10.770189740,
            ("token.attention.in_proj_weight", 33): 12.000613507,
            ("input/video", 6): -1.446375819,
            ("input/audio", 8): -0.034370013}},
    2: {"valence": (-5.532388368227, -5.531717119559, -5.535618041096),
        "arousal": (12.996135274404, 12.993824943453, 13.004797552637),
        "S": -87.801401204088, "ccc": 2.000063539823,
        "gradients": {
            ("joint.projection.weight", 1): 0.002955818,
            ("video.encoder.0.attention.in_proj_weight", 2): -0.018858450,
            ("audio.encoder.0.attention.out_proj.weight", 3): 0.008738481,
            ("joint.encoder.0.norm1.weight", 1): 0.102682069,
            ("video.cross.in_proj_weight", 5): 0.000949976,
            ("audio.cross.out_proj.weight", 1): -1.678394562,
            ("joint.cross.in_proj_bias", 9): -0.093188210,
            ("token.encoder.0.norm2.weight", 2): 10.323281134,
            ("token.attention.in_proj_weight", 33): 11.882466787,
            ("input/video", 6): 1.297826705,
            ("input/audio", 8): 0.005205240}},
}
# backend, precision, outputs (relative), gradients (absolute; float: relative to the tensor's norm)
RUNS = golden.with_gpu((("ref", "f64", 1e-10), ("ref", "f32", 1e-5), ("cpu", "f32", 1e-5)),
                       ("cuda", "f32_strict", 1e-5))


def check_table(report, step, result, label, heads, limit, double):
    """The specification's own digits: 12 behind the point in outputs, 9 in gradients."""
    want, name = TABLE[heads], f"{step.case.name} {label}"
    for target in ("valence", "arousal"):
        report.check(f"{name} {target}", "output against the table, relative " + label,
                     golden.relative(result["output/" + target][1], want[target]), limit)
    objective = "S" if step.case.name.endswith("_S") else "ccc"
    report.check(name, "loss against the table, relative " + label,
                 abs(result["loss"][1][0] / want[objective] - 1), limit)
    if objective == "S" and double:
        for (tensor, element), value in want["gradients"].items():
            report.check(f"{name} {tensor}[{element}]", "gradient against the table, absolute",
                         abs(result["grad/" + tensor][1][element] - value), 1e-8)


def check_all_gradients(report, step, result, label):
    """Every element of every gradient in double, absolute; and the count of parameters."""
    count = 0
    for name in step.names:
        want = step.stored_gradient(name)[2:]
        got = result["grad/" + name][1]
        if not name.startswith("input/"):
            count += len(got)
        error = max(abs(a - b) for a, b in zip(got, want))
        report.check(f"{step.case.name} {label} {name}", "every gradient, absolute", error, 1e-8)
    report.equal(step.case.name + ": parameters", count, 974)


def main():
    report = golden.Report()
    for step in golden.steps(cases.appendix_a(), report):
        heads = int(step.case.name.split("_h")[1][0])
        for backend, precision, limit in RUNS:
            label, double = f"{backend}/{precision}", precision == "f64"
            result = step.run(backend, precision)
            check_table(report, step, result, label, heads, limit, double)
            step.check_outputs(report, result, label, limit)
            step.check_gradients(report, result, label, 1e-9 if double else 5e-3)
            step.check_key_biases(report, result, label, 1e-12 if double else 1e-5)
            if double:
                check_all_gradients(report, step, result, label)
    report.exit()


if __name__ == "__main__":
    main()
