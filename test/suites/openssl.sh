#!/bin/bash
# OpenSSL's own test suite with the provider loaded.
#
#   test/suites/openssl.sh [-r RELEASE] [-v VERSION] [-b BACKEND] [-d FOLDER]
#       [-m MODES] [RECIPE...]
#
# Each recipe of the suite (for example test_cms) runs three times, with what is
# configured where the suite configures the default provider exchanged: stock,
# keys profile, full profile. A test that is ok with stock and not, or not at
# all, with a profile is a difference; it has to be named, with its reason, in
# openssl.known. Ends with 1 when one is not, with 77 and the reason when the
# suite cannot be had from here. docs/compatibility.md has what came out.
#
# RELEASE is another release of Debian than this machine's, as "trixie", which
# has OpenSSL 3.5: all of this runs in a root of that release, in FOLDER, then.
# It takes root and debootstrap. VERSION is that of the source; by default the
# newest. BACKEND is none by default: same results, same code, and nothing can
# fault. FOLDER, by default openssl-mpk/suite-openssl in the user's cache, with
# -RELEASE behind it if one is given, keeps source, programs and results. MODES,
# "stock keys full" by default, are those that run; of the others the last
# results count, of all with -m ''. Takes ten minutes on two idle CPUs once
# all is built, an hour or two on busy ones, and is not part of test.sh.
#
# Only the test programs are built: libcrypto, libssl and openssl are Debian's
# newest packages of the same version as the source, unpacked and not installed,
# and the module has that libcrypto inside.
# shellcheck disable=SC2016 # what xargs runs expands there
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HERE=$ROOT/test/suites
BACKEND=none
DIR=
RELEASE=
WANTED=
MODES=(stock keys full)
while getopts b:d:m:r:v: option; do
    case $option in
    b) BACKEND=$OPTARG ;;
    d) DIR=$(realpath -m "$OPTARG") ;;
    m) read -ra MODES <<<"$OPTARG" ;;
    r) RELEASE=$OPTARG ;;
    v) WANTED=$OPTARG ;;
    *) exit 1 ;;
    esac
done
shift $((OPTIND - 1))
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/openssl-mpk
DIR=${DIR:-$CACHE/suite-openssl${RELEASE:+-$RELEASE}}

SOURCE=$DIR/source
TESTS=$DIR/tests
MODULE=$DIR/module
PACKAGES=$DIR/packages
LIBS=$PACKAGES/usr/lib/x86_64-linux-gnu
export LC_ALL=C

# Not run: what wants the FIPS module, other projects' suites, fuzzers' corpora,
# and what never comes near a provider.
LEFT_OUT='^(prep_|external_|fuzz_|fips|cli_fips|defltfips|internal_|bn$|exp$'
LEFT_OUT+='|symbol_presence$|ordinals$|shlibload$|acvp$|ecstress$|abort$'
LEFT_OUT+='|constant_time$|cipher_overhead$|overhead$|afalg$|rdrand)'

# Programs of which a test ends the process with a profile: they run once more,
# a process for each test, so that the rest is seen too.
SINGLY=(evp_extra)

die() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

skip() {
    printf 'SKIP: %s\n' "$1"
    exit 77
}

# ---- another release -------------------------------------------------------

# What a root does not have by itself, and this script needs in there.
ROOT_PACKAGES=(ca-certificates cmake dpkg-dev gcc libc6-dev libssl-dev
    libzstd-dev make perl procps zlib1g-dev)

# make_root FOLDER: servers are the machine's own, and how they are reached.
make_root() {
    local root=$1 packages
    [[ ! -e $root/complete ]] || return 0
    ((EUID == 0)) || skip 'to make and enter a root of Debian takes root'
    command -v debootstrap >/dev/null || skip 'there is no debootstrap here'
    debian_sources "$RELEASE" >"$DIR/sources"
    [[ -s $DIR/sources ]] ||
        skip 'apt has no sources for the release of this machine'
    rm -rf "$root"
    packages=$(IFS=, && echo "${ROOT_PACKAGES[*]}")
    debootstrap --variant=minbase --include="$packages" "$RELEASE" "$root" \
        "$(awk -v suite="$RELEASE" '$3 == suite { print $2 }' \
            "$DIR/sources")" >"$DIR/log" 2>&1 ||
        skip "no root of $RELEASE can be made: see $DIR/log"
    cp "$DIR/sources" "$root/etc/apt/sources.list"
    apt-config dump Acquire >"$root/etc/apt/apt.conf.d/90machine"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    : >"$root/complete"
}

