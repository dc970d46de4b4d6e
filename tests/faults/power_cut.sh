#!/bin/bash
# power_cut.sh - the power fails before each single file operation of a run that saves a checkpoint, and
# what was not synced is half gone: every name in checkpoints/ still stands for something whole.
. "$(dirname "$0")/../system.sh"
library=$(dirname "$jmt")/tests/tools/power_cut.so
[ -f "$library" ] || skip "$library is not built"

train() { # train DIR STEPS ARGUMENTS...
    local dir=$1 steps=$2
    shift 2
    run 1 train "${tiny[@]}" --run "$dir" --steps "$steps" --set checkpoint.every_steps=1 \
        --set checkpoint.keep=1 "$@"
}
whole_names() { # whole_names DIR: links lead somewhere, and all that has a checkpoint's name is one
    local entry
    for entry in "$1"/checkpoints/{last,best-*,step-*}; do
        [ -L "$entry" ] || [ -e "$entry" ] || continue
        "$jmt" inspect "$entry" --verify >/dev/null 2>"$work/stderr" || return 1
    done
    [ -e "$1/checkpoints/last" ]
}

train "$work/base" 1
train "$work/whole" 3
cuts=0 broken="" lost="" code=0
for ((cut = 1; cut < 200; cut++)); do
    rm -rf "$work/try"
    cp -a "$work/base" "$work/try"
    POWER_CUT=$cut LD_PRELOAD=$library "$jmt" train "${tiny[@]}" --run "$work/try" --steps 2 \
        --set checkpoint.every_steps=1 --set checkpoint.keep=1 --resume auto >"$work/stdout" \
        2>"$work/stderr" </dev/null
    code=$?
    [ $code = 137 ] || break
    cuts=$((cuts + 1))
    whole_names "$work/try" || broken="$broken $cut"
    if [ $((cut % 6)) = 0 ]; then
        train "$work/try" 3 --resume auto
        [ "$(hash_of "$work/try")" = "$(hash_of "$work/whole")" ] || lost="$lost $cut"
    fi
done 2>/dev/null
check "before operation $cut it got through" same "$code" 0
[ $cuts -ge 20 ]
report $? "$cuts operations were cut"
check "every checkpoint that has a name is whole, and last leads to one" same "${broken:-none}" none
check "every sixth goes on to the same bits" same "${lost:-none}" none
finish
