#!/usr/bin/env bash
# The main job as a user runs it: on CMU-MOSI and without data. What must come out is in the table at the
# end of each half; the PyTorch twin's numbers are tests/reference/mosi_twin.json.
set -u
cd "$(dirname "$0")/../.."
root=$(pwd) count=0 bad=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tap() { # tap STATUS TEXT
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; bad=1; fi
}
# check TEXT EXPRESSION: Python over s (summary.json), m (its models) and twin
check() {
    python3 - "$work" "$root" "$2" <<'PY'
import json, os, sys
work, root, expression = sys.argv[1:]
s = json.load(open(work + "/summary.json"))
path = root + "/tests/reference/mosi_twin.json"
twin = json.load(open(path)) if os.path.exists(path) else None
m = s["models"]
mean = lambda model, metric: m[model][metric]["mean"]
sys.exit(0 if eval(expression) else 1)
PY
    tap $? "$1"
}

data=../shared/data/cmu_mosi_utt
if [ -d "$data" ]; then
    begin=$SECONDS
    launch/quickstart --data "$data" --out "$work" >"$work/log" 2>&1
    tap $? "quickstart on CMU-MOSI"
    sed 's/^/# /' "$work/log"
    [ $((SECONDS - begin)) -lt 600 ]
    tap $? "it takes less than ten minutes ($((SECONDS - begin)) s)"
    check "eight rows over seeds 0 to 4" \
        's["seeds"] == [0, 1, 2, 3, 4] and list(m) == "majority text audio video concat concat_encoder mt jmt".split() and all(len(r["ccc"]["values"]) == 5 for r in m.values())'
    check "jmt: accuracy at least 75.5 %" 'mean("jmt", "accuracy") >= 0.755'
    check "jmt: CCC at least 0.58" 'mean("jmt", "ccc") >= 0.58'
    check "jmt: at most 1 point and 0.02 below its PyTorch twin" \
        'mean("jmt", "accuracy") >= twin["jmt"]["accuracy"]["mean"] - 0.01 and mean("jmt", "ccc") >= twin["jmt"]["ccc"]["mean"] - 0.02'
    cp "$work/summary.json" "$work/first.json"
    launch/quickstart --data "$data" --out "$work" --ranks 2 >"$work/log" 2>&1 && cmp -s "$work/summary.json" "$work/first.json"
    tap $? "a second call goes on and finds the same"
    rm -rf "${work:?}"/*
else
    count=$((count + 1))
    echo "ok $count - quickstart on CMU-MOSI # SKIP $data is not there"
fi

launch/quickstart --out "$work" >"$work/log" 2>&1
tap $? "quickstart without data"
sed 's/^/# /' "$work/log"
optimum=$(build/jmt inspect "$work/synthetic" --json | python3 -c '
import json, sys
targets = json.load(sys.stdin)["facts"]["optimum"]["targets"]
print(sum(t["all"]["ccc"] for t in targets.values()) / len(targets))')
check "jmt: within 5 % of the known optimum, CCC $optimum" "mean('jmt', 'ccc') >= 0.95 * $optimum"
check "jmt: above each single modality" \
    'all(mean("jmt", "ccc") > mean(x, "ccc") for x in ("video", "audio", "noise"))'
check "the pure-noise modality predicts nothing" 'abs(mean("noise", "ccc")) < 0.05'
echo "1..$count"
exit $bad
