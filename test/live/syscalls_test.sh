#!/bin/bash
# syscalls_test.sh: the system calls that docs/syscalls.md lists are those that
# the module makes. A program that signs is traced with the stack of each call;
# the calls that come out of the module count. Each has to be in the table of
# its stage, and what a table says happens always has to be seen.
# Seen to fail: without the row for mremap of "Fork".

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VICTIM=$BUILD/syscalls_victim
DOC=$ROOT/docs/syscalls.md
need_built "$VICTIM"
need_tool strace
# -k: with the stack of each call, which not every build of strace has.
strace -k -o "$T/probe" true 2>/dev/null || skip 'strace -k does not work here'

# conf_with MEMORY
conf_with() {
    sed "s/^memory = .*/memory = $1/" "$PROTECTED" >"$T/conf"
}

# One file for each thread: lines of others would come between call and stack.
trace() {
    rm -f "$T"/trace.*
    OPENSSL_CONF=$T/conf strace -ff -k -o "$T/trace" "$VICTIM" \
        "$CERTS/p256.key"
}

# The trace of a thread that opens what the domain is made of.
is_apart() {
    [[ $(grep -A 2 '^exit(' "$1") == */mpk.so\(* ]]
}

# Prints "STAGE CALL" for each call of the module in one thread's trace. A
# thread without marks is the one that was made to sign, and what a child does
# before its first mark belongs to fork. Who opens what the domain is made of
# does it as at the start. brk is malloc's, whoever comes when the heap of libc
# is full.
calls_of() {
    local first
    first=$(sed -n 's|.*"/mpk-stage/\([a-z]*\)".*|\1|p' "$1" | head -n 1)
    ! is_apart "$1" || first=start
    awk -v first="$first" '
        BEGIN { stage = "none" }
        NR == 1 && first == "start" { stage = "start" }
        NR == 1 && first == "" { stage = "use" }
        NR == 1 && first == "child" { stage = "fork" }
        /^ > / {
            if (call != "" && /[/]mpk[.]so[(]/) {
                print stage, call
                call = ""
            }
            next
        }
        /"[/]mpk-stage[/]/ {
            match($0, /mpk-stage[/][a-z]+/)
            stage = substr($0, RSTART + 10, RLENGTH - 10)
            if (stage ~ /^(thread|child|end)$/) stage = "use"
            call = ""
            next
        }
        {
            call = ""
            if (match($0, /^[a-z0-9_]+[(]/)) call = substr($0, 1, RLENGTH - 1)
            if (call == "syscall_0x1ce") call = "mseal" # not known to strace 6.1
            if (call == "fstat") call = "newfstatat" # of a newer libc
        }' "$1" | grep -v -e '^none' -e ' brk$'
}

all_calls() {
    local file
    for file in "$T"/trace.*; do
        calls_of "$file"
    done | sort | uniq
}

heading_of() {
    case $1 in
    start) echo '## Start-up' ;;
    load) echo '## Loading a key' ;;
    use) echo '## Operations' ;;
    fork) echo '## Fork' ;;
    esac
}

# documented STAGE [WHEN]: the calls in the table of a stage; with WHEN only
# those whose second column is that ("always, inside" is not "always").
documented() {
    awk -v heading="$(heading_of "$1")" -v when="${2:-}" -F ' *[|] *' '
        /^## / { here = $0 == heading }
        here && $2 ~ /^`/ && (when == "" || $3 == when) {
            gsub(/`/, "", $2); print $2 }' "$DOC" | sort -u
}

# Keys that are loaded, and threads that sign, may need more of the domain's
# heap: there the calls of "Growth" may be seen as well.
growth() {
    [[ $1 == load || $1 == use ]] || return 0
    awk -F ' *[|] *' '/^## / { here = $0 == "## Growth" }
        here && $2 ~ /^`/ { gsub(/`/, "", $2); print $2 }' "$DOC"
}

no_others() {
    local stage=$1
    sed -n "s/^$stage //p" "$T/calls" >"$T/seen"
    [[ -s $T/seen ]] || {
        echo "no call was seen at all"
        return 1
    }
    { documented "$stage" && growth "$stage"; } | sort -u >"$T/listed"
    comm -23 "$T/seen" "$T/listed" | sed 's/^/not in the table: /' >"$T/new"
    cat "$T/new"
    [[ ! -s $T/new ]]
}

all_there() {
    local stage=$1
    sed -n "s/^$stage //p" "$T/calls" >"$T/seen"
    { documented "$stage" always && documented "$stage" "backend $BACKEND"; } |
        sort -u >"$T/due"
    [[ -s $T/due ]] || {
        echo "the table has nothing that happens always"
        return 1
    }
    comm -13 "$T/seen" "$T/due" | sed 's/^/not seen: /' >"$T/missing"
    cat "$T/missing"
    [[ ! -s $T/missing ]]
}

test_memory() {
    local stage what
    conf_with "$1"
    check "memory = $1: the program runs" trace
    all_calls >"$T/calls"
    for stage in start load use fork; do
        what="memory = $1, $stage"
        claim "$what: no calls but those listed" no_others "$stage"
        claim "$what: what is listed as always happens" all_there "$stage"
    done
}

nothing_new_is_executable() {
    ! grep -hE -A 4 '^(mmap|mprotect|pkey_mprotect)\(.*PROT_EXEC' \
        "$T"/trace.* | grep -E '/mpk\.so\('
}

test_memory anonymous
claim 'the module makes nothing executable' nothing_new_is_executable
test_memory auto
finish
