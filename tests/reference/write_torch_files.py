"""Writes tests/unit/torch/, and tests/golden/vectors/published.pt: small files by torch.save and pickle, which the
readers of data-sharding/pickle.h and torch_file.h are tested by. Their numbers are counted up or follow a formula, so
the tests need no stored ones."""
import io
import pathlib
import pickle
import struct
from collections import OrderedDict

import numpy
import torch

import formulas

OUT = pathlib.Path(__file__).resolve().parent.parent / "unit" / "torch"


def count(*shape, dtype=torch.float32):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape).to(dtype)


def tensors():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    with torch.no_grad():
        model[0].weight.copy_(count(2, 3))
        model[0].bias.copy_(count(2) - 0.5)
    whole = count(4, 6)
    return {
        "state_dict": model.state_dict(),
        "epoch": 7,
        "best": 0.25,
        "arch": "small",
        "parameter": torch.nn.Parameter(count(2, 2)),
        "transposed": whole.t(),
        "part": whole[1:3, 2:5],
        "f16": count(5, dtype=torch.float16) / 4,
        "bf16": count(5, dtype=torch.bfloat16) * 8,
        "f64": count(2, 3, 4, dtype=torch.float64) / 8,
        "i64": count(3, dtype=torch.int64) - 1,
        "bool": count(3) > 0,
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "expanded_away": torch.ones(1, 3)[:, :1].expand(1, 1),
        "size": whole.shape,
    }


def features():
    """As the data sets of multimodal sentiment store theirs."""
    text = numpy.arange(24, dtype=numpy.float32).reshape(2, 3, 4)
    return {
        "train": {
            "text": text,
            "fortran": numpy.asfortranarray(text[0]),
            "double": numpy.arange(3, dtype=numpy.float64) / 2,
            "big": numpy.arange(4, dtype=">i2") - 1,
            "half": numpy.arange(3, dtype=numpy.float16) / 4,
            "id": numpy.array(["a$_$1", "bc"]),
            "raw_text": numpy.array(["one", None, "three"], dtype=object),
            "yes": numpy.array([True, False]),
            "empty": numpy.zeros((0, 5)),
            "lengths": [3, 250, 70000, -5, 1 << 40],
        },
        "score": numpy.float64(0.75),
        "number": numpy.int32(-9),
        "nothing": None,
        "pair": (1.5, b"\x00\xff\x80"),
        "ordered": OrderedDict([("x", True)]),
    }


def nested():
    """Keys that are numbers or have slashes, lists of arrays, gaps, and an array that is a view of another one."""
    first, second = (numpy.arange(6, dtype=numpy.float32).reshape(2, 3) + 10 * i for i in range(2))
    return {
        0: [first, second],
        "a/b": first,
        "a": {"b": second, "c": {"only": numpy.array([1.5, numpy.nan, numpy.inf])}},
        "part": numpy.arange(20, dtype=numpy.int64).reshape(4, 5)[1:3, 1:4],
        "scalar": numpy.array(3.5),
        "words": numpy.array(["x", "y"]),
        "score": 0.5,
    }


def written_by_python_2():
    """An old file of PyTorch as Python 2 left it: byte strings as names, an OrderedDict from a list of pairs, and
    _rebuild_tensor (the form of rgb_imagenet.pt)."""
    def text(word):
        return b"U" + bytes([len(word)]) + word.encode()

    def tensor(key, kind, numbers, offset, dims, strides):
        def sizes(values):
            return b"(" + b"".join(b"K" + bytes([v]) for v in values) + b"t"
        storage = b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cuda:0") + \
            b"K" + bytes([numbers]) + b"NtQ"
        return b"ctorch._utils\n_rebuild_tensor\n(" + storage + b"K" + bytes([offset]) + sizes(dims) + \
            sizes(strides) + b"tR"

    pairs = b"".join(b"]q" + bytes([i + 20]) + b"(" + text(name) + body + b"e" for i, (name, body) in enumerate([
        ("logits.weight", tensor("140001", b"FloatStorage", 6, 0, (2, 3), (3, 1))),
        ("logits.bias", tensor("140002", b"FloatStorage", 4, 2, (2,), (1,)))]))
    data = pickle.dumps(0x1950a86a20f9469cfc6c, 2) + pickle.dumps(1001, 2)
    data += pickle.dumps({"protocol_version": 1001, "little_endian": True,
                          "type_sizes": {"short": 2, "int": 4, "long": 4}}, 2)
    data += b"\x80\x02ccollections\nOrderedDict\nq\x01]q\x02(" + pairs + b"e\x85Rq\x03."
    data += b"\x80\x02]q\x01(" + text("140002") + text("140001") + b"e."
    for numbers in (4, 6):
        data += struct.pack("<q", numbers) + struct.pack(f"<{numbers}f", *range(numbers))
    return data


