#!/usr/bin/env bash
# When launch/quickstart configures: its own rule, in a folder that looks like a tree with a build.
. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
rule=$(sed -n '/^is_configured() {/,/^}/p' launch/quickstart)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

is_configured() { ! :; } # unless launch/quickstart has one
eval "$rule"
# new_build [TYPE [GPU]]: in the working directory, configured after all that decides.
new_build() {
    rm -rf build
    mkdir build
    touch -d '1 hour ago' CMakePresets.json
    printf '%s\n' "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "CMAKE_BUILD_TYPE:STRING=${1:-Release}" \
        "GPU:STRING=${2:-auto}" >build/CMakeCache.txt
    touch build/build.ninja
}
not() { ! "$@"; }

cd "$tree" || exit 1
export CUDA_HOME=$tree/toolkit
check "without a build: configure" not is_configured 2>/dev/null
new_build
check "a build is left as it is" is_configured
new_build Debug
check "for gdb: configure" not is_configured
new_build
sed -i 's/^CMAKE_HOME.*/&2/' build/CMakeCache.txt
check "of another tree: configure" not is_configured
new_build
touch -d 'next hour' CMakePresets.json
check "older than the presets: configure" not is_configured

mkdir -p toolkit/bin # comes later
printf '#!/bin/sh\n' >toolkit/bin/nvcc
chmod +x toolkit/bin/nvcc
new_build
check "without a GPU's plug-in where a toolkit is: configure" not is_configured
touch build/jmt_cuda.so
check "with it: left as it is" is_configured
new_build Release off
check "told to be without a GPU: left as it is" is_configured
finish
