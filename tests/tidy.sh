#!/usr/bin/env bash
# The rules of the house as tests: layers, homes of outside headers, sizes, names, banned calls,
# format. Prints TAP; offenders are listed under their line. Looks at tracked files and at new ones
# that git does not ignore, in the working tree that holds this script.
set -u
export LC_ALL=C.UTF-8
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

file_lines_max=600
function_lines_max=70
columns_max=100 # scripts: 120
jansson_users='^(data-sharding|trainer|launch|tests)/'
getenv_users='^(launch/|comm/comm(_mpi)?\.c|kernels/(kernels|cuda/cuda_device)\.c|trainer/fault\.c|tests/)'

mapfile -t files < <(git ls-files -co --exclude-standard | sort -u |
    while read -r file; do [ -f "$file" ] && echo "$file"; done)
matching() { printf '%s\n' "${files[@]}" | grep -E "$1"; }
mapfile -t sources < <(matching '\.[ch]$')
mapfile -t texts < <(matching '\.(c|h|cu|cuh|sh|py|yaml|cmake|json)$|(^|/)CMakeLists\.txt$
^(launch|tests|\.ci)/[a-z-]+$')

# A tree without git (an archive) has nothing to list; saying "all clean" of nothing would be a lie.
if [ ${#sources[@]} -eq 0 ]; then
    echo "SKIP: git does not list this tree"
    exit 77
fi

number=0
failures=0
# check NAME FUNCTION: the function prints the offenders; none is a pass.
check() {
    local offenders
    offenders=$("$2")
    number=$((number + 1))
    if [ -z "$offenders" ]; then
        echo "ok $number - $1"
    else
        failures=$((failures + 1))
        echo "not ok $number - $1"
        while IFS= read -r line; do echo "# $line"; done <<<"$offenders"
    fi
}
skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# "FILE:LINE:HEADER" of every #include in the sources; "HEADER if quoted, else <HEADER.
includes() {
    [ ${#sources[@]} -gt 0 ] && perl -ne '
        print "$ARGV:$.:$1$2\n" if /^\s*#\s*include\s*(["<])([^">]+)/;
        close ARGV if eof' "${sources[@]}"
}

# Who may include whom: a layer, then the layers that it sees. A backend's folder (kernels/cpu and
# its like) is a layer of its own that only the table of tables (kernels/*.c) sees; ref, the truth that
# the others start from, is seen by all backends. Tests see everything.
layer_offenders() {
    includes | awk -F: '
        function layer(path,    parts, count) {
            count = split(path, parts, "/")
            if (count == 1) return "?"
            if (parts[1] != "kernels") return parts[1]
            return count == 2 ? "kernels" : parts[2] == "base" ? "base" : "kernels/" parts[2]
        }
        BEGIN {
            sees["base"] = " base "
            sees["kernels"] = " base kernels kernels/ref kernels/cpu kernels/cuda "
            sees["configs"] = " base configs "
            sees["comm"] = " base kernels comm "
            sees["data-sharding"] = " base data-sharding "
            sees["trainer"] = " base kernels comm data-sharding configs trainer "
            sees["launch"] = sees["trainer"] "launch "
        }
        substr($3, 1, 1) == "\"" {
            header = substr($3, 2)
            from = layer($1)
            to = layer(header)
            if (from == "tests") next
            row = from ~ /^kernels\// ? " base kernels kernels/ref " from " " : sees[from]
            if (to == "?") print $1 ":" $2 ": \"" header "\" is not written from the root"
            else if (!index(row, " " to " ")) print $1 ":" $2 ": " from " may not include " header
            else if (from == "kernels" && $1 ~ /\.h$/ && to ~ /^kernels\//)
                print $1 ":" $2 ": " header " would be seen by all who include this"
            else if (header ~ /internal\.h$/ && from != to)
                print $1 ":" $2 ": " header " is private to its folder"
        }'
    # Headers that call themselves private to a folder.
    local header
    grep -lE 'private to [a-z-]+/' "${sources[@]}" | grep '\.h$' | while read -r header; do
        includes | grep -F ":\"$header" | grep -vE "^(${header%/*}|tests)/" |
            sed 's/$/ is private to its folder/'
    done
}

# home HEADER-REGEX PATH-REGEX: who includes such a header from elsewhere.
home() {
    includes | grep -E ":<($1)\$" | grep -vE "$2" |
        while read -r line; do echo "$line> belongs in $2"; done
}
outside_header_offenders() {
    home 'mpi\.h' '^comm/|^tests/(bench|sim|simgpu)/'
    home 'nccl\.h' '^comm/nccl/|^tests/sim(gpu)?/'
    home 'hdf5.*\.h|H5.*\.h' '^data-sharding/h5_file\.c'
    home 'dnnl.*\.h|cblas\.h' '^kernels/cpu/'
    home '[a-z]*intrin\.h' '^kernels/cpu/'
    home '(cuda|cublas|cudnn).*\.h' '^kernels/cuda/|^comm/nccl/|^tests/sim(gpu)?/'
    home 'nvtx3/.*' '^kernels/cuda/ranges\.c|^tests/sim/'
    home 'yaml\.h' '^configs/config_yaml\.c'
    home 'jansson\.h' "$jansson_users"
    home 'pthread\.h' '^data-sharding/(prefetch|ordered_work|steps_file)\.c|^comm/reduce_thread\.c|^tests/'
    home 'zlib\.h' '^data-sharding/|^tests/'
    home 'xxhash\.h' '^data-sharding/|^tests/fuzz/fuzz_shard\.c'
    home 'turbojpeg\.h|png\.h' '^data-sharding/(image|media_write)\.c|^tests/'
    home 'samplerate\.h' '^data-sharding/audio_resample\.c'
    home 'lib(av|sw)[a-z]+/.*' \
        '^data-sharding/(video(_file)?\.[ch]|(picture_scale|media_write)\.c)|^tests/unit/media_case\.c'
    home 'openssl/.*' '^kernels/base/sha256\.c'
    home 'cmocka\.h' '^tests/'
    home 'assert\.h' '^$'
}

# The YAML files of different data sets have the same names on purpose; run is a fixed name.
name_offenders() {
    matching '' | grep -vE '(^|/)(CMakeLists\.txt|README\.md|\.gitignore|run)$|^configs/.*\.yaml$' |
        awk -F/ '{ seen[$NF] = seen[$NF] " " $0; count[$NF]++ }
                 END { for (n in count) if (count[n] > 1) print n ":" seen[n] }' | sort
}

file_length_offenders() {
    local file lines
    for file in "${texts[@]}"; do
        [[ $file != tests/golden/vectors/* ]] || continue # numbers, not text
        lines=$(wc -l <"$file")
        [ "$lines" -gt $file_lines_max ] && echo "$file: $lines lines, at most $file_lines_max"
    done
}

# From the line of the name to the closing brace.
function_length_offenders() {
    ctags -f - --languages=C --langmap=C:.c.h --kinds-C=f --fields=+ne "${sources[@]}" |
        awk -F'\t' -v most=$function_lines_max '
            /^!/ { next }
            {
                line = last = 0
                for (i = 4; i <= NF; i++) {
                    if ($i ~ /^line:/) line = substr($i, 6)
                    if ($i ~ /^end:/) last = substr($i, 5)
                }
                if (last - line + 1 > most)
                    print $2 ":" line ": " $1 " has " last - line + 1 " lines, at most " most
            }'
}

# The sources without comments and texts, as FILE:LINE:CODE.
code() {
    [ ${#sources[@]} -gt 0 ] && perl -0777 -e '
        for my $file (@ARGV) {
            open my $in, "<", $file or next;
            my $text = <$in>;
            $text =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])*\x27)}
                      {my $gone = $1; $gone =~ s/[^\n]//g; $gone}gse;
            my $number = 0;
            print map { $number++; "$file:$number:$_\n" } split /\n/, $text;
        }' "${sources[@]}"
}
# banned NAMES ALLOWED-PATHS WHY
banned() {
    grep -P ":[0-9]+:.*(?<![A-Za-z0-9_.>])($1)\s*\(" "$code_text" | grep -vE "$2" |
        while read -r line; do echo "${line:0:90} (instead: $3)"; done
}
banned_call_offenders() {
    banned 'atoi|atol|atoll|atof' '^$' 'strtoll, strtod, with their errors'
    banned 'assert' '^$' 'REQUIRE'
    banned 'exit|_Exit|quick_exit' '^launch/main\.c|^tests/' 'return a status'
    banned 'abort' '^kernels/base/status\.c|^tests/' 'panic'
    banned 'getenv|secure_getenv' "$getenv_users" 'a setting'
    banned 'sprintf|vsprintf|gets' '^$' 'snprintf, text_format'
    banned 'strcpy|strcat|strncpy|strncat' '^kernels/base/|^tests/' 'text_copy, text_format'
    banned 'rand|srand|drand48|random' '^$' 'rng.h'
    banned 'strtok|localtime|gmtime|asctime|ctime' '^$' 'the _r form'
}

# Variables at file scope that can change; status.c and log.c keep the text and the volume.
state_offenders() {
    ctags -f - --languages=C --langmap=C:.c.h --kinds-C=v --fields=+n "${sources[@]}" |
        grep -vE $'\t(kernels/base/(status|log)\\.c|tests/)' |
        perl -F'\t' -ane '
            next if /^!/;
            my ($last) = /\tline:(\d+)/;
            open my $in, "<", $F[1] or next;
            my @text = <$in>;
            my $first = $last; # back to where the declaration begins: } name[] = { is its end
            $first-- while $first > 1 && $text[$first - 1] !~ /^[a-z_]/;
            my $declaration = join "", @text[$first - 1 .. $last - 1];
            next if $declaration =~ /\bvolatile sig_atomic_t\b/; # a signal handler has no argument
            next if $declaration =~ /^extern\b|\*\s*const\s+$F[0]\b/;
            next if $declaration =~ /\bconst\b/ && $declaration !~ /\*\s*$F[0]\b/;
            print "$F[1]:$last: $F[0] is no constant\n";'
}

marker_offenders() {
    grep -nE '\b(TO''DO|FIX''ME|X''XX|HA''CK)\b' "${texts[@]}"
}

column_offenders() {
    perl -CSD -ne '
        chomp;
        $max = $ARGV =~ /\.[ch]$/ ? '$columns_max' : 120;
        print "$ARGV:$.: ", length, " columns\n" if length > $max;
        print "$ARGV:$.: white space at the end\n" if /\s$/;
        print "$ARGV:$.: tab\n" if /\t/ && $ARGV =~ /\.[ch]$/;
        close ARGV if eof' "${texts[@]}"
}

format_offenders() {
    clang-format --dry-run -Werror "${sources[@]}" 2>&1 | grep -E 'error:' |
        awk -F: '{ count[$1]++; if (!($1 in first)) first[$1] = $2 }
                 END { for (f in count) print f ":" first[f] ": " count[f] " places" }' | sort
}

defect_offenders() { # exactly: a patch that lands elsewhere says nothing
    local patch
    for patch in tests/defects/*.patch; do
        git apply --check "$patch" 2>/dev/null || echo "$patch"
    done
}

code_text=$(mktemp) || exit 1
trap 'rm -f "$code_text"' EXIT
code >"$code_text"

check 'layers point one way' layer_offenders
check 'outside headers stay in their homes' outside_header_offenders
check 'file names are unique in the tree' name_offenders
check "files have at most $file_lines_max lines" file_length_offenders
if ctags --version 2>/dev/null | grep -q 'Universal Ctags'; then
    check "functions have at most $function_lines_max lines" function_length_offenders
    check 'nothing at file scope can change' state_offenders
else
    skip "functions have at most $function_lines_max lines" 'needs universal-ctags'
    skip 'nothing at file scope can change' 'needs universal-ctags'
fi
check 'no banned calls' banned_call_offenders
check 'no leftover markers' marker_offenders
check "lines have at most $columns_max columns (scripts: 120) and end clean" column_offenders
# Other versions break lines elsewhere.
if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    check 'clang-format has nothing to change' format_offenders
else
    skip 'clang-format has nothing to change' 'needs clang-format 14'
fi
check 'planted defects apply (tests/defects)' defect_offenders
echo "1..$number"
[ $failures -eq 0 ]
