#!/bin/bash
# The same openssl s_server twice, once as it is and once with its private key
# in a memory domain: what a wild read finds in each, and what it costs. Then
# the same with the secrets of a TLS connection in the domain, too. Takes a few
# minutes on a bare Debian 12, most of it the build.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=$ROOT/build
# shellcheck source=test/live/packages.sh
. "$ROOT/test/live/packages.sh"

if (($# > 0)); then
    sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    [[ $1 == -h || $1 == --help ]] && exit
    die 'there are no options'
fi

TYPES=(rsa2048 p256)
ROUNDS=7
HANDSHAKES=200

declare -A PID=() PORT=() COPIES=() RATE=() FOUND=()

unset OPENSSL_CONF OPENSSL_MODULES
T=$(mktemp -d)

clean_up() {
    ((${#PID[@]} == 0)) || kill "${PID[@]}" 2>/dev/null || true
    wait
    rm -rf "$T"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# ---- set-up ---------------------------------------------------------------

choose_backend() {
    BACKEND=mpk
    cpu_has_pku && return 0
    BACKEND=mprotect
    echo 'This CPU has no protection keys (PKU): the demonstration asks for' \
        '"backend = mprotect".'
}

make_confs() {
    : >"$T/stock.cnf"
    cat >"$T/protected.cnf" <<EOF
openssl_conf = openssl_init
[openssl_init]
providers = providers
[providers]
default = default_provider
mpk = mpk_provider
[default_provider]
activate = 1
[mpk_provider]
module = $BUILD/mpk.so
backend = $BACKEND
activate = 1
EOF
    # To find the key's address one must be able to look for it, which even
    # the kernel cannot in secretmem.
    sed '/^backend/a memory = anonymous' "$T/protected.cnf" >"$T/protected-peek.cnf"
    cp "$T/stock.cnf" "$T/stock-peek.cnf"
    sed "s/^# backend = mpk .*/backend = $BACKEND/" "$BUILD/mpk.cnf" \
        >"$T/full.cnf"
}

key_of() {
    echo "$T/certs/$1.key"
}

# start_server NAME: NAME is stock-TYPE, protected-TYPE or full-TYPE. Nothing but the
# configuration differs.
start_server() {
    local name=$1 type=${1#*-} log=$T/$1.log i
    : >"$log"
    OPENSSL_CONF=$T/${name%%-*}.cnf openssl s_server -www \
        -accept 127.0.0.1:0 -cert "$T/certs/$type.crt" \
        -key "$(key_of "$type")" >"$log" 2>&1 </dev/null &
    PID[$name]=$!
    for ((i = 0; i < 200; i++)); do
        PORT[$name]=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' "$log")
        [[ -z ${PORT[$name]} ]] || return 0
        kill -0 "${PID[$name]}" 2>/dev/null || break
        sleep 0.05
    done
    cat "$log"
    die "the server $name did not start"
}

# ---- what a wild read finds -----------------------------------------------

# The scanner's own table without its head.
show_scan() {
    local name=$1 type=${1#*-}
    local scan=("$BUILD/mpkctl" scan --pid "${PID[$name]}"
        --key "$(key_of "$type")")
    printf '\n%s:\n' "${name/-/ s_server, }"
    # Status 1 is the answer "found", and no error.
    "${scan[@]}" >"$T/scan" || (($? == 1)) || die "the scan of $name failed"
    sed -n '/^  /p; s/^total:/  total:/p' "$T/scan"
    "${scan[@]}" --json >"$T/scan.json" || true
    COPIES[$name]=$(sed -n \
        's/.*"total": {"full": \([0-9]*\), "partial": \([0-9]*\)}.*/\1+\2/p' \
        "$T/scan.json")
    COPIES[$name]=$((COPIES[$name]))
}

# A program of ours loads the key with that configuration and then reads at
# the address where the key is, as a wild pointer would.
show_read_of_key_address() {
    local name=$1 status=0
    printf '\n%s:\n' "${name/-/ program, }"
    # In a shell of its own, or this one reports the death by signal.
    (
        "$BUILD/demo-peek" "$T/${name%%-*}-peek.cnf" \
            "$(key_of "${name#*-}")" 2>&1
        exit $?
    ) >"$T/peek" || status=$?
    sed 's/^/  /' "$T/peek"
    ((status <= 128)) ||
        echo "  the program died of signal SIG$(kill -l "$status")"
}

# ---- what it finds of a connection ----------------------------------------

# A connection to that server that stays open. The client is a stock one, so
# the key log that it writes is true.
connect() {
    local name=$1 i
    mkfifo "$T/$name.in"
    # shellcheck disable=SC2034 # held open, never used: the client's input
    exec {INPUT}<>"$T/$name.in"
    OPENSSL_CONF=$T/stock.cnf openssl s_client -tls1_3 \
        -connect "127.0.0.1:${PORT[$name]}" -keylogfile "$T/$name.keys" \
        -sess_out "$T/$name.session" \
        <"$T/$name.in" >"$T/$name.client" 2>&1 &
    PID[client-$name]=$!
    for ((i = 0; i < 200; i++)); do
        [[ ! -s $T/$name.session ]] || return 0
        sleep 0.05
    done
    cat "$T/$name.client"
    die "no connection to the server $name"
}

show_secrets() {
    local name=$1 type=${1#*-} status=0
    connect "$name"
    "$BUILD/mpkctl" scan --pid "${PID[$name]}" --key "$(key_of "$type")" \
        --keylog "$T/$name.keys" >"$T/scan-$name" || status=$?
    ((status < 2)) || die "the scan of $name failed"
    FOUND[$name]=$status
    printf '\n%s:\n' "${name/-/ s_server, }"
    # Headings without paths.
    sed -n -e '/^  component/d' -e 's/^  /    &/p' \
        -e 's/^key .*/  private key/p' -e 's/^secret .* /  /p' \
        -e 's/^[0-9]* of [0-9]* secrets found/  &/p' \
        -e 's/^total:/  total:/p' "$T/scan-$name"
}

demand_secrecy() {
    ((FOUND[stock-p256] == 1)) || die 'the scanner found no secrets in stock'
    ((FOUND[full-p256] == 0)) || die 'the secrets were not protected'
}

# ---- what it costs --------------------------------------------------------

# Both servers in turn, so that whatever else the machine does meets both.
measure_rates() {
    local type=$1 round side
    for ((round = 0; round < ROUNDS; round++)); do
        for side in stock protected; do
            "$BUILD/hammer" -n "$HANDSHAKES" -p "${PORT[$side-$type]}" |
                sed 's/.*rate=//' >>"$T/rate-$side-$type" ||
                die "handshakes with the $side server failed"
        done
    done
    for side in stock protected; do
        RATE[$side-$type]=$(median "$T/rate-$side-$type")
    done
}

median() {
    sort -n "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

show_table() {
    local type ratio
    printf '%-10s %22s   %28s\n' '' 'copies in reach' \
        'full handshakes per second'
    printf '%-10s %10s %11s   %9s %10s %7s\n' key stock protected stock \
        protected ratio
    for type in "${TYPES[@]}"; do
        ratio=$(awk -v a="${RATE[protected-$type]}" \
            -v b="${RATE[stock-$type]}" 'BEGIN { printf "%.2f", a / b }')
        printf '%-10s %10s %11s   %9s %10s %7s\n' "$type" \
            "${COPIES[stock-$type]}" "${COPIES[protected-$type]}" \
            "${RATE[stock-$type]}" "${RATE[protected-$type]}" "$ratio"
    done
    printf '\nbackend %s, %s, medians of %d rounds of %d handshakes\n' \
        "$BACKEND" "$(openssl version | cut -d' ' -f1,2)" "$ROUNDS" \
        "$HANDSHAKES"
}

# libcrypto goes on without a provider that it cannot load; we do not.
demand_protection() {
    local type
    for type in "${TYPES[@]}"; do
        ((COPIES[stock-$type] > 0)) || die "the scanner found nothing in stock"
        ((COPIES[protected-$type] == 0)) || die "$type was not protected"
    done
}

# ---- the demonstration ----------------------------------------------------

# shellcheck disable=SC2119 # it has no need of our arguments
install_build_tools
say 'building (build/)'
build_tree "$ROOT" 'mpk mpkctl demo-peek hammer'
say 'making test certificates'
"$ROOT/certs/make-certs.sh" "$T/certs" >"$T/certs.log" 2>&1 || {
    cat "$T/certs.log"
    die 'no certificates'
}
choose_backend
make_confs
for type in "${TYPES[@]}"; do
    start_server "stock-$type"
    start_server "protected-$type"
done

say 'What a wild read finds of the private key'
for type in "${TYPES[@]}"; do
    show_scan "stock-$type"
    show_scan "protected-$type"
done

say "What a read of the key's own address does"
show_read_of_key_address stock-p256
show_read_of_key_address protected-p256

say 'What it costs'
for type in "${TYPES[@]}"; do
    measure_rates "$type"
done
show_table
demand_protection

say 'What a wild read finds of a TLS connection, with the full profile'
start_server full-p256
show_secrets stock-p256
show_secrets full-p256
demand_secrecy
