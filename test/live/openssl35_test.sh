#!/bin/bash
# The same module under OpenSSL 3.5 and nginx 1.26, which run beside the
# system's: openssl35_test.sh [--inner] SCRIPT... runs other live tests with
# these. --inner: with a module that has OpenSSL 3.5 inside as well, and so the
# groups of ML-KEM.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LIBS=usr/lib/x86_64-linux-gnu

skip_as_fetch_does() {
    cat "$1"
    exit 77
}

# wrap NAME PROGRAM: a command NAME that runs the tree's program with the
# tree's own libc. exec, so that the process is the one that was started.
wrap() {
    cat >"$BIN/$1" <<END
#!/bin/sh
OPENSSL_MODULES=$TREE/$LIBS/ossl-modules
export OPENSSL_MODULES
exec $TREE/$LIBS/ld-linux-x86-64.so.2 --library-path $TREE/$LIBS \\
    $TREE/$2 "\$@"
END
    chmod 755 "$BIN/$1"
}

# build_inner FOLDER: the module with the tree's libcrypto.a. One function that
# it wants of a newer libc has an equal under another name in this one.
build_inner() {
    local lib=$1/libcrypto.a include=$TREE/usr/include
    mkdir -p "$1"
    objcopy --redefine-sym __isoc23_strtol=strtol "$TREE/$LIBS/libcrypto.a" \
        "$lib"
    cmake -S "$HERE/../.." -B "$1/build" -DBUILD_TESTING=ON \
        -DMPK_LIBCRYPTO_A="$lib" \
        -DMPK_INNER_INCLUDE_DIRS="$include;$include/x86_64-linux-gnu" &&
        cmake --build "$1/build" -j "$(nproc)" --target \
            mpk mpkctl hammer key_victim peek "${COMPARED[@]}"
}

# What compare_test.sh runs.
COMPARED=(sign_test sign_rsa_test rsa_crypt_test keymgmt_test key_make_test
    attack_entry_test attack_entry_asked_test attack_entry_rewrite_test
    attack_entry_pointers_test
    cipher_test cipher_equal_test cipher_nonce_test cipher_random_test)
INNER=0
if [[ ${1:-} == --inner ]]; then
    INNER=1
    shift
fi
BIN=$(mktemp -d)
trap 'rm -rf "$BIN"' EXIT
chmod 755 "$BIN"
"$HERE/../trixie/fetch.sh" >"$BIN/log" || skip_as_fetch_does "$BIN/log"
TREE=$(tail -n 1 "$BIN/log")
wrap openssl usr/bin/openssl
wrap nginx usr/sbin/nginx
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
    build_inner "$BIN/inner" >"$BIN/log" 2>&1 || {
        cat "$BIN/log"
        exit 1
    }
    export MPK_TEST_BUILD=$BIN/inner/build
    grep '^Groups' "$MPK_TEST_BUILD/mpk.cnf"
fi
for script in "$@"; do
    "$HERE/$script"
done
