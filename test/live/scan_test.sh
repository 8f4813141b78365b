#!/bin/bash
# What a wild read finds of a key at each point of its life: while it is
# loaded, in use, after hundreds of handshakes, after it is freed, in a core
# dump, and through the kernel's own ways into another process.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

HAMMER=$BUILD/hammer
VICTIM=$BUILD/key_victim
PEEK=$BUILD/peek
DEMO_PEEK=$BUILD/demo-peek
need_built "$MPKCTL" "$HAMMER" "$VICTIM" "$PEEK" "$DEMO_PEEK"

PASS=correct-horse
SAMPLES=12
HANDSHAKES=400
STAGE_TYPES=(rsa2048 p256 ed25519)

# ---- a server -------------------------------------------------------------

start_server() {
    serve "$1" -cert "$CERTS/$3.crt" -key "${URI[$2]}$CERTS/$3.key" ||
        bail "no server with $3 by $2"
}

core_of() {
    stock gcore -o "$T/core" "$1" && mv "$T/core.$1" "$T/core"
}

# gcore is gdb's; without it the rest is still worth running.
test_core() {
    local what=$1 kind=$2 verdict=$3 type=$4
    if ! command -v gcore >/dev/null; then
        echo "not checked: $what, core dump (gdb is not installed)"
        return 0
    fi
    check "$what: core dump" core_of "$SERVER_PID"
    "$kind" "$what: a scan of a core dump ($verdict)" "$verdict" \
        --core "$T/core" "$CERTS/$type.key"
    rm -f "$T/core"
}

test_server() {
    local way=$1 type=$2 what="server, $2 by $1" key output
    key=$CERTS/$type.key
    start_server "$PROTECTED" "$way" "$type"
    claim "$what: nothing after the load" scan_clean --pid "$SERVER_PID" "$key"
    check "$what: $HANDSHAKES handshakes" "$HAMMER" -n "$HANDSHAKES" \
        -p "$SERVER_PORT" -C "$CERTS/ca.crt"
    output=$(<"$T/attempt")
    printf '%s: %s\n' "$what" "${output##*$'\n'}"
    claim "$what: nothing after $HANDSHAKES handshakes" \
        scan_clean --pid "$SERVER_PID" "$key"
    # Each way and each type once.
    case $way-$type in
    mpk-rsa2048 | pem-p256) test_core "$what" claim scan_clean "$type" ;;
    esac
    stop "$SERVER_PID"
}

