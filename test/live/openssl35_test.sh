#!/bin/bash
# The same module under OpenSSL 3.5 and nginx 1.26, which run beside the
# system's: openssl35_test.sh [--inner] SCRIPT... runs other live tests with
# these. --inner: with a module that has OpenSSL 3.5 inside as well, and so the
# groups of ML-KEM. --inner-quick: that module alone, compiled as fast as can be,
# and of compare_test.sh and scan_matrix_test.sh what is done in seconds.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LIBS=usr/lib/x86_64-linux-gnu

skip_as_fetch_does() {
    cat "$1"
    exit 77
}

# wrap FILE PROGRAM: a command FILE that runs the program with the tree's own
# libc and OpenSSL. exec, so that the process is the one that was started.
wrap() {
    cat >"$1" <<END
#!/bin/sh
OPENSSL_MODULES=$TREE/$LIBS/ossl-modules
export OPENSSL_MODULES
exec $TREE/$LIBS/ld-linux-x86-64.so.2 --library-path $TREE/$LIBS \\
    $2 "\$@"
END
    chmod 755 "$1"
}

# build_inner FOLDER TARGET...: the module with the tree's libcrypto.a. One
# function that it wants of a newer libc has an equal under another name in this
# one.
build_inner() {
    local lib=$1/libcrypto.a include=$TREE/usr/include
    mkdir -p "$1"
    objcopy --redefine-sym __isoc23_strtol=strtol "$TREE/$LIBS/libcrypto.a" \
        "$lib"
    cmake -S "$HERE/../.." -B "$1/build" -DBUILD_TESTING=ON \
        -DMPK_LIBCRYPTO_A="$lib" "${OPTIONS[@]}" \
        -DMPK_INNER_INCLUDE_DIRS="$include;$include/x86_64-linux-gnu" &&
        cmake --build "$1/build" -j "$(nproc)" --target "${@:2}"
}

INNER=0
TARGETS=(mpk hammer key_victim peek attack_entry_test attack_entry_asked_test
    attack_entry_pointers_test attack_entry_rewrite_test)
OPTIONS=()
case ${1:-} in
--inner)
    INNER=1
    shift
    ;;
--inner-quick)
    INNER=1
    TARGETS=(mpk attack_entry_pointers_test)
    OPTIONS=(-DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS=-O0)
    export MPK_TEST_QUICK=1
    shift
    ;;
esac
BIN=$(mktemp -d)
trap 'rm -rf "$BIN"' EXIT
chmod 755 "$BIN"
"$HERE/../trixie/fetch.sh" >"$BIN/log" || skip_as_fetch_does "$BIN/log"
TREE=$(tail -n 1 "$BIN/log")
wrap "$BIN/openssl" "$TREE/usr/bin/openssl"
wrap "$BIN/nginx" "$TREE/usr/sbin/nginx"
PATH=$BIN:$PATH
# For what is compiled against it.
export MPK_TEST_TREE=$TREE

version=$(openssl version)
echo "$version; $(nginx -v 2>&1)"
[[ $version == 'OpenSSL 3.5.'* ]] || {
    echo "expected OpenSSL 3.5, got $version"
    exit 1
}
if ((INNER == 1)); then
    export MPK_TEST_PROGRAMS=${MPK_TEST_BUILD:-$HERE/../../build}
    build_inner "$BIN/inner" "${TARGETS[@]}" >"$BIN/log" 2>&1 || {
        cat "$BIN/log"
        exit 1
    }
    export MPK_TEST_BUILD=$BIN/inner/build
    for program in scan_matrix scan_subject; do
        wrap "$MPK_TEST_BUILD/$program" "$MPK_TEST_PROGRAMS/$program"
    done
    grep '^Groups.*MLKEM' "$MPK_TEST_BUILD/mpk.cnf"
    # It reads key files with the libcrypto that it finds.
    wrap "$BIN/mpkctl" "$MPK_TEST_PROGRAMS/mpkctl"
    export MPK_TEST_MPKCTL=$BIN/mpkctl
fi
for script in "$@"; do
    "$HERE/$script"
done
