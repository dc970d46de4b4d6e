#!/bin/bash
# bad_checkpoints.sh - a checkpoint that is damaged is refused, and one that cannot be written, or whose
# numbers are not finite, is never published; what was saved before stays and goes on.
. "$(dirname "$0")/../system.sh"

run 1 train "${tiny[@]}" --run "$work/there" --steps 6 --set checkpoint.every_steps=2
there=$(hash_of "$work/there")
cp -r "$work/there" "$work/damaged"
part=$(ls "$work"/damaged/checkpoints/last/part-*.safetensors)
# In the numbers, not in the header, which would not parse.
printf "xyz!" | dd of="$part" bs=1 seek=$(($(stat -c %s "$part") - 8)) conv=notrunc 2>"$work/stderr"
for ranks in 1 3; do
    fails "resume from a damaged checkpoint" 1 'is damaged: part-00000' $ranks train "${tiny[@]}" \
        --run "$work/damaged" --resume auto
    fails "evaluation of a damaged checkpoint" 1 'is damaged: part-00000' $ranks evaluate "$work/damaged"
done
older=$(ls -d "$work"/damaged/checkpoints/step-* | tail -n 2 | head -n 1)
run 2 train "${tiny[@]}" --resume "$older" --steps 6 --set checkpoint.every_steps=2
check "an older checkpoint goes on, over the damaged one" same "$(hash_of "$work/damaged")" "$there"

# While training: what is not finite, a disk that is full.
for ranks in 1 3; do
    export JMT_FAULT=nan:$((ranks - 1)):6
    fails "a number that is not finite" 1 'not finite at step 6' $ranks train "${tiny[@]}" \
        --set checkpoint.every_steps=2 --run "$work/nan$ranks" --steps 9
    export JMT_FAULT=enospc:$((ranks - 1)):6
    fails "a full disk (planted)" 1 'No space left' $ranks train "${tiny[@]}" \
        --set checkpoint.every_steps=2 --run "$work/full$ranks" --steps 9
    unset JMT_FAULT
    for kind in nan full; do
        step=$("$jmt" inspect "$work/$kind$ranks" --json | grep -o '"step": [0-9]*')
        check "$kind, R=$ranks: the last checkpoint is kept" same "$step" '"step": 4'
        left=$(find "$work/$kind$ranks/checkpoints" -name '.writing*' | wc -l)
        check "$kind, R=$ranks: nothing half-written is left" same "$left" 0
        run 2 train "${tiny[@]}" --resume "$work/$kind$ranks" --steps 6 --set checkpoint.every_steps=2
        check "$kind, R=$ranks: goes on to the same bits" same "$(hash_of "$work/$kind$ranks")" "$there"
    done
done
finish
