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


def check_torch(report, place):
    try:
        import torch
    except ImportError:
        print("# without PyTorch: strict loading is not tried")
        return
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


def main():
    report = golden.Report()
    os.chdir(cases.ROOT)
    with tempfile.TemporaryDirectory() as place:
        check_published(report, place)
        check_torch(report, place)
    report.exit()


if __name__ == "__main__":
    main()
