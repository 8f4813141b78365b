#!/bin/bash
# TLS with protected keys through an unmodified s_server and s_client: every
# key type, both TLS versions, keys loaded from PEM and by mpk: URI (is_tested
# says which), on the server, on the client and on both. The other side is
# always stock.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_built "$MPKCTL"

# Those of OpenSSL 3.5, where the certificates were made with it. A module with
# an older one inside does not take them; its configuration has not the groups.
TOO_NEW=()
if [[ -s $CERTS/mldsa65.key ]]; then
    if has_match "$BUILD/mpk.cnf" '^Groups = .*MLKEM' >"$T/log"; then
        KEY_TYPES+=(mldsa65)
    else
        TOO_NEW+=(mldsa65)
    fi
fi

# versions_of TYPE: sets VERSIONS to those of TLS that have such signatures.
versions_of() {
    VERSIONS=(tls1_3 tls1_2)
    [[ $1 != mldsa* ]] || VERSIONS=(tls1_3)
}

# cert_args pem|mpk TYPE: sets ARGS.
cert_args() {
    ARGS=(-cert "$CERTS/$2.crt" -key "${URI[$1]}$CERTS/$2.key")
}

# The page of s_server -www says whether it got a client certificate.
fetch_as_client() {
    fetch "$@" || return 1
    ! has_line "$T/fetch" 'Client certificate' || return 0
    echo "expected the server to show the client's certificate"
    return 1
}

test_server() {
    local way=$1 type=$2 version
    cert_args "$way" "$type"
    if ! serve "$PROTECTED" "${ARGS[@]}" >"$T/serve" 2>&1; then
        check "server, $type by $way: starts" cat_and_fail "$T/serve"
        return 0
    fi
    versions_of "$type"
    for version in "${VERSIONS[@]}"; do
        check "server, $type by $way, $version" \
            fetch "$STOCK" "$SERVER_PORT" "$version"
    done
    claim "server, $type by $way: a scan does not find the key" \
        scan_clean --pid "$SERVER_PID" "$CERTS/$type.key"
    stop "$SERVER_PID"
}

cat_and_fail() {
    cat "$1"
    return 1
}

# The same scanner has to find the same key where it is not protected,
# otherwise its silence above means nothing.
test_scanner_finds_stock_key() {
    local type=$1
    serve "$STOCK" -cert "$CERTS/$type.crt" -key "$CERTS/$type.key" ||
        bail "a stock server does not start with $type"
    check "stock server, $type" fetch "$STOCK" "$SERVER_PORT" tls1_3
    check "stock server, $type: a scan finds the key" \
        scan_finds --pid "$SERVER_PID" "$CERTS/$type.key"
    stop "$SERVER_PID"
}

# Not in the clear, either.
test_key_does_not_load() {
    local way=$1 type=$2
    cert_args "$way" "$type"
    claim "server, $type by $way: the key does not load" refuses_saying \
        'keys of type .* are not supported' serve "$PROTECTED" "${ARGS[@]}"
}

# Without the forward secret exchange the key decrypts instead of signing.
test_rsa_key_transport() {
    local way=$1
    cert_args "$way" rsa2048
    serve "$PROTECTED" "${ARGS[@]}" || bail "no server for RSA key transport"
    check "server, RSA key transport by $way" fetch "$STOCK" "$SERVER_PORT" \
        tls1_2 -cipher AES128-GCM-SHA256
    check "server, RSA key transport by $way: it was that cipher" \
        has_line "$T/fetch" 'Ciphersuite: AES128-GCM-SHA256'
    stop "$SERVER_PID"
}

test_clients() {
    local type way version
    serve "$STOCK" -cert "$CERTS/p256.crt" -key "$CERTS/p256.key" \
        -CAfile "$CERTS/ca.crt" -Verify 1 -verify_return_error ||
        bail 'no stock server that wants a client certificate'
    check 'client without a certificate is turned away' \
        refuses fetch "$STOCK" "$SERVER_PORT" tls1_3
    for type in "${KEY_TYPES[@]}"; do
        versions_of "$type"
        for way in pem mpk; do
            is_tested "$type" "$way" || continue
            cert_args "$way" "$type"
            for version in "${VERSIONS[@]}"; do
                check "client, $type by $way, $version" \
                    fetch_as_client "$PROTECTED" "$SERVER_PORT" \
                    "$version" "${ARGS[@]}"
            done
        done
    done
    stop "$SERVER_PID"
}

