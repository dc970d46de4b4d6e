#!/usr/bin/env bash
# jmt plan's rss_bytes is what a run takes at its most, within 5 %; of a small one within 2 MiB, as
# a process's own part depends on the system. Without the data, and with data whose labels come thirty
# times a second.
set -eu
trap 'rm -rf "$work"' EXIT
work=$(mktemp -d)
export OMP_NUM_THREADS=1

number=0 failures=0
compare() { # compare RUN CONFIG SETTINGS...
    local run=$1 planned taken word=ok
    shift
    "$JMT" train "$@" --run "$run" --set epochs=1 2>/dev/null
    planned=$("$JMT" plan "$@" --json | awk -F'[:,]' '/"rss_bytes"/ { print $2 }')
    taken=$(sed -n 's/.*"event":"end".*"rss_mb":\([0-9.]*\).*/\1/p' "$run/metrics.jsonl")
    number=$((number + 1))
    awk -v planned="$planned" -v taken="$taken" -v of="$1" 'BEGIN {
        error = planned / (taken * 1048576) - 1
        printf "# %s: planned %.1f MiB, taken %.1f MiB, %+.1f %%\n", of, planned / 1048576, taken, 100 * error
        off = planned / 1048576 - taken
        exit (error < -0.05 || error > 0.05) && (off < -2 || off > 2)
    }' || { word="not ok" && failures=$((failures + 1)); }
    echo "$word $number - $1"
}

compare "$work/tiny" configs/tiny/jmt.yaml
data=../shared/data/ceap360vr_behaviour
if [ ! -d "$data" ]; then
    echo "SKIP: $data is not there"
    [ $failures = 0 ] && exit 77
    exit 1
fi
"$JMT" shard ceap360 --source "$data" --out "$work/ceap360" 2>/dev/null
compare "$work/concat" configs/ceap360/concat.yaml --set data.path="$work/ceap360"
[ $failures = 0 ]
