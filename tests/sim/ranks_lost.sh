#!/bin/bash
# ranks_lost.sh - a rank on a simulated GPU that is killed, or that stands still, ends the job: a line of the
# others that says which and what they waited for, the exit code of its kind, no process left, and the same bits after
# going on.
root=$(cd "$(dirname "$0")/../.." && pwd)
export JMT_BUILD=$root/build-sim SIMGPU_SEED=${SIMGPU_SEED:-0} SIMGPU_TIMEOUT=100 ASAN_OPTIONS=detect_leaks=0
. "$(dirname "$0")/../system.sh"

"$jmt" doctor --json >"$work/doctor" 2>"$work/stderr"
grep -q '"cuda": "[0-9]* x simulated GPU' "$work/doctor" || skip "no simulated GPU"
steps=6
small=("${tiny[@]}" --set backend=cuda --set batch=8 --set virtual_shards=8 --set data.window=4 --set model.dim=8
    --set model.ff=8 --set model.head_dropout=0.2 --set schedule_known=true --set checkpoint.every_steps=2
    --set comm.timeout_s=2)
run 1 train "${small[@]}" --run "$work/whole" --steps $steps
report $? "a run that nobody disturbs"
whole=$(hash_of "$work/whole")

left_of() { pgrep -f -- "--run $1 "; } # process ids
ends() { # ends TEXT DIR CODE PATTERN RANKS: within reason, and nothing of it is left
    local text=$1 dir=$2 code=$3 pattern=$4 ranks=$5 begin=$SECONDS got i
    run "$ranks" train "${small[@]}" --run "$dir" --steps $steps
    got=$?
    [ "$got" = "$code" ] && [ "$(error_lines)" = 1 ] && [ $((SECONDS - begin)) -lt 60 ] &&
        grep '^jmt: error: ' "$work/stderr" | grep -Eq -- "$pattern"
    report $? "$text: exit $code, one line (R=$ranks)"
    [ "$got" = "$code" ] || echo "# exit code $got after $((SECONDS - begin)) s"
    for ((i = 0; i < 100; i++)); do # mpirun ends its own last
        [ -n "$(left_of "$dir")" ] || break
        sleep 0.1
    done
    check "... and no process" [ -z "$(left_of "$dir")" ]
    [ -z "$(left_of "$dir")" ] || kill -9 $(left_of "$dir")
}
goes_on() { # goes_on DIR RANKS
    run "$2" train "${small[@]}" --run "$1" --steps $steps --resume auto
    check "... and goes on to the same bits on $2" same "$(hash_of "$1")" "$whole"
}

# Step 1 is called, 3 is recorded and replayed, 5 is replayed. Of a step that is called the bucket is said.
seen='[0-9]+ operations? behind, last seen (in|leaving) [a-z_ ]+'
export OMPI_MCA_odls_base_sigkill_timeout=2 # for the others to speak, also on a busy machine
JMT_FAULT=kill:1:1 ends "killed in the first step" "$work/kill-2" 137 \
    "(loss sums|reduce_wait): NCCL: .*furthest behind is rank 1 \($seen\): look at its process first" 2
goes_on "$work/kill-2" 3
JMT_FAULT=kill:0:3 ends "killed where a step is recorded" "$work/kill-3" 137 \
    "(keep a step|reduce_wait): NCCL: .*furthest behind is rank 0 \($seen\): look at its process first" 3
goes_on "$work/kill-3" 4
JMT_FAULT=kill:2:5 ends "killed in a replayed step" "$work/kill-4" 137 \
    "reduce_wait: NCCL: .*furthest behind is rank 2 \($seen\): look at its process first" 4
goes_on "$work/kill-4" 2
unset OMPI_MCA_odls_base_sigkill_timeout

bucket='\(gradients of bucket [0-9]+ have not come\)'
late='if it is only slow raise comm.timeout_s, else look at its process'
JMT_FAULT=stop:0:1 ends "stands still in the first step" "$work/stop-2" 1 \
    "reduce_wait: no answer from rank 0 within 2 s \(it is $seen\); $late $bucket" 2
goes_on "$work/stop-2" 1
JMT_FAULT=stop:1:3 ends "stands still where a step is recorded" "$work/stop-3" 1 \
    "(keep a step|reduce_wait): no answer from rank 1 within 2 s \(it is $seen\); $late" 3
goes_on "$work/stop-3" 2
JMT_FAULT=stop:3:5 ends "stands still in a replayed step" "$work/stop-4" 1 \
    "reduce_wait: no answer from rank 3 within 2 s \(it is $seen\); $late" 4
goes_on "$work/stop-4" 4

# NCCL that notices nothing, as it often does: the deadline, or mpirun, ends it all the same.
SIMGPU_NCCL_NOTICES=0 JMT_FAULT=stop:2:5 ends "stands still, and NCCL is silent" "$work/silent" 1 \
    "reduce_wait: no answer from rank 2 within 2 s \(it is $seen\); $late" 3

JMT_FAULT=kill:1:5 timeout -k 5 120 "$jmt" launch -n 3 train "${small[@]}" --run "$work/launched" --steps $steps \
    >"$work/stdout" 2>"$work/stderr" </dev/null
code=$?
[ $code = 1 ] && [ "$(error_lines)" = 1 ] && grep -q 'a rank was lost .*start again with --resume auto' "$work/stderr"
report $? "jmt launch: exit 1, one line"
goes_on "$work/launched" 3
finish
