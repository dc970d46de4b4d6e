#!/usr/bin/env bash
# jmt launch leaves alone what people have asked of Open MPI: in the environment, in their file of
# parameters, in the system's. An mpirun that says what it was given stands in for the real one.
. "$(dirname "${BASH_SOURCE[0]}")/../system.sh"
mkdir -p "$work/bin" "$work/etc" "$work/home/.openmpi"
printf '#!/bin/sh\nprintf "%%s " "$@"\n' >"$work/bin/mpirun"
chmod +x "$work/bin/mpirun"
unset OMPI_MCA_mpi_yield_when_idle SLURM_JOB_ID
export HOME=$work/home PATH=$work/bin:$PATH
mine=$HOME/.openmpi/mca-params.conf system=$work/etc/openmpi-mca-params.conf

given() { # given LINE-OF-FILE FILE: what mpirun gets
    printf '%s\n' "$1" >"$2"
    "$jmt" launch -n 2 doctor
    : >"$2"
}
has() { [[ " $1" == *" --mca $2 "* ]]; }
lacks() { [[ " $1" == *" --mca topo basic "* && " $1" != *" --mca $2 "* ]]; }

check "as it is" has "$(given '' "$mine")" 'btl self,vader,tcp'
check "a comment is none" has "$(given '# btl = tcp,self' "$mine")" 'btl self,vader,tcp'
check "nor is a longer name" has "$(given 'btl_tcp_if_include = lo' "$mine")" 'btl self,vader,tcp'
for file in "$mine" "$system"; do
    where=${file#"$work"/}
    check "$where: a list" lacks "$(given '  btl=tcp,self # mine' "$file")" btl
    check "$where: not what we use" lacks "$(given 'btl = ^openib,vader' "$file")" btl
    check "$where: not what we leave out either" has "$(given 'btl = ^openib' "$file")" 'btl self,vader,tcp'
    check "$where: exclusions that ours include" has "$(given 'osc = ^ucx' "$file")" 'osc ^ucx,pt2pt,rdma'
    check "$where: exclusions that ours lack" lacks "$(given 'osc = ^sm' "$file")" osc
    check "$where: another pml keeps its mtl" lacks "$(given 'pml = cm' "$file")" mtl
    check "$where: what is set on all hosts" lacks "$(given 'oob_tcp_keepalive_time = 30' "$file")" \
        oob_tcp_keepalive_time
done
export OMPI_MCA_coll=basic,self
check "the environment" lacks "$(given '' "$mine")" coll
unset OMPI_MCA_coll
export OMPI_MCA_mca_base_param_files=$work/other
check "files named in the environment" lacks "$(given 'btl = tcp,self' "$work/other")" btl
check "instead of the others" has "$(given 'btl = tcp,self' "$mine")" 'btl self,vader,tcp'
finish