# in_root ARGUMENT...: this script, in the root, in the place of this process.
# Tree and FOLDER are there under the same names, the tree not to be written.
# What is mounted is so for it and its children only.
in_root() {
    # shellcheck source=test/trixie/sources.sh
    . "$HERE/../trixie/sources.sh"
    mkdir -p "$DIR"
    make_root "$DIR/root"
    exec unshare --mount bash -euc '
        tree=$1 folder=$2 root=$2/root
        mkdir -p "$root$tree" "$root$folder"
        for part in /proc /sys /dev "$tree" "$folder"; do
            mount --bind "$part" "$root$part"
        done
        mount -o remount,ro,bind "$root$tree"
        shift 2
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            HOME=/root "$tree/test/suites/openssl.sh" -d "$folder" "$@"
    ' bash "$ROOT" "$DIR" "$@"
}

# ---- source and programs ---------------------------------------------------

# own_apt get|cache ARGUMENT...: with the machine's sources, of which it may
# fetch source packages too, and a state of its own.
own_apt() {
    local lists=$DIR/apt tool=apt-$1
    shift
    if [[ ! -d $lists ]]; then
        mkdir -p "$lists"/{sources,lists/partial}
        cp /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list \
            "$lists/sources" 2>/dev/null || true
        cp /etc/apt/sources.list "$lists/sources/main.list" 2>/dev/null || true
        sed -i 's/^Types: deb$/Types: deb deb-src/' \
            "$lists"/sources/*.sources 2>/dev/null || true
        sed -i '/^deb /{p;s/^deb /deb-src /}' \
            "$lists"/sources/*.list 2>/dev/null || true
    fi
    "$tool" -qq -o Dir::Etc::SourceList=/dev/null \
        -o Dir::Etc::SourceParts="$lists/sources" \
        -o Dir::State::Lists="$lists/lists" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User= "$@"
}

# Of the source, newest first; a mirror need not have all that it lists.
versions() {
    own_apt cache showsrc openssl 2>/dev/null | sed -n 's/^Version: //p' |
        sort -rV | xargs
}

# packages_of VERSION: NAME=VERSION of what the source makes and the tests want.
# Packages of a later revision have what their source's tests have mended, or
# nothing that concerns them.
packages_of() {
    local name revision
    sed -n 's/^Package: //p' "$SOURCE/debian/control" |
        grep -xE 'libssl3(t64)?|libssl-dev|openssl|openssl-provider-legacy' |
        while read -r name; do
            revision=$(own_apt cache show -a "$name" 2>/dev/null |
                sed -n "s/^Version: //p" | sort -V | grep "^${1%-*}-" |
                tail -n 1) || true
            echo "$name=${revision:-$1}"
        done
}

fetch() {
    local work version package packages
    [[ ! -e $DIR/fetched ]] || return 0
    rm -rf "$SOURCE" "$PACKAGES" "$DIR/apt" "$DIR"/fetch.*
    mkdir -p "$DIR" "$PACKAGES"
    own_apt get update >"$DIR/log" 2>&1 || true
    work=$(mktemp -d "$DIR/fetch.XXXXXX")
    (cd "$work" &&
        own_apt get --only-source source "openssl${WANTED:+=$WANTED}" &&
        mv openssl-*/ "$SOURCE") >>"$DIR/log" 2>&1 ||
        skip "the source of OpenSSL cannot be fetched: see $DIR/log; there are\
 (-v): $(versions)"
    version=$(cd "$SOURCE" && dpkg-parsechangelog -S Version)
    mapfile -t packages < <(packages_of "$version")
    (cd "$work" && own_apt get download "${packages[@]}") >>"$DIR/log" 2>&1 ||
        skip "OpenSSL $version cannot be fetched: see $DIR/log"
    for package in "$work"/*.deb; do
        dpkg -x "$package" "$PACKAGES"
    done
    rm -rf "$work"
    echo "${packages[0]#*=}, tests of $version" >"$DIR/fetched"
}

# As Debian configures it, without the FIPS module.
options() {
    sed -n '/^CONFARGS *=/,/[^\\]$/p' "$SOURCE/debian/rules" |
        grep -oE '\b(no|enable)-[a-z0-9_-]+' | grep -vx enable-fips
    # Programs with libcrypto inside export it: else no module could reach it.
    printf '%s\n' enable-ec_nistp_64_gcc_128 -DOPENSSL_TLS_SECURITY_LEVEL=2 \
        -Wl,-E
}

# Not those that only compile a header, or test the inside of libcrypto.
programs() {
    make -pn --no-print-directory 2>/dev/null |
        sed -n 's/^PROGRAMS *= *//p' | head -1 | tr ' ' '\n' |
        grep '^test/' | grep -v 'buildtest_\|_internal_test$\|/bntest$'
}

