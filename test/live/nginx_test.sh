#!/bin/bash
# An unmodified nginx with protected keys: master and four workers, reloads
# under load, and what a scan or a core dump of a worker shows.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# shellcheck source=test/live/nginx.sh
. "$(dirname "${BASH_SOURCE[0]}")/nginx.sh"
need_tool curl
need_tool gcore
HAMMER=$BUILD/hammer
need_built "$MPKCTL" "$HAMMER"

PASS=correct-horse
WORKERS=4
KEYS=(rsa2048 p256 rsa3072 p384)

# The first server has two certificates, of which the client's signature
# algorithms choose; the second an encrypted key; the third a key file that
# has the certificate in front; the fourth reads both from such a file.
nginx_conf() {
    local dir=$1
    nginx_head "$dir" "$WORKERS"
    cat <<EOF
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;
    server {
        listen 127.0.0.1:$PORT_DUAL ssl;
        ssl_certificate $CERTS/rsa2048.crt;
        ssl_certificate_key $CERTS/rsa2048.key;
        ssl_certificate $CERTS/p256.crt;
        ssl_certificate_key $CERTS/p256.key;
        location / { return 200 "dual\n"; }
    }
    server {
        listen 127.0.0.1:$PORT_ENCRYPTED ssl;
        ssl_certificate $CERTS/rsa3072.crt;
        ssl_certificate_key $T/rsa3072.enc;
        ssl_password_file $T/pass;
        location / { return 200 "encrypted\n"; }
    }
    server {
        listen 127.0.0.1:$PORT_BUNDLE ssl;
        ssl_certificate $CERTS/p384.crt;
        ssl_certificate_key $T/p384.pem;
        location / { return 200 "bundle\n"; }
    }
    server {
        listen 127.0.0.1:$PORT_BOTH ssl;
        ssl_certificate $T/p521.pem;
        ssl_certificate_key $T/p521.pem;
        location / { return 200 "both\n"; }
    }
}
EOF
}

make_files() {
    printf '%s\n' "$PASS" >"$T/pass"
    stock openssl pkey -in "$CERTS/rsa3072.key" -aes256 \
        -passout "pass:$PASS" -out "$T/rsa3072.enc"
    cat "$CERTS/p384.crt" "$CERTS/p384.key" >"$T/p384.pem"
    cat "$CERTS/p521.crt" "$CERTS/p521.key" >"$T/p521.pem"
}

# start_nginx CONF NAME: sets MASTER, DIR and the four ports.
start_nginx() {
    DIR=$T/$2
    mkdir "$DIR"
    pick_port && PORT_DUAL=$PORT
    pick_port && PORT_ENCRYPTED=$PORT
    pick_port && PORT_BUNDLE=$PORT
    pick_port && PORT_BOTH=$PORT
    nginx_conf "$DIR" >"$DIR/nginx.conf"
    nginx_up "$1" "$DIR" "$PORT_DUAL" "$2"
}

# Right after SIGHUP the old workers are still the only ones.
workers_replaced() {
    local pid
    workers
    for pid in $1; do
        [[ " ${CHILDREN[*]} " != *" $pid "* ]] || return 1
    done
    all_workers_up
}

reload() {
    local before
    workers
    before=${CHILDREN[*]}
    nginx -p "$DIR" -e "$DIR/error.log" -c "$DIR/nginx.conf" -s reload &&
        until_true 10 workers_replaced "$before"
}

# ---- requests -------------------------------------------------------------

# requests COUNT PORT BODY CURL-OPTION...: a connection for each, none of them
# resumed, with a look at the chain as well.
requests() {
    local count=$1 port=$2 body=$3
    shift 3
    stock curl -sS --max-time $((10 * PATIENCE)) --cacert "$CERTS/ca.crt" \
        --no-sessionid -H 'Connection: close' -w '%{num_connects}\n' "$@" \
        "https://localhost:$port/?[1-$count]" \
        --resolve "localhost:$port:127.0.0.1" >"$T/answers" &&
        [[ $(grep -cx "$body" "$T/answers") == "$count" ]] &&
        [[ $(grep -cx 1 "$T/answers") == "$count" ]]
}

