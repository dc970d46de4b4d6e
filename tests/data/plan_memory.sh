#!/usr/bin/env bash
# jmt plan's rss_bytes is what a run takes at its most, within 5 %; of a small one within 2 MiB, as
# a process's own part depends on the system.
set -eu
trap 'rm -rf "$work"' EXIT
work=$(mktemp -d)
export OMP_NUM_THREADS=1

"$JMT" train configs/tiny/jmt.yaml --run "$work/run" --steps 3 2>/dev/null
planned=$("$JMT" plan configs/tiny/jmt.yaml --json | awk -F'[:,]' '/"rss_bytes"/ { print $2 }')
taken=$(sed -n 's/.*"event":"end".*"rss_mb":\([0-9.]*\).*/\1/p' "$work/run/metrics.jsonl")
awk -v planned="$planned" -v taken="$taken" 'BEGIN {
    error = planned / (taken * 1048576) - 1
    printf "planned %.1f MiB, taken %.1f MiB, %+.1f %%\n", planned / 1048576, taken, 100 * error
    off = planned / 1048576 - taken
    exit (error < -0.05 || error > 0.05) && (off < -2 || off > 2)
}'
