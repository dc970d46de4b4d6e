#!/bin/bash
# taken.sh - jmt evaluate --take TARGET=CHECKPOINT: a target as another checkpoint predicts it, on any number of ranks,
# in scores, predictions and submissions; whoever that one was trained on is not scored either.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

train() { run 1 train "${tiny[@]}" --run "$work/$1" --set epochs=2 "${@:2}"; } # train NAME ARGUMENTS...
train main --set optimizer.learning_rate=1e-2
report $? "one model"
train other --set seed=5 --set model.name=concat --set targets.arousal.smooth=3 --set targets.arousal.clip=true
report $? "another one, of another kind"
evaluate() { # evaluate NAME RANKS ARGUMENTS...: NAME.json, NAME.csv, NAME.txt
    run "$2" evaluate "${@:3}" --json --predictions "$work/$1.csv" --submission "$work/$1.txt" --shifts 2 &&
        cp "$work/stdout" "$work/$1.json"
}
evaluate main 1 "$work/main"
evaluate other 1 "$work/other"
for ranks in 1 3; do
    evaluate both$ranks $ranks "$work/main" --take "arousal=$work/other"
    report $? "taken on $ranks"
done
check "R=3: the bytes of R=1" cmp "$work/both1.json" "$work/both3.json"
check "R=3: the same submission" cmp "$work/both1.txt" "$work/both3.txt"
cat >"$work/judge.py" <<'PY'
import csv, json, sys
work = sys.argv[1]
told = {name: json.load(open("%s/%s.json" % (work, name))) for name in ("main", "other", "both1")}
rows = {name: list(csv.DictReader(open("%s/%s.csv" % (work, name)))) for name in told}
both = told["both1"]
for target, name in (("valence", "main"), ("arousal", "other")):
    assert both["targets"][target] == told[name]["targets"][target]
assert told["main"]["targets"]["arousal"] != told["other"]["targets"]["arousal"]
for metric in ("ccc", "rmse"):
    mean = sum(both["targets"][t][metric] for t in ("valence", "arousal")) / 2
    assert abs(both["metrics"][metric] - mean) < 1e-12
assert "loss" not in both and "loss" in told["main"]
assert both["taken"]["arousal"]["checkpoint"] == told["other"]["checkpoint"]
assert both["taken"]["arousal"]["seed"] == 5 and both["seed"] == told["main"]["seed"]
assert both["selected_on"] == told["main"]["selected_on"] + "; arousal: " + told["other"]["selected_on"]
of = lambda name, target: [(r["recording"], r["step"], r["prediction"]) for r in rows[name] if r["name"] == target]
assert of("both1", "valence") == of("main", "valence") and of("both1", "arousal") == of("other", "arousal")
assert of("main", "arousal") != of("other", "arousal")
frames = {name: [line.rstrip().split(",") for line in open("%s/%s.txt" % (work, name))] for name in told}
for main, other, both in zip(frames["main"], frames["other"], frames["both1"]):
    assert both == [main[0], main[1], other[2]], both
PY
check "each target's scores, predictions and frames are its own checkpoint's" python3 "$work/judge.py" "$work"
evaluate back 1 "$work/other" --take "arousal=$work/other" --take "valence=$work/other"
python3 - "$work" <<'PY'
import json, sys
a, b = (json.load(open("%s/%s.json" % (sys.argv[1], name))) for name in ("back", "other"))
assert a["targets"] == b["targets"] and a["metrics"] == b["metrics"]
PY
report $? "of itself: the same scores"

fails "no such target" 2 'the model has no target "joy"' 1 evaluate "$work/main" --take "joy=$work/other"
fails "no checkpoint" 2 'write TARGET=CHECKPOINT' 1 evaluate "$work/main" --take arousal
fails "a target twice" 2 '--take names arousal twice' 1 \
    evaluate "$work/main" --take "arousal=$work/other" --take "arousal=$work/main"
train short --set data.window=8
fails "other steps" 2 'predicts other steps than the checkpoint' 3 evaluate "$work/main" --take "arousal=$work/short"
train folds --set split.folds=3 --set split.fold=1
fails "one that knows the people" 2 'trained on' 2 evaluate "$work/main" --take "arousal=$work/folds"
finish
