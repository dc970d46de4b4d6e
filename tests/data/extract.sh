#!/bin/bash
# extract.sh - features of frozen backbones, stored once: a training on them has the bits of one through the backbones.
. "$(dirname "$0")/../system.sh"

python3 tests/steps_data.py "$work/raw"
"$jmt" shard features --source "$work/raw" --out "$work/steps" --set header=0 --set shards=2 \
    >"$work/stdout" 2>"$work/stderr"
report $? "data of log-mel, signals and features"

cat >"$work/model.yaml" <<YAML
seed: 1
batch: 8
virtual_shards: 4
model: {name: jmt, dim: 16, ff: 16, head_hidden: 8}
data: {path: $work/steps, window: 2, standardize: train}
split: {valid_fraction: 0.2, test_fraction: 0.25}
optimizer: {name: adamw, learning_rate: 1e-3}
modalities:
  voice: {backbone: resnet_18, clip: 3, frozen: true, reduce: average}
  signal: {backbone: cnn_1d, clip: 40, frozen: true}
  heart: {}
targets:
  valence: {loss: ccc}
YAML
sed -e 's/voice: .*/voice: {dim: 512}/' -e 's/signal: .*/signal: {dim: 512}/' -e "s#$work/steps#$work/cache#" \
    "$work/model.yaml" >"$work/cached.yaml"
# A digest of what a run trained, of the tensors that RUN has besides a backbone's.
trained() { # trained RUN
    "$jmt" export "$work/$1" --out "$work/$1.safetensors" >"$work/stdout" 2>"$work/stderr" &&
        python3 -c '
import hashlib, json, struct, sys
with open(sys.argv[1], "rb") as file:
    size = struct.unpack("<Q", file.read(8))[0]
    header, base = json.loads(file.read(size)), 8 + size
    digest, count = hashlib.sha256(), 0
    for name in sorted(header):
        if name != "__metadata__" and ".backbone." not in name:
            begin, end = header[name]["data_offsets"]
            file.seek(base + begin)
            digest.update(name.encode() + file.read(end - begin))
            count += 1
    print(digest.hexdigest() if count > 20 else "")' "$work/$1.safetensors"
}
files() { (cd "$1" && sha256sum -- *); }

run 1 extract "$work/model.yaml" --out "$work/cache"
report $? "features are extracted"
check "it warns of weights that nothing initialises" grep -q 'warning: .*resnet_18 of voice.*set init.voice' \
    "$work/stderr"
check "it says what to put into the configuration" grep -q '  voice: {dim: 512} # in place' "$work/stdout"
run 1 shard --verify "$work/cache"
report $? "what was written verifies"
run 2 extract "$work/model.yaml" --out "$work/again"
check "on two ranks: the same bytes" same "$(files "$work/cache")" "$(files "$work/again")"
"$jmt" inspect "$work/steps" --json >"$work/before"
"$jmt" inspect "$work/cache" --json >"$work/after"
python3 - "$work/before" "$work/after" >"$work/stderr" 2>&1 <<'PYTHON'
import json, sys
a, b = (json.load(open(path)) for path in sys.argv[1:])
for key in ("recordings", "subjects", "key_id", "licence", "terms", "importer", "targets"):
    assert a.get(key) == b.get(key), key
assert a["modalities"]["heart"] == b["modalities"]["heart"]
voice = b["modalities"]["voice"]
assert (voice["kind"], voice["dim"], voice["rate_hz"]) == ("embedding", 512, 1), voice
assert 0 < voice["valid"] < voice["steps"], voice
assert b["facts"]["extracted"]["voice"]["backbone"] == "resnet_18"
PYTHON
report $? "what is not replaced stays, and a masked step is masked"

for ranks in 1 2; do
    run $ranks train "$work/model.yaml" --run "$work/through-$ranks" --steps 3 &&
        run $ranks train "$work/cached.yaml" --run "$work/cached-$ranks" --steps 3
    report $? "three steps on $ranks, either way"
    check "R=$ranks: the same bits" same "$(trained "through-$ranks")" "$(trained "cached-$ranks")"
done
check "and on any number of ranks" same "$(trained cached-1)" "$(trained cached-2)"
for name in through cached; do
    run 1 evaluate "$work/$name-1/checkpoints/last" --predictions "$work/$name.csv"
    report $? "$name: evaluated"
done
check "the same predictions" cmp "$work/through.csv" "$work/cached.csv"

run 1 train "$work/model.yaml" --set data.window=3 --run "$work/through-3" --steps 3 &&
    run 1 train "$work/cached.yaml" --set data.window=3 --run "$work/cached-3" --steps 3
report $? "three steps on other windows, either way"
check "other windows: the same bits" same "$(trained through-3)" "$(trained cached-3)"

# Two backbones that read one track: the bits of the same track stored twice, and features of both in its place.
cp -r "$work/raw" "$work/raw-twice" &&
    awk -F, '{ print } $4 == "voice" { sub(/,voice,/, ",again,"); print }' "$work/raw/manifest.csv" \
        >"$work/raw-twice/manifest.csv" &&
    "$jmt" shard features --source "$work/raw-twice" --out "$work/twice" --set header=0 --set shards=2 \
        >"$work/stdout" 2>"$work/stderr"
report $? "data with one track under two names"
sed -e "s#$work/steps#$work/twice#" -e 's/^  heart: {}/  heart: {}\
  again: {backbone: resnet_18, clip: 3, frozen: true, reduce: max}/' "$work/model.yaml" >"$work/two.yaml"
