#!/bin/bash
# same_bits_configs.sh - every configuration in configs/, as shipped but for its data and a few steps: one hash
# on every number of ranks. Configurations of the joint transformer run on 1 to 8 ranks, the others (and the
# published size) on 1 and on two more that change from file to file; JMT_ALL_RANKS=1 runs each on all eight.
. "$(dirname "$0")/../system.sh"
shared=../shared/data

import() { # import NAME SOURCE IMPORTER
    "$jmt" shard "$3" --source "$shared/$2" --out "$work/$1" >"$work/stdout" 2>"$work/stderr"
    report $? "import $1"
}
[ ! -d $shared/cmu_mosi_utt ] || import mosi cmu_mosi_utt mosi
[ ! -d $shared/stress_predict ] || import stress_predict stress_predict stress-predict
[ ! -d $shared/ceap360vr_behaviour ] || import ceap360 ceap360vr_behaviour ceap360

# What makes it short: steps, and for the published size the smallest batch. Sets arguments.
shorten() { # shorten CONFIG FOLDER
    arguments=(--steps 3 --set "data.path=$work/$2")
    case $2 in
    full) # features of another width pass a linear front
        arguments=(--steps 1 --set batch=8 --set modalities.video.dim=0 --set modalities.audio.dim=0
            --set modalities.video.front=linear --set modalities.audio.front=linear
            --set "data.path=$work/data")
        ;;
    tiny | synthetic) arguments=(--steps 3 --set "data.path=$work/data") ;;
    ceap360) arguments+=(--steps 2 --set batch=8) ;;
    esac
}

turn=0
ranks_of() { # ranks_of CONFIG: the numbers beside 1
    case $(basename "$1" .yaml):${JMT_ALL_RANKS:-} in
    *:1) echo 2 3 4 5 6 7 8 ;;
    jmt:) [ "$1" = configs/full/jmt.yaml ] && echo 3 8 || echo 2 3 4 5 6 7 8 ;;
    *) echo $((2 + turn % 7)) $((2 + (turn + 3) % 7)) ;;
    esac
}

# configs/golden holds the shapes of `jmt step`: no data has their width.
for config in configs/*/*.yaml; do
    folder=$(basename "$(dirname "$config")")
    case $config in */_*.yaml | configs/golden/*) continue ;; esac
    shorten "$config" "$folder"
    if [[ " mosi stress_predict ceap360 " == *" $folder "* ]] && [ ! -d "$work/$folder" ]; then
        skip_one "$config" "no data of it in $shared"
        continue
    fi
    run 1 train "$config" "${arguments[@]}" --run "$work/one" && [ -n "$(hash_of "$work/one")" ]
    report $? "$config on 1"
    for ranks in $(ranks_of "$config"); do
        run "$ranks" train "$config" "${arguments[@]}" --run "$work/many"
        check "$config on $ranks" same "$(hash_of "$work/one")" "$(hash_of "$work/many")"
        rm -rf "$work/many"
    done
    rm -rf "$work/one"
    turn=$((turn + 1))
done
finish
