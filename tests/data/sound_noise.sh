#!/bin/bash
# sound_noise.sh - sound made worse, from the WAV files to curves: muted is what an import of silent files gives, noise
# on the sound itself is a row of jmt robustness, models stand side by side, and a model may learn on either.
. "$(dirname "$0")/../system.sh"
make=${JMT_BUILD:-$root/build}/tests/tools/raw_make
[ -x "$make" ] || skip "built without the readers of raw media"
command -v python3 >/dev/null || skip "python3 is not installed"

# Twelve people, two seconds each, the tone as loud as the label has it; the same in silence.
python3 - "$work" <<'PY'
import array, math, os, sys, wave
for kind in ("loud", "silent"):
    place = os.path.join(sys.argv[1], kind)
    os.mkdir(place)
    rows = ["recording,subject,group,modality,rate_hz,path"]
    for r in range(12):
        y = [0.5 + 0.5 * math.sin(0.7 * i + r) for i in range(20)]
        sound = [int(20000 * y[i // 800] * math.sin(0.4 * i)) if kind == "loud" else 0 for i in range(16000)]
        with wave.open("%s/%d.wav" % (place, r), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(array.array("h", sound).tobytes())
        with open("%s/%d.csv" % (place, r), "w") as file:
            file.write("y\n" + "".join("%.6f\n" % v for v in y))
        with open("%s/eda%d.csv" % (place, r), "w") as file:
            file.write("eda\n" + "".join("%.6f\n" % (2 + math.cos(i + r)) for i in range(20)))
        rows += ["r%d,p%d,,audio:voice,,%d.wav" % (r, r, r), "r%d,p%d,,eda,10,eda%d.csv" % (r, r, r),
                 "r%d,p%d,,label:y,10,%d.csv" % (r, r, r)]
    with open(place + "/manifest.csv", "w") as file:
        file.write("\n".join(rows) + "\n")
PY
import() { # import NAME KIND SETTINGS...
    run 1 shard media --source "$work/$2" --out "$work/$1" "${@:3}"
    report $? "imported: $1"
}
import clean loud
import quiet silent
import noise20 loud --set noise_db=20
import noise-20 loud --set noise_db=-20
cat >"$work/model.yaml" <<YAML
batch: 8
virtual_shards: 4
model: {name: concat, dim: 16, head_hidden: 8}
data: {path: $work/clean, window: 10}
split: {test_fraction: 0.25, valid_fraction: 0.2}
optimizer: {name: adamw, learning_rate: 3e-3}
modalities: {voice: {dim: 64}, eda: {dim: 1}}
targets: {y: {loss: ccc}}
YAML
train() { # train NAME RANKS STEPS SETTINGS...
    run "$2" train "$work/model.yaml" --run "$work/$1" --steps "$3" "${@:4}"
}
train a 1 60
report $? "a model that hears"
train b 1 60 --set 'modalities.voice.corrupt=[muted:1]'
report $? "one that never heard anything"

run 1 evaluate "$work/a" --data "$work/quiet" --json && cp "$work/stdout" "$work/silent.json"
report $? "scored on silent files"
both=("$work/a" "$work/b" --corrupt voice=muted:0,0.5,1 --imported "$work/noise20" --imported "$work/noise-20")
run 1 robustness "${both[@]}" --json --csv "$work/both.csv" && cp "$work/stdout" "$work/both.json"
report $? "two models in one command"
run 3 robustness "${both[@]}" --json --csv "$work/three.csv" && cmp "$work/stdout" "$work/both.json" &&
    cmp "$work/both.csv" "$work/three.csv"
report $? "on three ranks the same bytes"
run 1 robustness "$work/a" "${both[@]:2}" --json && cp "$work/stdout" "$work/one.json"
report $? "one model alone"
python3 - "$work" <<'PY'
import csv, json, sys
load = lambda name: json.load(open(sys.argv[1] + "/" + name))
both, one, silent = load("both.json")["models"], load("one.json"), load("silent.json")
assert [m["model"] for m in both] == [sys.argv[1] + "/a", sys.argv[1] + "/b"]
assert both[0] == one and one["data"] == sys.argv[1] + "/clean"
rows = [{(r["modality"], r["corruption"], r["level"]): r for r in m["rows"]} for m in both]
assert list(rows[0]) == list(rows[1]) == [
    ("", "none", None), ("voice", "muted", 0.0), ("voice", "muted", 0.5), ("voice", "muted", 1.0),
    ("", "sound_noise", 20.0), ("", "sound_noise", -20.0)]
score = lambda model, *key: rows[model][key]["metrics"]["ccc"]
assert rows[0]["voice", "muted", 1.0]["metrics"] == silent["metrics"], "muted is not what silent files give"
assert rows[0]["voice", "muted", 0.0]["metrics"] == rows[0]["", "none", None]["metrics"]
assert score(0, "", "none", None) > 0.5 > score(0, "voice", "muted", 1.0), (score(0, "", "none", None))
assert score(0, "", "none", None) > score(0, "", "sound_noise", -20.0)
assert len({score(0, *key) for key in rows[0]}) == 5
assert abs(score(1, "", "none", None)) < 0.5, "learnt from a voice that was muted"
lines = {(l["model"], l["modality"], l["corruption"], float(l["level"] or "nan"), l["metric"]): float(l["value"])
         for l in csv.DictReader(open(sys.argv[1] + "/both.csv"))}
for m, found in zip(both, rows):
    for key, row in found.items():
        if key[2] is not None:
            assert lines[(m["model"], *key, "ccc")] == row["targets"]["y"]["ccc"]
PY
report $? "muted is what silent files give; noise on the sound is a row; the CSV has the same numbers"
run 1 robustness "${both[@]}"
check "side by side: a table for each metric, a row for each level" \
    same "$(grep -c '^ *voice *muted' "$work/stdout")" "$((3 * $(grep -cE '^[a-z_0-9]+$' "$work/stdout")))"

# In training: the same bits on any number of ranks and through a resume, and it is not nothing.
train c 3 7 --set 'modalities.voice.corrupt=[muted:0.5, noise:10]'
train c 2 12 --set 'modalities.voice.corrupt=[muted:0.5, noise:10]' --resume auto
train d 1 12 --set 'modalities.voice.corrupt=[muted:0.5, noise:10]'
train e 1 12 --set 'modalities.voice.corrupt=[noise:10]'
check "muted in training: the same bits on 1 rank, and on 3 then 2" same "$(hash_of "$work/c")" "$(hash_of "$work/d")"
[ "$(hash_of "$work/d")" != "$(hash_of "$work/e")" ]
report $? "which are not those without it"

fails "silence of features" 2 "what silence is among features is not known; muted is for sound" 2 \
    robustness "$work/a" --corrupt eda=muted:1
fails "silence of features in training" 2 "modalities.eda.corrupt: what silence is among features" 2 \
    train "$work/model.yaml" --run "$work/f" --set 'modalities.eda.corrupt=[muted:0.1]'
fails "no level of muted" 2 "is no level of muted" 1 robustness "$work/a" --corrupt voice=muted:2
fails "imported without noise" 2 "quiet: was not imported with noise" 2 \
    robustness "$work/a" --imported "$work/quiet"
sed -i 2,4d "$work/loud/manifest.csv"
import fewer loud --set noise_db=0
fails "fewer recordings" 2 "fewer: holds other recordings or labels than" 2 \
    robustness "$work/a" --imported "$work/fewer" --split train
train g 1 2 --set data.window=5
fails "another window" 2 "/g: is scored on other data, people or windows than the first" 2 \
    robustness "$work/a" "$work/g" --corrupt voice=muted:1
finish
