#!/bin/bash
# threshold.sh - thresholds of two classes: a number, or fitted on the validation part of the people trained on.
# Test people have no say in it, validation people have; it is stored with the checkpoint, on any number of ranks
# the same, and used by evaluate and cv.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

import() { # import NAME: the features in $work/NAME.csv as data
    "$jmt" shard features --source "$work/$1.csv" --out "$work/$1" --set header=0 >"$work/stdout" 2>"$work/stderr"
}
python3 tests/golden/labelled.py "$work/all.csv" && import all
report $? "labelled data"
settings=(tests/golden/labelled.yaml --set epochs=5 --set select_on=pain.uar --set targets.pain.threshold=fit
          --set targets.tired.loss=cross_entropy --set targets.tired.classes=2 --set targets.tired.threshold=fit)
train() { # train NAME RANKS DATA ARGUMENTS...
    local name=$1 ranks=$2 data=$3
    shift 3
    run "$ranks" train "${settings[@]}" --set "data.path=$work/$data" --run "$work/$name" "$@"
}
evaluate() { # evaluate NAME ARGUMENTS...: the object in $work/json
    run 1 evaluate "$work/$1" --json "${@:2}" && cp "$work/stdout" "$work/json"
}
value() { # value TARGET KEY: of $work/json
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["targets"][sys.argv[2]][sys.argv[3]])' \
        "$work/json" "$1" "$2"
}
fitted() { # fitted NAME: the thresholds of its last checkpoint
    evaluate "$1" --split valid && echo "$(value pain threshold) $(value tired threshold)"
}
statistics() { sha256sum <"$work/$1/checkpoints/last/statistics.safetensors"; }

for ranks in 1 2 3; do
    train r$ranks $ranks all
    report $? "trained on $ranks"
done
thresholds=$(fitted r1)
echo "# pain and tired: $thresholds"
check "pain's threshold is not 0.5" [ "${thresholds% *}" != 0.5 ]
check "tired's threshold is not 0.5" [ "${thresholds#* }" != 0.5 ]
for ranks in 2 3; do
    check "R=$ranks: the statistics of R=1" same "$(statistics r1)" "$(statistics r$ranks)"
done

