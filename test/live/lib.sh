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
    printf '%s: checks %d passed, %d failed; ' "$(basename "$0")" \
        "$CHECKS_PASSED" "$CHECKS_FAILED"
    printf 'claims %d held, %d broken; %d s\n' "$CLAIMS_HELD" \
        "$CLAIMS_BROKEN" $((SECONDS - STARTED_AT))
    ((CHECKS_FAILED + CLAIMS_BROKEN == 0)) || exit 1
    exit 0
}

# ---- processes ------------------------------------------------------------

# These run at every turn of a loop that waits, so they start no process.

# A pipe that nothing comes through.
exec {SILENCE}<> <(:)

nap() {
    read -rt 0.02 -u "$SILENCE" || true
}

children_of() {
    local pids=
    # No newline at the end, which read calls a failure.
    { read -r pids <"/proc/$1/task/$1/children"; } 2>/dev/null || true
    echo "$pids"
}

descendants_of() {
    local child
    for child in $(children_of "$1"); do
        descendants_of "$child"
        echo "$child"
    done
}

alive() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # PID (NAME) STATE ... A zombie that nobody has waited for yet is gone for
    # our purposes.
    [[ ${stat##*) } != Z* ]]
}

# has_line FILE START: whether a line of a short file starts so.
has_line() {
    [[ $'\n'$(<"$1") == *$'\n'"$2"* ]]
}

none_alive() {
    local pid
    for pid in "$@"; do
        ! alive "$pid" || return 1
    done
}

# stop ends processes that we started and all they started.
stop() {
    local pid tree=()
    for pid in "$@"; do
        # shellcheck disable=SC2207 # process ids have no spaces
        tree+=($(descendants_of "$pid") "$pid")
    done
    ((${#tree[@]} > 0)) || return 0
    kill -TERM "${tree[@]}" 2>/dev/null || true
    until_true 3 none_alive "${tree[@]}" ||
        kill -KILL "${tree[@]}" 2>/dev/null || true
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

# An emulated machine (test/vm/run.sh) takes its time.
PATIENCE=1
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
    INPUT=$(mktemp -u "$T/fifo.XXXXXX")
    mkfifo "$INPUT"
    # Both ends, or the open would wait for the other side.
    exec {INPUT_FD}<>"$INPUT"
}

# launch CONF LOG COMMAND...: in the background, with that OPENSSL_CONF. Sets
# LAUNCHED to the process id of the command itself, which exec makes sure of.
# LAUNCH_STDIN names another standard input than /dev/null.
launch() {
    local conf=$1 log=$2
    shift 2
    (exec env OPENSSL_CONF="$conf" "$@" >"$log" 2>&1 \
        <"${LAUNCH_STDIN:-/dev/null}") &
    LAUNCHED=$!
    PIDS+=("$LAUNCHED")
    # Until the exec, /proc/PID shows this shell, not the command.
    until_true 5 has_left_shell "$LAUNCHED" || true
}

has_left_shell() {
    ! alive "$1" || [[ $(readlink "/proc/$1/exe") != */bash ]]
}

# ---- servers --------------------------------------------------------------

PORTS_TAKEN=' '

port_in_use() {
    local hex
    hex=$(printf ':%04X' "$1")
    grep -qs "^ *[0-9]*: [0-9A-F]*$hex " /proc/net/tcp /proc/net/tcp6
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
    (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
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

# serve CONF ARG...: an s_server that answers HTTP. s_server picks the port
# itself and prints it, which leaves no gap in which another could take it.
# Sets SERVER_PID, SERVER_PORT and SERVER_LOG; fails when the server does.
serve() {
    local conf=$1
    shift
    SERVER_LOG=$(mktemp "$T/s_server.XXXXXX")
    launch "$conf" "$SERVER_LOG" openssl s_server -accept 127.0.0.1:0 -www "$@"
    SERVER_PID=$LAUNCHED
    until_true 15 accept_printed_or_dead || true
    SERVER_PORT=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$SERVER_LOG")
    if [[ -z $SERVER_PORT ]]; then
        cat "$SERVER_LOG"
        return 1
    fi
}

# fetch CONF PORT tls1_2|tls1_3 ARG...: one request by s_client. Succeeds when
# the chain verifies, the version is the one asked for and the page arrives.
fetch() {
    local conf=$1 port=$2 version=$3 wanted=TLSv1.${3#tls1_}
    shift 3
    printf 'GET / HTTP/1.0\r\n\r\n' |
        OPENSSL_CONF=$conf timeout $((10 * PATIENCE)) openssl s_client -brief -ign_eof \
            -connect "127.0.0.1:$port" "-$version" -CAfile "$CERTS/ca.crt" \
            -verify_return_error "$@" >"$T/fetch" 2>&1 || true
    if grep -q '^Verification: OK' "$T/fetch" &&
        grep -q "^Protocol version: $wanted" "$T/fetch" &&
        grep -q '^HTTP/1.0 200 ok' "$T/fetch"; then
        return 0
    fi
    head -20 "$T/fetch"
    return 1
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
    cat "$T/refusal"
    ((status == 0)) || return 1
    if ! grep -qiE "$pattern" "$T/refusal"; then
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

same_file() {
    if ! cmp -s "$1" "$2"; then
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

key_file() {
    echo "$CERTS/$1.key"
}

# key_ref pem|mpk TYPE: what -key is given.
key_ref() {
    if [[ $1 == mpk && $CONTROL != 1 ]]; then
        echo "mpk:$CERTS/$2.key"
    else
        echo "$CERTS/$2.key"
    fi
}

# mpk_ref PATH: the same for a file that is not one of the certificates'.
mpk_ref() {
    if [[ $CONTROL == 1 ]]; then
        echo "$1"
    else
        echo "mpk:$1"
    fi
}

stock() {
    OPENSSL_CONF=$STOCK timeout $((60 * PATIENCE)) "$@"
}

protected() {
    OPENSSL_CONF=$PROTECTED timeout $((60 * PATIENCE)) "$@"
}

# req refuses to work without this section, even with -subj.
conf_common() {
    cat <<'EOF'
[req]
distinguished_name = req_dn
[req_dn]
EOF
}

conf_stock() {
    conf_common
}

# conf_protected MODULE
conf_protected() {
    cat <<EOF
openssl_conf = openssl_init
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
activate = 1
EOF
    conf_common
}

# conf_full: the full profile as it is built, with this test's backend; fails
# when the build has none.
conf_full() {
    grep -q '^role = tls' "$BUILD/mpk.cnf" || return 1
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
    if grep -q 'lib[at]san' <(ldd "$BUILD/mpk.so"); then
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
need_tool openssl
choose_backend
make_confs
make_certs_once
