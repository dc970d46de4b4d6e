#!/usr/bin/env python3
"""Features of a frozen Hugging Face model, as a folder for `jmt shard features`.

    pip install torch transformers pillow
    python3 extract_huggingface.py --source mine --take audio:voice --model microsoft/wavlm-base-plus --out mine-wavlm
    jmt shard features --source mine-wavlm --out data/mine-wavlm

--source is a folder with a manifest.csv as `jmt shard media` reads it. Rows of the modality --take become rows of
--name (its own name unless given) with the model's features; rows of numbers, labels among them, are kept; other raw
media are left out, and a line says how many. Run it again with --add for a second modality.

Sound: one feature vector for each step of the model (WavLM: 50 a second), of --layer (-1: the last, 0: what goes in).
Long recordings are cut into stretches of --stretch seconds with --context seconds around each (each scaled by itself
where the model wants that), so that a feature hangs on no more than that of its recording; later sound is part of it,
so nothing of this is causal. Sound that is no 16-bit
.wav of the model's rate goes through the program ffmpeg.
Pictures: a folder of .jpg or .png; the number at the end of a name counts frames, from --first-frame. A frame that is
not there is a row of NaN, which jmt takes as not valid. Videos first become such folders:
    ffmpeg -i clip.mp4 frames/%05d.jpg
Nothing is trained, and nothing is cached but what transformers itself keeps.
"""
import argparse
import array
import csv
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import wave

NUMBERS = (".csv", ".npy", ".npz", ".h5", ".hdf5", ".pt", ".pth", ".pkl", ".pickle", ".arff", ".csd")
HEADER = ["recording", "subject", "group", "modality", "rate_hz", "path", "dataset"]


class Refused(Exception):
    """What the user has to put right."""


# --- models -----------------------------------------------------------------------------------------------------------


class HuggingFaceModel:
    """Sound or pictures to rows of `columns` numbers, by transformers."""

    def __init__(self, name, revision, layer, device):
        import torch
        import transformers
        self.torch, self.layer, self.device = torch, layer, device
        self.model = transformers.AutoModel.from_pretrained(name, revision=revision).eval().to(device)
        config = self.model.config
        self.sound = hasattr(config, "conv_stride")
        processor = transformers.AutoFeatureExtractor if self.sound else transformers.AutoImageProcessor
        self.processor = processor.from_pretrained(name, revision=revision)
        self.columns = config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1]
        if self.sound:
            self.sampling_rate = self.processor.sampling_rate
            self.stride, self.field = 1, 1  # samples from one step to the next, and that a step is of
            for kernel, stride in zip(config.conv_kernel, config.conv_stride):
                self.field += (kernel - 1) * self.stride
                self.stride *= stride
        self.said = {"model": name, "revision": revision or getattr(config, "_commit_hash", None), "layer": layer,
                     "transformers": transformers.__version__, "torch": torch.__version__}

    def of_sound(self, samples):
        """array('f') of samples -> array('f') of rows."""
        values = self.torch.frombuffer(bytearray(samples.tobytes()), dtype=self.torch.float32)
        inputs = self.processor(values.numpy(), sampling_rate=self.sampling_rate, return_tensors="pt")
        with self.torch.no_grad():
            out = self.model(inputs.input_values.to(self.device), output_hidden_states=True)
        return self._floats(out.hidden_states[self.layer][0])

    def of_pictures(self, paths):
        """Files -> array('f') of a row for each: what the model pools, else the mean over its places."""
        import PIL.Image
        pictures = [PIL.Image.open(path).convert("RGB") for path in paths]
        inputs = self.processor(images=pictures, return_tensors="pt").to(self.device)
        with self.torch.no_grad():
            out = self.model(**inputs)
        pooled = getattr(out, "pooler_output", None)
        if pooled is None:
            pooled = out.last_hidden_state
            pooled = pooled.mean(dim=1) if pooled.dim() == 3 else pooled.mean(dim=(2, 3))
        return self._floats(pooled.reshape(len(paths), -1))

    def _floats(self, tensor):
        out = array.array("f")
        out.frombytes(tensor.float().cpu().contiguous().numpy().tobytes())
        return out