# scan_says_not_seen KEY [FILE]: nothing of KEY, and not even that of FILE.
scan_says_not_seen() {
    scan_clean --pid "$SERVER_PID" "$1" >"$T/scan" || return 1
    if (($# == 1)); then
        lacks_match "$T/scan" '^not seen either'
    else
        has_match "$T/scan" "^not seen either: the public part of $2; so this"
    fi
}

# That nothing is found counts where the certificate shows the key's process.
test_right_key() {
    start_server "$PROTECTED" pem p256
    claim 'the key of a server: nothing, and it is the right process' \
        scan_says_not_seen "$CERTS/p256.key"
    check 'the key of another: nothing, and it may be another process' \
        scan_says_not_seen "$CERTS/rsa2048.key" "$CERTS/rsa2048.key"
    stop "$SERVER_PID"
}

# scan_where DIR PLACE: as with DIR mounted there, of a process of ours.
scan_where() {
    launch "$STOCK" "$T/sleep" sleep 1000
    unshare -m bash -c 'mount --bind "$0" "${1/PID/$2}" && shift &&
        exec "$3" scan --pid "$1" --key "$2"' "$1" "$2" "$LAUNCHED" \
        "$CERTS/p256.key" "$MPKCTL"
}

# Other answers than "no process", which it would be to look for in vain.
test_no_proc() {
    mkdir "$T/empty"
    if ! unshare -m mount --bind "$T/empty" "$T/empty" 2>"$T/unshare"; then
        echo "not checked: a process that /proc hides ($(cat "$T/unshare"))"
        return 0
    fi
    check 'a process that /proc hides' refuses_saying 'hidden by hidepid' \
        scan_where "$T/empty" /proc/PID
    check 'no /proc' refuses_saying '/proc is not mounted' \
        scan_where "$T/empty" /proc
    check 'no process' refuses_saying 'no process 4194305' \
        "$MPKCTL" scan --pid 4194305 --key "$CERTS/p256.key"
}

# What the silence above is worth: the same scans of the same key, stock.
test_stock_server() {
    local type=$1 what="stock server, $1"
    start_server "$STOCK" pem "$type"
    check "$what: a scan finds the key" \
        scan_finds --pid "$SERVER_PID" "$CERTS/$type.key"
    test_core "$what" check scan_finds "$type"
    stop "$SERVER_PID"
}

# ---- a program, stage by stage --------------------------------------------

# start_victim CONF ARG...: sets VICTIM_PID, VICTIM_LOG and VICTIM_FD, to
# which a line means: go on.
start_victim() {
    local conf=$1
    shift
    open_input
    VICTIM_FD=$INPUT_FD
    new_file victim && VICTIM_LOG=$NEW_FILE
    LAUNCH_STDIN=$INPUT launch "$conf" "$VICTIM_LOG" "$VICTIM" "$@"
    VICTIM_PID=$LAUNCHED
    wait_for_stage ready
}

stage_or_dead() {
    has_line "$VICTIM_LOG" "$1" || ! alive "$VICTIM_PID"
}

wait_for_stage() {
    until_true 15 stage_or_dead "$1" || true
    if ! has_line "$VICTIM_LOG" "$1"; then
        show "$VICTIM_LOG"
        return 1
    fi
}

go_on() {
    echo >&"$VICTIM_FD"
}

go_to_stage() {
    go_on
    wait_for_stage "$1"
}

end_victim() {
    stop "$VICTIM_PID"
    exec {VICTIM_FD}>&-
}

# test_stages WHAT TYPE ARG...: nothing is readable at any stage.
test_stages() {
    local what=$1 type=$2 stage
    shift 2
    check "$what: starts" start_victim "$PROTECTED" "$@"
    for stage in loaded signed freed; do
        check "$what: reaches $stage" go_to_stage "$stage"
        claim "$what: nothing when $stage" \
            scan_clean --pid "$VICTIM_PID" "$CERTS/$type.key"
    done
    end_victim
}

# The program's stream has a buffer, which libc frees as it is when the key is
# loaded: what is in there is wiped when the key is used.
test_der() {
    local type=$1 what="SSL_CTX_use_PrivateKey_file of DER, $1"
    stock openssl pkey -in "$CERTS/$type.key" -outform DER -out "$T/der"
    check "$what: starts" start_victim "$PROTECTED" ctx-der "$T/der"
    check "$what: reaches loaded" go_to_stage loaded
    # malloc writes over the first bytes, the whole of a short key.
    [[ $type != rsa2048 ]] ||
        check "$what: a scan finds what libc has freed" \
            scan_finds --pid "$VICTIM_PID" "$CERTS/$type.key"
    check "$what: reaches signed" go_to_stage signed
    claim "$what: nothing when signed" \
        scan_clean --pid "$VICTIM_PID" "$CERTS/$type.key"
    end_victim
}

# By libcrypto's store, whose readers of PEM look at it first.
test_other_forms() {
    local form
    for form in DER MSBLOB PVK; do
        stock openssl rsa -in "$CERTS/rsa2048.key" -outform "$form" \
            -pvk-none -out "$T/form" 2>"$T/log"
        check "store of $form: starts" start_victim "$PROTECTED" store "$T/form"
        check "store of $form: reaches loaded" go_to_stage loaded
        check "store of $form: reaches signed" go_to_stage signed
        claim "store of $form: nothing when signed" \
            scan_clean --pid "$VICTIM_PID" "$CERTS/rsa2048.key"
        end_victim
    done
}

test_all_stages() {
    local type file
    for type in "${STAGE_TYPES[@]}"; do
        file=$CERTS/$type.key
        test_stages "PEM_read_bio, $type" "$type" pem-bio "$file"
        test_stages "SSL_CTX_use_PrivateKey_file, $type" "$type" ctx-file \
            "$file"
        test_stages "store of a file, $type" "$type" store "$file"
        test_stages "store of mpk:, $type" "$type" store "${URI[mpk]}$file"
    done
    stock openssl pkey -in "$CERTS/rsa2048.key" -aes256 \
        -passout "pass:$PASS" -out "$T/enc.key"
    test_stages 'PEM_read_bio, encrypted' rsa2048 -p "$PASS" pem-bio \
        "$T/enc.key"
    test_stages 'store of mpk:, encrypted' rsa2048 -p "$PASS" store \
        "${URI[mpk]}$T/enc.key"
}

test_stock_stages() {
    check 'stock program: starts' start_victim "$STOCK" pem-bio \
        "$CERTS/rsa2048.key"
    check 'stock program: not loaded, nothing to find' \
        scan_clean --pid "$VICTIM_PID" "$CERTS/rsa2048.key"
    check 'stock program: loads' go_to_stage loaded
    check 'stock program: a scan finds the loaded key' \
        scan_finds --pid "$VICTIM_PID" "$CERTS/rsa2048.key"
    end_victim
}

# ---- while it is loading --------------------------------------------------

stopped() {
    [[ $(<"/proc/$VICTIM_PID/stat") == *') '[Tt]\ * ]]
}

# The last scan says that secretmem was open to the process, which it cannot
# read itself: the victim stands still with a thread inside.
mprotect_was_open() {
    [[ $BACKEND == mprotect ]] &&
        tail -n 1 "$T/samples" | grep -q 'secretmem that is open'
}

# One look at a moment of the loop that nobody chose. The victim stands still
# meanwhile: a scan takes longer than a load, and the key would move away
# from under it. Counts it in CLEAN, FOUND or ERRORS.
sample() {
    local type=$1 status=0
    read -rt "0.0$((RANDOM % 50 + 10))" -u "$SILENCE" || true
    kill -STOP "$VICTIM_PID"
    until_true 5 stopped
    scan_status --pid "$VICTIM_PID" "$CERTS/$type.key" \
        >>"$T/samples" 2>&1 || status=$?
    kill -CONT "$VICTIM_PID"
    case $status in
    0) CLEAN=$((CLEAN + 1)) ;;
    1) FOUND=$((FOUND + 1)) ;;
    2) if mprotect_was_open; then
        CLEAN=$((CLEAN + 1))
    else
        ERRORS=$((ERRORS + 1))
    fi ;;
    *) ERRORS=$((ERRORS + 1)) ;;
    esac
}

