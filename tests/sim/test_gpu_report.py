#!/usr/bin/env python3
"""tests/gpu/run on the simulated GPU, in the parts that are over in seconds, with the programs themselves: what the
report is made of is what they print. unit/test_gpu_run.py has the whole of it on stand-ins."""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("JMT_BUILD", os.path.join(ROOT, "build-sim"))
number, failures = 0, 0


def check(right, what):
    global number, failures
    number += 1
    failures += not right
    print(f"{'ok' if right else 'not ok'} {number} - {what}", flush=True)


def main():
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, os.path.join(ROOT, "tests/gpu/run"), "--simulated", "--quick", "--build", BUILD]
        done = subprocess.run([*command, "--out", out, "--parts", "bits,bench"], capture_output=True, text=True,
                              check=False)
        print("".join(f"# {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="")
        with open(os.path.join(out, "report.json"), encoding="utf-8") as file:
            report = json.load(file)
        with open(os.path.join(out, "report.md"), encoding="utf-8") as file:
            text = file.read()
    check(done.returncode == 0 and report["failed"] == 0 and report["passed"] == 4, "every part passes")
    check(report["simulated"] and "simulated GPU, sm_90" in text and "times say nothing" in text,
          "whose times say nothing")
    check("| bits, run to run | identical | identical |" in text and "| bits, resume | identical | identical |" in text,
          "the same bits")
    names = {row["name"].split(".")[0] for row in report["kernels"]}
    check({"linear", "attention", "add_layernorm", "optimizer_adam"} <= names and
          any(row.get("limit_ratio") for row in report["kernels"]), "operations beside the GPU's limits")
    check(report["limits"]["gflop_s"] > 0 and report["limits"]["memory"][-1]["copy_gb_s"] > 0, "which are measured")
    check(report["step_ms"] > 0 and report["host"][0]["host_us"] > 0, "a step, and the host's part of it")
    gap = text[text.index("## The gap to the roofline"):]
    check("Its operations one by one take" in gap and "| attention." in gap, "the gap to the roofline")
    check("Not run: tests (not asked for), sanitizer (not asked for), peers (not asked for)." in text and
          "| step | 1.3 x | not measured |" in text and "reached" not in text, "what was not measured is said to be")
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
