#!/bin/bash
# precision.sh - activations in bf16: the same hash on every number of ranks and after a resume elsewhere, a checkpoint
# that a float run goes on from, less memory in the plan, evaluation and cross-validation.
. "$(dirname "$0")/../system.sh"

options=(--set model.head_dropout=0.3 --set virtual_shards=6 --set batch=18 --set modalities.video.front=tcn)
train() { # train NAME RANKS STEPS ARGUMENTS...
    local name=$1 ranks=$2 steps=$3
    shift 3
    run "$ranks" train "${tiny[@]}" --run "$work/$name" --steps "$steps" "${options[@]}" "$@"
}
bf16=(--set precision=bf16)

: >"$work/hashes"
for ranks in 1 2 3 4 5 6; do
    train "r$ranks" $ranks 9 "${bf16[@]}" && hash_of "$work/r$ranks" >>"$work/hashes"
done
[ "$(wc -l <"$work/hashes")" = 6 ] && [ "$(sort -u "$work/hashes" | wc -l)" = 1 ]
report $? "bf16, V=6: R = 1 to 6 have one hash"
train f32 1 9
[ "$(hash_of "$work/f32")" != "$(hash_of "$work/r1")" ]
report $? "bf16 has another hash than f32"

train parts 3 4 "${bf16[@]}"
train parts 2 9 "${bf16[@]}" --resume auto
check "4 steps on 3 ranks and 5 on 2" same "$(hash_of "$work/r1")" "$(hash_of "$work/parts")"

train change 1 4 "${bf16[@]}"
train change 1 9 --resume auto
report $? "a run in bf16 goes on in f32"
grep -q '"precision":"bf16' "$work/stderr"
report $? "and says in a line that the numbers are others"
train back 1 4
train back 1 9 "${bf16[@]}" --resume auto
report $? "a run in f32 goes on in bf16"

for ranks in 1 2 3; do
    run $ranks evaluate "$work/r1" --predictions "$work/predictions-$ranks.csv"
    report $? "a run in bf16 is evaluated, R=$ranks"
done
cmp -s "$work/predictions-1.csv" "$work/predictions-2.csv" &&
    cmp -s "$work/predictions-1.csv" "$work/predictions-3.csv"
report $? "predictions do not depend on the ranks"

run 2 cv "${tiny[@]}" --out "$work/cv" --set split.folds=2 --set epochs=1 --set checkpoint.every_steps=0 \
    --set split.valid_fraction=0.2 "${bf16[@]}"
report $? "cross-validation in bf16"

arena() {
    "$jmt" plan configs/full/jmt.yaml --json --set precision="$1" |
        sed -n 's/.*"arena_bytes": *\([0-9]*\).*/\1/p'
}
[ "$(($(arena bf16) * 10))" -le "$(($(arena f32) * 6))" ]
report $? "the plan has little more than half of the bytes of activations"
finish
