#!/bin/bash
# error_lines.sh - what goes wrong ends with exactly one "jmt: error:" line over all ranks, with the exit
# code of its kind, and loses nothing that was there.
. "$(dirname "$0")/../system.sh"

new=0
train_fails() { # train_fails TEXT CODE PATTERN ARGUMENTS...: on 1 and on 3 ranks
    local text=$1 code=$2 pattern=$3 ranks
    shift 3
    for ranks in 1 3; do
        new=$((new + 1))
        fails "$text" "$code" "$pattern" $ranks train "$@" --run "$work/new$new"
    done
}

# Settings.
cp configs/tiny/jmt.yaml "$work/typo.yaml"
echo 'optimiser: {name: sgd}' >>"$work/typo.yaml"
train_fails "unknown key in a file" 2 'typo.yaml:[0-9]+:[0-9]+: .*optimi' "$work/typo.yaml"
train_fails "unknown key on the command line" 2 'learning_rat.*optimizer.learning_rate' \
    "${tiny[@]}" --set optimizer.learning_rat=1
sed 's/^epochs: .*/epochs: many/' configs/tiny/jmt.yaml >"$work/type.yaml"
train_fails "wrong type" 2 'type.yaml:[0-9]+:[0-9]+: .*epochs' "$work/type.yaml"
train_fails "B not divisible by V" 2 'batch.*virtual_shards|virtual_shards.*batch' \
    "${tiny[@]}" --set batch=20 --set virtual_shards=8
fails "R > V" 2 'virtual_shards' 3 train "${tiny[@]}" --set virtual_shards=2 --run "$work/new-rv"
train_fails "cuda asked of a CPU build" 3 'cuda' "${tiny[@]}" --set backend=cuda
train_fails "a cuda device asked of a CPU build" 3 'cuda' "${tiny[@]}" --set device=cuda
fails "unknown option" 2 '--resum' 1 train "${tiny[@]}" --resum auto
fails "unknown command" 2 'trian' 1 trian "${tiny[@]}"
fails "a missing configuration" 2 'missing.yaml' 3 train "$work/missing.yaml" --run "$work/new-m"

# Data.
train_fails "missing data directory" 2 'nowhere' configs/tiny/jmt.yaml --set data.path="$work/nowhere"
cp -r "$work/data" "$work/missing" && rm "$work/missing/shard-00001.h5"
train_fails "missing shard" 2 'shard-00001.h5' configs/tiny/jmt.yaml --set data.path="$work/missing"
cp -r "$work/data" "$work/cut" && truncate -s -100 "$work/cut/shard-00002.h5"
train_fails "truncated shard" 2 'shard-00002.h5' configs/tiny/jmt.yaml --set data.path="$work/cut"
train_fails "a modality that the data lacks" 2 'smell' "${tiny[@]}" \
    --set modalities.smell.dim=3
bad_data=$(dirname "$jmt")/tests/tools/bad_data
if [ -x "$bad_data" ]; then
    for kind in good nan infinite leak; do
        "$bad_data" "$work/bad-$kind" $kind
    done
    run 3 train configs/tiny/jmt.yaml --set data.path="$work/bad-good" --run "$work/good" --steps 2
    report $? "data without a fault trains"
    train_fails "NaN where the mask says valid" 2 'recording-0.*audio, step 7.*not finite' \
        configs/tiny/jmt.yaml --set data.path="$work/bad-nan"
    # Without the pass over all features it is met in the middle of training, by the rank that reads it.
    train_fails "an infinite value met while training" 2 'recording-0.*video, step 7.*not finite' \
        configs/tiny/jmt.yaml --set data.path="$work/bad-infinite" --set data.standardize=none
    train_fails "a person in two splits" 2 'subject s[0-9]+ is in both' \
        configs/tiny/jmt.yaml --set data.path="$work/bad-leak"
    run 2 train configs/tiny/jmt.yaml --set data.path="$work/bad-leak" --run "$work/leak" --steps 2 \
        --set split.allow_subject_overlap=true
    report $? "... unless the configuration says so"
else
    skip_one "data with right checksums and wrong content" "$bad_data is not built"
fi
if command -v python3 >/dev/null; then
    python3 tests/data/broken_data.py "$work"
    run 1 shard mosi --source "$work/mosi-good" --out "$work/mosi-good-data"
    report $? "an import of the same files without the fault"
    fails "an import with a value that is not a number" 2 'audio_train0.csv:4' 1 shard mosi \
        --source "$work/mosi-nan" --out "$work/mosi-nan-data"
    fails "an import with a person in train and test" 2 'train and test' 1 shard mosi \
        --source "$work/mosi-leak" --out "$work/mosi-leak-data"
    [ ! -e "$work/mosi-nan-data/dataset.json" ] && [ ! -e "$work/mosi-leak-data/dataset.json" ]
    report $? "a refused import leaves no data directory"
fi

