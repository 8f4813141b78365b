#!/bin/bash
# A write to LuaJIT's code cache from outside the compiler faults, with
# mprotect and with protection keys, and does not without W^X; LuaJIT computes
# the same in every mode. Usage: jit_test.sh BUILD-DIR
# MPK_TEST_JIT_MODES names the modes; mpk is skipped without protection keys.
set -euo pipefail

BUILD=${1:?usage: jit_test.sh BUILD-DIR}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BIN=$BUILD/bench/jit
MODES=${MPK_TEST_JIT_MODES:-mprotect none mpk}
FAULTED=99

export LC_ALL=C
command -v luajit >/dev/null || {
    echo 'SKIP: no luajit (Debian: luajit)'
    exit 77
}
T=$(mktemp -d "${TMPDIR:-/tmp}/mpk-jit.XXXXXX")
trap 'rm -rf "$T"' EXIT
# shellcheck source=../../test/unit/claims.sh
. "$HERE/../../test/unit/claims.sh"

# ends STATUS TEXT COMMAND...: with that status, and TEXT in its output.
ends() {
    local want=$1 text=$2 status=0
    shift 2
    "$@" >"$T/said" 2>&1 || status=$?
    cat "$T/said"
    echo "status $status, expected $want and: $text"
    [[ $status == "$want" ]] && grep -q "$text" "$T/said"
}

# under MODE COMMAND...
under() {
    local mode=$1
    shift
    WX_MODE=$mode WX_FAULTS=1 LD_PRELOAD=$BIN/wx_preload.so "$@"
}

under_stats() {
    local mode=$1
    shift
    WX_STATS=1 under "$mode" "$@"
}

# The fault's own words: mprotect knows no keys.
fault_in() {
    case $1 in
    mprotect) echo 'fault: code 2' ;;
    mpk) echo 'fault: code 4, code cache, its key' ;;
    esac
}

closes() {
    local mode=$1 fault
    fault=$(fault_in "$mode")
    claim "$mode: a write from outside the compiler faults" \
        ends "$FAULTED" "$fault" under "$mode" luajit "$HERE/wx_check.lua"
    claim "$mode: reading does not" grep -q 'reading the code cache works' \
        "$T/said"
    claim "$mode: nor does the compiler's own write, until it is done" \
        ends "$FAULTED" "$fault" under "$mode" "$BIN/window" itself
    claim "$mode: which was after the window" grep -q 'window is closed' \
        "$T/said"
}

# What keys can do and page rights cannot.
closes_to_others() {
    claim "$1: another thread's write in the compiler's window faults" \
        ends "$FAULTED" "$(fault_in mpk)" under "$1" "$BIN/window"
}

open_to_others() {
    claim "$1: another thread can write in the compiler's window" \
        ends "$FAULTED" 'another thread can write' under "$1" "$BIN/window"
}

is_open() {
    claim "$1: the code cache can be written at any time" \
        ends 0 'can be written' under "$1" luajit "$HERE/wx_check.lua"
}

same_results() {
    local mode=$1 program
    # Few rounds where instructions are emulated.
    for program in compile:60 nqueens:6 scheduler:20000 binary_trees:8 \
        fannkuch:6; do
        luajit "$HERE/lua/${program%:*}.lua" "${program#*:}" >"$T/right"
        claim "$mode: ${program%:*} computes the same" \
            ends 0 "$(head -n 1 "$T/right")" under "$mode" \
            luajit "$HERE/lua/${program%:*}.lua" "${program#*:}"
    done
    luajit "$HERE/lua/compile.lua" 200 >"$T/right"
    claim "$mode: so does one that is given a code cache several times" \
        ends 0 "$(head -n 1 "$T/right")" under "$mode" \
        luajit -Omaxmcode=64 -Osizemcode=32 "$HERE/lua/compile.lua" 200
    claim "$mode: the preloaded library saw the JIT at work" \
        ends 0 '[1-9][0-9][0-9]* changes of rights' under_stats "$mode" \
        luajit "$HERE/lua/compile.lua" 60
}

# The baseline has one call for each part of the cache, mprotect one for each
# change. Seen to fail with a baseline that did half of what mprotect does.
calls() {
    under_stats "$1" luajit "$HERE/lua/compile.lua" 60 2>&1 |
        sed -n 's/.* changes of rights, \([0-9]*\) calls$/\1/p'
}

has_few_calls() {
    local few many
    few=$(calls none)
    many=$(calls mprotect)
    echo "$few calls, and $many of mprotect"
    ((few > 0 && few * 10 < many))
}

for mode in $MODES; do
    if [[ $mode == mpk ]] && ! grep -qw ospke /proc/cpuinfo; then
        echo 'SKIP: mpk needs protection keys'
        continue
    fi
    same_results "$mode"
    case $mode in
    none) is_open none && claim 'none: does next to nothing' has_few_calls ;;
    mprotect) closes mprotect && open_to_others mprotect ;;
    mpk) closes mpk && closes_to_others mpk ;;
    esac
done
claims_finish
