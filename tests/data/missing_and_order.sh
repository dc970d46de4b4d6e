#!/bin/bash
# missing_and_order.sh - recordings that lack a modality wholly, in part, or all of them: every model learns from
# them and stays finite, also with modalities hidden in training; and the order in which the recordings are listed
# changes neither a prediction nor a metric.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

cat >"$work/make.py" <<'PY'
import math, os, random, sys
root, draw = sys.argv[1], random.Random(5)
rows = []
for number in range(24):
    name, steps = "r%02d" % number, 20 + number % 7
    signal = [math.sin(0.5 * t + number) for t in range(steps)]
    for modality, dim in (("face", 4), ("voice", 3)):
        # r0, r3, ... have no voice; r1, r4, ... lack a stretch of their face; r5, r11, ... have nothing at all
        whole = number % 6 == 5 or (modality == "voice" and number % 3 == 0)
        gap = range(4, 11) if modality == "face" and number % 3 == 1 else ()
        path = "%s-%s.csv" % (name, modality)
        with open(os.path.join(root, path), "w") as file:
            for t in range(steps):
                lost = whole or t in gap
                file.write(",".join("" if lost else "%.4f" % (signal[t] * (k + 1) + draw.gauss(0, 0.3))
                                    for k in range(dim)) + "\n")
        rows.append("%s,p%d,,%s,5,%s" % (name, number // 2, modality, path))
    with open(os.path.join(root, name + "-y.csv"), "w") as file:
        file.writelines("%.4f\n" % y for y in signal)
    rows.append("%s,p%d,,label:y,5,%s-y.csv" % (name, number // 2, name))
header = "recording,subject,group,modality,rate_hz,path\n"
if sys.argv[2] == "shuffled":
    draw.shuffle(rows)
open(os.path.join(root, "manifest.csv"), "w").write(header + "\n".join(rows) + "\n")
PY
for order in listed shuffled; do
    mkdir "$work/$order-raw"
    python3 "$work/make.py" "$work/$order-raw" $order
    "$jmt" shard features --source "$work/$order-raw" --out "$work/$order" >"$work/stdout" 2>"$work/stderr"
    report $? "features, $order"
done

cat >"$work/model.yaml" <<'YAML'
batch: 8
virtual_shards: 4
epochs: 12
model: {dim: 8, ff: 8, heads: 2, head_hidden: 8}
data: {window: 8}
split: {valid_fraction: 0.25, test_fraction: 0}
optimizer: {name: adam, learning_rate: 0.01}
modalities: {face: {}, voice: {}}
targets: {y: {loss: mse}}
YAML
train() { # train NAME RANKS ARGUMENTS...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" train "$work/model.yaml" --set data.path="$work/listed" --run "$work/$name" "$@"
}
falls() { # falls RUN: every loss is finite, and the last epoch's are below the first's
    python3 - "$work/$1/metrics.jsonl" <<'PY'
import json, math, sys
losses = [line["loss"] for line in map(json.loads, open(sys.argv[1])) if "step" in line and "lr" in line]
quarter = len(losses) // 4
first, last = sum(losses[:quarter]) / quarter, sum(losses[-quarter:]) / quarter
print("# loss %.4f, then %.4f over %d steps" % (first, last, len(losses)))
sys.exit(not (quarter > 4 and all(map(math.isfinite, losses)) and last < first))
PY
}
# Everybody as the part train: a --split test of people who were trained on would be refused.
evaluate() { # evaluate RUN DATA NAME RANKS ARGUMENTS...: sorted predictions without aliases, which are drawn
    local name=$1 data=$2 out=$3 ranks=$4
    shift 4
    run "$ranks" evaluate "$work/$name" --data "$work/$data" --split train --json "$@" \
        --set split.valid_fraction=0 --predictions "$work/raw.csv" &&
        grep -vE '^ *"(data|data_path|marks)":' "$work/stdout" >"$work/$out.json" && # another import: other data
        cut -d, -f1,3- "$work/raw.csv" | LC_ALL=C sort >"$work/$out.csv"
}
all_finite() { # all_finite CSV: every label of the data once, with a number
    awk -F, '$1 != "recording" { n++; if ($5 !~ /^-?[0-9.]+(e-?[0-9]+)?$/) bad = 1 }
             END { exit !(n == 546 && !bad) }' "$1"
}

for form in jmt jmt,joint=mlp,missing=learned,normalize=layernorm,attn_form=paper_literal \
    jmt_no_joint mt concat concat_att concat_encoder jca rjcma lfan can decision unimodal,modalities=voice; do
    settings=()
    IFS=, read -ra words <<<"$form"
    for word in "${words[@]:1}"; do
        settings+=(--set "model.$word")
    done
    name=${form//[,=]/-}
    [ "${words[0]}" = unimodal ] || settings+=(--set model.modality_dropout=0.3)
    train "$name" 1 --set "model.name=${words[0]}" "${settings[@]}"
    report $? "$form: trained with missing modalities"
    check "$form: the loss falls and stays finite" falls "$name"
    evaluate "$name" listed "$name-1" 1 --set backend=ref
    check "$form: every labelled step is scored, with a finite prediction" all_finite "$work/$name-1.csv"
    evaluate "$name" shuffled "$name-s" 1 --set backend=ref
    check "$form: in another order the same predictions" cmp "$work/$name-1.csv" "$work/$name-s.csv"
    check "$form: and metrics" cmp "$work/$name-1.json" "$work/$name-s.json"
done
# The voice lacks as a whole: refused, or masked everywhere where that is said, and then the recordings that never had
# a voice are predicted as before.
mkdir "$work/face-raw"
cp "$work/listed-raw"/*.csv "$work/face-raw"
grep -v ',voice,' "$work/listed-raw/manifest.csv" >"$work/face-raw/manifest.csv"
"$jmt" shard features --source "$work/face-raw" --out "$work/face" >"$work/stdout" 2>"$work/stderr"
report $? "features without a voice"
fails "jmt without any voice is refused" 2 'no modality "voice", only: face; .*data.missing=mask' 1 \
    evaluate "$work/jmt" --data "$work/face" --split train --set split.valid_fraction=0
for name in jmt concat decision; do
    evaluate $name face $name-f 1 --set backend=ref --set data.missing=mask
    check "$name, voice masked everywhere: every step scored, finite" all_finite "$work/$name-f.csv"
    grep -q 'no modality "voice"; it is masked everywhere' "$work/stderr"
    report $? "$name: a line says so"
    for file in 1 f; do grep -E '^r(00|03|06|09),' "$work/$name-$file.csv" >"$work/voiceless-$file"; done
    check "$name: those without a voice as before" cmp "$work/voiceless-1" "$work/voiceless-f"
    cmp -s "$work/$name-1.csv" "$work/$name-f.csv"
    check "$name: the others otherwise" [ $? = 1 ]
done
evaluate jmt face jmt-f3 3 --set backend=ref --set data.missing=mask
check "jmt, voice masked, on 3 ranks: predictions" cmp "$work/jmt-f.csv" "$work/jmt-f3.csv"
evaluate jmt shuffled jmt-3 3 --set backend=ref
check "jmt on 3 ranks, in another order: predictions" cmp "$work/jmt-1.csv" "$work/jmt-3.csv"
check "and metrics" cmp "$work/jmt-1.json" "$work/jmt-3.json"
finish
