# shellcheck shell=bash
# Shared by the live tests; sourced, never run. A script that sources it gets
# a temporary directory $T that goes away at exit together with every process
# started by launch, and two configurations: $PROTECTED and $STOCK.
#
# Environment:
#   MPK_TEST_BUILD    build directory (default: build/ at the top)
#   MPK_TEST_BACKEND  mpk or mprotect (default: mpk if the CPU has PKU)
#   MPK_TEST_MEMORY   auto, secretmem or anonymous (default: auto)
#   MPK_TEST_CERTS    directory that make-certs.sh filled (default: made once
#                     in the build directory)
#   MPK_TEST_CONTROL  1: $PROTECTED is a stock configuration too. Then every
#                     check must pass and every claim must break, which shows
#                     that the claims can break.
#
# There are machines where a process costs ten times what it costs elsewhere,
# and its page faults are most of that; these scripts would start thousands. So
# a function here sets a variable where another would print, and files are read
# by bash itself.

set -Eeuo pipefail
# Without this a script that errexit ends says nothing.
trap 'echo "FAIL: ${BASH_SOURCE[0]}:$LINENO: status $?: $BASH_COMMAND" >&2' ERR

LIVE_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$LIVE_DIR/../.." && pwd)
BUILD=${MPK_TEST_BUILD:-$ROOT/build}
CONTROL=${MPK_TEST_CONTROL:-0}
MEMORY=${MPK_TEST_MEMORY:-auto}
MPKCTL=${MPK_TEST_MPKCTL:-$BUILD/mpkctl}
# shellcheck disable=SC2034 # for the scripts that source this
KEY_TYPES=(rsa2048 rsa3072 rsa4096 rsapss p256 p384 p521 ed25519 ed448)

CHECKS_PASSED=0
CHECKS_FAILED=0
CLAIMS_HELD=0
CLAIMS_BROKEN=0
SKIPPED=0
STARTED_AT=$SECONDS
PIDS=()

# ---- ends of a script -----------------------------------------------------

skip() {
    printf 'SKIP: %s\n' "$1"
    SKIPPED=1
    exit 77
}

# bail is for what stops the script; a check or claim only counts.
bail() {
    printf 'FAIL: %s\n' "$1" >&2
    exit 1
}

finish() {
    printf '%s: checks %d passed, %d failed; ' "${0##*/}" \
        "$CHECKS_PASSED" "$CHECKS_FAILED"
    printf 'claims %d held, %d broken; %d s\n' "$CLAIMS_HELD" \
        "$CLAIMS_BROKEN" $((SECONDS - STARTED_AT))
    ((CHECKS_FAILED + CLAIMS_BROKEN == 0)) || exit 1
    exit 0
}

# ---- files ------------------------------------------------------------------

# has_line FILE START: whether a line of a short file starts so.
has_line() {
    [[ $'\n'$(<"$1") == *$'\n'"$2"* ]]
}

# has_match FILE REGEX: prints the first line that matches, as grep -E -m 1.
has_match() {
    local lines line
    mapfile -t lines <"$1" || return 1
    for line in "${lines[@]}"; do
        if [[ $line =~ $2 ]]; then
            printf '%s\n' "$line"
            return 0
        fi
    done
    return 1
}

lacks_match() {
    [[ -e $1 ]] && ! has_match "$@"
}

show() {
    printf '%s\n' "$(<"$1")"
}

FILES=0

# new_file NAME: sets NEW_FILE to an empty file in $T.
new_file() {
    FILES=$((FILES + 1))
    NEW_FILE=$T/$1.$FILES
    : >"$NEW_FILE"
}

# ---- processes ------------------------------------------------------------

# These run at every turn of a loop that waits, so they start no process.

# A pipe that nothing comes through.
exec {SILENCE}<> <(:)

nap() {
    read -rt 0.02 -u "$SILENCE" || true
}

