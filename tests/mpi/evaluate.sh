#!/bin/bash
# evaluate.sh - evaluation gives the same bytes on any number of ranks, scores every sample once, and its
# metrics are those that plain code computes from its predictions.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

# A stride below the window: steps lie in several windows, and are still scored once.
run 2 train "${tiny[@]}" --run "$work/run" --steps 8 --set data.stride=12
report $? "a model to evaluate"
evaluate() { # evaluate NAME RANKS ARGUMENTS...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" evaluate "$work/run" --json --predictions "$work/$name.csv" "$@" &&
        mv "$work/stdout" "$work/$name.json"
}
for split in test valid train; do
    evaluate $split 1 --split $split
done
for ranks in 2 3 5 9; do
    evaluate r$ranks $ranks
    cmp -s "$work/test.csv" "$work/r$ranks.csv" && cmp -s "$work/test.json" "$work/r$ranks.json"
    report $? "R=$ranks: the bytes of R=1, JSON and predictions"
done

# Samples are predicted in groups, which no split has to fill: every label of the data is in one of the three.
labels=$("$jmt" inspect "$work/data" --json | python3 -c \
    'import json, sys; print(json.load(sys.stdin)["targets"]["valence"]["valid"])')
check "training, validation and test people: each of $labels labels once" \
    same "$(cat "$work/train.csv" "$work/valid.csv" "$work/test.csv" | grep -c ',valence,')" "$labels"

# Another order, and another company: without one person the others' samples have other places in their
# groups. In plain C the bytes stay; a library's matrix product may round a row by where it stands.
make_data "$work/other-files" shards=3
evaluate other 3 --data "$work/other-files"
cmp -s <(sort "$work/test.csv") <(sort "$work/other.csv")
report $? "the same recordings in other files: the same predictions"
cp -r "$work/data" "$work/fewer" && cp "$work/data.key" "$work/fewer.key"
alias=$(sed -n 2p "$work/test.csv" | cut -d, -f2)
person=$(grep -o "\"$alias\": \"[^\"]*\"" "$work/fewer.key" | cut -d'"' -f4)
"$jmt" shard --remove-subject "$person" --key "$work/fewer.key" "$work/fewer" >/dev/null 2>"$work/stderr"
for backend in ref cpu; do
    evaluate all-$backend 2 --data "$work/data" --set backend=$backend
    evaluate fewer-$backend 2 --data "$work/fewer" --set backend=$backend
    grep -v ",$alias," "$work/all-$backend.csv" >"$work/kept-$backend.csv"
done
cmp -s "$work/kept-ref.csv" "$work/fewer-ref.csv" &&
    [ "$(wc -l <"$work/fewer-ref.csv")" -lt "$(wc -l <"$work/test.csv")" ]
report $? "without one person, ref: the others' predictions are the same bytes"
# Nor does a prediction depend on who else is in the data now: statistics are those of training.
cp -r "$work/data" "$work/less" && cp "$work/data.key" "$work/less.key"
alias=$(sed -n 2p "$work/train.csv" | cut -d, -f2)
person=$(grep -o "\"$alias\": \"[^\"]*\"" "$work/less.key" | cut -d'"' -f4)
"$jmt" shard --remove-subject "$person" --key "$work/less.key" "$work/less" >/dev/null 2>"$work/stderr" &&
    evaluate less 1 --data "$work/less" --set backend=ref
check "without a training person, ref: the same predictions for test people" \
    cmp "$work/all-ref.csv" "$work/less.csv"
same_within() { # columns 1 to 5 equal, column 6 within float rounding
    paste -d, "$1" "$2" | awk -F, 'NR > 1 { d = $6 - $12; if (d < 0) d = -d
        if ($1 $2 $3 $4 $5 != $7 $8 $9 $10 $11 || d > 1e-5) exit 1 } END { if (NR < 100) exit 1 }'
}
check "without one person, cpu: the others' predictions within rounding" \
    same_within "$work/kept-cpu.csv" "$work/fewer-cpu.csv"


