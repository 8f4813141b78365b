#!/bin/bash
# The suite under the sanitizers, valgrind and both compilers.
#
#   test/sanitize.sh [--all] [asan] [tsan] [valgrind] [clang] [fuzz]
#
# Without a name all of them. Without --all each runs the part of the tests
# that has found something, in a few minutes; with it everything but what is
# named below. All builds go to build-NAME at the top.
#
# Left out, and why:
#   live tests        stock programs cannot load an instrumented module
#   backend mpk       the shadow memory lies outside of the domain, so the
#                     instrumented inside could read it; but its own data has
#                     to stay outside too (MPK_SANITIZED): not what is shipped
#   tsan, tsd_test    the linker's --wrap of the test reaches the run-time,
#                     which is linked into the same program, before it is ready
#   tsan, heap_attack_test, fork_test
#                     two threads free one block on purpose; processes of many
#                     threads fork, and the run-time then refuses new threads.
#                     A report from inside needs more than a domain stack has
#   valgrind          programs that catch faults, end by them, or fork while
#                     others run: one thread runs at a time under it
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/live/packages.sh
. "$ROOT/test/live/packages.sh"
ALL=0
WHAT=()

for arg in "$@"; do
    case $arg in
    --all) ALL=1 ;;
    asan | tsan | valgrind | clang | fuzz) WHAT+=("$arg") ;;
    *) die "usage: test/sanitize.sh [--all] [asan|tsan|valgrind|clang|fuzz]..." ;;
    esac
done
((${#WHAT[@]} > 0)) || WHAT=(asan tsan valgrind clang fuzz)

# build NAME CMAKE-OPTION...
build() {
    local dir=$ROOT/build-$1 log
    log=$(mktemp)
    shift
    if ! cmake -S "$ROOT" -B "$dir" "$@" >"$log" 2>&1 ||
        ! cmake --build "$dir" -j "$(nproc)" >>"$log" 2>&1; then
        cat "$log"
        rm -f "$log"
        die "the build in $dir failed"
    fi
    rm -f "$log"
}

# run NAME PART WHOLE LEFT-OUT: ctest in build-NAME, by regular expressions.
run() {
    local tests=$2
    ((ALL == 0)) || tests=$3
    ctest --test-dir "$ROOT/build-$1" -j "$(nproc)" --output-on-failure \
        --no-tests=error --timeout 900 -R "$tests" -E "$4"
}

asan() {
    say 'AddressSanitizer and UBSan, gcc'
    build asan -DMPK_SANITIZE=address,undefined
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 MPK_TEST_SLOW=1 run asan \
        '^(heap|heap_attack|fork|gate|sign|load|keymgmt|key_exits|errors|attack_key|attack_entry)_test\.none$' \
        '\.(none|mprotect)$' '^live_|^vm_'
}

tsan() {
    say 'ThreadSanitizer, clang'
    build tsan -DCMAKE_C_COMPILER=clang -DMPK_SANITIZE=thread
    TSAN_OPTIONS=halt_on_error=1 MPK_TEST_SLOW=1 run tsan \
        '^(thread|life|attack_key)_test\.none$' '\.none$' \
        '^live_|^vm_|^(tsd|heap_attack|fork)_test'
}

# valgrind reads the module as it is built for use.
valgrind_run() {
    local program status=0 programs=(sign_test)
    say 'valgrind'
    build valgrind
    ((ALL == 0)) || programs=(sign_test load_test keymgmt_test key_exits_test
        errors_test derive_test rsa_crypt_test attack_key_test)
    for program in "${programs[@]}"; do
        echo "$program"
        OPENSSL_CONF=$ROOT/build-valgrind/test/none.cnf MPK_TEST_SLOW=1 \
            MPK_TEST_BACKEND=none valgrind -q --error-exitcode=9 \
            "$ROOT/build-valgrind/test/interop/$program" || status=1
    done
    return "$status"
}

clang_build() {
    say 'clang, without sanitizers'
    build clang -DCMAKE_C_COMPILER=clang
    run clang '^(domain|gate|heap|thread|sign)_test\.(none|mprotect)$' \
        '\.(none|mprotect)$' '^live_|^vm_'
}

# The short one of test.sh: one build, by clang, for both.
fuzz() {
    say 'AddressSanitizer and UBSan, clang; fuzzers, ten seconds each'
    build fuzz -DCMAKE_C_COMPILER=clang -DMPK_FUZZ=ON \
        -DMPK_SANITIZE=address,undefined
    MPK_TEST_SLOW=1 run fuzz \
        '_fuzz$|^(heap|fork|gate|sign|load|key_exits|errors|attack_entry)_test\.none$' \
        '_fuzz$|\.none$' '^live_|^vm_'
}

install_build_tools clang:clang valgrind:valgrind \
    /usr/lib/llvm-14/lib/clang/14.0.6/lib/linux:libclang-rt-14-dev
status=0
for what in "${WHAT[@]}"; do
    case $what in
    valgrind) valgrind_run || status=1 ;;
    clang) clang_build || status=1 ;;
    *) "$what" || status=1 ;;
    esac
done
exit "$status"
