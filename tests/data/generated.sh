#!/bin/bash
# generated.sh - the shipped configurations of Aff-Wild2 and BioVid on raw media in exactly those layouts, of nobody,
# whose best predictor is known: both senses together are told better than any model of one of them could. Paths and
# sizes alone are overridden, by the lists below; the rate, because a backbone begins from nothing here, and a run has
# 50 steps instead of the published thousands.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"
"$jmt" shard --generate biovid --out "$work/probe" --set people=2 --set per_class=1 --set side=16 2>"$work/stderr"
[ $? != 3 ] || skip "built without the readers of raw media"

tiny_affwild2=(seconds=10 fps=16 side=16)
tiny_biovid=(people=20 per_class=20 side=16)
reduced=(virtual_shards=1 data.window=2 model.dim=32)
reduced_affwild2=("${reduced[@]}" batch=16 data.rate_hz=2 epochs=3 optimizer.learning_rate=1e-2)
reduced_biovid=("${reduced[@]}" batch=32 data.rate_hz=0.5 epochs=4 split.folds=2)
reduced_video=(modalities.video.size=8 modalities.video.clip=2)
reduced_audio=(modalities.audio.clip=8)

# made LAYOUT SETTINGS... -- SETTINGS OF THE IMPORT...
made() {
    local layout=$1 sets=() verb=(shard --generate "$1" --out "$work/$1.raw") word
    shift
    for word in "$@" --; do
        if [ "$word" = -- ]; then
            "$jmt" "${verb[@]}" "${sets[@]}" >"$work/stdout" 2>"$work/stderr" || return
            verb=(shard "$layout" --source "$work/$layout.raw" --out "$work/$layout") sets=()
        else
            sets+=(--set "$word")
        fi
    done
}
made affwild2 "${tiny_affwild2[@]}" -- size=8
report $? "affwild2: generated and imported"
made biovid "${tiny_biovid[@]}" -- size=8 task=4
report $? "biovid: generated and imported"
same "$("$jmt" shard --recognise "$work/affwild2.raw") $("$jmt" shard --recognise "$work/biovid.raw")" "affwild2 biovid"
report $? "both are recognised"

