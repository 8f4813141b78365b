#!/bin/bash
# The full profile in an unmodified nginx with four workers: sessions resume in
# any worker, over a reload and over a restart as far as their keys live, and
# no worker has a secret, during a handshake, in a connection, or after it.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=test/live/tls_scan.sh
. "$(dirname "${BASH_SOURCE[0]}")/tls_scan.sh"
# shellcheck source=test/live/full_nginx.sh
. "$(dirname "${BASH_SOURCE[0]}")/full_nginx.sh"

need_tool curl
need_tool gcore
STALL=$BUILD/stall
need_built "$MPKCTL" "$STALL"
FULL=$T/full.cnf
conf_full >"$FULL" || skip 'this build has no full profile'
VERSIONS=(tls1_3 tls1_2)

make_files() {
    head -c 1048576 /dev/urandom >"$T/file"
    head -c 80 /dev/urandom >"$T/ticket.key"
    chmod 644 "$T/file"
    TICKET_KEY="ssl_session_ticket_key $T/ticket.key;"
    "$MPKCTL" handle-key "$T/handle.key" >"$T/log" || bail 'no handle key'
    sed "/^role = tls/a handle-key-file = $T/handle.key" "$FULL" \
        >"$T/fleet.cnf"
}

# ---- resumption -----------------------------------------------------------

# Who answers is the kernel's choice.
resumes_in_two_workers() {
    local i first=
    for ((i = 0; i < 20; i++)); do
        resumes "$1" || return 1
        has_match "$T/ask" '^worker=[0-9]+'
        first=${first:-${BASH_REMATCH[0]}}
        [[ ${BASH_REMATCH[0]} == "$first" ]] || return 0
    done
    return 1
}

test_resumption() {
    local version
    for SERVER_PORT in "$PORT_TICKETS" "$PORT_CACHE"; do
        HOW=tickets
        ((SERVER_PORT == PORT_TICKETS)) || HOW='shared cache'
        for version in "${VERSIONS[@]}"; do
            check "$version, $HOW: a session" new_session "$version"
            # A session of TLS 1.3 from the cache is used up.
            if [[ $version == tls1_3 && $HOW == 'shared cache' ]]; then
                check "$version, $HOW: resumes" resumes "$version"
                check "$version, $HOW: a session" new_session "$version"
            else
                check "$version, $HOW: resumes in two workers" \
                    resumes_in_two_workers "$version"
            fi
        done
    done
}

# Ticket keys that nginx makes are new ones then; the cache is kept.
test_reload() {
    local version
    check 'a reload' reloads 1
    for version in "${VERSIONS[@]}"; do
        SERVER_PORT=$PORT_TICKETS
        check "$version, tickets: a reload is no failure" falls_back "$version"
        SERVER_PORT=$PORT_CACHE
        check "$version, shared cache: a reload is no failure" again "$version"
    done
}

sessions_of_all() {
    local version
    for SERVER_PORT in "$PORT_TICKETS" "$PORT_CACHE" "$PORT_FILE"; do
        for version in "${VERSIONS[@]}"; do
            new_session "$version" || return 1
        done
    done
}

# restart CONF: what can be resumed afterwards is the caller's question.
restart() {
    check 'sessions before a restart' sessions_of_all
    check 'nginx ends in order' stop "$MASTER"
    start_nginx "$1" "$TICKET_KEY"
}

fall_back_without_persistent_keys() {
    local version
    for version in "${VERSIONS[@]}"; do
        SERVER_PORT=$PORT_TICKETS
        check "$version, restart, tickets: falls back" falls_back "$version"
        SERVER_PORT=$PORT_CACHE
        check "$version, restart, cache: falls back" falls_back "$version"
    done
    SERVER_PORT=$PORT_FILE
}

# docs/configuration.md, "When is a handle key file needed?"
test_restart_with_ticket_keys_only() {
    local version
    restart "$FULL"
    fall_back_without_persistent_keys
    for version in "${VERSIONS[@]}"; do
        claim "$version, restart, ticket keys only: the handshake fails" \
            refuses_saying 'alert|bad record mac' again "$version"
        check "$version, restart, ticket keys only: works without a session" \
            ask "$version"
    done
}

test_restart_with_both_keys() {
    local version conf=$T/fleet.cnf
    check 'nginx ends in order' stop "$MASTER"
    start_nginx "$conf" "$TICKET_KEY"
    restart "$conf"
    fall_back_without_persistent_keys
    for version in "${VERSIONS[@]}"; do
        check "$version, restart, both key files: resumes" resumes "$version"
    done
}

# ---- data -----------------------------------------------------------------

