#!/bin/bash
# synthetic.sh - on data whose best predictor is known, the shipped models learn what there is to learn
# and nothing more.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

"$jmt" shard synthetic --out "$work/full" --set recordings=240 --set subjects=80 >"$work/stdout" \
    2>"$work/stderr" || skip "no data"
score() { # score NAME CONFIG ARGUMENTS...: trains on one rank; the test CCC into $work/NAME.ccc
    local name=$1 config=$2
    shift 2
    timeout 300 "$jmt" train "configs/synthetic/$config.yaml" --set data.path="$work/full" \
        --run "$work/$name" --set epochs=6 --set optimizer.learning_rate=5e-3 \
        --set schedule.name=cosine "$@" >/dev/null 2>"$work/$name.stderr" &&
        timeout 60 "$jmt" evaluate "$work/$name/checkpoints/best-ccc" --json 2>>"$work/$name.stderr" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["metrics"]["ccc"])' >"$work/$name.ccc"
}
jobs=("video video" "audio audio" "noise noise" "permuted jmt --set data.permute_labels=true")
for seed in 1 2 3; do
    jobs+=("jmt-$seed jmt --set seed=$seed")
    jobs+=("two-$seed jmt --set seed=$seed --set model.modalities=[video,audio]")
done
running=0
for job in "${jobs[@]}"; do # two at a time
    # shellcheck disable=SC2086
    score $job &
    running=$((running + 1))
    [ $running = 2 ] && wait -n && running=1
done
wait

cat >"$work/judge.py" <<'PY'
import json, math, sys
work, question = sys.argv[1:3]
ccc = lambda name: float(open("%s/%s.ccc" % (work, name)).read())
mean = lambda x: sum(x) / len(x)
sd = lambda x: math.sqrt(sum((v - mean(x)) ** 2 for v in x) / (len(x) - 1))
three, two = ([ccc("%s-%d" % (n, s)) for s in (1, 2, 3)] for n in ("jmt", "two"))
optimum = json.load(open(work + "/full/dataset.json"))["facts"]["optimum"]["targets"]
best = {k: mean([t[k]["ccc"] for t in optimum.values()]) for k in ("all", "video", "audio")}
if question == "optimum":
    print("# CCC: JMT %s, mean %.4f; optimum %.4f" % (["%.4f" % c for c in three], mean(three), best["all"]))
    good = 0.95 * best["all"] <= mean(three)
elif question == "single":
    print("# CCC: video %.4f of %.4f, audio %.4f of %.4f" %
          (ccc("video"), best["video"], ccc("audio"), best["audio"]))
    # Above the single models, and above the best that any model of one modality could do.
    good = min(three) > max(ccc("video"), ccc("audio"), best["video"], best["audio"])
elif question == "noise":
    # Two means of three runs each: their difference has sd sqrt((a^2 + b^2) / 3); 3 of those.
    limit = 3 * math.sqrt((sd(three) ** 2 + sd(two) ** 2) / 3)
    print("# CCC: with the noise %.4f, without %.4f; limit of the difference %.4f" %
          (mean(three), mean(two), limit))
    good = abs(mean(three) - mean(two)) <= max(limit, 0.01)
else:
    print("# CCC: %s %.4f" % (question, ccc(question)))
    good = abs(ccc(question)) < 0.1
sys.exit(not good)
PY
for question in "optimum JMT is within 5 % of the known optimum" \
    "single JMT is above each single modality, and above what one modality can give" \
    "noise a modality of pure noise changes nothing beyond the spread of seeds" \
    "permuted labels of other samples give chance" "noise-alone pure noise alone gives chance"; do
    read -r word text <<<"$question"
    [ "$word" = noise-alone ] && cp "$work/noise.ccc" "$work/noise-alone.ccc"
    check "$text" python3 "$work/judge.py" "$work" "$word"
done
finish
