"""What the measurements of this folder share: the peer's Python, pinned processes that take turns,
and what the machine is. Standard library only; the peer brings torch, numpy and h5py."""
import argparse
import array
import json
import os
import pathlib
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile

import apart

ROOT = pathlib.Path(__file__).resolve().parents[2]
JMT = os.environ.get("JMT", str(ROOT / "build" / "jmt"))
ROUNDS = 11
PEER_PACKAGES = ("torch", "numpy", "h5py")
VISION_PACKAGES = ("torch", "torchvision", "numpy", "h5py")
TORCH_CUDA_12 = "https://download.pytorch.org/whl/cu126"
MODULES = {"pillow": "PIL"} # where a module is not called like its package


def unavailable(reason):
    """Exit code 3: this machine lacks what the measurement needs."""
    print(f"jmt: error: {pathlib.Path(sys.argv[0]).name}: {reason}", file=sys.stderr)
    sys.exit(3)


def require_same(compared):
    """Before anything is timed on a CPU: both sides make the same of a step."""
    code, why = apart.same_results(compared, apart.F32_APART_CPU)
    if code != 0:
        raise RuntimeError(f"other results than the peer's: {why}")


def arguments(description, add=None, rounds=ROUNDS):
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"interleaved rounds ({rounds})")
    if add is not None:
        add(parser)
    return parser.parse_args()


def has_peer(python, packages, gpu=False):
    """gpu: a PyTorch that is built for GPUs of NVIDIA's; whether it sees one is asked where it runs."""
    imports = "import " + ", ".join(MODULES.get(name, name) for name in packages)
    newest = cuda_of(driver_says()) if gpu else 0
    imports += "; assert torch.version.cuda" if gpu else ""
    imports += f"; assert int(torch.version.cuda.split('.')[0]) <= {newest}" if newest else ""
    return subprocess.run([python, "-c", imports], capture_output=True, check=False).returncode == 0


def cuda_of(text):
    """The version that nvidia-smi or nvcc says; 0: none."""
    found = re.search(r"CUDA Version: *(\d+)|release (\d+)", text)
    return int(found.group(1) or found.group(2)) if found else 0


def wheels_of(packages, driver):
    """pip's arguments. PyPI's PyTorch is for CUDA 13; a driver that says no more than 12 gets one for that."""
    torch = [name for name in packages if name.startswith("torch")]
    if not torch or not 0 < cuda_of(driver) < 13:
        return [list(packages)]
    return [[*torch, "--index-url", TORCH_CUDA_12], [name for name in packages if name not in torch]]