place_libraries() {
    local file
    for file in libcrypto.a libssl.a libcrypto.so.3 libssl.so.3; do
        ln -sf "$LIBS/$file" .
    done
    ln -sf libcrypto.so.3 libcrypto.so
    ln -sf libssl.so.3 libssl.so
    ln -sf "$LIBS/ossl-modules/legacy.so" providers/
    ln -sf "$LIBS"/engines-3/*.so engines/
    ln -sf "$PACKAGES/usr/bin/openssl" apps/openssl
    # What it would hold is in libcrypto.a.
    ar cr providers/libdefault.a
}

# ssl_old_test is linked with libcrypto.a and does without; and wrap.pl, which
# sets the path of libraries, is a perl for each of thousands of commands.
after_build() {
    gcc -o test/ssl_old_test test/ssl_old_test-bin-*.o \
        test/helpers/ssl_old_test-bin-*.o test/libtestutil.a -L. -lssl -lcrypto
    rm -f util/wrap.pl
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec "$@"\n' "$PWD" >util/wrap.pl
    chmod +x util/wrap.pl
}

build_tests() {
    local there old=() file wanted options
    [[ ! -e $TESTS/complete ]] || return 0
    there=(libcrypto.so libssl.so libcrypto.so.3 libssl.so.3 libcrypto.a
        libssl.a apps/openssl providers/libdefault.a providers/legacy.so
        engines/padlock.so engines/loader_attic.so engines/afalg.so)
    for file in "${there[@]}"; do
        old+=(-o "$file")
    done
    rm -rf "$TESTS"
    mkdir -p "$TESTS"
    (
        cd "$TESTS"
        mapfile -t options < <(options)
        "$SOURCE/Configure" linux-x86_64 "${options[@]}"
        make -j"$(nproc)" build_generated
        place_libraries
        mapfile -t wanted < <(programs)
        # Some programs want more of the inside than libcrypto.a has, hence -k.
        make -k -j"$(nproc)" "${old[@]}" "${wanted[@]}" apps/CA.pl \
            apps/tsget.pl tools/c_rehash util/shlib_wrap.sh util/wrap.pl \
            engines/dasync.so engines/ossltest.so test/p_minimal.so \
            test/p_test.so || true
        after_build
    ) >"$DIR/log" 2>&1 || die "the tests cannot be built: see $DIR/log"
    : >"$TESTS/complete"
}

build_module() {
    local headers=$PACKAGES/usr/include
    {
        cmake -S "$ROOT" -B "$MODULE" \
            -DMPK_LIBCRYPTO_A="$LIBS/libcrypto.a" \
            -DMPK_INNER_INCLUDE_DIRS="$headers;$headers/x86_64-linux-gnu"
        cmake --build "$MODULE" -j "$(nproc)" --target mpk
    } >"$DIR/log" 2>&1 || die "the module cannot be built: see $DIR/log"
}

# ---- one mode --------------------------------------------------------------

# The profile as it is shipped, for the end of another file.
profile() {
    echo '[default]'
    sed "s/^# backend = mpk .*/backend = $BACKEND/" "$1"
}

# load_profile CONF TREE
load_profile() {
    local file padding=$2/test/default-recordpadding.cnf
    for file in "$2/apps/openssl.cnf" "$2/test/default.cnf" \
        "$2/test/default-and-legacy.cnf" "$padding"; do
        [[ ! -e $file ]] || profile "$1" >>"$file"
    done
    sed -i 's/^mpk = mpk_provider/legacy = legacy_sect\n&/' \
        "$2/test/default-and-legacy.cnf"
    # The full profile's section of libssl takes the place of the file's.
    [[ ! -e $padding ]] ||
        printf '[tls_defaults]\nRecordPadding = 128,256\n' >>"$padding"
}

