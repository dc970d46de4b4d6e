#!/bin/bash
# two_runs.sh - two runs in one directory: the later start owns it, the earlier one stops at its next
# checkpoint without having changed anything, and the result is that of one run. What is read of a checkpoint
# is of one, while links move and whatever another rank sees.
. "$(dirname "$0")/../system.sh"

run 1 train "${tiny[@]}" --run "$work/whole" --steps 40
dir=$work/run
JMT_FAULT=stop:0:9 "$jmt" train "${tiny[@]}" --run "$dir" --steps 40 \
    --set checkpoint.every_steps=4 >"$work/orphan.out" 2>"$work/orphan.err" &
orphan=$!
for i in $(seq 200); do # until it has stopped itself before step 9
    grep -q '^State:.T' /proc/$orphan/status 2>/dev/null && break
    sleep 0.05
done
grep -q '^State:.T' /proc/$orphan/status
report $? "a run hangs after step 8"
run 2 train "${tiny[@]}" --run "$dir" --steps 30 --resume auto --set checkpoint.every_steps=4
report $? "a second start goes on in its directory"
before=$(cd "$dir" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
links=$(ls -l "$dir/checkpoints" | grep -o '[a-z-]* -> .*')
kill -CONT $orphan
wait $orphan
code=$?
cp "$work/orphan.err" "$work/stderr"
[ $code = 1 ] && [ "$(error_lines)" = 1 ] && grep -q 'has taken over' "$work/stderr"
report $? "the first one wakes and is told so: exit 1, one line"
check "it has changed no file" same "$(cd "$dir" && find . -type f -print0 | sort -z | xargs -0 sha256sum)" "$before"
check "it has changed no link" same "$(ls -l "$dir/checkpoints" | grep -o '[a-z-]* -> .*')" "$links"
run 3 train "${tiny[@]}" --run "$dir" --steps 40 --resume auto --set checkpoint.every_steps=4
check "the directory goes on to the same hash" same "$(hash_of "$dir")" "$(hash_of "$work/whole")"

# At the same time, again and again: at most one gets through, and what is left is whole.
dir=$work/race
codes=
for i in 1 2 3; do
    timeout 60 "$jmt" train "${tiny[@]}" --run "$dir" --steps 40 --resume auto \
        --set checkpoint.every_steps=1 >"$work/race$i.out" 2>"$work/race$i.err" &
    jobs[$i]=$!
done
for i in 1 2 3; do
    wait "${jobs[$i]}"
    code=$?
    codes="$codes $code"
    lines=$(grep -c '^jmt: error: ' "$work/race$i.err")
    [ $code = 0 ] && [ "$lines" = 0 ] || { [ $code = 1 ] && [ "$lines" = 1 ]; }
    report $? "of three at once, number $i: done, or one line (exit $code)"
done
[[ $codes == *" 0"* ]]
report $? "the last to start gets through"
check "three at once: the same hash" same "$(hash_of "$dir")" "$(hash_of "$work/whole")"
check "three at once: each step once in metrics.jsonl" same \
    "$(grep -o '^{"event":"step","step":[0-9]*' "$dir/metrics.jsonl" | grep -o '[0-9]*$' | tr '\n' ' ')" \
    "$(seq -s ' ' 40) "

# A link is followed once, for all files behind it.
part=$(ls "$dir"/checkpoints/last/part-*.safetensors)
truncate -s -1 "$part"
fails "a checkpoint is the one that its link named first" 1 'step-00000040 is damaged' 1 train "${tiny[@]}" \
    --run "$work/other" --resume "$dir/checkpoints/last" --steps 41

# Two ranks that see different ones, each in a folder of its own under one name.
mkdir "$work/a" "$work/b"
here=(train "$root/${tiny[0]}" "${tiny[@]:1}" --run race --resume auto --set checkpoint.every_steps=4)
(cd "$work/a" && run 1 "${here[@]}" --steps 4) && cp -r "$work/a/race" "$work/b" &&
    (cd "$work/b" && run 1 "${here[@]}" --steps 8)
report $? "two ranks' folders"
timeout -k 5 60 mpirun -q -n 1 -wdir "$work/a" "$jmt" "${here[@]}" --steps 12 : \
    -n 1 -wdir "$work/b" "$jmt" "${here[@]}" --steps 12 >"$work/stdout" 2>"$work/stderr" </dev/null
code=$?
[ $code = 1 ] && [ "$(error_lines)" = 1 ] &&
    grep -q 'rank 1: .*goes on from step 8, rank 0 from step 4: another run saves into race' "$work/stderr"
report $? "ranks that see different checkpoints: exit 1, one line"
finish
