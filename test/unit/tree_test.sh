#!/bin/bash
# The rules of CONTRIBUTING.md for the tree and the module: one file owns each
# privilege, for one. Usage: tree_test.sh SOURCE-DIR MODULE; without a module, or with
# a sanitised one, only the sources are looked at.
#
# Each rule is a function that takes what it looks at, so that the last part
# can show that it fails on a tree or a module that breaks it.

# shellcheck disable=SC2317 # claim calls functions by name

set -euo pipefail

ROOT=${1:?usage: tree_test.sh SOURCE-DIR [MODULE]}
MODULE=${2:-}
SYMBOLS=$ROOT/test/unit/symbols.txt

export LC_ALL=C
T=$(mktemp -d "${TMPDIR:-/tmp}/mpk-tree.XXXXXX")
trap 'rm -rf "$T"' EXIT

# shellcheck source=test/unit/claims.sh
. "$(dirname "${BASH_SOURCE[0]}")/claims.sh"

# none DIR PATTERN PATH...: no line of these files matches.
none() {
    local dir=$1 pattern=$2
    shift 2
    (cd "$dir" && ! grep -rnP --include='*.[chS]' "$pattern" "$@")
}

# none_but DIR FILE PATTERN PATH...: no line of a file other than FILE does.
none_but() {
    local dir=$1 file=$2 pattern=$3
    shift 3
    (cd "$dir" && ! grep -rnP --include='*.[chS]' "$pattern" "$@" |
        grep -v "^$file:")
}

# ---- the sources -----------------------------------------------------------

CORE=(mpkcore include)
SHIPPED=(mpkcore include provider tools)

# What an assembler or the compiler makes a WRPKRU or an XRSTOR of. WRPKRU in
# capitals is prose.
PKRU_WRITE='\b(wrpkru|_wrpkru|_?xrstors?(64)?)\b|__builtin_ia32_(wrpkru|xrstor)'
PKRU_WRITE+='|\bpkey_set\b|0x0f, *0x01, *0xef'

# A call, not "mprotect(2)" in prose and not a member of a struct.
MAPPED='(mmap|mmap64|munmap|mremap|mprotect|madvise|mlock|mlock2|mlockall'
MAPPED+='|munlock|munlockall|mseal|shmat|memfd_secret|memfd_create'
MAPPED+='|remap_file_pages|pkey_(alloc|free|mprotect|get|set))'
MAPPING="(?<![>.\\w*])$MAPPED\\s*\\((?!2\\))|\\b(SYS_|__NR_)$MAPPED\\b"

only_gate_writes_pkru() {
    none_but "$1" 'mpkcore/x86_64/\(gate\|hit\|rights\)\.S' "$PKRU_WRITE" \
        "${SHIPPED[@]}"
}

# has_writes FILE N
has_writes() {
    (($(grep -cE '^[[:space:]]+wrpkru' "$1") == $2))
}

gate_has_two_writes() {
    has_writes "$1/mpkcore/x86_64/gate.S" 2
}

rights_has_two_writes() {
    has_writes "$1/mpkcore/x86_64/rights.S" 2
}

hit_has_three_writes() {
    has_writes "$1/mpkcore/x86_64/hit.S" 3
}

# tools/ run in processes of their own, without a domain.
only_map_maps() {
    none_but "$1" 'mpkcore/\(map\(_apart\|_fork\|_group\|_module\|_seal\)\?\|system\)\.c' \
        "$MAPPING" "${CORE[@]}" provider
}

nobody_filters() {
    none "$1" '\bseccomp\s*\((?!2\))|SYS_seccomp|PR_SET_SECCOMP' \
        "${SHIPPED[@]}"
}

assembly_is_in_one_folder() {
    none "$1" '\b(__asm__|__asm|asm)\b\s*(volatile|__volatile__|\()' \
        --exclude-dir=x86_64 provider tools include mpkcore
}

# The address of a frame comes from a stack that others may write.
stack_is_asked_of_rsp() {
    none_but "$1" 'mpkcore/sanitize\.h' '__builtin_frame_address' \
        mpkcore include provider
}

