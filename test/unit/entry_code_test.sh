#!/bin/sh
# What the calls of virtual keys have been compiled to in a program: the number
# of the entry is put into the gate's register after the last call before it,
# from read-only memory and a constant. If it were kept meanwhile, in a register
# that another function saves, or on the stack, any thread could make another
# entry of it. Seen to fail with the number handed to mpk_call. And mpk_begin and
# mpk_end keep nothing on the stack, where it could be made another key or pin:
# seen to fail with the calls that mpk_rights_pin and mpk_rights_unpin have
# replaced. Code without optimization is refused.
set -eu

gates=$(objdump -d --no-show-raw-insn "$1" | awk '
    BEGIN {
        FORKS = "^<(fork_|open_again|close_for_fork|take_copies)"
        MAKES = "^<(make_stack|more_slots|attempt_again)"
    }
    /^[0-9a-f]+ <.*>:$/ { name = $2; n = 0; next }
    / call .*<mpk_gate>$/ || /\tcall .*<mpk_gate>$/ {
        if (name !~ /^<(mpk_call|try_one|try_all)/) {
            print name, (fits() ? "fits" : "does not fit")
        }
        n = 0
        next
    }
    /\tcall/ { n = 0; next }
    { line[n++] = $0 }

    # The register that a load from vk_ro has filled, and then %edi from it; for
    # a fork, and for a stack that is made, a constant.
    function fits(    i, reg, set, text) {
        reg = ""
        set = 0
        for (i = 0; i < n; i++) {
            text = line[i]
            if (text ~ /mov +0x[0-9a-f]+\(%rip\),%e[a-z]+ .*<vk_ro/) {
                reg = text
                sub(/.*\(%rip\),%e/, "", reg)
                sub(/ .*/, "", reg)
                set = reg == "di"
            } else if (text ~ /mov +\$0x1,%edi$/ && name ~ FORKS) {
                set = 1
            } else if (text ~ /mov +\$0x2,%edi$/ && name ~ MAKES) {
                set = 1
            } else if (text ~ /,%[er]di$/) {
                set = reg != "" &&
                    text ~ ("(lea|add|mov) .*(\\(%r" reg "\\)|\\$0x[0-9a-f]+|%e" reg "),%[er]di$")
            }
        }
        return set
    }')
echo "$gates"
if echo "$gates" | grep 'does not fit'; then
    echo "the number of an entry lies in memory on its way to the gate" >&2
    exit 1
fi
# begin, end, mmap, munmap, mprotect, malloc, free twice, stats, init, threads
# twice; those that a compiler has made a part of others count there.
[ "$(echo "$gates" | grep -c fits)" -ge 12 ] || {
    echo "fewer entries than there are operations in $1" >&2
    exit 1
}

# ends_in FUNCTION STACK NEXT: has nothing of what the pattern STACK says, and
# goes on in NEXT.
ends_in() {
    code=$(objdump -d --no-show-raw-insn "$program" |
        awk -v f="<$1>:" '/^[0-9a-f]+ <.*>:$/ { here = $2 == f } here')
    if echo "$code" | grep -E "$2"; then
        echo "$1 keeps something on the stack" >&2
        exit 1
    fi
    echo "$code" | grep -q "jmp .*<$3" || {
        echo "$1 does not end in $3" >&2
        exit 1
    }
}
program=$1

# Where a thread's list is kept does not lie on its stack while it waits in the
# gate: it is asked for again. Seen to fail without.
objdump -d --no-show-raw-insn "$1" | awk '
    /^[0-9a-f]+ <.*>:$/ { here = $2 ~ /^<miss(\.[a-z0-9.]+)?>:$/; next }
    here && /call .*<entering_end>/ { left = 1; asked = 0 }
    here && left && /rdfsbase/ { asked = 1 }
    END { exit !(left && asked) }' || {
    echo "mpk_begin goes on with what it had before it waited" >&2
    exit 1
}

ends_in mpk_begin '\(%rsp|\(%rbp|push|call' mpk_rights_pin
ends_in mpk_end '\(%rsp|\(%rbp|push|call' mpk_rights_unpin
# What mpk_end does otherwise has no stack but to align it.
ends_in end_asking '[^x]\(%rsp|\(%rbp' mpk_rights_unpin
