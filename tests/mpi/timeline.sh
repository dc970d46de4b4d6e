#!/bin/bash
# timeline.sh - `jmt train --profile`: a Chrome trace of all ranks whose slices lie in one another (timeline.py), of the
# steps that were asked for, also of a run that is stopped or goes on; no bit of the model differs by it.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

sets=("${tiny[@]}" --set batch=6 --set virtual_shards=6)
holds() { # holds TEXT FILE RANKS NAME=COUNT...
    local text=$1
    shift
    python3 tests/mpi/timeline.py "$@"
    report $? "$text"
}
each=(step=9 forward=9 "read batch=0" "video.front=18" linear.forward=0 linear.backward_data=0 linear.backward_weights=0
      reader=0 main=0)

run 1 train "${sets[@]}" --run "$work/plain" --steps 12
plain=$(hash_of "$work/plain")
[ ! -e "$work/plain/timeline.json" ]
report $? "no timeline unless asked for"
for ranks in 1 2 3; do
    run $ranks train "${sets[@]}" --run "$work/r$ranks" --steps 12 --profile --profile-steps 3:11
    check "R=$ranks: the same model" same "$plain" "$(hash_of "$work/r$ranks")"
    holds "R=$ranks: steps 3 to 11, a validation and a checkpoint" "$work/r$ranks/timeline.json" $ranks "${each[@]}" \
        validation=1 checkpoint=1 "add parts=9"
done
wide=("${sets[@]}" --set model.dim=256 --set model.ff=1024 --steps 12) # several buckets, the first long before the last
run 2 train "${wide[@]}" --run "$work/wide"
JMT_COMM_HOSTS=2 run 2 train "${wide[@]}" --run "$work/hosts" --profile="$work/hosts.json" --profile-steps 3:11
check "two hosts: the same model" same "$(hash_of "$work/wide")" "$(hash_of "$work/hosts")"
holds "two hosts: its own file, and the thread that moves messages" "$work/hosts.json" 2 "${each[@]}" communication=1 \
    "move messages=0"
run 1 train "${sets[@]}" --run "$work/default" --steps 40 --profile
holds "20 steps behind the first 5" "$work/default/timeline.json" 1 step=20 reader=1
run 1 train "${sets[@]}" --run "$work/alone" --steps 12 --profile --set data.prefetch=0
holds "batches read by the main thread; what there is at the end" "$work/alone/timeline.json" 1 main=1 step=7 \
    "read batch=9"
run 2 train "${sets[@]}" --run "$work/resumed" --steps 8
run 3 train "${sets[@]}" --run "$work/resumed" --steps 12 --resume auto --profile --profile-steps 1:10
check "a run that goes on: the same model" same "$plain" "$(hash_of "$work/resumed")"
holds "and those of the steps that it makes" "$work/resumed/timeline.json" 3 step=2

timeout -k 5 120 "$jmt" launch -n 2 train "${sets[@]}" --set checkpoint.every_steps=0 --steps 100000 \
    --run "$work/stopped" --profile --profile-steps 2:1001 >"$work/stdout" 2>"$work/stderr" &
timer=$!
for _ in $(seq 200); do
    grep -qs '"event":"step","step":4' "$work/stopped/metrics.jsonl" && break
    sleep 0.05
done
kill -TERM "$(pgrep -P $timer)"
wait $timer
[ $? = 75 ] && [ "$(error_lines)" = 1 ] && grep -q 'stopped by a signal at step' "$work/stderr"
report $? "a stop is a stop"
holds "and leaves what there was until then" "$work/stopped/timeline.json" 2 step=0 checkpoint=0
run 1 train "${sets[@]}" --run "$work/never" --steps 3 --profile --profile-steps 7:9 &&
    grep -q 'no timeline: steps 7 to 9 were not trained' "$work/stderr" && [ ! -e "$work/never/timeline.json" ]
report $? "steps that never come are said"

fails "steps backwards" 2 '--profile-steps 5:3: two steps' 2 train "${sets[@]}" --profile --profile-steps 5:3
fails "no steps" 2 '--profile-steps 5: two steps' 1 train "${sets[@]}" --profile --profile-steps 5
fails "too many steps" 2 'at most 1000' 1 train "${sets[@]}" --profile --profile-steps 1:1001
fails "steps of nothing" 2 'without --profile' 1 train "${sets[@]}" --profile-steps 1:2
fails "over a configuration" 2 'would be written to configs/tiny/jmt.yaml' 1 train \
    --profile "${sets[@]}" configs/synthetic/jmt.yaml
fails "no folder" 2 'there is no folder' 2 train "${sets[@]}" --run "$work/x" --profile "$work/none/x.json"
if [ -w /dev/full ]; then
    fails "a full disk" 1 'No space left' 2 train "${sets[@]}" --run "$work/full" --steps 12 --profile-steps 2:5 \
        --profile /dev/full
    check "and the training went on to its end" same "$plain" "$(hash_of "$work/full")"
fi
finish
