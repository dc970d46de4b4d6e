#!/bin/bash
# raw_media.sh - raw media from the source to a model, by the program: each layout is recognised, imported,
# checked, shown, read by other programs, and a person is taken out of it; what cannot be trained on is refused.
# raw_media.sh import: without the training, for AddressSanitizer.
. "$(dirname "$0")/../system.sh"
make=${JMT_BUILD:-$root/build}/tests/tools/raw_make
[ -x "$make" ] || skip "built without the readers of raw media"
command -v python3 >/dev/null || skip "python3 is not installed"

# value FILE EXPRESSION: of the JSON object d in it
value() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }
holds() { # holds EXPRESSION: of what the program printed
    same "$(value "$work/stdout" "$1")" True
}
said() { grep -q -- "$1" "$work/stderr"; }

# imported LAYOUT RECORDINGS SETTINGS...
imported() {
    local layout=$1 recordings=$2 sets=() set
    shift 2
    for set in "$@"; do sets+=(--set "$set"); done
    "$make" "$layout" "$work/$layout.raw" || return
    run 1 shard --recognise "$work/$layout.raw"
    check "$layout: recognised" same "$(cat "$work/stdout")" "$layout"
    run 1 shard "$layout" --source "$work/$layout.raw" --out "$work/$layout" "${sets[@]}"
    report $? "$layout: imported"
    run 1 shard --verify "$work/$layout"
    report $? "$layout: every byte is right"
    run 1 inspect "$work/$layout" --json
    check "$layout: $recordings recordings" holds "d['recordings'] == $recordings"
}
imported affwild2 5 size=32
check "affwild2: pictures of 32 x 32" holds "d['modalities']['video']['shape'] == [32, 32, 3]"
check "affwild2: the faces that are there" holds "d['modalities']['video']['valid'] == 60 - 12 + 43 - 2 + 38 + 50"
check "affwild2: sound is log_mel" holds "d['modalities']['audio']['kind'] == 'log_mel'"
check "affwild2: Validation_Set is the test" holds "d['splits']['test']['recordings'] == 2"
check "affwild2: Train_Set is the rest" holds \
    "d['splits']['train']['recordings'] + d['splits']['valid']['recordings'] == 3"
check "affwild2: labels of -5 do not count" holds "d['targets']['valence']['valid'] == 57 + 40 + 40 + 50"
imported media 2 size=32 first_frame=1
check "media: frames without a face or a picture" holds "d['modalities']['face']['valid'] == 75 - 4 + 75 - 4"
check "media: a signal at the rate of its times" holds "abs(d['modalities']['eda']['rate_hz'] - 64) < 0.01"
run 1 shard --remove-subject Ann --key "$work/media.key" "$work/media"
report $? "media: a person is taken out"
run 1 shard --verify "$work/media"
report $? "media: and every byte is right"
run 1 inspect "$work/media" --json
check "media: one recording is left" holds "d['recordings'] == 1 and d['modalities']['face']['steps'] == 75"
# Labels of another recording: they go on for five seconds after the video.
python3 - "$work/media.raw" <<'PY'
import os, sys
with open(os.path.join(sys.argv[1], "long.csv"), "w") as file:
    file.write("y\n" + "0.5\n" * 80)
with open(os.path.join(sys.argv[1], "manifest.csv"), "w") as file:
    file.write("recording,subject,group,modality,rate_hz,path\nr,A,,video:face,25,two\nr,A,,label:y,10,long.csv\n")
PY
run 1 shard media --source "$work/media.raw" --out "$work/long" --set size=16 --set first_frame=1
same $? 0 && said 'labels go on after all else has ended; the first: r, by 5 s'
report $? "media: labels longer than the video are told"
# The same pictures and sound out of archives, by the column dataset.
python3 - "$work/media.raw" <<'PY'
import os, sys, tarfile, zipfile
os.chdir(sys.argv[1])
with zipfile.ZipFile("all.zip", "w") as made:
    for name in sorted(os.listdir("two")):
        made.write("two/" + name)
with tarfile.open("all.tar", "w") as made:
    made.add("two.wav")
    made.add("Übung/α β.mp4")
