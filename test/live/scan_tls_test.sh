#!/bin/bash
# scan_tls_test.sh [CONF found|nothing]: what a wild read finds of the secrets
# of a live TLS connection in s_server, for each version and suite. In a server
# with the configuration CONF that is what is expected there; without arguments
# all of them in a stock server, and nothing in one with the full profile.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=test/live/tls_scan.sh
. "$(dirname "${BASH_SOURCE[0]}")/tls_scan.sh"

need_built "$MPKCTL"

# The form that libcrypto's code for this CPU keeps.
GHASH='GHASH key'
! grep -qw pclmulqdq /proc/cpuinfo || GHASH='GHASH key, doubled'

GROUPS_13=(X25519 P-256 P-384)
# With ML-KEM where openssl and the module's inner OpenSSL have it.
if grep -q '^Groups.*X25519MLKEM768' "$BUILD/mpk.cnf" &&
    openssl version | grep -qE '^OpenSSL (3\.[5-9]|4)\.'; then
    GROUPS_13+=(X25519MLKEM768)
fi

is_right_process() {
    lacks_match "$T/scan" '^not seen either'
}

# The names under which a stock server has what a connection of this suite is
# made of.
tls13_labels() {
    echo EXPORTER_SECRET
    echo SERVER_TRAFFIC_SECRET_0
    echo CLIENT_TRAFFIC_SECRET_0
    echo 'resumption PSK'
    case $1 in
    *AES_256_GCM*) printf '%s\n' 'AES-256 key +AES schedule' "$GHASH" ;;
    *AES_128_GCM*) printf '%s\n' 'AES-128 key +AES schedule' "$GHASH" ;;
    *CCM*) echo 'AES-128 key +AES schedule' ;;
    *CHACHA20*) echo 'ChaCha20 key +raw' ;;
    esac
}

test_tls13() {
    local suite=$1 group=$2 what="TLS 1.3, $1, $2" labels
    mapfile -t labels < <(tls13_labels "$suite")
    check "$what: connects" tls_open "$CONF" tls1_3 -ciphersuites "$suite" \
        -groups "$group"
    tls_check "$EXPECTED" "$what: $EXPECTED" tls_scan "$EXPECTED" \
        "${labels[@]}"
    check "$what: it is the right process" is_right_process
    tls_close
}

# The server takes its time after the client has said that it does so. Where
# nothing is to be seen it has half a second.
test_key_update() {
    local what='TLS 1.3, key update' patience=()
    check "$what: connects" tls_open "$CONF" tls1_3
    check "$what: is sent" tls_type K
    if [[ $EXPECTED == found ]]; then
        patience=(until_true 10)
    else
        sleep 0.5
    fi
    tls_check "$EXPECTED" "$what: $EXPECTED" "${patience[@]}" \
        tls_scan "$EXPECTED" \
        'secret, update 1 +raw' 'AES-256 key, update 1 +AES schedule'
    tls_close
}

tls12_labels() {
    echo ' CLIENT_RANDOM$'
    echo 'master secret'
    case $1 in
    *GCM*) printf '%s\n' 'server key +AES schedule' 'client key +AES sched' ;;
    *CHACHA20*) echo 'AEAD-256 server key +raw' ;;
    *-SHA256) printf '%s\n' 'CBC-128-SHA256 client key +AES inverse' \
        'CBC-128-SHA256 server key +AES schedule' ;;
    esac
}

test_tls12() {
    local suite=$1 what="TLS 1.2, $1" labels
    mapfile -t labels < <(tls12_labels "$suite")
    check "$what: connects" tls_open "$CONF" tls1_2 -cipher "$suite"
    tls_check "$EXPECTED" "$what: $EXPECTED" tls_scan "$EXPECTED" \
        "${labels[@]}"
    check "$what: it is the right process" is_right_process
    tls_close
}

# The record keys of these suites are libssl's unless tls12-cbc = refuse.
test_tls12_cbc() {
    local suite=$1 what="TLS 1.2, $1"
    if [[ $EXPECTED == found ]]; then
        test_tls12 "$suite"
        return 0
    fi
    check "$what: connects" tls_open "$CONF" tls1_2 -cipher "$suite"
    claim "$what: no master secret" tls_scan_lacks ' CLIENT_RANDOM$' \
        'master secret$' 'secret +raw' 'secret +hex'
    tls_close
}

# The session that the second connection resumes is in the search, too.
test_resumed() {
    local version=$1 what="$1, resumed"
    check "$what: connects" tls_open "$CONF" "$version"
    stop "$TLS_CLIENT"
    cp "$TLS_SESSION" "$T/first"
    check "$what: connects again" tls_connect "$version" -sess_in "$T/first"
    TLS_MORE=(--session "$T/first")
    check "$what: by the session" grep -q '^Reused' "$TLS_LOG"
    tls_check "$EXPECTED" "$what: $EXPECTED" tls_scan "$EXPECTED" \
        'resumption PSK|master secret'
    TLS_MORE=()
    tls_close
}

