#!/bin/bash
# two_hosts.sh DIR - runs DIR/test_comm and DIR/test_reduce on two "hosts": ../hosts.sh.
# Needs root and ip; says so and passes if not.
set -u
dir=$(readlink -f "$1")
. "$(dirname "$0")/../hosts.sh"
echo "1..4"
work=$(mktemp -d)
trap 'hosts_down; rm -rf "$work"' EXIT
hosts_up >"$work/why" || {
    for i in 1 2 3 4; do echo "ok $i # SKIP $(cat "$work/why")"; done
    exit 0
}

job() { # job PROGRAM [MODE]: 4 ranks, two per host
    timeout "$limit_s" "${hosts_mpirun[@]}" -n 4 --mca mpi_yield_when_idle 1 --bind-to none \
        "$dir/$@" >"$work/out" 2>&1 </dev/null
}
limit_s=120 number=0 failures=0
report() { # report CODE NAME
    number=$((number + 1))
    if [ "$1" = 0 ]; then
        echo "ok $number - $2"
    else
        sed 's/^/# /' "$work/out"
        echo "not ok $number - $2"
        failures=1
    fi
}

for program in test_comm test_reduce; do
    job $program
    report $? "$program on two hosts"
done

job test_comm sleep
grep -q "second: no answer from rank 3 on host ${hosts_tag}2 within" "$work/out" &&
    [ "$(grep -c 'jmt: error' "$work/out")" = 1 ]
report $? "a time-out names the late rank and its host"

# Without a deadline MPI would wait for ever. (mpirun itself waits for the lost host's daemon: whoever
# started it has to end it.)
cut_line="loop: no answer from rank 2 on host ${hosts_tag}2 and 1 other within"
within() { # within SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
all_loop() { [ "$(pgrep -fc "^$dir/test_comm loop")" -ge 4 ]; }
job test_comm loop &
within 60 all_loop
sleep 1
ip link set "${hosts_tag}v2" down
within 30 grep -q "$cut_line" "$work/out"
report $? "a cut cable gives a line that names the host"
{
    pkill -KILL -f "$dir/test_comm loop"
    wait
} 2>/dev/null
exit $failures
