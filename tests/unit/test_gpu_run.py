#!/usr/bin/env python3
"""tests/gpu/run to its end on a build whose programs are stand-ins, and its report of numbers that are known here: the
script that is to run on a machine with a GPU, once, is not seen to fail there for the first time."""
import copy
import importlib.machinery
import importlib.util
import json
import os
import stat
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "gpu"))
sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
sys.dont_write_bytecode = True
import apart  # noqa: E402
import bench  # noqa: E402
import report as gpu_report  # noqa: E402

loader = importlib.machinery.SourceFileLoader("gpu_run", os.path.join(ROOT, "tests", "gpu", "run"))
gpu_run = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_run", loader))
loader.exec_module(gpu_run)

JMT = '''#!/usr/bin/env python3
import hashlib, json, os, sys
words = sys.argv[1:]
row = {"shape": "8", "ms_min": 1.0, "ms_median": 2.0, "limit_ratio": 0.5, "limit": "memory"}
if words[0] == "doctor":
    print(json.dumps({"gpus": 1, "cuda": "1 x simulated GPU, sm_90", "backend_cuda": "CUDA 1", "commit": "abc"}))
elif words[0] == "bench" and os.environ.get("STAND_IN_FAILS") == words[1]:
    sys.exit("jmt: error: the device is lost; try another")
elif words[:2] == ["bench", "kernels"]:
    limits = {"gflop_s": 1000.0, "memory": [{"copy_gb_s": 100.0}]}
    print(json.dumps({"limits": limits, "results": [dict(row, name="attention.forward", uses=3)]}))
elif words[:2] == ["bench", "model"]:
    parts = {"step": 9.0, "step.data_wait": 0.01, "step.forward": 0.02, "step.backward": 0.03, "step.update": 8.0}
    print(json.dumps({"results": [dict(row, name=name, ms_median=ms) for name, ms in parts.items()]}))
elif words[0] == "train":
    run, steps = words[words.index("--run") + 1], words[words.index("--steps") + 1]
    os.makedirs(run, exist_ok=True)
    with open(os.path.join(run, "steps"), "w") as out:
        out.write(steps + os.environ.get("STAND_IN_DIFFERS", "") * run.endswith("resume"))
elif words[0] == "inspect":
    print(hashlib.sha256(open(os.path.join(words[1], "steps"), "rb").read()).hexdigest())
else:
    sys.exit(2)
'''
TEST = "#!/bin/sh\necho 1..3\necho ok 1 - a\necho 'ok 2 - b # SKIP none'\necho ok 3 - c\n"
CANNED = {
    "date": "today", "simulated": False, "complete": True, "running": "", "not_run": [],
    "not_asked": [], "passed": 3, "failed": 1, "skipped": 0,
    "machine": {"device": "1 x H200", "versions": "CUDA 13", "commit": "abc", "nvidia_smi": ["H200, 570"]},
    "tests": [{"name": "bits, run to run, f32", "passed": 1, "failed": 0, "skipped": 0, "exit": 0, "time_s": 1},
              {"name": "bits, resume, f32", "passed": 0, "failed": 1, "skipped": 0, "exit": 1, "time_s": 1}],
    "peers": [{"name": "step", "title": "step, V=1, f32", "ratio_median": 1.4, "ratio_range": [1.3, 1.5],
               "setting": "torch.compile", "peer": "PyTorch", "peer_version": "9", "ours_median_ms": 1.0,
               "peer_median_ms": 1.4, "max_rel": 0.001},
              {"name": "step", "title": "step, V=8, f32", "ratio_median": 1.2, "ratio_range": [1.1, 1.3],
               "setting": "eager", "peer": "PyTorch", "peer_version": "9", "ours_median_ms": 1.0,
               "peer_median_ms": 1.2, "max_rel": 0.9, "apart": {"ratio": 1.1}},
              {"name": "end_to_end", "title": "end to end, f32", "ratio_median": None, "why": "no torchvision"}],
    "kernels": [{"bench": "full, f32", "name": "attention.forward", "shape": "long", "ms_min": 0.9, "ms_median": 1.0,
                 "limit_ratio": 0.85, "limit": "memory", "uses": 2},
                {"bench": "full, f32", "name": "attention.forward", "shape": "short", "ms_min": 0.001,
                 "ms_median": 0.001, "limit_ratio": 0.01, "limit": "memory", "uses": 1},
                {"bench": "full, f32", "name": "attention.backward_data", "shape": "longer", "ms_min": 2.0,
                 "ms_median": 2.0, "limit_ratio": 0.95, "limit": "memory", "uses": 0},
                {"bench": "full, f32", "name": "optimizer_adam", "shape": "n", "ms_min": 0.5, "ms_median": 0.5,
                 "limit_ratio": 0.5, "limit": "memory"},
                {"bench": "full, f32", "name": "linear.forward", "shape": "n", "ms_min": 2.0, "ms_median": 2.0,
                 "limit_ratio": 0.25, "limit": "arithmetic", "uses": 1}],
    "model": [], "host": [{"title": "host time, full", "host_us": 40.0}], "step_ms": 5.0,
    "kernels_of_step": "full, f32", "limits": {"gflop_s": 50000.0, "memory": [{"copy_gb_s": 4000.0}]}}

