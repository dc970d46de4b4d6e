#!/bin/bash
# bit_flips.sh - no flipped bit, cut, missing or added file of a checkpoint or of a data directory is
# accepted by the verifier, and none is ever loaded as if nothing had happened.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

run 3 train "${tiny[@]}" --run "$work/run" --steps 8
checkpoint=$(readlink -f "$work/run/checkpoints/last")
cat >"$work/flip.py" <<'PY'
import os, random, subprocess, sys
what, jmt, directory, verify, load = sys.argv[1:6]
seed = int(os.environ.get("JMT_TEST_SEED", os.getpid()))
print("# %s: JMT_TEST_SEED=%d" % (what, seed))
random.seed(seed)
files = sorted(os.path.join(directory, f) for f in os.listdir(directory))
sizes = [os.path.getsize(f) for f in files]
def call(command):
    done = subprocess.run([w.replace("DIR", directory).replace("JMT", jmt) for w in command.split()],
                          capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()
def one_line(result):
    return sum(l.startswith("jmt: error: ") for l in result[2].splitlines()) == 1
good_verify, good = call(verify), call(load)
assert good_verify[0] == 0 and good[0] == 0, (good_verify, good)
def refused(code_of_verify=1): # verify refuses; loading refuses, or never touches what is damaged
    v, l = call(verify), call(load)
    ok = v[0] == code_of_verify and one_line(v)
    if l[0] != 0:
        ok = ok and l[0] in (1, 2) and one_line(l)
    else:
        ok = ok and what == "data" and l[1] == good[1]
    if not ok:
        print("#", v, l)
    return ok, l[0] != 0
accepted, not_loaded = 0, 0
for i in range(200):
    # Every file in turn first, then by size: small files count as well.
    f = files[i % len(files)] if i < 100 else random.choices(files, sizes)[0]
    at, bit = random.randrange(os.path.getsize(f)), random.randrange(8)
    with open(f, "r+b") as h:
        h.seek(at); old = h.read(1)
        h.seek(at); h.write(bytes([old[0] ^ 1 << bit]))
    ok, loud = refused()
    accepted += not ok
    not_loaded += loud
    with open(f, "r+b") as h:
        h.seek(at); h.write(old)
    if not ok:
        print("# accepted: %s byte %d bit %d" % (f, at, bit))
print("# %s: 200 flips, %d accepted; loading was refused for %d" % (what, accepted, not_loaded))
bad = accepted > 0 or not_loaded == 0
for f in files:
    data = open(f, "rb").read()
    for cut in (len(data) - 1, len(data) // 2, 0, None):
        os.remove(f)
        if cut is not None:
            open(f, "wb").write(data[:cut])
        if not refused()[0]:
            bad = True
            print("# accepted: %s cut to %s" % (f, cut))
        open(f, "wb").write(data)
extra = os.path.join(directory, "shard-00099.h5" if what == "data" else "part-00099.safetensors")
open(extra, "wb").write(open([f for f in files if f.endswith((".h5", ".safetensors"))][0], "rb").read())
v = call(verify)
bad |= v[0] == 0
os.remove(extra)
bad |= call(verify)[0] != 0 # and all is as it was
sys.exit(bad)
PY
check "checkpoint: 200 flips, 0 accepted; cut, missing and added files are refused" \
    python3 "$work/flip.py" checkpoint "$jmt" "$checkpoint" "JMT inspect DIR --verify" \
    "JMT export DIR --out $work/out.safetensors --optimizer"
check "data: 200 flips, 0 accepted; cut, missing and added files are refused" \
    python3 "$work/flip.py" data "$jmt" "$work/data" "JMT shard --verify DIR" \
    "JMT evaluate $work/run --data DIR --split test --json"
finish
