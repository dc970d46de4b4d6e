#!/bin/bash
# every_setting.sh - each key that `jmt config` lists changes something when it is changed: the trained weights, or
# what the run leaves. A key that is not in the table below, or in it and not among the settings, fails.
. "$(dirname "$0")/../system.sh"
command -v python3 >/dev/null || skip "python3 is not installed"
make_data "$work/other" recordings=30 || skip "cannot make synthetic data"
fresh=0
left=''
# leaves WHAT SETTINGS...: what three steps with them leave. hash: of the weights; hash 3: the same on three ranks;
# epoch: the hash after a whole epoch; manifest, files: of that run.
leaves() {
    local what=$1 run ranks=1 steps=(--steps 6) sets=() set
    shift
    fresh=$((fresh + 1)) run=$work/run-$fresh left=''
    [ "$what" != "hash 3" ] || ranks=3
    [ "$what" != files ] || steps=()
    for set in "$@"; do sets+=(--set "$set"); done
    run $ranks train "${tiny[@]}" --set epochs=2 "${sets[@]}" --run "$run" "${steps[@]}" || return
    case $what in
    manifest) left=$(grep -E '"(fingerprint|marks|selected_on)"' "$run/manifest.json") ;;
    files) left=$(cd "$run" && find checkpoints | sort) ;;
    *) left=$(hash_of "$run") ;;
    esac
    rm -rf "$run"
}
declare -A known=() before=() # before: what companions alone leave
# changes WHAT KEY VALUE [COMPANION]...: key=value, beside the companions, leaves something else.
changes() {
    local what=$1 key=$2 value=$3 name
    shift 3
    known[$key]=1 name="$what $*"
    [ "$jmt_keys" != "${jmt_keys/ $key / }" ] || report 1 "$key: no such setting"
    if [ -z "${before[$name]:-}" ]; then
        leaves "$what" "$@"
        before[$name]=$left
    fi
    [ -n "${before[$name]}" ] || { report 1 "$key: the run without it" && return; }
    leaves "$what" "$@" "${key/NAME/$named}=$value"
    [ -n "$left" ] && [ "$left" != "${before[$name]}" ]
    report $? "$key=$value changes the ${what% 3}"
}
# elsewhere KEY TEST: a test of its own, which must name the whole key.
elsewhere() {
    local pattern=${1//./\\.}
    known[$1]=1
    grep -Eq "(^|[^a-z_.])${pattern/NAME/[a-z]+}([^a-z_.]|\$)" "tests/$2"
    report $? "$1: $2"
}
jmt_keys=" $("$jmt" config | awk '/^  [a-z]/ { printf "%s ", $1 }')"
named=valence
adamw=(optimizer.name=adamw) sgd=(optimizer.name=sgd optimizer.learning_rate=0.1)

changes hash seed 2
changes hash batch 8
changes hash virtual_shards 4
changes hash backend ref
changes hash precision bf16
changes hash shuffle block
changes "hash 3" reduce fast
changes manifest threads 2
changes manifest schedule_known true
changes files epochs 1
changes files select_on loss
changes files checkpoint.every_steps 1
changes files checkpoint.keep 1 checkpoint.every_steps=1
changes hash baseline_minutes 0.02

changes hash model.name mt
changes hash model.dim 8
changes hash model.ff 8
changes hash model.heads 2
changes hash model.layers 2
changes hash model.head_hidden 4
changes hash model.fusion_dim 8 model.name=lfan
changes hash model.recursions 3 model.name=rjcma
for key in head_dropout dropout modality_dropout; do changes hash model.$key 0.5; done
for key in token_type cross_residual cross_ffn causal; do changes hash model.$key true; done
changes hash model.output fc
changes hash model.token mean
changes hash model.cross_weights separate
changes hash model.branches '[-video<-audio]'
changes hash model.normalize none
changes hash model.joint sum
changes hash model.missing learned
changes hash model.attn_form paper_literal
changes hash model.position learned
changes hash model.modalities '[video, audio]'

changes hash data.path "$work/other"
changes hash data.rate_hz 2.5
changes hash data.window 8
changes hash data.stride 4
changes hash data.standardize none
changes hash data.clock_step_s 2 model.name=clock modalities.clock.dim=0 schedule_known=true
changes hash data.permute_labels true
changes hash data.permute_within person data.permute_labels=true
changes hash data.shuffle_window 2 shuffle=block
changes hash parity.skip '[recording-0001, recording-0002, recording-0003, recording-0004]'
changes hash parity.whole_windows true
changes hash parity.attention_over_samples true
changes hash split.seed 3
changes hash split.folds 3
changes hash split.fold 1 split.folds=3
changes hash split.valid_fraction 0.5

changes hash optimizer.name sgd
changes hash optimizer.learning_rate 0.01
changes hash optimizer.weight_decay 0.1
changes hash optimizer.beta1 0.5 "${adamw[@]}"
changes hash optimizer.beta2 0.5 "${adamw[@]}"
changes hash optimizer.epsilon 0.01 "${adamw[@]}"
changes hash optimizer.momentum 0.5 "${sgd[@]}"
changes hash optimizer.nesterov false "${sgd[@]}"
changes hash optimizer.clip_norm 0.001
changes hash schedule.name cosine
changes hash schedule.warmup_steps 3
changes hash schedule.step_epochs 1 schedule.name=step
changes hash schedule.gamma 0.5 schedule.name=step schedule.step_epochs=1
changes hash schedule.min_learning_rate 0.002 schedule.name=step schedule.step_epochs=1
changes hash loss.ccc_unbiased true

changes hash targets.NAME.loss mse
changes hash targets.NAME.weight 3
changes hash targets.NAME.mse_weight 0.5
changes hash targets.NAME.steps last
named=video
changes hash modalities.NAME.track audio modalities.video.dim=0
changes hash modalities.NAME.front tcn
tcn=(modalities.video.front=tcn)
changes hash modalities.NAME.tcn_blocks 2 "${tcn[@]}"
changes hash modalities.NAME.tcn_kernel 3 "${tcn[@]}"
changes hash modalities.NAME.tcn_causal false "${tcn[@]}"
changes hash modalities.NAME.tcn_dropout 0.5 "${tcn[@]}"
changes hash modalities.NAME.corrupt '[noise:0]'
changes hash modalities.NAME.clip 2
changes hash modalities.NAME.dilation 2 modalities.video.clip=2
signal=(modalities.video.backbone=cnn_1d modalities.video.clip=32)
changes hash modalities.NAME.backbone cnn_1d modalities.video.clip=32
changes hash modalities.NAME.frozen true "${signal[@]}"
changes hash modalities.NAME.fc_relu true "${signal[@]}"
named=both
both=('modalities.both.of=[video, audio]' 'model.modalities=[both, noise]')
changes hash modalities.NAME.of '[audio, video]' "${both[@]}"
changes hash modalities.NAME.intra concat_fc "${both[@]}"

elsewhere base unit/test_config_base.c
elsewhere device faults/error_lines.sh
elsewhere data.missing data/missing_and_order.sh
elsewhere data.prefetch faults/read_ahead.sh
elsewhere split.test_fraction data/controls.sh
elsewhere split.by data/controls.sh
elsewhere split.allow_subject_overlap data/controls.sh
elsewhere evaluation.fold_attention golden/test_prediction.py
elsewhere parity.unlabelled_as_right mpi/submission.sh
elsewhere comm.timeout_s faults/stop.sh
elsewhere early_stopping.patience faults/early_stopping.sh
elsewhere modalities.NAME.dim faults/error_lines.sh
elsewhere modalities.NAME.augment mpi/backbones.sh
elsewhere modalities.NAME.batch_norm mpi/backbones.sh
elsewhere modalities.NAME.size golden/test_refusals.py
elsewhere modalities.NAME.upsample data/raw_media.sh
elsewhere modalities.NAME.width unit/test_backbone_input.c
elsewhere modalities.NAME.reduce golden/test_refusals.py
elsewhere targets.NAME.classes mpi/losses.sh
elsewhere targets.NAME.class_names mpi/submission.sh
elsewhere targets.NAME.class_weights golden/test_training.py
elsewhere targets.NAME.label_smoothing golden/test_training.py
elsewhere targets.NAME.threshold mpi/threshold.sh
elsewhere targets.NAME.clip mpi/smoothing.sh
elsewhere targets.NAME.smooth mpi/smoothing.sh
elsewhere evaluation.smooth_edges mpi/smoothing.sh
elsewhere evaluation.every_window mpi/submission.sh
elsewhere data.shift mpi/submission.sh
elsewhere checkpoint.best mpi/bests.sh

named=video
run 1 train "${tiny[@]}" --set model.name=unimodal --set 'model.modalities=[video]' --run "$work/video" --steps 3
changes hash init.NAME "$work/video"

for key in $jmt_keys; do
    [ -n "${known[$key]:-}" ] || report 1 "$key has neither a line here nor a test of its own"
done
# How samples are read, on two ranks.
for set in data.rate_hz=2.5 data.standardize=person; do
    leaves "hash" $set
    one=$left
    run 2 train "${tiny[@]}" --set epochs=2 --set $set --run "$work/two" --steps 6
    check "$set: the same hash on 2 ranks" same "$one" "$(hash_of "$work/two")"
    rm -rf "$work/two"
done
leaves hash data.standardize=train
train=$left
for value in none person; do
    leaves hash data.standardize=$value
    check "data.standardize: $value is not train" [ "$left" != "$train" ]
    train="$left"
done
leaves hash
plain=$left
leaves hash data.rate_hz=5
check "data.rate_hz of the data changes nothing" same "$left" "$plain"
finish