# A source tree that is the fetched one, but for what its configurations load.
make_tree() {
    local mode=$1 tree=$DIR/tree-$1 conf
    case $mode in
    keys) conf=$MODULE/mpk-keys.cnf ;;
    full) conf=$MODULE/mpk.cnf ;;
    *) conf= ;;
    esac
    [[ ! -e $tree/complete || $conf -nt $tree/complete ]] || return 0
    rm -rf "$tree"
    mkdir -p "$tree"
    ln -s "$SOURCE"/* "$tree"
    rm "$tree"/{apps,test,util}
    cp -a "$SOURCE"/{apps,test,util} "$tree"
    [[ -z $conf ]] || load_profile "$conf" "$tree"
    # Writes its keys in many forms before it looks at them. That is not what
    # it is about, and with a profile it would end there.
    sed -i "s,init() or die,do { local \$ENV{OPENSSL_CONF} = \
'$SOURCE/apps/openssl.cnf'; init() } or die," \
        "$tree/test/recipes/90-test_store.t"
    sed -i 's/-cert2 "\.\$self->cert$/&." $ENV{CERTIFICATES}"/' \
        "$tree/util/perl/TLSProxy/Proxy.pm"
    : >"$tree/complete"
}

# singly TREE PROGRAM: TAP, one process for each of the program's tests.
singly() {
    local program=$TESTS/test/$2 number=0 test name word
    cd "$1/test"
    export LD_LIBRARY_PATH=$TESTS
    while read -r test name; do
        word=ok
        timeout 300 "$program" -test "$test" >/dev/null 2>&1 || word='not ok'
        printf '    %s %d - %s\n' "$word" $((++number)) "$name"
    done < <("$program" -list | sed -n 's/^ *\([0-9]*\) - \([^ ]*\).*/\1 \2/p')
    printf 'ok 1000 - %s, one by one\n' "$2"
}

# certificates TREE NAME: more of them for the servers of the recipes that read
# TLS. They do so by an engine, ossltest, that makes digests constants, but not
# SHAKE, which is in Ed448. Inside they are all real: a signature of RSA does not
# fit the constant, one of Ed448 does, and comes first where a client takes it.
# The second pair is for a server that is asked for by name, also of a client
# that takes RSA only, but not with TLS 1.3.
certificates() {
    local name=$1/test/certs/server-ed448
    printf '%s' "-dcert $name-cert.pem -dkey $name-key.pem"
    [[ $2 != tls13* ]] || printf ' %s' "-cert2 $name-cert.pem -key2 $name-key.pem"
}

# run_recipe MODE FILE
run_recipe() {
    local mode=$1 recipe=$2 tree=$DIR/tree-$1 name status=0 conf
    conf=$tree/apps/openssl.cnf
    recipe_name "$recipe"
    local out=$DIR/results/$mode/$name
    # In a session of its own: some recipes end their process group.
    # These demand that no provider is in the default context; they load
    # another file into one of their own.
    [[ $name != sslapi && $name != quicapi ]] || conf=$SOURCE/apps/openssl.cnf
    mkdir -p "$DIR/runs/$mode"
    export OPENSSL_CONF=$conf OPENSSL_CONF_INCLUDE=$TESTS/test
    export OPENSSL_MODULES=$TESTS/providers OPENSSL_ENGINES=$TESTS/engines
    export CTLOG_FILE=$tree/test/ct/log_list.cnf
    CERTIFICATES=$(certificates "$tree" "$name") \
        SRCTOP=$tree BLDTOP=$TESTS RESULT_D=$DIR/runs/$mode PERL=perl EXE_EXT='' \
        PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0 \
        setsid -w timeout -k 10 900 \
        perl -I "$tree/util/perl" "$tree/test/recipes/${recipe##*/}" \
        >"$out.tap" 2>"$out.err" </dev/null || status=$?
    [[ " $ONE_BY_ONE " != *" $name "* ]] ||
        (singly "$tree" "${name}_test") >>"$out.tap"
    awk -f "$HERE/tap.awk" "$out.tap" >"$out.result"
    # 124: it hung. Whatever else it was, a line of the result says.
    ((status != 124 && status != 137)) || echo 'not time is up' >>"$out.result"
}

