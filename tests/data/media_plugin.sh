#!/usr/bin/env bash
# jmt_media.so is loaded when raw media is read and not before, from beside the program or from where an installed one
# has it; without it, or with one of another build, one line says so. Files of pictures need jmt_pictures.so alone, as
# long as they have their size.
set -u
trap 'rm -rf "$work"' EXIT
work=$(mktemp -d)
build=${JMT%/*}
. tests/tap.sh
fails() { ! "$@"; }
[ -e "$build/jmt_media.so" ] || skip "built without the readers of raw media"

generate=(shard --generate biovid --set people=2 --set per_class=1 --set side=16)
links() { ldd "$1" | grep -Eq 'libav|libsw|libturbojpeg|libpng|libsamplerate'; }
opened() { LD_DEBUG=files "$@" 2>&1 >"$work/out" | grep -Eq 'calling init: .*(jmt_media|libavformat)'; }
make() { # make CODE PROGRAM
    rm -rf "$work/data"
    "$2" "${generate[@]}" --out "$work/data" >"$work/said" 2>&1
    [ $? = "$1" ] && [[ $1 = 0 || $(grep -c '' "$work/said") = 1 ]]
}
says() { grep -qF -- "$1" "$work/said"; }

check "the program needs no library for raw media" fails links "$JMT"
check "its plug-in does" links "$build/jmt_media.so"
check "a start loads neither" fails opened "$JMT" --version
check "raw media is made and read by the plug-in" opened "$JMT" "${generate[@]}" --out "$work/first"
mkdir -p "$work/bin" "$work/lib/jmt"
cp "$JMT" "$work/bin/jmt"
check "without it: exit 3" make 3 "$work/bin/jmt"
check "and the file is named" says 'there is no jmt_media.so beside the program'
cp "$build/jmt_media.so" "$work/lib/jmt/"
check "an installed one is found" make 0 "$work/bin/jmt"
hash=$(strings -n 64 "$JMT" | grep -xE '[0-9a-f]{64}' | while read -r hash; do
    grep -qF "$hash" "$build/jmt_media.so" && echo "$hash"
done | head -n 1)
sed "s/$hash/${hash//[0-9]/0}/" "$build/jmt_media.so" >"$work/bin/jmt_media.so"
check "one of another build: exit 3" make 3 "$work/bin/jmt"
check "and that is said" says 'jmt_media.so is of another build of jmt; build both together'
sed 's/libsamplerate\.so/libsamplerale.so/' "$build/jmt_media.so" >"$work/bin/jmt_media.so"
check "one whose library is missing: exit 3" make 3 "$work/bin/jmt"
check "and what is missing is named" says 'jmt_media.so cannot be loaded: libsamplerale.so'
rm "$work/bin/jmt_media.so" "$work/lib/jmt/jmt_media.so"

mkdir -p "$work/mine/r"
python3 - "$work/mine/r" <<'END'
import struct, sys, zlib
def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
rows = b"".join(b"\0" + bytes(range(y, y + 48)) for y in range(16))
for i in (1, 2, 3):
    with open(f"{sys.argv[1]}/{i}.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
                   + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
END
printf 'recording,subject,group,modality,rate_hz,path\nr,Ann,,video:face,25,r\n' >"$work/mine/manifest.csv"
generate=(shard media --source "$work/mine" --set first_frame=1 --set threads=1 --set size=16)

check "pictures are not read without theirs" make 3 "$work/bin/jmt"
check "and that file is named" says 'there is no jmt_pictures.so beside the program'
cp "$build/jmt_pictures.so" "$work/bin/"
check "with it they are, as they need nothing else" make 0 "$work/bin/jmt"
check "nor do they load it" fails opened "$JMT" "${generate[@]}" --out "$work/second"
generate+=(--set size=8)
check "those of another size do" opened "$JMT" "${generate[@]}" --out "$work/third"
check "and are not read without it" make 3 "$work/bin/jmt"
check "and jmt_media.so is named" says 'there is no jmt_media.so beside the program'
printf 'recording,subject,group,modality,rate_hz,path\nr,Ann,,video:face,,r.mp4\n' >"$work/mine/manifest.csv"
: >"$work/mine/r.mp4"
check "nor is a video" make 3 "$work/bin/jmt"
check "of which the file is not looked at" says 'there is no jmt_media.so beside the program'
finish
