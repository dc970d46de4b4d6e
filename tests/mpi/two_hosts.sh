#!/bin/bash
# two_hosts.sh DIR - runs DIR/test_comm and DIR/test_reduce on two "hosts": network name spaces with an
# address and a host name of their own, joined by a bridge. Needs root and ip; says so and passes if not.
set -u
dir=$(readlink -f "$1")
tag=j$$
echo "1..4"
skip() {
    for i in 1 2 3 4; do echo "ok $i # SKIP $1"; done
    exit 0
}
[ "$(id -u)" = 0 ] || skip "needs root"
command -v ip >/dev/null || skip "needs ip (iproute2)"
work=$(mktemp -d)
cleanup() {
    for i in 1 2; do
        for process in $(ip netns pids "$tag$i" 2>/dev/null); do kill -9 "$process"; done
        ip netns del "$tag$i" 2>/dev/null
    done
    ip link del "${tag}b" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

net=10.79.$(($$ % 256))
ip link add "${tag}b" type bridge 2>"$work/error" || skip "cannot make a bridge: $(cat "$work/error")"
ip addr add "$net.254/24" dev "${tag}b" && ip link set "${tag}b" up || skip "no bridge"
for i in 1 2; do
    ip netns add "$tag$i" &&
        ip link add "${tag}v$i" type veth peer name eth0 netns "$tag$i" &&
        ip link set "${tag}v$i" master "${tag}b" up &&
        ip -n "$tag$i" addr add "$net.$i/24" dev eth0 &&
        ip -n "$tag$i" link set lo up && ip -n "$tag$i" link set eth0 up || skip "no name spaces"
    echo "$net.$i slots=2" >>"$work/hosts"
done
# mpirun's "ssh": enters the name space. Own host names, as MPI names its shared files by them.
cat >"$work/agent" <<AGENT
#!/bin/bash
host=$tag\${1##*.}; shift
exec ip netns exec \$host unshare --uts sh -c "hostname \$host; \$*"
AGENT
chmod +x "$work/agent"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
job() { # job PROGRAM [MODE]: 4 ranks, two per host
    timeout "$limit_s" mpirun -q -n 4 --hostfile "$work/hosts" --mca plm_rsh_agent "$work/agent" \
        --mca oob_tcp_if_include "$net.0/24" --mca btl_tcp_if_include "$net.0/24" \
        --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1 \
        --mca oob_tcp_keepalive_probes 3 --mca pml ob1 --mca btl self,vader,tcp \
        --mca mpi_yield_when_idle 1 --bind-to none "$dir/$@" >"$work/out" 2>&1 </dev/null
}
limit_s=120 number=0 failures=0
report() { # report CODE NAME
    number=$((number + 1))
    if [ "$1" = 0 ]; then
        echo "ok $number - $2"
    else
        sed 's/^/# /' "$work/out"
        echo "not ok $number - $2"
        failures=1
    fi
}

for program in test_comm test_reduce; do
    job $program
    report $? "$program on two hosts"
done

job test_comm sleep
grep -q "second: no answer from rank 3 on host ${tag}2 within" "$work/out" &&
    [ "$(grep -c 'jmt: error' "$work/out")" = 1 ]
report $? "a time-out names the late rank and its host"

# Without a deadline MPI would wait for ever. (mpirun itself waits for the lost host's daemon: whoever
# started it has to end it.)
limit_s=10
(sleep 2 && ip link set "${tag}v2" down) &
job test_comm loop
grep -q "loop: no answer from rank 2 on host ${tag}2 and 1 other within" "$work/out"
report $? "a cut cable gives a line that names the host"
exit $failures
