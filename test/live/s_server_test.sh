#!/bin/bash
# TLS with protected keys through an unmodified s_server and s_client: every
# key type, both TLS versions, keys loaded from PEM and by mpk: URI, on the
# server, on the client and on both. The other side is always stock.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need_built "$MPKCTL"

# Those of OpenSSL 3.5, where the certificates were made with it. A module with
# an older one inside does not take them; its configuration has not the groups.
TOO_NEW=()
if [[ -s $CERTS/mldsa65.key ]]; then
    if grep -q '^Groups = .*MLKEM' "$BUILD/mpk.cnf"; then
        KEY_TYPES+=(mldsa65)
    else
        TOO_NEW+=(mldsa65)
    fi
fi

# The versions of TLS that have signatures of this type.
versions_of() {
    case $1 in
    mldsa*) echo tls1_3 ;;
    *) echo tls1_3 tls1_2 ;;
    esac
}

cert_args() {
    echo -cert "$CERTS/$2.crt" -key "$(key_ref "$1" "$2")"
}

# The page of s_server -www says whether it got a client certificate.
fetch_as_client() {
    fetch "$@" || return 1
    grep -q '^Client certificate' "$T/fetch" && return 0
    echo "expected the server to show the client's certificate"
    return 1
}

test_server() {
    local way=$1 type=$2 args version
    read -ra args < <(cert_args "$way" "$type")
    if ! serve "$PROTECTED" "${args[@]}" >"$T/serve" 2>&1; then
        check "server, $type by $way: starts" cat_and_fail "$T/serve"
        return 0
    fi
    for version in $(versions_of "$type"); do
        check "server, $type by $way, $version" \
            fetch "$STOCK" "$SERVER_PORT" "$version"
    done
    claim "server, $type by $way: a scan does not find the key" \
        scan_clean --pid "$SERVER_PID" "$(key_file "$type")"
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
    serve "$STOCK" -cert "$CERTS/$type.crt" -key "$(key_file "$type")" ||
        bail "a stock server does not start with $type"
    check "stock server, $type" fetch "$STOCK" "$SERVER_PORT" tls1_3
    check "stock server, $type: a scan finds the key" \
        scan_finds --pid "$SERVER_PID" "$(key_file "$type")"
    stop "$SERVER_PID"
}

# Not in the clear, either.
test_key_does_not_load() {
    local way=$1 type=$2 args
    read -ra args < <(cert_args "$way" "$type")
    claim "server, $type by $way: the key does not load" refuses_saying \
        'keys of type .* are not supported' serve "$PROTECTED" "${args[@]}"
}

# Without the forward secret exchange the key decrypts instead of signing.
test_rsa_key_transport() {
    local way=$1 args
    read -ra args < <(cert_args "$way" rsa2048)
    serve "$PROTECTED" "${args[@]}" || bail "no server for RSA key transport"
    check "server, RSA key transport by $way" fetch "$STOCK" "$SERVER_PORT" \
        tls1_2 -cipher AES128-GCM-SHA256
    check "server, RSA key transport by $way: it was that cipher" \
        grep -q 'Ciphersuite: AES128-GCM-SHA256' "$T/fetch"
    stop "$SERVER_PID"
}

test_clients() {
    local type way version args
    serve "$STOCK" -cert "$CERTS/p256.crt" -key "$(key_file p256)" \
        -CAfile "$CERTS/ca.crt" -Verify 1 -verify_return_error ||
        bail 'no stock server that wants a client certificate'
    check 'client without a certificate is turned away' \
        refuses fetch "$STOCK" "$SERVER_PORT" tls1_3
    for type in "${KEY_TYPES[@]}"; do
        for way in pem mpk; do
            read -ra args < <(cert_args "$way" "$type")
            for version in $(versions_of "$type"); do
                check "client, $type by $way, $version" \
                    fetch_as_client "$PROTECTED" "$SERVER_PORT" \
                    "$version" "${args[@]}"
            done
        done
    done
    stop "$SERVER_PID"
}