number, failures = 0, 0


def check(right, what):
    global number, failures
    number += 1
    failures += not right
    print(f"{'ok' if right else 'not ok'} {number} - {what}", flush=True)


def row_of(text, begin):
    return next((line for line in text.splitlines() if line.startswith("| " + begin)), "")


def canned():
    text = gpu_report.markdown(CANNED)
    check(row_of(text, "step, V=1").endswith("| 1.4 (1.3 to 1.5) |  | reached |"), "a ratio above its aim")
    check(row_of(text, "step, V=8").endswith("| 1.2 (1.1 to 1.3) | 1.08 x | **missed** |"), "a ratio below it")
    check("| not measured |  | no torchvision |" in row_of(text, "end to end"), "what was not measured says why")
    check("(attention.forward, long) | 80% | 85% |  | reached" in row_of(text, "attention: "),
          "the slowest row of those that are more than a launch")
    check(row_of(text, "AdamW").endswith("50% | 1.6 x | **missed** |") and "not measured" in row_of(text, "batch norm"),
          "a bandwidth that is missed, and one that is not known")
    beside = text[text.index("## Beside PyTorch"):]
    check("| 1.4 | 0.001 |" in row_of(beside, "step, V=1") and
          "| 1.2 | 1.1 x the peer's |" in row_of(beside, "step, V=8"),
          "how far apart results are")
    check(row_of(text, "host time").endswith("40 us |  | reached |"), "host time")
    check("identical" in row_of(text, "bits, run to run") and "different" in row_of(text, "bits, resume"), "bits")
    # linear 2.0 of which 0.5; attention 2.001 of which 1.70001; AdamW 0.5 of which 0.25
    check(gpu_report.roofline(CANNED)[0][:2] == ("linear.forward", 2.0) and
          "takes 5 ms. Its operations one by one take 4.501 ms, and would take 2.45 ms" in text and
          row_of(text, "linear.forward | 2 ").endswith("| 0.5 | 1.5 | 73% |") and "Beside them: 0.499 ms" in text,
          "the gap to the roofline and where it goes")
    following = text[text.index("## What is next"):text.index("## What is asked")]
    check("1. bits, resume, f32 failed" in following and "2. step, V=8, f32: 1.2" in following and
          "1.08 x is missing" in following and "4. linear.forward: 1.5 ms a step above its limit" in following and
          "not measured: end to end, f32; layer norm" in following, "what is next, the first first")
    bare = {**copy.deepcopy(CANNED), "peers": [], "kernels": [], "host": [], "tests": [], "limits": None,
            "step_ms": None, "complete": False, "running": "bench", "not_run": ["bench", "peers"],
            "not_asked": ["peers"]}
    text = gpu_report.markdown(bare)
    check("Not complete: bench was running" in text and text.count("not measured") >= 11 and
          "reached" not in text.replace("not reached", "") and "bench (not reached), peers (not asked for)" in text,
          "nothing measured is nothing reached")
    text = gpu_report.markdown({**CANNED, "simulated": True})
    check("reached" not in text and "missed" not in text and "above its limit" not in text and
          "a simulated one has no speed" in text, "nothing is reached by simulation")


