#!/bin/bash
# cv.sh - cross-validation: every person tested once, every fold a training of its own from fresh weights, the
# same bytes on any number of ranks and after a kill, memory that does not grow.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

settings=("${tiny[@]}" --set epochs=2 --set split.folds=4 --set checkpoint.every_steps=3)
cv() { # cv NAME RANKS ARGUMENTS...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" cv "${settings[@]}" --out "$work/$name" "$@"
}
same_files() { # same_files A B: summaries and predictions
    cmp "$work/$1/summary.json" "$work/$2/summary.json" &&
        cmp "$work/$1/predictions.csv" "$work/$2/predictions.csv"
}

cv r1 1 --seeds 1,2
report $? "4 folds with 2 seeds"
for ranks in 2 3 5; do
    cv r$ranks $ranks --seeds 1,2
    check "R=$ranks, a fold on each: the bytes of R=1" same_files r1 r$ranks
done
# More ranks than folds: several train one. Over messages, too.
cv few1 1 --folds 1,3
cv few5 5 --folds 1,3
check "2 folds on 5 ranks: the bytes of R=1" same_files few1 few5
export JMT_COMM_HOSTS=4
cv few4 4 --folds 1,3
unset JMT_COMM_HOSTS
check "2 folds on 4 ranks without shared memory: the bytes of R=1" same_files few1 few4

# What was refused leaves nothing in the way of the next try.
fails "more folds than people" 2 'folds' 2 cv "${settings[@]}" --set split.folds=99 --out "$work/poison"
run 2 cv "${settings[@]}" --folds 1,3 --out "$work/poison"
report $? "the corrected command then takes the same --out"

# The last fold of all is what a process that does nothing else makes of it.
run 1 train "${settings[@]}" --set split.fold=3 --set seed=2 --run "$work/alone"
check "fold 3, seed 2: the hash of a training on its own" \
    same "$(hash_of "$work/r1/fold-3-seed-2")" "$(hash_of "$work/alone")"
run 1 evaluate "$work/alone/checkpoints/best-ccc" --predictions "$work/alone.csv"
check "fold 3, seed 2: its predictions are those of jmt evaluate with the checkpoint that valid chose" \
    cmp "$work/alone.csv" "$work/r1/fold-3-seed-2/predictions.csv"

# A rate at which the last epoch is not the best one: the checkpoint that scores is the best one.
wild=("${settings[@]}" --set epochs=4 --set optimizer.learning_rate=0.1 --set seed=1)
run 1 cv "${wild[@]}" --folds 0 --out "$work/wild"
fold=$work/wild/fold-0-seed-1
for name in best-ccc last; do
    run 1 evaluate "$fold/checkpoints/$name" --predictions "$work/wild-$name.csv"
done
[ "$(readlink "$fold/checkpoints/last")" != "$(readlink "$fold/checkpoints/best-ccc")" ] &&
    cmp "$work/wild-best-ccc.csv" "$fold/predictions.csv" && ! cmp -s "$work/wild-last.csv" "$fold/predictions.csv"
report $? "a fold is scored by the checkpoint that valid chose, not by the last one"

cat >"$work/judge.py" <<'PY'
import csv, hashlib, json, math, struct, sys
out, info = sys.argv[1], json.loads(sys.argv[2])
def file_hash(path): # of a safetensors file, as `jmt inspect --hash` defines it
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    head, body, digest = json.loads(data[8:8 + length]), data[8 + length:], hashlib.sha256()
    for name in sorted(n for n in head if n != "__metadata__"):
        t = head[name]
        text = "\0".join([name, t["dtype"], ",".join(map(str, t["shape"]))]) + "\0"
        digest.update(text.encode() + body[slice(*t["data_offsets"])])
    return digest.hexdigest()
told = json.load(open(out + "/summary.json"))
rows = list(csv.DictReader(open(out + "/predictions.csv")))
assert [(f["fold"], f["seed"]) for f in told["folds"]] == [(k, s) for s in (1, 2) for k in range(4)]
hashes = {s: file_hash("%s-%d.safetensors" % (sys.argv[3], s)) for s in (1, 2)}
assert hashes[1] != hashes[2]
for f in told["folds"]:
    run = json.load(open("%s/fold-%d-seed-%d/manifest.json" % (out, f["fold"], f["seed"])))
    assert f["initial_hash"] == run["initial_hash"] == hashes[f["seed"]], "fresh weights"
