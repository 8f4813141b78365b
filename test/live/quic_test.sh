#!/bin/bash
# QUIC of OpenSSL 3.5 with the full profile, as server and as client: it works
# with a stock peer, and neither has a secret. Run it by openssl35_test.sh.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=test/live/tls_scan.sh
. "$(dirname "${BASH_SOURCE[0]}")/tls_scan.sh"

TREE=${MPK_TEST_TREE:-}
[[ -n $TREE ]] || skip 'it is for OpenSSL 3.5: openssl35_test.sh quic_test.sh'
LIBS=$TREE/usr/lib/x86_64-linux-gnu
INCLUDE=$TREE/usr/include
need_tool gcc
need_built "$MPKCTL"
conf_full >"$T/full.cnf" || skip 'this build has no full profile'
SUITES=(TLS_AES_256_GCM_SHA384 TLS_AES_128_GCM_SHA256
    TLS_CHACHA20_POLY1305_SHA256)
TLS_MORE=(--quic)

# The tree's libraries want a newer libc than the one that it is linked with.
build_server() {
    gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -isystem "$INCLUDE" \
        -isystem "$INCLUDE/x86_64-linux-gnu" -o "$T/quic_server" \
        "$LIVE_DIR/quic_server.c" "$LIBS/libssl.so.3" "$LIBS/libcrypto.so.3" \
        -Wl,--allow-shlib-undefined >"$T/log" 2>&1 || {
        cat "$T/log"
        bail 'the QUIC server does not compile'
    }
}

# quic_open SERVER-CONF CLIENT-CONF SUITE: sets QUIC_SERVER, QUIC_CLIENT.
quic_open() {
    open_input
    TLS_FD=$INPUT_FD
    new_file quic_server && SERVER_LOG=$NEW_FILE
    new_file keys && SERVER_KEYS=$NEW_FILE
    new_file keys && CLIENT_KEYS=$NEW_FILE
    new_file s_client && TLS_LOG=$NEW_FILE
    launch "$1" "$SERVER_LOG" "$LIBS/ld-linux-x86-64.so.2" \
        --library-path "$LIBS" "$T/quic_server" "$CERTS/p256.crt" "$TLS_KEY" \
        "$SERVER_KEYS"
    SERVER_PID=$LAUNCHED
    QUIC_SERVER=$LAUNCHED
    server_port || {
        cat "$SERVER_LOG"
        return 1
    }
    LAUNCH_STDIN=$INPUT launch "$2" "$TLS_LOG" openssl s_client -quic \
        -alpn test -connect "127.0.0.1:$SERVER_PORT" -ciphersuites "$3" \
        -CAfile "$CERTS/ca.crt" -verify_return_error \
        -keylogfile "$CLIENT_KEYS"
    QUIC_CLIENT=$LAUNCHED
}

quic_close() {
    stop "$QUIC_CLIENT" "$QUIC_SERVER"
    exec {TLS_FD}>&-
}

# What is sent comes back.
carries() {
    echo "$1" >&"$TLS_FD"
    until_true 10 has_line "$TLS_LOG" "$1" || {
        tail -n 20 "$TLS_LOG" "$SERVER_LOG"
        return 1
    }
}

# scan_of PID KEYLOG found|nothing LABEL...
scan_of() {
    SERVER_PID=$1 TLS_KEYLOG=$2 TLS_SESSION=/dev/null
    tls_scan "${@:3}"
}

# The names under which an end without protection has the secrets.
quic_labels() {
    echo 'SERVER_TRAFFIC_SECRET_0'
    echo 'CLIENT_TRAFFIC_SECRET_0'
    case $1 in
    *AES_256*) echo 'AES-256 key' ;;
    *AES_128*) echo 'AES-128 key' ;;
    *CHACHA20*) echo 'ChaCha20 key' ;;
    esac
}

# Each end is searched for what the other, a stock one, has logged. What the
# private key's file leaves behind is the client's no more than its business.
test_suite() {
    local suite=$1 labels
    mapfile -t labels < <(quic_labels "$suite")
    check "$suite: stock ends" quic_open "$STOCK" "$STOCK" "$suite"
    check "$suite, stock: carries" carries stock
    check "$suite, stock server: secrets are found" scan_of "$QUIC_SERVER" \
        "$CLIENT_KEYS" found "${labels[@]}"
    check "$suite, stock client: secrets are found" scan_of "$QUIC_CLIENT" \
        "$SERVER_KEYS" found "${labels[@]}"
    quic_close
    check "$suite: server" quic_open "$T/full.cnf" "$STOCK" "$suite"
    check "$suite, server: carries" carries server
    claim "$suite, server: no secret" scan_of "$QUIC_SERVER" "$CLIENT_KEYS" \
        nothing
    quic_close
    check "$suite: client" quic_open "$STOCK" "$T/full.cnf" "$suite"
    check "$suite, client: carries" carries client
    claim "$suite, client: no secret" scan_of "$QUIC_CLIENT" "$SERVER_KEYS" \
        nothing
    quic_close
}

build_server
for suite in "${SUITES[@]}"; do
    test_suite "$suite"
done
finish
