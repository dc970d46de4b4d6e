# plant.sh - sourced by tests/run for its group `defects`: each patch of this folder goes into a copy of
# the tree, is built, and the tests that its header names must fail. README.md says how to add one.
plant_limit_s=300
plant_code=0
plant_root="" plant_tree="" plant_log=""
plant_command=()
plant_targets=()
declare -A plant_fit=() # by test: ok, or why it says nothing

plant_copy() { # with ../shared where the tests look for it
    plant_root=$(mktemp -d)
    trap 'rm -rf --one-file-system "$plant_root"' EXIT
    plant_tree=$plant_root/tree
    plant_log=$PWD/$logs/defects
    mkdir -p "$plant_tree" "$plant_log"
    tar -c --exclude=./build --exclude='./build-*' --exclude=./runs --exclude=./.git . |
        tar -x -C "$plant_tree"
    [ ! -d ../shared ] || ln -s "$(realpath ../shared)" "$plant_root/shared"
}

plant_build() { # plant_build LOG TARGET...
    local log=$1
    shift
    (cd "$plant_tree" && cmake --build build --target "$@") >"$log" 2>&1
}

# GROUP/NAME[ on RANKS], as tests/run calls it: sets what runs it, and what must be built for it.
plant_parse() {
    local group=${1%%/*} name=${1#*/} ranks=""
    [ "$name" = "${name% on *}" ] || ranks=${name##* on } name=${name% on *}
    if [[ $name = test_* ]] && [ -f "tests/$group/$name.c" ]; then
        plant_targets=("$name")
        plant_command=("build/tests/$group/$name")
        [ -z "$ranks" ] || plant_command=(mpirun -q -n "$ranks" "${plant_command[@]}")
    elif [ -f "tests/$group/$name.sh" ]; then
        plant_targets=(jmt test_tools)
        plant_command=(bash "tests/$group/$name.sh" "build/tests/$group")
    elif [ -f "tests/$group/$name.py" ]; then
        plant_targets=(jmt)
        plant_command=(python3 "tests/$group/$name.py" "$plant_tree/build/jmt")
    else
        return 1
    fi
}

# Passes or not; ended at the first line that says it failed.
plant_run() { # plant_run LOG
    local log=$1 job code=0
    : >"$log"
    (cd "$plant_tree" && JMT=$plant_tree/build/jmt JMT_TEST_SEED=1 exec timeout -k 10 \
        $plant_limit_s "${plant_command[@]}") >"$log" 2>&1 </dev/null &
    job=$!
    while kill -0 $job 2>/dev/null; do
        if grep -qE '^(not ok|FAIL) ' "$log"; then
            kill $job 2>/dev/null # timeout hands it on to all that it started
            break
        fi
        sleep 0.1
    done
    { wait $job || code=$?; } 2>/dev/null # the shell would tell of signals
    plant_code=$code
    [ $code = 0 ] && ! grep -qE '^(not ok|FAIL) ' "$log"
}

# Without a defect the test must pass, and do something. Asked once for each test.
plant_fits() { # plant_fits TEST
    local log=$plant_log/without-${1//[\/ ]/-}.log code=0
    if [ -z "${plant_fit[$1]:-}" ]; then
        plant_fit[$1]=ok
        if ! plant_parse "$1"; then
            plant_fit[$1]="there is no test $1"
        elif ! plant_build "$log.build" "${plant_targets[@]}"; then # without the last defect
            plant_fit[$1]="$1 does not build without a defect; see $log.build"
        else
            plant_run "$log" || code=$?
            if [ $code != 0 ]; then
                plant_fit[$1]="$1 does not pass without the defect; see $log"
            elif grep -q '^SKIP: ' "$log"; then
                plant_fit[$1]="$1 is skipped: $(sed -n 's/^SKIP: //p' "$log" | head -n 1)"
            fi
        fi
    fi
    [ "${plant_fit[$1]}" = ok ]
}

plant_put_back() { # plant_put_back FILE...: newer than what was built
    local file
    for file in "$@"; do
        cp "$plant_root/kept/$file" "$plant_tree/$file"
    done
}

# One patch. Prints how it was caught, or why not; 0 if every test of its header failed.
plant_one() { # plant_one PATCH
    local patch=$1 log files tests test how=""
    log=$plant_log/$(basename "$1" .patch)
    mapfile -t tests < <(sed -n 's/^# test: *//p' "$patch")
    mapfile -t files < <(sed -n 's/^+++ b\///p' "$patch")
    [ ${#tests[@]} -gt 0 ] || { echo "its header names no test" && return 1; }
    for test in "${tests[@]}"; do
        plant_fits "$test" || { echo "${plant_fit[$test]}" && return 1; }
    done
    rm -rf "$plant_root/kept"
    mkdir "$plant_root/kept"
    if ! { (cd "$plant_tree" && cp --parents "${files[@]}" "$plant_root/kept") &&
        (cd "$plant_tree" && GIT_CEILING_DIRECTORIES=$plant_root git apply -v -); } <"$patch" \
        >"$log.patch.log" 2>&1; then
        plant_put_back "${files[@]}" 2>>"$log.patch.log"
        echo "the patch does not apply any more; see $log.patch.log"
        return 1
    fi
    for test in "${tests[@]}"; do
        plant_parse "$test"
        if ! plant_build "$log.build.log" "${plant_targets[@]}"; then
            how="it does not build; see $log.build.log"
            break
        fi
        if plant_run "$log.log"; then
            how="SURVIVED $test"
            break
        fi
    done
    plant_put_back "${files[@]}"
    [ -z "$how" ] || { echo "$how" && return 1; }
    how=$(grep -m 1 -E '^(not ok|FAIL) ' "$log.log" | cut -c 1-110)
    echo "${tests[*]}: ${how:-exit code $plant_code}"
}

# Counts in $passed (caught) and $failed (survived, or could not be judged).
plant_all() {
    local patches=(tests/defects/*.patch) patch how begin word
    plant_copy
    if ! (cd "$plant_tree" && cmake --preset release) >"$plant_log/configure.log" 2>&1; then
        tail -n 40 "$plant_log/configure.log"
        failed=$((failed + ${#patches[@]}))
        return
    fi
    for patch in "${patches[@]}"; do
        [[ -z ${DEFECTS:-} || $(basename "$patch") =~ $DEFECTS ]] || continue
        begin=$SECONDS
        # Not in a subshell: what is known of the tests is kept.
        if plant_one "$patch" >"$plant_root/how"; then
            word=ok passed=$((passed + 1))
        else
            word=FAIL failed=$((failed + 1))
        fi
        read -r how <"$plant_root/how"
        printf '%-4s %-34s %3d s  %s\n' $word "$(basename "$patch" .patch)" \
            $((SECONDS - begin)) "$how"
    done
}