def values(rows):
    pairs = [(float(r["prediction"]), float(r["target"])) for r in rows]
    n = len(pairs)
    mx, my = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    vx, vy = sum((x - mx) ** 2 for x, _ in pairs) / n, sum((y - my) ** 2 for _, y in pairs) / n
    cov = sum((x - mx) * (y - my) for x, y in pairs) / n
    return dict(mae=sum(abs(x - y) for x, y in pairs) / n, r=cov / math.sqrt(vx * vy),
                rmse=math.sqrt(sum((x - y) ** 2 for x, y in pairs) / n),
                ccc=2 * cov / (vx + vy + (mx - my) ** 2 + 1e-8))
def per_sequence(rows):
    parts = {}
    for r in rows:
        parts.setdefault(r["recording"], []).append(r)
    return sum(values(p)["ccc"] for p in parts.values()) / len(parts)
def scores(rows):
    names = ("valence", "arousal")
    each = [dict(values(part), ccc_per_sequence=per_sequence(part))
            for part in ([r for r in rows if r["name"] == name] for name in names)]
    return {m: (each[0][m] + each[1][m]) / 2 for m in each[0]}
close = lambda a, b: abs(a - b) <= 1e-9 * max(1, abs(b)) # sums of some thousand doubles
pool = {}
for s in (1, 2):
    mine = [r for r in rows if r["seed"] == str(s)]
    assert len({(r["recording"], r["step"], r["name"]) for r in mine}) == len(mine), "tested twice"
    assert sum(r["name"] == "valence" for r in mine) == info["targets"]["valence"]["valid"], "all"
    assert len({r["recording"] for r in mine}) == info["recordings"], "every recording"
    people = [p for f in told["folds"] if f["seed"] == s for p in f["subjects"]]
    assert len(people) == len(set(people)) == info["subjects"], "every person in one fold"
    pool[s] = scores(mine)
    by_seed = [b for b in told["by_seed"] if b["seed"] == s][0]
    assert set(by_seed["metrics"]) == set(pool[s])
    assert all(close(by_seed["metrics"][m], v) for m, v in pool[s].items()), "pooled of a seed"
    assert by_seed["n"] == len({(r["recording"], r["step"]) for r in mine})
for m in pool[1]:
    a, b = pool[1][m], pool[2][m]
    assert close(told["pooled"]["metrics"][m], (a + b) / 2), m
    assert close(told["pooled"]["std"][m], abs(a - b) / math.sqrt(2)), m
folds = [scores([r for r in rows if (r["fold"], r["seed"]) == (str(f["fold"]), str(f["seed"]))])
         for f in told["folds"]]
for m in folds[0]:
    v = [f[m] for f in folds]
    mean = sum(v) / 8
    assert all(close(f["metrics"][m], x) for f, x in zip(told["folds"], v)), m
    assert close(told["over_folds"][m]["mean"], mean) and told["over_folds"][m]["n"] == 8
    assert close(told["over_folds"][m]["std"], math.sqrt(sum((x - mean) ** 2 for x in v) / 7)), m
# Intervals over people: drawn here by other random numbers, so that the ends are near, not the same.
import random
random.seed(1)
people = sorted({r["subject"] for r in rows})
parts = {key: [] for key in ((s, n, p) for s in "12" for n in ("valence", "arousal") for p in people)}
for r in rows:
    parts[r["seed"], r["name"], r["subject"]].append((float(r["prediction"]), float(r["target"])))
sums = {key: [sum(f(x, y) for x, y in part) for f in (lambda x, y: 1, lambda x, y: x, lambda x, y: y,
        lambda x, y: x * x, lambda x, y: y * y, lambda x, y: x * y)] for key, part in parts.items()}
def ccc_of(drawn):
    total = 0
    for s in "12":
        for name in ("valence", "arousal"):
            n, x, y, xx, yy, xy = map(sum, zip(*(sums[s, name, p] for p in drawn)))
            total += 2 * (xy / n - x * y / n / n) / (xx / n - (x / n) ** 2 + yy / n - (y / n) ** 2
                                                     + (x / n - y / n) ** 2 + 1e-8) / 4
    return total