def published():
    """The fusion block of appendix A (jmt.md) under the names of the published code (appendix B), with a part that
    its checkpoints have and nothing uses, and as a model on several GPUs is saved."""
    dim, ff, hidden = 4, 5, 3

    def attention(prefix):
        return [(prefix + "in_proj_weight", (3 * dim, dim)), (prefix + "in_proj_bias", (3 * dim,)),
                (prefix + "out_proj.weight", (dim, dim)), (prefix + "out_proj.bias", (dim,))]

    def encoder(name):
        prefix = name + ".layers.0."
        return attention(prefix + "attention.") + [
            (prefix + "feed_forward.0.weight", (ff, dim)), (prefix + "feed_forward.0.bias", (ff,)),
            (prefix + "feed_forward.2.weight", (dim, ff)), (prefix + "feed_forward.2.bias", (dim,)),
            (prefix + "layer_norm1.weight", (dim,)), (prefix + "layer_norm1.bias", (dim,)),
            (prefix + "layer_norm2.weight", (dim,)), (prefix + "layer_norm2.bias", (dim,))]

    def head(name):
        return [(name + ".0.weight", (hidden, dim)), (name + ".0.bias", (hidden,)),
                (name + ".3.weight", (1, hidden)), (name + ".3.bias", (1,))]

    names = [("out_layer_pv.weight", (dim, 2 * dim)), ("out_layer_pv.bias", (dim,))]
    for stream in ("visual", "physiological", "joint_representation"):
        names += encoder(stream + "_encoder")
    for query in ("v", "p", "pv"):
        names += attention(f"cross_attention_{query}.")
    names += encoder("final_visual_encoder") + attention("final_self_attention.")
    names = [("mm_transformer." + name, shape) for name, shape in names]
    names += head("vregressor") + head("aregressor")
    state = OrderedDict()
    for number, (name, shape) in enumerate(names):
        gain = "norm1.weight" if "norm" in name and name.endswith(".weight") else ""
        values = formulas.appendix_a_weight(number, gain, shape)
        state["module." + name] = torch.tensor(list(values), dtype=torch.float64).reshape(shape).float()
    state["module.mm_transformer.final_encoder.layers.0.layer_norm1.bias"] = torch.zeros(6 * dim)
    return {"epoch": 3, "state_dict": state}


def main():
    OUT.mkdir(exist_ok=True)
    torch.save(published(), OUT.parent.parent / "golden" / "vectors" / "published.pt")
    torch.save({"conv1.weight": count(2, 3, 5), "conv1.bias": count(2), "fc.weight": count(4, 2),
                "bn1.num_batches_tracked": torch.tensor(9)}, OUT / "conv.pt")
    torch.save(count(3, 2) / 4, OUT / "tensor.pt")
    torch.save(tensors(), OUT / "zip.pt")
    torch.save(tensors(), OUT / "stream.pth", _use_new_zipfile_serialization=False)
    torch.save({"a": torch.ones(2).expand(3, 2)}, OUT / "expanded.pt")
    torch.save(torch.nn.Linear(1, 1), OUT / "module.pt")
    (OUT / "python2.pt").write_bytes(written_by_python_2())
    for protocol in range(2, 6):
        (OUT / f"features-{protocol}.pkl").write_bytes(pickle.dumps(features(), protocol))
    (OUT / "nested.pickle").write_bytes(pickle.dumps(nested(), 4))
    known = torch.load(io.BytesIO(written_by_python_2()), map_location="cpu", weights_only=False)
    assert known["logits.bias"].tolist() == [2, 3] and known["logits.weight"][1, 2] == 5


main()
