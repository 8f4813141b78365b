#!/bin/bash
# Builds everything and runs all tests but the slow ones:
# ./test.sh [CTEST-OPTION...]
#   ./test.sh -L unit        only the unit tests
#   ./test.sh -R live_nginx  one test
#   ./test.sh --all          also nginx under OpenSSL 3.5, every sanitizer,
#                            valgrind, both compilers, ten seconds for each
#                            case under load, every program with every profile
#                            and backend, every key type; takes long
# Without options it ends with test/sanitize.sh short: the fuzzers, and some
# tests under AddressSanitizer and UBSan.
# On a CPU with PKU it fails when a test of label "attack" was skipped: there
# is nothing to excuse it there.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/live/packages.sh
. "$ROOT/test/live/packages.sh"

LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

# Names of the attack tests that this run has skipped.
skipped_attacks() {
    local name
    ctest --test-dir "$ROOT/build" -N -L attack |
        sed -n 's/^ *Test *#[0-9]*: //p' |
        while read -r name; do
            ! grep -q "Test *#[0-9]*: $name .*\*\*\*Skipped" "$LOG" ||
                echo "$name"
        done
}

run_tests() {
    ctest --test-dir "$ROOT/build" -j "$(nproc)" --output-on-failure \
        --no-tests=error "$@" |
        tee "$LOG"
}

demand_attacks() {
    local skipped
    cpu_has_pku || return 0
    skipped=$(skipped_attacks)
    [[ -z $skipped ]] ||
        die "skipped although the CPU has PKU: ${skipped//$'\n'/ }"
}

ALL=0
case ${1:-} in
--all)
    ALL=1
    shift
    ;;
-h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit
    ;;
esac
TOOLS=(nginx:nginx-light haproxy:haproxy curl:curl gcore:gdb
    gnuplot:gnuplot-nox mandoc:mandoc strace:strace wrk:wrk
    h2load:nghttp2-client luajit:luajit)
if can_install; then
    install_build_tools ninja:ninja-build "${TOOLS[@]}"
else
    install_build_tools
    lacking=$(missing_of "${TOOLS[@]}" | xargs)
    [[ -z $lacking ]] ||
        say "tests are skipped that need: $lacking (neither root nor sudo)"
fi
# ctest takes any option for one of its own, and runs everything.
for option; do
    [[ $option != --?* ]] || grep -q -e "[ ,]${option%%=*}\b" <<<"$(ctest --help)" ||
        die "ctest has no option $option; see ./test.sh --help"
done
say 'building'
build_tree "$ROOT" '' -DMPK_WERROR=ON
say 'testing'
cpu_has_pku || echo 'This CPU has no PKU: tests that need it are skipped.'
# Newer kernels count the secretmem of all tests that run together.
ulimit -l unlimited 2>/dev/null || true
status=0
more=()
if ((ALL == 1)); then
    set -- -C all "$@"
    more=(--all)
    export MPK_TEST_SECONDS=${MPK_TEST_SECONDS:-10} MPK_TEST_LONG=1
elif (($# == 0)); then
    more=(short)
fi
run_tests "$@" || status=$?
demand_attacks
if ((${#more[@]} > 0)); then
    "$ROOT/test/sanitize.sh" "${more[@]}" || status=1
fi
exit "$status"
