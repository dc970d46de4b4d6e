#!/bin/bash
# same_bits_forms.sh - the forms of the fusion behind a TCN, all at once: one hash on 1, 2 and 3 ranks and after a
# stop; and dropout in blocks and of modalities takes part in it.
. "$(dirname "$0")/../system.sh"

forms=(--set virtual_shards=6 --set batch=18 --set model.layers=2 --set model.cross_weights=separate
       --set "model.branches=[-video<-noise, -joint<-audio]" --set model.cross_residual=true
       --set model.cross_ffn=true --set model.position=learned --set model.token_type=true
       --set model.token=max --set model.causal=true --set model.dropout=0.2
       --set model.modality_dropout=0.4 --set modalities.video.front=tcn --set modalities.video.tcn_blocks=2
       --set modalities.video.tcn_kernel=3 --set modalities.video.tcn_dropout=0.3)

train() { # train NAME RANKS STEPS ARGUMENTS...
    local name=$1 ranks=$2 steps=$3
    shift 3
    run "$ranks" train "${tiny[@]}" "${forms[@]}" --run "$work/$name" --steps "$steps" "$@"
}

for ranks in 1 2 3; do
    train "r$ranks" $ranks 7
    report $? "7 steps on $ranks"
done
for ranks in 2 3; do
    check "R=$ranks has the hash of R=1" same "$(hash_of "$work/r1")" "$(hash_of "$work/r$ranks")"
done
train stopped 3 3
train stopped 2 7 --resume auto
check "3 steps on 3 ranks and 4 on 2" same "$(hash_of "$work/r1")" "$(hash_of "$work/stopped")"
for setting in model.dropout model.modality_dropout modalities.video.tcn_dropout; do
    train "no-$setting" 1 7 --set $setting=0
    [ -n "$(hash_of "$work/no-$setting")" ] && [ "$(hash_of "$work/no-$setting")" != "$(hash_of "$work/r1")" ]
    report $? "$setting takes part"
done

# The remaining ones: other joint representation, normalisation, attention; missing modalities.
other=(--set virtual_shards=6 --set batch=18 --set model.joint=mlp --set model.missing=learned
       --set model.normalize=layernorm --set model.attn_form=paper_literal --set model.modality_dropout=0.4)
for ranks in 1 2 3; do
    run $ranks train "${tiny[@]}" "${other[@]}" --run "$work/other-$ranks" --steps 5
    report $? "joint, missing, normalize, attn_form: 5 steps on $ranks"
done
for ranks in 2 3; do
    check "they on R=$ranks" same "$(hash_of "$work/other-1")" "$(hash_of "$work/other-$ranks")"
done
for setting in joint=sum joint=linear missing=zeros normalize=none normalize=l2 attn_form=standard; do
    run 2 train "${tiny[@]}" "${other[@]}" --run "$work/other-$setting" --steps 5 --set model.$setting
    [ -n "$(hash_of "$work/other-$setting")" ] &&
        [ "$(hash_of "$work/other-$setting")" != "$(hash_of "$work/other-1")" ]
    report $? "model.$setting is another model"
done
for model in concat_att decision jca rjcma lfan can; do
    for ranks in 1 2 3; do
        run $ranks train "${tiny[@]}" --run "$work/$model-$ranks" --steps 4 --set model.name=$model \
            --set model.modality_dropout=0.3 --set virtual_shards=6 --set batch=18
    done
    for ranks in 2 3; do
        check "$model: R=1 and R=$ranks" same "$(hash_of "$work/$model-1")" "$(hash_of "$work/$model-$ranks")"
    done
done
for intra in encoder_plus_self_attention concat_fc; do
    for ranks in 1 2 3; do
        run $ranks train "${tiny[@]}" --run "$work/$intra-$ranks" --steps 4 --set virtual_shards=6 --set batch=18 \
            --set "modalities.pair.of=[video, noise]" --set modalities.pair.intra=$intra \
            --set model.modality_dropout=0.4 --set model.dropout=0.2 --set modalities.noise.front=tcn
    done
    for ranks in 2 3; do
        check "$intra: R=1 and R=$ranks" same "$(hash_of "$work/$intra-1")" "$(hash_of "$work/$intra-$ranks")"
    done
done
finish
