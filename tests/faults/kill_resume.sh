#!/bin/bash
# kill_resume.sh - kill -9 at any moment costs the steps since the last checkpoint and nothing else: after
# going on with other numbers of ranks the hash is that of a run that nobody disturbed.
. "$(dirname "$0")/../system.sh"
seed=${JMT_TEST_SEED:-$$}
RANDOM=$seed
echo "# JMT_TEST_SEED=$seed"

options=(--set model.head_dropout=0.2 --set checkpoint.every_steps=3 --set schedule.warmup_steps=15)
steps=20
run 1 train "${tiny[@]}" "${options[@]}" --run "$work/whole" --steps $steps
whole=$(hash_of "$work/whole")
go() { # go NAME RANKS ARGUMENTS...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" train "${tiny[@]}" "${options[@]}" --run "$work/$name" --steps $steps "$@"
}
steps_of() { grep -o '^{"event":"step","step":[0-9]*' "$1/metrics.jsonl" | grep -o '[0-9]*$'; }
each_step_once() { same "$(steps_of "$1" | tr '\n' ' ')" "$(seq -s ' ' $steps) "; }
state_of() { # where early stopping and the best checkpoint stand
    grep -E '"(best_step|best_value|bad_epochs|epoch|batch|step)":' "$1/checkpoints/last/manifest.json"
    readlink "$1/checkpoints/best-ccc"
}

# A planted kill of a random rank before a random step.
for round in 1 2 3; do
    ranks=$((RANDOM % 3 + 2)) step=$((RANDOM % steps + 1))
    rank=$((RANDOM % ranks))
    JMT_FAULT=kill:$rank:$step go planted$round $ranks
    code=$?
    [ $code != 0 ] && [ "$(error_lines)" -le 1 ]
    report $? "round $round: rank $rank of $ranks is killed before step $step (exit $code)"
    go planted$round $((RANDOM % 4 + 1)) --resume auto
    check "round $round: same hash" same "$(hash_of "$work/planted$round")" "$whole"
    check "round $round: each step once in metrics.jsonl" each_step_once "$work/planted$round"
    check "round $round: same best checkpoint" same "$(state_of "$work/planted$round")" \
        "$(state_of "$work/whole")"
done

# Before anything was saved, and with the link `last` gone: auto finds what there is.
JMT_FAULT=kill:0:1 go early 2
[ ! -e "$work/early/checkpoints/last" ] && go early 3 --resume auto
check "killed before the first checkpoint: auto begins again" same "$(hash_of "$work/early")" "$whole"
check "... and each step is there once" each_step_once "$work/early"
JMT_FAULT=kill:1:11 go linkless 2
rm "$work/linkless/checkpoints/last"
go linkless 3 --resume auto
grep -q 'resuming at step [1-9]' "$work/stderr"
report $? "without the link, auto goes on from the newest step"
check "... to the same hash" same "$(hash_of "$work/linkless")" "$whole"
check "... and the step that was lost is there once" each_step_once "$work/linkless"

# A checkpoint taken elsewhere goes on in a directory of its own, and leaves its own alone.
before=$(hash_of "$work/planted1/checkpoints/step-00000018")
go branch 2 --resume "$work/planted1/checkpoints/step-00000018"
check "a checkpoint of another run goes on under --run" same "$(hash_of "$work/branch")" "$whole"
[ "$before" = "$(hash_of "$work/planted1/checkpoints/step-00000018")" ] &&
    [ "$(readlink "$work/planted1/checkpoints/last")" = step-00000020 ]
report $? "... and the other run is as it was"

# Through the supervisor: one line, exit 1. --resume DIR stands for the run directory.
JMT_FAULT=kill:1:8 timeout 120 "$jmt" launch -n 3 train "${tiny[@]}" "${options[@]}" \
    --run "$work/launched" --steps $steps >"$work/stdout" 2>"$work/stderr"
code=$?
[ $code = 1 ] && [ "$(error_lines)" = 1 ] && grep -q 'a rank was lost' "$work/stderr"
report $? "jmt launch reports a lost rank: exit 1, one line"
run 2 train "${tiny[@]}" "${options[@]}" --steps $steps --resume "$work/launched"
check "--resume DIR goes on in DIR" same "$(hash_of "$work/launched")" "$whole"
run 2 train "${tiny[@]}" "${options[@]}" --steps $steps --resume "$work/launched/checkpoints/last"
check "--resume of a finished run's checkpoint changes nothing" \
    same "$(hash_of "$work/launched")" "$whole"
"$jmt" inspect "$work/launched" --verify >/dev/null 2>"$work/stderr"
report $? "... and leaves the checkpoint intact"

# kill -9 from outside at random times, every step saved, until the run gets through.
options=(--set model.head_dropout=0.2 --set checkpoint.every_steps=1 --set schedule.warmup_steps=15)
ranks_of() { # process ids of the ranks that train in DIR
    local pid
    for pid in $(pgrep -f -- "--run $1 "); do
        tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -q '^OMPI_COMM_WORLD_RANK=' && echo "$pid"
    done
}
intact=0 kills=0
for attempt in 1 2 3 4 5 6; do
    go outside $((attempt % 3 + 2)) --resume auto &
    job=$!
    for ((wait_for = 0; wait_for < 400; wait_for++)); do # on a busy machine a start takes long
        [ -z "$(ranks_of "$work/outside")" ] && kill -0 $job 2>/dev/null || break
        sleep 0.05
    done
    sleep "$(awk "BEGIN { print $((RANDOM % 1000)) / 3000 }")"
    victims=($(ranks_of "$work/outside"))
    if [ ${#victims[@]} -gt 0 ]; then
        kill -9 "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null && kills=$((kills + 1))
    fi
    wait $job
    if [ -e "$work/outside/checkpoints/last" ] && ! "$jmt" inspect "$work/outside" --verify \
        >/dev/null 2>"$work/stderr"; then
        intact=1
    fi
done
report $intact "after each of $kills kills at random times the last checkpoint is intact"
[ $kills -gt 0 ]
report $? "the kills hit"
go outside 2 --resume auto
check "killed over and over: same hash" same "$(hash_of "$work/outside")" "$whole"
check "killed over and over: each step once" each_step_once "$work/outside"
left=$(find "$work/outside/checkpoints" -name '.*' ! -name . | wc -l)
check "no leftovers of killed writers" same "$left" 0
finish