# sample_loop CONF TYPE ARG...: sets CLEAN, FOUND and ERRORS.
sample_loop() {
    local conf=$1 type=$2 i output
    shift 2
    CLEAN=0 FOUND=0 ERRORS=0
    : >"$T/samples"
    start_victim "$conf" -l "$@" >/dev/null || bail "no victim: $*"
    go_on
    for ((i = 0; i < SAMPLES; i++)); do
        sample "$type"
    done
    go_on
    until_true 10 none_alive "$VICTIM_PID" || true
    output=$(<"$VICTIM_LOG")
    echo "${output##*$'\n'}"
    end_victim
}

all_clean() {
    echo "$SAMPLES samples: $CLEAN clean, $FOUND with the key, $ERRORS errors"
    tail -n 8 "$T/samples"
    ((CLEAN == SAMPLES))
}

no_errors() {
    tail -n 8 "$T/samples"
    ((ERRORS == 0))
}

loop_ran() {
    has_match "$VICTIM_LOG" '^rounds=[0-9]{2,} '
}

# Only the PKU backend, or secret memory, keeps a scan from outside out of a
# domain that is open at the moment: mprotect opens it for all.
test_during_load() {
    local type=$1
    sample_loop "$PROTECTED" "$type" store "${URI[mpk]}$CERTS/$type.key"
    printf 'mpk: load and free, %s: key in %d of %d samples\n' "$type" \
        "$FOUND" "$SAMPLES"
    check "while $type loads by mpk: the loop ran" loop_ran
    check "while $type loads by mpk: every sample was taken" no_errors
    if [[ $BACKEND == mprotect && $MEMORY == anonymous ]]; then
        echo 'not claimed: mprotect opens anonymous memory for every thread'
        return 0
    fi
    claim "while $type loads by mpk: nothing in any sample" all_clean
}

# The application reads the text itself here, before any provider is asked.
# How long it is there can only be reported; that it goes away is claimed in
# test_all_stages.
report_pem_load() {
    local type=$1
    sample_loop "$PROTECTED" "$type" pem-bio "$CERTS/$type.key"
    printf 'PEM load and free, %s: key or its text in %d of %d samples\n' \
        "$type" "$FOUND" "$SAMPLES"
    check "while $type loads by PEM: the loop ran" loop_ran
}

test_sampling_can_find() {
    sample_loop "$STOCK" rsa2048 pem-bio "$CERTS/rsa2048.key"
    printf 'stock PEM load and free: key in %d of %d samples\n' "$FOUND" \
        "$SAMPLES"
    check 'stock load loop: samples find the key' test "$FOUND" -gt 0
}