draws = sorted(ccc_of(random.choices(people, k=len(people))) for _ in range(4000))
low, high = told["pooled"]["interval"]["ccc"]
assert told["pooled"]["people"] == len(people) and low < told["pooled"]["metrics"]["ccc"] < high
for mine, its in ((draws[100], low), (draws[3899], high)):
    assert abs(mine - its) < 0.1 * (high - low), (mine, its, high - low)
assert not [m for m in told["pooled"]["interval"] if "per_sequence" in m]
PY
for seed in 1 2; do
    "$jmt" export "${settings[@]}" --set seed=$seed --out "$work/initial-$seed.safetensors" \
        >"$work/stdout" 2>"$work/stderr"
done
check "fresh weights in every fold; everybody once; pooled, per seed and per fold by plain code" \
    python3 "$work/judge.py" "$work/r1" "$("$jmt" inspect "$work/data" --json)" "$work/initial"

# Killed in fold 2: folds 0 and 1 stay as they are, fold 2 goes on, and nobody can tell.
cv killed 1 --folds 0,1 --seeds 1
before=$(stat -c %Y-%i-%s "$work"/killed/fold-[01]-seed-1/evaluation.json)
JMT_FAULT=kill:0:5 cv killed 1 --seeds 1,2
[ $? = 137 ] && [ ! -e "$work/killed/fold-2-seed-1/evaluation.json" ] &&
    [ -e "$work/killed/fold-2-seed-1/checkpoints/step-00000003" ]
report $? "killed at step 5 of fold 2"
cv killed 2 --seeds 1,2
check "after a kill, on 2 ranks: the bytes of a run that nobody killed" same_files r1 killed
check "finished folds were kept" same "$before" \
    "$(stat -c %Y-%i-%s "$work"/killed/fold-[01]-seed-1/evaluation.json)"
grep -q 'resuming at step 4' "$work/stderr" # the end of the first epoch
report $? "fold 2 went on from its checkpoint"

fails "a changed configuration" 2 "configuration differs.*(epochs|learning_rate)" 2 \
    cv "${settings[@]}" --set epochs=3 --out "$work/killed"
# What an earlier version did not know yet has its default; what a fold was trained with, its own record says.
sed -i '/^evaluation:/,/^comm:/ { /^comm:/! d }' "$work/killed/config.yaml"
cv killed 1 --seeds 1,2
report $? "a config.yaml without a newer setting is gone on from"
check "to the same bytes" same_files r1 killed
sed -i 's/^epochs: 2$/epochs: 3/' "$work/killed/config.yaml"
fails "a config.yaml that was edited" 2 \
    'fold-0-seed-1/evaluation.json: the configuration differs.*: epochs was 2 and is 3' 1 \
    cv "${settings[@]}" --set epochs=3 --seeds 1,2 --out "$work/killed"
fails "no folds" 2 "split.folds is 0.*--folds none" 2 cv "${tiny[@]}" --out "$work/none"
fails "folds, and none" 2 "--folds none, but split.folds is 4" 2 cv "${settings[@]}" --folds none --out "$work/none"
fails "a fold that is not there" 2 "there is no fold 4; there are 0 to 3" 3 \
    cv "${settings[@]}" --folds 0,4 --out "$work/none"
fails "a fold twice" 2 "--folds 1,1: .* none twice" 1 cv "${settings[@]}" --folds 1,1 --out "$work/none"
fails "no --out" 2 "--out is missing" 2 cv "${settings[@]}"
fails "a run directory" 2 "already holds a run" 2 cv "${settings[@]}" --out "$work/alone"

# The split as it stands, with each seed: what training and evaluating by hand makes of it, and intervals.
plain=("${tiny[@]}" --set epochs=2)
run 2 cv "${plain[@]}" --folds none --seeds 1,2 --out "$work/plain"
report $? "the split as it stands, with 2 seeds"
run 1 train "${plain[@]}" --set seed=2 --run "$work/plain-2"
run 1 evaluate "$work/plain-2/checkpoints/best-ccc" --predictions "$work/plain-2.csv" --out "$work/plain-2.json"
check "its predictions are those of jmt train and jmt evaluate" \
    cmp "$work/plain-2.csv" "$work/plain/fold-0-seed-2/predictions.csv"