core_knows_no_openssl() {
    none "$1" '#\s*include\s*[<"](openssl|crypto|internal)/' "${CORE[@]}"
}

provider_uses_public_headers() {
    none "$1" '#\s*include\s*[<"](\.\./|.*/)?(internal|layout|state|cpu)\.h' \
        provider
}

check_sources() {
    claim 'WRPKRU and XRSTOR are in the gate, rights.S and hit.S only' \
        only_gate_writes_pkru "$1"
    claim 'the gate opens in one place and closes in one' \
        gate_has_two_writes "$1"
    claim 'rights.S has one write for outside and one for inside' \
        rights_has_two_writes "$1"
    claim 'hit.S opens in two places and closes in one' hit_has_three_writes "$1"
    claim 'memory is mapped and tagged in map.c and the five beside it only' \
        only_map_maps "$1"
    claim 'nothing filters system calls yet' nobody_filters "$1"
    claim 'assembly is in mpkcore/x86_64 only' assembly_is_in_one_folder "$1"
    claim 'which stack this is, is asked of rsp' stack_is_asked_of_rsp "$1"
    claim 'the core includes nothing of OpenSSL' core_knows_no_openssl "$1"
    claim "the provider uses the core's public headers only" \
        provider_uses_public_headers "$1"
}

# ---- the module ------------------------------------------------------------

exports_init_only() {
    nm -D --defined-only "$1" | awk '{ print $3 }' >"$T/exports"
    cat "$T/exports"
    [[ $(cat "$T/exports") == OSSL_provider_init ]]
}

# Names without their versions; a new one must be reviewed before it is listed.
# Relocations tell: lld leaves names in the table of symbols that nothing asks
# for, those that --wrap has put others in the place of. __read_chk, which
# _FORTIFY_SOURCE makes of read, does what read does, or ends the process.
needs_listed_symbols_only() {
    readelf -rW "$1" |
        awk '$3 ~ /^R_/ && NF > 4 { sub(/@.*/, "", $5); print $5 }' |
        sort -u >"$T/needed"
    sed 's/#.*//' "$2" | tr -s ' \t' '\n' | sed '/^$/d' | sort -u >"$T/listed"
    [[ -s $T/needed && -s $T/listed ]] || return 1
    comm -23 "$T/needed" "$T/listed" |
        sed 's/^__\(.*\)_chk$/\1/' | sort -u >"$T/unlisted"
    comm -23 "$T/unlisted" "$T/listed" >"$T/new"
    sed 's/^/not in symbols.txt: /' "$T/new"
    [[ ! -s $T/new ]]
}

# ld.so would run them outside, where the data of the inside is closed.
has_nothing_for_the_loader() {
    readelf -dW "$1" >"$T/dynamic"
    [[ -s $T/dynamic ]] &&
        ! grep -E '\((PREINIT_ARRAY|INIT|INIT_ARRAY|FINI|FINI_ARRAY)\)' \
            "$T/dynamic"
}

# Two builds of one source are one module, whatever folders they were made in;
# where debuggers look for sources is in other sections.
names_no_folder() {
    objcopy -O binary -j '.rodata*' "$1" "$T/rodata"
    [[ -s $T/rodata ]] && ! grep -aoF "$ROOT/" "$T/rodata"
}

# Every instruction of an ELF file: function, address, mnemonic. It is decoded
# from each symbol on, so what is data in between does no harm beyond.
instructions() {
    objdump -dw --no-show-raw-insn "$1" |
        awk -F'[<>]' '/^[0-9a-f]+ </ { name = $2; next }
            { split($0, part, ":\t"); sub(/^ +/, "", part[1])
              if (part[2] != "") { split(part[2], word, " ")
                  prefixed = word[1] ~ /^(rex|data16|lock|repn?z?|notrack)/
                  print name, part[1], word[prefixed ? 2 : 1] } }'
}

# The functions that write PKRU, one word for each time: what gate.S and
# rights.S hold, by name.
OURS='mpk_gate mpk_gate mpk_rights_inside mpk_rights_set'

