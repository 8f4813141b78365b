#!/bin/bash
# install_test.sh BUILD: what is installed can be used: the core by pkg-config
# and by CMake from a program of somebody else's, the module where libcrypto
# looks for modules. So it is with a package.
set -euo pipefail

BUILD=$1
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
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
                                .n_entries = MPK_ENTRY_FIRST + 1};
    int frame = 0;

    if (mpk_core_init(&config) != 0 || mpk_call(MPK_ENTRY_FIRST, &frame) != 0) {
        return 1;
    }
    printf("%d\n", frame);
    return 0;
}
EOF

# Whoever can write to what the inside calls libc by chooses what runs there.
bound_at_start() {
    readelf -dlW "$1" >"$T/elf"
    grep -qE 'BIND_NOW|FLAGS_1.* NOW' "$T/elf" && grep -q GNU_RELRO "$T/elf" ||
        die "$1 looks functions up when they are called"
}

# What is installed may lie anywhere: below DESTDIR, or at another prefix than
# the one that it was configured for.
by_pkg_config() {
    export PKG_CONFIG_PATH=$1
    read -ra FLAGS <<<"$(pkg-config --cflags --libs mpkcore)"
    cc -std=gnu11 -o "$T/by-pc" "$T/user.c" "${FLAGS[@]}" || die "pkg-config $1"
    [[ $("$T/by-pc") == 42 ]] || die "the program built by pkg-config $1"
    bound_at_start "$T/by-pc"
}
DESTDIR=$T/moved cmake --install "$BUILD" --prefix /opt/mpk >"$T/log" ||
    die "cmake --install --prefix"
by_pkg_config "$(dirname "$(find "$T/moved/opt/mpk" -name mpkcore.pc)")"
by_pkg_config "${PC%/*}"
for manual in man1/mpkctl.1 man7/provider-mpk.7; do
    grep -q '/opt/mpk/share/openssl-mpk/mpk-keys.cnf' \
        "$T/moved/opt/mpk/share/man/$manual" ||
        die "$manual does not name the profiles where they are"
done

# What is taken away leaves no folder behind, but what somebody else has there.
echo mine >"$T/moved/opt/mpk/share/openssl-mpk/mine.cnf"
DESTDIR=$T/moved cmake --build "$BUILD" --target uninstall >"$T/log" || {
    cat "$T/log"
    die "uninstall"
}
LEFT=$(find "$T/moved" ! -type d -o -type d -empty)
[[ $LEFT == "$T/moved/opt/mpk/share/openssl-mpk/mine.cnf" ]] ||
    die "uninstall leaves: $LEFT"
[[ -f $PC ]] || die "uninstall takes what is elsewhere"

# The same as a Debian package, whatever the umask.
if command -v dpkg-deb >/dev/null; then
    (umask 077 && cpack --config "$BUILD/CPackConfig.cmake" -B "$T/deb" \
        >"$T/log" 2>&1) || {
        cat "$T/log"
        die 'cpack'
    }
    PACKAGE=$(echo "$T"/deb/openssl-provider-mpk_*.deb)
    dpkg-deb --fsys-tarfile "$PACKAGE" | tar -t | sed 's|^\.||; /\/$/d' |
        sort >"$T/packaged"
    (cd "$T/root" && find . -type f | sed 's|^\.||' | sort) >"$T/installed"
    diff "$T/installed" "$T/packaged" || die 'the package has other files'
    PRIVATE=$(dpkg-deb --fsys-tarfile "$PACKAGE" | tar -tv |
        grep -vE '^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x) ') || true
    [[ -z $PRIVATE ]] || die "packaged for root only: $PRIVATE"
    [[ $(dpkg-deb -f "$PACKAGE" Description) =~ 'Inside is OpenSSL '[34]\. ]] ||
        die 'the package does not say what is inside'
fi

# The archive takes no name from the program but those that the headers have.
same() {
    diff "$T/$1" "$T/$2" || die "$1 and $2 differ"
}
sed 's/#.*//; /^$/d' "$ROOT/mpkcore/public.symbols" | sort >"$T/public.symbols"
nm -g --defined-only "$(find "$T/root" -name libmpkcore.a)" |
    awk 'NF == 3 { print $3 }' | sort >"$T/archive"