# Nobody whom the model was trained on is scored as held out; what belongs to the model stays; the record says
# what was scored.
again=(--set split.folds=3 --set split.seed=5)
fails "people dealt anew" 2 "person s[0-9]* was trained on .* scored as test" 2 evaluate "$work/run" "${again[@]}"
fails "validation people dealt anew" 2 "was trained on \(part train\) and would be scored as valid" 1 \
    evaluate "$work/run" --split valid --set split.seed=5
check "--split train scores anybody" run 1 evaluate "$work/run" --split train "${again[@]}"
for setting in model.token=mean data.standardize=none baseline_minutes=1 data.window=32 seed=9 \
    split.allow_subject_overlap=true select_on=loss; do
    fails "--set $setting" 2 "$setting: that belongs to the trained model" 1 evaluate "$work/run" --set $setting
done
evaluate batch 1 --set batch=24
check "another batch: the same predictions" cmp "$work/test.csv" "$work/batch.csv"
"$jmt" inspect "$work/run" --json >"$work/inspect.json"
cat >"$work/record.py" <<'PY'
import json, os, sys
work = sys.argv[1]
read = lambda name: json.load(open("%s/%s.json" % (work, name)))
test, train, batch, inspect = read("test"), read("train"), read("batch"), read("inspect")
assert test["checkpoint"] == "last" == test["selected_on"] and test["step"] == 8 == inspect["step"]
assert test["seed"] == inspect["seed"] and test["data"] == test["training_data"] == inspect["data"]
assert test["settings"] == {} and batch["settings"] == {"batch": "24"} and test["marks"] == ""
assert train["marks"] == "SCORED ON TRAINING PEOPLE" and train["split"] == "train"
assert test["data_path"] == work + "/data" and read("fewer-ref")["data"] != test["data"]
assert read("fewer-ref")["marks"] == "other data"
best = sys.argv[2]
assert read("best")["checkpoint"] == best and read("best")["selected_on"] == best[len("best-"):]
assert read("step")["selected_on"] == "step 8" and read("step")["checkpoint"] == "step-00000008"
PY
best=$(basename "$(ls -d "$work/run/checkpoints/best-"*)")
run 1 evaluate "$work/run/checkpoints/$best/" --json && cp "$work/stdout" "$work/best.json"
run 1 evaluate "$work/run/checkpoints/step-00000008" --json && cp "$work/stdout" "$work/step.json"
check "the record: checkpoint, what selected it, data, settings, marks" python3 "$work/record.py" "$work" "$best"
# As a program wrote it that did not keep who was trained on.
cp -r "$work/run" "$work/old"
python3 - "$(realpath "$work/old/checkpoints/last")" <<'PY'
import hashlib, json, sys
manifest = json.load(open(sys.argv[1] + "/manifest.json"))
del manifest["trained_on"]
text = json.dumps(manifest)
open(sys.argv[1] + "/manifest.json", "w").write(text)
open(sys.argv[1] + "/manifest.sha256", "w").write(hashlib.sha256(text.encode()).hexdigest() + "\n")
PY
run 1 evaluate "$work/old" --predictions "$work/old.csv"
check "an older checkpoint, on its own data and split" cmp "$work/test.csv" "$work/old.csv"
fails "an older checkpoint, people dealt anew" 2 "does not say who was trained on" 1 \
    evaluate "$work/old" "${again[@]}"
fails "an older checkpoint, other data" 2 "does not say who was trained on" 2 \
    evaluate "$work/old" --data "$work/fewer"

cat >"$work/score.py" <<'PY'
import csv, json, math, sys
work = sys.argv[1]
info = json.loads(sys.argv[2])
close = lambda a, b: abs(a - b) <= 1e-9 * max(1, abs(b)) # sums of some hundred doubles
def ccc(pairs):
    n = len(pairs)
    mx, my = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    vx, vy = sum((x - mx) ** 2 for x, _ in pairs) / n, sum((y - my) ** 2 for _, y in pairs) / n
    return 2 * sum((x - mx) * (y - my) for x, y in pairs) / n / (vx + vy + (mx - my) ** 2 + 1e-8)
