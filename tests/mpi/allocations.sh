#!/bin/bash
# allocations.sh PROGRAMS - between steps 3 and 10 of training nothing of ours allocates
# or frees, alone and on two ranks, of features and of pictures and sound that are gathered in clips and changed by
# chance, with batch norm over the batch; what libraries do is printed. One made on purpose is noticed.
set -u
program=$1/jmt_counted config=configs/tiny/jmt.yaml
make=$1/../tools/raw_make jmt=$1/../../jmt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1
echo "1..6"
failed=0

sets=(--set batch=8 --set modalities.video.front=tcn)
# check NUMBER NAME RANKS OURS COMMAND...: RANKS lines, each with this count of ours
check() {
    local number=$1 name=$2 ranks=$3 expected=$4
    shift 4
    "$@" train "$config" --run "$work/$number" --steps 11 --set checkpoint.every_steps=1000 \
        "${sets[@]}" >"$work/log" 2>&1
    local status=$? lines
    lines=$(grep -c "^allocations: ours $expected, " "$work/log")
    grep "^allocations:" "$work/log" | sed 's/^/# /'
    if [ "$status" = 0 ] && [ "$lines" = "$ranks" ]; then
        echo "ok $number - $name"
    else
        sed 's/^/# /' "$work/log"
        echo "not ok $number - $name"
        failed=1
    fi
}

check 1 "nothing on one rank" 1 0 "$program"
check 2 "nothing on two ranks" 2 0 mpirun -q -n 2 "$program"
sets+=(--profile --profile-steps 2:12)
check 6 "nothing while a timeline is recorded, on two ranks" 2 0 mpirun -q -n 2 "$program"
sets=(--set batch=8 --set modalities.video.front=tcn)
check 3 "a malloc and a free on purpose are counted" 1 2 env COUNT_ONE_TOO_MANY=1 "$program"
sets+=(--set precision=bf16)
check 4 "nothing in bf16" 1 0 "$program"
name="nothing of pictures and sound"
if [ ! -x "$make" ]; then
    echo "ok 5 - $name # SKIP built without the readers of raw media"
    exit $failed
fi
"$make" affwild2 "$work/raw" && "$jmt" shard affwild2 --source "$work/raw" --out "$work/data" --set size=16 &&
    "$jmt" config --for "$work/data" --out "$work/configs" >"$work/log" || exit 1
config=$work/configs/jmt.yaml
sets=(--set batch=4 --set virtual_shards=2 --set model.dim=16 --set data.window=2 --set data.stride=1
    --set modalities.video.clip=2 --set modalities.video.frozen=true --set modalities.video.augment=strong
    --set modalities.audio.clip=32 --set modalities.audio.batch_norm=global --set modalities.audio.augment=spectrum)
check 5 "$name" 2 0 mpirun -q -n 2 "$program"
exit $failed
