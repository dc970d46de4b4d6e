#!/bin/bash
# submission.sh - a value for every frame of every recording: between steps in parts, with as many shifts as a step has
# frames each frame predicted once, smoothed in order of time; also of recordings without a label; the same bytes on any
# number of ranks. Plain code makes the same of the predictions of single evaluations (data.shift), and their scores.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

import() { # import NAME: the features in $work/NAME.csv as data
    "$jmt" shard features --source "$work/$1.csv" --out "$work/$1" --set header=0 >"$work/stdout" 2>"$work/stderr"
}
python3 tests/golden/labelled.py "$work/every.csv"
sed -i 's/^nan$/0.5/' "$work"/every.csv/*-label-level.csv && import every
report $? "recordings with a label at each frame"
cp -r "$work/every.csv" "$work/none.csv"
sed -i 's/^.*$/nan/' "$work"/none.csv/r[0-9]-0-label-level.csv && import none
report $? "the same, half of most people's recordings without any label"

# 10 frames a second, 2.5 steps: 4 frames are a step. One value, so that none has classes.
cat >"$work/level.yaml" <<YAML
$(sed '/^targets:/,$d' tests/golden/labelled.yaml)
targets: {level: {loss: ccc}}
YAML
level=("$work/level.yaml" --set data.rate_hz=2.5 --set data.window=6 --set epochs=2)
run 1 train "${level[@]}" --set "data.path=$work/every" --run "$work/run"
report $? "a model of steps of 4 frames"
submit() { # submit NAME RANKS ARGUMENTS...: NAME.txt
    run "$2" evaluate "$work/run" --submission "$work/$1.txt" "${@:3}"
}
for shift in 0 0.25 0.5 0.75; do
    run 1 evaluate "$work/run" --set data.shift=$shift --predictions "$work/shift-$shift.csv"
    report $? "an evaluation with data.shift=$shift"
done
cat >"$work/plain.py" <<'PY'
import csv, glob, math, sys
work, name, shifts, width, data = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
points = {}
for i in range(shifts):
    for row in csv.DictReader(open(f"{work}/shift-{i / shifts:g}.csv")):
        points.setdefault(row["recording"], []).append((4 * (int(row["step"]) + i / shifts), float(row["prediction"])))
rows = list(csv.reader(open(f"{work}/{name}.txt")))
assert rows[0] == ["image_location", "level"], rows[0]
told, order = {}, []
for image, value in rows[1:]:
    recording, file = image.rsplit("/", 1)
    told.setdefault(recording, []).append(float(value))
    assert file == f"{len(told[recording]):05d}.jpg", image
assert set(told) == set(points) and len(told) > 2
for recording, values in told.items():
    frames = sum(1 for _ in open(f"{work}/{data}.csv/{recording}-label-level.csv"))
    assert len(values) == frames, (recording, len(values), frames)
    line = sorted(points[recording])
    if shifts == 4:
        assert [p for p, _ in line] == list(range(frames)), "a frame is not predicted exactly once"
    x = [v for _, v in line]
    if width > 1:
        at = lambda k: x[min(max(k, 0), len(x) - 1)]
        x = [math.fsum(at(i - width // 2 + k) for k in range(width)) / width for i in range(len(x))]
    for frame, value in enumerate(values):
        before = [i for i, (p, _) in enumerate(line) if p <= frame][-1:] or [0]
        a = before[0]
        b = min(a + 1, len(line) - 1)
        part = (frame - line[a][0]) / (line[b][0] - line[a][0]) if b > a and frame > line[a][0] else 0.0
        want = (1 - part) * x[a] + part * x[b]
        assert abs(value - want) < 1e-6, (recording, frame, value, want)  # six decimals
PY
plain() { python3 "$work/plain.py" "$work" "$@" 2>"$work/stderr"; }
for shifts in 1 2 4; do
    submit s$shifts 1 --shifts $shifts
    report $? "--shifts $shifts"
    check "--shifts $shifts: what plain code makes of the evaluations" plain s$shifts $shifts 0 every
    submit smooth 1 --shifts $shifts --set targets.level.smooth=5
    check "--shifts $shifts: smoothed over 5 predictions" plain smooth $shifts 5 every
done
submit s0 1
check "no --shifts is 1" cmp "$work/s0.txt" "$work/s1.txt"
for ranks in 2 3; do
    submit r$ranks $ranks --shifts 4
    check "R=$ranks: the bytes of R=1" cmp "$work/r$ranks.txt" "$work/s4.txt"
done
submit none 2 --shifts 4 --data "$work/none"
check "recordings without any label: the same values" cmp "$work/none.txt" "$work/s4.txt"
fails "no shifts" 2 "--shifts" 2 evaluate "$work/run" --submission "$work/no.txt" --shifts 0

# Windows without a label: predicted and not scored, so that a filter has no gap there.
for every in false true; do
    run 1 evaluate "$work/run" --json --data "$work/none" --set evaluation.every_window=$every \
        --predictions "$work/windows-$every.csv"
    report $? "evaluation.every_window=$every"
    cp "$work/stdout" "$work/windows-$every.json"
done
check "evaluation.every_window: the same predictions of labels" cmp "$work/windows-false.csv" "$work/windows-true.csv"
python3 - "$work/windows-false.json" "$work/windows-true.json" <<'PY'
import json, sys
a, b = (json.load(open(path)) for path in sys.argv[1:])
assert a["metrics"] == b["metrics"] and a["n"] == b["n"] and a["n_invalid"] < b["n_invalid"]
PY
report $? "the same scores, and more steps without a label"

# Scores of all frames that have a label, by the same values; and as published code counts those that have none.
cat >"$work/frames.py" <<'PY'
import csv, json, math, sys
sys.path.insert(0, "tests/mpi")
from scores import ccc
work, told, data, width, parity = sys.argv[1], json.load(open(sys.argv[2])), sys.argv[3], int(sys.argv[4]), sys.argv[5:]
x = {}
for i in range(4):
    for row in csv.DictReader(open(f"{work}/shift-{i / 4:g}.csv")):
        x[row["recording"], 4 * int(row["step"]) + i] = float(row["prediction"])
parts, unlabelled = [], 0
for name in sorted({name for name, _ in x}):
    labels = [float(line) for line in open(f"{work}/{data}.csv/{name}-label-level.csv")]
    line = [x[name, f] for f in range(len(labels))]
    unlabelled += sum(map(math.isnan, labels))
    if parity:
        line = [0.0 if math.isnan(y) else v for v, y in zip(line, labels)]
        labels = [0.0 if math.isnan(y) else y for y in labels]
    at = lambda k: line[k] if 0 <= k < len(line) else 0.0 if parity else line[min(max(k, 0), len(line) - 1)]
    if width > 1:
        line = [math.fsum(at(i - width // 2 + k) for k in range(width)) / width for i in range(len(line))]
    parts.append([(v, y) for v, y in zip(line, labels) if not math.isnan(y)])
pairs = [pair for part in parts for pair in part]
level = told["targets"]["level"]
each = [ccc(part)[0] for part in parts if len(part) > 1]
want = {"ccc_frames": ccc(pairs)[0], "ccc_per_sequence_frames": sum(each) / len(each),
        "rmse_frames": math.sqrt(math.fsum((v - y) ** 2 for v, y in pairs) / len(pairs))}
for name, value in want.items():
    assert abs(level[name] - value) < 1e-6, (name, level[name], value)
assert told["metrics"]["ccc_frames"] == level["ccc_frames"] != level["ccc"]
assert (unlabelled > 0) == (data == "none") and (level["n_invalid"] == 0) == (data == "every" or bool(parity))
PY
frames() { # frames TEXT DATA WIDTH parity|'' RANKS
    local sets=()
    [ -z "$4" ] || sets=(--set parity.unlabelled_as_right=true --set evaluation.every_window=true
                         --set evaluation.smooth_edges=constant)
    run "$5" evaluate "$work/run" --shifts 4 --data "$work/$2" --set targets.level.smooth=$3 --json "${sets[@]}" &&
        cp "$work/stdout" "$work/frames.json" &&
        python3 "$work/frames.py" "$work" "$work/frames.json" "$2" "$3" $4 2>"$work/stderr"
    report $? "$1"
}
frames "all frames are scored" every 0 '' 1
frames "frames that have a label are scored, smoothed as one" none 5 '' 1
frames "parity.unlabelled_as_right: frames without a label are 0 against 0" none 5 parity 1
cp "$work/frames.json" "$work/parity.json"
frames "the same on two ranks" none 5 parity 2
check "R=2: the bytes of R=1" cmp "$work/frames.json" "$work/parity.json"
check "and its row says so" grep -q '"marks": ".*PARITY: UNLABELLED STEPS COUNT AS RIGHT' "$work/parity.json"
fails "a submission of zeros" 2 "--submission: parity.unlabelled_as_right" 1 evaluate "$work/run" \
    --submission "$work/no.txt" --set parity.unlabelled_as_right=true --set evaluation.every_window=true

# Classes: of a frame that is predicted the class that an evaluation says, between two that agree theirs.
classes=(tests/golden/labelled.yaml --set "data.path=$work/every" --set data.rate_hz=2.5 --set data.window=6)
run 1 train "${classes[@]}" --set targets.pain.threshold=0.4 --run "$work/classes"
report $? "a model of classes, yes or no, and a value"
for shift in 0 0.25 0.5 0.75; do
    run 1 evaluate "$work/classes" --set data.shift=$shift --predictions "$work/class-$shift.csv" ||
        report 1 "shift $shift"
done
cat >"$work/classes.py" <<'PY'
import csv, sys
work, name, shifts = sys.argv[1], sys.argv[2], int(sys.argv[3])
names = ["kind", "pain", "tired", "level"]
said = {}
for i in range(shifts):
    for row in csv.DictReader(open(f"{work}/class-{i / shifts:g}.csv")):
        place = 4 * int(row["step"]) + 4 * i // shifts
        said.setdefault((row["recording"], row["name"]), {})[place] = float(row["prediction"])
rows = list(csv.reader(open(f"{work}/{name}.txt")))
assert rows[0] == ["image_location"] + names, rows[0]
checked = {n: set() for n in names}
for image, *cells in rows[1:]:
    recording, file = image.rsplit("/", 1)
    frame = int(file[:5]) - 1
    for target, cell in zip(names, cells):
        points, every = said[recording, target], 4 // shifts
        around = [points.get(frame // every * every), points.get(-(-frame // every) * every)]
        assert (target == "level") == ("." in cell), cell
        if None in around:
            pass # no label there, so no line among the predictions
        elif target == "level":
            assert min(around) - 1e-6 <= float(cell) <= max(around) + 1e-6
        elif around[0] == around[1]:
            assert int(cell) == around[0], (image, target, cell, around)
            checked[target].add(cell)
        elif target != "kind":
            assert cell in ("0", "1")
assert checked["kind"] >= {"0", "1"} and checked["pain"] == {"0", "1"}, checked
PY
for shifts in 1 4; do
    run 2 evaluate "$work/classes" --submission "$work/class.txt" --shifts $shifts --json
    report $? "classes, --shifts $shifts"
    check "classes, --shifts $shifts: those of the evaluations" python3 "$work/classes.py" "$work" class $shifts
done
check "frames of values are scored, those of classes not" python3 -c 'import json, sys
t = json.load(open(sys.argv[1]))["targets"]
sys.exit([n for n in t if any("frames" in m for m in t[n])] != ["level"])' "$work/stdout"
run 1 evaluate "$work/classes" --submission "$work/sure.txt" --set targets.pain.threshold=0.999999
[ "$(cut -d, -f3 "$work/sure.txt" | sort -u | tr '\n' ' ')" = "0 pain " ]
report $? "a threshold decides there, too"
sed '/^targets:/,$d' tests/golden/labelled.yaml >"$work/kind.yaml"
echo 'targets: {kind: {loss: cross_entropy, classes: 3, class_names: [calm, glad, sad]}}' >>"$work/kind.yaml"
run 1 train "$work/kind.yaml" --set "data.path=$work/every" --run "$work/kind" --steps 1
run 1 evaluate "$work/kind" --submission "$work/kind.txt"
check "of one target with class_names the first line has these" \
    same "$(head -n 1 "$work/kind.txt")" "image_location,calm,glad,sad"
grep -Eq '^[^,]*/00002.jpg,[012]$' "$work/kind.txt"
report $? "and each other line one class"
fails "names that are too few" 2 "targets.kind.class_names has 2 names, and there are 3 classes" 1 \
    evaluate "$work/kind" --submission "$work/no.txt" --set "targets.kind.class_names=[calm, glad]"
fails "nothing to score by frame" 2 "all targets have classes; add --submission FILE" 2 evaluate "$work/kind" --shifts 2
finish
