#!/bin/bash
# same_bits_configs.sh - every configuration that is shipped, two steps on the data that it is for: the same hash on
# 1 to 8 ranks. Each is run on R = 1 and two more, which differ from file to file, the joint transformers on all eight,
# the published sizes on 1, 2 and 8; with EVERY_RANK=1 all files on all eight.
. "$(dirname "$0")/../system.sh"
data=../shared/data

kinds=(synthetic)
"$jmt" shard synthetic --out "$work/synthetic" --set recordings=60 --set subjects=12 2>/dev/null ||
    report 1 "synthetic data"
import() { # import KIND IMPORTER SOURCE
    if [ -d "$data/$3" ]; then
        "$jmt" shard "$2" --source "$data/$3" --out "$work/$1" 2>"$work/stderr"
        report $? "data for configs/$1"
        kinds+=("$1")
    else
        skip_one "configs/$1" "no $data/$3"
    fi
}
import mosi mosi cmu_mosi_utt
import stress_predict stress-predict stress_predict
import ceap360 ceap360 ceap360vr_behaviour
import cogload cogload cogload_ubicomp2020
import mmmo mmmo mmmo

turn=0
check_file() { # check_file FILE ARGUMENTS...: on the ranks whose turn it is
    local file=$1 ranks=(1 $((turn % 7 + 2)) $(((turn + 3) % 7 + 2))) first='' hash name
    shift
    turn=$((turn + 1))
    [[ $file != */jmt.yaml ]] || ranks=(1 2 3 4 5 6 7 8)
    [[ $file != configs/full/* ]] || ranks=(1 2 8)
    [ -z "${EVERY_RANK:-}" ] || ranks=(1 2 3 4 5 6 7 8)
    for r in "${ranks[@]}"; do
        name=$work/$(echo "$file" | tr / -)-$r
        run "$r" train "$file" --steps 2 --run "$name" --set checkpoint.every_steps=0 "$@"
        hash=$(hash_of "$name")
        first=${first:-$hash}
        if [ -z "$hash" ] || [ "$hash" != "$first" ]; then
            report 1 "$file: R=$r has the hash of R=1"
            return
        fi
        rm -rf "$name"
    done
    report 0 "$file: one hash for R = ${ranks[*]}"
}

for kind in "${kinds[@]}"; do
    for file in configs/"$kind"/[a-z]*.yaml; do
        check_file "$file" --set data.path="$work/$kind"
    done
done
for file in configs/tiny/[a-z]*.yaml; do
    check_file "$file" --set data.path="$work/synthetic"
done
# The published sizes, behind a linear layer (or what the file has): the synthetic features are narrower.
for file in configs/full/[a-z]*.yaml; do
    linear=(--set modalities.video.front=linear --set modalities.audio.front=linear)
    ! grep -q 'front: tcn' "$file" || linear=()
    check_file "$file" --set data.path="$work/synthetic" --set batch=8 \
        --set modalities.video.dim=0 --set modalities.audio.dim=0 "${linear[@]}"
done
finish
