#!/bin/bash
# What other TLS libraries' clients, and curl, make of a server or are made of:
#
#   clients.sh CERTS CLASSES LOG [FILE...]
#
# Under the OPENSSL_CONF of the environment are, one after the other, the
# servers (nginx and openssl s_server, with clients of GnuTLS and Java), and the
# client (curl, with servers under stock OpenSSL). CERTS is a folder that
# make-certs.sh has filled, CLASSES one with Client.class. Prints a line for
# each case, "ok FILE:NAME" or "failed FILE:NAME"; FILE is gnutls, java or curl.
set -euo pipefail

CERTS=$1 CLASSES=$2 LOG=$3
shift 3
(($# > 0)) || set -- curl gnutls java
TESTED=$OPENSSL_CONF
# shellcheck source=test/suites/servers.sh
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

# ---- cases -----------------------------------------------------------------

# case_of FILE:NAME PATTERN COMMAND...: is ok when what the command prints
# matches PATTERN. What a command prints goes to the log.
case_of() {
    local name=$1 pattern=$2 printed
    shift 2
    printed=$("$@" 2>&1 </dev/null | tr -d '\0') || true
    printf '==== %s\n%s\n' "$name" "$printed" >>"$LOG"
    if grep -qE -- "$pattern" <<<"$printed"; then
        echo "ok $name"
    else
        echo "failed $name"
    fi
}

# ---- curl ------------------------------------------------------------------

get() { # PORT PATH OPTION...
    curl -sS --max-time 50 --cacert "$CERTS/ca.crt" "${@:3}" \
        "https://localhost:$1$2"
}

# Two connections of one client: --next would use one.
get_twice() { # PORT OPTION...
    get "$1" /what -H 'Connection: close' --http1.1 "${@:2}" \
        "https://localhost:$1/what"
}

get_sum() { # PORT OPTION...
    get "$1" /file "${@:2}" | cmp - "$T/nginx/www/file" && echo same
}

put_and_get_back() { # PORT OPTION...
    get "$1" /put -T "$T/nginx/www/file" "${@:2}" &&
        cmp "$T/nginx/www/put" "$T/nginx/www/file" && echo same
    rm -f "$T/nginx/www/put"
}

many() { # PORT OPTION...
    local urls=() i
    for ((i = 0; i < 30; i++)); do
        urls+=("https://localhost:$1/what")
    done
    curl -sS --max-time 50 -Z --parallel-max 10 --parallel-immediate \
        --cacert "$CERTS/ca.crt" "${@:2}" "${urls[@]}" | grep -c '^v=TLS'
}

curl_version() { # VERSION OPTION...
    local v=$1 key group
    shift
    case_of "curl:$v" "v=TLSv$v" get "$NGINX" /what "$@"
    case_of "curl:$v HTTP/2" 'h=HTTP/2' get "$NGINX" /what "$@" --http2
    case_of "curl:$v Ed25519 server" "v=TLSv$v" get "$NGINX_ED" /what "$@"
    case_of "curl:$v resumption" 'r=r' get_twice "$NGINX" "$@"
    case_of "curl:$v download" same get_sum "$NGINX" "$@"
    case_of "curl:$v upload" same put_and_get_back "$NGINX" "$@"
    case_of "curl:$v upload, HTTP/1.1" same \
        put_and_get_back "$NGINX" "$@" --http1.1
    case_of "curl:$v 30 at once" '^30$' many "$NGINX" "$@" --http1.1
    for key in rsa2048 rsapss p256 p384 ed25519; do
        case_of "curl:$v client $key" "i=SUCCESS.*CN=$key" \
            get "$NGINX" /what "$@" \
            --cert "$CERTS/$key.crt" --key "$CERTS/$key.key"
    done
    for group in X25519 P-256 P-384 P-521 X448; do
        case_of "curl:$v group $group" "v=TLSv$v .*g=[A-Za-z0-9]+ " \
            get "$NGINX" /what "$@" --curves "$group"
    done
    case_of "curl:$v wrong name" 'SSL: no alternative' \
        curl -sS --max-time 50 --cacert "$CERTS/ca.crt" "$@" \
        --connect-to "other:1:localhost:$NGINX" https://other:1/what
    case_of "curl:$v unknown CA" 'problem|unable to get|self.signed' \
        curl -sS --max-time 50 "$@" "https://localhost:$NGINX/what"
    case_of "curl:$v client key with passphrase" 'i=SUCCESS' \
        get "$NGINX" /what "$@" --cert "$CERTS/p256.crt" \
        --key "$T/encrypted.key" --pass secret
    case_of "curl:$v client key in PKCS#12" 'i=SUCCESS' \
        get "$NGINX" /what "$@" --cert "$T/p256.p12:secret" --cert-type P12
}

do_curl() {
    local cipher
    nginx_start /dev/null
    OPENSSL_CONF=/dev/null openssl pkcs8 -topk8 -in "$CERTS/p256.key" \
        -out "$T/encrypted.key" -passout pass:secret
    OPENSSL_CONF=/dev/null openssl pkcs12 -export -in "$CERTS/p256.crt" \
        -inkey "$CERTS/p256.key" -out "$T/p256.p12" -passout pass:secret
    export OPENSSL_CONF=$TESTED
    curl_version 1.2 --tls-max 1.2
    curl_version 1.3 --tlsv1.3
    for cipher in {ECDHE-RSA-,ECDHE-ECDSA-,}AES{128,256}-{GCM-SHA{256,384},CCM}; do
        OPENSSL_CONF=/dev/null openssl ciphers "$cipher" >/dev/null 2>&1 ||
            continue
        case_of "curl:$cipher" "c=$cipher" get "$NGINX" /what \
            --tls-max 1.2 --ciphers "$cipher"
    done
    for cipher in ECDHE-{RSA,ECDSA}-{CHACHA20-POLY1305,AES128-SHA,AES256-SHA384}; do
        case_of "curl:$cipher" "c=$cipher" get "$NGINX" /what \
            --tls-max 1.2 --ciphers "$cipher"
    done
    for cipher in TLS_AES_{128_GCM_SHA256,256_GCM_SHA384} \
        TLS_CHACHA20_POLY1305_SHA256; do
        case_of "curl:$cipher" "c=$cipher" get "$NGINX" /what \
            --tls13-ciphers "$cipher"
    done
    export OPENSSL_CONF=/dev/null
    s_server_start /dev/null p256 -Verify 1
    export OPENSSL_CONF=$TESTED
    for cipher in 1.2 1.3; do
        case_of "curl:s_server $cipher, client p256" "Protocol *: TLSv$cipher" \
            get "$S_SERVER" / --tls-max "$cipher" \
            --cert "$CERTS/p256.crt" --key "$CERTS/p256.key"
        case_of "curl:s_server $cipher, client rsa2048" \
            "Protocol *: TLSv$cipher" get "$S_SERVER" / --tls-max "$cipher" \
            --cert "$CERTS/rsa2048.crt" --key "$CERTS/rsa2048.key"
    done
    case_of 'curl:s_server wants a certificate' 'alert|error' \
        get "$S_SERVER" / --tls-max 1.2
}

# ---- GnuTLS ----------------------------------------------------------------

gnutls() { # PORT PATH OPTION...
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' \
        "$2" | timeout 60 gnutls-cli --x509cafile "$CERTS/ca.crt" -p "$1" "${@:3}" \
        localhost
}

# The session of the first is in the second.
gnutls_resumed() { # PORT PRIORITY
    gnutls "$1" /what --resume --priority "$2"
}

gnutls_server() { # PORT NAME: RSA and P-256, or what is in NAME
    local port=$1 name=$2 v p key group cipher
    for v in 1.2 1.3; do
        p="NORMAL:-VERS-ALL:+VERS-TLS$v"
        case_of "gnutls:$name $v" 'Handshake was completed' \
            gnutls "$port" /what --priority "$p"
        case_of "gnutls:$name $v resumption" 'This is a resumed session' \
            gnutls_resumed "$port" "$p"
        for key in rsa2048 p256 p384 ed25519; do
            case_of "gnutls:$name $v client $key" 'HTTP/1.[01] 200' \
                gnutls "$port" /what --priority "$p" \
                --x509certfile "$CERTS/$key.crt" \
                --x509keyfile "$CERTS/$key.key"
        done
        for group in X25519 SECP256R1 SECP384R1 SECP521R1 X448; do
            case_of "gnutls:$name $v group $group" "HTTP/1.[01] 200" \
                gnutls "$port" /what --priority "$p:-GROUP-ALL:+GROUP-$group"
        done
        for cipher in AES-128-GCM AES-256-GCM CHACHA20-POLY1305 AES-128-CCM \
            AES-256-CCM AES-128-CBC AES-256-CBC; do
            [[ $v != 1.3 || $cipher != *CBC && $cipher != AES-256-CCM ]] ||
                continue
            case_of "gnutls:$name $v cipher $cipher" 'HTTP/1.[01] 200' \
                gnutls "$port" /what \
                --priority "$p:-CIPHER-ALL:+$cipher:+SHA1:+SHA256"
        done
        case_of "gnutls:$name $v key exchange RSA" 'HTTP/1.[01] 200' \
            gnutls "$port" /what --priority "$p:-KX-ALL:+RSA"
        case_of "gnutls:$name $v big download" '^HTTP/1.[01] 200' \
            gnutls "$port" /file --priority "$p"
    done
    case_of "gnutls:$name default" 'Handshake was completed' \
        gnutls "$port" /what
    case_of "gnutls:$name no session ticket" 'Handshake was completed' \
        gnutls "$port" /what --noticket
}

do_gnutls() {
    nginx_start "$TESTED"
    gnutls_server "$NGINX" nginx
    case_of 'gnutls:nginx Ed25519' 'Handshake was completed' \
        gnutls "$NGINX_ED" /what
    case_of 'gnutls:nginx ALPN' 'Application protocol: h2' \
        gnutls "$NGINX" /what --alpn h2
    s_server_start "$TESTED" rsa2048 -verify 1 \
        -dcert "$CERTS/p256.crt" -dkey "$CERTS/p256.key"
    gnutls_server "$S_SERVER" s_server
    s_server_start "$TESTED" ed448
    case_of 'gnutls:s_server Ed448' 'Handshake was completed' \
        gnutls "$S_SERVER" /
    s_server_start "$TESTED" rsapss
    case_of 'gnutls:s_server RSA-PSS' 'Handshake was completed' \
        gnutls "$S_SERVER" /
}

# ---- Java ------------------------------------------------------------------

# java_client NAME PORT WHAT [OPTION...]: a JVM takes a second to start, so one
# makes all connections that have the same options.
java_client() {
    local name=$1 port=$2 what
    read -ra what <<<"$3"
    shift 3
    printf '==== java:%s\n' "$name" >>"$LOG"
    timeout 300 java -XX:TieredStopAtLevel=1 "$@" -cp "$CLASSES" \
        Client "$port" "$CERTS/ca.crt" "$T/client.p12" "${what[@]}" \
        2>>"$LOG" | sed -E "s/^(ok|failed) /&java:$name /" || true
}

do_java() {
    local group
    OPENSSL_CONF=/dev/null openssl pkcs12 -export -in "$CERTS/rsa2048.crt" \
        -inkey "$CERTS/rsa2048.key" -out "$T/client.p12" -passout pass:secret
    nginx_start "$TESTED"
    s_server_start "$TESTED" rsa2048 -verify 1 \
        -dcert "$CERTS/p256.crt" -dkey "$CERTS/p256.key"
    java_client nginx "$NGINX" 'files suites'
    java_client s_server "$S_SERVER" suites
    for group in x25519 secp256r1 secp384r1 secp521r1 x448; do
        java_client "nginx, $group" "$NGINX" '' "-Djdk.tls.namedGroups=$group"
    done
    # A KeyUpdate for each 128 KiB, in place of each 128 GiB.
    echo 'jdk.tls.keyLimits=AES/GCM/NoPadding KeyUpdate 2^17' >"$T/limits"
    java_client 'nginx, key updates' "$NGINX" files \
        -Djava.security.properties="$T/limits"
}

for file in "$@"; do
    "do_$file"
    kill "${PIDS[@]}" 2>/dev/null || true
    wait "${PIDS[@]}" 2>/dev/null || true
    PIDS=()
done
