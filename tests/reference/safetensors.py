"""Reads and writes safetensors files with the standard library alone.

A tensor is a pair (shape, values): shape a tuple, values an array.array of type 'f', 'd', 'B' or
'q', row-major. The file is an 8-byte little-endian header length, a JSON header, and the bytes.
"""
import array
import json
import struct
import sys

TYPES = {"F32": "f", "F64": "d", "U8": "B", "I64": "q"}
CODES = {code: name for name, code in TYPES.items()}


def read(path):
    """({name: (shape, values)}, metadata)"""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        tensors = {}
        base = 8 + length
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            values = array.array(TYPES[entry["dtype"]])
            file.seek(base + begin)
            values.frombytes(file.read(end - begin))
            if sys.byteorder == "big":
                values.byteswap()
            tensors[name] = (tuple(entry["shape"]), values)
    return tensors, metadata


def write(path, tensors, metadata=None):
    header, begin = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, (shape, values) in tensors.items():
        end = begin + len(values) * values.itemsize
        header[name] = {"dtype": CODES[values.typecode], "shape": list(shape),
                        "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for shape, values in tensors.values():
            if sys.byteorder == "big":
                values = values[:]
                values.byteswap()
            file.write(values.tobytes())
