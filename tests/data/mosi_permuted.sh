#!/bin/bash
# mosi_permuted.sh - on real data, labels dealt to other utterances teach nothing: the shipped JMT scores as
# the majority does. (Test speakers keep their own labels.)
. "$(dirname "$0")/../system.sh"
source=../shared/data/cmu_mosi_utt
[ -d $source ] || skip "no $source"
command -v python3 >/dev/null || skip "python3 is not installed"

"$jmt" shard mosi --source $source --out "$work/mosi" >"$work/stdout" 2>"$work/stderr"
report $? "import"
run 2 train configs/mosi/jmt.yaml --set data.path="$work/mosi" --set data.permute_labels=true \
    --set model.dim=64 --set model.ff=64 --run "$work/run"
report $? "training on permuted labels"
run 2 evaluate "$work/run" --split test --json
cat >"$work/judge.py" <<'PY'
import json, sys
told = json.load(open(sys.argv[1]))
binary, score = told["targets"]["binary"], told["targets"]["score"]
print("# accuracy %.4f, CCC %.4f" % (binary["accuracy"], score["ccc"]))
sys.exit(not (binary["n"] == 752 and binary["accuracy"] <= 0.66 and abs(score["ccc"]) < 0.1))
PY
check "accuracy at most 0.66, |CCC| below 0.1" python3 "$work/judge.py" "$work/stdout"
finish
