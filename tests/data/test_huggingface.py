"""extract_huggingface.py without its models: StandInModel stands for one, and is nothing like it but in its shapes.
What is checked is all around a model: manifests, sound in stretches, gaps of frames, files that jmt reads."""
import array
import csv
import importlib.util
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import wave

JMT = sys.argv[1]
TOOL = pathlib.Path(__file__).resolve().parents[2] / "data-sharding" / "tools" / "extract_huggingface.py"
spec = importlib.util.spec_from_file_location("extract_huggingface", TOOL)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
number = failures = 0


def report(good, text):
    global number, failures
    number += 1
    failures += not good
    print("%sok %d - %s" % ("" if good else "not ", number, text))


class StandInModel:
    """The first and the last sample that a step is of; the size of a picture's file and the number in it."""
    columns, sampling_rate, stride, field = 2, 16000, 320, 400
    said = {"model": "a stand-in", "revision": None}

    def __init__(self, name, revision, layer, device):
        self.sound = name == "sound"
        self.longest = 0

    def of_sound(self, samples):
        out, self.longest = array.array("f"), max(self.longest, len(samples))
        for at in range(0, len(samples) - self.field + 1, self.stride):
            out.extend((samples[at], samples[at + self.field - 1]))
        return out

    def of_pictures(self, paths):
        out = array.array("f")
        for path in paths:
            data = pathlib.Path(path).read_bytes()
            out.extend((len(data), int(data)))
        return out


def write_wav(path, count, rate=16000, channels=1):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"".join(struct.pack("<h", i % 30000) * channels for i in range(count)))


def read_npy(path):
    data = pathlib.Path(path).read_bytes()
    length = struct.unpack("<H", data[8:10])[0]
    header = eval(data[10:10 + length])
    assert data[:8] == b"\x93NUMPY\x01\x00" and (10 + length) % 64 == 0
    values = array.array("f", data[10 + length:])
    rows, columns = header["shape"]
    assert len(values) == rows * columns
    return [list(values[r * columns:(r + 1) * columns]) for r in range(rows)]


def run(source, out, *words):
    return tool.main(["--source", str(source), "--out", str(out), *words], StandInModel)


def sources(place):
    source = place / "mine"
    (source / "frames").mkdir(parents=True)
    write_wav(source / "one.wav", 16000 * 3 + 123)
    write_wav(source / "two.wav", 16000, channels=2)
    write_wav(source / "short.wav", 399)
    for frame in (1, 2, 5):
        (source / "frames" / ("img_%05d.jpg" % frame)).write_bytes(b"%d" % (frame * 11))
    (source / "y.csv").write_text("y\n" + "0.5\n" * 30)
    (source / "manifest.csv").write_text(
        "recording,subject,group,modality,rate_hz,path\n"
        "r1,Ann,,audio:voice,,one.wav\nr2,Bob,g,audio:voice,,two.wav\nr3,Bob,,audio:voice,,short.wav\n"
        "r1,Ann,,video:face,25,frames\nr1,Ann,,label:y,10,y.csv\nr2,Bob,g,label:y,10,y.csv\n")
    return source


def check(place):
    source, out = sources(place), place / "out"
    code = run(source, out, "--take", "audio:voice", "--model", "sound", "--name", "wavlm", "--stretch", "0.5",
               "--context", "0.1")
    report(code == 0, "sound is taken")
    rows = read_npy(out / "wavlm-0001.npy")
    want = [[(k * 320) % 30000 / 32768, (k * 320 + 399) % 30000 / 32768] for k in range((48123 - 400) // 320 + 1)]
    report(len(rows) == len(want) and all(math.isclose(a, b, abs_tol=1e-7) for x, y in zip(rows, want)
                                          for a, b in zip(x, y)), "each step in its place, whatever the stretches")
    model = StandInModel("sound", None, -1, "cpu")
    whole = tool.samples_of(str(source / "one.wav"), 16000)
    whole_rows = tool.sound_features(model, whole, 1000.0, 0.0)
    report(whole_rows == tool.sound_features(model, whole, 0.3, 0.05) and model.longest == len(whole),
           "one stretch or many: the same rows")
    model.longest = 0
    tool.sound_features(model, whole, 0.3, 0.05)
    report(model.longest <= 16000 * 0.4 + 720, "no more at once than a stretch and what is around it")
    listed = list(csv.DictReader(open(out / "manifest.csv")))
    report([(r["recording"], r["modality"], r["rate_hz"]) for r in listed]
           == [("r1", "wavlm", "50.0"), ("r2", "wavlm", "50.0"), ("r1", "label:y", "10"), ("r2", "label:y", "10")],
           "a manifest: what was made, and labels; what is too short is left out")
    report(json.load(open(out / "wavlm.json"))["model"] == "a stand-in", "which model it was")
    report(run(source, out, "--take", "audio:voice", "--model", "sound") == 2, "an --out that is there is refused")
    code = run(source, out, "--take", "video:face", "--model", "pictures", "--add", "--batch", "2")
    rows = read_npy(out / "face-0001.npy")
    report(code == 0 and rows[0] == [2, 11] and rows[1] == [2, 22] and rows[4] == [2, 55]
           and all(math.isnan(v) for row in rows[2:4] for v in row), "pictures, and NaN where there is none")
    data = place / "data"
    done = subprocess.run([JMT, "shard", "features", "--source", out, "--out", data], capture_output=True, text=True)
    report(done.returncode == 0, "jmt shard features takes it" + done.stderr.replace("\n", " "))
    told = json.loads(subprocess.run([JMT, "inspect", data, "--json"], capture_output=True, text=True).stdout)
    face, wavlm = told["modalities"]["face"], told["modalities"]["wavlm"]
    report(told["recordings"] == 2 and wavlm["dim"] == 2 and wavlm["rate_hz"] == 50 and face["valid"] == 3
           and face["steps"] == 5, "and sees the same in it")
    for text, words in (("no such modality", ["--take", "audio:x", "--model", "sound"]),
                        ("pictures to a model of sound", ["--take", "video:face", "--model", "sound"]),
                        ("sound to a model of pictures", ["--take", "audio:voice", "--model", "pictures"]),
                        ("frames before the first", ["--take", "video:face", "--model", "pictures", "--first-frame",
                                                     "2"])):
        report(run(source, place / text, *words) == 2, text + " is refused")
    write_wav(source / "one.wav", 8000, rate=8000)
    kept, os.environ["PATH"] = os.environ["PATH"], ""
    report(run(source, place / "rate", "--take", "audio:voice", "--model", "sound") == 2, "another rate needs ffmpeg")
    os.environ["PATH"] = kept


sys.stderr = open(os.devnull, "w")
with tempfile.TemporaryDirectory() as at:
    check(pathlib.Path(at))
print("1..%d" % number)
sys.exit(failures > 0)
