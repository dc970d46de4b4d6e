#!/usr/bin/env python3
"""seeds.py JMT - writes the first corpus of every target below tests/fuzz/corpus: files that the
program writes from its own small data, and what Python's zipfile, json and struct make."""
import base64
import io
import json
import pathlib
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TRAINING = """
seed: 1
epochs: 1
batch: 4
virtual_shards: 2
model: {name: jmt, dim: 1, ff: 1, heads: 1, head_hidden: 1}
data: {window: 4, path: DATA}
checkpoint: {every_steps: 2}
modalities: {video: {dim: 32}, audio: {dim: 24}}
targets: {valence: {loss: ccc}}
"""


def save(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{target}-{name}").write_bytes(data if isinstance(data, bytes) else data.encode())


def tensors(entries, metadata=None):
    """A safetensors file of {name: (dtype, shape, bytes)}."""
    header, body = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, data) in entries.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def npy(descr, shape, data, fortran=False, version=1):
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    before = 10 if version == 1 else 12
    text += b" " * (-(before + len(text) + 1) % 64) + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def npz(members, method=zipfile.ZIP_STORED, zip64=False):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=zip64) as member:
                member.write(data)
            archive.getinfo(name).compress_type = method
    return file.getvalue()


def npz_deflated(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def configs(jmt):
    for name in ("tiny/jmt", "golden/h1", "mosi/concat_encoder", "ceap360/gaze",
                 "stress_predict/jmt", "synthetic/majority"):
        path = ROOT / "configs" / (name + ".yaml")
        flat = name.replace("/", "-")
        save("config", flat, path.read_bytes())
        save("config", "resolved-" + flat, run(jmt, "config", path))
    save("config", "sets", "--set model.name=mt\n--set model.modalities=[audio, video]\n"
         + (ROOT / "configs/tiny/jmt.yaml").read_text())


def pickle_of_array():
    """numpy's, of [[1, 2], [3, 4]] in bytes, behind the key a."""
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85C\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02u1K\0K\x01tR(K\x03U\x01|NNNK\0K\0K\0tb"
    return b"\x80\x03}U\x01a" + made + b"(K\x01K\x02K\x02\x86" + kind + b"\x89C\x04\1\2\3\4tbs."


def matrices():
    floats, doubles = struct.pack("<6f", *range(6)), struct.pack("<4d", 1, 2, 3, 4)
    made = {"f4": npy("<f4", (3, 2), floats), "f8": npy("<f8", (4,), doubles, version=2),
            "i2": npy("<i2", (2, 2), struct.pack("<4h", 1, -2, 3, 4)),
            "f2": npy("<f2", (2, 2), struct.pack("<4e", 1, -2, 0.5, 4)),
            "fortran": npy("<f4", (3, 2), floats, fortran=True)}
    for name, data in made.items():
        save("matrix", name + ".npy", data)
    two = {"a.npy": made["f4"], "b.npy": made["f8"]}
    save("matrix", "stored.npz", npz(two))
    save("matrix", "zip64.npz", npz(two, zip64=True))
    save("matrix", "deflated.npz", npz_deflated({"a.npy": made["i2"]}))
    save("matrix", "plain.csv", "1,2\n3,4\n")
    save("matrix", "timed.csv", "time_ms,x\n500,1\n600,2\n700,\n")
    save("matrix", "found-large.csv", "1e39,1\n")
    save("matrix", "found-far.csv", "frame,x\n9223372036854775807,1\n")
    save("matrix", "found-bomb.csv", "frame,,,,,,\n122272222,34\n")
    save("matrix", "found-lines.csv", '1,2\n1,"a\nb\x1b[2J"\n')
    save("matrix", "counted.csv", "0,1\n5,6\n")
    save("matrix", "index.csv", ",0,1\n0,5,6\n")
    save("matrix", "empty.csv", "x,y\n")
    save("matrix", "smile.arff", "%c\n@relation 'r'\n@attribute n string\n@attribute frameTime real\n"
         "@attribute a numeric\n@attribute class {x,'y z'}\n@data\n'i',0.5,1,x\n'i',0.6,?,'y z'\n")
    save("matrix", "big-endian.npy", npy(">u4", (2,), struct.pack(">2I", 1, 256)))
    save("matrix", "array.pkl", pickle_of_array())
    save("matrix", "stream.pt", (HERE.parent / "unit/torch/stream.pth").read_bytes())
    save("matrix", "frames.csv", 'frame,x,"y, z"\n1,0.25,\n3,nan,-1e-3\n')


def boxes_files():
    save("boxes", "plain", "0frame,x,y,w,h\n0,1,2,3,4\n2,,,,\n3,1.5,2,30,40\n")
    save("boxes", "corners", "0frame,x1,y1,x2,y2,score\n0,0,0,9,9,0.5\n0,1,1,4,4,0.9\n")
    save("boxes", "parts", "0frame,xmin,ymin,width,height\n0,0.1,0.2,0.3,0.4\n")
    save("boxes", "openface", "2frame, success, x_0, x_1, y_0, y_1\n1, 1, 3, 9, 4, 7\n2, 0, 0, 0, 0, 0\n")
    save("boxes", "uncounted", "0frame,x,y,w,h\n7,1,2,3,4\n")
    save("boxes", "unnamed", "0a,b\n1,2\n")
    save("boxes", "found-far", "2frame, x_0, y_0\n1, 1, 1\n88888888, 1, 1\n")


def safetensors_files():
    save("safetensors", "found-metadata", tensors({}, ["no object"]))
    save("safetensors", "found-lines", tensors({"a\nb": ("F16", [1], b"00")}))
    save("safetensors", "types", tensors({
        "a": ("F32", [2, 2], struct.pack("<4f", 1, 2, 3, 4)),
        "b": ("F64", [1], struct.pack("<d", 1)), "c": ("U8", [3], b"abc"),
        "d": ("I64", [], struct.pack("<q", -5)), "e": ("F32", [0, 7], b"")}, {"made": "here"}))


def shards():
    save("shard", "whole", b"S")
    save("shard", "found-dims", b"D" + struct.pack("<BQ", 32, 1 << 40))  # columns
    for mode in "TR":
        save("shard", mode + "-count", mode.encode() + struct.pack("<HBQ", 24, 7, 1 << 40))
    for at in range(0, 8192, 512):
        save("shard", f"S-{at}", b"S" + struct.pack("<HBQ", at + 40, 7, (1 << 63) - 1))
    for field in range(0, 48, 4):
        save("shard", f"D-{field}", b"D" + struct.pack("<BQ", field, 1 << (field + 8)))


def features():
    head = "recording,subject,group,modality,rate_hz,path,dataset\n"
    save("features", "header", "recording,subject\nr,s\n")
    save("features", "found-lines", head + 'r,s,g,a,"1\n2",a.csv,\n')
    save("features", "whole", head + "r1,Ann,g,label:y,1,y.csv,\nr1,Ann,g,a,1,a.csv,\n"
         'r1,Ann,g,b,0.5,b.npy,\n"r,2",Bob,,a,1e3,a.csv,\n')


def small_checkpoint(manifest):
    """The trained one's manifest, over one tensor and its optimiser state."""
    values = struct.pack("<2f", 1, 2)
    part = tensors({"weights/w@0": ("F32", [2], values), "optimizer/m/w@0": ("F32", [2], values)})
    manifest.update(tensors={"w": [2]}, optimizer_states=["m"], config="seed: 1\n",
                    files={"part-00000.safetensors": "", "statistics.safetensors": ""})
    wrong = {"tensors": {"w": [1] * 9}}, {"tensors": {"w": [1 << 40]}}, {"tensors": {"w": [-1]}}, \
        {"optimizer_states": [5]}, \
        {"files": {"../there": "", "statistics.safetensors": ""}}
    save("checkpoint", "small", json.dumps(manifest).encode() + b"\0" + part)
    for i, change in enumerate(wrong):
        save("checkpoint", f"found-{i}", json.dumps({**manifest, **change}).encode() + b"\0" + part)


def trained(jmt, place):
    """Data, key and a checkpoint of the smallest training."""
    data = place / "data"
    sets = ["subjects=3", "recordings=3", "test_recordings=1", "test_subjects=1", "min_steps=4",
            "max_steps=6", "shards=1"]
    run(jmt, "shard", "synthetic", "--out", data, *[x for s in sets for x in ("--set", s)])
    save("dataset_json", "empty", "{}")
    save("dataset_json", "synthetic", (data / "dataset.json").read_bytes())
    key = json.loads((place / "data.key").read_text())
    save("key", "synthetic", json.dumps(key))
    key["id"] = key["aliases"]["s0001"] = "0"  # what the target looks for
    save("key", "asked", json.dumps(key))
    save("key", "found-twice", json.dumps({**key, "aliases": {"s0001": "0", "s0002": "0"}}))
    save("key", "found-empty", json.dumps({**key, "aliases": {"": "0"}}))
    (place / "t.yaml").write_text(TRAINING.replace("DATA", str(data)))
    run(jmt, "train", place / "t.yaml", "--run", place / "run", "--steps", "2")
    step = place / "run/checkpoints/step-00000002"
    small_checkpoint(json.loads((step / "manifest.json").read_text()))
    save("safetensors", "statistics", (step / "statistics.safetensors").read_bytes())


def run(jmt, *words):
    return subprocess.run([jmt, *map(str, words)], check=True, capture_output=True).stdout


def tar(members, form):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5
            archive.addfile(info, io.BytesIO(data))
    used = len(file.getvalue().rstrip(b"\0"))
    return file.getvalue()[:(used + 511) // 512 * 512 + 1024]


def archives():
    members = {"v/2.jpg": b"two", "./v/1.jpg": b"", "\u00e4/" + "long" * 26: b"name"}
    save("archive", "stored", npz(members))
    save("archive", "zip64", npz(members, zip64=True))
    save("archive", "deflated", npz_deflated(members))
    save("archive", "pax", tar(members, tarfile.PAX_FORMAT))
    save("archive", "gnu", tar(members, tarfile.GNU_FORMAT))
    save("archive", "ustar", tar({"p" * 90 + "/" + "n" * 60: b"a"}, tarfile.USTAR_FORMAT))
    save("archive", "cut", tar({"a": b"b"}, tarfile.USTAR_FORMAT)[:-1024])
    save("archive", "outside", npz({"../a": b"b"}))


def png(width, height, colour, depth, rows):
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


# 8 x 8, quality 50, by libjpeg-turbo: grey, and progressive in colour.
JPEGS = {
    "grey": """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hn
Pk1xeXBkeFxlZ2P/wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9
AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZn
aGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP0
9fb3+Pn6/9oACAEBAAA/AEkVURIUWNScbssMHoOvTHOPTBHY/P8A/9k=""",
    "progressive": """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hn
Pk1xeXBkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj
Y2P/wgARCAAIAAgDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAH/xAAVAQEBAAAAAAAAAAAAAAAAAAAAAv/aAAwDAQACEAMQ
AAABgh//xAAVEAEBAAAAAAAAAAAAAAAAAAAAAf/aAAgBAQABBQKv/8QAFREBAQAAAAAAAAAAAAAAAAAAABH/2gAIAQMBAT8Br//EABcR
AQADAAAAAAAAAAAAAAAAAAEAAhH/2gAIAQIBAT8BbJk//8QAFhAAAwAAAAAAAAAAAAAAAAAAABEh/9oACAEBAAY/AlD/xAAYEAEAAwEA
AAAAAAAAAAAAAAABIVHwof/aAAgBAQABPyEABBc7d//aAAwDAQACAAMAAAAQ+//EABcRAQEBAQAAAAAAAAAAAAAAAAERAFH/2gAIAQMB
AT8QJLBvd//EABcRAQADAAAAAAAAAAAAAAAAAAEAEUH/2gAIAQIBAT8QNppP/8QAGhAAAgIDAAAAAAAAAAAAAAAAAREhMQBBUf/aAAgB
AQABPxAjoKkCNC6UriI0c//Z""",
}


def images():
    save("image", "rgb", png(2, 2, 2, 8, b"\0" + b"abcdef" + b"\1" + b"ABCDEF"))
    save("image", "deep", png(2, 1, 2, 16, b"\0" + b"abcdefABCDEF"))
    save("image", "grey-alpha", png(1, 2, 4, 8, b"\0ab\0cd"))
    save("image", "bits", png(9, 1, 0, 1, b"\0\x5a\x80"))
    save("image", "short", png(2, 2, 2, 8, b"\0abcdef"))
    for name, text in JPEGS.items():
        save("image", name, base64.b64decode(text))


def wav(coding, channels, rate, bits, data, extra=b""):
    form = struct.pack("<HHIIHH", coding, channels, rate, rate * channels * bits // 8,
                       channels * bits // 8, bits) + extra
    return (b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
            + struct.pack("<I", len(data)) + data)


def sounds():
    save("audio", "8", wav(1, 1, 8000, 8, b"\0\x80\xff"))
    save("audio", "16", wav(1, 2, 44100, 16, bytes(range(16))))
    save("audio", "24", wav(1, 1, 11127, 24, bytes(range(9))))
    save("audio", "float", wav(3, 1, 16000, 32, struct.pack("<3f", 0.5, -1, 2)))
    save("audio", "double", wav(3, 1, 16000, 64, struct.pack("<2d", 0.5, -1)))
    tail = struct.pack("<HHIH", 22, 16, 0, 1) + bytes.fromhex("000000001000800000aa00389b71")
    save("audio", "extensible", wav(0xfffe, 1, 8000, 16, b"abcd", tail))
    save("audio", "cut", wav(1, 1, 8000, 16, b"abcd")[:-1])


def pickles():
    for path in sorted((HERE.parent / "unit" / "torch").iterdir()):
        save("pickle" if path.suffix == ".pkl" else "torch", path.stem, path.read_bytes())
    save("pickle", "call", b"\x80\x02cos\nsystem\n(U\x04truetR.")
    save("pickle", "itself", b"\x80\x02]q\0h\0a.")


def main():
    jmt = pathlib.Path(sys.argv[1]).resolve()
    configs(jmt)
    matrices()
    boxes_files()
    safetensors_files()
    shards()
    features()
    archives()
    images()
    sounds()
    pickles()
    with tempfile.TemporaryDirectory() as place:
        trained(jmt, pathlib.Path(place))


if __name__ == "__main__":
    main()
