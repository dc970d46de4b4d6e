#!/bin/bash
# pictures.sh - a small R(2+1)D, trained on clips of pictures that are changed by chance, on simulated GPUs (or, by
# tests/gpu/run, on real ones): the same bits on one to four, called or as a graph; bytes are what goes to them.
root=$(cd "$(dirname "$0")/../.." && pwd)
export JMT_BUILD=${JMT_BUILD:-$root/build-sim}
export SIMGPU_SEED=${SIMGPU_SEED:-0} SIMGPU_TIMEOUT=100 ASAN_OPTIONS=detect_leaks=0
. "$(dirname "$0")/../system.sh"

"$jmt" doctor --json >"$work/doctor" 2>"$work/stderr"
gpus=$(sed -n 's/.*"gpus": \([0-9]*\).*/\1/p' "$work/doctor")
simulated=$(grep -c '"cuda": "[0-9]* x simulated GPU' "$work/doctor")
[ "${gpus:-0}" -gt 0 ] || skip "no GPU: $(grep '"cuda":' "$work/doctor")"
[ -x "$JMT_BUILD/tests/tools/picture_data" ] || skip "picture_data is not built"
"$JMT_BUILD/tests/tools/picture_data" "$work/faces" 11 2>"$work/stderr"
report $? "data with pictures"
steps=3
cat >"$work/faces.yaml" <<YAML
seed: 1
batch: 8
virtual_shards: 4
backend: cuda
model: {name: jmt, dim: 8, ff: 8, head_hidden: 4}
data: {path: $work/faces, window: 2}
split: {valid_fraction: 0.25}
optimizer: {name: adamw, learning_rate: 1e-3}
modalities:
  face: {backbone: r2plus1d_18, clip: 2, size: 11, width: 4, batch_norm: shard, reduce: average, augment: strong}
  heart: {dim: 3}
targets:
  valence: {loss: ccc}
YAML
train() { # train NAME RANKS ARGUMENTS...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" train "$work/faces.yaml" --run "$work/$name" --steps $steps "$@"
}

SIMGPU_CALLS="$work/shorter.calls" train r1 1
report $? "one GPU trains"
one=$(hash_of "$work/r1")
for ranks in 2 3 4; do
    [ "$ranks" -le "$gpus" ] || { skip_one "$ranks GPUs train" "$gpus GPUs"; continue; }
    train "r$ranks" "$ranks"
    report $? "$ranks GPUs train"
    check "with the bits of one" same "$(hash_of "$work/r$ranks")" "$one"
done
JMT_CUDA_GRAPH=0 train called 1 --set data.prefetch=0
check "called step by step, nothing read ahead: the same bits" same "$(hash_of "$work/called")" "$one"
train plain 1 --set modalities.face.augment=none
[ -n "$one" ] && [ "$(hash_of "$work/plain")" != "$one" ]
report $? "which augmentation has changed"

# 8 samples of 2 steps of 2 pictures in a batch; beside them masks, labels, a signal and what was drawn.
if [ "$simulated" -gt 0 ]; then
    SIMGPU_CALLS="$work/longer.calls" train longer 1 --steps $((steps + 2))
    each=$(awk '{ o = $8 - o } END { print o / 2 }' "$work/shorter.calls" "$work/longer.calls")
    pixels=$((8 * 2 * 2 * 11 * 11 * 3))
    echo "# a step brings $each bytes to the GPU; a batch has $pixels of pixels"
    awk -v each="$each" -v pixels="$pixels" 'BEGIN { exit !(each >= pixels && each < 2 * pixels) }'
    report $? "pixels go there as bytes"
fi

# The CPU's to rounding, of some forty layers and their gradients in float: less than 1e-6 between the CPU's instruction
# sets and ref. Norms of the whole batch, as those of a shard are over two places in the last layers, where a difference
# is but rounding divided by itself (0.7 % of a loss after two steps). By SGD, as AdamW would divide also a
# gradient that is nothing but rounding by its own size.
losses() { python3 -c 'import json, sys
print(*[json.loads(x)["loss"] for x in open(sys.argv[1]) if "\"event\":\"step\"" in x])' "$work/$1/metrics.jsonl"; }
sgd=(--set optimizer.name=sgd --set optimizer.learning_rate=1e-3 --set modalities.face.batch_norm=global)
train strict 1 "${sgd[@]}" --set precision=f32_strict && train cpu 1 "${sgd[@]}" --set backend=cpu
report $? "strict floats, and the CPU"
echo "# losses $(losses strict), the CPU's $(losses cpu)"
check "which are the same to rounding" python3 -c 'import sys
a, b = (list(map(float, x.split())) for x in sys.argv[1:])
sys.exit(not (len(a) == len(b) == 3 and all(abs(x - y) < 1e-5 * abs(y) for x, y in zip(a, b))))' \
    "$(losses strict)" "$(losses cpu)"

# Noise is done to numbers, which then go as floats, and as bytes again behind it.
worse() { # worse BACKEND
    run 1 robustness "$work/strict" --set backend="$1" --corrupt face=noise:0 --corrupt heart=drop:0.5 \
        --csv "$work/$1.csv"
}
worse cuda && worse cpu
report $? "pictures and a signal made worse, on both"
check "with the same scores to rounding" python3 -c 'import csv, sys
a, b = (list(csv.DictReader(open(path))) for path in sys.argv[1:])
far = [abs(float(x["value"]) - float(y["value"])) for x, y in zip(a, b) if x["value"] and y["value"]]
moved = {x["value"] for x in a if x["metric"] == "ccc"}
sys.exit(not (len(a) == len(b) and far and max(far) < 1e-3 and len(moved) > 1))' "$work/cuda.csv" "$work/cpu.csv"
finish