sed -e "s#$work/twice#$work/steps#" -e 's/again: {/again: {track: voice, /' "$work/two.yaml" >"$work/shared.yaml"
sed -e "s#$work/steps#$work/cache-two#" -e 's/voice: .*/voice: {dim: 512}/' -e 's/signal: .*/signal: {dim: 512}/' \
    -e 's/again: .*/again: {dim: 512}/' "$work/shared.yaml" >"$work/cached-two.yaml"
run 1 train "$work/two.yaml" --run "$work/two" --steps 3 &&
    run 2 train "$work/shared.yaml" --run "$work/shared" --steps 3 &&
    run 1 extract "$work/shared.yaml" --out "$work/cache-two" &&
    run 1 train "$work/cached-two.yaml" --run "$work/cached-two" --steps 3
report $? "three steps of two backbones, any way"
check "one track: the bits of two" same "$(trained two)" "$(trained shared)"
check "its features: the same bits" same "$(trained two)" "$(trained cached-two)"
run 1 shard --verify "$work/cache-two"
report $? "what was written verifies"
fails "a track that somebody else needs" 2 'read one track, and again has no backbone' 1 extract "$work/shared.yaml" \
    --set modalities.again.backbone=none --set modalities.again.reduce=max --set modalities.again.frozen=false \
    --out "$work/none"

# Out of a run: its weights and its statistics.
run 1 extract "$work/through-1" --out "$work/of-run"
check "of a run: the same features" same "$(cd "$work/cache" && sha256sum -- *.h5)" \
    "$(cd "$work/of-run" && sha256sum -- *.h5)"

check "of a run: the people that it knows are said" grep -q 'these features know people' "$work/stderr"
# The frozen backbones know nobody, but a signal was scaled by the training people of this split.
fails "features of people who would be scored" 2 'data.path: fold [0-9] would score [1-9].*people whom the backbones' \
    1 cv "$work/cached.yaml" --set data.path="$work/of-run" --set split.folds=4 \
    --set epochs=1 --out "$work/folds"
run 1 train "$work/cached.yaml" --set split.seed=3 --run "$work/other-split" --steps 1
check "another split is warned of" grep -q 'warning: the weights, or features, .*jmt evaluate will not score' \
    "$work/stderr"
fails "and not scored" 2 'trained on' 1 evaluate "$work/other-split/checkpoints/last"
run 1 extract "$work/model.yaml" --set data.standardize=none --out "$work/plain"
report $? "features that know nobody"
check "nobody is said" [ "$(grep -c 'know people' "$work/stderr")" = 0 ]
run 1 train "$work/cached.yaml" --set data.path="$work/plain" --set split.seed=3 --run "$work/nobody" --steps 1 &&
    run 1 evaluate "$work/nobody/checkpoints/last"
report $? "these are scored in any split"

# bf16 has bits of its own, which are kept as well.
run 1 extract "$work/model.yaml" --set precision=bf16 --out "$work/halves" &&
    run 1 train "$work/model.yaml" --set precision=bf16 --run "$work/through-bf16" --steps 3 &&
    run 1 train "$work/cached.yaml" --set precision=bf16 --set data.path="$work/halves" \
        --run "$work/cached-bf16" --steps 3
report $? "three steps in bf16, either way"
check "bf16: the same bits" same "$(trained through-bf16)" "$(trained cached-bf16)"

# Pictures and their sound, at a rate of their own.
make=${JMT_BUILD:-$root/build}/tests/tools/raw_make
if [ -x "$make" ]; then
    "$make" affwild2 "$work/faces.raw" &&
        run 1 shard affwild2 --source "$work/faces.raw" --out "$work/faces" --set size=32 --set vggish=1
    report $? "data of faces and sound"
    sed -e "s#$work/steps, window: 2#$work/faces, window: 4, rate_hz: 5#" -e 's/test_fraction: 0.25/test_fraction: 0/' \
        -e '/signal:/d' -e '/heart:/d' -e 's/batch: 8/batch: 4/' -e 's/virtual_shards: 4/virtual_shards: 2/' \
        -e 's/voice: .*/video: {backbone: r2plus1d_18, clip: 4, dilation: 3, size: 32, frozen: true}\
  audio: {backbone: vggish, clip: 96, frozen: true}/' "$work/model.yaml" >"$work/faces.yaml"
    sed -e 's/video: .*/video: {dim: 512}/' -e 's/audio: .*/audio: {dim: 128}/' -e "s#$work/faces#$work/seen#" \
        "$work/faces.yaml" >"$work/seen.yaml"
    run 2 extract "$work/faces.yaml" --out "$work/seen" &&
        run 2 train "$work/faces.yaml" --run "$work/through-faces" --steps 3 &&
        run 1 train "$work/seen.yaml" --run "$work/cached-faces" --steps 3
    report $? "faces: three steps, either way"
    check "faces: the same bits" same "$(trained through-faces)" "$(trained cached-faces)"
else
    skip_one "faces" "built without the readers of raw media"
fi

fails "nothing to extract" 2 'no modality of the model has a backbone' 1 extract "$work/cached.yaml" --out "$work/none"
fails "clips that change" 2 'modalities.voice.augment changes clips' 1 extract "$work/model.yaml" \
    --set modalities.voice.augment=spectrum --out "$work/none"
fails "a backbone on what one made" 2 'voice holds what a backbone made already' 1 train "$work/model.yaml" \
    --set data.path="$work/cache" --run "$work/twice"
fails "a directory that is there" 2 'is not empty; give another --out' 2 extract "$work/model.yaml" --out "$work/cache"
fails "no --out" 2 '--out DIR is missing' 1 extract "$work/model.yaml"
fails "no data" 2 'data.path is not set' 1 extract "$work/model.yaml" --set data.path= --out "$work/none"
check "and nothing is left" [ ! -e "$work/none" -a ! -e "$work/none.tmp" -a ! -e "$work/cache.tmp" ]
finish