# Instructions decide, not bytes: the bytes of one can stand inside others by
# the layout of a day.
only_ours_write_pkru() {
    local wrpkru xrstor
    instructions "$1" >"$T/instructions"
    wrpkru=$(awk '$3 == "wrpkru" { print $1 }' "$T/instructions" | sort | xargs)
    xrstor=$(awk '$3 ~ /^xrstors?(64)?$/ { print $1 }' "$T/instructions")
    echo "WRPKRU in: $wrpkru; XRSTOR in: ${xrstor:-none}"
    [[ $wrpkru == "$OURS" && -z $xrstor ]]
}

# Its message would be written with libc's stdio.
dies_by_itself_only() {
    objdump -dw --no-show-raw-insn "$1" >"$T/code"
    [[ -s $T/code ]] && ! grep -E '(call|jmp) .*<OPENSSL_die(@plt)?>' "$T/code"
}

# executable_segments FILE: offset, address and size of each.
executable_segments() {
    readelf -lW "$1" |
        awk '$1 == "LOAD" && ($7 ~ /E/ || $8 == "E") { print $2, $3, $5 }'
}

# WRPKRU; /5 of 0F AE with a memory operand, XRSTOR; /3 of 0F C7, XRSTORS.
PKRU_BYTES='\x0f\x01\xef|\x0f\xae[\x28-\x2f\x68-\x6f\xa8-\xaf]'
PKRU_BYTES+='|\x0f\xc7[\x18-\x1f\x58-\x5f\x98-\x9f]'

# Where these bytes are, at any offset: addresses, in decimal.
pkru_bytes() {
    local offset address size
    executable_segments "$1" | while read -r offset address size; do
        dd if="$1" bs=64K iflag=skip_bytes,count_bytes status=none \
            skip="$((offset))" count="$((size))" >"$T/segment"
        grep -obUaP "$PKRU_BYTES" "$T/segment" | cut -d: -f1 |
            while read -r offset; do echo $((address + offset)); done
    done
}

