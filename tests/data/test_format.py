"""Reads a data directory by data-sharding/FORMAT.md alone, without our code, and compares."""
import ctypes
import filecmp
import hashlib
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
import zipfile

jmt = sys.argv[1]
number = failures = 0


def report(good, text):
    global number, failures
    number += 1
    failures += not good
    print("%sok %d - %s" % ("" if good else "not ", number, text))


def skip(text, reason):
    global number
    number += 1
    print("ok %d - %s # SKIP %s" % (number, text, reason))


def hashes():
    """XXH3-64 of bytes with a seed; None where the library is missing."""
    for name in ("libxxhash.so.0", "libxxhash.so"):
        try:
            function = ctypes.CDLL(name).XXH3_64bits_withSeed
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_uint64
        function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
        return lambda data, seed: function(data, len(data), seed)
    return None


xxh3 = hashes()


def read_trailer(data):
    """(trailer's bytes, ranges); raises where FORMAT.md does not hold."""
    own, length, magic = struct.unpack("<QQ8s", data[-24:])
    assert magic == b"JMTSHARD"
    trailer = data[-length:]
    head_magic, version, hdf5_bytes, count = struct.unpack("<8sQQQ", trailer[:32])
    assert (head_magic, version) == (b"JMTRANGE", 3)
    assert length == 32 + 32 * count + 24 and hdf5_bytes + length == len(data)
    ranges = [struct.unpack("<QQQQ", trailer[32 + 32 * i:64 + 32 * i]) for i in range(count)]
    at = 0
    for offset, size, digest, kind in ranges:
        assert offset == at and 1 <= size <= 16384 and kind in (0, 1)
        assert xxh3 is None or digest == xxh3(data[offset:offset + size], 0)
        at += size
    assert at == hdf5_bytes
    assert xxh3 is None or own == xxh3(trailer[:-24], length)
    assert data[:8] == b"\x89HDF\r\n\x1a\n" and data[8] == 3
    assert struct.unpack("<Q", data[28:36])[0] == hdf5_bytes
    return trailer, ranges


def datasets(path):
    """{name: (type and shape, offset, bytes)} as h5dump sees them."""
    text = subprocess.run(["h5dump", "-p", "-H", path], capture_output=True, text=True, check=True)
    found, names = {}, []
    for line in text.stdout.splitlines():
        depth = (len(line) - len(line.lstrip())) // 3
        opened = re.match(r'\s*(?:GROUP|DATASET) "([^"]*)" \{', line)
        if opened:
            names = names[:depth] + [opened.group(1).strip("/")]
            continue
        for key in ("DATATYPE", "DATASPACE", "OFFSET", "SIZE"):
            value = re.match(r"\s*%s +(.*)" % key, line)
            if value:
                found.setdefault("/".join(names).strip("/"), {})[key] = value.group(1)
    return {name: d for name, d in found.items() if "OFFSET" in d}


def dumped(path, name, work):
    out = os.path.join(work, "dumped")
    subprocess.run(["h5dump", "-d", "/" + name, "-b", "LE", "-o", out, path], check=True,
                   stdout=subprocess.DEVNULL)
    with open(out, "rb") as file:
        return file.read()


def check_h5(path, data, ranges, work):
    found = datasets(path)
    tracks = ["modalities/audio", "modalities/noise", "modalities/video", "targets/arousal",
              "targets/valence"]
    columns = ["group", "name", "session", "source_hash", "split", "subject"]
    assert sorted(found) == sorted(["recordings/" + c for c in columns] +
                                   [t + "/" + leaf for t in tracks
                                    for leaf in ("index", "valid", "values")])
    bulk = bytearray(len(data))
    for track in tracks:
        for leaf, kind in (("values", "H5T_IEEE_F32LE"), ("valid", "H5T_STD_U8LE")):
            d = found[track + "/" + leaf]
            assert d["DATATYPE"] == kind
            begin, size = int(d["OFFSET"]), int(d["SIZE"])
            assert size > 0
            bulk[begin:begin + size] = b"\1" * size
            assert data[begin:begin + size] == dumped(path, track + "/" + leaf, work)
        d, at = found[track + "/index"], 0
        rows = data[int(d["OFFSET"]):int(d["OFFSET"]) + int(d["SIZE"])]
        for offset, length, rate, start in struct.iter_unpack("<qqdd", rows):
            assert offset == at and length >= 16 and rate == 5.0 and start == 0.0
            at += length
        shape = re.match(r"SIMPLE \{ \( (\d+), (\d+) \)", found[track + "/values"]["DATASPACE"])
        assert int(shape.group(1)) == at
        assert int(shape.group(2)) == {"video": 32, "audio": 24, "noise": 8}.get(track[11:], 1)
    for offset, size, _, kind in ranges:
        assert bulk[offset:offset + size] == bytes([kind]) * size


def attempt(text, function, *arguments):
    try:
        result = function(*arguments)
        report(True, text)
        return result
    except AssertionError as error:
        import traceback
        print("#", traceback.extract_tb(error.__traceback__)[-1])
        report(False, text)
        return None


