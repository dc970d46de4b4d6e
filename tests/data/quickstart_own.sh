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
    rows += ["%s,%s,,%s,%d,%s-%s.csv" % (name, person, what.replace(":face", ""), rate, name, what.split(":")[-1])
             for what, rate in (("permuted_face:face", 5), ("voice", 10), ("label:valence", 5), ("label:up", 5))]
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
check "an empty file is counted" says 'permuted_face: 1 of 20 files have no rows'
holds "majority, each modality, concat, jmt and its control over five seeds" "$work/own-out/summary.json" \
    '(list(m) == "majority permuted_face voice concat jmt".split() + ["jmt (labels permuted within person)"] and
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
face = m["permuted_face"]
sys.exit(not (m["voice"]["steps"] == 1600 and face["steps"] == 760 and face["dim"] == 2))' "$work/stdout"
fails "configurations are not written over" 2 'is there already; give another --out' 1 \
    config --for "$work/own-out/features" --out "$work/own-out/configs"
fails "--for alone" 2 '--for and --out go together' 1 config --for "$work/own-out/features"

# What is there of other settings or data is not taken for what is asked for.
refuses() { # refuses TEXT PATTERN ARGUMENTS...: exit 2 and one line
    local text=$1 pattern=$2
    shift 2
    quickstart "$@" >"$work/said"
    [ $? = 2 ] && [ "$(grep -c error "$work/stderr")" = 1 ] &&
        grep -q -- "quickstart: error: .*$pattern" "$work/stderr"
    report $? "$text: exit 2, one line"
}
own+=(--shard header=1 --shard first_frame=1)
cp "$work/own-out/summary.json" "$work/first.json"
check "a second call" quickstart "${own[@]}"
check "makes the same table" cmp "$work/first.json" "$work/own-out/summary.json"
refuses "another --set" "features-majority-seed0/.*: epochs was 2 and is 3; give another --out, or remove .*seed0" \
    "${own[@]}" --set epochs=3
refuses "another --shard" "imported by.*first_frame=1, now.*shards=3; give another --out, or remove " \
    "${own[@]}" --shard shards=3
sed -i 's/learning_rate: 1e-3/learning_rate: 1e-4/' "$common"
refuses "an edited configuration" "optimizer.learning_rate was 0.001 and is 0.0001; give another --out" "${own[@]}"
sed -i 's/learning_rate: 1e-4/learning_rate: 1e-3/' "$common"
sed -i 's/"data": "[0-9a-f]*"/"data": "0"/' "$work/own-out/features-jmt-seed1/evaluation.json"
refuses "other data" "features-jmt-seed1 was scored on other data; give another --out, or remove " "${own[@]}"
refuses "a configuration called like the control" "permuted.yaml is called like the control row" \
    "${own[@]}" --seeds "$(cp "$work/own-out/configs/jmt.yaml" "$work/own-out/configs/permuted.yaml")0"

# Configurations are there whole, or not at all; names of models are taken.
variant() { # variant NAME SED-OF-MANIFEST: $work/NAME, imported
    cp -r "$work/own" "$work/$1-raw"
    sed -i "$2" "$work/$1-raw/manifest.csv"
    run 1 shard features --source "$work/$1-raw" --out "$work/$1" --set header=1 --set first_frame=1
}
variant odd 's/,voice,/,1st,/'
fails "a name that a configuration cannot hold" 2 "'1st' cannot name one of the modalities" 1 \
    config --for "$work/odd" --out "$work/odd-configs"
check "leaves no half folder" [ "$(echo "$work"/odd-configs*)" = "$work/odd-configs*" ]
for name in mt concat_encoder permuted; do
    variant $name "s/,voice,/,$name,/"
    fails "a modality called $name" 2 "a modality is called $name, as a model or a control" 1 \
        config --for "$work/$name" --out "$work/$name-configs"
done
sed -i 's/^1$/2/' "$work"/own/*-up.csv
variant gap ''
run 1 config --for "$work/gap" --out "$work/gap-configs/"
grep -q 'target up: no training person has a label of class 1' "$work/stderr" &&
    grep -q '  up: {loss: cross_entropy, classes: 3}$' "$work/gap-configs/_common.yaml"
report $? "a class that nobody has: not balanced, and said"

check "Stress-Predict's layout, cross-validated" quickstart --data "$work/stress" --out "$work/stress-out" \
    --set epochs=1
check "a file that is cut off is counted" says 'S02/EDA.csv: its 98 samples cover 16 of the person.s 240 labelled'
refuses "cross-validated with another --set" "stress-predict-majority/.*: epochs was 1 and is 2; give another --out" \
    --data "$work/stress" --out "$work/stress-out" --set epochs=2
holds "ten models and the control row" "$work/stress-out/summary.json" 'len(m) == 11 and "clock" in m'
check "--all: the fusions of others, too" quickstart --data "$work/stress" --all --seeds 0,1 \
    --out "$work/stress-out" --set epochs=1
holds "fourteen models and the control row, two seeds" "$work/stress-out/summary.json" \
    'len(m) == 15 and {"lfan", "can", "jca", "rjcma"} < set(m) and s["seeds"] == [0, 1]'
check "intervals over people stand in the table" grep -q '| jca .* \[0\.[0-9]*, [01]\.[0-9]*\]' "$work/stdout"
refuses "--all of one's own data" "--all is for the data sets that configs/ has models for" --all \
    --data "$work/own" --out "$work/own-out"

raw=$root/build/tests/tools/raw_make # quickstart uses build/, too
if [ -x "$raw" ]; then
    "$raw" biovid "$work/pain"
    check "raw media: BioVid's layout" quickstart --data "$work/pain" --out "$work/pain-out" --seeds 0 \
        --shard size=16 --set epochs=1
    check "pictures are left out with a line" says 'video holds pictures and is left out'
    holds "its signals, concat, jmt" "$work/pain-out/summary.json" \
        'list(m)[:6] == "majority ecg emg gsr concat jmt".split()'
else
    skip_one "raw media: BioVid's layout" "built without the readers of raw media"
fi
finish
