"""timeline.py FILE RANKS [NAME=COUNT...]: is FILE a timeline of `jmt train --profile` with these ranks, do its slices
lie in one another, and has each rank the slices NAME so often (0: at least once)? What is wrong is said, a line each.
"""
import json
import sys

PARTS = ["wait for data", "forward", "loss", "backward", "finish reduction", "loss and norm", "update", "share weights",
         "check"]
wrong = []


def slices_of(events):
    tracks = {}
    for event in events:
        if event["ph"] == "X":
            tracks.setdefault((event["pid"], event["tid"]), []).append(event)
    return tracks


def nest(track, events):
    """Each slice lies in the one that is open, or behind it; in whole nanoseconds."""
    opened = []
    for event in events:
        begin, end = round(1e3 * event["ts"]), round(1e3 * (event["ts"] + event["dur"]))
        if begin < 0 or end < begin:
            wrong.append(f"{track}: {event['name']} from {begin} to {end}")
        while opened and opened[-1] <= begin and not (begin == end == opened[-1]):
            opened.pop()
        if opened and end > opened[-1]:
            wrong.append(f"{track}: {event['name']} at {begin} ends {end - opened[-1]} ns behind what it is in")
        opened.append(end)


def steps_have_parts(rank, events):
    """The parts of a step, in their order, and nothing of a step outside of it."""
    for step in (e for e in events if e["name"] == "step"):
        end = step["ts"] + step["dur"]
        inside = [e["name"] for e in events if step["ts"] <= e["ts"] and e["ts"] + e["dur"] <= end + 1e-3]
        found = [name for name in inside if name in PARTS]
        if found != PARTS:
            wrong.append(f"rank {rank}: step {step['args']['step']} has {found}")


def buckets(events, ranks):
    """Every bucket that begins ends, later, on as many ranks."""
    began = {}
    for event in events:
        key = (event.get("id"), event["pid"])
        if event["ph"] == "b":
            began.setdefault(key, []).append(event["ts"])
        elif event["ph"] == "e" and not (began.get(key) and began[key].pop() <= event["ts"]):
            wrong.append(f"{event['name']} ends before it begins")
    found = len({pid for _, pid in began})
    if any(began.values()) or found != ranks:
        wrong.append(f"buckets of {found} ranks")


def rows(names, events):
    """A GPU's exchange, tree and gathering of a bucket, in this order, step after step."""
    for pid in names:
        mine = {}
        for event in sorted((e for e in events if e["pid"] == pid and e["ph"] == "b"), key=lambda e: e["ts"]):
            mine.setdefault(event["id"], []).append(event["name"].split(" bucket ")[0])
        for found in mine.values():
            if found != ["all-to-all", "tree", "all-gather"] * (len(found) // 3):
                wrong.append(f"{names[pid]}: a bucket's row is {found}")


def main():
    path, ranks = sys.argv[1], int(sys.argv[2])
    with open(path, encoding="utf-8") as file:
        timeline = json.load(file)
    events, other = timeline["traceEvents"], timeline["otherData"]
    names = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events
               if e["ph"] == "M" and e["name"] == "thread_name"}
    if [name.split(" on ")[0] for _, name in sorted(names.items())] != [f"rank {r}" for r in range(ranks)]:
        wrong.append(f"processes {names}")
    if other["ranks"] != ranks or not 0 <= other["clock_accuracy_us"] < 1e6 or (ranks == 1) != (
            other["clock_accuracy_us"] == 0):
        wrong.append(f"{other}")
    tracks = slices_of(events)
    for track, found in tracks.items():
        nest(threads.get(track), found)
    for pid in names:
        main_thread = [found for track, found in tracks.items() if track[0] == pid and threads[track] == "main"]
        if len(main_thread) != 1:
            wrong.append(f"{names[pid]}: {len(main_thread)} main threads")
            continue
        steps_have_parts(pid - 1, main_thread[0])
        all_names = [e["name"] for track, found in tracks.items() if track[0] == pid for e in found]
        all_names += [threads[track] for track in tracks if track[0] == pid]
        all_names += [e["name"] for e in events if e["ph"] == "b" and e["pid"] == pid]
        all_names += [e["args"]["operation"] for e in main_thread[0] if "operation" in e.get("args", {})]
        for wanted in sys.argv[3:]:
            name, count = wanted.rsplit("=", 1)
            if all_names.count(name) != int(count) and (int(count) > 0 or name not in all_names):
                wrong.append(f"{names[pid]}: {all_names.count(name)} times {name}, not {count}")
    alone = "device" in threads.values() and ranks == 1 # between GPUs, by their own time
    buckets(events, 0 if alone else ranks)
    if "device" in threads.values():
        rows(names, [e for e in events if e["ph"] in "be"])
    for line in wrong[:20]:
        print(f"# {line}")
    sys.exit(1 if wrong else 0)


main()