def same_results():
    """By f32 a number; by bf16 what rounding does to the peer."""
    usual = {"a": 0.05, "b": 0.06, "c": 0.35, "lucky": 0.001}

    def code(ours, peers=(), unit=0.0, **more):
        found = apart.apart({**usual, **ours}, {**usual, **dict(peers)}, dict.fromkeys(usual, unit))
        return apart.same_results({"max_rel": 0.4, "apart": found, **more})
    check(code({})[0] == 0 and code({"lucky": 0.09})[0] == 0 and code({"c": 0.5})[0] == 0, "bf16: as far as the peer")
    check(code({"a": 0.5})[0] == code({"c": 0.8})[0] == code({"lucky": 1.0})[0] == code({"b": float("nan")})[0] == 1 and
          code({"a": 0.5})[1].startswith("a: 0.5 from full floats, the peer 0.05 (usually 0.055): 9.09 times"),
          "bf16: farther is wrong")
    check(code({"a": 0.3}, unit=0.2)[0] == 0 and code({"a": 0.4}, unit=0.2)[0] == 1 and
          code({"c": 0.8}, {"c": 0.8})[0] == 0, "a unit that is on once, and a gradient that is nearly nothing")
    wrong = float("nan")
    check(code({}, {"a": wrong})[0] == code({}, {"c": 1e29})[0] == 0 and code({"a": 0.8}, {"a": wrong})[0] == 1 and
          code({"c": wrong}, {"c": wrong})[0] == 1 and code({}, {"a": wrong, "b": wrong})[0] == 3,
          "a peer that is wrong is no measure")
    try:
        bench.require_same({"max_rel": 0.01})
        refused = False
    except RuntimeError as error:
        refused = "0.01" in str(error)
    bench.require_same({"max_rel": 0.001})
    check(refused, "on a CPU full floats are nearer, else nothing is timed")
    check(code({}, apart=None)[0] == 1 and code({}, apart=None, max_rel=0.01)[0] == 0 and
          code({}, apart=None, max_rel=float("nan"))[0] == 1, "f32: by itself")


def wheels():
    """PyTorch for the driver that is there."""
    packages = ("torch", "torchvision", "numpy")
    plain = [["torch", "torchvision", "numpy"]]
    check(bench.wheels_of(packages, "") == bench.wheels_of(packages, "| CUDA Version: 13.0 |") == plain and
          bench.wheels_of(("pillow",), "CUDA Version: 12.4") == [["pillow"]], "wheels for the newest CUDA")
    old = bench.wheels_of(packages, "| Driver Version: 550.54   CUDA Version: 12.4 |")
    check(old == [["torch", "torchvision", "--index-url", bench.TORCH_CUDA_12], ["numpy"]], "and for one before")


def run(folder, *words, **more):
    out = os.path.join(folder, "out")
    done = subprocess.run([sys.executable, os.path.join(ROOT, "tests/gpu/run"), "--simulated", "--quick", "--build",
                           folder, "--out", out, *words], capture_output=True, text=True, check=False,
                          env={**os.environ, "JMT_PEER_PYTHON": os.path.join(folder, "nowhere"), **more})
    with open(os.path.join(out, "report.json"), encoding="utf-8") as file:
        found = json.load(file)
    with open(os.path.join(out, "report.md"), encoding="utf-8") as file:
        return done, found, file.read()


