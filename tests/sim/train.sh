#!/bin/bash
# train.sh - whole runs on the simulated GPU (or, by tests/gpu/run, on real ones):
# trained, gone on with, evaluated, on several ranks with the same bits.
root=$(cd "$(dirname "$0")/../.." && pwd)
export JMT_BUILD=${JMT_BUILD:-$root/build-sim}
export SIMGPU_SEED=${SIMGPU_SEED:-0} SIMGPU_TIMEOUT=100 ASAN_OPTIONS=detect_leaks=0
. "$(dirname "$0")/../system.sh"

"$jmt" doctor --json >"$work/doctor" 2>"$work/stderr"
gpus=$(sed -n 's/.*"gpus": \([0-9]*\).*/\1/p' "$work/doctor")
simulated=$(grep -c '"cuda": "[0-9]* x simulated GPU' "$work/doctor")
[ "${gpus:-0}" -gt 0 ] || skip "no GPU: $(grep '"cuda":' "$work/doctor")"
steps=5
small=("${tiny[@]}" --set backend=cuda --set batch=8 --set virtual_shards=8 --set data.window=4 --set model.dim=8
    --set model.ff=8 --set model.head_dropout=0.2 --set schedule_known=true)

run 1 train "${small[@]}" --run "$work/one" --steps $steps
report $? "one rank trains"
one=$(hash_of "$work/one")

run 1 train "${small[@]}" --run "$work/again" --steps 2 &&
    run 1 train "${small[@]}" --run "$work/again" --steps $steps --resume auto
report $? "a run goes on"
check "and ends with the same bits" same "$(hash_of "$work/again")" "$one"

# A step is a CUDA graph from the third on; called one by one it has the same bits.
for ranks in 1 3; do
    [ "$ranks" -le "$gpus" ] || { skip_one "$ranks ranks train without a graph" "$gpus GPUs"; continue; }
    JMT_CUDA_GRAPH=0 run $ranks train "${small[@]}" --run "$work/called-$ranks" --steps 2 &&
        run $ranks train "${small[@]}" --run "$work/called-$ranks" --steps $steps --resume auto
    report $? "R=$ranks: two steps called, the others replayed"
    check "R=$ranks: with the same bits" same "$(hash_of "$work/called-$ranks")" "$one"
done
JMT_CUDA_GRAPH=no fails "a graph or none" 2 'JMT_CUDA_GRAPH=no: 0 or 1 is expected' 1 train "${small[@]}" \
    --run "$work/unknown"

asked() { # asked SETTING...: what the host calls in two more steps of a run
    local steps
    for steps in 4 6; do
        rm -rf "$work/asked" "$work/calls"
        SIMGPU_CALLS="$work/calls" run 1 train "${small[@]}" "$@" --run "$work/asked" --steps $steps || return
        cat "$work/calls"
    done | awk '{ o = $2 - o; g = $4 - g; w = $6 - w } END { print o / 2, g / 2, w / 2 }'
}
if [ "$simulated" -gt 0 ]; then
    read -r operations graphs waits < <(asked)
    echo "# a step puts $operations operations into streams, $graphs of them a graph, and waits $waits times"
    [ "$graphs" = 1 ] && [ "${operations:-99}" -le 9 ] && [ "$waits" = 1 ]
    report $? "a step is one graph, and one wait"
    check "also of a deeper model" same "$(asked --set model.layers=3)" "$operations $graphs $waits"
fi

for ranks in 2 3 4; do
    [ "$ranks" -le "$gpus" ] || { skip_one "$ranks ranks train" "$gpus GPUs"; continue; }
    run $ranks train "${small[@]}" --run "$work/on-$ranks" --steps $steps
    report $? "$ranks ranks train, a GPU each"
    grep -q 'gradients joined' "$work/stderr"
    check "all with all" [ $? = 1 ]
    check "with the bits of one" same "$(hash_of "$work/on-$ranks")" "$one"
done
if [ "$gpus" -ge 3 ]; then
    run 2 train "${small[@]}" --run "$work/on-2-then-3" --steps 2 &&
        run 3 train "${small[@]}" --run "$work/on-2-then-3" --steps $steps --resume auto
    report $? "2 ranks train, 3 go on"
    check "with the bits of one" same "$(hash_of "$work/on-2-then-3")" "$one"
else
    skip_one "2 ranks train, 3 go on" "$gpus GPUs"
fi

# Hosts with GPUs of their own, pretended: parts are joined on each, and go between them once, also in a graph.
on_hosts() { # on_hosts "GPUS GPUS ..." ARGUMENTS...: as many ranks on a host as it has
    local size first=0 sizes=$1 job=()
    shift
    for size in $sizes; do
        job+=(${job[0]+:} -n "$size" -x SIMGPU_FIRST_DEVICE=$first "$jmt" "$@")
        first=$((first + size))
    done
    JMT_COMM_HOSTS=$(wc -w <<<"$sizes") timeout -k 5 120 mpirun -q "${job[@]}" >"$work/stdout" 2>"$work/stderr" \
        </dev/null
}
if [ "$simulated" -gt 0 ]; then
    for sizes in "2 2" "3 3" "2 2 2" "2 1"; do
        rm -f "$work/calls"
        SIMGPU_CALLS="$work/calls" on_hosts "$sizes" train "${small[@]}" --run "$work/hosts-$sizes" --steps $steps
        report $? "hosts with $sizes GPUs train"
        check "and say so" grep -q "; gradients joined on each of $(wc -w <<<"$sizes") hosts)" "$work/stderr"
        check "with the bits of one" same "$(hash_of "$work/hosts-$sizes")" "$one"
        check "by graphs, from the second step on" awk '{ ranks++; graphs += $4 }
            END { print "#", ranks, "ranks,", graphs, "graphs"; exit ranks < 3 || graphs != 4 * ranks }' "$work/calls"
    done
    on_hosts "2 2" train "${small[@]}" --run "$work/hosts-then-3" --steps 2 &&
        run 3 train "${small[@]}" --run "$work/hosts-then-3" --steps 3 --resume auto &&
        on_hosts "2 1" train "${small[@]}" --run "$work/hosts-then-3" --steps $steps --resume auto
    report $? "two hosts train, one goes on, and two again"
    check "with the bits of one" same "$(hash_of "$work/hosts-then-3")" "$one"
    run_at=$work/hosts-nan
    JMT_FAULT=nan:3:5 on_hosts "2 2" train "${small[@]}" --set checkpoint.every_steps=2 --run "$run_at" --steps $steps
    [ $? = 1 ] && [ "$(error_lines)" = 1 ] && grep -q 'the loss is not finite at step 5' "$work/stderr"
    report $? "a step that is not finite, on one of two hosts: exit 1, one line"
    on_hosts "2 2" train "${small[@]}" --set checkpoint.every_steps=2 --run "$run_at" --steps $steps --resume auto
    check "goes on to the same bits" same "$(hash_of "$run_at")" "$one"
