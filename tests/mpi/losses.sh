#!/bin/bash
# losses.sh - weights of classes, smoothed labels, yes-or-no targets and CCC beside MSE: of the global batch,
# so that the number of ranks changes no bit and the number of virtual shards no loss; each setting takes part;
# balanced weights are counted on the people trained on.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

python3 tests/golden/labelled.py "$work/source" &&
    "$jmt" shard features --source "$work/source" --out "$work/labelled" --set header=0 >"$work/stdout" 2>"$work/stderr"
report $? "labelled data"
settings=(tests/golden/labelled.yaml --set "data.path=$work/labelled")
full=(--set targets.kind.class_weights=balanced --set targets.kind.label_smoothing=0.1
      --set targets.pain.class_weights=balanced --set targets.tired.class_weights=2.5
      --set targets.level.mse_weight=0.5)
train() { # train NAME RANKS ARGUMENTS...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" train "${settings[@]}" "${full[@]}" --run "$work/$name" --steps 5 "$@"
}
first_loss() { head -n 1 "$work/$1/metrics.jsonl" | grep -o '"loss":[^,]*' | cut -d: -f2; }
close() { # close A B: within float rounding, both not empty
    awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a > 0 && d <= 2e-6 * a) }' ||
        { echo "# $1 is not $2" && return 1; }
}

for ranks in 1 2 3 4; do
    train r$ranks $ranks
    report $? "5 steps on $ranks"
done
for ranks in 2 3 4; do
    check "R=$ranks has the hash of R=1" same "$(hash_of "$work/r1")" "$(hash_of "$work/r$ranks")"
done
for shards in 1 2 12; do
    train v$shards 1 --set virtual_shards=$shards --set backend=ref
    check "V=$shards: the first loss of V=6" close "$(first_loss v$shards)" "$(first_loss r1)"
done
train stopped 3 --steps 2
train stopped 2 --resume auto
check "2 steps on 3 ranks and 3 on 2" same "$(hash_of "$work/r1")" "$(hash_of "$work/stopped")"
for setting in kind.class_weights=none kind.class_weights=[1,1,2] kind.label_smoothing=0 kind.label_smoothing=0.3 \
    pain.class_weights=none pain.class_weights=3 tired.class_weights=none level.mse_weight=0 tired.loss=mse; do
    case $setting in tired.loss=*) more=(--set targets.tired.class_weights=none) ;; *) more=() ;; esac
    train other 1 "${more[@]}" --set "targets.$setting"
    [ -n "$(hash_of "$work/other")" ] && [ "$(hash_of "$work/other")" != "$(hash_of "$work/r1")" ]
    report $? "targets.$setting takes part"
    rm -rf "$work/other"
done

# Balanced, by hand: the weights that counting the labels of the people trained on gives.
run 1 evaluate "$work/r1" --split train --predictions "$work/train.csv" --json
cp "$work/stdout" "$work/train.json"
python3 - "$work/train.csv" >"$work/weights" <<'PY'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
kind = [int(float(r["target"])) for r in rows if r["name"] == "kind"]
pain = [int(float(r["target"])) for r in rows if r["name"] == "pain"]
assert 5 <= len({r["subject"] for r in rows}) <= 8 and len(set(kind)) == 3
print("targets.kind.class_weights=[%s]" % ", ".join("%.17g" % (len(kind) / (3 * kind.count(c))) for c in range(3)))
print("targets.pain.class_weights=%.17g" % (pain.count(0) / pain.count(1)))
PY
mapfile -t weights <"$work/weights"
by_hand=(--set "${weights[0]}" --set "${weights[1]}")
train hand 1 "${by_hand[@]}"
check "balanced is n / (classes n_c), and n_0 / n_1" same "$(hash_of "$work/r1")" "$(hash_of "$work/hand")"

# The checkpoint keeps them: other people in the data are not counted again.
cp -r "$work/labelled" "$work/fewer" && cp "$work/labelled.key" "$work/fewer.key"
alias=$(sed -n 2p "$work/train.csv" | cut -d, -f2)
person=$(grep -o "\"$alias\": \"[^\"]*\"" "$work/fewer.key" | cut -d'"' -f4)
"$jmt" shard --remove-subject "$person" --key "$work/fewer.key" "$work/fewer" >/dev/null 2>"$work/stderr"
score() { # score RANKS ARGUMENTS...: $work/score.json, without the settings that it was made with
    run "$1" evaluate "$work/r1" --json --split train --data "$work/fewer" "${@:2}"
    python3 -c 'import json, sys; o = json.load(sys.stdin); del o["settings"], o["config"]; print(json.dumps(o))' \
        <"$work/stdout" >"$work/score.json"
}
fails "without a person the others are dealt anew: who was trained on is no test person" 2 \
    "person s[0-9]* was trained on" 2 evaluate "$work/r1" --data "$work/fewer"
score 2
cp "$work/score.json" "$work/before.json"
score 1 "${by_hand[@]}"
check "balanced weights come from the checkpoint" cmp "$work/before.json" "$work/score.json"
score 1 --set targets.kind.class_weights=none
! cmp -s "$work/score.json" "$work/before.json"
report $? "the loss of an evaluation is weighted, too"
cat >"$work/score.py" <<'PY'
import csv, json, sys
told, rows = json.load(open(sys.argv[1])), list(csv.DictReader(open(sys.argv[2])))
for name, classes in (("kind", 3), ("pain", 2), ("tired", 2)):
    pairs = [(int(float(r["target"])), int(r["prediction"])) for r in rows if r["name"] == name]
    n, t = len(pairs), told["targets"][name]
    table = [[pairs.count((a, b)) for b in range(classes)] for a in range(classes)]
    assert n == t["n"] > 50 and told["confusion"][name] == table, name
    there = [c for c in range(classes) if sum(table[c])]
    recall = [table[c][c] / sum(table[c]) for c in there]
    assert abs(t["uar"] - sum(recall) / len(there)) < 1e-12 and 0.0 < t["uar"] < 1.0, name
    assert abs(t["accuracy"] - sum(table[c][c] for c in there) / n) < 1e-12, name
    f1 = [2 * table[c][c] / (sum(table[c]) + sum(row[c] for row in table)) for c in there]
    assert ("f1_positive" in t) == (name != "kind"), name
    if name != "kind":
        assert abs(t["f1_positive"] - 2 * table[1][1] / (2 * table[1][1] + table[0][1] + table[1][0])) < 1e-12
    assert abs(t["f1_weighted"] - sum(f * sum(table[c]) for f, c in zip(f1, there)) / n) < 1e-12, name
    assert "ccc" not in t
assert "accuracy" not in told["targets"]["level"] and told["targets"]["level"]["n"] > 50
PY
check "metrics of classes and of yes and no agree with plain code" \
    python3 "$work/score.py" "$work/train.json" "$work/train.csv"

fails "labels that are no classes" 2 "target level has the label .*, and cross_entropy takes 0 to 1" 2 \
    train "${settings[@]}" --run "$work/wrong" --set targets.level.loss=cross_entropy --set targets.level.classes=2
fails "a class that nobody has" 2 "targets.kind.class_weights balanced: no training label is of class 3" 1 \
    train "${settings[@]}" --run "$work/wrong" --set targets.kind.classes=4 --set targets.kind.class_weights=balanced
run 1 train "${settings[@]}" --run "$work/plain" --steps 1
fails "balanced without counts" 2 "targets.kind.class_weights: the checkpoint has none" 1 \
    evaluate "$work/plain" --set targets.kind.class_weights=balanced
finish