with open("manifest.csv", "w") as file:
    file.write("recording,subject,group,modality,rate_hz,path,dataset\n")
    for folder, zipped in (("two", ""), ("all.zip", "two")):
        file.write("r%s,A,,video:face,25,%s,%s\n" % (zipped, folder, zipped))
    for number, (path, member) in enumerate((("two.wav", ""), ("all.tar", "two.wav"))):
        file.write("%s,A,,audio:voice,,%s,%s\n" % (("r", "rtwo")[number], path, member))
    file.write("clip,A,,video:face,,Übung/α β.mp4,\ncliptar,A,,video:face,,all.tar,Übung/α β.mp4\n")
PY
run 1 shard media --source "$work/media.raw" --out "$work/archived" --set size=16 --set first_frame=1 --set shards=4
report $? "media: out of archives"
run 1 inspect "$work/archived" --json
check "media: four recordings" holds "d['recordings'] == 4 and d['modalities']['voice']['steps'] == 2 * 301"
if command -v h5dump >/dev/null; then
    pictures() { # pictures SHARD: their bytes
        h5dump -d /modalities/face/values -b -o "$work/$1.bytes" "$work/archived/shard-0000$1.h5" >/dev/null
    }
    pictures 0 && pictures 1 && cmp -s "$work/0.bytes" "$work/1.bytes"
    report $? "media: the same pictures from a folder and from a .zip"
    pictures 2 && pictures 3 && cmp -s "$work/2.bytes" "$work/3.bytes"
    report $? "media: and from a video in a .tar"
else
    skip_one "media: the same pictures from archives" "h5dump is not installed"
fi
imported biovid 30 size=32
check "biovid: three people, 2816 steps a sample" holds \
    "d['subjects'] == 3 and d['modalities']['gsr']['steps'] == 30 * 2816"
check "biovid: windows of four steps a second" holds "d['window'] == 4 and d['windows'] == 30"

# h5dump sees the bytes of pictures, and what they are.
if command -v h5dump >/dev/null; then
    shard=$work/biovid/shard-00000.h5
    h5dump -a /modalities/video/kind -a /modalities/video/shape -H "$shard" >"$work/stdout" 2>&1
    check "h5dump: kind and shape" grep -q 'ATTRIBUTE "shape"' "$work/stdout"
    h5dump -d /modalities/video/values -H "$shard" >"$work/stdout" 2>&1
    check "h5dump: bytes, 3072 a step" grep -q 'SIMPLE { ( 4140, 3072 )' "$work/stdout"
    check "h5dump: of eight bits" grep -q H5T_STD_U8LE "$work/stdout"
else
    skip_one "h5dump reads pictures" "h5dump is not installed"
fi

if [ "${1-}" = import ]; then
    finish
fi

# From the shards to a model: what a step of each modality is decides by what it becomes features.
tiny_model=(--set batch=4 --set virtual_shards=2 --set model.dim=16 --set model.ff=16)
for layout in affwild2 biovid; do
    run 1 config --for "$work/$layout" --out "$work/configs-$layout"
    report $? "$layout: configurations are written"
done
for line in 'video: {backbone: r2plus1d_18, clip: 8, dilation: 4, size: 32}' \
    'audio: {backbone: resnet_18, clip: 107, reduce: average}'; do
    check "affwild2: $line" grep -qF "  $line" "$work/configs-affwild2/_common.yaml"
done
check "biovid: a second of a signal" grep -qF '  gsr: {backbone: cnn_1d, dim: 1, clip: 512}' \
    "$work/configs-biovid/_common.yaml"
for ranks in 1 2; do
    run $ranks train "$work/configs-biovid/jmt.yaml" "${tiny_model[@]}" --set 'model.modalities=[video, gsr]' \
        --set modalities.video.frozen=true --run "$work/jmt-$ranks" --steps 2
    report $? "biovid: faces and skin conductance, two steps on $ranks"
