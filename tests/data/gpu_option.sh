#!/usr/bin/env bash
# -DGPU: the plug-in is built where NVIDIA's toolkit is whole, left out without a fault where not, and what is missing
# is named where it is asked for. launch/setup --gpu unpacks the toolkit's wheels as one folder.
set -u
trap 'rm -rf "$work"' EXIT
work=$(mktemp -d)
. tests/tap.sh
fails() { ! "$@"; }
configure() { # configure CUDA_HOME OPTIONS...
    CUDA_HOME=$1 cmake -G Ninja -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Debug -DTESTS=OFF -DMEDIA=OFF \
        -DGPU_FETCHED="$work/none" "${@:2}" \
        >"$work/said" 2>&1
    local code=$?
    [ -n "${keep:-}" ] || rm -rf "$work/build"
    return $code
}
says() { tr -s ' \n' ' ' <"$work/said" | grep -qF -- "$1"; }

nowhere=$work/nowhere
check "GPU=auto without a toolkit is no fault" configure "$nowhere" -DGPU=auto
check "and says what is missing" says "No GPU code: not in $nowhere: header cuda_runtime_api.h"
mkdir -p "$work/fetched/include"
touch "$work/fetched/include/"{cuda_runtime_api,cuda_bf16,cublasLt,cudnn,nccl}.h
check "where it is not whole, what was fetched counts" configure "$nowhere" -DGPU=auto -DGPU_FETCHED="$work/fetched"
check "and is what is said to lack a library" says "not in $work/fetched: library cudart"
check "GPU=cuda without one is" fails configure "$nowhere" -DGPU=cuda
check "and says what to do" says "run launch/setup --gpu, set CUDA_HOME to the toolkit, or build with -DGPU=off"
check "GPU=sim without its headers as well" fails configure "$nowhere" -DGPU=sim
check "by name" says "GPU=sim needs NVIDIA's header cuda_runtime_api.h"
check "GPU=some is refused" fails configure "$nowhere" -DGPU=some
check "with what there is" says "auto, cuda, sim, off"
mkdir "$work/build"
touch "$work/build/jmt_cuda.so"
keep=1 configure "$nowhere" -DGPU=off
check "GPU=off leaves no plug-in of before, which would be refused" test ! -e "$work/build/jmt_cuda.so"
rm -rf "$work/build"

# launch/setup in a tree of its own; pip's answers are wheels made here, of the layout that NVIDIA's have.
mkdir -p "$work/tree/launch" "$work/bin"
cp launch/setup "$work/tree/launch/"
real=$(command -v python3)
cat >"$work/bin/python3" <<PYTHON
#!/bin/bash
[ "\$2 \$3" = "pip download" ] || exec $real "\$@"
echo "\$@" >>"$work/asked"
[ ! -e "$work/refuse" ] || { echo "no such wheel"; exit 1; }
while [ "\$1" != -d ]; do shift; done
exec $real - "\$2" <<'MAKE'
import sys, zipfile
files = {"cu13": ["bin/nvcc", "nvvm/bin/cicc", "include/cuda_runtime_api.h", "include/cublasLt.h",
                  "lib/libcudart.so.13", "lib/libcublasLt.so.13"],
         "cudnn": ["include/cudnn.h", "lib/libcudnn.so.9"], "nccl": ["include/nccl.h", "lib/libnccl.so.2"]}
for part, names in files.items():
    with zipfile.ZipFile(f"{sys.argv[1]}/nvidia_{part}-1-py3-none-any.whl", "w") as wheel:
        for name in names:
            wheel.writestr(f"nvidia/{part}/{name}", name)
MAKE
PYTHON
printf '#!/bin/sh\nexit 0\n' >"$work/bin/pip3"
printf '#!/bin/sh\nshift 3\nprintf "installed:%%s " "$@"\n' >"$work/bin/dpkg-query" # all packages are there
cp "$work/bin/pip3" "$work/bin/g++"
chmod +x "$work/bin/"*
setup() { (cd "$work/tree" && CUDA_HOME=$nowhere PATH="$work/bin:$PATH" launch/setup "$@" >"$work/said" 2>&1); }

setup --check --gpu
code=$?
check "setup --gpu --check misses the toolkit" test $code = 1
check "and lists its wheels with their versions" grep -qE '^nvidia-cudnn-cu13==[0-9.]+$' "$work/said"
setup --check
check "which nothing else wants" fails grep -q nvidia "$work/said"
touch "$work/refuse"
setup --gpu
code=$?
check "pip that fails is exit 1" test $code = 1
check "and leaves no toolkit" test ! -e "$work/tree/.cache/cuda"
rm "$work/refuse"
check "setup --gpu fetches it" setup --gpu
cuda=$work/tree/.cache/cuda
check "with programs that may be run" test -x "$cuda/bin/nvcc" -a -x "$cuda/nvvm/bin/cicc"
headers=("$cuda"/include/{cudnn,nccl,cublasLt,cuda_runtime_api}.h)
check "all headers in one folder" grep -q include "${headers[@]}"
check "and libraries that a linker finds" test "$(cat "$cuda/lib64/libcudnn.so")" = lib/libcudnn.so.9
asked=$(wc -l <"$work/asked")
check "a second time there is nothing to do" setup --gpu
check "and nobody is asked" test "$(wc -l <"$work/asked")" = "$asked"
setup --check --gpu
code=$?
check "setup --check says so" test $code = 0

# Packages are missing, and nobody here may install them.
rm -rf "$cuda"
for name in dpkg-query sudo; do
    printf '#!/bin/sh\nexit 1\n' >"$work/bin/$name"
done
printf '#!/bin/sh\necho 1000\n' >"$work/bin/id"
chmod +x "$work/bin/"*
check "without root packages are not installed" fails setup --gpu
check "the toolkit is there all the same" test -x "$cuda/bin/nvcc"
finish