cat "$ROOT"/include/mpkcore/*.h >"$T/all.h"
cc -E -P "${FLAGS[@]}" "$T/all.h" | grep -oE '\bmpk_[a-z_]+\(' | tr -d '(' |
    sort -u >"$T/headers"
same public.symbols archive
same public.symbols headers
cat >"$T/collide.c" <<'EOF'
#include <mpkcore/mpk.h>

#include <string.h>
#include <sys/mman.h>

int heap_init(int n);
int map_close(void);
int vk_call(void);
char slot_claim[] = "mine", mpk_ro[] = "mine too", vk_fork_steps[4096];

int heap_init(int n)
{
    return n + 1;
}

int map_close(void)
{
    return 2;
}

int vk_call(void)
{
    return 3;
}

int main(void)
{
    struct mpk_params params = {.backend = MPK_BACKEND_MPROTECT};
    mpk_vkey_t vkey;
    void *p = NULL;

    if (mpk_init(&params) != 0 ||
        mpk_mmap(&vkey, &p, 4096, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != 0 ||
        mpk_begin(vkey, PROT_READ | PROT_WRITE) != 0) {
        return 1;
    }
    strcpy(p, slot_claim);
    return mpk_end(vkey) != 0 || heap_init(1) + map_close() + vk_call() != 7 ||
           strcmp(mpk_ro, "mine too") != 0 || vk_fork_steps[4095] != 0;
}
EOF
# cc is one of the other two, as a rule.
same_program() {
    [[ $(type -P "$1") -ef $(type -P "$2") ]]
}
COMPILERS=(gcc clang)
same_program cc gcc || same_program cc clang || COMPILERS+=(cc)
HOW=(-no-pie -pie -static -static-pie)
for compiler in "${COMPILERS[@]}"; do
    command -v "$compiler" >/dev/null || continue
    for how in "${HOW[@]}"; do
        "$compiler" -std=gnu11 -fPIE "$how" -o "$T/collide" "$T/collide.c" \
            "${FLAGS[@]}" || die "names of the program's own: $compiler $how"
        "$T/collide" || die "its program: $compiler $how"
    done
    # The next one has the same linker.
    HOW=(-pie -static)
done

# The headers are C++ too.
if command -v c++ >/dev/null; then
    cat >"$T/user.cc" <<'EOF'
#include <mpkcore/core.h>
#include <mpkcore/gate.h>
#include <mpkcore/group.h>
#include <mpkcore/heap.h>
#include <mpkcore/mpk.h>

static const mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRIES};

int main()
{
    mpk_params params = {MPK_BACKEND_NONE, 0, 0};

    return mpk_init(&params) != 0 || entries[0].frame_len != 0 ||
           mpk_core_strerror(0)[0] == 0;
}
EOF
    c++ -std=c++11 -Wall -Wextra -pedantic -Werror -o "$T/by-cc" "$T/user.cc" \
        "${FLAGS[@]}" || die "a program in C++"
    "$T/by-cc" || die "the program in C++"
fi

# A library with the core in it may be closed by a thread that has used it.
cat >"$T/lib.c" <<'EOF'
#include <mpkcore/mpk.h>

#include <sys/mman.h>

int use(void);
int use(void)
{
    struct mpk_params params = {.backend = MPK_BACKEND_NONE};
    mpk_vkey_t vkey;
    void *p = NULL;

    return mpk_init(&params) != 0 ||
           mpk_mmap(&vkey, &p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0) != 0 ||
           mpk_begin(vkey, PROT_READ) != 0 || mpk_end(vkey) != 0;
}
EOF
cat >"$T/close.c" <<'EOF'
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

static void *use_and_close(void *library)
{
    int (*use)(void) = (int (*)(void))(uintptr_t)dlsym(library, "use");

    return use() != 0 || dlclose(library) != 0 ? library : NULL;
}

int main(int argc, char **argv)
{
    void *library = dlopen(argv[argc - 1], RTLD_NOW), *failed = library;
    pthread_t t;

    return library == NULL ||
           pthread_create(&t, NULL, use_and_close, library) != 0 ||
           pthread_join(t, &failed) != 0 || failed != NULL;
}
EOF
cc -std=gnu11 -shared -fPIC -o "$T/lib.so" "$T/lib.c" "${FLAGS[@]}" ||
    die "a library"
cc -std=gnu11 -o "$T/close" "$T/close.c" -ldl -pthread || die "its user"
"$T/close" "$T/lib.so" || die "a library that is closed under a thread"

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
    ! "$vault" nonsense 2>/dev/null || die "$vault takes any word"
    if grep -qw ospke /proc/cpuinfo; then
        [[ $("$vault") == *'not readable' ]] || die "$vault"
    else
        ! "$vault" 2>"$T/log" || die "$vault without protection keys"
        grep -q 'backend = mprotect' "$T/log" || die "$vault says nothing"
    fi
done
[[ -f $(find "$T/root" -path '*/man3/mpkcore.3') ]] || die "no mpkcore.3"

unset PKG_CONFIG_PATH
MODULES=$(openssl version -m | cut -d '"' -f 2)
[[ -f $T/root$MODULES/mpk.so ]] || die "the module is not in $MODULES"
for manual in man1/mpkctl.1 man7/provider-mpk.7; do
    [[ -f $T/root$PREFIX/share/man/$manual ]] || die "there is no $manual"
done
echo "ok: headers, pkg-config, CMake package, example, manual pages," \
    "module in $MODULES"
