"""Raw media as others write them, through the readers of data-sharding: archives by Python's
tarfile and zipfile, a folder of a hundred thousand files, PNGs."""
import io
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib

TOOL = pathlib.Path(sys.argv[1]).parent / "tests" / "tools" / "media_dump"
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


def dump(kind, path):
    done = subprocess.run([TOOL, kind, path], capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stderr


# --- archives -----------------------------------------------------------------------------------------

FILES = {"v1/00001.jpg": b"\xff\xd8 one", "v1/00002.jpg": b"", "v2_left/00001.jpg": os.urandom(70000),
         "Übung/日本/α β.txt": "grüße".encode(), "n/" + "long" * 24 + "/" + "name" * 20 + ".txt": b"deep",
         "z/" * 20 + "end": b"x" * 513}


def listing(files):
    return "".join("%d %08x %s\n" % (len(data), zlib.crc32(data), name)
                   for name, data in sorted(files.items(), key=lambda item: item[0].encode()))


def write_tar(path, files, form, dotted):
    with tarfile.open(path, "w", format=form) as made:
        made.addfile(tarfile.TarInfo("v1")) if dotted == "empty" else None
        for name, data in files.items():
            info = tarfile.TarInfo(("./" if dotted else "") + name)
            info.size, info.mtime = len(data), 1700000000.25
            made.addfile(info, io.BytesIO(data))


def write_zip(path, files, method):
    with zipfile.ZipFile(path, "w", method) as made:
        made.mkdir("v1") if hasattr(made, "mkdir") else made.writestr("v1/", b"")
        for name, data in files.items():
            made.writestr(name, data)


def write_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)


def archives(place):
    wanted = listing(FILES)
    short = {name: data for name, data in FILES.items() if name.isascii()}
    folder = place / "folder"
    write_folder(folder, FILES)
    report(dump("archive", folder) == (0, wanted, ""), "a folder")
    for dotted in (False, True):
        where = " below ./" if dotted else ""
        for form, text in ((tarfile.PAX_FORMAT, "pax"), (tarfile.GNU_FORMAT, "GNU")):
            write_tar(place / "it.tar", FILES, form, dotted)
            report(dump("archive", place / "it.tar") == (0, wanted, ""), "tar, " + text + where)
        write_tar(place / "it.tar", short, tarfile.USTAR_FORMAT, dotted)
        report(dump("archive", place / "it.tar") == (0, listing(short), ""), "tar, ustar" + where)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        write_zip(place / "it.zip", FILES, method)
        report(dump("archive", place / "it.zip") == (0, wanted, ""), "zip, method %d" % method)
    with tarfile.open(place / "it.tar.gz", "w:gz") as made:
        made.add(folder, "folder")
    code, _, error = dump("archive", place / "it.tar.gz")
    report(code == 2 and "compressed as a whole" in error, "a .tar.gz is refused")
    gnu_tar(place, folder)


def gnu_tar(place, folder):
    if shutil.which("tar") is None or "GNU tar" not in subprocess.run(
            ["tar", "--version"], capture_output=True, text=True).stdout:
        skip("GNU tar's archives", "there is no GNU tar")
        return
    os.link(folder / "v1/00001.jpg", folder / "v1/again.jpg")
    subprocess.run(["tar", "-C", folder, "-cf", place / "it.tar", "."], check=True)
    code, _, error = dump("archive", place / "it.tar")
    report(code == 2 and "a link" in error, "GNU tar's hard link is refused")
    subprocess.run(["tar", "--hard-dereference", "-C", folder, "-cf", place / "it.tar", "."],
                   check=True)
    both = dict(FILES, **{"v1/again.jpg": FILES["v1/00001.jpg"]})
    report(dump("archive", place / "it.tar") == (0, listing(both), ""), "GNU tar's own")


def many_files():
    """In memory where the system has a place for that: making them is what takes long."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        wanted = []
        for i in range(100000):
            if i % 1000 == 0:
                os.mkdir("%s/%03d" % (folder, i // 1000))
            name = "%03d/%05d.jpg" % (i // 1000, i)
            data = b"%d" % i
            wanted.append("%d %08x %s\n" % (len(data), zlib.crc32(data), name))
            file = os.open(folder + "/" + name, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(file, data)
            os.close(file)
        report(dump("archive", folder) == (0, "".join(wanted), ""), "a folder of 100,000 files")


# --- images ------------------------------------------------------------------------------------------

def png(width, height, colour, depth, rows, *chunks):
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunk(*c) for c in chunks)
            + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b""))


def images(place):
    """PNGs of every colour kind, written by the PNG specification alone."""
    rgb = bytes(range(100, 118))
    wanted = "3 2 %08x\n" % zlib.crc32(rgb)
    deep = bytes(b for value in rgb for b in (value, value))
    grey = bytes([7, 7, 7, 250, 250, 250])
    for text, data, want in (
            ("RGB", png(3, 2, 2, 8, [rgb[:9], rgb[9:]]), wanted),
            ("16 bits", png(3, 2, 2, 16, [deep[:18], deep[18:]]), wanted),
            ("a palette", png(3, 2, 3, 8, [b"\0\1\2", b"\3\4\5"], (b"PLTE", rgb)), wanted),
            ("grey", png(2, 1, 0, 8, [b"\x07\xfa"]), "2 1 %08x\n" % zlib.crc32(grey)),
            ("opaque", png(1, 1, 6, 8, [b"abc\xff"]), "1 1 %08x\n" % zlib.crc32(b"abc")),
            ("one bit", png(2, 1, 0, 1, [b"\x40"]), "2 1 %08x\n" % zlib.crc32(b"\0\0\0\xff\xff\xff"))):
        (place / "it.png").write_bytes(data)
        got = dump("image", place / "it.png")
        if got[0] == 3:
            skip("PNG", "built without the readers of raw media")
            return
        report(got == (0, want, ""), "PNG, " + text)
        (place / "it.png").write_bytes(data[:-20])
        code, _, error = dump("image", place / "it.png")
        report(code == 2 and "cut off" in error and error.count("\n") == 1, "cut off: PNG, " + text)


with tempfile.TemporaryDirectory() as at:
    archives(pathlib.Path(at))
    images(pathlib.Path(at))
many_files()
print("1..%d" % number)
sys.exit(failures > 0)
