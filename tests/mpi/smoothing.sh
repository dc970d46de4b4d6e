#!/bin/bash
# smoothing.sh - post-processing of predicted values: clipped, then a moving average over each recording, whose width
# is given or fitted on the validation part of the people trained on. The same on any number of ranks, as plain code
# computes it, whatever the labels; kept by the checkpoint, used by evaluate and cv, and no matter of test people.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

import() { # import NAME: the features in $work/NAME.csv as data
    "$jmt" shard features --source "$work/$1.csv" --out "$work/$1" --set header=0 >"$work/stdout" 2>"$work/stderr"
}
python3 tests/golden/labelled.py "$work/some.csv" && import some
report $? "labelled data"
# Recordings with labels everywhere: there is a prediction of every step, for the plain code.
cp -r "$work/some.csv" "$work/every.csv"
sed -i 's/^nan$/0.5/' "$work"/every.csv/*-label-level.csv && import every
report $? "the same with a label at each step"
settings=(tests/golden/labelled.yaml --set epochs=6 --set select_on=level.ccc_post --set targets.level.smooth=fit
          --set targets.level.clip=true)
train() { # train NAME RANKS DATA ARGUMENTS...
    run "$2" train "${settings[@]}" --set "data.path=$work/$3" --run "$work/$1" "${@:4}"
}
evaluate() { # evaluate NAME RUN RANKS ARGUMENTS...: NAME.json, NAME.csv
    run "$3" evaluate "$work/$2" --json --predictions "$work/$1.csv-out" "${@:4}" && cp "$work/stdout" "$work/$1.json"
}
width() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["targets"]["level"]["smooth"])' "$1"; }
statistics() { sha256sum <"$work/$1/checkpoints/last/statistics.safetensors"; }
levels() { grep ',level,' "$work/$1.csv-out"; }

for ranks in 1 2 3; do
    train r$ranks $ranks some
    report $? "trained on $ranks"
    [ $ranks = 1 ] || check "R=$ranks: the statistics of R=1" same "$(statistics r1)" "$(statistics r$ranks)"
done

# The plain code: filter, scores, and that no other width of the list is better on validation people.
cat >"$work/plain.py" <<'PY'
import csv, json, math, sys
sys.path.insert(0, "tests/mpi")
from scores import ccc
told, every = json.load(open(sys.argv[1])), sys.argv[2]
width, zeros, best = int(sys.argv[3]), sys.argv[4] == "constant", sys.argv[5] == "best"
recordings = {}
for row in csv.DictReader(open(every)):
    if row["name"] == "level":
        recordings.setdefault(row["recording"], []).append(row)
scored = {}
for row in csv.DictReader(open(sys.argv[6])):
    if row["name"] == "level":
        scored[row["recording"], int(row["step"])] = (float(row["post"]), float(row["target"]))
        assert row["prediction"] != "" and abs(float(row["post"])) <= 1
    else:
        assert row["post"] == row["prediction"], row
def smooth(x, w):
    if w < 2:
        return x
    at = lambda k: (0.0 if zeros and not 0 <= k < len(x) else x[min(max(k, 0), len(x) - 1)])
    return [math.fsum(at(i - w // 2 + k) for k in range(w)) / w for i in range(len(x))]
def processed(w):
    out = {}
    for name, rows in recordings.items():
        rows = sorted(rows, key=lambda r: int(r["step"]))
        assert [int(r["step"]) for r in rows] == list(range(len(rows))), name
        x = smooth([min(max(float(r["prediction"]), -1.0), 1.0) for r in rows], w)
        out.update({(name, i): value for i, value in enumerate(x)})
    return out
def score(values):
    return ccc([(values[key], y) for key, (_, y) in scored.items()])[0]
mine = processed(width)
for key, (value, _) in scored.items():
    assert abs(mine[key] - value) < 2e-7, (key, mine[key], value)
level = told["targets"]["level"]
assert level["smooth"] == width and len(scored) == level["n"]
assert abs(score(mine) - level["ccc_post"]) < 1e-6, (score(mine), level["ccc_post"])
parts = {}
for key, (_, y) in scored.items():
    parts.setdefault(key[0], []).append((mine[key], y))
each = sum(ccc(part)[0] for part in parts.values()) / len(parts)
assert abs(each - level["ccc_per_sequence_post"]) < 1e-6
error = math.sqrt(sum((mine[key] - y) ** 2 for key, (_, y) in scored.items()) / len(scored))
assert abs(error - level["rmse_post"]) < 1e-6
if best:
    for w in (0, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500):
        assert score(processed(w)) <= score(mine) + 1e-6, w
    assert score(processed(width)) > score(processed(0)) + 1e-3, "smoothing gains nothing here"
    assert level["ccc"] != level["ccc_post"]
PY
plain() { # plain SCORED EVERY WIDTH EDGES best|any
    python3 "$work/plain.py" "$work/$1.json" "$work/$2.csv-out" "$3" "$4" "$5" "$work/$1.csv-out" 2>"$work/stderr"
}
best=$(echo "$work"/r1/checkpoints/best-*)
check "the best checkpoint is best in level.ccc_post" [ "$(basename "$best")" = best-level.ccc_post ]
evaluate valid r1/checkpoints/best-level.ccc_post 1 --split valid
evaluate valid-every r1/checkpoints/best-level.ccc_post 1 --split valid --data "$work/every"
fitted=$(width "$work/valid.json")
echo "# fitted width: $fitted"
plain valid valid-every "$fitted" nearest best
report $? "validation: what plain code says, whatever the labels, and no width is better than $fitted"
told=$(python3 - "$work/r1/metrics.jsonl" "$work/valid.json" <<'PY'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
best = [e for e in events if e["event"] == "valid" and e["best"]][-1]["targets"]["level"]
told = json.load(open(sys.argv[2]))["targets"]["level"]
print(all(abs(best[k] - told[k]) < 1e-6 for k in told), best["smooth"])
PY
)
check "training said the same of its validation" same "$told" "True $fitted"
evaluate test r1/checkpoints/best-level.ccc_post 1
evaluate test-every r1/checkpoints/best-level.ccc_post 1 --data "$work/every"
plain test test-every "$fitted" nearest any
report $? "test: the width of the checkpoint"
for ranks in 2 3; do
    evaluate again r1/checkpoints/best-level.ccc_post $ranks
    cmp "$work/again.json" "$work/test.json" && cmp "$work/again.csv-out" "$work/test.csv-out"
    report $? "R=$ranks: the bytes of R=1"
done
for edges in nearest constant; do
    for steps in 1 4 9 60; do
        evaluate given r1 1 --set targets.level.smooth=$steps --set evaluation.smooth_edges=$edges
        evaluate given-every r1 1 --set targets.level.smooth=$steps --data "$work/every"
        plain given given-every $steps $edges any
        report $? "$steps steps, edges $edges"
    done
done
# Raw predictions and metrics are those without any of it.
evaluate none r1/checkpoints/best-level.ccc_post 1 --set targets.level.smooth=0 --set targets.level.clip=false
cmp -s <(cut -d, -f1-6 "$work/test.csv-out") "$work/none.csv-out"
report $? "the prediction's column does not change"
python3 - "$work/none.json" <<'PY'
import json, sys
told = json.load(open(sys.argv[1]))
assert "ccc" in told["metrics"] and "ccc" in told["targets"]["level"]
assert not [k for k in [*told["metrics"], *told["targets"]["level"]] if "post" in k or k == "smooth"]
PY
report $? "without it nothing is said of it"

# Test people have no say in the width, validation people have.
persons() { evaluate "$1" r1 1 --split "$1" && levels "$1" | cut -d, -f1 | sed 's/^r\([0-9]*\)-.*/\1/' | sort -un; }
change() { # change NAME PERSON...: a copy where these people's labels jump from step to step
    local name=$1 person file
    shift
    cp -r "$work/some.csv" "$work/$name.csv"
    for person in "$@"; do
        for file in "$work/$name.csv"/r$person-*-label-level.csv; do
            awk '{ print NR % 2 ? $1 : -$1 }' "$file" >"$work/moved" && mv "$work/moved" "$file"
        done
    done
    import "$name"
}
change new-test $(persons test)
change new-valid $(persons valid)
train other-test 1 new-test
check "other test people: the same statistics" same "$(statistics r1)" "$(statistics other-test)"
train other-valid 1 new-valid
evaluate other-valid other-valid 1 --split valid
evaluate last r1 1 --split valid
[ "$(width "$work/other-valid.json")" != "$(width "$work/last.json")" ]
report $? "other validation people: another width"
evaluate not-fitted r1/checkpoints/best-level.ccc_post 1 --data "$work/new-test"
check "evaluate does not fit again" same "$(width "$work/not-fitted.json")" "$fitted"

