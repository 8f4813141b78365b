#!/bin/bash
# An unmodified haproxy in master-worker mode with a protected key. Its reload
# is another than nginx's: the master executes itself anew and starts over.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PATH=$PATH:/usr/sbin
need_tool haproxy
HAMMER=$BUILD/hammer
need_built "$MPKCTL" "$HAMMER"

haproxy_conf() {
    cat <<EOF
global
    maxconn 100
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
defaults
    mode http
    timeout connect $((5 * PATIENCE))s
    timeout client $((5 * PATIENCE))s
    timeout server $((5 * PATIENCE))s
frontend test
    bind 127.0.0.1:$PORT_RSA ssl crt $T/rsa2048.pem
    bind 127.0.0.1:$PORT_ECDSA ssl crt $T/p256.pem
    bind 127.0.0.1:$PORT_WITHIN ssl crt $T/within
    http-request return status 200 content-type text/plain string ok
EOF
}

# haproxy takes the key of FILE from FILE.key, or from FILE itself, which it
# reads for the key first and then from the start for certificates: libcrypto
# decodes the key once more on its way through these.
BESIDE=(rsa2048 p256)
WITHIN=(p256 rsa2048 ed25519 p384 rsa4096 rsa3072 p521)

make_files() {
    local type
    mkdir "$T/within"
    for type in "${BESIDE[@]}"; do
        cp "$CERTS/$type.crt" "$T/$type.pem"
        cp "$CERTS/$type.key" "$T/$type.pem.key"
    done
    for type in "${WITHIN[@]}"; do
        cat "$CERTS/$type.crt" "$CERTS/$type.key" >"$T/within/$type.pem"
    done
}

KEY_FILES=("${WITHIN[@]/#/$CERTS/}")
KEY_FILES=("${KEY_FILES[@]/%/.key}")

# start_haproxy CONF NAME: sets MASTER and the three ports.
start_haproxy() {
    pick_port && PORT_RSA=$PORT
    pick_port && PORT_ECDSA=$PORT
    pick_port && PORT_WITHIN=$PORT
    haproxy_conf >"$T/$2.cfg"
    launch "$1" "$T/$2.log" haproxy -W -db -f "$T/$2.cfg"
    MASTER=$LAUNCHED
    if ! wait_for_accept "$PORT_RSA" "$MASTER"; then
        cat "$T/$2.log"
        bail "haproxy ($2) does not start"
    fi
}

worker_replaced() {
    children_of "$MASTER"
    ((${#CHILDREN[@]} > 0)) && [[ " ${CHILDREN[*]} " != *" $1 "* ]] &&
        accepts "$PORT_RSA"
}

reload() {
    local before
    children_of "$MASTER"
    before=${CHILDREN[*]}
    kill -USR2 "$MASTER" && until_true 10 worker_replaced "$before"
}

requests() {
    "$HAMMER" -g -n 50 -C "$CERTS/ca.crt" "$@"
}

test_requests() {
    local version
    for version in 1.3 1.2; do
        check "$1, TLS $version, ECDSA" requests -p "$PORT_ECDSA" -t "$version"
        check "$1, TLS $version, RSA" requests -p "$PORT_RSA" -t "$version"
    done
    check "$1, certificate and key in one file" requests -p "$PORT_WITHIN"
    check "$1, RSA key transport" requests -p "$PORT_RSA" -t 1.2 \
        -c AES128-GCM-SHA256
}

test_scan_is_clean() {
    local pid
    children_of "$MASTER"
    for pid in "${CHILDREN[@]}"; do
        claim "$1, worker: a scan finds no key" scan_clean --pid "$pid" \
            "${KEY_FILES[@]}"
    done
    # The master forgets the keys by exec, so this holds for a stock one too.
    check "$1, master: a scan finds no key" scan_clean --pid "$MASTER" \
        "${KEY_FILES[@]}"
}

test_reload_under_load() {
    local load i
    launch "$STOCK" "$T/load" "$HAMMER" -gs -p "$PORT_RSA" -n 1000000 \
        -C "$CERTS/ca.crt"
    load=$LAUNCHED
    for i in 1 2 3; do
        check "load before reload $i" hammer_goes_on "$T/load"
        check "reload $i under load" reload
    done
    check 'load after the reloads' hammer_goes_on "$T/load"
    kill -TERM "$load"
    check 'no request failed during the reloads' wait "$load"
    check 'the load was real' grep -E '^handshakes=[0-9]{3,} ' "$T/load"
}

test_stock_shows_keys() {
    local pid type
    start_haproxy "$STOCK" stock
    children_of "$MASTER"
    for pid in "${CHILDREN[@]}"; do
        for type in "${WITHIN[@]}"; do
            check "stock worker: a scan finds $type" \
                scan_finds --pid "$pid" "$CERTS/$type.key"
        done
    done
    stop "$MASTER"
}

make_files
test_stock_shows_keys
start_haproxy "$PROTECTED" protected
test_requests 'requests'
test_scan_is_clean 'after the start'
test_reload_under_load
test_requests 'requests after reloads'
test_scan_is_clean 'after reloads'
finish