def whole():
    with tempfile.TemporaryDirectory() as folder:
        for path, text in (("jmt", JMT), ("tests/unit/test_op_rows", TEST), ("python", "#!/bin/sh\n")):
            os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
            with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(os.path.join(folder, path), os.stat(os.path.join(folder, path)).st_mode | stat.S_IXUSR)
        done, found, text = run(folder)
        rows = {row["name"]: row for row in found["tests"]}
        check(found["complete"] and found["simulated"] and rows["unit/test_op_rows"]["passed"] == 2 and
              rows["unit/test_op_rows"]["skipped"] == 1, "tests are counted")
        check(rows["bits, run to run, bf16"]["passed"] == rows["bits, resume, bf16"]["passed"] == 1,
              "bits are compared")
        check(found["host"][0]["host_us"] == 60.0 and found["kernels"][0]["uses"] == 3 and found["step_ms"] == 9.0,
              "benchmarks are kept")
        check(done.returncode == 0 and all(run["ratio_median"] is None for run in found["peers"]) and
              len(found["peers"]) == 2 and "no Python with torch" in text, "a peer that cannot be had is not measured")
        check(found["passed"] == sum(row["passed"] for row in found["tests"]) and "simulated: says nothing" in text and
              "The gap to the roofline" in text, "report.md has the same")
        done, found, text = run(folder, STAND_IN_DIFFERS="x", STAND_IN_FAILS="model")
        rows = {row["name"]: row for row in found["tests"]}
        check(done.returncode == 1 and rows["bits, resume, bf16"]["failed"] == 1 and
              "the device is lost" in rows["bench model tiny, f32"]["why"] and found["complete"] and
              "**different, or failed**" in text, "what fails is said, and the rest goes on")
        done, found, text = run(folder, "--parts", "bits,bench")
        check(done.returncode == 0 and not found["complete"] and found["not_run"] == ["tests", "sanitizer", "peers"] and
              "Not run: tests (not asked for), sanitizer" in text and found["step_ms"] == 9.0 and
              not any(row["name"].startswith("unit/") for row in found["tests"]), "parts alone")
        os.remove(os.path.join(folder, "tests/unit/test_op_rows"))
        done, found, text = run(folder, "--parts", "tests")
        check(done.returncode == 1 and "no tests in" in text and "launch/setup --tests" in text, "no tests are no pass")
        done = subprocess.run([sys.executable, os.path.join(ROOT, "tests/gpu/run"), "--prepare", "--build", folder],
                              capture_output=True, text=True, check=False, env={
                                  **os.environ, "JMT_PEER_PYTHON": os.path.join(folder, "python")})
        check(done.returncode == 0 and "needs no network now" in done.stdout, "prepared where PyTorch is")
        done = subprocess.run([sys.executable, os.path.join(ROOT, "tests/gpu/run"), "--parts", "bit"],
                              capture_output=True, text=True, check=False)
        check(done.returncode == 2 and "'bit' is none; there are tests, bits" in done.stderr, "parts that there are")


def toolkits():
    with tempfile.TemporaryDirectory() as folder:
        cache = os.path.join(folder, "CMakeCache.txt")
        os.mkdir(os.path.join(folder, "CMakeFiles"))
        with open(cache, "w", encoding="utf-8") as file:
            file.write("GPU:STRING=cuda\nCUDA_HOME:PATH=/opt/cuda-13\n")
        for asked in (None, "", "/opt/cuda-13"):
            gpu_run.forget_other_toolkit(folder, asked)
        check(os.path.exists(cache), "a build folder keeps the toolkit that it was configured with")
        gpu_run.forget_other_toolkit(folder, "/opt/cuda-12.9")
        check(os.listdir(folder) == [], "and forgets it where CUDA_HOME names another")


canned()
same_results()
wheels()
toolkits()
whole()
print(f"1..{number}")
sys.exit(1 if failures else 0)
