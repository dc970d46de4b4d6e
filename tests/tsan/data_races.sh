#!/bin/bash
# data_races.sh - the parts that run on two threads, built with ThreadSanitizer (preset tsan): a ring that starts,
# stops early, fails in the middle and closes while it fills, and shards and clips read by many threads at once. MPI,
# OpenMP and HDF5 are not instrumented, so the whole program is not run under it.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
programs=(test_clips test_prefetch test_prefetch_shards test_dataset test_ordered_work)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run=()
setarch "$(uname -m)" -R true 2>/dev/null && run=(setarch "$(uname -m)" -R) # it wants its addresses free

# The sanitizer's own test: it is here, and sees a race that is one.
cat >"$work/race.c" <<'C'
#include <pthread.h>
static int shared;
static void *add(void *unused) { shared++; return unused; }
int main(void) {
    pthread_t thread;
    if (pthread_create(&thread, 0, add, 0) != 0) { return 1; }
    shared++;
    return pthread_join(thread, 0);
}
C
if ! "${CC:-cc}" -g -fsanitize=thread -pthread "$work/race.c" -o "$work/race" 2>"$work/log"; then
    echo "SKIP: the compiler has no ThreadSanitizer"
    exit 77
fi
for _ in $(seq 10); do # a busy machine once let it pass
    "${run[@]}" "$work/race" 2>"$work/log"
    seen=$?
    [ $seen != 66 ] || break
done
if [ $seen != 66 ] || ! grep -q 'data race' "$work/log"; then
    cat "$work/log"
    echo "SKIP: ThreadSanitizer does not run here"
    exit 77
fi

if ! { cmake --preset tsan && cmake --build --preset tsan; } >"$work/log" 2>&1; then
    tail -n 60 "$work/log"
    exit 1
fi
number=0 failures=0
for name in "${programs[@]}"; do
    number=$((number + 1))
    if "${run[@]}" "build-tsan/tests/unit/$name" >"$work/log" 2>&1; then
        echo "ok $number - $name"
    else
        head -n 60 "$work/log" | sed 's/^/# /'
        echo "not ok $number - $name"
        failures=$((failures + 1))
    fi
done
echo "1..$number"
[ $failures = 0 ]