train stopped 3 some --steps 5
train stopped 2 some --steps 9 --resume auto
train straight 1 some --steps 9
check "after a stop: the statistics of a run that went on" same "$(statistics straight)" "$(statistics stopped)"
run 1 train "${settings[@]}" --set "data.path=$work/some" --run "$work/plain" --steps 1 --set targets.level.smooth=3
fails "fit that training did not make" 2 "targets.level.smooth: the checkpoint has none" 1 \
    evaluate "$work/plain" --set targets.level.smooth=fit

run 2 cv "${settings[@]}" --set "data.path=$work/some" --set split.folds=4 --folds 1,2 --seeds 3 --out "$work/cv"
report $? "cross-validation"
python3 - "$work/cv" <<'PY'
import csv, json, sys
sys.path.insert(0, "tests/mpi")
from scores import ccc
told = json.load(open(sys.argv[1] + "/summary.json"))["by_seed"][0]["targets"]
rows = [r for r in csv.DictReader(open(sys.argv[1] + "/predictions.csv")) if r["name"] == "level"]
for column, metric in (("prediction", "ccc"), ("post", "ccc_post")):
    want = ccc([(float(r[column]), float(r["target"])) for r in rows])[0]
    assert abs(told["level"][metric] - want) < 1e-6, metric
assert told["level"]["ccc"] != told["level"]["ccc_post"] and "ccc_post" not in told["kind"]
PY
report $? "pooled: scores of the folds' predictions before and after"
finish
