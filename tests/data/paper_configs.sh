#!/bin/bash
# paper_configs.sh - a file for each published row or ablation: all of them are in configs/README.md with the number
# that the file names, are valid, and make a model; those of action units and expressions train.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

cat >"$work/judge.py" <<'PY'
import pathlib, re, sys
folders = ("affwild2", "biovid", "biovid_leaky_published")
files = {"%s/%s" % (f, p.name): p for f in folders for p in sorted(pathlib.Path("configs", f).glob("[a-z]*.yaml"))}
listed, bad = {}, []
for line in open("configs/README.md", encoding="utf-8"):
    row = re.match(r"\| `((?:%s)/[a-z0-9_]+\.yaml)` \| (.+) \| (.+) \|$" % "|".join(folders), line)
    if row:
        bad += ["%s is listed twice" % row[1]] if row[1] in listed else []
        listed[row[1]] = row[3]
bad += ["%s is not in configs/README.md" % name for name in files.keys() - listed.keys()]
bad += ["%s is no file" % name for name in listed.keys() - files.keys()]
for name in files.keys() & listed.keys():
    said = []
    for line in open(files[name], encoding="utf-8"):
        if not line.startswith("#"):
            break
        said.append(line.strip("# \n"))
    said = " ".join(said)
    numbers = re.findall(r"[0-9]+\.[0-9]+", listed[name])
    bad += ["%s does not name %s" % (name, n) for n in numbers if n not in said]
    if listed[name] == "none" and re.search(r"[0-9]\.[0-9]+ %|0\.[0-9]+ / 0\.[0-9]+", said):
        bad.append("%s names a number, and the list none" % name)
    if "leaky" in name and not ("LEAKY" in said and "by: leaky_published" in open(files[name]).read()):
        bad.append("%s is not loud" % name)
    if "leaky" not in name and "leaky_published" in open(files[name]).read():
        bad.append("%s hides the published folds" % name)
    if name.startswith("biovid/") and "leaky" in listed[name] and "share people" not in said:
        bad.append("%s does not say whose folds its number is of" % name)
print("\n".join("# " + line for line in sorted(bad)))
sys.exit(len(bad) > 0 or len(files) < 50)
PY
python3 "$work/judge.py" >"$work/told"
report $? "each file is listed with the number that it names, and each listed file is there"
grep . "$work/told"

for file in configs/affwild2/[a-z]*.yaml configs/biovid/[a-z]*.yaml configs/biovid_leaky_published/[a-z]*.yaml; do
    sets=()
    if [[ $file = configs/biovid* ]]; then # how wide signals are is for the data to say
        for signal in $("$jmt" config "$file" --json | python3 -c '
import json, sys
print(*({"gsr", "ecg", "emg"} & set(json.load(sys.stdin)["modalities"])))'); do
            sets+=(--set "modalities.$signal.dim=1")
        done
    fi
    run 1 plan "$file" "${sets[@]}" --json && python3 -c '
import json, sys
assert json.load(open(sys.argv[1]))["parameters"] > 1000' "$work/stdout" 2>>"$work/stderr"
    report $? "$file makes a model"
done

# What the challenge's other two tasks need, on features: their targets, losses and scores.
python3 - "$work/mine" <<'PY'
import os, random, sys
os.makedirs(sys.argv[1])
units = "AU1 AU2 AU4 AU6 AU7 AU10 AU12 AU15 AU23 AU24 AU25 AU26".split()
random.seed(1)
with open(sys.argv[1] + "/manifest.csv", "w") as manifest:
    manifest.write("recording,subject,group,modality,rate_hz,path\n")
    for r in range(12):
        x = [[random.gauss(0, 1) for _ in range(12)] for _ in range(64)]
        tables = {"video": [",".join("%.4f" % v for v in row) for row in x],
                  "audio": ["%.4f,%.4f" % (row[0] * 2, row[1] * 2) for row in x],
                  "label:expression": ["%d" % max(range(8), key=lambda k: row[k]) for row in x]}
        tables.update({"label:" + u: ["%d" % (row[i] > 0.5) for row in x] for i, u in enumerate(units)})
        for name, rows in tables.items():
            path = "%d-%s.csv" % (r, name.replace(":", "-"))
            open("%s/%s" % (sys.argv[1], path), "w").write("\n".join(["v,w" if name == "audio" else
                ",".join("f%d" % k for k in range(12)) if name == "video" else "y"] + rows) + "\n")
            manifest.write("r%d,p%d,,%s,1,%s\n" % (r, r, name, path))
PY
run 1 shard features --source "$work/mine" --out "$work/mine-data"
report $? "features with expressions and action units"
for task in expression:f1_macro action_units:f1_positive; do
    sets=(--set data.path="$work/mine-data" --set data.rate_hz=1 --set batch=8 --set model.dim=16 --set model.ff=16
          --set split.test_fraction=0.25 --set epochs=3)
    for modality in video audio; do
        sets+=(--set modalities.$modality.backbone=none --set modalities.$modality.clip=1
               --set modalities.$modality.reduce=max --set modalities.$modality.frozen=false)
    done
    sets+=(--set modalities.video.dilation=1)
    run 1 train configs/affwild2/${task%:*}.yaml "${sets[@]}" --run "$work/${task%:*}"
    report $? "configs/affwild2/${task%:*}.yaml trains"
    check "and is best in ${task#*:}" [ -e "$work/${task%:*}/checkpoints/best-${task#*:}" ]
    run 1 evaluate "$work/${task%:*}" --json
    python3 - "$work/stdout" ${task#*:} <<'PY'
import json, sys
told = json.load(open(sys.argv[1]))
assert len(told["targets"]) in (1, 12)
values = [target[sys.argv[2]] for target in told["targets"].values()]
assert abs(told["metrics"][sys.argv[2]] - sum(values) / len(values)) < 1e-12
PY
    report $? "its score is the mean of ${task#*:} over its targets"
done
finish
