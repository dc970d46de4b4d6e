#!/bin/bash
# scores.sh - all metrics of surface, of a split and pooled over folds, against plain code (scores.py): classes
# that never occur or are never predicted, constant predictions, recordings of one step, a value that never varies.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

mkdir "$work/source"
python3 - "$work/source" <<'PY'
import os, random, sys
chance, out = random.Random(11), sys.argv[1]
with open(os.path.join(out, "manifest.csv"), "w") as manifest:
    manifest.write("recording,subject,group,modality,rate_hz,path\n")
    for person in range(10):
        for number in range(4):
            name = "r%d-%d" % (person, number)
            steps = 1 if number < 2 else chance.randrange(2, 40) # half of the recordings have one step
            files = {"a": [], "label:kind": [], "label:pain": [], "label:level": [], "label:flat": []}
            for step in range(steps):
                level = chance.gauss(0, 1)
                files["a"].append("%.4f,%.4f" % (level + chance.gauss(0, 0.5), chance.gauss(0, 1)))
                files["label:kind"].append(("nan" if step == 3 else "%d" % (1 + 2 * (level > 0)))) # of 0..4: 1 and 3
                files["label:pain"].append("%d" % (level > 0.5))
                files["label:level"].append("nan" if step % 7 == 5 else "%.4f" % level)
                files["label:flat"].append("0.25")
            for modality, lines in files.items():
                path = "%s-%s.csv" % (name, modality.replace(":", "-"))
                open(os.path.join(out, path), "w").write("\n".join(lines) + "\n")
                manifest.write("%s,person%d,,%s,10,%s\n" % (name, person, modality, path))
PY
"$jmt" shard features --source "$work/source" --out "$work/labelled" --set header=0 >"$work/stdout" 2>"$work/stderr"
report $? "data"
cat >"$work/config.yaml" <<'YAML'
epochs: 4
batch: 8
virtual_shards: 4
select_on: kind.uar
model: {name: unimodal, dim: 8, ff: 8, head_hidden: 8}
data: {window: 16}
optimizer: {name: adamw, learning_rate: 1e-2}
modalities: {a: {}}
targets:
  kind: {loss: cross_entropy, classes: 5}
  pain: {loss: binary_cross_entropy}
  level: {loss: ccc}
  flat: {loss: mse}
YAML
settings=("$work/config.yaml" --set "data.path=$work/labelled")
targets=(kind:5 pain:2 level:0 flat:0)
for model in unimodal majority; do
    run 2 train "${settings[@]}" --set model.name=$model --run "$work/$model"
    report $? "$model: trained"
    for split in train valid test; do
        for ranks in 1 3; do
            run $ranks evaluate "$work/$model" --split $split --predictions "$work/$ranks.csv" --json
            cp "$work/stdout" "$work/$ranks.json"
        done
        check "$model $split: every metric by plain code" \
            python3 tests/mpi/scores.py "$work/1.json" "$work/1.csv" "${targets[@]}"
        cmp "$work/1.json" "$work/3.json" && cmp "$work/1.csv" "$work/3.csv"
        report $? "$model $split: the same bytes on 3 ranks"
    done
    run 2 cv "${settings[@]}" --set model.name=$model --set split.folds=4 --seeds 1,2 --out "$work/cv-$model"
    report $? "$model: cross-validation"
    for seed in 1 2; do
        python3 - "$work/cv-$model" $seed >"$work/seed.json" <<'PY'
import json, sys
seeds = json.load(open(sys.argv[1] + "/summary.json"))["by_seed"]
print(json.dumps([s for s in seeds if str(s["seed"]) == sys.argv[2]][0]))
PY
        awk -F, -v seed=$seed 'NR == 1 || $2 == seed' "$work/cv-$model/predictions.csv" >"$work/seed.csv"
        check "$model, seed $seed: pooled, every metric by plain code" \
            python3 tests/mpi/scores.py "$work/seed.json" "$work/seed.csv" "${targets[@]}"
    done
done
python3 - "$work/1.json" <<'PY' # the majority's, on test people
import json, sys
targets = json.load(open(sys.argv[1]))["targets"]
assert targets["level"]["r"] == targets["level"]["ccc"] == 0.0, "a constant agrees with nothing"
assert targets["kind"]["uar"] == 0.5 and targets["pain"]["uar"] == 0.5, "of the classes that occur"
assert abs(targets["flat"]["mae"]) < 1e-6 and targets["flat"]["r"] == 0.0
PY
report $? "constants"
finish
