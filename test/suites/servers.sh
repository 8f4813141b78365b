# shellcheck shell=bash
# The servers of clients.sh and scanners.sh. Sourced, with CERTS and LOG set.
# The folder T and all servers are gone at the end.

T=$(mktemp -d /tmp/mpk.XXXXXX)
PIDS=()

clean_up() {
    kill "${PIDS[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$T"
}
trap clean_up EXIT
: >"$LOG"

SUITES_13=TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256
SUITES_13+=:TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256

free_port() {
    local port
    while port=$((RANDOM % 20000 + 20000)); do
        ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || continue
        echo "$port"
        return
    done
}

wait_for_port() {
    local i
    for ((i = 0; i < 300; i++)); do
        ! (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
        sleep 0.1
    done
    echo "no server on port $1" >&2
    return 1
}

nginx_server() { # PORT KEY...: a block of nginx.conf
    local key
    printf 'server { listen 127.0.0.1:%s ssl http2; server_name localhost;\n' \
        "$1"
    for key in "${@:2}"; do
        printf 'ssl_certificate %s/%s.crt;\n' "$CERTS" "$key"
        printf 'ssl_certificate_key %s/%s.key;\n' "$CERTS" "$key"
    done
    cat <<'END'
location = /what { add_header Content-Type text/plain;
    return 200 "v=$ssl_protocol c=$ssl_cipher g=$ssl_curve r=$ssl_session_reused h=$server_protocol i=$ssl_client_verify $ssl_client_s_dn\n"; }
location = /file { }
location = /put { dav_methods PUT; }
}
END
}

# nginx_start CONF: the ports go to NGINX (RSA and P-256) and NGINX_ED.
nginx_start() {
    NGINX=$(free_port)
    NGINX_ED=$(free_port)
    mkdir -p "$T/nginx/www"
    [[ -e $T/nginx/www/file ]] ||
        head -c 3000000 /dev/zero | OPENSSL_CONF=/dev/null openssl enc \
            -aes-128-ctr -K 00 -iv 00 2>/dev/null >"$T/nginx/www/file"
    OPENSSL_CONF=/dev/null openssl genpkey -genparam -algorithm DH \
        -pkeyopt group:ffdhe2048 -out "$T/nginx/dh" 2>>"$LOG"
    chmod -R a+rwx "$T"
    {
        ((EUID != 0)) || echo 'user root;'
        cat <<END
daemon off; worker_processes 2; pid $T/nginx/pid; error_log $T/nginx/log;
env OPENSSL_CONF;
events { }
http {
access_log off; root $T/nginx/www;
client_body_temp_path $T/nginx/b; proxy_temp_path $T/nginx/p;
fastcgi_temp_path $T/nginx/f; uwsgi_temp_path $T/nginx/u;
scgi_temp_path $T/nginx/s; client_max_body_size 8m;
ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
ssl_ciphers ALL:COMPLEMENTOFALL:@SECLEVEL=0; ssl_dhparam $T/nginx/dh;
ssl_conf_command Ciphersuites $SUITES_13;
ssl_session_cache shared:S:1m; ssl_ecdh_curve X25519:P-256:X448:P-521:P-384;
ssl_verify_client optional; ssl_client_certificate $CERTS/ca.crt;
END
        nginx_server "$NGINX" rsa2048 p256
        nginx_server "$NGINX_ED" ed25519
        echo '}'
    } >"$T/nginx/conf"
    OPENSSL_CONF=$1 nginx -p "$T/nginx" -c "$T/nginx/conf" 2>>"$LOG" &
    PIDS+=($!)
    wait_for_port "$NGINX"
}

# s_server_start CONF KEY OPTION...: the port goes to S_SERVER.
s_server_start() {
    local conf=$1 key=$2
    shift 2
    S_SERVER=$(free_port)
    OPENSSL_CONF=$conf openssl s_server -accept "$S_SERVER" -www -quiet \
        -cipher ALL:@SECLEVEL=0 -ciphersuites "$SUITES_13" \
        -cert "$CERTS/$key.crt" -key "$CERTS/$key.key" \
        -CAfile "$CERTS/ca.crt" "$@" >>"$LOG" 2>&1 &
    PIDS+=($!)
    wait_for_port "$S_SERVER"
}
