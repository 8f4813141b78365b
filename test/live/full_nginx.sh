# shellcheck shell=bash
# nginx with four workers and the full profile; sourced after lib.sh and
# tls_scan.sh.
#
#   start_nginx CONF [KEY-FILES]   sets MASTER and DIR; KEY-FILES are lines for
#                                  the server with tickets of persistent keys
#   reloads COUNT, no_alerts_logged
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
    FILES=$((FILES + 1))
    DIR=$T/nginx.$FILES
    mkdir -m 755 "$DIR"
    nginx_conf "${2:-}" >"$DIR/nginx.conf"
    nginx_up "$1" "$DIR" "$PORT_TICKETS"
}

# new_workers_up OLD: right after SIGHUP the old ones are the only ones, and
# when they end is their business.
new_workers_up() {
    local pid new=0
    workers
    for pid in "${CHILDREN[@]}"; do
        [[ " $1 " == *" $pid "* ]] || new=$((new + 1))
    done
    ((new == NGINX_WORKERS))
}

# reloads COUNT: and no old worker is there afterwards.
reloads() {
    local i before
    for ((i = 0; i < $1; i++)); do
        workers
        before=${CHILDREN[*]}
        kill -HUP "$MASTER" && until_true 15 new_workers_up "$before" ||
            return 1
    done
    until_true 15 all_workers_up
}

no_alerts_logged() {
    lacks_match "$DIR/error.log" \
        '\[(warn|error|crit|alert|emerg)\]|exited on signal'
}

# ---- requests -------------------------------------------------------------

# To SERVER_PORT; succeeds when the chain verifies and the page arrives.
ask() {
    local version=$1 status=0
    local -x OPENSSL_CONF=$STOCK
    shift
    within $((10 * PATIENCE)) "$T/ask" openssl s_client \
        -ign_eof -connect "127.0.0.1:$SERVER_PORT" "-$version" \
        -CAfile "$CERTS/ca.crt" -verify_return_error "$@" \
        <"$T/request" || status=$?
    if ((status == 0)) && has_line "$T/ask" worker=; then
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
    again "$1" && has_match "$T/ask" '^worker=.* reused=r'
}

falls_back() {
    again "$1" && has_match "$T/ask" '^worker=.* reused=\.'
}

# hold: a connection that has made a request and waits; HOLDER is the worker
# that has it. tls_connect's client.
# shellcheck disable=SC2034 # HOLDER is for the scripts that source this
hold() {
    tls_connect "$@" || return 1
    printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&"$TLS_FD"
    until_true 10 has_line "$TLS_LOG" worker= || return 1
    HOLDER=$(<"$TLS_LOG")
    HOLDER=${HOLDER##*$'\n'worker=}
    HOLDER=${HOLDER%% *}
}

# ask_held: one more request in the connection of hold.
ask_held() {
    local before
    count_answers
    before=$ANSWERS
    printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&"$TLS_FD"
    until_true 10 answers_more_than "$before"
}

# count_answers: sets ANSWERS.
count_answers() {
    local line
    ANSWERS=0
    while read -r line; do
        [[ $line != worker=* ]] || ANSWERS=$((ANSWERS + 1))
    done <"$TLS_LOG"
}

answers_more_than() {
    count_answers
    ((ANSWERS > $1))
}

let_go() {
    stop "$TLS_CLIENT"
    exec {TLS_FD}>&-
}

# shellcheck disable=SC2034 # SERVER_PID is for the command
each_worker() {
    local status=0
    workers
    for SERVER_PID in "${CHILDREN[@]}"; do
        "$@" || status=1
    done
    return "$status"
}

resident_kib() {
    awk '$1 == "Rss:" { print $2 }' "/proc/$1/smaps_rollup"
}
