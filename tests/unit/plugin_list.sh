#!/usr/bin/env bash
# What a plug-in takes of the program and its list lacks is an error of the build (abi.cmake); what the list has,
# programs export.
set -u
trap 'rm -rf "$work"' EXIT
work=$(mktemp -d)
root=$PWD
. tests/tap.sh
fails() { ! "$@"; }

cat >"$work/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.20)
project(list LANGUAGES C)
include($root/abi.cmake)
add_library(given STATIC given.c)
jmt_exports(given \${CMAKE_SOURCE_DIR}/a.list)
add_executable(program program.c)
target_link_libraries(program PRIVATE given)
add_library(plugin MODULE plugin.c)
jmt_takes(plugin \${CMAKE_SOURCE_DIR}/a.list C \$<TARGET_OBJECTS:plugin> m)
CMAKE
echo 'int main(void) { return 0; }' >"$work/program.c"
printf 'void first(void) {}\nvoid second_2(void) {}\nvoid third(void) {}\n' >"$work/given.c"
printf '#include <math.h>\nvoid first(void); void second_2(void); double use(double x);\n%s\n' \
    'double use(double x) { first(); second_2(); return sin(x); }' >"$work/plugin.c"
list() { # list NAMES...: and a build with it
    printf '/* Taken. */\n{\n%s};\n' "$(printf '    %s;\n' "$@")
" >"$work/a.list"
    cmake -S "$work" -B "$work/build" -G Ninja -DCMAKE_POSITION_INDEPENDENT_CODE=ON >"$work/log" 2>&1 &&
        cmake --build "$work/build" >>"$work/log" 2>&1
}

check "all that is taken is in the list" list first second_2
nm -D --defined-only "$work/build/program" | awk '{ print $3 }' | sort >"$work/exported"
check "which a program exports though it calls none of it" grep -qx second_2 "$work/exported"
check "and nothing else" fails grep -qx third "$work/exported"

# Headers that a plug-in's sources include (FILES, of OWN folders) are those that its hash is made of.
hashed() { # hashed VARIABLE CMAKE OWN FILES...
    local folder known
    known=" $(sed -n "s/.*jmt_abi($1 \"[^\"]*\" \(.*\))/\1/p" "$2") $3 "
    shift 3
    sed -n 's|^#include "\(.*\)/[^/]*"$|\1|p' "$@" | sort -u | while read -r folder; do
        [[ $known == *" $folder "* ]] || { echo "# $folder is not in$known"; exit 1; }
    done
}
check "headers of the GPU plug-in" hashed JMT_PLUGIN_ABI gpu.cmake "kernels/cuda comm/nccl" \
    kernels/cuda/*.* comm/nccl/*.*
check "headers of the readers of raw media" hashed JMT_MEDIA_ABI data-sharding/CMakeLists.txt "" \
    data-sharding/{audio_resample,image,media_images,media_sink,media_sound,media_table,media_tracks,media_write}.c \
    data-sharding/{picture,video}*.c
check "which are some" fails hashed JMT_PLUGIN_ABI gpu.cmake "" kernels/cuda/*.*

check "a name that the list lacks: no build" fails list first
check "and the linker names it" grep -q "undefined reference to .second_2" "$work/log"
finish
