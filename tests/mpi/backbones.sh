#!/bin/bash
# backbones.sh - backbones in training: the same bits on every number of ranks and through a resume, with batch norm
# by running statistics, by shard and by batch; what is frozen stays, what is running moves.
. "$(dirname "$0")/../system.sh"

# As small as backbones allow.
python3 tests/steps_data.py "$work/raw"
"$jmt" shard features --source "$work/raw" --out "$work/steps" --set header=0 >"$work/stdout" 2>"$work/stderr"
report $? "data of log-mel and signals as features"

cat >"$work/model.yaml" <<YAML
seed: 1
batch: 8
virtual_shards: 4
model: {name: jmt, dim: 16, ff: 16, head_hidden: 8}
data: {path: $work/steps, window: 2}
split: {valid_fraction: 0.2, test_fraction: 0.25}
optimizer: {name: adamw, learning_rate: 1e-3}
modalities:
  voice: {backbone: resnet_18, clip: 3, batch_norm: shard, reduce: average}
  signal: {backbone: cnn_1d, clip: 40}
targets:
  valence: {loss: ccc}
YAML
train() { # train NAME RANKS STEPS ARGUMENTS...
    local name=$1 ranks=$2 steps=$3
    shift 3
    run "$ranks" train "$work/model.yaml" --run "$work/$name" --steps "$steps" "$@"
}
tensor() { # tensor RUN NAME: a digest of it
    "$jmt" export "$work/$1" --out "$work/export.safetensors" >"$work/stdout" 2>"$work/stderr" &&
        python3 -c '
import hashlib, json, struct, sys
with open(sys.argv[1], "rb") as file:
    size = struct.unpack("<Q", file.read(8))[0]
    at = json.loads(file.read(size))[sys.argv[2]]["data_offsets"]
    file.seek(8 + size + at[0])
    print(hashlib.sha256(file.read(at[1] - at[0])).hexdigest())' "$work/export.safetensors" "$2"
    rm -f "$work/export.safetensors"
}

for ranks in 1 2 3 4; do
    train "r$ranks" "$ranks" 3
    report $? "three steps on $ranks"
done
reference=$(hash_of "$work/r1")
for ranks in 2 3 4; do
    check "R=1 and R=$ranks: one hash" same "$reference" "$(hash_of "$work/r$ranks")"
done
train resumed 3 2
train resumed 2 3 --resume auto
check "two steps on 3 ranks, one on 2" same "$reference" "$(hash_of "$work/resumed")"
rm -rf "$work"/r[2-4] "$work/resumed"

train first 1 1
[ "$(tensor first voice.backbone.bn1.running_mean)" != "$(tensor r1 voice.backbone.bn1.running_mean)" ]
report $? "running statistics by shard move"
[ "$(tensor first voice.backbone.conv1.weight)" != "$(tensor r1 voice.backbone.conv1.weight)" ]
report $? "a backbone that is not frozen learns"
whole=(--set modalities.voice.batch_norm=global)
for ranks in 1 2 3 4; do
    train "whole-$ranks" "$ranks" 3 "${whole[@]}"
    report $? "by batch: three steps on $ranks"
done
for ranks in 2 3 4; do
    check "by batch: R=1 and R=$ranks: one hash" same "$(hash_of "$work/whole-1")" "$(hash_of "$work/whole-$ranks")"
done
train whole-resumed 3 2 "${whole[@]}"
train whole-resumed 2 3 "${whole[@]}" --resume auto
check "by batch: two steps on 3 ranks, one on 2" same "$(hash_of "$work/whole-1")" "$(hash_of "$work/whole-resumed")"
[ "$(hash_of "$work/whole-1")" != "$reference" ]
report $? "which is not by shard"
# All that is drawn at once: dropout, missing modalities and augmentation.
lively=(--set model.dropout=0.2 --set model.head_dropout=0.3 --set model.modality_dropout=0.2)
lively+=(--set modalities.voice.augment=spectrum)
for norm in shard global; do
    for ranks in 1 2 3 4; do
        train "lively-$norm-$ranks" "$ranks" 3 "${lively[@]}" --set modalities.voice.batch_norm=$norm
    done
    hashes=$(for ranks in 1 2 3 4; do hash_of "$work/lively-$norm-$ranks"; done | sort | uniq -c | awk '{ print $1 }')
    check "by $norm, with dropout and augmentation: R=1 to 4, one hash" same "$hashes" 4
    [ "$(hash_of "$work/lively-$norm-1")" != "$reference" ]
    report $? "which is another"
