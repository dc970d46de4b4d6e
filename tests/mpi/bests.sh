#!/bin/bash
# bests.sh - checkpoint.best: for each of its metrics a link to the checkpoint that was best in it, on any number of
# ranks and after a stop.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

# A large rate: the two targets are best at different times.
settings=("${tiny[@]}" --set epochs=8 --set optimizer.learning_rate=5e-2 --set checkpoint.every_steps=0
          --set checkpoint.keep=1 --set 'checkpoint.best=[valence.ccc, arousal.ccc, valence.mae]')
train() { run "$2" train "${settings[@]}" --run "$work/$1" "${@:3}"; } # train NAME RANKS ARGUMENTS...
links() { (cd "$work/$1/checkpoints" && for link in best-*; do echo "$link $(readlink "$link")"; done); }

for ranks in 1 3; do
    train r$ranks $ranks
    report $? "trained on $ranks"
done
check "R=3: the links of R=1" same "$(links r1)" "$(links r3)"
links r1 | sed 's/^/# /'
python3 - "$work/r1" $(links r1 | tr ' ' =) <<'PY'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1] + "/metrics.jsonl")]
valid = [e for e in events if e["event"] == "valid"]
told = dict(word.split("=") for word in sys.argv[2:])
of = lambda e, t, m: e["targets"][t][m]
first = lambda value, best: [e["step"] for e in valid if value(e) == best(map(value, valid))][0]
want = {"ccc": first(lambda e: e["metrics"]["ccc"], max),
        "valence.ccc": first(lambda e: of(e, "valence", "ccc"), max),
        "arousal.ccc": first(lambda e: of(e, "arousal", "ccc"), max),
        "valence.mae": first(lambda e: of(e, "valence", "mae"), min)}
assert told == {f"best-{k}": f"step-{v:08d}" for k, v in want.items()}, (told, want)
assert len(set(want.values())) > 1, "all best at once: says nothing"
PY
report $? "each link is the step that was best on validation people"
named=$(cd "$work/r1/checkpoints" && readlink best-* last | sort -u)
missing=$(cd "$work/r1/checkpoints" && for step in $named; do [ -d "$step" ] || echo "$step"; done)
check "what a link names is there" same "none $missing" "none "
check "besides, checkpoint.keep of them" \
    same "$(cd "$work/r1/checkpoints" && ls -d step-* | wc -l)" "$(($(echo "$named" | wc -l) + 1))"
train stopped 3 --steps 9
train stopped 2 --resume auto
check "after a stop: the same links" same "$(links r1)" "$(links stopped)"
train short 2 --steps 1
check "best of nothing is the last" \
    same "$(links short | cut -d' ' -f2 | sort -u)" "$(readlink "$work/short/checkpoints/last")"
fails "another list at resume" 2 'checkpoint.best' 2 train "${settings[@]}" --run "$work/stopped" --resume auto \
    --set 'checkpoint.best=[valence.ccc]'
finish
