#!/bin/bash
# quickstart_own.sh - quickstart on small folders in the layouts of `features` and of Stress-Predict: your own data
# from a manifest to the table, and the branch that cross-validates. Few epochs; the numbers mean nothing here.
. "$(dirname "${BASH_SOURCE[0]}")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

python3 - "$work" <<'PY'
import math, os, random, sys
work, draw = sys.argv[1], random.Random(3)

# Ten people, two recordings each: a face by an OpenFace-like table that counts from 1 (nothing was found in one
# file), a voice as pandas writes an array, a rating and a class of one column.
own = work + "/own"
os.makedirs(own)
rows = ["recording,subject,group,modality,rate_hz,path"]
for number in range(20):
    name, steps = "r%02d" % number, 40
    y = [math.sin(0.3 * t + number) for t in range(steps)]
    with open("%s/%s-face.csv" % (own, name), "w") as file:
        file.write("frame, AU01_r, AU12_r\n")
        for t in range(steps) if number != 7 else []:
            file.write("%d, %.4f, %.4f\n" % (t + 1, y[t] + draw.gauss(0, 0.3), draw.gauss(0, 1)))
    with open("%s/%s-voice.csv" % (own, name), "w") as file:
        file.write("0,1,2\n")
        for t in range(2 * steps):
            file.write(",".join("%.4f" % (y[t // 2] * k + draw.gauss(0, 0.5)) for k in range(3)) + "\n")
    open("%s/%s-valence.csv" % (own, name), "w").write("valence\n" + "".join("%.4f\n" % v for v in y))
    open("%s/%s-up.csv" % (own, name), "w").write("up\n" + "".join("%d\n" % (v > 0) for v in y))
    person = "P%d" % (number // 2)
    rows += ["%s,%s,,%s,%d,%s-%s.csv" % (name, person, what, rate, name, what.split(":")[-1])
             for what, rate in (("face", 5), ("voice", 10), ("label:valence", 5), ("label:up", 5))]
open(own + "/manifest.csv", "w").write("\n".join(rows) + "\n")

# Four people of Stress-Predict, four minutes each, the wrist band from 9 s earlier on; one EDA.csv is cut off.
stress = work + "/stress"
os.makedirs(stress + "/Processed_data")
table = ["Participant,HR,respr,Time(sec),Label"]
for person in range(2, 6):
    begin = 1000000 * person
    for t in range(240):
        label = t // 60 % 2
        table.append("%d,%.1f,%.2f,%d,%d" % (person, 70 + 20 * label + draw.gauss(0, 3), 12 + draw.gauss(0, 1),
                                             begin + t, label))
    raw = "%s/Raw_data/S%02d" % (stress, person)
    os.makedirs(raw)
    for name in ("EDA", "TEMP"):
        values = "".join("%.3f\n" % draw.gauss(1, 0.2) for _ in range(98 if person == 2 and name == "EDA" else 4 * 249))
        open("%s/%s.csv" % (raw, name), "w").write("%d.0\n4.0\n%s" % (begin - 9, values))
open(stress + "/Processed_data/Improved_All_Combined_hr_rsp_binary.csv", "w").write("\n".join(table) + "\n")
PY

quickstart() { # quickstart ARGUMENTS...: what it says goes to the log of this test
    launch/quickstart "$@" >"$work/stdout" 2>"$work/stderr"
    local code=$?
    sed 's/^/# /' "$work/stdout"
    return $code
}
holds() { # holds TEXT SUMMARY EXPRESSION: Python over s (summary.json) and its models m
    python3 -c 'import json, math, sys
s = json.load(open(sys.argv[1])); m = s["models"]
sys.exit(0 if eval(sys.argv[2]) else 1)' "$2" "$3"
    report $? "$1"
}
says() { grep -q -- "$1" "$work/stderr"; }

own=(--data "$work/own" --out "$work/own-out" --set epochs=2 --set data.prefetch=0)
quickstart "${own[@]}"
check "what is not guessed stops it with exit 2" [ $? = 2 ]
check "and says what to do" says 'r00-voice.csv:1: the first row reads 0,1,2.*--set header=1'
quickstart "${own[@]}" --shard header=1
check "frames that count from 1 as well" [ $? = 2 ]
check "with their remedy" says 'the frames of r00-face.csv begin at 1.*first_frame=1'
check "your own features" quickstart "${own[@]}" --shard header=1 --shard first_frame=1
check "an empty file is counted" says 'face: 1 of 20 files have no rows'
holds "majority, each modality, concat, jmt and its control over five seeds" "$work/own-out/summary.json" \
    '(list(m) == "majority face voice concat jmt".split() + ["jmt (labels permuted within person)"] and
      s["seeds"] == [0, 1, 2, 3, 4])'
holds "finite metrics" "$work/own-out/summary.json" \
    'all(math.isfinite(v) for r in m.values() for x in r.values() if isinstance(x, dict) for v in x.get("values", [])
         if v is not None)'
common=$work/own-out/configs/_common.yaml
check "a rating gets CCC" grep -q 'valence: {loss: ccc}' "$common"
check "classes get cross-entropy" grep -q 'up: {loss: cross_entropy, classes: 2, class_weights: balanced}' "$common"
run 1 inspect "$work/own-out/features" --json
check "no header and no frame 0 became a step" \
    python3 -c 'import json, sys; m = json.load(open(sys.argv[1]))["modalities"]
sys.exit(not (m["voice"]["steps"] == 1600 and m["face"]["steps"] == 760 and m["face"]["dim"] == 2))' "$work/stdout"
fails "configurations are not written over" 2 'has configurations; give another --out' 1 \
    config --for "$work/own-out/features" --out "$work/own-out/configs"
fails "--for alone" 2 '--for and --out go together' 1 config --for "$work/own-out/features"

check "Stress-Predict's layout, cross-validated" quickstart --data "$work/stress" --out "$work/stress-out" \
    --set epochs=1
check "a file that is cut off is counted" says 'S02/EDA.csv: its 98 samples cover 16 of the person.s 240 labelled'
holds "ten models and the control row" "$work/stress-out/summary.json" 'len(m) == 11 and "clock" in m'

raw=$root/build/tests/tools/raw_make # quickstart uses build/, too
if [ -x "$raw" ]; then
    "$raw" biovid "$work/pain"
    check "raw media: BioVid's layout" quickstart --data "$work/pain" --out "$work/pain-out" --seeds 0 \
        --shard size=16 --set epochs=1
    check "pictures are left out with a line" says 'video holds pictures, which no model takes yet'
    holds "its signals, concat, jmt" "$work/pain-out/summary.json" \
        'list(m)[:6] == "majority ecg emg gsr concat jmt".split()'
else
    skip_one "raw media: BioVid's layout" "built without the readers of raw media"
fi
finish
