#!/usr/bin/env bash
# What a run says of its validation is what `jmt evaluate` says of the same checkpoint and split: the
# same bits as long as attention is not folded, or where there is none to fold, else the same to rounding
# (docs/model.md). Whatever the number of ranks on either side.
. "$(dirname "${BASH_SOURCE[0]}")/../system.sh"

# agrees RUN RANKS LIMIT SETTINGS...: relative, over the loss and every metric of every target.
agrees() {
    local run=$1 ranks=$2 limit=$3
    shift 3
    run "$ranks" evaluate "$run"/checkpoints/best-ccc --split valid --json "$@" || return 1
    python3 - "$run/metrics.jsonl" "$work/stdout" "$limit" <<'PY'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
said = [event for event in events if event["event"] == "valid" and event["best"]][-1]
found, limit, apart = json.load(open(sys.argv[2])), float(sys.argv[3]), 0.0
pairs = [(said["loss"], found["loss"])]
for target, row in said["targets"].items():
    pairs += [(value, found["targets"][target][name]) for name, value in row.items()]
    assert row.keys() == found["targets"][target].keys()
for one, other in pairs:
    apart = max(apart, abs(one - other) / max(abs(one), 1.0))
print(f"# {len(pairs)} numbers, at most {apart:.2g} apart")
sys.exit(not (len(pairs) > 10 and apart <= limit))
PY
}

# A mean of some thousand numbers that differ by 1e-6 of their size and any sign.
folded=1e-6 unfolded=(--set evaluation.fold_attention=false)
for ranks in 1 2; do
    for model in jmt unimodal; do
        out=$work/$model-$ranks settings=("${tiny[@]:1}" --set model.name=$model --set epochs=3)
        [ $model = jmt ] || settings+=(--set 'model.modalities=[video]')
        run $ranks train "${tiny[0]}" "${settings[@]}" --run "$out"
        report $? "$model is trained on $ranks ranks"
    done
    for on in 1 2; do
        check "trained on $ranks, scored on $on, unfolded: same bits" \
            agrees "$work/jmt-$ranks" $on 0 "${unfolded[@]}"
        check "folded: the same to rounding" agrees "$work/jmt-$ranks" $on $folded
        check "nothing to fold: same bits" agrees "$work/unimodal-$ranks" $on 0
    done
done
finish
