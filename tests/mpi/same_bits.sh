#!/bin/bash
# same_bits.sh - the same configuration, seed and data give the same hash on every number of ranks.
. "$(dirname "$0")/../system.sh"

train() { # train NAME RANKS STEPS ARGUMENTS...
    local name=$1 ranks=$2 steps=$3
    shift 3
    run "$ranks" train "${tiny[@]}" --run "$work/$name" --steps "$steps" "$@"
}

for shards in 24 8; do
    : >"$work/hashes"
    for ranks in 1 2 3 4 5 6 8; do
        train "v$shards-r$ranks" $ranks 6 --set batch=48 --set virtual_shards=$shards &&
            hash_of "$work/v$shards-r$ranks" >>"$work/hashes"
    done
    [ "$(wc -l <"$work/hashes")" = 7 ] && [ "$(sort -u "$work/hashes" | wc -l)" = 1 ]
    report $? "B=48, V=$shards: R = 1 2 3 4 5 6 8 have one hash"
done
reference=$(hash_of "$work/v8-r1")
for hosts in 2 3; do # pretended, of unequal numbers of ranks
    JMT_COMM_HOSTS=$hosts train hosts-$hosts 5 6 --set batch=48 --set virtual_shards=8
    check "V=8: 5 ranks on $hosts hosts have it, too" same "$(hash_of "$work/hosts-$hosts")" "$reference"
done
train other-seed 2 6 --set batch=48 --set seed=2
[ "$(hash_of "$work/other-seed")" != "$reference" ]
report $? "another seed has another hash"

# Another optimiser, dropout and clipping; and a stop in the middle of an epoch that goes on elsewhere.
for optimizer in sgd adamw; do
    options=(--set optimizer.name=$optimizer --set model.head_dropout=0.3 --set virtual_shards=6
             --set batch=18 --set optimizer.clip_norm=0.1)
    train $optimizer-1 1 11 "${options[@]}"
    train $optimizer-4 4 11 "${options[@]}"
    check "$optimizer, dropout, V=6: R=1 and R=4" \
        same "$(hash_of "$work/$optimizer-1")" "$(hash_of "$work/$optimizer-4")"
    train $optimizer-x 3 5 "${options[@]}"
    [ "$("$jmt" inspect "$work/$optimizer-x" --json | grep -c '"step": 5,')" = 1 ]
    report $? "$optimizer: --steps 5 leaves step 5"
    train $optimizer-x 5 11 "${options[@]}" --resume auto
    check "$optimizer: 5 steps on 3 ranks and 6 on 5" \
        same "$(hash_of "$work/$optimizer-1")" "$(hash_of "$work/$optimizer-x")"
done

train no-dropout 1 11 --set optimizer.name=sgd --set virtual_shards=6 --set batch=18 \
    --set optimizer.clip_norm=0.1
[ "$(hash_of "$work/no-dropout")" != "$(hash_of "$work/sgd-1")" ]
report $? "dropout takes part in the hash"
train short 1 6 --set epochs=1
[ "$("$jmt" inspect "$work/short" --json | grep -c '"step": 6,')" = 1 ]
report $? "--steps counts, whatever epochs says"
run 1 train "${tiny[@]}" --run "$work/epochs" --set epochs=2
last=$(tail -n 1 "$work/epochs/metrics.jsonl" | grep -o '"event":"end","step":[0-9]*,"epoch":2')
check "without --steps the epochs count" same "$last" \
    "\"event\":\"end\",\"step\":$("$jmt" inspect "$work/epochs" --json |
        sed -n 's/.*"step": \([0-9]*\).*/\1/p'),\"epoch\":2"
finish
