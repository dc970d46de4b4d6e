#!/bin/bash
# early_stopping.sh - patience counts on over a kill, and the best checkpoint stays the best: after going
# on all stands where it stands in a run that nobody disturbed.
. "$(dirname "$0")/../system.sh"

state_of() { # where early stopping and the best checkpoint stand
    grep -E '"(best_step|best_value|bad_epochs|epoch|batch|step)":' "$1/checkpoints/last/manifest.json"
    readlink "$1/checkpoints/best-ccc"
}
# With a learning rate of 0 nothing improves after epoch 0.
options=(--set optimizer.learning_rate=0 --set early_stopping.patience=3 --set epochs=30)
run 1 train "${tiny[@]}" "${options[@]}" --run "$work/patient"
JMT_FAULT=kill:0:9 run 2 train "${tiny[@]}" "${options[@]}" --set checkpoint.every_steps=8 \
    --run "$work/patient-killed"
run 3 train "${tiny[@]}" "${options[@]}" --set checkpoint.every_steps=8 --run "$work/patient-killed" \
    --resume auto
check "early stopping ends at the same step" same "$(state_of "$work/patient-killed")" \
    "$(state_of "$work/patient")"
check "early stopping ended it" same "$(grep -c '"bad_epochs": 3' \
    "$work/patient-killed/checkpoints/last/manifest.json")" 1
finish
