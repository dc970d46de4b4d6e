#!/bin/bash
# plugin.sh - jmt_cuda.so is loaded when a GPU is asked for and not before; what it or the machine lacks is said in a
# line with what to do. The plug-in is that of the simulated GPU, which is loaded the same way.
root=$(cd "$(dirname "$0")/../.." && pwd)
export JMT_BUILD=$root/build-sim SIMGPU_TIMEOUT=100 ASAN_OPTIONS=detect_leaks=0
. "$(dirname "$0")/../system.sh"
small=("${tiny[@]}" --set batch=8 --set virtual_shards=8 --set data.window=4 --set model.dim=8 --set model.ff=8
    --set schedule_known=true --steps 1)

loaded() { # loaded ARGUMENTS...: the files of GPU code that jmt maps
    LD_DEBUG=files timeout 120 "$jmt" "$@" 2>&1 >/dev/null |
        grep -oE 'calling init: .*(jmt_cuda|libcuda|libcublas|libcudnn|libnccl).*' | sort -u
}
check "the program itself needs nothing of NVIDIA's" bash -c \
    '! ldd "$0" | grep -E "jmt_cuda|libcuda|libcublas|libcudnn|libnccl"' "$jmt"
check "a training on the CPU loads none" same none "none$(loaded train "${small[@]}" --run "$work/cpu")"
check "nor does jmt --version" same none "none$(loaded --version --json)"
"$jmt" --version --json | grep -q '"cuda"'
report $? "which knows the backend all the same"
loaded train "${small[@]}" --set backend=cuda --run "$work/cuda" | grep -q jmt_cuda
report $? "one on a GPU does"

on_gpu=(train "${small[@]}" --set backend=cuda --run "$work/none")
SIMGPU_DEVICES=-1 fails "no driver" 3 'no NVIDIA driver \(libcuda.so.1\); run on one with a GPU, or' 1 "${on_gpu[@]}"
SIMGPU_DEVICES=0 fails "no GPU" 3 'no GPU can be used: .*; run on a machine with a GPU .*or use device: cpu' 1 \
    "${on_gpu[@]}"
SIMGPU_DEVICES=-1 "$jmt" doctor --json >"$work/doctor" 2>"$work/stderr" &&
    grep -q '"cuda": "no GPU can be used: this machine has no NVIDIA driver' "$work/doctor" &&
    grep -q '"remedy": "run on one with a GPU, or use device: cpu"' "$work/doctor"
report $? "jmt doctor says it as well"

# The program in another place, with a plug-in that is missing, broken or another build's.
built=$jmt
mkdir -p "$work/bin" "$work/lib/jmt"
cp "$built" "$work/bin/jmt"
jmt=$work/bin/jmt
fails "no plug-in" 3 'cuda is not in this build .*use (backend|device): cpu' 1 "${on_gpu[@]}"
"$jmt" --version --json >"$work/version"
check "which jmt --version does not list then" bash -c '! grep -q cuda "$0"' "$work/version"
sed 's/libm\.so\.6/libw.so.6/' "$JMT_BUILD/jmt_cuda.so" >"$work/bin/jmt_cuda.so"
fails "one whose library is missing" 3 'jmt_cuda.so cannot be loaded: libw.so.6: cannot open .*; install NVIDIA' 1 \
    "${on_gpu[@]}"
sed 's/levels_open/levels_none/' "$JMT_BUILD/jmt_cuda.so" >"$work/lib/jmt/jmt_cuda.so"
mv "$work/bin/jmt_cuda.so" "$work/missing.so"
fails "one that takes what this program has not" 3 \
    'cannot be loaded: .*undefined symbol: levels_none; build both together' 1 "${on_gpu[@]}"
mv "$work/missing.so" "$work/bin/jmt_cuda.so"
rm "$work/lib/jmt/jmt_cuda.so"
"$jmt" doctor --json >"$work/doctor" 2>"$work/stderr" &&
    grep -q '"cuda": ".*jmt_cuda.so cannot be loaded: libw.so.6' "$work/doctor"
report $? "as jmt doctor says"
python3 - "$JMT_BUILD/jmt_cuda.so" "$work/bin/jmt_cuda.so" "$built" <<'PYTHON'
import re, sys
hashes = set(re.findall(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", open(sys.argv[3], "rb").read()))
data = open(sys.argv[1], "rb").read()
shared = [h for h in hashes if h in data]
assert len(shared) == 1, shared
open(sys.argv[2], "wb").write(data.replace(shared[0], shared[0][::-1]))
PYTHON
fails "one of another build" 3 'jmt_cuda.so is of another build of jmt; build both together' 1 "${on_gpu[@]}"
rm "$work/bin/jmt_cuda.so"
cp "$JMT_BUILD/jmt_cuda.so" "$work/lib/jmt/"
run 1 "${on_gpu[@]}"
report $? "one where an installed program has it: loaded"
finish
