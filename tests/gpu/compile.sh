#!/usr/bin/env bash
# Compiles every kernel of kernels/cuda by nvcc, for the GPUs that a build is for and as PTX, and the C
# files beside them and of comm/nccl against NVIDIA's headers, warnings being errors; fails where a
# kernel spills registers. No GPU is needed. Prints each kernel file's most registers by
# architecture.
# usage: tests/gpu/compile.sh [ARCHITECTURES, such as "80 90a 100"]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
nvcc=${CUDA_HOME:-/usr/local/cuda}/bin/nvcc
if [ ! -x "$nvcc" ]; then
    echo "SKIP: no $nvcc; set CUDA_HOME to NVIDIA's toolkit"
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
    mpicc -std=c11 -D_GNU_SOURCE -O3 "${warnings[@]}" -Werror -I. -isystem "${nvcc%/bin/nvcc}/include" \
        -c "$1" -o "$out/$name.o" >"$out/$name.log" 2>&1 || echo "$1: does not compile" >>"$out/failed"
}
for file in kernels/cuda/*.c comm/nccl/*.c; do
    compile_c "$file"
done
running=0
for file in kernels/cuda/*.cu; do
    compile "$file" &
    running=$((running + 1))
    if [ "$running" -ge 2 ]; then
        wait -n
        running=$((running - 1))
    fi
done
wait
status=0
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
exit "$status"