test_both_sides() {
    local way=$1 server_type=$2 client_type=$3 args version
    read -ra args < <(cert_args "$way" "$server_type")
    serve "$PROTECTED" "${args[@]}" -CAfile "$CERTS/ca.crt" -Verify 1 \
        -verify_return_error || bail 'no protected server for mutual TLS'
    read -ra args < <(cert_args "$way" "$client_type")
    for version in tls1_3 tls1_2; do
        check "both sides, $server_type and $client_type by $way, $version" \
            fetch_as_client "$PROTECTED" "$SERVER_PORT" "$version" \
            "${args[@]}"
    done
    stop "$SERVER_PID"
}

refuses_nothing() {
    ! grep 'is refused' "$SERVER_LOG"
}

# The command reads the file for the certificate, and again for the key.
test_one_file() {
    local type=$1 what="certificate and key in one file, $1"
    cat "$CERTS/$type.crt" "$(key_file "$type")" >"$T/one.pem"
    serve "$PROTECTED" -cert "$T/one.pem" || bail "no server with one file"
    check "$what: serves" fetch "$STOCK" "$SERVER_PORT" tls1_3
    check "$what: speaks of no refusal" refuses_nothing
    claim "$what: a scan does not find the key" \
        scan_clean --pid "$SERVER_PID" "$(key_file "$type")"
    stop "$SERVER_PID"
}

# What else the command reads keys in.
test_form() {
    local form=$1 file=$T/key.$1 what="a key in $1"
    OPENSSL_CONF=$STOCK openssl rsa -in "$(key_file rsa2048)" -outform "$form" \
        -out "$file" -pvk-none 2>"$T/rsa" || bail "no key in $form"
    serve "$PROTECTED" -cert "$CERTS/rsa2048.crt" -key "$file" -keyform "$form" ||
        bail "no server with $what"
    check "$what: serves" fetch "$STOCK" "$SERVER_PORT" tls1_3
    claim "$what: a scan does not find it" \
        scan_clean --pid "$SERVER_PID" "$(key_file rsa2048)"
    stop "$SERVER_PID"
}

# libcrypto ignores a provider that it cannot load. These tests would then
# pass on the default provider alone, so show that they would notice.
test_missing_module_is_noticed() {
    local conf=$T/missing.cnf
    conf_protected "$T/no-such-module.so" >"$conf"
    check 'module missing: a key by mpk: does not load' \
        refuses serve "$conf" -cert "$CERTS/p256.crt" \
        -key "mpk:$(key_file p256)"
    serve "$conf" -cert "$CERTS/p256.crt" -key "$(key_file p256)" ||
        bail 'expected libcrypto to go on without the module'
    check 'module missing: a key by PEM is found by the scan' \
        scan_finds --pid "$SERVER_PID" "$(key_file p256)"
    stop "$SERVER_PID"
}

module_is_mapped() {
    grep -F "$BUILD/mpk.so" "/proc/$1/maps"
}

# The profile as the build made it wants PKU, so only there can it serve.
test_shipped_profile() {
    local conf=$BUILD/mpk-keys.cnf
    if [[ $BACKEND != mpk || $CONTROL == 1 ]]; then
        echo 'the shipped profile is not run: it is for backend mpk'
        return 0
    fi
    serve "$conf" -cert "$CERTS/p256.crt" -key "$(key_file p256)" ||
        bail 'no server with the shipped profile'
    check 'shipped profile: serves' fetch "$STOCK" "$SERVER_PORT" tls1_3
    claim 'shipped profile: the module is mapped' module_is_mapped "$SERVER_PID"
    claim 'shipped profile: a scan does not find the key' \
        scan_clean --pid "$SERVER_PID" "$(key_file p256)"
    stop "$SERVER_PID"
}

claim 'the provider is active' \
    grep -q '^ *mpk$' <(protected openssl list -providers)
for type in "${KEY_TYPES[@]}"; do
    test_server pem "$type"
    test_server mpk "$type"
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