check "summary.json says test, and within what people would move each score" python3 - "$work" <<'PY'
import json, sys
told = json.load(open(sys.argv[1] + "/plain/summary.json"))
alone = json.load(open(sys.argv[1] + "/plain-2.json"))
low, high = told["pooled"]["interval"]["ccc"]
assert told["split"] == alone["split"] == "test" and told["fold_total"] == 1 and told["seeds"] == [1, 2]
assert low < told["pooled"]["metrics"]["ccc"] < high and told["by_seed"][1]["n"] == alone["n"]
assert abs(told["by_seed"][1]["metrics"]["ccc"] - alone["metrics"]["ccc"]) < 1e-6
PY

# Fold 0 is done, so rank 0 waits for rank 1: for as long as fold 1 moves, but not for one that hangs.
waits=("${settings[@]}" --set epochs=150)
run 1 cv "${waits[@]}" --folds 0 --out "$work/waits"
cp -r "$work/waits" "$work/hangs"
begin=$SECONDS
run 2 cv "${waits[@]}" --set comm.timeout_s=1.5 --folds 0,1 --out "$work/waits"
report $? "a fold that takes longer than comm.timeout_s ($((SECONDS - begin)) s) is waited for"
export JMT_FAULT=stop:0:7
fails "a fold that hangs" 1 "no answer from rank 1 within 2 s" 2 \
    cv "${waits[@]}" --set comm.timeout_s=2 --folds 0,1 --out "$work/hangs"
unset JMT_FAULT

# 12 people, each left out, with 3 seeds: 36 trainings in one process.
run 1 cv "${tiny[@]}" --set epochs=1 --set split.folds=-1 --seeds 1,2,3 --out "$work/many"
report $? "36 models in a row"
rss() { tail -n 3 "$work/many/fold-$1/metrics.jsonl" | grep -o '"rss_mb":[0-9.]*' | tail -n 1 | cut -d: -f2; }
early=$(rss 5-seed-1) late=$(rss 11-seed-3)
echo "# memory after 6 models $early MB, after 36 $late MB"
awk -v a="$early" -v b="$late" 'BEGIN { exit !(a > 0 && b - a < 1.5) }'
report $? "memory is flat"

# The control: a constant for everybody.
run 2 cv "${settings[@]}" --set model.name=majority --out "$work/majority" --json
grep -q '"row": "majority"' "$work/stdout" && grep -q '"r": 0.0' "$work/majority/fold-0-seed-1/evaluation.json"
report $? "majority goes the same way"

mosi=../shared/data/cmu_mosi_utt
if [ -d $mosi ]; then
    "$jmt" shard mosi --source $mosi --out "$work/mosi" >"$work/stdout" 2>"$work/stderr"
    run 2 cv configs/mosi/concat.yaml --set data.path="$work/mosi" --set model.dim=16 --set epochs=1 \
        --set model.head_hidden=8 --set split.folds=3 --out "$work/classes"
    cat >"$work/classes.py" <<'PY'
import csv, json, sys
told = json.load(open(sys.argv[1] + "/summary.json"))
rows = [r for r in csv.DictReader(open(sys.argv[1] + "/predictions.csv")) if r["name"] == "binary"]
pairs = [(int(float(r["target"])), int(r["prediction"])) for r in rows]
n, t = len(pairs), told["pooled"]["targets"]["binary"]
table = [[sum(p == (a, b) for p in pairs) for b in (0, 1)] for a in (0, 1)]
assert n == told["by_seed"][0]["targets"]["binary"]["n"] and n == int(sys.argv[2]), n
assert told["by_seed"][0]["confusion"]["binary"] == table, "confusion"
recall = [table[c][c] / sum(table[c]) for c in (0, 1)]
f1 = [2 * table[c][c] / (sum(table[c]) + table[0][c] + table[1][c]) for c in (0, 1)]
mine = dict(accuracy=(table[0][0] + table[1][1]) / n, uar=sum(recall) / 2, f1_macro=sum(f1) / 2,
            f1_weighted=sum(f1[c] * sum(table[c]) for c in (0, 1)) / n)
for metric, value in mine.items():
    assert abs(t[metric] - value) < 1e-12 and abs(told["pooled"]["metrics"][metric] - value) < 1e-12, metric
PY
    labelled=$("$jmt" inspect "$work/mosi" --json | python3 -c \
        'import json, sys; print(json.load(sys.stdin)["targets"]["binary"]["valid"])')
    check "MOSI: all metrics of classes, pooled, agree with plain code" \
        python3 "$work/classes.py" "$work/classes" "$labelled"
else
    skip_one "pooled metrics of classes" "no $mosi"
fi
finish
