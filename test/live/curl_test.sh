#!/bin/bash
# An unmodified curl with the full profile, that shows a certificate to a stock
# server: TLS 1.3 and 1.2, also resumed. While it reads slowly its memory is
# searched for all secrets of its connections, which the server's key log has,
# and for its key. A stock curl shows them.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=test/live/tls_scan.sh
. "$(dirname "${BASH_SOURCE[0]}")/tls_scan.sh"

need_tool curl
need_built "$MPKCTL"
FULL=$T/full.cnf
conf_full >"$FULL" || skip 'this build has no full profile'
curl --version | grep -q '^curl.* OpenSSL/3' || skip 'curl has another TLS'
KEY=$CERTS/rsa2048.key

# The server sends files from here.
mkdir "$T/www"
cd "$T/www"
echo short >short
# curl reads up to 1.6 MB before it is slow.
truncate -s 32M long

# begin CONF NAME...: gets files, each in a connection of its own and slowly.
# Sets CURL.
begin() {
    local conf=$1 name args=()
    shift
    new_file keylog && KEYLOG=$NEW_FILE
    serve "$STOCK" -WWW -state -num_tickets 1 -keylogfile "$KEYLOG" \
        -cert "$CERTS/p256.crt" -key "$CERTS/p256.key" \
        -CAfile "$CERTS/ca.crt" -Verify 1 -verify_return_error || return 1
    for name; do
        args+=("https://localhost:$SERVER_PORT/$name" -o "$T/got.$name")
    done
    rm -f "$T"/got.*
    launch "$conf" "$T/curl" curl -sS --ipv4 --limit-rate 20k --max-time 300 \
        --cacert "$CERTS/ca.crt" --cert "$CERTS/rsa2048.crt" --key "$KEY" \
        "${VERSION_ARGS[@]}" "${args[@]}"
    CURL=$LAUNCHED
    until_true 15 is_reading_or_dead && alive "$CURL"
}

# It is in the middle of the long file.
is_reading_or_dead() {
    [[ -s $T/got.long ]] || ! alive "$CURL"
}

# What tls_scan goes by, here of curl.
tls_report() {
    local status=0
    "$MPKCTL" scan --pid "$CURL" --keylog "$KEYLOG" --key "$KEY" \
        >"$T/scan" || status=$?
    show "$T/scan"
    return "$status"
}

# The public part of the key is there and the client random of a connection (the
# one before a resumed one has ended), so it is the right process.
is_right_process() {
    lacks_match "$T/scan" \
        '^not seen either: the (client random of (1 of 1|2 of 2)|public)'
}

# sent_certificates N: the server, which sends none when it resumes.
sent_certificates() {
    local lines
    mapfile -t lines < <(grep 'write certificate$' "$SERVER_LOG")
    equal certificates "${#lines[@]}" "$1"
}

# test_connection CONF found|nothing VERSION: a full one, and a resumed one.
test_connection() {
    local conf=$1 expected=$2 version=$3 labels way names
    labels=('dmp1 +little-endian' 'AES-256 key +AES schedule'
        SERVER_TRAFFIC_SECRET_0 CLIENT_TRAFFIC_SECRET_0 EXPORTER_SECRET)
    VERSION_ARGS=(--tlsv1.3)
    if [[ $version == tls1_2 ]]; then
        labels=('dmp1 +little-endian' CLIENT_RANDOM
            'server key +AES schedule' 'client key +AES schedule')
        VERSION_ARGS=(--tls-max 1.2)
    fi
    for way in full resumed; do
        names=(short long)
        [[ $way == resumed ]] || names=(long)
        check "$version, $way: reads" begin "$conf" "${names[@]}"
        check "$version, $way: is that" sent_certificates 1
        if [[ $expected == found ]]; then
            check "$version, $way: stock shows it" tls_scan found "${labels[@]}"
        else
            claim "$version, $way: nothing is found" tls_scan nothing
            check "$version, $way: the right process" is_right_process
        fi
        stop "$CURL" "$SERVER_PID"
    done
}

for version in tls1_3 tls1_2; do
    test_connection "$STOCK" found "$version"
    test_connection "$FULL" nothing "$version"
done
finish
