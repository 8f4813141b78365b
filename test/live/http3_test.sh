#!/bin/bash
# HTTP/3 of nginx, whose QUIC is its own, with the full profile and quic =
# protect: a stock client shakes hands with it, and no worker has a secret of
# the connection. Without that setting no handshake comes to its end. Run it by
# openssl35_test.sh, or where OpenSSL and nginx can do it.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=test/live/tls_scan.sh
. "$(dirname "${BASH_SOURCE[0]}")/tls_scan.sh"
# shellcheck source=test/live/nginx.sh
. "$(dirname "${BASH_SOURCE[0]}")/nginx.sh"

need_built "$MPKCTL"
[[ $(nginx -V 2>&1) == *--with-http_v3_module* ]] ||
    skip 'this nginx has no HTTP/3'
[[ $(openssl s_client -help 2>&1) == *-quic* ]] ||
    skip 'this openssl has no QUIC'
conf_full >"$T/leave.cnf" || skip 'this build has no full profile'
sed 's/^# quic = .*/quic = protect/' "$T/leave.cnf" >"$T/full.cnf"
SUITES=(TLS_AES_256_GCM_SHA384 TLS_AES_128_GCM_SHA256
    TLS_CHACHA20_POLY1305_SHA256)
TLS_MORE=(--quic)

start_nginx() { # CONF
    FILES=$((FILES + 1))
    DIR=$T/nginx.$FILES
    mkdir -m 755 "$DIR"
    pick_port
    {
        nginx_head "$DIR" 1
        echo "server {
            listen 127.0.0.1:$PORT ssl;
            listen 127.0.0.1:$PORT quic reuseport;
            ssl_certificate $CERTS/p256.crt;
            ssl_certificate_key $CERTS/p256.key;
            quic_retry on;
            location / { return 200 hello; }
        }
    }"
    } >"$DIR/nginx.conf"
    nginx_up "$1" "$DIR" "$PORT"
    workers
    SERVER_PID=${CHILDREN[0]}
}

has_secret_or_dead() {
    has_line "$TLS_KEYLOG" SERVER_TRAFFIC_SECRET_0 || ! alive "$TLS_CLIENT"
}

connect() { # SUITE
    open_input
    TLS_FD=$INPUT_FD
    TLS_SESSION=/dev/null
    new_file keylog && TLS_KEYLOG=$NEW_FILE
    new_file s_client && TLS_LOG=$NEW_FILE
    LAUNCH_STDIN=$INPUT launch "$STOCK" "$TLS_LOG" openssl s_client -quic \
        -alpn h3 -connect "127.0.0.1:$PORT" -ciphersuites "$1" \
        -CAfile "$CERTS/ca.crt" -verify_return_error -keylogfile "$TLS_KEYLOG"
    TLS_CLIENT=$LAUNCHED
}

is_connected() { # SUITE
    until_true 10 has_secret_or_dead
    until_true 10 has_match "$TLS_LOG" "^ *Verif.*(OK|0 \(ok\))" &&
        has_match "$TLS_LOG" "Cipher is $1" || {
        tail -n 20 "$TLS_LOG"
        return 1
    }
}

# Longer than it takes otherwise.
is_not_connected() {
    sleep 2
    lacks_match "$TLS_KEYLOG" '^SERVER_TRAFFIC_SECRET_0' &&
        alive "$MASTER" && alive "$SERVER_PID"
}

close_client() {
    stop "$TLS_CLIENT"
    exec {TLS_FD}>&-
}

start_nginx "$STOCK"
for suite in "${SUITES[@]}"; do
    connect "$suite"
    check "$suite, stock: connects" is_connected "$suite"
    check "$suite, stock: secrets are found" tls_scan found \
        SERVER_TRAFFIC_SECRET_0 CLIENT_TRAFFIC_SECRET_0 'update 1'
    close_client
done
stop "$MASTER"

start_nginx "$T/full.cnf"
for suite in "${SUITES[@]}"; do
    connect "$suite"
    check "$suite: connects" is_connected "$suite"
    claim "$suite: nothing is found" tls_scan nothing
    close_client
done
stop "$MASTER"

start_nginx "$T/leave.cnf"
connect "${SUITES[0]}"
claim 'quic = leave: no connection' is_not_connected
close_client
stop "$MASTER"
finish