def check_directory(directory, trailers):
    with open(os.path.join(directory, "dataset.json"), "rb") as file:
        text = file.read()
    with open(os.path.join(directory, "dataset.sha256"), "rb") as file:
        assert file.read() == hashlib.sha256(text).hexdigest().encode()
    manifest = json.loads(text)
    assert manifest["format"] == "jmt-dataset" and manifest["format_version"] == 3
    names = sorted(n for n in os.listdir(directory) if n.startswith("shard-"))
    assert [f["name"] for f in manifest["files"]] == names
    for f in manifest["files"]:
        assert f["bytes"] == os.path.getsize(os.path.join(directory, f["name"]))
        assert f["trailer_sha256"] == hashlib.sha256(trailers[f["name"]]).hexdigest()
    inspected = json.loads(subprocess.run([jmt, "inspect", directory, "--json"], check=True,
                                          capture_output=True).stdout)
    joined = b"".join(trailers[n] for n in names)
    assert inspected["identity"] == hashlib.sha256(joined).hexdigest()
    assert (inspected["recordings"], inspected["subjects"]) == (16, 8)
    assert (manifest["recordings"], manifest["subjects"]) == (16, 8)
    with open(directory + ".key") as file:
        key = json.load(file)
    assert stat.S_IMODE(os.stat(directory + ".key").st_mode) == 0o600
    people = sorted(key["aliases"].values())
    assert people == ["person-%04d" % (i + 1) for i in range(8)]
    told = "".join(text + "\0" for text in [key["salt"]] + people)
    assert key["format"] == "jmt-key" and key["version"] == 1
    assert key["id"] == manifest["key_id"] == hashlib.sha256(told.encode()).hexdigest()


def make(directory):
    sets = ["recordings=12", "subjects=6", "test_recordings=4", "test_subjects=2", "shards=2",
            "min_steps=400", "max_steps=900"]
    subprocess.run([jmt, "shard", "synthetic", "--out", directory] +
                   [w for s in sets for w in ("--set", s)], check=True, capture_output=True)


def refused(directory, text):
    done = subprocess.run([jmt, "inspect", directory, "--json"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "" and text in done.stderr, done


def check_versions(directory):
    """Another version, with right hashes, is refused by name."""
    shard, manifest = (os.path.join(directory, n) for n in ("shard-00000.h5", "dataset.json"))
    with open(shard, "r+b") as file:
        data = file.read()
        length = struct.unpack("<Q", data[-16:-8])[0]
        trailer = data[-length:-24]
        trailer = trailer[:8] + struct.pack("<Q", 4) + trailer[16:]
        file.seek(-length, os.SEEK_END)
        file.write(trailer + struct.pack("<Q", xxh3(trailer, length)))
    refused(directory, "format version 4, this program reads 2 to 3")
    with open(manifest) as file:
        text = file.read().replace('"format_version": 3', '"format_version": 1').encode()
    for name, content in (("json", text), ("sha256", hashlib.sha256(text).hexdigest().encode())):
        with open(os.path.join(directory, "dataset." + name), "wb") as file:
            file.write(content)
    refused(directory, "format version 1, this program reads 2 to 3")


def check_version_2(work):
    """A directory that the program wrote before version 3 is read as it always was."""
    with zipfile.ZipFile(os.path.join(os.path.dirname(__file__), "version_2.zip")) as stored:
        stored.extractall(work)
    directory = os.path.join(work, "version_2")
    done = subprocess.run([jmt, "inspect", directory, "--json"], check=True, capture_output=True)
    inspected = json.loads(done.stdout)
    audio = inspected["modalities"]["audio"]
    assert (inspected["format_version"], inspected["recordings"]) == (2, 3)
    assert (audio["dim"], audio["kind"], audio["steps"], audio["valid"]) == (24, "features", 48, 47)
    done = subprocess.run([jmt, "shard", "--verify", directory, "--json"], capture_output=True)
    assert done.returncode == 0 and json.loads(done.stdout)["bad"] == []
    subprocess.run([jmt, "shard", "--remove-subject", "person-0001", "--key", directory + ".key", directory],
                   check=True, capture_output=True)
    done = subprocess.run([jmt, "inspect", directory, "--json"], check=True, capture_output=True)
    inspected = json.loads(done.stdout)
    assert (inspected["format_version"], inspected["recordings"]) == (3, 2)
    assert inspected["modalities"]["audio"]["steps"] == 32


work = tempfile.mkdtemp()
try:
    directory = os.path.join(work, "data")
    make(directory)
    trailers = {}
    for name in sorted(n for n in os.listdir(directory) if n.startswith("shard-")):
        with open(os.path.join(directory, name), "rb") as file:
            content = file.read()
        parts = attempt("%s: the trailer" % name, read_trailer, content)
        if parts is None:
            continue
        trailers[name] = parts[0]
        if shutil.which("h5dump"):
            attempt("%s: h5dump reads it, and the blocks are where it says" % name, check_h5,
                    os.path.join(directory, name), content, parts[1], work)
        else:
            skip("%s: h5dump reads it" % name, "h5dump is not installed")
    if xxh3 is None:
        skip("the checksums", "no libxxhash for Python to load")
    else:
        report(True, "the checksums are XXH3-64")
    again = os.path.join(work, "again")
    time.sleep(1.1)  # HDF5 would keep seconds
    make(again)
    report(all(filecmp.cmp(os.path.join(directory, n), os.path.join(again, n), shallow=False)
               for n in os.listdir(directory)), "equal imports, at another time, give equal bytes")
    if len(trailers) == 2:
        attempt("dataset.json, dataset.sha256, identity, key file", check_directory, directory,
                trailers)
    if xxh3 is not None:
        attempt("other versions are refused", check_versions, again)
    attempt("version 2 is read", check_version_2, work)
finally:
    shutil.rmtree(work)
print("1..%d" % number)
sys.exit(failures > 0)
