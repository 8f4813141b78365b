#!/bin/bash
# install_test.sh BUILD: what is installed can be used: the core by pkg-config
# and by CMake from a program of somebody else's, the module where libcrypto
# looks for modules.
set -euo pipefail

BUILD=$1
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

# What a program of somebody else's links must not need a sanitizer.
if grep -q '^MPK_SANITIZE:STRING=.' "$BUILD/CMakeCache.txt"; then
    echo "skipped: nobody installs a build with sanitizers"
    exit 77
fi

die() {
    echo "install_test: $*" >&2
    exit 1
}

(umask 077 && DESTDIR=$T/root cmake --install "$BUILD" >"$T/log") ||
    die "cmake --install"
# Services run as others than who installs.
UNREADABLE=$(find "$T/root"/* ! -perm -o=r -o -type d ! -perm -o=x)
[[ -z $UNREADABLE ]] || die "installed for root only: $UNREADABLE"
PREFIX=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$BUILD/CMakeCache.txt")
PC=$(find "$T/root" -name mpkcore.pc)
[[ -n $PC ]] || die "there is no mpkcore.pc"

cat >"$T/user.c" <<'EOF'
#include <mpkcore/gate.h>

#include <stdio.h>

static int64_t answer(void *frame)
{
    *(int *)frame = mpk_is_inside_call() ? 42 : 0;
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES, {answer, sizeof(int), MPK_KIND_STACK}};

int main(void)
{
    struct mpk_config config = {.backend = MPK_BACKEND_MPROTECT,
                                .entries = entries,
                                .n_entries = 3};
    int frame = 0;

    if (mpk_core_init(&config) != 0 || mpk_call(2, &frame) != 0) {
        return 1;
    }
    printf("%d\n", frame);
    return 0;
}
EOF

# What is installed may lie anywhere: below DESTDIR, or at another prefix than
# the one that it was configured for.
by_pkg_config() {
    export PKG_CONFIG_PATH=$1
    read -ra FLAGS <<<"$(pkg-config --cflags --libs mpkcore)"
    cc -std=gnu11 -o "$T/by-pc" "$T/user.c" "${FLAGS[@]}" || die "pkg-config $1"
    [[ $("$T/by-pc") == 42 ]] || die "the program built by pkg-config $1"
}
DESTDIR=$T/moved cmake --install "$BUILD" --prefix /opt/mpk >"$T/log" ||
    die "cmake --install --prefix"
by_pkg_config "$(dirname "$(find "$T/moved/opt/mpk" -name mpkcore.pc)")"
by_pkg_config "${PC%/*}"

cat >"$T/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(user C)
find_package(mpkcore 0.1 REQUIRED)
add_executable(user user.c)
target_link_libraries(user PRIVATE mpkcore::mpkcore)
EOF
if ! cmake -S "$T" -B "$T/b" -DCMAKE_PREFIX_PATH="$T/root$PREFIX" >"$T/log" 2>&1 ||
    ! cmake --build "$T/b" >>"$T/log" 2>&1; then
    cat "$T/log"
    die "find_package"
fi
[[ $("$T/b/user") == 42 ]] || die "the program built by CMake"

# The example, both ways, and the manual page.
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cc -std=gnu11 -Wall -Wextra -Werror -o "$T/vault" "$ROOT/examples/vault.c" \
    "${FLAGS[@]}" || die "examples/vault.c by pkg-config"
if ! cmake -S "$ROOT/examples" -B "$T/e" \
    -DCMAKE_PREFIX_PATH="$T/root$PREFIX" >"$T/log" 2>&1 ||
    ! cmake --build "$T/e" >>"$T/log" 2>&1; then
    cat "$T/log"
    die "examples by find_package"
fi
for vault in "$T/vault" "$T/e/vault"; do
    [[ $("$vault" mprotect) == *'not readable' ]] || die "$vault mprotect"
    [[ $("$vault" none) == *' readable' ]] || die "$vault none"
    if grep -qw ospke /proc/cpuinfo; then
        [[ $("$vault") == *'not readable' ]] || die "$vault"
    else
        ! "$vault" 2>"$T/log" || die "$vault without protection keys"
        grep -q 'backend = mprotect' "$T/log" || die "$vault says nothing"
    fi
done
[[ -f $(find "$T/root" -path '*/man3/mpkcore.3') ]] || die "no mpkcore.3"

unset PKG_CONFIG_PATH
MODULES=$(pkg-config --variable=modulesdir libcrypto)
[[ -f $T/root$MODULES/mpk.so ]] || die "the module is not in $MODULES"
for manual in man1/mpkctl.1 man7/provider-mpk.7; do
    [[ -f $T/root$PREFIX/share/man/$manual ]] || die "there is no $manual"
done
echo "ok: headers, pkg-config, CMake package, example, manual pages," \
    "module in $MODULES"
