"""Weights from elsewhere and to elsewhere: a checkpoint with the names of the published code becomes, exactly, the
weights of appendix A (both from formulas), and what `jmt export` writes loads strictly into PyTorch modules, where
there is PyTorch."""
import array
import os
import struct
import tempfile

import cases
import formulas
import golden
import safetensors

PUBLISHED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors", "published.pt")


def single(values):
    return array.array("f", [struct.unpack("<f", struct.pack("<f", v))[0] for v in values])


def check_published(report, place):
    for heads in (1, 2):
        path = os.path.join(place, "it.safetensors")
        golden.run(["export", f"configs/golden/h{heads}.yaml", "--set", "init.model=" + PUBLISHED, "--out", path])
        listed = golden.parameter_list([f"configs/golden/h{heads}.yaml"], place)
        tensors, _ = safetensors.read(path)
        report.equal("parameters", len(tensors), len(listed))
        for number, (name, shape) in enumerate(listed):
            report.equal(name, tensors[name], (shape, single(formulas.appendix_a_weight(number, name, shape))))


def torch_module(torch, dim, ff):
    """The stream encoder of video, as torch.nn has it, under the names that we give it."""
    layer = torch.nn.Module()
    layer.attention = torch.nn.MultiheadAttention(dim, 1)
    layer.linear1, layer.linear2 = torch.nn.Linear(dim, ff), torch.nn.Linear(ff, dim)
    layer.norm1, layer.norm2 = torch.nn.LayerNorm(dim), torch.nn.LayerNorm(dim)
    return layer


BACKBONE = """model: {{name: unimodal, dim: 512}}
data: {{window: 1}}
modalities:
  stream: {{backbone: {}, clip: {}}}
targets:
  valence: {{loss: ccc}}
"""


def check_torchvision(report, torch, place):
    """torchvision's own modules, but for their classifiers, take what is exported, and have it then. Names and shapes
    alone are compared with theirs by every step of test_backbones."""
    import torchvision
    models = {"r2plus1d_18": (8, torchvision.models.video.r2plus1d_18), "r3d_18": (8, torchvision.models.video.r3d_18),
              "resnet_18": (107, torchvision.models.resnet18)}
    config, path = os.path.join(place, "it.yaml"), os.path.join(place, "it.safetensors")
    for name, (clip, make) in models.items():
        with open(config, "w") as file:
            file.write(BACKBONE.format(name, clip))
        golden.run(["export", config, "--out", path])
        tensors, _ = safetensors.read(path)
        prefix = "stream.backbone."
        state = {n[len(prefix):]: torch.frombuffer(values, dtype=torch.float32).reshape(shape)
                 for n, (shape, values) in tensors.items() if n.startswith(prefix)}
        model = make(weights=None)
        model.fc = torch.nn.Identity()
        if name == "resnet_18": # of sound
            model.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        model.load_state_dict(state, strict=True)
        taken = model.state_dict()
        report.equal(f"{name}: tensors that PyTorch has otherwise",
                     [n for n, x in state.items() if not torch.equal(taken[n], x)], [])
        report.equal(f"{name}: tensors", len(state) > 50, True)


def check_torch(report, place):
    """Whether there is PyTorch."""
    try:
        import torch
        import torchvision  # noqa: F401
    except ImportError:
        return False
    check_torchvision(report, torch, place)
    path = os.path.join(place, "it.safetensors")
    golden.run(["export", "configs/golden/h1.yaml", "--out", path])
    tensors, metadata = safetensors.read(path)
    report.equal("format", metadata["format"], "pt")
    state = {name: torch.tensor(list(values)).reshape(shape) for name, (shape, values) in tensors.items()}
    for prefix in ("video.encoder.0.", "token.encoder.0."):
        part = {name[len(prefix):]: value for name, value in state.items() if name.startswith(prefix)}
        torch_module(torch, 4, 5).load_state_dict(part, strict=True)
    cross = {n[len("joint.cross."):]: v for n, v in state.items() if n.startswith("joint.cross.")}
    torch.nn.MultiheadAttention(4, 1).load_state_dict(cross, strict=True)
    # And back: what torch.save writes of it fills the model again.
    for zipped in (True, False):
        saved, again = os.path.join(place, "it.pt"), os.path.join(place, "again.safetensors")
        torch.save({"model": state}, saved, _use_new_zipfile_serialization=zipped)
        golden.run(["export", "configs/golden/h1.yaml", "--set", "seed=99", "--set", "init.model=" + saved,
                    "--out", again])
        report.equal("there and back", safetensors.read(again)[0], tensors)
    return True


def main():
    report = golden.Report()
    os.chdir(cases.ROOT)
    with tempfile.TemporaryDirectory() as place:
        check_published(report, place)
        if not check_torch(report, place):
            print("ok 1 - weights of the published code\n"
                  "ok 2 - strict loading # SKIP torch or torchvision is not installed")
    report.exit()


if __name__ == "__main__":
    main()
