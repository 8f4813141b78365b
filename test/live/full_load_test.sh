#!/bin/bash
# The full profile in nginx under load: 200 connections at once, full
# handshakes as fast as they come and long ones with many requests. Nothing
# fails, memory stays flat, and a scan finds nothing, of a connection from
# before the load nor of one after it. MPK_TEST_LONG=1 makes it take minutes.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=test/live/tls_scan.sh
. "$(dirname "${BASH_SOURCE[0]}")/tls_scan.sh"
# shellcheck source=test/live/full_nginx.sh
. "$(dirname "${BASH_SOURCE[0]}")/full_nginx.sh"

need_tool wrk
need_tool h2load
need_built "$MPKCTL"
conf_full >"$T/full.cnf" || skip 'this build has no full profile'
CONNECTIONS=200
PERIOD=3
REQUESTS=10000
if [[ ${MPK_TEST_LONG:-0} == 1 ]]; then
    PERIOD=60
    REQUESTS=1000000
fi

# wrk_load ARG...: wrk has no exit status of its own for requests that fail.
wrk_load() {
    stock wrk -t 2 -c "$CONNECTIONS" -d "${PERIOD}s" --timeout 10s "$@" \
        "https://127.0.0.1:$PORT_TICKETS/" >"$T/wrk" 2>&1
    cat "$T/wrk"
    grep -q 'requests in' "$T/wrk" &&
        ! grep -E 'Socket errors|Non-2xx' "$T/wrk"
}

h2_load() {
    stock h2load -t 2 -c "$CONNECTIONS" -n "$REQUESTS" -m 4 \
        "https://127.0.0.1:$PORT_TICKETS/" >"$T/h2load" 2>&1 &&
        grep "$REQUESTS succeeded, 0 failed, 0 errored, 0 timeout" "$T/h2load"
}

# All workers together: which has how much is the kernel's choice.
workers_resident_kib() {
    local pid sum=0
    workers
    for pid in "${CHILDREN[@]}"; do
        sum=$((sum + $(resident_kib "$pid")))
    done
    echo "$sum"
}

# On a slow or busy machine one time is not enough.
full_handshakes() {
    local times n
    FULL_ONES=0
    for times in 1 2 3 4 5; do
        check "$1: full handshakes, one request each, $times" wrk_load \
            -H 'Connection: close'
        n=$(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' "$T/wrk")
        FULL_ONES=$((FULL_ONES + ${n:-0}))
        ((FULL_ONES <= 100)) || break
    done
}

load_once() {
    full_handshakes "$1"
    check "$1: many requests in a connection" wrk_load
    check "$1: HTTP/2" h2_load
}

test_load() {
    local before after
    load_once 'first load'
    before=$(workers_resident_kib)
    load_once 'second load'
    after=$(workers_resident_kib)
    printf '%d full handshakes with %d connections at once; ' "$FULL_ONES" \
        "$CONNECTIONS"
    printf 'workers: %d KiB resident, then %d KiB\n' "$before" "$after"
    check 'the load was real' test "$FULL_ONES" -gt 100
    check 'memory is flat' at_most 'growth in KiB' $((after - before)) 4096
}

start_nginx "$T/full.cnf"
SERVER_PORT=$PORT_TICKETS
check 'a connection stays open' hold tls1_3
test_load
check 'it is still there' ask_held
claim 'no worker has a secret of it' each_worker tls_scan nothing
let_go
for version in tls1_3 tls1_2; do
    check "$version: a connection after the load" hold "$version"
    claim "$version: no worker has a secret of that" each_worker tls_scan \
        nothing
    let_go
done
check 'nginx logged nothing worse than a notice' no_alerts_logged
check 'nginx ends in order' stop "$MASTER"
finish
