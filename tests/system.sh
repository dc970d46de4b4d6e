# system.sh - sourced by the tests that run the program as a user would. Sets $jmt, $work (removed at the
# end), $tiny (a small configuration on data made here); says TAP lines.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jmt=${JMT_BUILD:-$root/build}/jmt
cd "$root" || exit 1
. "$root/tests/tap.sh"
[ -x "$jmt" ] || skip "$jmt is not built"
command -v mpirun >/dev/null || skip "mpirun is not installed"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
# run RANKS ARGUMENTS...: jmt on that many ranks; its exit code; output in $work/stdout and stderr.
run() {
    local ranks=$1
    shift
    if [ "$ranks" = 1 ]; then
        timeout -k 5 120 "$jmt" "$@" >"$work/stdout" 2>"$work/stderr" </dev/null
    else
        timeout -k 5 120 mpirun -q -n "$ranks" "$jmt" "$@" >"$work/stdout" 2>"$work/stderr" </dev/null
    fi
}
error_lines() { grep -c '^jmt: error: ' "$work/stderr"; }
# fails TEXT CODE PATTERN RANKS ARGUMENTS...: ends with that code and one error line that matches.
fails() {
    local text=$1 code=$2 pattern=$3 got
    shift 3
    run "$@"
    got=$?
    [ "$got" = "$code" ] && [ "$(error_lines)" = 1 ] &&
        grep '^jmt: error: ' "$work/stderr" | grep -Eq -- "$pattern"
    report $? "$text: exit $code, one line (R=$1)"
    [ "$got" = "$code" ] || echo "# exit code $got"
}

make_data() { # make_data DIR [K=V]...: synthetic recordings; about 60 training samples
    local dir=$1 set sets=()
    shift
    for set in recordings=24 subjects=12 test_recordings=8 test_subjects=4 "$@"; do
        sets+=(--set "$set")
    done
    "$jmt" shard synthetic --out "$dir" "${sets[@]}" >"$work/stdout" 2>"$work/stderr"
}
make_data "$work/data" || skip "cannot make synthetic data: $(cat "$work/stderr")"
tiny=(configs/tiny/jmt.yaml --set "data.path=$work/data")
hash_of() { "$jmt" inspect "$1" --hash 2>>"$work/stderr"; }