done
check "biovid: the same bits" same "$(hash_of "$work/jmt-1")" "$(hash_of "$work/jmt-2")"
run 1 evaluate "$work/jmt-1/checkpoints/last" --split valid
report $? "biovid: evaluated"
for file in affwild2/{jmt,mt,concat,majority} biovid/{jmt,mt,concat,majority,gsr}; do
    sets=(--set batch=4 --set virtual_shards=2 --set data.path="$work/${file%/*}")
    [[ $file = */gsr ]] || sets+=(--set modalities.video.size=32)
    [[ $file != biovid/* ]] || sets+=(--set split.folds=3 --set targets.pain.classes=5)
    run 1 train "configs/$file.yaml" "${sets[@]}" --run "$work/$(echo $file | tr / -)" --steps 1
    report $? "configs/$file.yaml: a step at reduced size"
done
run 1 train configs/affwild2/jmt_i3d.yaml --set batch=2 --set virtual_shards=1 --set data.path="$work/affwild2" \
    --set data.window=2 --set modalities.video.size=64 --run "$work/i3d" --steps 1
report $? "configs/affwild2/jmt_i3d.yaml: a step on pictures that are enlarged"
fails "which are not enlarged unless it is said" 2 'has 3072 numbers a step.*takes 12288; set backbone and size' 1 \
    train configs/affwild2/jmt_i3d.yaml --set data.path="$work/affwild2" --set modalities.video.size=64 \
    --set modalities.video.upsample=1 --run "$work/video"
# Sound as VGGish takes it is another kind, and each backbone of sound takes its own.
run 1 shard affwild2 --source "$work/affwild2.raw" --out "$work/heard" --set size=32 --set vggish=1 &&
    run 1 config --for "$work/heard" --out "$work/configs-heard"
report $? "affwild2: with sound for VGGish"
heard=$work/configs-heard/audio.yaml common=$work/configs-heard/_common.yaml
check "its configuration" grep -qF '  audio: {backbone: vggish, clip: 96}' "$common"
run 1 train "$heard" --set batch=4 --set virtual_shards=2 --set model.dim=16 --set modalities.audio.frozen=true \
    --set data.window=2 --run "$work/heard-run" --steps 1
report $? "a step through VGGish"
fails "VGGish on other sound" 2 'audio holds log_mel, and backbone vggish takes another sound.*--set vggish=1' 1 \
    train "$heard" --set data.path="$work/affwild2" --run "$work/none"
fails "its sound changed by chance" 2 'spectrum is for normalised decibels' 1 \
    train "$heard" --set modalities.audio.augment=spectrum --run "$work/none"
sed -i 's/backbone: vggish, clip: 96/backbone: resnet_18, clip: 107/' "$common"
fails "another backbone on its sound" 2 'audio holds vggish_mel.*set backbone: vggish' 1 \
    train "$heard" --run "$work/none"
fails "pictures without a backbone" 2 'video holds pictures; set modalities.video.backbone' 1 \
    train "$work/configs-biovid/gsr.yaml" --set modalities.video.backbone=none --set modalities.video.clip=1 \
    --set modalities.video.dilation=1 --set modalities.video.size=112 --set 'model.modalities=[video]' \
    --run "$work/video"
fails "pictures of another size" 2 'has 3072 numbers a step.*takes 3888; set backbone and size' 1 \
    train "$work/configs-biovid/video.yaml" --set modalities.video.size=36 --run "$work/video"

# The other archive that faces come in.
rm -rf "$work/affwild2" "$work/affwild2.key"
python3 - "$work/affwild2.raw" <<'PY'
import os, shutil, sys, zipfile
folder = os.path.join(sys.argv[1], "cropped_aligned")
with zipfile.ZipFile(folder + ".zip", "w") as made:
    for place, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            made.write(os.path.join(place, name), os.path.relpath(os.path.join(place, name), sys.argv[1]))
shutil.rmtree(folder)
PY
run 1 shard affwild2 --source "$work/affwild2.raw" --out "$work/affwild2" --set size=32
report $? "affwild2: faces in a .zip"
run 1 inspect "$work/affwild2" --json
check "affwild2: the same faces" holds "d['modalities']['video']['valid'] == 60 - 12 + 43 - 2 + 38 + 50"
finish