test_both_sides() {
    local way=$1 server_type=$2 client_type=$3 version
    cert_args "$way" "$server_type"
    serve "$PROTECTED" "${ARGS[@]}" -CAfile "$CERTS/ca.crt" -Verify 1 \
        -verify_return_error || bail 'no protected server for mutual TLS'
    cert_args "$way" "$client_type"
    for version in tls1_3 tls1_2; do
        check "both sides, $server_type and $client_type by $way, $version" \
            fetch_as_client "$PROTECTED" "$SERVER_PORT" "$version" \
            "${ARGS[@]}"
    done
    stop "$SERVER_PID"
}

refuses_nothing() {
    lacks_match "$SERVER_LOG" 'is refused'
}

# The command reads the file for the certificate, and again for the key.
test_one_file() {
    local type=$1 what="certificate and key in one file, $1"
    cat "$CERTS/$type.crt" "$CERTS/$type.key" >"$T/one.pem"
    serve "$PROTECTED" -cert "$T/one.pem" || bail "no server with one file"
    check "$what: serves" fetch "$STOCK" "$SERVER_PORT" tls1_3
    check "$what: speaks of no refusal" refuses_nothing
    claim "$what: a scan does not find the key" \
        scan_clean --pid "$SERVER_PID" "$CERTS/$type.key"
    stop "$SERVER_PID"
}

# What else the command reads keys in.
test_form() {
    local form=$1 file=$T/key.$1 what="a key in $1"
    OPENSSL_CONF=$STOCK openssl rsa -in "$CERTS/rsa2048.key" -outform "$form" \
        -out "$file" -pvk-none 2>"$T/rsa" || bail "no key in $form"
    serve "$PROTECTED" -cert "$CERTS/rsa2048.crt" -key "$file" -keyform "$form" ||
        bail "no server with $what"
    check "$what: serves" fetch "$STOCK" "$SERVER_PORT" tls1_3
    claim "$what: a scan does not find it" \
        scan_clean --pid "$SERVER_PID" "$CERTS/rsa2048.key"
    stop "$SERVER_PID"
}

# libcrypto ignores a provider that it cannot load. These tests would then
# pass on the default provider alone, so show that they would notice.
test_missing_module_is_noticed() {
    local conf=$T/missing.cnf
    conf_protected "$T/no-such-module.so" >"$conf"
    check 'module missing: a key by mpk: does not load' \
        refuses serve "$conf" -cert "$CERTS/p256.crt" \
        -key "mpk:$CERTS/p256.key"
    serve "$conf" -cert "$CERTS/p256.crt" -key "$CERTS/p256.key" ||
        bail 'expected libcrypto to go on without the module'
    check 'module missing: a key by PEM is found by the scan' \
        scan_finds --pid "$SERVER_PID" "$CERTS/p256.key"
    stop "$SERVER_PID"
}

module_is_mapped() {
    [[ $(<"/proc/$1/maps") == *" $BUILD/mpk.so"* ]]
}

# The profile as the build made it wants PKU, so only there can it serve.
test_shipped_profile() {
    local conf=$BUILD/mpk-keys.cnf
    if [[ $BACKEND != mpk || $CONTROL == 1 ]]; then
        echo 'the shipped profile is not run: it is for backend mpk'
        return 0
    fi
    serve "$conf" -cert "$CERTS/p256.crt" -key "$CERTS/p256.key" ||
        bail 'no server with the shipped profile'
    check 'shipped profile: serves' fetch "$STOCK" "$SERVER_PORT" tls1_3
    claim 'shipped profile: the module is mapped' module_is_mapped "$SERVER_PID"
    claim 'shipped profile: a scan does not find the key' \
        scan_clean --pid "$SERVER_PID" "$CERTS/p256.key"
    stop "$SERVER_PID"
}

protected openssl list -providers >"$T/providers"
claim 'the provider is active' has_match "$T/providers" '^ *mpk$'
for type in "${KEY_TYPES[@]}"; do
    for way in pem mpk; do
        ! is_tested "$type" "$way" || test_server "$way" "$type"
    done
    test_scanner_finds_stock_key "$type"
done
for type in "${TOO_NEW[@]}"; do
    test_key_does_not_load pem "$type"
    test_key_does_not_load mpk "$type"
done
test_rsa_key_transport pem
test_rsa_key_transport mpk
test_clients
test_both_sides pem rsa2048 p256
test_both_sides mpk p256 ed25519
test_one_file p256
test_one_file rsa2048
test_form DER
test_form MSBLOB
test_form PVK
test_missing_module_is_noticed
test_shipped_profile
finish
