#!/bin/bash
# full_resources.sh - a disk that is really full while saving, and a /dev/shm that is too small: one line,
# the right exit code, and what was saved stays. Runs in a mount name space of its own.
if [ "${1:-}" != inside ]; then
    unshare -m true 2>/dev/null || { echo "SKIP: a private mount name space is not permitted" && exit 77; }
    exec unshare -m "$0" inside
fi
. "$(dirname "$0")/../system.sh"
mkdir "$work/disk" "$work/probe"
mount -t tmpfs -o size=64k none "$work/probe" 2>/dev/null || skip "mounting a tmpfs is not permitted"
umount "$work/probe"

# One checkpoint of this model takes about 230 kB: the third or fourth does not fit any more.
options=(--set checkpoint.every_steps=1 --set checkpoint.keep=100 --steps 12)
run 1 train "${tiny[@]}" --run "$work/whole" --steps 12
for ranks in 1 3; do
    mount -t tmpfs -o size=900k none "$work/disk" || skip "cannot mount"
    fails "a full disk while saving" 1 'No space left' $ranks train "${tiny[@]}" "${options[@]}" \
        --run "$work/disk/run"
    "$jmt" inspect "$work/disk/run" --verify >/dev/null 2>"$work/stderr"
    report $? "R=$ranks: the last checkpoint is intact"
    whole=0
    for step in "$work"/disk/run/checkpoints/step-*; do
        "$jmt" inspect "$step" --verify >/dev/null 2>"$work/stderr" || whole=1
    done
    report $whole "R=$ranks: every published checkpoint is intact"
    mount -o remount,size=16m "$work/disk"
    run 2 train "${tiny[@]}" "${options[@]}" --run "$work/disk/run" --resume auto
    check "R=$ranks: with room again it goes on to the same bits" \
        same "$(hash_of "$work/disk/run")" "$(hash_of "$work/whole")"
    umount "$work/disk"
done

# MPI itself needs a little of /dev/shm: its messages go by TCP here, so that what is too small is ours.
export OMPI_MCA_btl=self,tcp OMPI_MCA_pml=ob1 OMPI_MCA_btl_tcp_if_include=lo
mount -t tmpfs -o size=64k none /dev/shm || skip "cannot mount over /dev/shm"
fails "a /dev/shm that is too small" 3 '/dev/shm is too small.*shm-size' 3 train "${tiny[@]}" \
    --run "$work/shm" --steps 4
umount /dev/shm
run 3 train "${tiny[@]}" --run "$work/shm" --steps 4
report $? "with its own /dev/shm the same run goes through"
finish