# On the validation people no other threshold is better; what training said of them is what evaluate says.
for target in pain tired; do
    best=$(value $target uar)
    told=$(grep '"event":"valid"' "$work/r1/metrics.jsonl" | tail -n 1 | python3 -c \
        'import json, sys; print(json.load(sys.stdin)["targets"][sys.argv[1]]["uar"])' $target)
    check "$target: evaluate says what the validation in training said" same "$best" "$told"
    worst=1 better=0
    for percent in 2 5 10 15 20 25 30 40 50 60 70 80 90; do
        run 1 evaluate "$work/r1" --json --split valid --set targets.$target.threshold=0.$(printf %02d $percent)
        cp "$work/stdout" "$work/other.json"
        other=$(python3 -c 'import json, sys; t = json.load(open(sys.argv[1]))["targets"][sys.argv[2]]
assert abs(t["threshold"] - int(sys.argv[3]) / 100) < 1e-12
print(t["uar"])' "$work/other.json" $target $percent) || better=2
        awk -v a="$other" -v b="$best" 'BEGIN { exit !(a > b) }' && better=1
        [ $percent = 50 ] && worst=$other
    done
    check "$target: no threshold has a larger uar than the fitted one" [ $better = 0 ]
    awk -v a="$worst" -v b="$best" 'BEGIN { exit !(b > a) }'
    report $? "$target: and 0.5 has a smaller one ($worst, $best)"
done

# The predictions are those of the threshold, and so are the scores.
evaluate r1 --predictions "$work/fit.csv"
cp "$work/json" "$work/fit.json"
evaluate r1 --set "targets.pain.threshold=${thresholds% *}" --predictions "$work/number.csv"
check "test: the fitted threshold given as a number, the same predictions" cmp "$work/fit.csv" "$work/number.csv"
evaluate r1 --set targets.pain.threshold=0.5 --predictions "$work/half.csv"
! cmp -s "$work/fit.csv" "$work/half.csv"
report $? "test: 0.5 predicts something else"
python3 - "$work/fit.json" "$work/fit.csv" <<'PY'
import csv, json, sys
told, rows = json.load(open(sys.argv[1])), list(csv.DictReader(open(sys.argv[2])))
for name in ("pain", "tired"):
    pairs = [(int(float(r["target"])), int(r["prediction"])) for r in rows if r["name"] == name]
    table = [[pairs.count((a, b)) for b in (0, 1)] for a in (0, 1)]
    assert told["confusion"][name] == table, name
    assert abs(told["targets"][name]["uar"] - sum(table[c][c] / sum(table[c]) for c in (0, 1)) / 2) < 1e-12
assert "threshold" not in told["targets"]["kind"] and "threshold" not in told["targets"]["level"]
PY
report $? "test: scores are those of the predictions written"

# Other people: flip `pain` and move signals of those of a split, everything else as it is.
persons() { # persons SPLIT: their numbers in labelled.py
    run 1 evaluate "$work/r1" --split "$1" --predictions "$work/$1.csv"
    tail -n +2 "$work/$1.csv" | cut -d, -f1 | sed 's/^r\([0-9]*\)-.*/\1/' | sort -un
}
change() { # change NAME PERSON...: a copy with other data of these people
    local name=$1 person file
    shift
    cp -r "$work/all.csv" "$work/$name.csv"
    for person in "$@"; do
        for file in "$work/$name.csv"/r$person-*-label-pain.csv; do
            sed -i 's/^0$/x/; s/^1$/0/; s/^x$/1/' "$file"
        done
        for file in "$work/$name.csv"/r$person-*-b.csv; do
            awk -F, -v OFS=, '{ print $1 + 1, $2, $3 }' "$file" >"$work/moved" && mv "$work/moved" "$file"
        done
    done
    import "$name"
}
change new-test $(persons test)
change new-valid $(persons valid)
cmp -s "$work/all.csv/r$(persons test | head -n 1)-0-b.csv" "$work/new-test.csv/r$(persons test | head -n 1)-0-b.csv"
check "test people were changed" [ $? = 1 ]
train other-test 1 new-test
check "other test people: the same thresholds and statistics" same "$(statistics r1)" "$(statistics other-test)"
check "other test people: the same weights" same "$(hash_of "$work/r1")" "$(hash_of "$work/other-test")"
train other-valid 1 new-valid
check "other validation people: the same weights" same "$(hash_of "$work/r1")" "$(hash_of "$work/other-valid")"
[ -n "$(fitted other-valid)" ] && [ "$(fitted other-valid)" != "$thresholds" ]
report $? "other validation people: another threshold"
evaluate r1 --data "$work/new-valid" --predictions "$work/again.csv"
check "evaluate does not fit again" cmp "$work/fit.csv" "$work/again.csv"

# Stopped after the validation that fitted them, gone on elsewhere.
train stopped 3 all --steps 5
train stopped 2 all --steps 6 --resume auto
train straight 1 all --steps 6
check "after a stop: the statistics of a run that went on" same "$(statistics straight)" "$(statistics stopped)"
train early 1 all --steps 1
check "before any validation it is 0.5" same "$(fitted early)" "0.5 0.5"

run 2 cv "${settings[@]}" --set "data.path=$work/all" --set split.folds=4 --folds 1,2 --seeds 3 --out "$work/cv"
report $? "cross-validation"
evaluate cv/fold-1-seed-3/checkpoints/best-pain.uar --predictions "$work/fold.csv"
check "a fold's predictions are those of its own threshold" \
    cmp "$work/fold.csv" "$work/cv/fold-1-seed-3/predictions.csv"
grep -q '"threshold": 0.5\b' "$work/cv/fold-1-seed-3/evaluation.json"
check "a fold's threshold is its own" [ $? = 1 ]
grep -o '"threshold": [0-9.]*' "$work/cv/fold-2-seed-3/evaluation.json" >"$work/fold-2"
! grep -o '"threshold": [0-9.]*' "$work/cv/fold-1-seed-3/evaluation.json" | cmp -s - "$work/fold-2"
report $? "another fold's is another"
python3 - "$work/cv" <<'PY'
import csv, json, sys
told = json.load(open(sys.argv[1] + "/summary.json"))["by_seed"][0]
rows = list(csv.DictReader(open(sys.argv[1] + "/predictions.csv")))
for name in ("pain", "tired"):
    pairs = [(int(float(r["target"])), int(r["prediction"])) for r in rows if r["name"] == name]
    table = [[pairs.count((a, b)) for b in (0, 1)] for a in (0, 1)]
    assert told["confusion"][name] == table and "threshold" not in told["targets"][name], name
    assert abs(told["targets"][name]["uar"] - sum(table[c][c] / sum(table[c]) for c in (0, 1)) / 2) < 1e-12
PY
report $? "pooled scores are those of the folds' predictions"
run 1 train "${settings[@]}" --set "data.path=$work/all" --run "$work/plain" --steps 1 \
    --set targets.pain.threshold=0.5
fails "fit that training did not make" 2 "targets.pain.threshold: the checkpoint has none" 1 \
    evaluate "$work/plain" --set targets.pain.threshold=fit
finish