def values(rows):
    pairs = [(float(r["prediction"]), float(r["target"])) for r in rows]
    n = len(pairs)
    mx, my = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    sxy = sum((x - mx) * (y - my) for x, y in pairs)
    sxx, syy = sum((x - mx) ** 2 for x, _ in pairs), sum((y - my) ** 2 for _, y in pairs)
    names = sorted({r["recording"] for r in rows})
    parts = [[(float(r["prediction"]), float(r["target"])) for r in rows if r["recording"] == name]
             for name in names]
    parts = [p for p in parts if len(p) > 1]
    return dict(mae=sum(abs(x - y) for x, y in pairs) / n,
                rmse=math.sqrt(sum((x - y) ** 2 for x, y in pairs) / n), r=sxy / math.sqrt(sxx * syy),
                ccc=ccc(pairs), ccc_per_sequence=sum(map(ccc, parts)) / len(parts))
labels = {}
for split in ("train", "valid", "test"):
    rows = list(csv.DictReader(open("%s/%s.csv" % (work, split))))
    told = json.load(open("%s/%s.json" % (work, split)))
    keys = [(r["recording"], r["step"], r["name"]) for r in rows]
    assert len(set(keys)) == len(keys) > 0, "a sample twice"
    steps = {k[:2] for k in keys}
    assert told["n"] == len(steps), "n"
    mine = {}
    for name in ("valence", "arousal"):
        mine[name] = values([r for r in rows if r["name"] == name])
        labels[name] = labels.get(name, 0) + told["targets"][name]["n"]
        assert told["targets"][name]["n"] == sum(k[2] == name for k in keys), "n of a target"
        assert (told["targets"][name]["n"] + told["targets"][name]["n_invalid"] ==
                told["n"] + told["n_invalid"]), "steps of a target"
        for metric, value in mine[name].items():
            assert close(told["targets"][name][metric], value), (split, name, metric, value)
    for metric in mine["valence"]:
        mean = (mine["valence"][metric] + mine["arousal"][metric]) / 2
        assert close(told["metrics"][metric], mean), (split, metric)
    labels["steps"] = labels.get("steps", 0) + told["n"] + told["n_invalid"]
assert labels["steps"] == info["modalities"]["video"]["steps"], "every step of the data in one split"
for name in ("valence", "arousal"):
    assert labels[name] == info["targets"][name]["valid"], "every valid label in one split"
PY
check "n, n_invalid and all metrics of values agree with plain code and with the data" \
    python3 "$work/score.py" "$work" "$("$jmt" inspect "$work/data" --json)"

mosi=../shared/data/cmu_mosi_utt
if [ -d $mosi ]; then
    "$jmt" shard mosi --source $mosi --out "$work/mosi" >"$work/stdout" 2>"$work/stderr"
    run 2 train configs/mosi/concat.yaml --set data.path="$work/mosi" --set model.dim=16 \
        --set model.head_hidden=8 --steps 12 --run "$work/mosi-run"
    run 3 evaluate "$work/mosi-run" --json --predictions "$work/mosi.csv"
    cat >"$work/classes.py" <<'PY'
import csv, json, sys
told = json.load(open(sys.argv[1]))
rows = [r for r in csv.DictReader(open(sys.argv[2])) if r["name"] == "binary"]
pairs = [(int(float(r["target"])), int(r["prediction"])) for r in rows]
n, t = len(pairs), told["targets"]["binary"]
assert told["n"] == n == 752 and told["n_invalid"] == 0, "test utterances"
table = [[sum(p == (a, b) for p in pairs) for b in (0, 1)] for a in (0, 1)]
assert told["confusion"]["binary"] == table, "confusion"
recall = [table[c][c] / sum(table[c]) for c in (0, 1)]
f1 = [2 * table[c][c] / (sum(table[c]) + table[0][c] + table[1][c]) for c in (0, 1)]
mine = dict(accuracy=(table[0][0] + table[1][1]) / n, uar=sum(recall) / 2, f1_macro=sum(f1) / 2,
            f1_weighted=sum(f1[c] * sum(table[c]) for c in (0, 1)) / n)
for metric, value in mine.items():
    assert abs(t[metric] - value) < 1e-12 and abs(told["metrics"][metric] - value) < 1e-12, metric
PY
    check "MOSI: 752 test utterances, and all metrics of classes agree with plain code" \
        python3 "$work/classes.py" "$work/stdout" "$work/mosi.csv"
else
    skip_one "metrics of classes" "no $mosi"
fi
finish