test_requests() {
    local ecdsa=(--tls-max 1.2 --ciphers ECDHE-ECDSA-AES128-GCM-SHA256)
    local rsa=(--tls-max 1.2 --ciphers ECDHE-RSA-AES128-GCM-SHA256)
    check '25 requests, TLS 1.3' requests 25 "$PORT_DUAL" dual --tlsv1.3
    check '25 requests, TLS 1.2, ECDSA' requests 25 "$PORT_DUAL" dual \
        "${ecdsa[@]}"
    check '25 requests, TLS 1.2, RSA' requests 25 "$PORT_DUAL" dual "${rsa[@]}"
    check '25 requests, encrypted key' requests 25 "$PORT_ENCRYPTED" encrypted
    check '15 requests, key file with the certificate in front' \
        requests 15 "$PORT_BUNDLE" bundle
    check '10 requests, both from one file' requests 10 "$PORT_BOTH" both
    check 'RSA key transport' requests 1 "$PORT_DUAL" dual --tls-max 1.2 \
        --ciphers AES128-GCM-SHA256
}

no_alerts_logged() {
    lacks_match "$DIR/error.log" \
        '\[(warn|error|crit|alert|emerg)\]|exited on signal'
}

# ---- reloads --------------------------------------------------------------

test_reload_under_load() {
    local load i
    launch "$STOCK" "$T/load" "$HAMMER" -gs -p "$PORT_DUAL" -n 1000000 \
        -C "$CERTS/ca.crt"
    load=$LAUNCHED
    for i in 1 2 3; do
        check "load before reload $i" hammer_goes_on "$T/load"
        check "reload $i under load" reload
    done
    check 'load after the reloads' hammer_goes_on "$T/load"
    kill -TERM "$load"
    check 'no request failed during the reloads' wait "$load"
    check 'the load was real' load_was_real "$T/load"
}

load_was_real() {
    cat "$1"
    local made
    made=$(sed -n 's/^handshakes=\([0-9]*\) .*/\1/p' "$1")
    ((made >= 100))
}

rollup() {
    awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/smaps_rollup"
}

# Sets SIZES to: Rss Pss mappings descriptors.
measure_master() {
    SIZES=("$(rollup "$MASTER" Rss)" "$(rollup "$MASTER" Pss)"
        "$(wc -l <"/proc/$MASTER/maps")" "$(find "/proc/$MASTER/fd" \
            -mindepth 1 | wc -l)")
}

# Each reload loads every key anew and frees the old ones. The first reloads
# still grow the heap; from then on nothing may.
test_flat_over_reloads() {
    local i early
    for ((i = 1; i <= 12; i++)); do
        reload || bail "reload $i of 12 failed"
        if ((i == 5)); then
            measure_master
            early=("${SIZES[@]}")
        fi
    done
    measure_master
    printf 'master after %2d reloads: Rss %d kB, Pss %d kB, %d maps, %d fds\n' \
        5 "${early[@]}" 12 "${SIZES[@]}"
    # Pss is only shown: it moves with who else on the machine has the same
    # libraries mapped, by a MiB and more.
    check 'Rss is flat over reloads' \
        at_most 'Rss in kB' "${SIZES[0]}" $((early[0] + 512))
    check 'mappings are flat over reloads' \
        at_most mappings "${SIZES[2]}" $((early[2] + 2))
    check 'descriptors are flat over reloads' \
        at_most descriptors "${SIZES[3]}" "${early[3]}"
}

# ---- memory ---------------------------------------------------------------

KEY_FILES=("${KEYS[@]/#/$CERTS/}")
KEY_FILES=("${KEY_FILES[@]/%/.key}")

test_scan_is_clean() {
    local pid n=0
    workers
    for pid in "${CHILDREN[@]}"; do
        n=$((n + 1))
        claim "worker $n: a scan finds no key" \
            scan_clean --pid "$pid" "${KEY_FILES[@]}"
    done
    claim 'master: a scan finds no key' scan_clean --pid "$MASTER" \
        "${KEY_FILES[@]}"
}

