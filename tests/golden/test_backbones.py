"""Backbones against torchvision's own modules with the same weights: outputs, loss, the gradient of
every tensor and of the input, and what running statistics average; their parameters and
multiply-accumulates against the method's tables (jmt.md 7.1). Where batch norm is over the batch, that is cut into
two shards, which PyTorch knows nothing of; norms by shard become others by it.

In float the limits are those of any step, or three times what PyTorch's own float32 is away from
float64, where that is more, of each gradient by itself: statistics of few places behind forty layers are
ill-conditioned (tests/reference/write_backbones.py says of which runs)."""
import golden
import cases
import json

# backend, precision, outputs, gradients
RUNS = golden.with_gpu((("ref", "f64", 1e-10, 1e-9), ("cpu", "f32", 1e-5, 5e-3)), ("cuda", "f32_strict", 1e-5, 5e-3))
# On the simulated GPU those that take it no minute; the others' operations are tested by themselves.
SIMULATED = ("cnn_1d_41_1", "cnn_1d_52_3_true", "resnet_18_11_1_average", "resnet_18_11_1_global", "r3d_18_2_3_true")
SHARDS = {True: ("--shards", "2")}
HEADS = 512 * 128 + 2 * 128
FRONT = 2048 * 512 # of ResNet-50, to the model's width
# Those that jmt.md has not, IR-ResNet-50 and VGGish with its front, by hooks on the convolutions and linear layers of
# the modules that tests/reference/write_backbones.py builds.
COUNTS = (("ir_resnet_50", 1, 43574976, 6296485888), ("vggish", 96, 72141184 + 129 * 512, 863895552 + 128 * 512),
          ("resnet_50", 1, 23508032 + FRONT + 512, 4087136256 + FRONT),
          ("r2plus1d_18", 8, 31300125, 20259438080), ("r3d_18", 5, 33166272, 14700564480),
          ("resnet_18", 107, 11170240, 253669376), ("resnet_18", 104, 11170240, 246915072),
          ("cnn_1d", 2816, 11447040, 18818752), ("i3d", 8, 12287264 + 12329472, 33806581760 + 86245376))
CONFIG = """model: {{name: unimodal, dim: 512}}
data: {{window: 1}}
modalities:
  stream: {{backbone: {}, clip: {}{}}}
targets:
  valence: {{loss: ccc}}
  arousal: {{loss: ccc}}
"""


def check_statistics(report, step, result, label, limit):
    for name, (_, values) in step.want.items():
        if name.startswith("statistics/"):
            report.check(f"{step.case.name} {label} {name}", "statistics, relative " + label,
                         golden.relative(result[name][1], values), limit)


def check_shards_are_cut(report, step):
    """By whether those go their own ways whose norms are by shard."""
    result = step.run("ref", "f64", "--shards", "2")
    name, (_, values) = next((n, v) for n, v in step.want.items() if n.startswith("output/"))
    report.equal(f"{step.case.name}: two shards differ", golden.relative(result[name][1], values) > 1e-3, True)


def check_counts(report, directory):
    path = directory + "/backbone.yaml"
    for name, clip, parameters, macs in COUNTS:
        with open(path, "w") as file:
            file.write(CONFIG.format(name, clip, {"cnn_1d": ", dim: 1", "i3d": ", size: 224",
                                                    "ir_resnet_50": ", size: 112",
                                                    "resnet_50": ", size: 224"}.get(name, "")))
        plan = golden.plan([path])
        report.equal(f"{name}: parameters", plan["parameters"] - HEADS - 130, parameters)
        report.equal(f"{name}: multiply-accumulates", plan["macs"] - HEADS, macs)


def main():
    report = golden.Report()
    with golden.tempfile.TemporaryDirectory() as directory:
        check_counts(report, directory)
    chosen = [case for _, case in cases.backbones()]
    if golden.simulated():
        chosen = [case for case in chosen if case.name in ["backbone_" + name for name in SIMULATED]]
        report.equal("the backbones that are asked", len(chosen), len(SIMULATED))
    for step in golden.steps(chosen, report):
        if step.case.name == "backbone_resnet_18_11_1_shard_flatten":
            check_shards_are_cut(report, step)
        for backend, precision, output, gradient in RUNS:
            label = f"{backend}/{precision}"
            if precision != "f64":
                far = json.loads(step.metadata["float32"])
                output = max(output, 3 * max(far["output"], far["statistics"]))
                gradient = {name: max(gradient, 3 * far["gradients"].get(name, 0)) for name in step.names}
            result = step.run(backend, precision, *SHARDS.get("global" in step.case.name, ()))
            step.check_outputs(report, result, label, output)
            step.check_gradients(report, result, label, gradient)
            check_statistics(report, step, result, label, output)
    report.exit()


if __name__ == "__main__":
    main()
