"""Features of the published size (512 wide) as shards, for the measurements of this folder: noise, written
as .npy files and imported by `jmt shard features`."""
import array
import itertools
import pathlib
import random
import subprocess

import bench

DRAWN = 4099 # numbers that come again; a row is no multiple of it, so no two rows are equal


def turned(drawn, start, count):
    values = drawn[start % DRAWN:] + drawn[:start % DRAWN]
    return (values * (count // DRAWN + 1))[:count]


def write_features(directory, dims, recordings, steps, targets=("valence", "arousal")):
    """dims: {modality: width}. A person each; labels at the features' rate."""
    noise = random.Random(1)
    drawn = array.array("f", (noise.gauss(0, 1) for _ in range(DRAWN)))
    labels = array.array("f", (max(-1.0, min(1.0, x)) for x in drawn))
    tracks = [(name, width, drawn) for name, width in dims.items()]
    tracks += [(f"label:{name}", 1, labels) for name in targets]
    lines = ["recording,subject,group,modality,rate_hz,path"]
    for r, (t, (name, width, values)) in itertools.product(range(recordings), enumerate(tracks)):
        path = f"r{r}-{t}.npy"
        numbers = turned(values, 611 * r + 97 * t, steps * width)
        bench.write_npy(directory / path, steps, width, numbers)
        lines.append(f"r{r},person{r},,{name},5,{path}")
    (directory / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_shards(directory, dims, recordings, steps):
    """The path of a data directory below `directory`, which keeps nothing else."""
    source, data = pathlib.Path(directory) / "source", pathlib.Path(directory) / "data"
    source.mkdir()
    write_features(source, dims, recordings, steps)
    subprocess.run([bench.JMT, "shard", "features", "--source", str(source), "--out", str(data)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for path in source.iterdir():
        path.unlink()
    return str(data)