# When libcrypto reads certificates from a file it decodes every block on its
# way, frees the ones of another kind without wiping them, and asks no
# provider. So a key in the file given as ssl_certificate stays in freed heap.
# What of it is at hand when the key is loaded is overwritten, as a rule all: this
# is reported, not claimed. With glibc's help it can be.
report_key_among_certificates() {
    local status=0
    scan_clean --pid "$MASTER" "$CERTS/p521.key" >"$T/scan" || status=$?
    case $status in
    0) echo 'key in the ssl_certificate file: nothing left of it this time' ;;
    1) echo 'key in the ssl_certificate file: libcrypto left copies of it:' ;;
    *) bail 'the scan failed' ;;
    esac
    grep '^  ' "$T/scan" || true
}

WIPE=glibc.malloc.perturb=85:glibc.malloc.tcache_count=0

test_freed_memory_is_overwritten() {
    local pid
    GLIBC_TUNABLES=$WIPE start_nginx "$PROTECTED" wiped
    workers
    for pid in "$MASTER" "${CHILDREN[0]}"; do
        claim 'with glibc overwriting what is freed, nothing of it is left' \
            scan_clean --pid "$pid" "$CERTS/p521.key"
    done
    stop "$MASTER"
}

core_of_worker() {
    workers
    stock gcore -o "$T/core" "${CHILDREN[0]}" &&
        mv "$T/core.${CHILDREN[0]}" "$T/core"
}

test_core_is_clean() {
    check 'core dump of a worker' core_of_worker
    claim 'core dump of a worker: a scan finds no key' \
        scan_clean --core "$T/core" "${KEY_FILES[@]}"
    rm -f "$T/core"
}

# Every key in every worker: a scanner that sees one of them is not enough.
# With the keys' own types; handed on as of another one they would be no concern
# of nginx before the first handshake.
refused_at_start() {
    local dir=$T/refused type=$1
    mkdir -p "$dir"
    conf_protected "$BUILD/mpk.so" | sed 's/^backend = .*/backend = nonsense/' \
        >"$dir/refused.cnf"
    {
        nginx_head "$dir" 1
        echo "server { listen 127.0.0.1:$PORT_DUAL ssl;"
        echo "ssl_certificate $CERTS/$type.crt;"
        echo "ssl_certificate_key $CERTS/$type.key; } }"
    } >"$dir/nginx.conf"
    if OPENSSL_CONF=$dir/refused.cnf nginx -t -p "$dir" -e "$dir/error.log" \
        -c "$dir/nginx.conf" >"$dir/out" 2>&1; then
        cat "$dir/out"
        return 1
    fi
    ! has_match "$dir/out" 'emerg.*use_PrivateKey.*nonsense' || return 0
    cat "$dir/out"
    return 1
}

test_stock_shows_keys() {
    local pid type n=0
    start_nginx "$STOCK" stock
    workers
    for pid in "${CHILDREN[@]}"; do
        n=$((n + 1))
        for type in "${KEYS[@]}"; do
            check "stock worker $n: a scan finds $type" \
                scan_finds --pid "$pid" "$CERTS/$type.key"
        done
    done
    check 'core dump of a stock worker' core_of_worker
    check 'core dump of a stock worker: a scan finds a key' \
        scan_finds --core "$T/core" "$CERTS/p256.key"
    rm -f "$T/core"
    stop "$MASTER"
}

make_files
test_stock_shows_keys
test_freed_memory_is_overwritten
start_nginx "$PROTECTED" protected
test_requests
test_scan_is_clean
report_key_among_certificates
test_reload_under_load
test_flat_over_reloads
test_requests
test_scan_is_clean
test_core_is_clean
check 'nginx logged nothing worse than a notice' no_alerts_logged
check 'nginx ends in order' stop "$MASTER"
for type in "${KEY_TYPES[@]}"; do
    check "$type: nginx -t says why all keys are refused" refused_at_start "$type"
done
finish