done
rm -rf "$work"/lively-*
# The batch in one shard and in four: statistics are the same to rounding, and with them the losses.
losses() { python3 -c 'import json, sys
print(*(json.loads(x)["loss"] for x in open(sys.argv[1]) if "loss" in x and "step" in x))' "$work/$1/metrics.jsonl"; }
train whole-one 1 3 "${whole[@]}" --set virtual_shards=1
check "by batch: one shard or four, the same losses" python3 -c 'import sys
a, b = (list(map(float, x.split())) for x in sys.argv[1:])
sys.exit(not (len(a) == len(b) >= 3 and all(abs(x - y) < 1e-4 * abs(x) for x, y in zip(a[:3], b[:3]))))' \
    "$(losses whole-1)" "$(losses whole-one)"
rm -rf "$work"/whole-[2-4] "$work"/whole-resumed "$work"/whole-one

train given 2 2 --set modalities.voice.batch_norm=frozen
check "those by which a norm goes do not" same "$(tensor given voice.backbone.layer1.0.bn1.running_var)" \
    "$(tensor given voice.backbone.bn1.running_var)" # both 1, as they begin
[ "$(tensor given voice.backbone.bn1.weight)" != "$(tensor given voice.backbone.layer1.0.bn1.weight)" ]
report $? "while its gains learn"

frozen=(--set modalities.voice.frozen=true --set modalities.voice.batch_norm=frozen)
train frozen-first 1 1 "${frozen[@]}"
train frozen 3 3 "${frozen[@]}"
for name in conv1.weight bn1.weight bn1.running_mean layer4.1.bn2.running_var; do
    check "frozen: $name stays" same "$(tensor frozen-first voice.backbone.$name)" \
        "$(tensor frozen voice.backbone.$name)"
done
train frozen-resumed 2 2 "${frozen[@]}"
train frozen-resumed 1 3 "${frozen[@]}" --resume auto
check "frozen: 3 ranks, and 2 then 1, have one hash" same "$(hash_of "$work/frozen")" \
    "$(hash_of "$work/frozen-resumed")"

train augmented-1 1 3 --set modalities.voice.augment=spectrum
train augmented-3 3 2 --set modalities.voice.augment=spectrum
train augmented-3 2 3 --set modalities.voice.augment=spectrum --resume auto
check "augmented: the same bits on 1 rank, and on 3 then 2" same "$(hash_of "$work/augmented-1")" \
    "$(hash_of "$work/augmented-3")"
[ "$(hash_of "$work/augmented-1")" != "$reference" ]
report $? "which augmentation has changed"
for name in r1 whole-1 frozen; do
    run 1 evaluate "$work/$name/checkpoints/last" --predictions "$work/$name-1.csv" &&
        run 3 evaluate "$work/$name/checkpoints/last" --predictions "$work/$name-3.csv" &&
        cmp "$work/$name-1.csv" "$work/$name-3.csv"
    report $? "$name: evaluated alike on 1 and 3 ranks"
done
fails "a backbone for other data" 2 'voice has 64 numbers a step.*37632' 1 train "$work/model.yaml" \
    --run "$work/bad" --set modalities.voice.backbone=r3d_18
fails "a clip too short for its backbone" 2 'conv2.*longer clips' 1 train "$work/model.yaml" \
    --run "$work/bad" --set modalities.signal.clip=20
fails "pictures' changes of a signal" 2 'augment strong is for backbones of pictures, not for cnn_1d' 1 \
    train "$work/model.yaml" --run "$work/bad" --set modalities.signal.augment=strong
finish
