#!/bin/bash
# The suite under the sanitizers, valgrind and both compilers.
#
#   test/sanitize.sh [--all] [short] [asan] [tsan] [valgrind] [clang] [fuzz]
#
# short is what ./test.sh ends with: the fuzzers, and some tests under
# AddressSanitizer and UBSan, of one build by clang. Without a name all but
# short. Without --all each builds and runs the part of the tests that has
# found something; with it everything but what is named below. All builds go
# to build-NAME at the top.
#
# Left out, and why:
#   live tests        stock programs cannot load an instrumented module
#   bench             it would measure the instruments
#   tree_test, install_test, docs_test
#                     ask whether the tree and the module are as they should
#                     be, which an instrumented one is not
#   backend mpk       the shadow memory lies outside of the domain, so the
#                     instrumented inside could read it; but its own data has
#                     to stay outside too (MPK_SANITIZED): not what is shipped
#   tsan, heap_attack_test, fork_test, fork_attack_test, fork_load_test,
#   fork_nonce_test, handler_fork_test, life_fork_test, life_end_test
#                     two threads free one block on purpose, a process overwrites
#                     a mutex with a fresh one on purpose; processes of many
#                     threads fork, and the run-time then refuses new threads,
#                     or a child forks, and it takes a mutex that is new there
#                     for one that is held. A report from inside needs more
#                     than a domain stack has
#   tsan, init_test, bad_machine_test
#                     theirs is what registers handlers of fork, and the
#                     run-time calls it before it is ready itself
#   tsan, life_first_test
#                     a thread forks as another registers the handlers of fork
#                     and has made what they read; it is a lock of libc's that
#                     orders the two, which the run-time does not see
#   asan, life_fork_test
#                     threads that allocate outside while another forks: the
#                     run-time of gcc 12 and clang 14 does not take the locks
#                     of its malloc for fork, and a child waits for one forever
#   valgrind: all of these but the last two kinds were tried
#     attack_entry_asked, attack_perkey, cipher_nonce, foresight_ask,
#     moved_pages, random_test
#                     fork: the copy of the domain for a child has the unused
#                     part of its stacks, which is no memory to valgrind
#     cipher_attack, foresight_test
#                     write, or read, where they should not, on purpose
#     calls, fresh_pages_test
#                     make system calls that valgrind does not know, or see no
#                     stack made under it
#     cipher_entry_test
#                     wants the instructions for AES, see below
#     attack_entry, attack_entry_rewrite, bad_key, bad_machine, cipher_random,
#     group_dhe, group_length, group_tls, group_tls_x448, key_make, likely,
#     load_memory, load_msblob, load_odd, load_rest, load_seal, load_stream,
#     perkey, properties, record_stack, scan, scan_core, scan_secrets, scenario,
#     sign_rsa, sign_stream, tls, tls_group, token, tsd, x509_test, tls_soak
#                     take a second and more without it: minutes
#     the others of unit/ and life/, attack_*, race/
#                     catch faults, end by them, or fork while others run: one
#                     thread runs at a time under it
# shellcheck disable=SC2317 # functions are called by name

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/live/packages.sh
. "$ROOT/test/live/packages.sh"
ALL=0
WHAT=()

for arg in "$@"; do
    case $arg in
    --all) ALL=1 ;;
    short | asan | tsan | valgrind | clang | fuzz) WHAT+=("$arg") ;;
    *) die "usage: test/sanitize.sh [--all] [short|asan|tsan|valgrind|clang|fuzz]..." ;;
    esac