# ---- through the kernel ---------------------------------------------------

# Prints the start of each mapping that is secret memory, in hexadecimal.
secret_ranges() {
    sed -n 's/^\([0-9a-f]*\)-.* \/secretmem.*/\1/p' "/proc/$1/maps"
}

# Prints the start of each mapping with a protection key.
keyed_ranges() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { split($1, range, "-") }
         /^ProtectionKey:/ && $2 != 0 { print range[1] }' "/proc/$1/smaps"
}

stack_start() {
    sed -n 's/^\([0-9a-f]*\)-.*\[stack\]/\1/p' "/proc/$1/maps"
}

# The stack's lowest page may never have been touched, but reads as zeros.
read_proc_mem() {
    dd if="/proc/$1/mem" of=/dev/null bs=4096 count=1 \
        skip=$((16#$2 / 4096)) status=none
}

has_secret_ranges() {
    [[ -n $(secret_ranges "$1") ]] || {
        grep -E '^[0-9a-f]+-[0-9a-f]+ ' "/proc/$1/maps" | tail -n 20
        echo "expected a mapping of /secretmem among these"
        return 1
    }
}

test_kernel_reads() {
    local start what
    if ((EUID != 0)) || [[ $MEMORY == anonymous ]] ||
        ! "$PEEK" secretmem >/dev/null; then
        echo 'not checked: reads by the kernel (want root and secret memory)'
        return 0
    fi
    start_server "$PROTECTED" mpk rsa2048
    start=$(stack_start "$SERVER_PID")
    check '/proc/PID/mem: reads ordinary memory' \
        read_proc_mem "$SERVER_PID" "$start"
    check 'process_vm_readv: reads ordinary memory' \
        "$PEEK" "$SERVER_PID" "$start"
    claim 'the domain has secret memory' has_secret_ranges "$SERVER_PID"
    for start in $(secret_ranges "$SERVER_PID"); do
        what="the domain at $start"
        claim "/proc/PID/mem: not $what" \
            refuses read_proc_mem "$SERVER_PID" "$start"
        claim "process_vm_readv: not $what" \
            refuses "$PEEK" "$SERVER_PID" "$start"
    done
    [[ $BACKEND != mpk || $CONTROL == 1 ]] ||
        claim 'the domain has a protection key' \
            test -n "$(keyed_ranges "$SERVER_PID")"
    stop "$SERVER_PID"
}

# ---- what demo.sh shows ---------------------------------------------------

demo_peek_ends() {
    local expected=$1 status=0
    timeout 60 "$DEMO_PEEK" "$2" "$CERTS/p256.key" || status=$?
    equal status "$status" "$expected"
}

no_demo_peek() {
    local file
    local words
    for file in /proc/[0-9]*/cmdline; do
        { mapfile -td '' words <"$file"; } 2>/dev/null || continue
        [[ "${words[*]}" != *demo-peek*" $1 "* ]] || return 1
    done
}

# The child has read the key, and its parent waits for it. Seen to fail with a
# child that has the other ends of its pipes, too, and so waits for itself.
demo_peek_dies() {
    local status=0
    mkfifo "$T/peek.key"
    cat "$CERTS/p256.key" >"$T/peek.key" &
    timeout --foreground -s KILL 3 "$DEMO_PEEK" "$1" "$T/peek.key" || status=$?
    equal status "$status" 137 && until_true 5 no_demo_peek "$1"
}

test_demo_peek() {
    sed '/^memory/d; s/^backend = .*/&\nmemory = anonymous/' "$PROTECTED" \
        >"$T/peek.cnf"
    check "a read of the key's address, stock: the key" \
        demo_peek_ends 1 "$STOCK"
    claim "a read of the key's address: a fault" demo_peek_ends 0 "$T/peek.cnf"
    cp "$STOCK" "$T/dies.cnf"
    check 'the program that reads it leaves no child' demo_peek_dies "$T/dies.cnf"
}

for type in rsa2048 p256; do
    test_stock_server "$type"
    test_server mpk "$type"
    test_server pem "$type"
done
test_right_key
test_no_proc
test_stock_stages
test_all_stages
test_der rsa2048
test_der ed25519
test_other_forms
test_sampling_can_find
test_during_load rsa2048
test_during_load p256
report_pem_load rsa2048
report_pem_load p256
test_kernel_reads
test_demo_peek
finish
