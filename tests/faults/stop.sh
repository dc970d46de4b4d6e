#!/bin/bash
# stop.sh - a request to stop saves a checkpoint and ends with 75; a rank that hangs is named.
. "$(dirname "$0")/../system.sh"

steps=20000 # more than are done before a signal arrives
options=(--set checkpoint.every_steps=0 --set data.window=16)
started() { # waits until the run in DIR has done a step
    local i
    for i in $(seq 200); do
        grep -qs '"event":"step"' "$1/metrics.jsonl" && return 0
        sleep 0.05
    done
    return 1
}
stopped() { # stopped TEXT DIR CODE
    [ "$3" = 75 ] && [ "$(error_lines)" = 1 ] && grep -q 'stopped by a signal' "$work/stderr" &&
        "$jmt" inspect "$2" --verify >/dev/null
    report $? "$1: exit 75, one line, a checkpoint"
    [ "$3" = 75 ] || echo "# exit code $3"
}
for signal in TERM USR1 INT; do
    dir=$work/alone-$signal
    "$jmt" train "${tiny[@]}" "${options[@]}" --run "$dir" --steps $steps >"$work/stdout" \
        2>"$work/stderr" &
    job=$!
    started "$dir"
    kill -$signal $job
    wait $job
    stopped "one process, SIG$signal" "$dir" $?
done
for signal in TERM USR1; do
    dir=$work/launched-$signal
    timeout 120 "$jmt" launch -n 2 train "${tiny[@]}" "${options[@]}" --run "$dir" --steps $steps \
        >"$work/stdout" 2>"$work/stderr" &
    timer=$!
    started "$dir"
    kill -$signal "$(pgrep -P $timer)"
    wait $timer
    stopped "jmt launch -n 2, SIG$signal" "$dir" $?
done

# Ctrl-Z and fg, for longer than the time in which ranks must answer: ranks stand still meanwhile.
lines() { wc -l <"$1/metrics.jsonl"; }
dir=$work/paused
"$jmt" launch -n 2 train "${tiny[@]}" "${options[@]}" --set comm.timeout_s=2 --run "$dir" \
    --steps $steps >"$work/stdout" 2>"$work/stderr" &
job=$!
started "$dir"
kill -TSTP $job
sleep 1
before=$(lines "$dir")
sleep 4
check "Ctrl-Z: the ranks stand still" [ "$before" = "$(lines "$dir")" ]
kill -CONT $job
for _ in $(seq 200); do
    [ "$(lines "$dir")" -gt "$before" ] && break
    sleep 0.05
done
kill -TERM $job
wait $job
stopped "Ctrl-Z, fg, SIGTERM" "$dir" $?
check "fg: they went on" [ "$(lines "$dir")" -gt "$before" ]

# What was stopped goes on to the same bits.
done_steps=$("$jmt" inspect "$dir" --json | grep -o '"step": [0-9]*' | grep -o '[0-9]*')
steps=$((done_steps + 5))
run 1 train "${tiny[@]}" "${options[@]}" --run "$dir" --steps $steps --resume auto
run 3 train "${tiny[@]}" "${options[@]}" --run "$work/whole" --steps $steps
check "stopped after $done_steps steps and gone on: same hash" \
    same "$(hash_of "$dir")" "$(hash_of "$work/whole")"

export JMT_FAULT=stop:1:7
fails "a rank that hangs" 1 'no answer from rank 1' 3 train "${tiny[@]}" --set comm.timeout_s=2 \
    --set checkpoint.every_steps=3 --run "$work/hang" --steps 12
unset JMT_FAULT
run 2 train "${tiny[@]}" --set checkpoint.every_steps=3 --run "$work/hang" --steps 12 --resume auto
run 1 train "${tiny[@]}" --run "$work/never-hung" --steps 12
check "after the hang: same hash" same "$(hash_of "$work/hang")" "$(hash_of "$work/never-hung")"
finish
