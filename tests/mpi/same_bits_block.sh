#!/bin/bash
# same_bits_block.sh - shuffle: block is one order for every number of ranks, also after a kill and on other
# ranks; it is what `jmt plan --order` says, and another one than global.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"
make_data "$work/files" shards=11
block=(--set data.path="$work/files" --set batch=30 --set virtual_shards=10 --set shuffle=block
       --set data.shuffle_window=4 --set checkpoint.every_steps=2)
go() { # go NAME RANKS ARGUMENTS...
    local name=$1 ranks=$2
    shift 2
    run "$ranks" train "${tiny[@]}" "${block[@]}" --run "$work/$name" --steps 8 "$@"
}
for ranks in 1 2 3 5; do
    go "r$ranks" $ranks
    hash_of "$work/r$ranks" >>"$work/hashes"
done
[ "$(wc -l <"$work/hashes")" = 4 ] && [ "$(sort -u "$work/hashes" | wc -l)" = 1 ]
report $? "R = 1 2 3 5 have one hash"
whole=$(hash_of "$work/r1")
other() { # other TEXT ARGUMENTS...: has another hash
    local text=$1
    shift
    rm -rf "$work/other"
    go other 1 "$@"
    [ -n "$(hash_of "$work/other")" ] && [ "$(hash_of "$work/other")" != "$whole" ]
    report $? "$text has another hash"
}
other "another window" --set data.shuffle_window=9
other "another seed" --set seed=5
block+=(--set shuffle=global --set data.shuffle_window=1024)
other "global"
block=("${block[@]:0:${#block[@]}-4}")

# In the middle of an epoch (of 2 or 3 batches), by a kill and by an end.
JMT_FAULT=kill:0:6 go killed 2
report $((! $?)) "a rank is killed before step 6"
go killed 5 --resume auto
check "gone on with on 5 ranks: the same hash" same "$(hash_of "$work/killed")" "$whole"
go ended 3 --steps 3
go ended 1 --resume auto
check "3 steps on 3 ranks, the rest on 1: the same hash" same "$(hash_of "$work/ended")" "$whole"

go shards 1 --steps 3
fails "other virtual shards would be another order" 2 'virtual_shards was 10 and is 6' 2 train \
    "${tiny[@]}" "${block[@]}" --set virtual_shards=6 --run "$work/shards" --steps 8 --resume auto

# The order, as the program says it.
cat >"$work/order.py" <<'PY'
import json, subprocess, sys
def plan(epoch, *more):
    return json.loads(subprocess.check_output(
        [sys.argv[1], "plan", *sys.argv[2:], *more, "--order", str(epoch), "--json"]))
failures = 0
def check(number, text, good):
    global failures
    failures += not good
    print("# " + ("" if good else "NOT ") + text)
plans = [plan(epoch) for epoch in range(4)]
file = {s["id"]: s["file"] for s in plans[0]["samples"]}
count, batch, shards = len(file), 30, 10
check(1, "several files", len(set(file.values())) >= 5)
check(2, "each sample once", all(sorted(p["order"]) == list(range(count)) for p in plans))
check(3, "each epoch another order", len({str(p["order"]) for p in plans}) == 4)
def pairs(order):
    return len({(file[s], i % batch // (batch // shards)) for i, s in enumerate(order)})
most = len(set(file.values())) + shards
check(4, "few pairs of a file and a shard: %s, at most %d" % ([pairs(p["order"]) for p in plans], most),
      all(pairs(p["order"]) <= most for p in plans))
wide = plan(0, "--set", "shuffle=global", "--set", "data.shuffle_window=1024")
check(5, "global has more: %d" % pairs(wide["order"]), pairs(wide["order"]) > 1.3 * most)
sys.exit(failures > 0)
PY
python3 "$work/order.py" "$jmt" "${tiny[@]}" "${block[@]}"
report $? "jmt plan --order: a permutation an epoch, few files at a time"
finish
