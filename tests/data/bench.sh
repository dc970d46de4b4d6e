#!/bin/bash
# bench.sh - jmt bench and the programs of tests/bench/ at toy size: what they print is whole. No
# figure is judged.
. "$(dirname "$0")/../system.sh"

# object TEXT EXPRESSION: stdout is one JSON object o for which the Python expression holds
object() {
    python3 - "$work/stdout" "$2" <<'PY'
import json, sys
o = json.load(open(sys.argv[1]))
names = [r["name"] for r in o.get("results", [])]
whole = all({"name", "backend", "shape", "ms_min", "ms_median", "rounds", "limit_ratio"} <= set(r)
            and r["ms_min"] <= r["ms_median"] for r in o.get("results", []))
sys.exit(0 if whole and eval(f"({sys.argv[2]})") else 1)
PY
    report $? "$1"
}
tiny=(configs/tiny/jmt.yaml --rounds 2)

check "bench kernels" run 1 bench kernels "${tiny[@]}" --json
object "rows of operations and of what runs over the flat state" \
    'all(n in names for n in ("linear.forward", "linear.backward_data", "linear.backward_weights",
        "attention.forward", "dropout.forward", "tanh.forward", "loss_ccc", "optimizer_adam", "add"))'
object "limits above 0" 'o["limits"]["gflop_s"] > 0 and all(m["copy_gb_s"] > 0
    for m in o["limits"]["memory"])'
check "bench model" run 1 bench model "${tiny[@]}" --json
object "a step and its parts" \
    'names == ["step", "step.data_wait", "step.forward", "step.backward", "step.update"]'
check "bench model --evaluate" run 1 bench model "${tiny[@]}" --evaluate --json
object "forward alone" 'names == ["evaluate"] and o["results"][0]["limit_ratio"] > 0'
check "bench model of one that knows its place in the window" run 1 bench model configs/tiny/jca.yaml --rounds 2
check "bench io" run 1 bench io "${tiny[@]}" --json
object "reading, plain and as samples" 'names == ["pread", "batches", "samples"]'
check "bench comm on two ranks" run 2 bench comm "${tiny[@]}" --json
object "sums, and weights to all" \
    'names == ["reduce.canonical", "share", "reduce.fast", "all_gather"] and o["ranks"] == 2'
check "a table for people" run 1 bench io "${tiny[@]}"
check "with a head line" grep -q '% limit' "$work/stdout"

check "turns with a peer" bash -c 'printf "go\ngo\n" | "$@" >"'"$work"'/turns"' - "$jmt" bench model \
    "${tiny[@]}" --interactive
check "an answer for each line" [ "$(grep -c '"loss"' "$work/turns")" = 2 ]
check "outputs on request" bash -c 'printf "outputs\n" | "$@" | grep -q "\"outputs\":\["' - "$jmt" \
    bench model "${tiny[@]}" --evaluate --interactive --set virtual_shards=1 --set batch=1
run 1 bench speed
check "an unknown kind is exit 2" [ $? = 2 ]
run 2 bench kernels "${tiny[@]}"
check "kernels on two ranks is exit 2" [ $? = 2 ]

# Beside the peer: only where it is installed already; a test downloads nothing.
peer=${JMT_PEER_PYTHON:-python3}
"$peer" -c 'import torch, numpy, h5py' 2>/dev/null || peer=
beside() { # beside PROGRAM EXPRESSION
    if [ -z "$peer" ]; then
        skip_one "tests/bench/$1" "PyTorch is not installed"
        return
    fi
    JMT=$jmt JMT_PEER_PYTHON=$peer timeout -k 5 300 "tests/bench/$1" --config configs/tiny/jmt.yaml \
        --no-compile --rounds 2 --json >"$work/stdout" 2>"$work/stderr"
    object "tests/bench/$1: equal first, then timed" "$2"
}
beside step 'o["max_rel"] < 1e-3 and o["losses_max_rel"] < 1e-4 and o["ratio_median"] > 0 and
    len(o["ours_ms"]) == len(o["peer_ms"]) == 2 and set(o["cpu_over_wall"]) == {"ours", "peer"} and
    {"peer", "peer_version", "machine"} <= set(o)'
beside evaluate 'all(o[k]["max_rel"] < 1e-3 and o[k]["ratio_median"] > 0 for k in ("one", "batches"))'
finish