# Ways through the protocol that a plain connection does not take: the server
# asks for another group, for a certificate, or both do it all again.
test_way() {
    local what=$1 version=$2 server_args=("${SERVER_ARGS[@]}") before
    shift 2
    SERVER_ARGS+=("${WAY_SERVER[@]}")
    check "$what: connects" tls_open "$CONF" "$version" "$@"
    if [[ -n $WAY_COMMAND ]]; then
        before=$(<"$TLS_SESSION")
        check "$what: begins" tls_type "$WAY_COMMAND"
        check "$what: ends" until_true 15 session_is_another "$before"
    fi
    tls_check "$EXPECTED" "$what: $EXPECTED" tls_scan "$EXPECTED" "$WAY_SECRET"
    # libssl wipes what it had: there is nothing to see for stock, then.
    stop "$TLS_CLIENT"
    if [[ $EXPECTED == nothing ]]; then
        claim "$what: nothing after the close" tls_scan nothing
    fi
    SERVER_ARGS=("${server_args[@]}")
    tls_close
}

test_ways() {
    WAY_COMMAND='' WAY_SECRET='CLIENT_TRAFFIC_SECRET_0'
    WAY_SERVER=(-groups P-384)
    test_way 'TLS 1.3, HelloRetryRequest' tls1_3 -groups X25519:P-384
    WAY_SERVER=(-CAfile "$CERTS/ca.crt" -Verify 1 -verify_return_error)
    test_way 'TLS 1.3, client certificate' tls1_3 \
        -cert "$CERTS/rsa2048.crt" -key "$CERTS/rsa2048.key"
    WAY_SECRET='master secret'
    test_way 'TLS 1.2, client certificate' tls1_2 \
        -cert "$CERTS/rsa2048.crt" -key "$CERTS/rsa2048.key"
    WAY_SERVER=(-client_renegotiation) WAY_COMMAND=R
    test_way 'TLS 1.2, renegotiation' tls1_2
}

has_ended() {
    ! alive "$1"
}

# In the server's folder, which is $T, where the kernel puts it.
kernel_dumps() {
    prlimit --pid "$SERVER_PID" --core=unlimited:unlimited &&
        kill -ABRT "$SERVER_PID" && until_true 10 has_ended "$SERVER_PID" &&
        TLS_CORE=$(find "$T" -maxdepth 1 -name 'core*' -print -quit) &&
        [[ -s $TLS_CORE ]]
}

test_kernel_dump() {
    local what="$1, a core dump" version=$2 label=$3
    if [[ $(</proc/sys/kernel/core_pattern) != core ]]; then
        echo "not checked: $what, which goes elsewhere on this machine"
        return 0
    fi
    pushd "$T" >/dev/null
    check "$what: connects" tls_open "$CONF" "$version"
    popd >/dev/null
    check "$what: by the kernel" kernel_dumps
    tls_check "$EXPECTED" "$what: $EXPECTED" tls_scan "$EXPECTED" "$label"
    check "$what: it is the right process" is_right_process
    rm -f "$TLS_CORE"
    TLS_CORE=''
    tls_close
}

not_seen_in_json() {
    "$MPKCTL" scan --pid "$SERVER_PID" --keylog "$TLS_KEYLOG" --json >"$T/json" &&
        has_match "$T/json" '"not_seen": [{]"client_randoms": 1, "of": 1, '
}

# The same search where there is nothing of the connection says so.
test_other_process() {
    local what='another process'
    check "$what: a connection" tls_open "$CONF" tls1_3
    tls_close
    launch "$STOCK" "$T/sleep" sleep 1000
    SERVER_PID=$LAUNCHED
    check "$what: nothing, and no error" tls_scan nothing
    check "$what: no client random" has_match "$T/scan" \
        '^not seen either: the client random of 1 of 1 connections; so this'
    check "$what: no public key" has_match "$T/scan" \
        "^not seen either: the public part of $TLS_KEY; so this"
    check "$what: in JSON, too" not_seen_in_json
    stop "$SERVER_PID"
}

# test_all CONF found|nothing
test_all() {
    local suite group
    CONF=$1 EXPECTED=$2
    for suite in TLS_AES_256_GCM_SHA384 TLS_AES_128_GCM_SHA256 \
        TLS_CHACHA20_POLY1305_SHA256; do
        test_tls13 "$suite" X25519
    done
    for group in "${GROUPS_13[@]:1}"; do
        test_tls13 TLS_AES_256_GCM_SHA384 "$group"
    done
    test_key_update
    for suite in ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256 \
        ECDHE-ECDSA-CHACHA20-POLY1305; do
        test_tls12 "$suite"
    done
    test_tls12_cbc ECDHE-ECDSA-AES128-SHA256
    test_resumed tls1_3
    test_resumed tls1_2
    test_ways
    test_kernel_dump 'TLS 1.3' tls1_3 CLIENT_TRAFFIC_SECRET_0
    test_kernel_dump 'TLS 1.2' tls1_2 'master secret'
    test_other_process
}

if (($# == 2)); then
    test_all "$1" "$2"
    finish
fi
test_all "$STOCK" found
if conf_full >"$T/full.cnf"; then
    test_all "$T/full.cnf" nothing
else
    echo 'not checked: the full profile, which has no role = tls here'
fi
finish
