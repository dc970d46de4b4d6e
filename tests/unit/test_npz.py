"""Archives of .npy by numpy and by Python's zipfile import as the same numbers in CSV do; damaged,
encrypted, split, bombing and ambiguous ones are refused, each by one clear line."""
import base64
import io
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

jmt = sys.argv[1]
number = failures = 0
ROWS = [[1, -2], [0.5, 4], [6, -0.25]]

# numpy 2.4.6: savez and savez_compressed of a (float32) and f (float16, Fortran order), both ROWS.
SAVEZ = """
UEsDBC0AAAAAAAAAIQATtXvx//////////8FABQAYS5ucHkBABAAmAAAAAAAAACYAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzog
JzxmNCcsICdmb3J0cmFuX29yZGVyJzogRmFsc2UsICdzaGFwZSc6ICgzLCAyKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAg
ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAKAACAPwAAAMAAAAA/AACAQAAAwEAAAIC+UEsDBC0AAAAAAAAAIQCcV++s
//////////8FABQAZi5ucHkBABAAjAAAAAAAAACMAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzogJzxmMicsICdmb3J0cmFuX29y
ZGVyJzogVHJ1ZSwgJ3NoYXBlJzogKDMsIDIpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg
ICAgICAgICAgICAgICAKADwAOABGAMAARAC0UEsBAi0DLQAAAAAAAAAhABO1e/GYAAAAmAAAAAUAAAAAAAAAAAAAAIABAAAAAGEu
bnB5UEsBAi0DLQAAAAAAAAAhAJxX76yMAAAAjAAAAAUAAAAAAAAAAAAAAIABzwAAAGYubnB5UEsFBgAAAAACAAIAZgAAAJIBAAAA
AA=="""
SAVEZ_COMPRESSED = """
UEsDBC0AAAAIAAAAIQATtXvx//////////8FABQAYS5ucHkBABAAmAAAAAAAAABZAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6l
oG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GsY6CkaaOgq1CmQDLgaGBnsGBoYDQAykGxyATCBu2AcAUEsDBC0A
AAAIAAAAIQCcV++s//////////8FABQAZi5ucHkBABAAjAAAAAAAAABRAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqSu
o6Cell9UUpSYF59flJIKEg8pKk0FChdnJBakArkaxjoKRpo6CrUK5AMuBhsGCwY3hgMMLgxbAFBLAQItAy0AAAAIAAAAIQATtXvx
WQAAAJgAAAAFAAAAAAAAAAAAAACAAQAAAABhLm5weVBLAQItAy0AAAAIAAAAIQCcV++sUQAAAIwAAAAFAAAAAAAAAAAAAACAAZAA
AABmLm5weVBLBQYAAAAAAgACAGYAAAAYAQAAAAA="""


def report(good, text):
    global number, failures
    number += 1
    failures += not good
    print("%sok %d - %s" % ("" if good else "not ", number, text))


def npy(descr="<f8", code="d", rows=ROWS, shape=(3, 2), fortran=False):
    order = zip(*rows) if fortran else rows
    values = [x for row in order for x in row]
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    return (b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text
            + struct.pack("<%d%s" % (len(values), code), *values))


def archive(members, method=zipfile.ZIP_STORED, comment=b""):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.comment = comment
        for name, data in members:
            made.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def shard(name, data, member):
    """The exit code, the error, and the identity of what was imported."""
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        (place / name).write_bytes(data)
        (place / "y.csv").write_text("1\n2\n3\n")
        (place / "manifest.csv").write_text(
            "recording,subject,group,modality,rate_hz,path,dataset\n"
            "r,s,g,a,1,%s,%s\nr,s,g,label:y,1,y.csv,\n" % (name, member))
        done = subprocess.run([jmt, "shard", "features", "--source", folder, "--out", folder + "/out",
                               "--set", "salt=1"], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            return done.returncode, done.stderr, None
        shown = subprocess.run([jmt, "inspect", folder + "/out", "--json"], capture_output=True,
                               check=True, text=True, timeout=60)
        return 0, "", json.loads(shown.stdout)["identity"]


def reads(text, data, member="", wanted=None):
    code, error, identity = shard("x.npz", data, member)
    report(code == 0 and identity == wanted, text)
    if error:
        print("#", error)


def refuses(text, data, part, member=""):
    code, error, _ = shard("x.npz", data, member)
    good = code == 2 and part in error and error.count("\n") == 1 and "; " in error
    report(good, "refused: " + text)
    if not good:
        print("# exit code %d: %s" % (code, error))


def patched(data, at, *numbers, form="<H"):
    new = struct.pack(form, *numbers)
    return data[:at] + new + data[at + len(new):]


def zip64(data):
    """The same archive with a 64-bit directory: sizes and places of its one member moved there."""
    end = data.rindex(b"PK\5\6")
    size, at = struct.unpack_from("<II", data, end + 12)
    entry = data[at:end]
    packed, plain = struct.unpack_from("<II", entry, 20)
    extra = struct.pack("<HHQQQ", 1, 24, plain, packed, 0)
    entry = (entry[:20] + b"\xff" * 8 + entry[28:30] + struct.pack("<H", len(extra)) + entry[32:42]
             + b"\xff" * 4 + entry[46:] + extra)
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entry), at)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at + len(entry), 1)
    return (data[:at] + entry + end64 + locator + data[end:end + 8] + b"\xff" * 12
            + data[end + 20:])