done
((${#WHAT[@]} > 0)) || WHAT=(asan tsan valgrind clang fuzz)

LEFT_OUT='^live_|^vm_|^bench$'
SANITIZED_LEFT_OUT="$LEFT_OUT|\.mpk\$|^(tree|install|docs)_test\$"
ASAN_LEFT_OUT="$SANITIZED_LEFT_OUT|^life_fork_test"
TSAN_LEFT_OUT="$SANITIZED_LEFT_OUT|\.mprotect\$"
TSAN_LEFT_OUT+='|^(heap_attack|fork|fork_attack|fork_load|fork_nonce|handler_fork)_test'
TSAN_LEFT_OUT+='|^(life_fork|life_end|life_first|init|bad_machine)_test'

# build NAME TARGETS CMAKE-OPTION...; all targets with --all. By ninja where it is
# there: test.sh has built by make, and each finds other mistakes of CMake files.
build() {
    local wanted=$2
    ((ALL == 0)) || wanted=
    ! command -v ninja >/dev/null || local -x CMAKE_GENERATOR=Ninja
    quiet_build "$ROOT" "$ROOT/build-$1" "$wanted" -DMPK_WERROR=ON "${@:3}"
}

# one_of TEST...: a regular expression.
one_of() {
    local IFS='|'
    echo "($*)"
}

# run NAME PART WHOLE LEFT-OUT: ctest in build-NAME, by regular expressions.
run() {
    local tests=$2
    ((ALL == 0)) || tests=$3
    ctest --test-dir "$ROOT/build-$1" -j "$(nproc)" --output-on-failure \
        --no-tests=error --timeout 900 -R "$tests" -E "$4"
}

# UBSan ends the program by itself: the build is told so in cmake/flags.cmake.
export UBSAN_OPTIONS=print_stacktrace=1
# A life test under a sanitizer does less in its time, so there is more of it.
[[ $ALL == 0 ]] || export MPK_TEST_SECONDS=${MPK_TEST_SECONDS:-10}

FUZZERS=(corefile_fuzz keylog_fuzz keyload_fuzz conf_fuzz entries_fuzz)
ENTRY_TESTS=(attack_entry_test attack_entry_asked_test
    attack_entry_rewrite_test attack_entry_pointers_test)

asan() {
    local tests=(heap_test heap_attack_test fork_test fork_load_test
        group_test group_blocks_test group_pages_test
        sign_test load_test keymgmt_test key_exits_test errors_test
        attack_key_test "${ENTRY_TESTS[@]}" life_load_test life_thread_test
        life_timer_test life_end_test)
    say 'AddressSanitizer and UBSan, gcc'
    build asan "mpk life_keys ${tests[*]}" -DMPK_SANITIZE=address,undefined
    MPK_TEST_SLOW=1 run asan "^$(one_of "${tests[@]}")\.none$" . \
        "$ASAN_LEFT_OUT"
}

tsan() {
    local tests=(thread_test heap_test life_load_test life_thread_test
        life_context_test
        life_timer_test attack_key_test)
    say 'ThreadSanitizer, clang'
    build tsan "mpk life_keys ${tests[*]}" -DCMAKE_C_COMPILER=clang \
        -DMPK_SANITIZE=thread
    TSAN_OPTIONS=halt_on_error=1 MPK_TEST_SLOW=1 run tsan \
        "^$(one_of "${tests[@]}")\.none$" . "$TSAN_LEFT_OUT"
}

# valgrind reads the module as it is built for use. sign_test takes longer
# than all others that are not left out. With the instructions for AES and GCM
# it calls a tag of TLS 1.2 unset, also in a program with stock OpenSSL alone.
valgrind_run() {
    local program conf status=0 programs=(life/life_load_test:none
        {interop/again,interop/ffc}_test:none
        interop/kdf_refusal_test:full-require-none
        interop/kdf_schedule_test:full-warn-none
        tls/{suite,cipher_equal,cipher_refused}_test:full-warn-none)
    say 'valgrind'
    ((ALL == 0)) || programs+=(
        interop/{sign,load,keymgmt,key_exits,errors,derive}_test:none
        interop/{rsa_crypt,attack_key}_test:none
        interop/secrets_test:full-require-none
        tls/group_peer_test:tls/none-protect-leave
        tls/{hkdf_static,quic_hkdf}_test:tls/none-leave-protect
        unit/{draw,foresight_bounds,format,group_blocks,handle,hctr2}_test:
        unit/{mpkctl,nonce,params,secret,sort}_test:
        unit/kdf_{request,rules,tls12}_test:)
    # Of all the others there is no need, even with --all.
    ALL=0 build valgrind "mpk life_keys $(basename -a "${programs[@]%:*}" | xargs)"
    for program in "${programs[@]}"; do
        conf=${program#*:}
        conf=${conf:+$ROOT/build-valgrind/test/$conf.cnf}
        echo "$program"
        OPENSSL_CONF=${conf:-/dev/null} OPENSSL_ia32cap='~0x200000200000000' \
            MPK_TEST_SLOW=1 MPK_TEST_PROVIDER=mpk MPK_TEST_BACKEND=none \
            valgrind -q --error-exitcode=9 \
            "$ROOT/build-valgrind/test/${program%:*}" || status=1
    done
    return "$status"
}

clang_build() {
    local tests=(domain_test gate_test heap_test thread_test sign_test)
    say 'clang, without sanitizers'
    build clang all -DCMAKE_C_COMPILER=clang
    run clang "^$(one_of "${tests[@]}")\.(none|mprotect)$" . "$LEFT_OUT"
}

# fuzzed SECONDS PART
fuzzed() {
    build fuzz "mpk ${FUZZERS[*]} ${SHORT[*]}" -DCMAKE_C_COMPILER=clang \
        -DMPK_FUZZ=ON -DMPK_FUZZ_SECONDS="$1" \
        -DMPK_SANITIZE=address,undefined
    MPK_TEST_SLOW=1 run fuzz "$2" . "$ASAN_LEFT_OUT|\.mprotect\$"
}

SHORT=(heap_test fork_load_test sign_test errors_test
    "${ENTRY_TESTS[@]}" life_thread_test)

short() {
    say 'AddressSanitizer and UBSan, clang: fuzzers, some tests'
    fuzzed 5 "_fuzz$|^$(one_of "${SHORT[@]}")\.none$"
}

fuzz() {
    say 'AddressSanitizer and UBSan, clang: fuzzers'
    fuzzed 10 '_fuzz$'
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
