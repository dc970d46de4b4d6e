#!/bin/bash
# checkpoint_hash.sh - the hash of a checkpoint is what an outsider computes from its export.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

cat >"$work/hash.py" <<'PY'
import hashlib, json, struct, sys
data = open(sys.argv[1], "rb").read()
length = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + length])
metadata = header.pop("__metadata__")
body = data[8 + length:]
def full(name):
    return name if name.startswith("optimizer/") else "weights/" + name
digest = hashlib.sha256()
for name in sorted(header, key=lambda n: full(n).encode()):
    t = header[name]
    begin, end = t["data_offsets"]
    digest.update(full(name).encode() + b"\0" + t["dtype"].encode() + b"\0" +
                  ",".join(map(str, t["shape"])).encode() + b"\0" + body[begin:end])
bare = sorted(n for n in header if not n.startswith("optimizer/"))
states = sorted(n for n in header if n.startswith("optimizer/"))
assert len(states) == len(bare) * int(sys.argv[2]), "states"
assert all(n.split("/", 2)[2] in bare for n in states), "names"
if "creation_order" in metadata:
    order = metadata["creation_order"]
    order = json.loads(order) if order.startswith("[") else order.split(",")
    assert sorted(order) == bare, "creation_order"
print(digest.hexdigest())
PY
for pair in "adamw 2" "adam 2" "sgd 1"; do
    read -r optimizer states <<<"$pair"
    run 3 train "${tiny[@]}" --run "$work/$optimizer" --steps 3 --set optimizer.name=$optimizer
    "$jmt" export "$work/$optimizer" --out "$work/$optimizer.safetensors" --optimizer 2>"$work/stderr"
    check "$optimizer: the hash as computed from the export" same "$(hash_of "$work/$optimizer")" \
        "$(python3 "$work/hash.py" "$work/$optimizer.safetensors" "$states")"
done
check "64 hex digits alone" same "$("$jmt" inspect "$work/sgd" --hash | grep -cE '^[0-9a-f]{64}$')" 1
finish