def accepted():
    wanted = shard("x.csv", "\n".join(",".join(map(str, r)) for r in ROWS).encode(), "")[2]
    report(wanted is not None, "the same numbers in CSV")
    for name, text in (("savez", SAVEZ), ("savez_compressed", SAVEZ_COMPRESSED)):
        data = base64.b64decode(text)
        for member in ("a", "a.npy", "f"):
            reads("numpy's %s, member %s" % (name, member), data, member, wanted)
    one = [("deep/one.npy", npy())]
    reads("the only member without its name", archive(one), "", wanted)
    reads("the only member by its name", archive(one), "deep/one", wanted)
    reads("deflated", archive(one, zipfile.ZIP_DEFLATED), "", wanted)
    reads("a comment at the end", archive(one, comment=b"PK\5\6 and more"), "", wanted)
    reads("a 64-bit directory", zip64(archive(one)), "", wanted)
    reads("Fortran order", archive([("f.npy", npy(fortran=True))]), "", wanted)
    reads("float16", archive([("h.npy", npy("<f2", "e"))]), "", wanted)
    for name, data in (("f.npy", npy(fortran=True)), ("h.npy", npy("<f2", "e"))):
        report(shard(name, data, "")[2] == wanted, name + " outside an archive")


def halves():
    """Every kind of float16: denormal, largest, and what is not finite is not valid."""
    rows = [[2.0 ** -24, 65504], [-(2.0 ** -14), 0], [2.0 ** -15 * 1.5, -1]]
    as_csv = shard("x.csv", "\n".join(",".join(map(repr, r)) for r in rows).encode(), "")[2]
    report(shard("h.npy", npy("<f2", "e", rows), "")[2] == as_csv, "float16 from end to end")
    infinite = shard("h.npy", npy("<f2", "e", [[1, float("inf")], [2, float("nan")], [3, 4]]), "")
    gaps = shard("d.npy", npy("<f8", "d", [[1, float("inf")], [2, float("nan")], [3, 4]]), "")
    report(infinite[0] == 0 and infinite[2] == gaps[2], "float16 that is not finite")


def refused():
    one, packed = archive([("a.npy", npy())]), archive([("a.npy", npy())], zipfile.ZIP_DEFLATED)
    directory = one.rindex(b"PK\1\2")
    two = archive([("a.npy", npy()), ("b.npy", npy())])
    refuses("two members and no name", two, "has 2 members", "")
    refuses("a name that is not there", two, "has no member called c", "c")
    refuses("a and a.npy", archive([("a", npy()), ("a.npy", npy())]), "several members", "a")
    refuses("no zip", b"numbers", "not a zip archive")
    refuses("nothing", b"", "not a zip archive")
    refuses("cut off", one[:-30], "not a zip archive, or cut off")
    refuses("a member that is no .npy", archive([("a.npy", b"text of some length")]),
            "a.npy: not an .npy file")
    refuses("a flipped bit in the numbers", patched(one, directory - 3, 1), "the member is damaged")
    refuses("a flipped bit in what is deflated",
            patched(packed, packed.rindex(b"PK\1\2") - 9, 0x5555), "the member is damaged")
    at = packed.rindex(b"PK\1\2")
    longer = patched(packed, at + 20, struct.unpack_from("<I", packed, at + 20)[0] + 4, form="<I")
    longer = patched(longer, len(packed) - 6, at + 4, form="<I")
    refuses("bytes behind what is deflated", longer[:at] + b"more" + longer[at:],
            "the member is damaged")
    refuses("flags that only the header has", patched(one, 6, 2), "do not agree")
    flag = patched(patched(one, 6, 1), directory + 8, 1)
    refuses("encrypted", flag, "encrypted")
    refuses("another method", patched(patched(one, 8, 12), directory + 10, 12), "packed in another")
    refuses("parts by the end record", patched(one, len(one) - 18, 1), "in several parts")
    refuses("parts by the member", patched(one, directory + 34, 1), "in several parts")
    refuses("a member of more than 1 GiB",
            patched(one, directory + 20, 2 ** 30 + 1, 2 ** 30 + 1, form="<II"), "more than 1 GiB")
    refuses("a length that nothing packed can have", patched(packed, at + 24, 2 ** 29, form="<I"),
            "lengths of the member do not fit")
    size = struct.unpack_from("<I", packed, at + 24)[0]
    for off in (-1, 1):
        refuses("a bomb or a short one (%+d)" % off, patched(packed, at + 24, size + off, form="<I"),
                "the member is damaged")
    refuses("a header elsewhere", patched(one, directory + 42, 9, form="<I"), "do not agree")
    refuses("a header behind the end", patched(one, directory + 42, 2 ** 31, form="<I"), "damaged")
    refuses("another name in the header", patched(one, 30, 0x4141), "do not agree")
    refuses("a directory elsewhere", patched(one, len(one) - 6, 7, form="<I"), "the directory")
    refuses("more entries than there are", patched(one, len(one) - 14, 2, 2, form="<HH"),
            "the directory")
    refuses("bytes behind the last entry", patched(two, len(two) - 14, 1, 1, form="<HH"),
            "the directory", "a")
    wide = zip64(archive([("a.npy", npy())]))
    refuses("no 64-bit directory", patched(wide, wide.rindex(b"PK\6\7"), 0), "no 64-bit directory")
    refuses("a 64-bit directory in parts", patched(wide, wide.rindex(b"PK\6\6") + 16, 1),
            "in several parts")
    refuses("a 64-bit size that is cut off",
            patched(wide, wide.rindex(b"PK\1\2") + 46 + 5 + 2, 16), "directory")


accepted()
halves()
refused()
print("1..%d" % number)
sys.exit(failures > 0)
