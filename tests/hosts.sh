# hosts.sh - sourced, with $work a folder: two "hosts" on this machine, network name spaces with an
# address and a host name of their own, joined by a bridge. Needs root and ip. hosts_up sets
# hosts_mpirun, the mpirun of both.
hosts_tag=j$$
hosts_net=10.79.$(($$ % 256))

hosts_down() {
    local i process
    for i in 1 2; do
        for process in $(ip netns pids "$hosts_tag$i" 2>/dev/null); do kill -9 "$process"; done
        ip netns del "$hosts_tag$i" 2>/dev/null
    done
    ip link del "${hosts_tag}b" 2>/dev/null
}

hosts_up() { # prints why not, if not
    local i
    [ "$(id -u)" = 0 ] || { echo "needs root" && return 1; }
    command -v ip >/dev/null || { echo "needs ip (iproute2)" && return 1; }
    ip link add "${hosts_tag}b" type bridge 2>"$work/error" ||
        { echo "cannot make a bridge: $(cat "$work/error")" && return 1; }
    ip addr add "$hosts_net.254/24" dev "${hosts_tag}b" && ip link set "${hosts_tag}b" up ||
        { echo "no bridge" && return 1; }
    for i in 1 2; do
        ip netns add "$hosts_tag$i" &&
            ip link add "${hosts_tag}v$i" type veth peer name eth0 netns "$hosts_tag$i" &&
            ip link set "${hosts_tag}v$i" master "${hosts_tag}b" up &&
            ip -n "$hosts_tag$i" addr add "$hosts_net.$i/24" dev eth0 &&
            ip -n "$hosts_tag$i" link set lo up && ip -n "$hosts_tag$i" link set eth0 up ||
            { echo "no name spaces" && return 1; }
        echo "$hosts_net.$i slots=2" >>"$work/hosts"
    done
    # mpirun's "ssh": enters the name space. Own host names, as MPI names its shared files by them.
    cat >"$work/agent" <<AGENT
#!/bin/bash
host=$hosts_tag\${1##*.}; shift
exec ip netns exec \$host unshare --uts sh -c "hostname \$host; \$*"
AGENT
    chmod +x "$work/agent"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    hosts_mpirun=(mpirun -q --hostfile "$work/hosts" --mca plm_rsh_agent "$work/agent"
        --mca oob_tcp_if_include "$hosts_net.0/24" --mca btl_tcp_if_include "$hosts_net.0/24"
        --mca oob_tcp_keepalive_time 3 --mca oob_tcp_keepalive_intvl 1
        --mca oob_tcp_keepalive_probes 3 --mca pml ob1 --mca btl self,vader,tcp)
}

hosts_limit() { # hosts_limit RATE: what each host may send, as tc spells it
    local i
    for i in 1 2; do
        ip netns exec "$hosts_tag$i" tc qdisc replace dev eth0 root tbf rate "$1" burst 256kb \
            latency 100ms || return
    done
}
