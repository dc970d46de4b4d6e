#!/bin/bash
# metrics.sh - metrics.jsonl: nobody computes for all, and every key is there.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

cat >"$work/look.py" <<'PY'
import json, sys
path, ranks, shards, batch = sys.argv[1], *map(int, sys.argv[2:5])
events = [json.loads(line) for line in open(path)]
steps = [e for e in events if e["event"] == "step"]
keys = """event step epoch loss lr grad_norm samples samples_per_s data_wait_ms reduce_ms
          reduce_exposed_ms rank_samples rank_flop rank_cpu_s rss_mb time_s""".split()
assert [e["step"] for e in steps] == list(range(1, len(steps) + 1)) and len(steps) == 11, "steps"
for e in steps:
    for key in keys:
        assert key in e, key
    for key in ("rank_samples", "rank_flop", "rank_cpu_s"):
        assert len(e[key]) == ranks, key
    assert sum(e["rank_samples"]) == e["samples"] > 0, "every sample is some rank's"
    assert 0 <= e["reduce_exposed_ms"] <= e["reduce_ms"] + 0.01, "exposed is a part"
    # Executed work: shards of batch / V samples each, V / R of them, so ranks differ by one shard at most.
    # The last batch of an epoch may be short: shards without samples are not computed.
    if e["samples"] == batch:
        one = sum(e["rank_flop"]) / shards
        assert one > 0 and max(e["rank_flop"]) - min(e["rank_flop"]) <= one * 1.000001, "flop"
        assert max(e["rank_flop"]) < sum(e["rank_flop"]), "one rank computes for all"
    held = [-(-samples * shards // batch) for samples in e["rank_samples"]]
    assert all(abs(f - h * one) <= 1e-6 * one for f, h in zip(e["rank_flop"], held)), "empty shards"
    if e["samples"] == batch:
        assert max(e["rank_samples"]) - min(e["rank_samples"]) <= batch // shards, "samples"
full = [e for e in steps if e["samples"] == batch]
assert len(steps) > len(full) >= 6, "full batches, and a short one"
for a, b in zip(steps, steps[1:]):
    assert all(y >= x > 0 for x, y in zip(a["rank_cpu_s"], b["rank_cpu_s"])), "cpu grows"
    assert b["time_s"] >= a["time_s"], "time grows"
cpu = [y - x for x, y in zip(steps[0]["rank_cpu_s"], steps[-1]["rank_cpu_s"])]
assert max(cpu) < steps[-1]["time_s"], "one thread a rank: not more CPU than time"
kinds = [e["event"] for e in events]
assert kinds[-1] == "end" and "valid" in kinds and "checkpoint" in kinds, "events"
for e in events:
    assert all(key in e for key in ("event", "step", "epoch", "time_s")), e["event"]
print("# CPU seconds by rank, waits excluded:", " ".join("%.3f" % c for c in cpu))
PY
for pair in "2 8" "3 8" "5 24"; do
    read -r ranks shards <<<"$pair"
    run "$ranks" train "${tiny[@]}" --run "$work/r$ranks" --steps 11 --set batch=24 \
        --set virtual_shards="$shards"
    check "R=$ranks, V=$shards: work is shared within one shard, all keys are there" \
        python3 "$work/look.py" "$work/r$ranks/metrics.jsonl" "$ranks" "$shards" 24
done
finish
