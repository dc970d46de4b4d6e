#!/usr/bin/env bash
# -DMEDIA: the readers of raw media are built where their libraries are, left out without a fault where not,
# and missed by name where they are asked for. launch/setup installs the libraries with --media or --tests alone.
set -u
trap 'rm -rf "$work"' EXIT
work=$(mktemp -d)
. tests/tap.sh
fails() { ! "$@"; }

wants() { # wants PACKAGE [--tests]: whether launch/setup misses it where nothing is installed
    local package=$1
    shift
    PATH="$work/bin:$PATH" launch/setup --check "$@" | grep -qx "$package"
}
configure() { # configure FOLDER OPTIONS...
    local folder=$work/$1
    shift
    cmake -G Ninja -S . -B "$folder" -DCMAKE_BUILD_TYPE=Debug "$@" >"$work/said" 2>&1
}
says() { grep -qF -- "$1" "$work/said"; }
skips() { # skips PROGRAM: as tests/run counts it
    "$work/off/tests/unit/$1" >"$work/said"
    [ $? = 77 ] && grep -q '^SKIP: built without' "$work/said"
}
dumps() { # dumps CODE KIND PATH
    "$work/off/tests/tools/media_dump" "${@:2}" >"$work/said" 2>&1
    [ $? = "$1" ]
}

imports() { # imports CODE IMPORTER
    "$work/off/jmt" shard "$2" --source configs --out "$work/data" >"$work/said" 2>&1
    [ $? = "$1" ] && grep -q 'this build reads no raw media' "$work/said"
}

mkdir "$work/bin"
printf '#!/bin/sh\necho not-installed\n' >"$work/bin/dpkg-query"
if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
    chmod +x "$work/bin/dpkg-query"
    for package in lib{turbojpeg0,png,samplerate0,avformat,avcodec,swscale}-dev; do
        check "the program does without $package" fails wants $package
        check "importers of raw media want $package" wants $package --media
        check "the tests want $package" wants $package --tests
    done
    check "the program wants libyaml-dev" wants libyaml-dev
fi

# A pkg-config that knows everything but libpng, and FFmpeg in a version before 5.1.
real=$(command -v pkg-config)
cat >"$work/bin/pkg-config" <<END
#!/bin/sh
case "\$*" in *libpng*|*libavutil\ *57.24*) exit 1 ;; esac
exec "$real" "\$@"
END
chmod +x "$work/bin/pkg-config"
export PKG_CONFIG=$work/bin/pkg-config
check "ON without the libraries is refused" fails configure on -DMEDIA=ON
for name in 'libpng>=1.6' 'libavutil>=57.24' 'launch/setup --media'; do
    check "and names $name" says "$name"
done
check "AUTO without them is configured" configure auto
check "and says so" says 'Raw media is not read: not there, or older: libpng>=1.6'
check "MEDIA=YES is refused" fails configure yes -DMEDIA=YES
unset PKG_CONFIG

check "OFF is configured" configure off -DMEDIA=OFF
check "and asks for none of them" fails says libavutil
programs=(test_audio_resample test_image test_video test_faces test_import_raw test_import_media media_dump)
if ! cmake --build "$work/off" --target jmt "${programs[@]}" >"$work/said" 2>&1; then
    tail -n 20 "$work/said"
    check "OFF is built" false
else
    for program in test_audio_resample test_image test_video test_faces test_import_raw test_import_media; do
        check "$program is a skip with its reason" skips $program
    done
    check "archives are read" dumps 0 archive configs
    check "images are unavailable" dumps 3 image README.md
    check "and so are the importers of raw media" imports 3 media
fi
finish
