#!/bin/bash
# robustness.sh - scores on input that is made worse: the same on any number of ranks, a level that changes nothing
# is the input as it is, all steps lost is the modality missing, and the table, the JSON and the CSV agree.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

run 2 train "${tiny[@]}" --run "$work/run"
report $? "a model"
levels=(--corrupt video=noise:200,20,0,-20 --corrupt video=drop:0,0.5,1 --corrupt video=missing:0,0.5,1
        --corrupt audio=shift:0,1,-3,16)
robust() { # robust NAME RANKS ARGUMENTS...: NAME.json, NAME.csv
    run "$2" robustness "$work/run" "${levels[@]}" --json --csv "$work/$1.csv" "${@:3}" &&
        cp "$work/stdout" "$work/$1.json"
}
robust r1 1
report $? "three kinds of one modality, one of another"
for ranks in 2 3; do
    robust r$ranks $ranks
    cmp "$work/r1.json" "$work/r$ranks.json" && cmp "$work/r1.csv" "$work/r$ranks.csv"
    report $? "R=$ranks: the bytes of R=1"
done
robust batch 1 --set batch=8
python3 - "$work/r1.json" "$work/batch.json" <<'PY'
import json, sys
a, b = (json.load(open(path))["rows"] for path in sys.argv[1:])
assert all(abs(x["metrics"]["ccc"] - y["metrics"]["ccc"]) < 1e-5 for x, y in zip(a, b))
PY
report $? "another batch: the same to rounding"
robust other 1 --seed 1
! cmp -s "$work/r1.json" "$work/other.json"
report $? "another seed: other numbers"

# In training: levels that change nothing, levels that leave nothing, and the same bits in any way of running it.
worse() { # worse NAME RANKS STEPS LIST ARGUMENTS...
    run "$2" train "${tiny[@]}" --run "$work/$1" --steps "$3" --set "modalities.video.corrupt=[$4]" "${@:5}"
}
run 1 train "${tiny[@]}" --run "$work/short" --steps 12
worse nothing 1 12 'drop:0, missing:0, shift:0'
check "in training: nothing is done at level 0" same "$(hash_of "$work/short")" "$(hash_of "$work/nothing")"
worse lost 1 12 drop:1
worse gone 1 12 missing:1
check "in training: all steps lost is the modality missing" same "$(hash_of "$work/lost")" "$(hash_of "$work/gone")"
[ "$(hash_of "$work/lost")" != "$(hash_of "$work/short")" ]
report $? "which is not the input as it is"
worse one 1 12 'noise:0, drop:0.3, missing:0.2, shift:1'
worse three 3 7 'noise:0, drop:0.3, missing:0.2, shift:1'
worse three 2 12 'noise:0, drop:0.3, missing:0.2, shift:1' --resume auto
check "in training: the same bits on 1 rank, and on 3 then 2" same "$(hash_of "$work/one")" "$(hash_of "$work/three")"
run 1 evaluate "$work/gone" --split valid --json && cp "$work/stdout" "$work/gone.json"
run 1 robustness "$work/gone" --split valid --corrupt video=missing:1 --json
python3 - "$work/gone.json" "$work/stdout" <<'PY'
import json, sys
whole, rows = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))["rows"]
assert whole["metrics"] == rows[0]["metrics"] != rows[1]["metrics"]
PY
report $? "in training alone: evaluated on the input as it is"

# Steps that come to lie behind a short window's end count as all others: ref leaves out no row of any window.
run 1 train "${tiny[@]}" --set data.window=24 --run "$work/padded" --steps 12
for backend in ref cpu; do
    run 1 robustness "$work/padded" --split valid --set backend=$backend --corrupt audio=shift:3 --json &&
        cp "$work/stdout" "$work/$backend.json"
done
python3 - "$work/ref.json" "$work/cpu.json" <<'PY'
import json, sys
ref, cpu = ([row["metrics"]["ccc"] for row in json.load(open(path))["rows"]] for path in sys.argv[1:])
print("#", ref, cpu)
assert len(ref) == 2 and ref[0] != ref[1] and all(abs(x - y) < 1e-6 for x, y in zip(ref, cpu))
PY
report $? "moved behind the end of what there was: the same scores by either backend"

# What is the same as an evaluation: the input as it is.
run 1 evaluate "$work/run" --json && cp "$work/stdout" "$work/clean.json"
run 1 robustness "$work/run" --corrupt video=missing:1 --json --out "$work/out.json" &&
    cp "$work/stdout" "$work/missing.json"
check "--out is the object on stdout" cmp "$work/out.json" <(printf %s "$(cat "$work/missing.json")")
python3 - "$work/r1.json" "$work/clean.json" "$work/r1.csv" "$work/missing.json" <<'PY'
import csv, json, sys
told, clean = json.load(open(sys.argv[1])), json.load(open(sys.argv[2]))
rows = {(r["modality"], r["corruption"], r["level"]): r for r in told["rows"]}
assert len(rows) == 15 and told["split"] == "test" and told["checkpoint"] == clean["checkpoint"]
same = [("", "none", None), ("video", "drop", 0.0), ("video", "missing", 0.0), ("audio", "shift", 0.0)]
for key in same:
    assert rows[key]["metrics"] == clean["metrics"] and rows[key]["targets"] == clean["targets"], key
ccc = lambda *key: rows[key]["metrics"]["ccc"]
assert abs(ccc("video", "noise", 200.0) - ccc("", "none", None)) < 1e-6  # 1e-10 of the features
gone = ccc("video", "missing", 1.0)
assert gone == ccc("video", "drop", 1.0) == json.load(open(sys.argv[4]))["rows"][1]["metrics"]["ccc"]
assert ccc("", "none", None) > ccc("video", "missing", 0.5) > gone, "video is of no use here"
assert ccc("", "none", None) > ccc("video", "noise", -20.0)
assert len({ccc("audio", "shift", k) for k in (0.0, 1.0, -3.0, 16.0)}) == 4
lines = list(csv.DictReader(open(sys.argv[3])))
found = {(l["modality"], l["corruption"], float(l["level"]) if l["level"] else None, l["target"], l["metric"]):
         float(l["value"]) for l in lines}
for key, row in rows.items():
    for target, scores in row["targets"].items():
        for metric in ("ccc", "mae"):
            assert found[(*key, target, metric)] == scores[metric]
PY
report $? "unchanged levels are an evaluation; worse input is worse; the CSV has the same numbers"
run 1 robustness "$work/run" "${levels[@]}"
check "a table: a line for each level" same "$(grep -c '^ *video ' "$work/stdout")" 10

for wrong in "video:is expected" "touch=noise:0:no modality touch" "video=fog:1:is not noise, drop" \
    "video=drop:1.5:is no level of drop" "video=noise:1,:is no level of noise" \
    "audio=shift:0.5:is no level of shift"; do
    fails "--corrupt ${wrong%:*}" 2 "${wrong##*:}" 2 robustness "$work/run" --corrupt "${wrong%:*}"
done
fails "nothing to corrupt" 2 "give --corrupt" 1 robustness "$work/run"
finish
