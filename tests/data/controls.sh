#!/bin/bash
# controls.sh - the tables clock and stimulus on recordings with groups: what they predict is recomputed from
# the training labels; the same bytes on any number of ranks; built-in modalities beside others.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

mkdir "$work/raw"
cat >"$work/make.py" <<'PY'
import math, random, sys
random.seed(7)
quoted = lambda s: '"%s"' % s.replace('"', '""') if "," in s else s
rows = ["recording,subject,group,modality,rate_hz,path"]
for p in range(8):
    for g in range(3 if p else 4): # the fourth group has one person alone
        name, steps = "p%dg%d" % (p, g) + (", \"again\"" if g == 2 else ""), 20 + (p + g) % 4
        level = [math.sin(t / 3 + 2 * g) + 0.3 * random.random() for t in range(steps)]
        for column, rate, values in (("x", 2, [random.random() for _ in level]), ("label:v", 2, level),
                                     ("label:k", 2, [int(l > 0.2) + int(l > 0.8) for l in level])):
            path = "p%dg%d-%s.csv" % (p, g, column.replace("label:", ""))
            open(sys.argv[1] + "/" + path, "w").write("".join("%r\n" % v for v in values))
            rows.append("%s,person%d,video%d,%s,%d,%s" % (quoted(name), p, g, column, rate, path))
open(sys.argv[1] + "/manifest.csv", "w").write("\n".join(rows) + "\n")
PY
python3 "$work/make.py" "$work/raw"
run 1 shard features --source "$work/raw" --out "$work/recordings" --set header=0
report $? "recordings with groups"
cat >"$work/base.yaml" <<YAML
batch: 8
data: {path: $work/recordings, window: 8, standardize: train}
model: {dim: 8, ff: 8, head_hidden: 8}
modalities: {x: {}, clock: {}, stimulus: {}}
targets: {v: {loss: mse}, k: {loss: cross_entropy, classes: 3}}
schedule_known: true
YAML
cat >"$work/judge.py" <<'PY'
import csv, math, sys
work, name, run, width = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]) # in steps
def read(split):
    return list(csv.DictReader(open("%s/%s-%s.csv" % (work, run, split))))
