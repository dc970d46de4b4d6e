#!/bin/bash
# read_ahead.sh - batches made ahead (data.prefetch) change when data is read and nothing else: the same bits,
# and what is wrong with a sample is said in the step that needs it, in the same one line.
. "$(dirname "$0")/../system.sh"
tools=$(dirname "$jmt")/tests/tools
[ -f "$tools/slow_reads.so" ] && [ -x "$tools/bad_data" ] || skip "slow_reads.so or bad_data is not built"
command -v python3 >/dev/null || skip "python3 is not installed"
options=(--set model.modality_dropout=0.3 --set batch=16 --set checkpoint.every_steps=3)
go() { # go NAME RANKS AHEAD ARGUMENTS...
    local name=$1 ranks=$2 ahead=$3
    shift 3
    run "$ranks" train "${tiny[@]}" "${options[@]}" --set "data.prefetch=$ahead" --run "$work/$name" "$@"
}

# Bits: validation of the last epoch included.
values_of() { grep -o '"event":"valid".*' "$1/metrics.jsonl" | sed 's/,"time_s.*//'; }
go whole 1 0 --set epochs=3
for ahead in 1 2 7; do
    for ranks in 1 3; do
        go "a$ahead-$ranks" $ranks $ahead --set epochs=3
        check "$ahead batches ahead on $ranks ranks: the same hash" same \
            "$(hash_of "$work/a$ahead-$ranks")" "$(hash_of "$work/whole")"
        check "... and validation" same "$(values_of "$work/a$ahead-$ranks")" "$(values_of "$work/whole")"
    done
done

# In the middle of an epoch, with batches made that nobody takes: killed, ended, gone on with other settings.
go part 1 0 --steps 11
JMT_FAULT=kill:0:6 go killed 2 3 --steps 11
report $((! $?)) "a rank is killed before step 6"
go ended 2 3 --steps 5
report $? "a run ends at step 5"
for name in killed ended; do
    go $name 3 5 --steps 11 --resume auto
    check "$name in mid epoch: the same hash with 5 ahead" same "$(hash_of "$work/$name")" "$(hash_of "$work/part")"
done

# A bad sample: in the step whose batch it is in, in the same words, with the same code.
small=(--set batch=3 --set virtual_shards=3 --set data.standardize=none)
steps_of() { grep -c '^{"event":"step"' "$1/metrics.jsonl"; }
damaged() { # damaged KIND CODE PATTERN DATA DUE: ends in the step after DUE
    local kind=$1 code=$2 pattern=$3 data=$4 due=$5 ranks ahead name
    for ranks in 1 3; do
        for ahead in 0 2 7; do
            name=$kind-$ranks-$ahead
            fails "$kind, $ahead batches ahead" "$code" "$pattern" $ranks train configs/tiny/jmt.yaml \
                --set data.path="$data" "${small[@]}" --set data.prefetch=$ahead --run "$work/$name"
            check "... after the $due steps before it" same "$(steps_of "$work/$name")" "$due"
            grep '^jmt: error: ' "$work/stderr" >"$work/$name.line"
            cmp -s "$work/$name.line" "$work/$kind-$ranks-0.line"
            report $? "... in the same words"
        done
    done
}
"$tools/bad_data" "$work/one" one
"$jmt" plan configs/tiny/jmt.yaml --set data.path="$work/one" "${small[@]}" --order 0 --json >"$work/plan"
due=$(python3 - "$work/plan" <<'PY'
import json, sys
plan = json.load(open(sys.argv[1]))
bad = {s["id"] for s in plan["samples"] if s["recording"] == "recording-05"}
print(min(at for at, sample in enumerate(plan["order"]) if sample in bad) // plan["batch"])
PY
)
[ "$due" -gt 0 ]
report $? "the bad recording comes first in batch $due, counted from 0"
damaged "a value that is not finite" 2 'recording-05.*video, step 7.*not finite' "$work/one" "$due"

# A flipped bit: where it is met first, is asked of a run that reads each batch when it needs it.
for percent in 20 30 40 50 60 70; do
    rm -rf "$work/flipped" "$work/asked"
    cp -r "$work/data" "$work/flipped"
    python3 - "$work/flipped/shard-00000.h5" $percent <<'PY'
import os, sys
with open(sys.argv[1], "r+b") as f:
    f.seek(os.path.getsize(sys.argv[1]) * int(sys.argv[2]) // 100)
    byte = f.read(1)[0]
    f.seek(-1, 1)
    f.write(bytes([byte ^ 16]))
PY
    run 1 train configs/tiny/jmt.yaml --set data.path="$work/flipped" "${small[@]}" --set data.prefetch=0 \
        --run "$work/asked" --steps 30
    [ -f "$work/asked/metrics.jsonl" ] && due=$(steps_of "$work/asked") && [ "$due" -gt 1 ] &&
        [ "$due" -lt 30 ] && break
done
damaged "a flipped bit" 1 'shard-00000.h5: damaged in bytes' "$work/flipped" "$due"

# Who reads, and what the step waits for. 16 samples of 3 modalities are 48 reads a batch.
waits() { # waits NAME AHEAD ARGUMENTS...: with slow reads; sets $main and $elsewhere
    local name=$1 ahead=$2
    shift 2
    LD_PRELOAD="$tools/slow_reads.so" go "$name" 1 "$ahead" --set data.standardize=none "$@"
    read -r main elsewhere < <(sed -n 's/^reads: \([0-9]*\) in main, \([0-9]*\) elsewhere/\1 \2/p' "$work/stderr")
    echo "# $name: $main reads in main, $elsewhere elsewhere"
}
waited_ms() { # waited_ms NAME LEAST|MOST MS FIRST: steps FIRST and later waited at least, or their median at most
    python3 - "$work/$1/metrics.jsonl" "$2" "$3" "$4" <<'PY'
import json, statistics, sys
path, kind, limit, first = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
lines = [json.loads(line) for line in open(path)]
ms = [l["data_wait_ms"] for l in lines if l["event"] == "step" and l["step"] >= first]
print("#", ms)
sys.exit(not (min(ms) >= limit if kind == "LEAST" else statistics.median(ms) <= limit))
PY
}
waits here 0 --steps 3
check "data.prefetch 0: the step's thread reads" same "$elsewhere" 0
waits there 2 --steps 3
[ "$elsewhere" -ge $((3 * 48)) ]
report $? "data.prefetch 2: another thread reads"
export SLOW_READS_US=1000
waits slow-here 0 --steps 3
check "a step that reads waits as long as it reads" waited_ms slow-here LEAST 48 1
waits slow-there 2 --steps 1
check "the first batch is waited for in any case" waited_ms slow-there LEAST 48 1
# Steps that compute longer than a batch is read wait for less than half of it.
waits hidden 2 --steps 4 --set backend=ref --set model.dim=192 --set model.ff=192
check "what was read meanwhile is not waited for" waited_ms hidden MOST 24 2
finish
