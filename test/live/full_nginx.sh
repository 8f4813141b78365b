# shellcheck shell=bash
# nginx with four workers and the full profile; sourced after lib.sh and
# tls_scan.sh.
#
#   start_nginx CONF [KEY-FILES]   sets MASTER and DIR; KEY-FILES are lines for
#                                  the server with tickets of persistent keys
#   workers, reloads COUNT, no_alerts_logged
#   ask tls1_3|tls1_2 ARG...       one request by a stock client; $T/ask
#   hold tls1_3|tls1_2             one connection that stays; sets HOLDER
#   each_worker COMMAND...         with SERVER_PID each in turn
#
# Every server answers with the worker's number, whether the session was
# resumed ("r") and whether the request came early ("1").

# shellcheck source=test/live/nginx.sh
. "$(dirname "${BASH_SOURCE[0]}")/nginx.sh"
NGINX_WORKERS=4

# Ports are picked once: a session is resumed where it was made. The third
# server's tickets are encrypted with keys that outlive the process, if any.
pick_port && PORT_TICKETS=$PORT
pick_port && PORT_CACHE=$PORT
pick_port && PORT_FILE=$PORT
pick_port && PORT_PLAIN=$PORT

# How HTTP/2 is asked for has changed in nginx 1.25.1, which warns of the old
# way: a word of "listen", or a line of its own.
HTTP2_WORD=http2
HTTP2_LINE=
NGINX_VERSION=$(nginx -v 2>&1 | sed 's/.*nginx.//')
if printf '%s\n' 1.25.1 "${NGINX_VERSION%% *}" | sort -CV; then
    HTTP2_WORD=
    HTTP2_LINE='http2 on;'
fi

nginx_server() {
    cat <<EOC
    server {
        listen 127.0.0.1:$1 ssl reuseport $HTTP2_WORD;
        $HTTP2_LINE
        ssl_certificate $CERTS/p256.crt;
        ssl_certificate_key $CERTS/p256.key;
        location / { return 200 "worker=\$pid reused=\$ssl_session_reused early=\$ssl_early_data\n"; }
        location /file { alias $T/file; }
        location /upload {
            client_body_in_file_only on;
            proxy_pass http://127.0.0.1:$PORT_PLAIN;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }
        $2
    }
EOC
}

nginx_conf() {
    nginx_head "$DIR" "$NGINX_WORKERS"
    cat <<EOC
    client_max_body_size 2m;
    keepalive_timeout 600;
    keepalive_requests 100000;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {
        listen 127.0.0.1:$PORT_PLAIN;
        location / { return 200 "stored\n"; }
    }
    $(nginx_server "$PORT_TICKETS" 'ssl_session_tickets on; ssl_early_data on;')
    $(nginx_server "$PORT_CACHE" \
        'ssl_session_tickets off; ssl_session_cache shared:cache:1m;')
    $(nginx_server "$PORT_FILE" "ssl_session_tickets on; ${1:-}")
}
EOC
}

start_nginx() {
    DIR=$(mktemp -d "$T/nginx.XXXXXX")
    chmod 755 "$DIR"
    nginx_conf "${2:-}" >"$DIR/nginx.conf"
    nginx_up "$1" "$DIR" "$PORT_TICKETS"
}

# new_workers_up OLD: right after SIGHUP the old ones are the only ones, and
# when they end is their business.
new_workers_up() {
    local pid new=0
    for pid in $(workers); do
        [[ " $1 " == *" $pid "* ]] || new=$((new + 1))
    done
    ((new == NGINX_WORKERS))
}

# reloads COUNT: and no old worker is there afterwards.
reloads() {
    local i before
    for ((i = 0; i < $1; i++)); do
        before=$(workers)
        kill -HUP "$MASTER" && until_true 15 new_workers_up "$before" ||
            return 1
    done
    until_true 15 all_workers_up
}

no_alerts_logged() {
    ! grep -E '\[(warn|error|crit|alert|emerg)\]|exited on signal' \
        "$DIR/error.log"
}

# ---- requests -------------------------------------------------------------

# To SERVER_PORT; succeeds when the chain verifies and the page arrives.
ask() {
    local version=$1 status=0
    shift
    printf 'GET / HTTP/1.0\r\n\r\n' |
        OPENSSL_CONF=$STOCK timeout $((10 * PATIENCE)) openssl s_client \
            -ign_eof -connect "127.0.0.1:$SERVER_PORT" "-$version" \
            -CAfile "$CERTS/ca.crt" -verify_return_error "$@" \
            >"$T/ask" 2>&1 || status=$?
    if ((status == 0)) && grep -q '^worker=' "$T/ask"; then
        return 0
    fi
    grep -a ':error:' "$T/ask" || head -20 "$T/ask"
    return 1
}

new_session() {
    rm -f "$T/session.$SERVER_PORT.$1"
    ask "$1" -sess_out "$T/session.$SERVER_PORT.$1" &&
        [[ -s $T/session.$SERVER_PORT.$1 ]]
}

# again VERSION: with the session that new_session has made at this port.
again() {
    ask "$1" -sess_in "$T/session.$SERVER_PORT.$1"
}

resumes() {
    again "$1" && grep '^worker=.* reused=r' "$T/ask"
}

falls_back() {
    again "$1" && grep '^worker=.* reused=\.' "$T/ask"
}

# hold: a connection that has made a request and waits; HOLDER is the worker
# that has it. tls_connect's client.
# shellcheck disable=SC2034 # HOLDER is for the scripts that source this
hold() {
    tls_connect "$@" || return 1
    printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&"$TLS_FD"
    until_true 10 grep -q '^worker=' "$TLS_LOG" || return 1
    HOLDER=$(sed -n 's/^worker=\([0-9]*\) .*/\1/p' "$TLS_LOG" | tail -n 1)
}

# ask_held: one more request in the connection of hold.
ask_held() {
    local before
    before=$(grep -c '^worker=' "$TLS_LOG")
    printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&"$TLS_FD"
    until_true 10 answers_more_than "$before"
}

answers_more_than() {
    (($(grep -c '^worker=' "$TLS_LOG") > $1))
}

let_go() {
    stop "$TLS_CLIENT"
    exec {TLS_FD}>&-
}

# shellcheck disable=SC2034 # SERVER_PID is for the command
each_worker() {
    local status=0
    for SERVER_PID in $(workers); do
        "$@" || status=1
    done
    return "$status"
}

resident_kib() {
    awk '$1 == "Rss:" { print $2 }' "/proc/$1/smaps_rollup"
}
