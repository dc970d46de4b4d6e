#!/usr/bin/env bash
# What can be known of the GPU code without a GPU, in one run: compiles every kernel of kernels/cuda by nvcc, for
# the GPUs that a build is for and as PTX, and the C files beside them and of comm/nccl against NVIDIA's headers,
# warnings being errors; fails where a kernel spills registers, or where that takes more than two cores do in two
# minutes; then has the real cuDNN plan every convolution of the shipped configurations. Prints each kernel file's
# most registers by architecture, the time, and the largest workspaces.
# usage: tests/gpu/compile.sh [ARCHITECTURES, such as "80 90a 100"]
# The toolkit is that of CUDA_HOME, of launch/setup --gpu (.cache/cuda) or /usr/local/cuda, as for a build; the plans
# are asked for by build-gpu/. Exit codes: 0 all is well, 1 something is not, 77 no toolkit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cpu_most_s=240
home=${CUDA_HOME:-}
if [ -z "$home" ]; then
    home=/usr/local/cuda
    [ ! -x .cache/cuda/bin/nvcc ] || home=$PWD/.cache/cuda
fi
nvcc=$home/bin/nvcc
if [ ! -x "$nvcc" ]; then
    echo "SKIP: no $nvcc; run launch/setup --gpu, or set CUDA_HOME to NVIDIA's toolkit"
    exit 77
fi
read -ra architectures <<<"${1:-80 90a 100}"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
targets=()
for architecture in "${architectures[@]}"; do
    targets+=(-gencode "arch=compute_$architecture,code=sm_$architecture")
done
newest=${architectures[-1]}
targets+=(-gencode "arch=compute_$newest,code=compute_$newest")
# The warnings of CMakeLists.txt.
read -ra warnings <<<"$(sed -n '/^set(c_options/,/)/p' CMakeLists.txt | sed 's/^set(c_options//; s/)//' |
    tr '\n' ' ')"
[ "${#warnings[@]}" -gt 0 ]
compile() {
    local name
    name=$(basename "$1" .cu)
    "$nvcc" -std=c++17 -O3 -Werror all-warnings -Xptxas -v "${targets[@]}" -I. -c "$1" \
        -o "$out/$name.o" >"$out/$name.log" 2>&1 || echo "$1: does not compile" >>"$out/failed"
}
compile_c() {
    local name
    name=$(basename "$1" .c)
    mpicc -std=c11 -D_GNU_SOURCE -DJMT_PLUGIN_ABI=\"none\" -O3 "${warnings[@]}" -Werror -I. -isystem "$home/include" \
        -c "$1" -o "$out/$name.o" >"$out/$name.log" 2>&1 || echo "$1: does not compile" >>"$out/failed"
}
compile_all() { # two at a time
    local file running=0
    for file in kernels/cuda/*.c comm/nccl/*.c; do
        compile_c "$file"
    done
    for file in kernels/cuda/*.cu; do
        compile "$file" &
        running=$((running + 1))
        if [ "$running" -ge 2 ]; then
            wait -n
            running=$((running - 1))
        fi
    done
    wait
}
status=0

# --- compiling -----------------------------------------------------------------------------------

TIMEFORMAT='%R %U %S'
{ time compile_all 2>/dev/null; } 2>"$out/time"
if [ -e "$out/failed" ]; then
    status=1
    cat "$out/failed"
    grep -h error "$out"/*.log || true
fi
for file in kernels/cuda/*.cu; do
    log=$out/$(basename "$file" .cu).log
    awk -v name="$(basename "$log" .log)" '
        /Compiling entry function/ { split($0, part, "\x27"); kernel = part[2]; arch = part[4] }
        /bytes spill stores/ && $0 !~ / 0 bytes spill stores, 0 bytes spill loads/ {
            print name ": " arch ": spills: " kernel; bad = 1 }
        /Used [0-9]+ registers/ { for (i = 1; i < NF; i++)
            if ($i == "Used" && $(i + 1) > most[arch]) most[arch] = $(i + 1) }
        END { line = name; for (a in most) line = line " " a ": " most[a]
            print line; exit bad }' "$log" || status=1
done
read -r wall_s user_s system_s <"$out/time"
cpu_s=$(awk "BEGIN { printf \"%.0f\", $user_s + $system_s }")
echo "compiled in $wall_s s, two at a time: $cpu_s s of processor time; at most $cpu_most_s are asked for"
if [ "$cpu_s" -gt $cpu_most_s ]; then
    echo "that is more than two minutes of two cores"
    status=1
fi

# --- plans of cuDNN ------------------------------------------------------------------------------

if ! { cmake --preset release -B build-gpu -DGPU=cuda -DCUDA_HOME="$home" &&
    cmake --build build-gpu -j2 --target test_convolution_plans; } >"$out/plans.log" 2>&1; then
    echo "tests/golden/test_convolution_plans does not build:"
    tail -n 20 "$out/plans.log"
    exit 1
fi
build-gpu/tests/golden/test_convolution_plans >"$out/plans" 2>&1 || status=1
cat "$out/plans"
[ $status = 0 ] && echo "all compiled, nothing spilled, every convolution has its plans"
exit $status