# nginx keeps what it was sent in a file.
there_and_back() {
    local request=(curl -sS --max-time 30 --http1.1 --cacert "$CERTS/ca.crt"
        --resolve "localhost:$PORT_TICKETS:127.0.0.1" "$@")
    rm -f "$DIR"/body/*
    [[ $(stock "${request[@]}" --data-binary "@$T/file" \
        "https://localhost:$PORT_TICKETS/upload") == stored ]] &&
        cmp "$DIR"/body/* "$T/file" &&
        stock "${request[@]}" -o "$T/back" \
            "https://localhost:$PORT_TICKETS/file" &&
        cmp "$T/back" "$T/file"
}

test_early_data() {
    SERVER_PORT=$PORT_TICKETS
    printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >"$T/early"
    check '0-RTT: a session' new_session tls1_3
    check '0-RTT: a connection stays open' tls_connect tls1_3 \
        -sess_in "$T/session.$SERVER_PORT.tls1_3" -early_data "$T/early"
    # Whether nginx still calls it early when it answers is a race.
    check '0-RTT: the request is answered' until_true 10 \
        has_match "$TLS_LOG" '^worker=.* reused=r'
    check '0-RTT: and accepted' until_true 10 \
        has_match "$TLS_LOG" 'Early data was accepted'
    claim '0-RTT: no worker has a secret' each_worker tls_scan nothing
    let_go
}

# ---- memory ---------------------------------------------------------------

core_of_holder() {
    stock gcore -o "$T/core" "$HOLDER" && mv "$T/core.$HOLDER" "$T/core"
}

core_scan() {
    "$MPKCTL" scan --core "$T/core" --key "$TLS_KEY" --keylog "$TLS_KEYLOG" \
        --session "$TLS_SESSION"
}

core_shows_secrets() {
    local status=0
    core_scan >"$T/scan" || status=$?
    show "$T/scan"
    ((status == 1)) && has_match "$T/scan" 'TRAFFIC_SECRET_0|master secret'
}

some_worker_shows() {
    workers
    for SERVER_PID in "${CHILDREN[@]}"; do
        ! tls_scan found "$@" || return 0
    done
    return 1
}

# stalled VERSION: a connection in the middle of its handshake.
stalled() {
    open_input
    TLS_FD=$INPUT_FD
    new_file keylog && TLS_KEYLOG=$NEW_FILE
    TLS_SESSION=/dev/null
    new_file stall && TLS_LOG=$NEW_FILE
    LAUNCH_STDIN=$INPUT launch "$STOCK" "$TLS_LOG" "$STALL" \
        -p "$SERVER_PORT" -t "1.${1#tls1_}" -k "$TLS_KEYLOG"
    TLS_CLIENT=$LAUNCHED
    until_true 10 has_match "$TLS_LOG" stalled
}

test_stock_shows_secrets() {
    local version labels
    start_nginx "$STOCK"
    SERVER_PORT=$PORT_TICKETS
    check 'stock: a handshake stops half way' stalled tls1_3
    check 'stock: its secrets are found in a worker' some_worker_shows \
        'CLIENT_HANDSHAKE_TRAFFIC_SECRET' 'SERVER_TRAFFIC_SECRET_0'
    let_go
    for version in "${VERSIONS[@]}"; do
        labels=('SERVER_TRAFFIC_SECRET_0' 'AES-256 key +AES schedule')
        [[ $version == tls1_3 ]] || labels=('master secret')
        check "stock, $version: a connection stays open" hold "$version"
        check "stock, $version: secrets are found in a worker" \
            some_worker_shows "${labels[@]}"
        check "stock, $version: a core dump" core_of_holder
        check "stock, $version: secrets are found in it" core_shows_secrets
        let_go
    done
    stop "$MASTER"
}

test_scan() {
    local version
    SERVER_PORT=$PORT_TICKETS
    for version in "${VERSIONS[@]}"; do
        check "$version: a handshake stops half way" stalled "$version"
        claim "$version: no worker has a secret meanwhile" \
            each_worker tls_scan nothing
        let_go
        check "$version: a connection stays open" hold "$version"
        claim "$version: no worker has a secret" each_worker tls_scan nothing
        check "$version: a core dump" core_of_holder
        claim "$version: no secret is in it" core_scan
        let_go
        claim "$version: nor in a worker after the close" \
            each_worker tls_scan nothing
    done
    rm -f "$T/core"
}

# The first reloads still grow the heap.
test_flat_over_reloads() {
    local early now
    check '5 reloads' reloads 5
    early=$(resident_kib "$MASTER")
    check '7 more reloads' reloads 7
    now=$(resident_kib "$MASTER")
    printf 'master after 5 reloads: %d KiB resident, 12: %d KiB\n' \
        "$early" "$now"
    check 'memory is flat over reloads' at_most 'growth in KiB' \
        $((now - early)) 480
}

make_files
test_stock_shows_secrets
start_nginx "$FULL" "$TICKET_KEY"
test_resumption
test_reload
check '1 MiB there and back, TLS 1.3' there_and_back --tlsv1.3
check '1 MiB there and back, TLS 1.2' there_and_back --tls-max 1.2
test_early_data
test_scan
test_flat_over_reloads
check 'nginx logged nothing worse than a notice' no_alerts_logged
test_restart_with_ticket_keys_only
test_restart_with_both_keys
check 'nginx ends in order' stop "$MASTER"
finish
