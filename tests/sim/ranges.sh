#!/bin/bash
# ranges.sh - a profiler that is attached (a stand-in: range_watcher.c) is shown the parts of a step and the
# operations of the graph, one in another, of training and of prediction; no bit of the model differs by it.
root=$(cd "$(dirname "$0")/../.." && pwd)
export JMT_BUILD=${JMT_BUILD:-$root/build-sim}
export SIMGPU_SEED=${SIMGPU_SEED:-0} SIMGPU_TIMEOUT=100 ASAN_OPTIONS=detect_leaks=0
. "$(dirname "$0")/../system.sh"
watcher=$JMT_BUILD/tests/sim/range_watcher.so
[ -f "$watcher" ] || skip "built without NVTX's headers"
small=("${tiny[@]}" --set backend=cuda --set batch=8 --set virtual_shards=8 --set data.window=4 --set model.dim=8
    --set model.ff=8)

run 1 train "${small[@]}" --run "$work/plain" --steps 2
report $? "without a profiler"
export RANGES=$work/ranges NVTX_INJECTION64_PATH=$watcher
run 2 train "${small[@]}" --run "$work/watched" --steps 2
check "with one: the same bits" same "$(hash_of "$work/watched")" "$(hash_of "$work/plain")"
wanted="step
 wait for data
 forward
  video.front
 backward
  all-to-all
 finish reduction
  tree
 update
 share weights
  all-gather"
shown() { # shown FILE: each line of $wanted twice, once a step
    local line
    while IFS= read -r line; do
        [ "$(grep -cx "$line" "$1")" -ge 2 ] || { echo "# '$line' $(grep -cx "$line" "$1") times" && return 1; }
    done <<<"$wanted"
    grep -q '^read batch' "$1" && ! grep -q 'more ends' "$1"
}
count=0
for file in "$work"/ranges.*; do
    grep -q '^step' "$file" || continue
    count=$((count + 1))
    check "rank $count: parts of a step, operations in them, batches read" shown "$file"
done
[ "$count" = 2 ]
report $? "both ranks have ranges"
finish
