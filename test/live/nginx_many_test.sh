#!/bin/bash
# nginx with many names, each with a server block, a certificate and a private
# key of its own, and a page group for each key (key-isolation = per-key). The
# master loads the keys, and the workers, which are forked from it, use them in
# random order, as SNI says.
#
# MPK_TEST_NAMES is how many names there are (500).

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# shellcheck source=test/live/nginx.sh
. "$(dirname "${BASH_SOURCE[0]}")/nginx.sh"
need_tool curl
need_built "$MPKCTL" "$BUILD/many_keys"

NAMES=${MPK_TEST_NAMES:-500}
REQUESTS=200 # of each of two clients
WORKERS=2

per_key_conf() {
    if [[ $CONTROL == 1 ]]; then
        cat "$PROTECTED"
    else
        sed 's/^backend = .*/&\nkey-isolation = per-key/' "$PROTECTED"
    fi
}

make_keys() {
    mkdir "$T/keys"
    stock "$BUILD/many_keys" "$T/keys" "$NAMES" || bail 'no keys'
}

server_blocks() {
    local i
    for ((i = 0; i < NAMES; i++)); do
        echo "    server {
        listen 127.0.0.1:$PORT ssl;
        server_name n$i.test;
        ssl_certificate $T/keys/$i.crt;
        ssl_certificate_key $T/keys/$i.key;"
        printf '        return 200 "n%d\\n";\n    }\n' "$i"
    done
}

nginx_conf() {
    local dir=$1
    nginx_head "$dir" "$WORKERS"
    cat <<EOF
    server_names_hash_max_size 4096;
    ssl_session_cache off;
    ssl_session_tickets off;
    keepalive_timeout 0;
$(server_blocks)
}
EOF
}

start_nginx() {
    DIR=$T/$2
    mkdir "$DIR"
    pick_port
    nginx_conf "$DIR" >"$DIR/nginx.conf"
    launch "$1" "$DIR/out" nginx -p "$DIR" -e "$DIR/error.log" \
        -c "$DIR/nginx.conf"
    MASTER=$LAUNCHED
    if ! until_true 60 workers_up_or_dead || ! alive "$MASTER"; then
        cat "$DIR/out" "$DIR/error.log"
        bail "nginx ($2) does not start"
    fi
}

# They are there when the master has loaded the keys.
workers_up_or_dead() {
    children_of "$MASTER"
    ((${#CHILDREN[@]} == WORKERS)) || ! alive "$MASTER"
}

# ---- requests --------------------------------------------------------------

# Names at random, and a connection for each. Writes them to $T/names, and what
# curl is to do to $T/curl.conf.
draw_names() {
    local i n
    printf 'cacert = "%s"\nconnect-to = "::127.0.0.1:%s"\nsilent\n' \
        "$T/keys/ca.crt" "$PORT" >"$T/curl.head"
    printf 'show-error\nmax-time = %d\n' $((30 * PATIENCE)) >>"$T/curl.head"
    for ((i = 0; i < REQUESTS; i++)); do
        n=$(((RANDOM * 32768 + RANDOM) % NAMES))
        echo "n$n"
    done >"$T/names"
    sed 's/.*/url = "https:\/\/&.test:'"$PORT"'\/"/' "$T/names" >"$T/urls"
}

# ask URLS ANSWERS: curl wants the certificate of each name.
ask() {
    cat "$T/curl.head" "$1" >"$1.conf"
    OPENSSL_CONF=$STOCK timeout $((120 * PATIENCE)) curl -K "$1.conf" >"$2"
}

# Two clients at a time, with the same names in opposite order.
every_answer_is_right() {
    local other
    tac "$T/urls" >"$T/urls.back"
    ask "$T/urls.back" "$T/got.back" &
    other=$!
    ask "$T/urls" "$T/got"
    wait "$other"
    same_file "$T/got" "$T/names"
    same_file <(tac "$T/got.back") "$T/names"
}

resident() {
    awk '$1 == "Rss:" { print $2 }' "/proc/$1/smaps_rollup"
}

four_keys() {
    local i
    for i in 0 1 2 $((NAMES - 1)); do
        echo "$T/keys/$i.key"
    done
}

scan_all() {
    local pid files
    mapfile -t files < <(four_keys)
    children_of "$MASTER"
    for pid in "$MASTER" "${CHILDREN[@]}"; do
        "$@" "process $pid" --pid "$pid" "${files[@]}"
    done
}

is_clean() {
    local who=$1
    shift
    claim "$who: a scan finds none of four keys" scan_clean "$@"
}

is_not_clean() {
    local who=$1
    shift
    check "stock, $who: a scan finds keys" scan_finds "$@"
}

no_alerts_logged() {
    lacks_match "$DIR/error.log" \
        '\[(warn|error|crit|alert|emerg)\]|exited on signal'
}

make_keys
per_key_conf >"$T/per-key.cnf"
printf '%d keys made after %d s\n' "$NAMES" $((SECONDS - STARTED_AT))

start_nginx "$STOCK" stock
STOCK_RESIDENT=$(resident "$MASTER")
scan_all is_not_clean
stop "$MASTER"

start_nginx "$T/per-key.cnf" protected
PROTECTED_RESIDENT=$(resident "$MASTER")
printf 'master: %d kB resident, stock %d kB: %d kB more for each key\n' \
    "$PROTECTED_RESIDENT" "$STOCK_RESIDENT" \
    $(((PROTECTED_RESIDENT - STOCK_RESIDENT) / NAMES))
draw_names
check "$REQUESTS names at random, twice: every answer is right" \
    every_answer_is_right
scan_all is_clean
check 'nginx logged nothing worse than a notice' no_alerts_logged
check 'nginx ends in order' stop "$MASTER"
printf 'done after %d s\n' $((SECONDS - STARTED_AT))
finish