# trained SET/CONFIG KEY=VALUE...: run and predictions, $work/SET-CONFIG and .csv
trained() {
    local set=${1%/*} name=${1/\//-} sets=() word
    local -n common=reduced_$set
    for word in "${common[@]}" data.path="$work/$set" "${@:2}"; do sets+=(--set "$word"); done
    timeout 300 "$jmt" train "configs/$1.yaml" "${sets[@]}" --run "$work/$name" >"$work/$name.log" 2>&1 </dev/null &&
        timeout 60 "$jmt" evaluate "$work/$name/checkpoints/best-${best[$set]}" --predictions "$work/$name.csv" \
            --out "$work/$name.json" >>"$work/$name.log" 2>&1
    echo $? >"$work/$name.code"
}
declare -A best=([affwild2]=ccc [biovid]=accuracy)
of() { echo "init.$2=$work/$1-$2/checkpoints/best-${best[$1]}"; }
all_of() { # all_of SET: first stage, two at a time, and then what is fused of it
    case $1 in
    affwild2)
        trained affwild2/video model.head_hidden=32 "${reduced_video[@]}" &
        trained affwild2/audio model.head_hidden=32 "${reduced_audio[@]}"
        wait
        trained affwild2/jmt model.ff=32 epochs=2 "${reduced_video[@]}" "${reduced_audio[@]}" \
            "$(of affwild2 video)" "$(of affwild2 audio)" &
        ;;
    biovid)
        trained biovid/video model.head_hidden=32 optimizer.learning_rate=1e-2 "${reduced_video[@]}" &
        trained biovid/gsr model.head_hidden=32 optimizer.learning_rate=3e-3
        wait
        trained biovid/jmt model.ff=32 optimizer.learning_rate=1e-3 "${reduced_video[@]}" \
            "$(of biovid video)" "$(of biovid gsr)"
        ;;
    esac
}
all_of affwild2
all_of biovid
wait
for name in affwild2-{video,audio,jmt} biovid-{video,gsr,jmt}; do
    [ "$(cat "$work/$name.code")" = 0 ] || sed 's/^/# /' "$work/$name.log"
    check "configs/${name/-//}.yaml at the reduced sizes" same "$(cat "$work/$name.code")" 0
done

# What can be told at best of the very steps that were scored, from what was generated.
cat >"$work/judge.py" <<'PY'
import csv, json, math, sys
layout, work = sys.argv[1:3]
aliases = json.load(open("%s/%s.key" % (work, layout)))["aliases"]
rows = lambda path: list(csv.DictReader(open(work + "/" + path)))
mean = lambda x: math.fsum(x) / len(x)
def ccc(pairs):
    x, y = zip(*pairs)
    mx, my = mean(x), mean(y)
    cov = mean([(a - mx) * (b - my) for a, b in pairs])
    return 2 * cov / (mean([(a - mx) ** 2 for a in x]) + mean([(b - my) ** 2 for b in y]) + (mx - my) ** 2)
def told(name):
    out = {}
    for row in rows("%s-%s.csv" % (layout, name)):
        recording = row["recording"].replace(row["subject"], aliases[row["subject"]])
        out[recording, int(row["step"]), row["name"]] = float(row["prediction"]), float(row["target"])
    return out

def affwild2():
    """The mean over both targets of the CCC of names, and of the best of each."""
    optimum = json.load(open(work + "/affwild2.raw/optimum.json"))["optimum"]["targets"]
    moods = {(m["recording"], int(m["frame"])): (float(m["seen"]), float(m["heard"]))
             for m in rows("affwild2.raw/moods.csv")}
    weights = {"valence": (0.5, 0.4), "arousal": (0.4, -0.5)}
    names, scores, best = ("video", "audio", "jmt"), {}, {}
    for name, which in zip(names, ("video", "audio", "all")):
        predictions, got, could = told(name), [], []
        for target, (face, voice) in weights.items():
            pairs, bests = [], []
            for (recording, step, of), (prediction, label) in predictions.items():
                if of != target:
                    continue
                seen, heard = moods[recording, step * 8 + 1]  # 16 frames, 2 steps a second; frame 1 is the first
                assert abs(face * seen + voice * heard - label) <= 0.1 + 1e-5, (recording, step)
                part = (face * seen if which != "audio" else 0) + (voice * heard if which != "video" else 0)
                pairs.append((prediction, label))
                bests.append((part * optimum[target][which]["stretch"], label))
            got.append(ccc(pairs))
            could.append(ccc(bests))
        scores[name], best[name] = mean(got), mean(could)
    return names, scores, best, {name: 0.05 for name in names}

def biovid():
    options = json.load(open(work + "/biovid.raw/optimum.json"))["options"]
    numbers = {n["sample"]: n for n in rows("biovid.raw/numbers.csv")}
    names, scores, best, spread = ("video", "gsr", "jmt"), {}, {}, {}
    for name in names:
        right, could = [], []
        for (recording, step, of), (prediction, label) in told(name).items():
            n = numbers[recording]
            assert (n["class"] == "4") == (label == 1) and n["class"] in "04"
            d = [options["face"] if name != "gsr" else 0, options["skin"] if name != "video" else 0]
            score = d[0] * (float(n["face"]) - d[0] / 2) + d[1] * (float(n["skin"]) - d[1] / 2)
            right.append(prediction == label)
            could.append((score > 0) == (label == 1))
        samples = len(right)
        assert samples == 400, samples
        scores[name], best[name] = mean(right), mean(could)
        spread[name] = 3 * math.sqrt(best[name] * (1 - best[name]) / samples)
    return names, scores, best, spread

names, scores, best, spread = {"affwild2": affwild2, "biovid": biovid}[layout]()
for name in names:
    below = best[name] - scores[name]
    print("# %s %s: %.4f, at best %.4f, %.4f below" % (layout, name, scores[name], best[name], below))
one, other, both = names
# Of one sense: what there is to learn, and no more. Of both: at least half of what the other sense adds to the best
# that any model of one of them can do.
for name in (one, other):
    assert abs(best[name] - scores[name]) <= spread[name], name
    assert scores[both] >= best[name] + (best[both] - best[name]) / 2, (name, both)
    assert scores[both] > scores[name]
assert scores[both] <= best[both] + spread[both]
PY
for layout in affwild2 biovid; do
    python3 "$work/judge.py" $layout "$work" >"$work/told" 2>"$work/stderr"
    report $? "$layout: fusion tells more than any model of one sense could, and nobody more than there is"
    cat "$work/told"
done

# A best predictor for each task is in optimum.json, and nothing but layouts and their options is taken.
python3 - "$work" <<'PY'
import json, sys
told = json.load(open(sys.argv[1] + "/biovid.raw/optimum.json"))["optimum"]["tasks"]
assert sorted(told) == ["task=%d" % k for k in range(5)]
for name, task in told.items():
    assert task["all"]["accuracy"] > max(task["video"]["accuracy"], task["gsr"]["accuracy"]), name
    assert name == "task=0" or abs(task["all"]["accuracy"] - task["all"]["expected"]) < 0.05
PY
report $? "optimum.json: both senses above each, in every task"
fails "a layout that is none" 2 'no layout "mosi"; use one of: affwild2 biovid' 1 shard --generate mosi --out "$work/x"
fails "an option that is none" 2 'has no option "salt"; it has: people' 1 \
    shard --generate biovid --out "$work/x" --set salt=1
fails "a place that is taken" 2 'biovid.raw' 1 shard --generate biovid --out "$work/biovid.raw"
run 1 shard --generate biovid --out "$work/again" --set people=2 --set per_class=1 --set side=16 &&
    diff -r "$work/again" "$work/probe" >"$work/stderr"
report $? "generated again: the same bytes"

# The published folds: loud in every table.
sets=()
for word in "${reduced_biovid[@]}" data.path="$work/biovid" model.head_hidden=32 epochs=1; do
    sets+=(--set "$word")
done
run 1 cv configs/biovid_leaky_published/gsr.yaml "${sets[@]}" --out "$work/leaky"
report $? "leaky folds"
check "their split says so" grep -q '"split": "test of 2 folds, LEAKY"' "$work/leaky/summary.json"
for mark in "LEAKY: TEST PEOPLE WERE TRAINED ON" "LEAKY: CHOSEN ON THE TEST" "seen people"; do
    check "their marks: $mark" grep -q "\"marks\": \".*$mark" "$work/leaky/summary.json"
done
run 1 table "$work/leaky"
check "jmt table shows it" grep -q "LEAKY: TEST PEOPLE WERE TRAINED ON" "$work/stdout"
fails "without its loud words" 2 'no such number holds for anybody new' 1 \
    cv configs/biovid_leaky_published/gsr.yaml "${sets[@]}" --set split.allow_subject_overlap=false --out "$work/quiet"
finish