def place(r):
    return (r["recording"][2:4] if name == "stimulus" else "", int(r["step"]) // width)
train, everything = read("train"), {"v": [], "k": []}
table = {}
for r in train:
    table.setdefault((r["name"], place(r)), []).append(float(r["target"]))
    everything[r["name"]].append(float(r["target"]))
prior = [(everything["k"].count(c) + 1) / (len(everything["k"]) + 3) for c in range(3)]
known = {place(r) for r in train}
unseen = sure = 0
for split in ("train", "valid", "test"):
    for r in read(split):
        labels, got = table.get((r["name"], place(r)), []), float(r["prediction"])
        unseen += place(r) not in known
        if r["name"] == "v":
            labels = labels or everything["v"]
            want = sum(labels) / len(labels)
            assert abs(got - want) < 1e-5 * (1 + abs(want)), (r, want) # float weights, two of them added
        else:
            votes = [labels.count(c) + prior[c] for c in range(3)]
            if sorted(votes)[2] - sorted(votes)[1] > 1e-3: # else rounding decides
                assert got == votes.index(max(votes)), (r, votes)
                sure += 1
assert sure > 100 and len({r["subject"] for r in read("test")} & {r["subject"] for r in train}) == 0
assert name == "clock" or unseen > 0, "a group that no training person saw"
PY
split=(--set split.seed=0)
for seed in 0 1 2 3 4 5 6 7 8 9; do # one by which the person with the fourth group is not trained on
    run 1 train "$work/base.yaml" --set split.seed=$seed --set model.name=majority --run "$work/seed-$seed"
    run 1 evaluate "$work/seed-$seed" --split train --predictions "$work/seed.csv"
    grep -q p0g3 "$work/seed.csv" || { split=(--set split.seed=$seed) && break; }
done
for name in clock stimulus; do
    for width in 1 3; do
        run=$name-$width
        settings=("$work/base.yaml" "${split[@]}" --set model.name=$name)
        [ $width = 1 ] || settings+=(--set data.clock_step_s=1.5)
        run 1 train "${settings[@]}" --run "$work/$run"
        for part in train valid test; do
            run 1 evaluate "$work/$run" --split $part --predictions "$work/$run-$part.csv"
        done
        check "$name, $width step(s): means and most frequent classes of the training people" \
            python3 "$work/judge.py" "$work" $name $run $width
        run 3 train "${settings[@]}" --run "$work/$run-r3"
        check "$run: the hash of R=1 on R=3" same "$(hash_of "$work/$run")" "$(hash_of "$work/$run-r3")"
    done
    run 1 export "$work/$name-1" --out "$work/$name.safetensors" &&
        grep -q "k.$name.weight" "$work/$name.safetensors"
    report $? "$name can be exported"
    run 3 cv "$work/base.yaml" --set split.folds=4 --set model.name=$name --out "$work/cv-$name-3" &&
        run 1 cv "$work/base.yaml" --set split.folds=4 --set model.name=$name --out "$work/cv-$name-1" &&
        cmp "$work/cv-$name-1/predictions.csv" "$work/cv-$name-3/predictions.csv"
    report $? "jmt cv with $name: the same bytes on 1 and 3 ranks"
done
python3 - "$work" <<'PY'
import csv, json, sys
rows = list(csv.reader(open(sys.argv[1] + "/cv-clock-1/predictions.csv")))
assert {len(r) for r in rows} == {8} and sum(r[2] == 'p3g2, "again"' for r in rows) > 20
fold = "%s/cv-clock-1/fold-%d-seed-0/predictions.csv"
folds = [r for f in range(4) for r in csv.reader(open(fold % (sys.argv[1], f)))]
assert [r[2:] for r in rows[1:]] == [r for r in folds if r[0] != "recording"]
for name, marks in (("clock", "control; schedule known; "), ("stimulus", "control; schedule known; stimulus known; ")):
    assert json.load(open("%s/cv-%s-1/summary.json" % (sys.argv[1], name)))["marks"].startswith(marks)
PY
report $? "names with commas and quotes are quoted in predictions; summaries carry marks"
# Beside others: a model that sees the video and the time learns what x does not say.
for modalities in "[x]" "[x, stimulus]"; do
    run 1 train "$work/base.yaml" --set epochs=60 --set optimizer.name=adam --set optimizer.learning_rate=1e-2 \
        --set model.name=concat --set "model.modalities=$modalities" --run "$work/concat-${#modalities}"
    run=$work/concat-${#modalities}
    run 1 evaluate "$run" --out "$run/evaluation.json" --json && cp "$work/stdout" "$run.json"
done
run 1 train "$work/base.yaml" --set model.name=clock --run "$work/clock-table" # on the same split
run 1 evaluate "$work/clock-table" --out "$work/clock-table/evaluation.json"
"$jmt" table "$work/concat-3" "$work/concat-13" "$work/clock-table" --format csv >"$work/table.csv" 2>"$work/stderr" &&
    grep -q "no control row of: majority, labels permuted within person, stimulus$" "$work/stderr" &&
    grep -q '^concat modalities=\[x\],[^,]*,schedule known; seen stimuli,' "$work/table.csv" &&
    grep -q '^"concat modalities=\[x, stimulus\]",[^,]*,schedule known; stimulus known; seen stimuli,' \
        "$work/table.csv" &&
    grep -q '^clock,[^,]*,control; schedule known; seen stimuli,' "$work/table.csv"
report $? "a table parts rows by what they know, and marks control rows"
check "concat with stimulus knows more than without" python3 - "$work" <<'PY'
import json, sys
r = [json.load(open("%s/concat-%d.json" % (sys.argv[1], n)))["targets"]["v"]["r"] for n in (3, 13)]
assert r[1] > 0.8 > r[0] + 0.2, r
PY
run 1 train "$work/base.yaml" --set schedule_known=false --set model.name=clock --run "$work/refused"
[ $? = 2 ] && [ "$(error_lines)" = 1 ] && grep -q 'schedule_known: true' "$work/stderr"
report $? "clock is refused unless the schedule is known"
# Who is tested: by person, by video, by both. The folds' parts say it themselves.
cat >"$work/who.py" <<'PY'
import csv, sys
rows = lambda part: list(csv.DictReader(open("%s-%s.csv" % (sys.argv[1], part))))
people = [{r["subject"] for r in rows(part)} for part in ("test", "train")]
videos = [{r["recording"][2:4] for r in rows(part)} for part in ("test", "train")]
shared = ("person" if people[0] & people[1] else "") + ("video" if videos[0] & videos[1] else "")
assert shared == sys.argv[2], shared
PY
who() { # who NAME SHARED SETTINGS...: what test and training have in common
    local name=$work/by-$1 shared=$2 part
    shift 2
    run 1 train "$work/base.yaml" --set model.name=majority "$@" --run "$name"
    for part in test train; do
        run 1 evaluate "$name" --split $part --predictions "$name-$part.csv"
    done
    check "$*: test and training share: ${shared:-nothing}" python3 "$work/who.py" "$name" "$shared"
}
overlap=(--set split.folds=3 --set split.allow_subject_overlap=true --set split.valid_fraction=0)
who subject video "${overlap[@]}" --set split.by=subject
who group person "${overlap[@]}" --set split.by=group
who both '' "${overlap[@]}" --set split.by=both
fails "videos without split.allow_subject_overlap" 2 'allow_subject_overlap' 1 train "$work/base.yaml" \
    --set split.folds=3 --set split.by=group --run "$work/by-none"
for fraction in 0.2 0.6; do
    run 1 train "$work/base.yaml" --set model.name=majority --set split.test_fraction=$fraction \
        --run "$work/part-$fraction"
    run 1 evaluate "$work/part-$fraction" --split test --predictions "$work/part-$fraction.csv"
done
check "split.test_fraction: 2 and 5 of 8 people" python3 - "$work" <<'PY'
import csv, sys
who = lambda f: {r["subject"] for r in csv.DictReader(open("%s/part-%s.csv" % (sys.argv[1], f)))}
people = [len(who(f)) for f in ("0.2", "0.6")]
assert people == [2, 5], people
PY

# One recording of a person in one window: positions in it are the session's clock.
cp -r "$work/raw" "$work/one-raw" && sed -i '/^recording,\|,video0,/!d' "$work/one-raw/manifest.csv"
run 1 shard features --source "$work/one-raw" --out "$work/one" --set header=0
placed=("$work/base.yaml" --set data.path="$work/one" --set "model.modalities=[x]" --set model.name=concat_encoder
    --set schedule_known=false)
for position in sinusoidal learned; do
    fails "$position positions over a whole session" 2 'schedule_known: true' 1 train "${placed[@]}" \
        --set model.position=$position --set data.window=16 --run "$work/placed"
done
for model in jca rjcma; do
    fails "$model over a whole session" 2 'schedule_known: true' 1 train "${placed[@]}" \
        --set model.name=$model --set data.window=16 --run "$work/placed"
done
run 1 train "${placed[@]}" --set model.position=none --set data.window=16 --run "$work/placed-none" &&
    run 1 train "${placed[@]}" --set model.position=learned --set data.window=8 --run "$work/placed-short" &&
    run 1 train "${placed[@]}" --set model.name=jca --set data.window=8 --run "$work/placed-jca" &&
    run 1 train "${placed[@]}" --set model.position=learned --set data.window=16 --set schedule_known=true \
        --run "$work/placed-known" && grep -q '"marks": *"schedule known' "$work/placed-known/manifest.json"
report $? "no positions, short windows and a known schedule are accepted, the last marked"
# On shorter recordings the same window is a session: of a model that is trained, nothing is to be changed.
cp -r "$work/one-raw" "$work/short-raw" && sed -i '13,$d' "$work"/short-raw/p*.csv
run 1 shard features --source "$work/short-raw" --out "$work/short" --set header=0 &&
    run 1 evaluate "$work/placed-short" --data "$work/short" --out "$work/placed-short.json"
report $? "whoever is scored, evaluate does not ask for a schedule"
fails "training on them does" 2 'schedule_known: true' 1 train "${placed[@]}" --set model.position=learned \
    --set data.window=8 --set data.path="$work/short" --run "$work/placed-short-again"
run 1 train "${tiny[@]}" --set "modalities.stimulus.dim=0" --set model.name=stimulus --run "$work/none"
[ $? = 2 ] && grep -q 'no recording names its stimulus' "$work/stderr"
report $? "stimulus is refused where no recording has a group"
finish