def driver_says():
    """Where there is none, as on a login node, the toolkit in its place."""
    nvcc = os.path.join(os.environ.get("CUDA_HOME") or "/usr/local/cuda", "bin", "nvcc")
    for command in (["nvidia-smi"], [nvcc, "--version"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            return done.stdout
    return ""


def peer_python(packages=PEER_PACKAGES, gpu=False):
    """A Python with the peer's packages: JMT_PEER_PYTHON, and no other, or this one, that of build/bench-venv (made
    here by pip if need be, but not with JMT_PEER_INSTALL=0), or the system's, where Debian's python3-torch is."""
    venv = ROOT / "build" / "bench-venv"
    own = str(venv / "bin" / "python")
    asked = os.environ.get("JMT_PEER_PYTHON")
    for python in (asked,) if asked else (sys.executable, own, "/usr/bin/python3"):
        python = shutil.which(python)
        if python is not None and has_peer(python, packages, gpu):
            return python
    if asked or os.environ.get("JMT_PEER_INSTALL") == "0":
        unavailable(f"no Python with {', '.join(packages)} for the peer; set JMT_PEER_PYTHON to one")
    print(f"installing the peer ({', '.join(packages)}) into build/bench-venv ...", file=sys.stderr)
    pip = [own, "-m", "pip", "install", "-q"]
    make = [sys.executable, "-m", "venv", str(venv)]
    for command in (make, *(pip + words for words in wheels_of(packages, driver_says()))):
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            names = " ".join(MODULES.get(name, name).lower() for name in packages)
            unavailable(f"no peer here: pip cannot install it; apt install python3-{names.replace(' ', ' python3-')}, "
                        "or set JMT_PEER_PYTHON to a Python that has them")
    return own


def peer_version():
    command = [peer_python(), "-c", "import torch; print(torch.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def pinned(command, core):
    """core None: on any; beside a GPU the compiler's threads are not held to one."""
    return command if core is None else ["taskset", "-c", str(core), *command]


def device_options(parser):
    """--device cuda: ours by backend cuda, the peer on the GPU unless it is told otherwise."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--peer-device", choices=("cpu", "cuda"), help="where the peer computes (as --device)")
    parser.add_argument("--set", action="append", default=[], metavar="K=V", help="a setting of ours; may be repeated")


def on_device(arguments):
    """Settings of ours, the peer's device, and the core that both are pinned to (None: none)."""
    gpu = arguments.device == "cuda"
    return (["backend=cuda"] if gpu else []), arguments.peer_device or arguments.device, None if gpu else arguments.core


def in_full_floats(arguments):
    """Words for what is compared before it is timed: on a GPU floats that are products of TF32 would differ by that."""
    return ["--set", "precision=f32_strict"] if arguments.device == "cuda" and arguments.precision == "f32" else []


def environment(**more):
    """One thread, whatever the library: torch.set_num_threads alone leaves OpenBLAS on two."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **{name: "1" for name in names}, **more}


class Server:
    """A process that does one round for each line on its stdin and answers with one line of JSON."""

    def __init__(self, command, core=0, env=None):
        self.process = subprocess.Popen(pinned(command, core), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=env or environment())

    def ask(self, line="go"):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer: # it has said why on stderr
            sys.exit(self.process.wait() or 1)
        return json.loads(answer)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait()


def compare(ours, peer):
    """What every comparison prints of its rounds; ratio above 1: we take less."""
    ratios = [theirs / mine for mine, theirs in zip(ours, peer)]
    return {"ratio_median": statistics.median(ratios), "ratio_range": [min(ratios), max(ratios)],
            "rounds": len(ratios)}


def cpu_over_wall(rounds):
    return sum(r["cpu_ms"] for r in rounds) / sum(r["ms"] for r in rounds)


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def machine():
    doctor = subprocess.run([JMT, "doctor", "--json"], capture_output=True, text=True, check=True)
    said = doctor.stdout.replace(str(ROOT) + os.sep, "") # results go into the tree: nobody's own paths
    version = subprocess.run([JMT, "--version", "--json"], capture_output=True, text=True, check=True)
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "kernel": os.uname().release,
            "jmt": json.loads(version.stdout), "doctor": json.loads(said)}


def write_npy(path, rows, columns, values):
    """values: an array of float32, row by row."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    if sys.byteorder == "big":
        values = array.array("f", values)
        values.byteswap()
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
                     + values.tobytes())


def scratch():
    return tempfile.TemporaryDirectory(prefix="jmt-bench-")


def print_lines(result, prefix=""):
    """Everything but the rounds one by one."""
    for key, value in result.items():
        if isinstance(value, dict):
            print_lines(value, f"{prefix}{key}.")
        elif not (isinstance(value, list) and key.endswith(("_ms", "_s"))):
            print(f"{prefix + key:32} {value:.6g}" if isinstance(value, float)
                  else f"{prefix + key:32} {value}")


def report(result, as_json):
    if as_json:
        print(json.dumps({**result, "machine": machine()}))
    else:
        print_lines(result)


if __name__ == "__main__": # what end_to_end and step need, once and beforehand: tests/gpu/run --prepare
    print(peer_python(VISION_PACKAGES, gpu=sys.argv[1:] == ["cuda"]))