# The bytes that are in no instruction of their kind. A jump to them takes
# code reuse (T2): they are what strict mode has to rewrite, and no defect.
bytes_in_others() {
    local at found
    for at in $(pkru_bytes "$1"); do
        found=$(awk -v at="$at" '
            function value(hex, n, i) {
                for (i = 1; i <= length(hex); i++)
                    n = n * 16 + index("0123456789abcdef",
                                       substr(hex, i, 1)) - 1
                return n }
            { a = value($2) }
            a > at { exit }
            { last = $0; start = a }
            END { split(last, w, " ")
                  own = w[3] ~ /^(wrpkru|xrstors?(64)?)$/ && at - start < 4
                  if (!own) printf "%s+, in the %s at %s", w[1], w[3], w[2] }
            ' "$T/instructions")
        [[ -z $found ]] || echo "$found"
    done
}

check_module() {
    claim 'the module exports OSSL_provider_init and nothing else' \
        exports_init_only "$1"
    claim 'the module needs only what was reviewed' \
        needs_listed_symbols_only "$1" "$SYMBOLS"
    claim 'the module has nothing that runs at its loading or at exit' \
        has_nothing_for_the_loader "$1"
    claim 'assertions of the inner libcrypto end the process by mpk_fatal' \
        dies_by_itself_only "$1"
    claim 'the module does not say where it was built' names_no_folder "$1"
    claim "the module's code has the four WRPKRU of ours and no XRSTOR" \
        only_ours_write_pkru "$1"
    bytes_in_others "$1" | sed 's/^/bytes of WRPKRU or XRSTOR: /'
}

# ---- the rules can fail ----------------------------------------------------

fresh_copy() {
    rm -rf "$T/tree"
    mkdir "$T/tree"
    (cd "$ROOT" && cp -r "${SHIPPED[@]}" "$T/tree")
}

# planted FILE LINE RULE: breaks a rule in a copy of the tree.
planted() {
    fresh_copy
    printf '%s\n' "$2" >>"$T/tree/$1"
    is_noticed "$2 in $1" "$3" "$T/tree"
}

check_rules() {
    planted mpkcore/entry.c '    asm volatile("wrpkru");' only_gate_writes_pkru
    planted mpkcore/entry.c '    _xrstor(area, mask);' only_gate_writes_pkru
    planted provider/load.c '    pkey_set(key, 0);' only_gate_writes_pkru
    planted mpkcore/x86_64/gate.S '        wrpkru' gate_has_two_writes
    planted mpkcore/x86_64/rights.S '        wrpkru' rights_has_two_writes
    planted mpkcore/x86_64/hit.S '        wrpkru' hit_has_three_writes
    planted mpkcore/vkey_begin.c '    asm volatile("wrpkru");' \
        only_gate_writes_pkru
    planted mpkcore/vkey.c '    munmap(p, 4096);' only_map_maps
    planted provider/load.c '    p = mmap(NULL, 1, 3, 2, -1, 0);' only_map_maps
    planted mpkcore/fork.c '    syscall(SYS_pkey_alloc, 0, 0);' only_map_maps
    planted mpkcore/heap.c '    mprotect(p, 4096, PROT_READ);' only_map_maps
    planted mpkcore/core.c '    seccomp(1, 0, &f);' nobody_filters
    planted provider/load.c '    __asm__("ud2");' assembly_is_in_one_folder
    planted provider/load.c '    here = __builtin_frame_address(0);' \
        stack_is_asked_of_rsp
    planted mpkcore/heap.c '#include <openssl/evp.h>' core_knows_no_openssl
    planted provider/load.c '#include "../mpkcore/internal.h"' \
        provider_uses_public_headers
}

# A library with the four that are ours, and with one more instruction.
library() {
    printf '%s\n' '.text' '.globl mpk_gate' 'mpk_gate: wrpkru' 'wrpkru' 'ret' \
        'mpk_rights_set: wrpkru' 'ret' 'mpk_rights_inside: wrpkru' 'ret' \
        'other:' "$1" 'ret' |
        as -o "$T/other.o" - && ld -shared -o "$T/other.so" "$T/other.o"
}

# code_is_noticed WHAT INSTRUCTION
code_is_noticed() {
    library "$2"
    is_noticed "$1" only_ours_write_pkru "$T/other.so"
}

says_in_others() {
    [[ $(bytes_in_others "$T/other.so") == "$1" ]]
}

check_code_rules() {
    code_is_noticed 'a fifth WRPKRU' wrpkru
    code_is_noticed 'an XRSTOR' 'xrstor (%rbx)'
    code_is_noticed 'a wide XRSTOR' 'xrstor64 8(%r11)'
    code_is_noticed 'an XRSTORS' 'xrstors (%rbx)'
    library nop
    claim 'four WRPKRU are taken' only_ours_write_pkru "$T/other.so"
    claim 'and are not inside others' says_in_others ''
    # shellcheck disable=SC2016 # assembly
    library 'movl $0xef010f, %eax'
    claim 'bytes in another instruction are taken' \
        only_ours_write_pkru "$T/other.so"
    claim 'and are said' says_in_others "other+, in the mov at $(
        awk '$1 == "other" && $3 == "mov" { print $2 }' "$T/instructions")"
}

check_module_rules() {
    grep -v '^strerror' "$SYMBOLS" >"$T/short"
    is_noticed 'a symbol that is not listed' \
        needs_listed_symbols_only "$1" "$T/short"
    check_code_rules
    printf '%s\n' '.section .fini_array,"aw"' '.quad 0' |
        as -o "$T/other.o" - && ld -shared -o "$T/other.so" "$T/other.o"
    is_noticed 'a library with something to run at exit' \
        has_nothing_for_the_loader "$T/other.so"
    library 'call OPENSSL_die@plt'
    is_noticed "an assertion that ends by libcrypto's own" \
        dies_by_itself_only "$T/other.so"
    is_noticed 'a library that exports more' exports_init_only \
        "$(ldd "$1" | awk '/libc\.so/ { print $3 }')"
}

check_sources "$ROOT"
check_rules
if [[ -z $MODULE ]]; then
    echo 'SKIP: no module was given'
elif nm -D --undefined-only "$MODULE" | grep -E '__[atu]b?san_' >"$T/out"; then
    echo 'SKIP: a sanitised module, its symbols and code are not looked at'
else
    check_module "$MODULE"
    check_module_rules "$MODULE"
fi
claims_finish
