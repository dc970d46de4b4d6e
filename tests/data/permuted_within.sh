#!/bin/bash
# permuted_within.sh - the control rows of permuted labels: dealt anew over all training people, or within each
# person; targets of a step stay together, and test people keep their own labels.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

labels() { # labels NAME SETTINGS...: what a model would learn from, and be tested on
    local name=$1 split
    shift
    run 1 train "${tiny[@]}" --set model.name=majority --run "$work/$name" "$@"
    for split in train valid test; do
        run 1 evaluate "$work/$name" --split $split --predictions "$work/$name-$split.csv"
    done
}
labels own
labels all --set data.permute_labels=true
labels within --set data.permute_labels=true --set data.permute_within=person
cat >"$work/judge.py" <<'PY'
import csv, sys
def read(name, split):
    steps = {}
    for r in csv.DictReader(open("%s/%s-%s.csv" % (sys.argv[1], name, split))):
        steps.setdefault((r["subject"], r["recording"], int(r["step"])), {})[r["name"]] = r["target"]
    return steps
def pairs(steps, person):
    return sorted((v.get("valence", ""), v.get("arousal", "")) for k, v in steps.items() if k[0] == person)
for split in ("train", "valid"):
    own, everybody, within = (read(name, split) for name in ("own", "all", "within"))
    people = sorted({k[0] for k in own})
    assert len(people) > 1 and own.keys() == everybody.keys() == within.keys()
    every = lambda steps: sorted(pair for person in people for pair in pairs(steps, person))
    assert every(own) == every(everybody) == every(within), "the same labels, in pairs"
    for person in people:
        assert pairs(own, person) == pairs(within, person), "a person's own"
        assert pairs(own, person) != pairs(everybody, person), "other people's"
        moved = [own[k] != within[k] for k in own if k[0] == person]
        assert sum(moved) > 0.8 * len(moved), "dealt anew"
assert read("own", "test") == read("all", "test") == read("within", "test"), "test people"
PY
check "labels are dealt within each person, or over all people" python3 "$work/judge.py" "$work"
grep -q '"row": "majority (labels permuted)"' "$work/all/manifest.json" &&
    grep -q '"row": "majority (labels permuted within person)"' "$work/within/manifest.json" &&
    grep -q '"row": "majority"' "$work/own/manifest.json"
report $? "a table calls them what they are"
finish
