# tap.sh - sourced: how a shell test says what it found. $work/stderr, where there is one, is shown with a failure.
number=0 failures=0

skip() { # skip REASON: the whole test
    echo "SKIP: $1"
    exit 77
}
report() { # report CODE TEXT: code 0 is ok; otherwise shows what the last program said
    number=$((number + 1))
    if [ "$1" = 0 ]; then
        echo "ok $number - $2"
    else
        failures=$((failures + 1))
        echo "not ok $number - $2"
        [ -f "$work/stderr" ] && tail -n 20 "$work/stderr" | sed 's/^/# /'
    fi
}
check() { # check TEXT COMMAND...
    local text=$1
    shift
    "$@"
    report $? "$text"
}
skip_one() { # skip_one TEXT REASON
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}
finish() {
    echo "1..$number"
    [ "$failures" = 0 ]
    exit
}
same() { # same A B, both not empty
    [ -n "$1" ] && [ "$1" = "$2" ] && return 0
    echo "# '$1' is not '$2'"
    return 1
}
