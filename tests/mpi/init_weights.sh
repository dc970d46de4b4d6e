#!/bin/bash
# init_weights.sh - runs that begin with weights of other files: the same bits on any number of ranks, a resume that
# does not need the file, everything checked before training, and nobody scored whom the files were trained on.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"
video=(--set model.name=unimodal --set "model.modalities=[video]")

cat >"$work/judge.py" <<'PY'
import json, struct, sys
def read(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    head, body = json.loads(data[8:8 + length]), data[8 + length:]
    head.pop("__metadata__")
    return {n: (t["dtype"], t["shape"], body[slice(*t["data_offsets"])]) for n, t in head.items()}
given, seeded, begun = map(read, sys.argv[1:4])
assert set(seeded) == set(begun)
taken = {n for n in begun if begun[n] != seeded[n]}
assert taken == {"video.front.weight", "video.front.bias"}, taken
assert all(begun[n] == given[n] for n in taken)
PY
cat >"$work/people.py" <<'PY'
import json, sys
m = json.load(open(sys.argv[1] + "/checkpoints/last/manifest.json"))
first = json.load(open(sys.argv[2] + "/checkpoints/last/manifest.json"))
assert m["trained_on"]["before"] == [first["trained_on"]], "who the file was trained on"
run = json.load(open(sys.argv[1] + "/manifest.json"))
assert run["init"] == m["init"] and list(m["init"]) == ["video"]
assert run["init"]["video"]["file"] == sys.argv[2] and len(run["init"]["video"]["sha256"]) == 64
assert run["initial_hash"] == m["initial_hash"]
PY

run 1 train "${tiny[@]}" "${video[@]}" --run "$work/video" --steps 6
report $? "a unimodal run"
init=(--set "init.video=$work/video")
"$jmt" export "$work/video" --out "$work/video.safetensors"
"$jmt" export "${tiny[@]}" --out "$work/seeded.safetensors"
"$jmt" export "${tiny[@]}" "${init[@]}" --out "$work/begun.safetensors"
check "its front end and nothing else is taken over, exactly" \
    python3 "$work/judge.py" "$work/video.safetensors" "$work/seeded.safetensors" "$work/begun.safetensors"

for ranks in 1 3; do
    run $ranks train "${tiny[@]}" "${init[@]}" --run "$work/r$ranks" --steps 9
done
check "R=3: the hash of R=1" same "$(hash_of "$work/r1")" "$(hash_of "$work/r3")"
check "the manifests name the file, its SHA-256 and its people" python3 "$work/people.py" "$work/r1" "$work/video"
run 1 train "${tiny[@]}" --run "$work/plain" --steps 9
[ "$(hash_of "$work/plain")" != "$(hash_of "$work/r1")" ]
report $? "and the file makes a difference"
run 1 train "${tiny[@]}" --set "init.video=$work/video.safetensors" --run "$work/exported" --steps 9
check "the exported file does the same as the checkpoint" same "$(hash_of "$work/exported")" "$(hash_of "$work/r1")"
python3 -c 'import json, sys
a, b = (json.load(open(p + "/checkpoints/last/manifest.json"))["trained_on"] for p in sys.argv[1:])
assert a == b' "$work/exported" "$work/r1"
report $? "and says who was trained on as well"

"$jmt" evaluate "$work/r1/checkpoints/last" --out "$work/it.json" >"$work/stdout" 2>"$work/stderr"
"$jmt" export "$work/r1/checkpoints/last" --out "$work/it.safetensors" --evaluation "$work/it.json" 2>>"$work/stderr"
for line in '^- licence: CC0' '^- people: 10 trained on, 2 for validation (24 recordings)$' \
    '^| valence | ccc | [0-9.]*' '^  video: video$' \
    '^- began with weights of `video` (init.video: checkpoint of step 6'; do
    check "the model card says $line" grep -q -e "$line" "$work/it.md"
done
! grep -q "$work" "$work/it.md"
report $? "and no path of this machine"
fails "an evaluation of other weights" 2 'it.json is of another checkpoint' 1 \
    export "$work/video" --out "$work/it.safetensors" --evaluation "$work/it.json"

# A resume has the weights already.
run 1 train "${tiny[@]}" "${init[@]}" --run "$work/halves" --steps 4
mv "$work/video" "$work/away"
run 3 train "${tiny[@]}" "${init[@]}" --run "$work/halves" --steps 9 --resume auto
check "resumed without the file, on 3 ranks: the hash of R=1" same "$(hash_of "$work/halves")" "$(hash_of "$work/r1")"
mv "$work/away" "$work/video"
check "and its manifests are as before" python3 "$work/people.py" "$work/halves" "$work/video"

run 1 train "${tiny[@]}" --set "init.model=$work/r1" --set optimizer.learning_rate=0 --run "$work/again" --steps 1
"$jmt" export "$work/again" --out "$work/again.safetensors" && "$jmt" export "$work/r1" --out "$work/r1.safetensors"
python3 -c 'import sys; a, b = (open(p, "rb").read() for p in sys.argv[1:])
cut = lambda d: d[8 + int.from_bytes(d[:8], "little"):]
assert cut(a) == cut(b)' "$work/again.safetensors" "$work/r1.safetensors"
report $? "init.model takes over all parameters"

fails "a file of another modality" 2 \
    'init.audio: .* does not fit that part of the model: 2 missing: audio.front.weight, audio.front.bias; give' 3 \
    train "${tiny[@]}" --set "init.audio=$work/video" --run "$work/none"
fails "another width" 2 'of another shape: video.front.weight is \[16,32\], not \[8,32\]' 2 \
    train "${tiny[@]}" "${init[@]}" --set model.dim=8 --run "$work/none"
fails "a part of a model for all of it" 2 'init.model: .* missing: .*; 2 unexpected: head.0.weight, head.0.bias' 1 \
    train "${tiny[@]}" --set "init.model=$work/video" --run "$work/none"
fails "no such file" 2 'init.video: cannot open .*nowhere' 3 \
    train "${tiny[@]}" --set "init.video=$work/nowhere.pt" --run "$work/none"
[ ! -e "$work/none" ]
report $? "what was refused leaves no run directory"

# People: a run whose test people the file was trained on says so, and is not scored.
folds=("${tiny[@]}" --set split.folds=4 --set epochs=1)
run 1 cv "${folds[@]}" "${video[@]}" --out "$work/cv-video"
first=$work/cv-video/fold-0-seed-1
run 1 train "${folds[@]}" --set split.fold=1 --set "init.video=$first" --run "$work/seen"
grep -Eq 'warning: .* were trained on [1-9][0-9]* of [1-9][0-9]* test people' "$work/stderr"
report $? "the training warns"
fails "its evaluation" 2 'was trained on .* and would be scored as test' 1 evaluate "$work/seen/checkpoints/last"
fails "a cross-validation" 2 'init: fold 1 would score [1-9][0-9]* of its [1-9][0-9]* people' 3 \
    cv "${folds[@]}" --set "init.video=$first" --out "$work/cv-none"
[ ! -e "$work/cv-none/fold-0-seed-1" ]
report $? "is refused before anything is trained"
each="$work/cv-video/fold-{fold}-seed-{seed}"
for ranks in 1 3; do
    run $ranks cv "${folds[@]}" --set "init.video=$each" --out "$work/cv-$ranks"
    report $? "each fold with weights of its own (R=$ranks)"
done
check "R=3: the summary of R=1" cmp "$work/cv-1/summary.json" "$work/cv-3/summary.json"
grep -q 'fold-2-seed-1"' "$work/cv-1/fold-2-seed-1/manifest.json"
report $? "fold 2 began with those of fold 2"
finish