# children_of PID: sets CHILDREN.
children_of() {
    CHILDREN=()
    # No newline at the end, which read calls a failure.
    { read -ra CHILDREN <"/proc/$1/task/$1/children"; } 2>/dev/null || true
}

# descendants_of PID: appends to DESCENDANTS.
descendants_of() {
    local child
    children_of "$1"
    for child in "${CHILDREN[@]}"; do
        descendants_of "$child"
        DESCENDANTS+=("$child")
    done
}

alive() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # PID (NAME) STATE ... A zombie that nobody has waited for yet is gone for
    # our purposes.
    [[ ${stat##*) } != Z* ]]
}

none_alive() {
    local pid
    for pid in "$@"; do
        ! alive "$pid" || return 1
    done
}

# stop ends processes that we started and all they started.
stop() {
    local pid DESCENDANTS=()
    for pid in "$@"; do
        descendants_of "$pid"
        DESCENDANTS+=("$pid")
    done
    ((${#DESCENDANTS[@]} > 0)) || return 0
    kill -TERM "${DESCENDANTS[@]}" 2>/dev/null || true
    until_true 3 none_alive "${DESCENDANTS[@]}" ||
        kill -KILL "${DESCENDANTS[@]}" 2>/dev/null || true
    wait "$@" 2>/dev/null || true
}

clean_up() {
    local status=$?
    trap - EXIT
    stop "${PIDS[@]}"
    rm -rf "$T"
    # errexit hands on whatever a command returned; ctest is told 0, 1 or 77,
    # and 77 only by skip.
    ((status == 0 || SKIPPED == 1)) || status=1
    exit "$status"
}

# How many times longer than a quick machine it may take: a busy one, and an
# emulated one (test/vm/run.sh). Only what fails waits as long.
PATIENCE=4
[[ -z ${MPK_VM:-} ]] || PATIENCE=20

# until_true SECONDS COMMAND...: polls; fails when the time is over.
until_true() {
    local end=$((SECONDS + $1 * PATIENCE))
    shift
    until "$@"; do
        ((SECONDS <= end)) || return 1
        nap
    done
}

# open_input: sets INPUT, for LAUNCH_STDIN, and INPUT_FD, to which what the
# process reads there is written. Its input ends when INPUT_FD is closed.
open_input() {
    FILES=$((FILES + 1))
    INPUT=$T/fifo.$FILES
    mkfifo "$INPUT"
    # Both ends, or the open would wait for the other side.
    exec {INPUT_FD}<>"$INPUT"
}

# launch CONF LOG COMMAND...: in the background, with that OPENSSL_CONF. Sets
# LAUNCHED to its process id. LAUNCH_STDIN names another standard input than
# /dev/null.
launch() {
    local conf=$1 log=$2
    shift 2
    OPENSSL_CONF=$conf "$@" >"$log" 2>&1 <"${LAUNCH_STDIN:-/dev/null}" &
    LAUNCHED=$!
    PIDS+=("$LAUNCHED")
    # Until the exec, /proc/PID shows this shell, not the command.
    until_true 5 has_left_shell "$LAUNCHED" || true
}

has_left_shell() {
    ! alive "$1" || [[ ! /proc/$1/exe -ef /proc/$$/exe ]]
}

# within SECONDS OUT COMMAND...: its output goes to OUT, and it is ended when
# the time is over. As timeout(1), which is a process more. The pipe ends when
# the command does.
within() {
    local seconds=$1 out=$2 end
    shift 2
    exec {end}< <(exec "$@" 9>&1 >"$out" 2>&1)
    # No line comes, so a failure is the end, or above 128 for the time.
    read -rt "$seconds" -u "$end" || (($? <= 128)) || kill "$!"
    exec {end}<&-
    wait "$!"
}

# ---- servers --------------------------------------------------------------

PORTS_TAKEN=' '

port_in_use() {
    local hex table
    printf -v hex ': [0-9A-F]+:%04X ' "$1"
    for table in /proc/net/tcp /proc/net/tcp6; do
        [[ ! -e $table || ! $(<"$table") =~ $hex ]] || return 0
    done
    return 1
}

# pick_port sets PORT. Below the ephemeral range, so that no client socket of
# another test takes it between the look and the bind.
pick_port() {
    while :; do
        PORT=$((10000 + RANDOM % 20000))
        [[ $PORTS_TAKEN != *" $PORT "* ]] || continue
        ! port_in_use "$PORT" || continue
        PORTS_TAKEN+="$PORT "
        return 0
    done
}

accepts() {
    { true <>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null
}

# wait_for_accept PORT PID
wait_for_accept() {
    until_true 10 accepts_or_dead "$1" "$2" && accepts "$1"
}

accepts_or_dead() {
    accepts "$1" || ! alive "$2"
}

accept_printed_or_dead() {
    has_line "$SERVER_LOG" ACCEPT || ! alive "$SERVER_PID"
}

# server_port: sets SERVER_PORT to what the server has printed; fails when it
# has ended before.
server_port() {
    SERVER_PORT=
    until_true 15 accept_printed_or_dead || true
    [[ ! $(<"$SERVER_LOG") =~ (^|$'\n')ACCEPT\ [^$'\n']*:([0-9]+) ]] ||
        SERVER_PORT=${BASH_REMATCH[2]}
    [[ -n $SERVER_PORT ]]
}

# serve CONF ARG...: an s_server that answers HTTP. s_server picks the port
# itself and prints it, which leaves no gap in which another could take it.
# Sets SERVER_PID, SERVER_PORT and SERVER_LOG; fails when the server does.
serve() {
    local conf=$1
    shift
    new_file s_server
    SERVER_LOG=$NEW_FILE
    launch "$conf" "$SERVER_LOG" openssl s_server -accept 127.0.0.1:0 -www "$@"
    SERVER_PID=$LAUNCHED
    if ! server_port; then
        show "$SERVER_LOG"
        return 1
    fi
}

# fetch CONF PORT tls1_2|tls1_3 ARG...: one request by s_client. Succeeds when
# the chain verifies, the version is the one asked for and the page arrives.
fetch() {
    local -x OPENSSL_CONF=$1
    local port=$2 version=$3 page
    shift 3
    within $((10 * PATIENCE)) "$T/fetch" openssl s_client -brief -ign_eof \
        -connect "127.0.0.1:$port" "-$version" -CAfile "$CERTS/ca.crt" \
        -verify_return_error "$@" <"$T/request" || true
    page=$'\n'$(<"$T/fetch")
    if [[ $page == *$'\nVerification: OK'* &&
        $page == *$'\nProtocol version: TLSv1.'"${version#tls1_}"* &&
        $page == *$'\nHTTP/1.0 200 ok'* ]]; then
        return 0
    fi
    head -20 "$T/fetch"
    return 1
}

# hammer_lines FILE: sets HAMMER_LINES to how many hammer -s has written.
hammer_lines() {
    local lines
    mapfile -t lines <"$1"
    HAMMER_LINES=${#lines[@]}
}

# hammer_goes_on FILE: it has made 50 connections, from now on.
hammer_goes_on() {
    hammer_lines "$1"
    until_true 30 hammer_is_past "$1" $((HAMMER_LINES + 1))
}

hammer_is_past() {
    hammer_lines "$1"
    ((HAMMER_LINES > $2))
}

# ---- checks and claims ----------------------------------------------------

shown() {
    sed 's/^/    | /' "$1" | tail -n 12
}

attempt() {
    "$@" >"$T/attempt" 2>&1 </dev/null
}

report_broken() {
    local word=$1 what=$2 status=$3
    shift 3
    printf '%s: %s\n    expected success of: %s\n    got status %d:\n' \
        "$word" "$what" "$*" "$status"
    shown "$T/attempt"
}

# check WHAT COMMAND...: something that works the same without protection.
check() {
    local what=$1 status=0
    shift
    attempt "$@" || status=$?
    if ((status == 0)); then
        CHECKS_PASSED=$((CHECKS_PASSED + 1))
        return 0
    fi
    CHECKS_FAILED=$((CHECKS_FAILED + 1))
    report_broken FAIL "$what" "$status" "$@"
}

# claim WHAT COMMAND...: something that only protection makes true.
claim() {
    local what=$1 status=0
    shift
    attempt "$@" || status=$?
    if ((status == 0)); then
        CLAIMS_HELD=$((CLAIMS_HELD + 1))
        return 0
    fi
    CLAIMS_BROKEN=$((CLAIMS_BROKEN + 1))
    report_broken 'CLAIM BROKEN' "$what" "$status" "$@"
}

# refuses COMMAND...: it fails, and does so by itself, not by a signal.
refuses() {
    local status=0
    "$@" || status=$?
    if ((status == 0)); then
        echo "expected a refusal, but it succeeded"
        return 1
    fi
    if ((status > 128)); then
        echo "expected a refusal, but it died of signal $((status - 128))"
        return 1
    fi
}

# refuses_saying PATTERN COMMAND...
refuses_saying() {
    local pattern=$1 status=0
    shift
    refuses "$@" >"$T/refusal" 2>&1 || status=1
    show "$T/refusal"
    ((status == 0)) || return 1
    shopt -s nocasematch
    has_match "$T/refusal" "$pattern" || status=1
    shopt -u nocasematch
    if ((status != 0)); then
        echo "expected a message that matches: $pattern"
        return 1
    fi
}

at_most() {
    if (($2 > $3)); then
        echo "$1: expected at most $3, got $2"
        return 1
    fi
}

equal() {
    if [[ $2 != "$3" ]]; then
        echo "$1: expected $3, got $2"
        return 1
    fi
}

# Byte for byte, but for one NUL at the end, which mapfile does not show.
same_file() {
    local a b
    if ! mapfile -d '' a <"$1" || ! mapfile -d '' b <"$2" ||
        [[ ${a[*]@Q} != "${b[*]@Q}" ]]; then
        echo "expected equal files: $1 $2"
        return 1
    fi
}

absent_or_empty() {
    if [[ -s $1 ]]; then
        echo "expected no output in $1, but it has $(stat -c %s "$1") bytes"
        return 1
    fi
}

# ---- the scanner ----------------------------------------------------------

scan_status() {
    local key args=() status=0
    args=("$1" "$2")
    shift 2
    for key in "$@"; do
        args+=(--key "$key")
    done
    "$MPKCTL" scan "${args[@]}" || status=$?
    return "$status"
}

# scan_clean --pid PID|--core FILE KEY...: nothing of these keys is readable.
scan_clean() {
    scan_status "$@"
}

# scan_finds: the same, and something is. Exit 2, an error, is neither.
scan_finds() {
    local status=0
    scan_status "$@" || status=$?
    if ((status != 1)); then
        echo "expected the scanner to find the key (status 1), got $status"
        return 1
    fi
}

# ---- keys and configurations ----------------------------------------------

# What stands before a path that -key is given, by the way to load it.
# shellcheck disable=SC2034 # for the scripts that source this
declare -A URI=([pem]='' [mpk]=mpk:)
# shellcheck disable=SC2034
[[ $CONTROL != 1 ]] || URI[mpk]=

# is_tested TYPE pem|mpk: a key is the same when it is loaded, so of the longer
# ones of a family each is loaded in one way only, but with MPK_TEST_LONG=1.
is_tested() {
    case $1-$2 in
    rsa4096-pem | p521-pem | rsa3072-mpk | p384-mpk | ed448-mpk)
        [[ ${MPK_TEST_LONG:-0} == 1 ]]
        ;;
    esac
}

stock() {
    OPENSSL_CONF=$STOCK "$@"
}

protected() {
    OPENSSL_CONF=$PROTECTED "$@"
}

# req refuses to work without this section, even with -subj.
conf_common() {
    echo '[req]
distinguished_name = req_dn
[req_dn]'
}

conf_stock() {
    conf_common
}

# conf_protected MODULE
conf_protected() {
    echo "openssl_conf = openssl_init
extensions = no_extensions
[no_extensions]
[openssl_init]
providers = providers
[providers]
default = default_provider
mpk = mpk_provider
[default_provider]
activate = 1
[mpk_provider]
module = $1
backend = $BACKEND
memory = $MEMORY
activate = 1"
    conf_common
}

# conf_full: the full profile as it is built, with this test's backend; fails
# when the build has none.
conf_full() {
    has_line "$BUILD/mpk.cnf" 'role = tls' || return 1
    if [[ $CONTROL == 1 ]]; then
        conf_stock
        return 0
    fi
    sed -e "s/^# backend = mpk .*/backend = $BACKEND/" \
        -e "s/^# memory = auto .*/memory = $MEMORY/" "$BUILD/mpk.cnf"
}

cpu_has_pku() {
    grep -qw ospke /proc/cpuinfo
}

choose_backend() {
    local why=asked
    BACKEND=${MPK_TEST_BACKEND:-}
    if [[ -z $BACKEND ]]; then
        BACKEND=mprotect
        why='the CPU has no PKU'
        if cpu_has_pku; then
            BACKEND=mpk
            why='the CPU has PKU'
        fi
    fi
    if [[ $BACKEND == mpk && $CONTROL != 1 ]] && ! cpu_has_pku; then
        skip 'backend mpk: the CPU has no PKU'
    fi
    printf 'backend %s (%s), memory %s\n' "$BACKEND" "$why" "$MEMORY"
}

make_confs() {
    STOCK=$T/stock.cnf
    PROTECTED=$T/protected.cnf
    conf_stock >"$STOCK"
    if [[ $CONTROL == 1 ]]; then
        echo 'CONTROL: everything runs unprotected; every claim should break'
        conf_stock >"$PROTECTED"
        return 0
    fi
    [[ -e $BUILD/mpk.so ]] || bail "$BUILD/mpk.so is missing: build first"
    if grep -q 'lib[at]san\.so' "$BUILD/mpk.so"; then
        skip 'a sanitised module cannot be loaded by stock programs'
    fi
    conf_protected "$BUILD/mpk.so" >"$PROTECTED"
}

# RSA-4096 keys take seconds to make, so all tests of a build share one set.
# make-certs.sh keeps what is there; the lock is for tests that run at once.
make_certs_once() {
    local maker=${MPK_TEST_MAKE_CERTS:-$ROOT/certs/make-certs.sh}
    CERTS=${MPK_TEST_CERTS:-$BUILD/test-certs}
    # The one that it makes last.
    [[ ! -e $CERTS/ed448.crt ]] || return 0
    mkdir -p "$CERTS"
    if ! flock "$CERTS" "$maker" "$CERTS" >"$T/make-certs.log" 2>&1; then
        cat "$T/make-certs.log"
        bail 'the certificates could not be made'
    fi
}

need_tool() {
    command -v "$1" >/dev/null 2>&1 || skip "$1 is not installed"
}

need_built() {
    local program
    for program in "$@"; do
        [[ -x $program ]] || bail "$program is missing: build first"
    done
}

export LC_ALL=C
# What the caller has set must not reach the programs under test.
unset OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES SSLKEYLOGFILE
T=$(mktemp -d "${TMPDIR:-/tmp}/mpk-live.XXXXXX")
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$T"
printf 'GET / HTTP/1.0\r\n\r\n' >"$T/request"
need_tool openssl
choose_backend
make_confs
make_certs_once
