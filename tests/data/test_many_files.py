"""A hundred thousand small files, imported where they lie: pictures in folders, in a .tar and in a .zip, and tables
of features. With few descriptors, and in processor time that grows with their number and not with its square."""
import io
import json
import os
import pathlib
import resource
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib

JMT = sys.argv[1]
RECORDINGS = 200
FILES = int(os.environ.get("JMT_TEST_FILES", "100000")) # a multiple of RECORDINGS
BUDGET_S = 20 # a few on any machine; what compares all with all takes minutes
number = failures = 0


def report(good, text):
    global number, failures
    number += 1
    failures += not good
    print("%sok %d - %s" % ("" if good else "not ", number, text))


def jmt(*arguments, hard=64):
    """Exit code, output, processor time. The limit, which a program may raise to `hard`, is of descriptors."""
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([JMT, *map(str, arguments)], capture_output=True, text=True, timeout=280, preexec_fn=limit)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != 0:
        print("# " + done.stderr.strip())
    return done.returncode, done.stdout, seconds


def png(level):
    """8 x 8, grey."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + bytes([level]) * 8) * 8
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write(path, rows, columns):
    path.write_text("\n".join(["recording,subject,group,modality,rate_hz,path" + columns, *rows]) + "\n")


def imported(place, importer, name, recordings, settings, text):
    """The importer's data directory, looked at; None where this build has no such reader."""
    code, _, seconds = jmt("shard", importer, "--source", place, "--out", place.parent / (name + "-data"), *settings)
    if code == 3:
        print("SKIP: built without the readers of raw media")
        return None
    print("# %s: %.1f s of a processor" % (text, seconds))
    report(code == 0 and seconds < BUDGET_S, text)
    code, out, seconds = jmt("inspect", place.parent / (name + "-data"), "--json")
    told = json.loads(out) if code == 0 else {}
    report(told.get("recordings") == recordings and seconds < BUDGET_S, text + ": all of them, and opened")
    return told


def tables(root):
    place = root / "tables"
    place.mkdir()
    (place / "a.csv").write_text("x,z\n1,2\n3,4\n")
    (place / "y.csv").write_text("y\n1\n2\n")
    rows = []
    for i in range(FILES // 2):
        if i % 1000 == 0:
            (place / str(i // 1000)).mkdir()
        for name, modality in (("a", "a"), ("y", "label:y")):
            path = "%d/%s%d.csv" % (i // 1000, name, i)
            os.link(place / (name + ".csv"), place / path)
            rows.append("r%d,p%d,g%d,%s,2,%s" % (i, i, i, modality, path))
    write(place / "manifest.csv", rows, "")
    told = imported(place, "features", "tables", FILES // 2, (), f"{FILES:,} tables, as many people as recordings")
    report(told.get("subjects") == FILES // 2, "everybody is somebody")


def archives(root):
    """Each recording in a .tar of its own, more than descriptors to begin with."""
    place = root / "archives"
    place.mkdir()
    rows = []
    for r in range(RECORDINGS):
        with tarfile.open(place / ("%d.tar" % r), "w") as tar:
            info = tarfile.TarInfo("v/00001.png")
            info.size = len(png(r))
            tar.addfile(info, io.BytesIO(png(r)))
        rows.append("r%d,p%d,,video:face,25,%d.tar,v" % (r, r, r))
    write(place / "manifest.csv", rows, ",dataset")
    code, _, _ = jmt("shard", "media", "--source", place, "--out", root / "archives-data", "--set", "size=8",
                     "--set", "first_frame=1", hard=1024)
    if code != 3:
        report(code == 0, "%d archives, and 64 descriptors to begin with" % RECORDINGS)


def pictures(root):
    places = [root / "folders", root / "tar", root / "zip"]
    for place in places:
        place.mkdir()
    shade = [png(r % 256) for r in range(RECORDINGS)]
    with tarfile.open(places[1] / "all.tar", "w") as tar, zipfile.ZipFile(places[2] / "all.zip", "w") as packed:
        for i in range(FILES):
            r, frame = divmod(i, FILES // RECORDINGS)
            name = "v%03d/%05d.png" % (r, frame + 1)
            info = tarfile.TarInfo(name)
            info.size = len(shade[r])
            tar.addfile(info, io.BytesIO(shade[r]))
            packed.writestr(name, shade[r])
            if frame == 0:
                (places[0] / ("v%03d" % r)).mkdir()
                first = places[0] / name
                first.write_bytes(shade[r])
            else:
                os.link(first, places[0] / name)
    hashes = []
    for place, path, member in zip(places, ("v%03d", "all.tar", "all.zip"), ("", "v%03d", "v%03d")):
        rows = ["r%d,p%d,,video:face,25,%s,%s" % (r, r, path % r if "%" in path else path, member and member % r)
                for r in range(RECORDINGS)]
        write(place / "manifest.csv", rows, ",dataset")
        told = imported(place, "media", place.name, RECORDINGS,
                        ("--set", "size=8", "--set", "first_frame=1", "--set", "shards=1"),
                        f"{FILES:,} pictures in {place.name}")
        if told is None:
            return
        report(told["modalities"]["face"]["valid"] == FILES, "each picture of %s" % place.name)
        files = json.loads((root / (place.name + "-data") / "dataset.json").read_text())["files"]
        hashes.append([file["trailer"] if "trailer" in file else file for file in files])
    report(hashes[0] == hashes[1] == hashes[2], "the same bytes, wherever they lay")


with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as at:
    tables(pathlib.Path(at))
    archives(pathlib.Path(at))
    pictures(pathlib.Path(at))
print("1..%d" % number)
sys.exit(failures > 0)