# recipe_name FILE: to $name
recipe_name() {
    name=${1##*/}
    name=${name%.t}
    name=${name#[0-9]*-}
    name=${name#test_}
}
export -f run_recipe recipe_name certificates singly
export DIR TESTS HERE SOURCE
export ONE_BY_ONE=${SINGLY[*]}

recipes() {
    local recipe name
    for recipe in "$SOURCE"/test/recipes/*.t; do
        recipe_name "$recipe"
        if (($# > 0)); then
            [[ " $* " != *" $name "* && " $* " != *" test_$name "* ]] ||
                echo "$recipe"
        elif [[ ! $name =~ $LEFT_OUT ]]; then
            echo "$recipe"
        fi
    done
}

# All modes of one recipe after another: what differs shows early.
run_all() {
    local mode recipe
    ((${#MODES[@]} > 0)) || return 0
    for mode in "${MODES[@]}"; do
        make_tree "$mode"
        mkdir -p "$DIR/results/$mode"
    done
    for recipe in "$@"; do
        printf '%s\0' "${MODES[@]/%/ $recipe}"
    done | xargs -0 -P "$(nproc)" -n 1 \
        bash -c 'run_recipe "${0%% *}" "${0#* }"'
}

# ---- what came out ---------------------------------------------------------

# of WORD MODE NAME: the tests that were ok, or not.
of() {
    sed -n "s/^$1 //p" "$DIR/results/$2/$3.result"
}

# differences MODE NAME: what is ok with stock and not with the mode, or not at
# all.
differences() {
    comm -23 <(of ok stock "$2" | sort) <(of ok "$1" "$2" | sort)
    # It can be ok twice and have failed as a whole.
    comm -13 <(of not stock "$2" | sort) <(of not "$1" "$2" | sort)
}

# The lines of any version and of this one, without the word for that.
read_known() {
    local version
    version=$(grep -oE '^[0-9]+\.[0-9]+' "$DIR/fetched")
    mapfile -t KNOWN < <(sed -nE "s/^(any|$version) //p" "$HERE/openssl.known")
}

# reason MODE NAME TEST: to $word, what openssl.known has for it; or status 1.
reason() {
    local line modes recipe pattern
    for line in "${KNOWN[@]}"; do
        # There are many tests, and read takes its time.
        [[ $line == *" $2 "* ]] || continue
        read -r modes recipe word pattern <<<"$line"
        # shellcheck disable=SC2053 # a pattern it is
        if [[ $recipe == "$2" && ($modes == both || $modes == "$1") &&
            $3 == $pattern ]]; then
            SEEN[$line]=1
            return 0
        fi
    done
    return 1
}

# report NAME: a line for the recipe; counts in TOTAL, REASONS and UNKNOWN.
report() {
    local name=$1 mode test all ok failed word
    ok=$(of ok stock "$name" | wc -l)
    failed=$(of not stock "$name" | wc -l)
    printf '%-24s stock: %5d ok, %2d not' "$name" "$ok" "$failed"
    ((TOTAL[stock] += ok, TOTAL[failed] += failed)) || true
    for mode in keys full; do
        mapfile -t all < <(differences "$mode" "$name" | sort -u)
        printf '   %s: %3d differ' "$mode" "${#all[@]}"
        ((TOTAL[$mode] += ${#all[@]})) || true
        for test in "${all[@]}"; do
            if reason "$mode" "$name" "$test"; then
                word="$mode $word"
                REASONS[$word]=$((${REASONS[$word]:-0} + 1))
            else
                UNKNOWN+=("$mode $name: $test")
            fi
        done
    done
    printf '\n'
}

# What openssl.known has and nothing needs.
report_unseen() {
    local line
    for line in "${KNOWN[@]}"; do
        [[ -n ${SEEN[$line]:-} ]] || echo "not seen: $line"
    done
}

if [[ -n $RELEASE ]]; then
    in_root -b "$BACKEND" -m "${MODES[*]}" ${WANTED:+-v "$WANTED"} "$@"
fi
fetch
build_tests
build_module
mapfile -t RECIPES < <(recipes "$@")
# What compares nothing would find no difference.
((${#RECIPES[@]} > 0)) || die "there is no such recipe: $*"
run_all "${RECIPES[@]}"

declare -A SEEN=() REASONS=() TOTAL=([stock]=0 [failed]=0 [keys]=0 [full]=0)
UNKNOWN=()
read_known
printf 'OpenSSL %s, backend %s\n' "$(cat "$DIR/fetched")" "$BACKEND"
for recipe in "${RECIPES[@]}"; do
    recipe_name "$recipe"
    report "$name"
done
printf '%d recipes; stock: %d ok, %d not; keys: %d differ; full: %d differ\n' \
    "${#RECIPES[@]}" "${TOTAL[stock]}" "${TOTAL[failed]}" "${TOTAL[keys]}" \
    "${TOTAL[full]}"
for word in "${!REASONS[@]}"; do
    printf '  %-16s %4d\n' "$word" "${REASONS[$word]}"
done | sort
(($# > 0)) || report_unseen
if ((${#UNKNOWN[@]} > 0)); then
    printf 'UNKNOWN: %s\n' "${UNKNOWN[@]}"
    exit 1
fi
echo 'every difference is a known one'