fi

# Of the last batch of an epoch, 5 samples of 32, the second of two ranks has none. Who begins with it has not called
# what a recorded step has.
if [ "$gpus" -ge 2 ]; then
    make_data "$work/few" recordings=6 subjects=6 test_recordings=2 test_subjects=2
    short=("${small[@]}" --set "data.path=$work/few" --set batch=32)
    run 1 train "${short[@]}" --run "$work/short-1" --steps 5
    run 2 train "${short[@]}" --run "$work/short-2" --steps 1 &&
        run 2 train "${short[@]}" --run "$work/short-2" --steps 5 --resume auto
    report $? "two ranks go on with a short batch, of which one has nothing"
    check "with the bits of one" same "$(hash_of "$work/short-2")" "$(hash_of "$work/short-1")"
else
    skip_one "two ranks go on with a short batch" "$gpus GPUs"
fi

# A slice of device time for each of main's, and no bit of the model.
ranks=$((gpus > 1 ? 2 : 1))
run $ranks train "${small[@]}" --run "$work/profile" --steps $steps --profile --profile-steps 2:3
check "a run with a timeline: the bits of one" same "$(hash_of "$work/profile")" "$one"
between=() # of GPUs: each in main, and in the row of its bucket
[ $ranks = 1 ] || between=("all-to-all=2" tree=2 "all-gather=2" "all-to-all bucket 0=2" "tree bucket 0=2"
    "all-gather bucket 0=2")
python3 tests/mpi/timeline.py "$work/profile/timeline.json" $ranks step=4 forward=4 video.front=8 device=1 \
    "${between[@]}"
report $? "which has the device's time, and what GPUs exchange"

# A step that is not finite changes nothing, be it called or replayed.
for ranks in 1 3; do
    for at in 1 5; do
        run_at="$work/nan-$ranks-$at"
        JMT_FAULT=nan:$((ranks - 1)):$at fails "a step that is not finite" 1 "the loss is not finite at step $at" \
            $ranks train "${small[@]}" --set checkpoint.every_steps=2 --run "$run_at" --steps $steps
    done
    run $ranks train "${small[@]}" --set checkpoint.every_steps=2 --run "$run_at" --steps $steps --resume auto
    check "R=$ranks: goes on to the same bits" same "$(hash_of "$run_at")" "$one"
done

# The same to rounding as the CPU: the factors of products are rounded to TF32's 11 bits, some ten times in a row.
evaluate() { # evaluate BACKEND: of the same checkpoint
    run 1 evaluate "$work/one" --set backend="$1" --predictions "$work/$1.csv"
}
evaluate cuda && evaluate cpu
report $? "both backends evaluate a checkpoint"
near() { # near A.csv B.csv LIMIT
    python3 - "$@" <<'PYTHON'
import csv, sys
a, b = (list(csv.DictReader(open(path))) for path in sys.argv[1:3])
worst = max(abs(float(x["prediction"]) - float(y["prediction"])) for x, y in zip(a, b))
print(f"# {len(a)} predictions, largest difference {worst:.2g}")
sys.exit(len(a) != len(b) or not a or not 0 < worst < float(sys.argv[3]))
PYTHON
}
check "and predict the same to rounding" near "$work/cuda.csv" "$work/cpu.csv" 0.005

if [ "$simulated" -gt 0 ]; then
    SIMGPU_DEVICES=2 fails "fewer GPUs than ranks" 3 'start at most one' 3 train "${small[@]}" --run "$work/crowd"
    SIMGPU_DEVICES=1 fails "a GPU that two ranks share" 3 'same GPU' 2 train "${small[@]}" --run "$work/shared"
    SIMGPU_DEVICES=1 fails "a GPU that two folds share" 3 'same GPU' 2 cv "${small[@]}" --set split.folds=2 \
        --out "$work/cv"
fi
fails "a backend that the device does not have" 2 'set device: cuda, or backend: cpu' 1 train "${small[@]}" \
    --set device=cpu --run "$work/elsewhere"
grep -q '"cuda": "[0-9]* x [A-Za-z]' "$work/doctor"
report $? "jmt doctor shows it"
"$jmt" plan "${small[@]}" --json >"$work/plan" 2>"$work/stderr" && grep -q '"device_bytes": [1-9]' "$work/plan"
report $? "jmt plan counts its memory"
grep -q ', sm_' "$work/one/manifest.json" && grep -q 'by TF32' "$work/one/manifest.json"
report $? "the fingerprint has the kind of GPU and how it multiplies"
finish