# --- sound ------------------------------------------------------------------------------------------------------------


def samples_of(path, rate):
    """Mono, -1 to 1, at that rate."""
    try:
        with wave.open(path) as sound:
            if sound.getframerate() == rate and sound.getsampwidth() == 2:
                data, channels = array.array("h", sound.readframes(sound.getnframes())), sound.getnchannels()
                if sys.byteorder == "big":
                    data.byteswap()
                return array.array("f", (sum(data[i:i + channels]) / (32768 * channels)
                                         for i in range(0, len(data), channels)))
    except (wave.Error, EOFError):
        pass
    if shutil.which("ffmpeg") is None:
        raise Refused("%s is no 16-bit .wav of %d Hz; install ffmpeg, or make it one" % (path, rate))
    words = ["ffmpeg", "-v", "error", "-i", path, "-vn", "-ac", "1", "-ar", str(rate), "-f", "f32le", "-"]
    done = subprocess.run(words, capture_output=True)
    if done.returncode != 0:
        raise Refused("ffmpeg cannot read %s: %s" % (path, done.stderr.decode(errors="replace").strip()))
    out = array.array("f")
    out.frombytes(done.stdout[:len(done.stdout) // 4 * 4])
    return out


def sound_features(model, samples, stretch_s, context_s):
    """Rows for the whole recording: of each stretch those that begin in it, each a step after the other."""
    total = max((len(samples) - model.field) // model.stride + 1, 0)  # steps of the whole
    steps = max(int(stretch_s * model.sampling_rate) // model.stride, 1)
    context = int(context_s * model.sampling_rate) // model.stride
    out = array.array("f")
    for first in range(0, total, steps):
        begin = max(first - context, 0)
        last = min(first + steps, total)
        end = min(last + context, total)
        behind = len(samples) if end == total else (end - 1) * model.stride + model.field
        rows = model.of_sound(samples[begin * model.stride:behind])
        if len(rows) != (end - begin) * model.columns:
            raise Refused("the model made %d numbers of %d steps of %d; is its config true?" %
                          (len(rows), end - begin, model.columns))
        out += rows[(first - begin) * model.columns:(last - begin) * model.columns]
    return out


# --- pictures ---------------------------------------------------------------------------------------------------------


def picture_features(model, folder, first_frame, batch):
    found = {}
    for name in sorted(os.listdir(folder)):
        match = re.search(r"(\d+)\.(jpe?g|png)$", name, re.IGNORECASE)
        if match:
            frame = int(match.group(1)) - first_frame
            if frame < 0 or frame in found:
                raise Refused("%s: %s is before frame %d, or its number comes twice; see --first-frame"
                              % (folder, name, first_frame))
            found[frame] = os.path.join(folder, name)
    if not found:
        raise Refused("%s: no .jpg or .png with a number at the end of its name" % folder)
    frames = sorted(found)
    out = array.array("f", [float("nan")]) * ((frames[-1] + 1) * model.columns)
    for at in range(0, len(frames), batch):
        some = frames[at:at + batch]
        rows = model.of_pictures([found[frame] for frame in some])
        if len(rows) != len(some) * model.columns:
            raise Refused("the model made %d numbers of %d pictures, not %d each"
                          % (len(rows), len(some), model.columns))
        for i, frame in enumerate(some):
            out[frame * model.columns:(frame + 1) * model.columns] = rows[i * model.columns:(i + 1) * model.columns]
    return out


# --- files ------------------------------------------------------------------------------------------------------------


def write_npy(path, values, columns):
    """As numpy.save does: float32, [rows, columns]."""
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (len(values) // columns, columns)
    header += " " * (-(len(header) + 11) % 64) + "\n"
    data = array.array("f", values)
    if sys.byteorder == "big":
        data.byteswap()
    with open(path + ".tmp", "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data.tobytes())
    os.replace(path + ".tmp", path)


def read_manifest(folder):
    path = os.path.join(folder, "manifest.csv")
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(HEADER[:6]) <= set(rows[0]):
        raise Refused("%s: not a manifest with the columns %s" % (path, ",".join(HEADER[:6])))
    return rows


def kept_row(row, source, out):
    """A row of numbers, its path as seen from the new folder."""
    copy = {name: row.get(name) or "" for name in HEADER}
    copy["path"] = os.path.relpath(os.path.join(source, row["path"]), out)
    return copy


def extract(model, arguments):
    """Writes --out; gives how many rows were made, kept and left out."""
    rows, made, kept, left = read_manifest(arguments.source), [], [], 0
    name = arguments.name or arguments.take.split(":")[-1]
    os.makedirs(arguments.out, exist_ok=True)
    manifest = os.path.join(arguments.out, "manifest.csv")
    if arguments.add:
        kept = read_manifest(arguments.out)
    elif os.path.exists(manifest):
        raise Refused("%s is there already; choose another --out, or --add to it" % manifest)
    if any(row["modality"] == name for row in kept):
        raise Refused("%s has the modality %s already; give another --name" % (manifest, name))
    for number, row in enumerate(rows, 2):
        path = os.path.join(arguments.source, row["path"])
        if row["modality"] == arguments.take:
            if row.get("dataset") or row.get("start_s"):
                raise Refused("line %d: archives and start_s are not read here; unpack it, cut it" % number)
            if os.path.isdir(path) == model.sound:
                raise Refused("line %d: %s is not what the model takes: %s" % (number, path,
                              "sound" if model.sound else "a folder of pictures (ffmpeg -i clip.mp4 frames/%05d.jpg)"))
            if model.sound:
                values = sound_features(model, samples_of(path, model.sampling_rate), arguments.stretch,
                                        arguments.context)
                rate = repr(model.sampling_rate / model.stride)
            else:
                values, rate = picture_features(model, path, arguments.first_frame, arguments.batch), row["rate_hz"]
            if not values:
                print("%s: too short, left out" % path, file=sys.stderr)
                continue
            file = "%s-%04d.npy" % (name, len(made) + 1)
            write_npy(os.path.join(arguments.out, file), values, model.columns)
            made.append(dict(zip(HEADER, [row["recording"], row["subject"], row["group"], name, rate, file, ""])))
            print("%s: %d rows of %d" % (path, len(values) // model.columns, model.columns), file=sys.stderr)
        elif row["path"].lower().endswith(NUMBERS) and not row["modality"].startswith(("video:", "audio:")):
            if not arguments.add:
                kept.append(kept_row(row, arguments.source, arguments.out))
        else:
            left += 1
    if not made:
        raise Refused("no row of %s in the manifest; --take names one, such as audio:voice" % arguments.take)
    with open(manifest + ".tmp", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEADER, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(made + kept)
    os.replace(manifest + ".tmp", manifest)
    with open(os.path.join(arguments.out, name + ".json"), "w", encoding="utf-8") as file:
        json.dump({"take": arguments.take, **model.said}, file, indent=1)
    print("%d recordings made, %d rows kept, %d rows of raw media left out" % (len(made), len(kept), left),
          file=sys.stderr)
    return len(made), len(kept), left


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="folder with a manifest.csv")
    parser.add_argument("--take", required=True, help="modality of it, such as audio:voice or video:face")
    parser.add_argument("--model", required=True, help="name on the Hugging Face hub, or a folder")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--name", help="of the new modality")
    parser.add_argument("--add", action="store_true", help="to an --out that is there")
    parser.add_argument("--revision", help="of the model")
    parser.add_argument("--layer", type=int, default=-1, help="sound: which hidden states (default the last)")
    parser.add_argument("--stretch", type=float, default=30.0, help="sound: seconds at once (default 30)")
    parser.add_argument("--context", type=float, default=2.0, help="sound: seconds around them (default 2)")
    parser.add_argument("--first-frame", type=int, default=1, help="pictures: number of the first (default 1)")
    parser.add_argument("--batch", type=int, default=32, help="pictures at once (default 32)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    return parser.parse_args(words)


def main(words, make_model=HuggingFaceModel):
    arguments = parse(words)
    try:
        extract(make_model(arguments.model, arguments.revision, arguments.layer, arguments.device), arguments)
    except (Refused, OSError) as error:
        print("extract_huggingface: %s" % error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