# A run that is there.
run 1 train "${tiny[@]}" --run "$work/there" --steps 6 --set checkpoint.every_steps=2
there=$(hash_of "$work/there")
keep() { # keep TEXT: the run that is there is as it was
    check "$1: the checkpoints are as they were" same "$(hash_of "$work/there")" "$there"
}
for ranks in 1 3; do
    fails "a run directory that holds a run" 2 'holds a run.*--resume' $ranks train "${tiny[@]}" \
        --run "$work/there"
    fails "a checkpoint as run directory" 2 'is a checkpoint' $ranks train "${tiny[@]}" \
        --run "$work/there/checkpoints/last"
    fails "resume with another configuration" 2 'differs.*dim' $ranks train "${tiny[@]}" \
        --run "$work/there" --resume auto --set model.dim=8
    make_data "$work/data2-$ranks" seed=2
    fails "resume with other data" 2 'not what the run was trained on' $ranks train \
        "${tiny[@]}" --set data.path="$work/data2-$ranks" --run "$work/there" --resume auto
    fails "resume with another part of the data" 2 'give --overfit as before' $ranks train "${tiny[@]}" \
        --run "$work/there" --resume auto --overfit 16
    fails "resume of nothing" 2 'no checkpoint at' $ranks train "${tiny[@]}" --resume "$work/void"
    fails "evaluation of nothing" 2 'no checkpoint at' $ranks evaluate "$work/void"
done
keep "refused starts"

# Other numerics at resume: one warning, no error.
cp -r "$work/there" "$work/numerics"
for change in threads=2 virtual_shards=4; do
    run 2 train "${tiny[@]}" --run "$work/numerics" --resume auto --steps 7 --set $change
    code=$?
    [ $code = 0 ] && [ "$(grep -c 'warning: .*bits are no longer promised' "$work/stderr")" = 1 ]
    report $? "resume with $change: one warning that bits are no longer promised"
done
if "$jmt" --version --json | grep -q '"isa": "generic"'; then
    skip_one "resume with another JMT_ISA: one warning" "this processor has one only"
else
    JMT_ISA=generic run 2 train "${tiny[@]}" --run "$work/there" --resume auto --steps 6
    check "resume with another JMT_ISA: one warning" \
        same "$(grep -c 'warning: .*bits are no longer promised' "$work/stderr")" 1
fi

# Ranks that were started differently: found before they compute.
apart() { # apart TEXT PATTERN RANK-1-COMMAND...: rank 0 trains as usual
    local text=$1 pattern=$2
    shift 2
    timeout 120 mpirun -q -n 1 "$jmt" train "${tiny[@]}" --run "$work/apart" --steps 4 : -n 1 "$@" \
        >"$work/stdout" 2>"$work/stderr" </dev/null
    [ $? = 2 ] && [ "$(error_lines)" = 1 ] && grep -q -- "$pattern" "$work/stderr"
    report $? "$text: exit 2, one line"
}
usual=("$jmt" train "${tiny[@]}" --run "$work/apart" --steps 4)
apart "another seed on rank 1" "rank 1: .*'seed: 77'" "${usual[@]}" --set seed=77
apart "another limit on rank 1" "rank 1: .*'--steps 5'" "${usual[@]}" --steps 5
apart "another instruction set on rank 1" 'rank 1: .*"isa":"generic"' env JMT_ISA=generic "${usual[@]}"
apart "another command on rank 1" "runs 'evaluate' where rank 0 runs 'train'" "$jmt" evaluate "$work/run"
OMPI_MCA_mca_base_env_list=FOO=1 fails "launch beside mca_base_env_list" 2 "no checkpoint" 1 \
    launch -n 2 evaluate /nonexistent
fails "launch of a long line" 2 "is missing" 1 launch -n 1 table $(seq -f "$work/none/%g" 300)
fails "launch within a job" 2 'one already' 2 launch -n 2 train "${tiny[@]}"
JMT_FAULT=kill:9:5 fails "a fault for a rank that is not there" 2 'ranks 0 to 0' 1 train "${tiny[@]}" \
    --run "$work/new-fault"

# What is written where nothing can be kept, or through a link.
"$jmt" config --json >/dev/full 2>"$work/stderr"
[ $? = 1 ] && [ "$(error_lines)" = 1 ]
report $? "standard output that cannot be written: exit 1, one line"
echo old >"$work/kept" && ln -s kept "$work/link" && mkfifo "$work/pipe"
run 1 export "${tiny[@]}" --out "$work/link"
[ -L "$work/link" ] && [ "$(wc -c <"$work/kept")" -gt 1000 ]
report $? "a link stays and its target is written"
cat "$work/pipe" >"$work/through" &
run 1 export "${tiny[@]}" --out "$work/pipe"
wait
[ -p "$work/pipe" ] && cmp -s "$work/through" "$work/kept"
report $? "a pipe stays and is written into"
finish
