#!/usr/bin/env bash
# The main job as a user runs it, on CMU-MOSI and without data. The PyTorch twin's numbers are those of
# tests/reference/mosi_twin.json, written by the script beside it.
. "$(dirname "${BASH_SOURCE[0]}")/../system.sh"
out=$work/out

quickstart() { # quickstart ARGUMENTS...: the table goes to the log of this test
    launch/quickstart --out "$out" "$@" >"$work/stdout" 2>"$work/stderr"
    local code=$?
    sed 's/^/# /' "$work/stdout"
    return $code
}
# holds TEXT EXPRESSION: Python over s (summary.json), its models m, mean(MODEL, METRIC) and twin(...)
holds() {
    python3 - "$out/summary.json" "$2" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
m = s["models"]
mean = lambda model, metric: m[model][metric]["mean"]
stored = json.load(open("tests/reference/mosi_twin.json"))["models"]
twin = lambda model, metric: stored[model][metric]["mean"]
sys.exit(0 if eval(sys.argv[2]) else 1)
PY
    report $? "$1"
}

data=../shared/data/cmu_mosi_utt
if [ -d "$data" ]; then
    begin=$SECONDS
    check "quickstart on CMU-MOSI" quickstart --data "$data"
    took=$((SECONDS - begin))
    check "it takes at most ten minutes ($took s)" [ $took -le 600 ]
    [ "$out/mosi-permuted-seed0/config.yaml" -ot "$out/mosi-majority-seed4/config.yaml" ]
    report $? "what takes longest begins first"
    holds "eight rows and the control" '(list(m) == "majority text audio video concat concat_encoder mt jmt".split() +
         ["jmt (labels permuted within person)"])'
    holds "seeds 0 to 4 in each" \
        's["seeds"] == [0, 1, 2, 3, 4] and all(len(r["ccc"]["values"]) == 5 for r in m.values())'
    holds "jmt: accuracy at least 75.5 %" 'mean("jmt", "accuracy") >= 0.755'
    holds "jmt: CCC at least 0.58" 'mean("jmt", "ccc") >= 0.58'
    holds "jmt: at most 1 point below its PyTorch twin" \
        'mean("jmt", "accuracy") >= twin("jmt", "binary.accuracy") - 0.01'
    holds "jmt: CCC at most 0.02 below its PyTorch twin" \
        'mean("jmt", "ccc") >= twin("jmt", "score.ccc") - 0.02'
    cp "$out/summary.json" "$work/first.json"
    rm -r "$out"/mosi-jmt-seed0
    check "a second call fills a gap, on two ranks" quickstart --data "$data" --ranks 2
    check "and finds the same" cmp "$out/summary.json" "$work/first.json"
    check "a table of two of the seeds" quickstart --data "$data" --seeds 0,3
    holds "has these alone" \
        's["seeds"] == [0, 3] and all(len(r["ccc"]["values"]) == 2 for r in m.values())'
    rm -r "$out"
else
    skip_one "quickstart on CMU-MOSI" "$data is not there"
fi

check "quickstart without data" quickstart
optimum=$("$jmt" inspect "$out/synthetic" --json | python3 -c '
import json, sys
targets = json.load(sys.stdin)["facts"]["optimum"]["targets"]
print(sum(t["all"]["ccc"] for t in targets.values()) / len(targets))')
holds "jmt: within 5 % of the known optimum, CCC $optimum" "mean('jmt', 'ccc') >= 0.95 * $optimum"
holds "jmt: above each single modality" \
    'all(mean("jmt", "ccc") > mean(x, "ccc") for x in ("video", "audio", "noise"))'
holds "the pure-noise modality predicts nothing" 'abs(mean("noise", "ccc")) < 0.05'
finish
