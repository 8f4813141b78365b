#!/bin/bash
# What the profiles cost a real server: CPU time of an nginx worker, for each
# request, beside that of a stock one.
#
#   bench/server.sh [-r ROUNDS] [-s SECONDS] [-c COLUMN]... [-C CASE]... [-o FILE]
#
# Each column is an nginx of its own with one worker; all of them are up all the
# time, and each in turn, in an order that is drawn anew in each round, gets
# SECONDS of load from wrk. What counts is the worker's time on a CPU, its
# system calls included, by /proc/PID/schedstat, divided by the requests that
# wrk got answered: the client costs more than the server and is not in it.
# CSV to standard output, or FILE, as docs/benchmarks.md describes it, progress
# to standard error.
#
# Columns: stock; keys, full (backend mpk); keys-none, full-none,
# keys-mprotect, full-mprotect. By default stock and, with protection keys,
# keys and full, without keys-none and full-none.

set -euo pipefail

usage() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

ROUNDS=9
PERIOD=2
ASKED=()
CASES=()
while getopts r:s:c:C:o: option; do
    case $option in
    r) ROUNDS=$OPTARG ;;
    s) PERIOD=$OPTARG ;;
    c) ASKED+=("$OPTARG") ;;
    C) CASES+=("$OPTARG") ;;
    o) exec >"$OPTARG" ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
(($# == 0)) || usage

# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../test/live/lib.sh" >&2
# shellcheck source=test/live/nginx.sh
. "$ROOT/test/live/nginx.sh"
need_tool wrk
need_built "$BUILD/mpk.so"

((${#CASES[@]} > 0)) || CASES=(tls13-full tls12-full request download)
if ((${#ASKED[@]} == 0)); then
    ASKED=(keys-none full-none)
    ! cpu_has_pku || ASKED=(keys full)
fi
# Not COLUMNS, which bash sets to a terminal's width.
SHOWN=(stock)
for column in "${ASKED[@]}"; do
    [[ $column == stock ]] || SHOWN+=("$column")
done

# ---- the servers ----------------------------------------------------------

# conf_of COLUMN: writes its OpenSSL configuration, and prints where that is.
conf_of() {
    local profile=$BUILD/mpk-keys.cnf backend=${1#*-} conf=$T/$1.cnf
    case $1 in
    stock)
        echo "$STOCK"
        return
        ;;
    full | full-*) profile=$BUILD/mpk.cnf ;;
    keys | keys-*) ;;
    *) bail "no such column: $1" ;;
    esac
    [[ $1 == *-* ]] || backend=mpk
    sed "s/^#* *backend = mpk.*/backend = $backend/" "$profile" >"$conf"
    echo "$conf"
}

nginx_conf() {
    nginx_head "$1" 1
    cat <<EOC
    keepalive_requests 10000000;
    ssl_certificate $CERTS/p256.crt;
    ssl_certificate_key $CERTS/p256.key;
    ssl_session_tickets off;
    server {
        listen 127.0.0.1:$2 ssl;
        ssl_protocols TLSv1.3;
        location / { return 200 "$(head -c 1000 /dev/zero | tr '\0' x)\n"; }
        location /file { alias $T/file; }
    }
    server {
        listen 127.0.0.1:$3 ssl;
        ssl_protocols TLSv1.2;
        location / { return 200 "ok\n"; }
    }
}
EOC
}

declare -A WORKER PORT13 PORT12

# Two CPUs of a virtual machine may differ: all workers are on one, and the
# client on another.
ON_SERVER_CPU=
(($(nproc) < 2)) || ON_SERVER_CPU=1

start_column() {
    local conf
    DIR=$T/nginx-$1
    mkdir "$DIR"
    pick_port && PORT13[$1]=$PORT
    pick_port && PORT12[$1]=$PORT
    nginx_conf "$DIR" "${PORT13[$1]}" "${PORT12[$1]}" >"$DIR/nginx.conf"
    conf=$(conf_of "$1")
    nginx_up "$conf" "$DIR" "${PORT13[$1]}" "$1"
    workers
    WORKER[$1]=${CHILDREN[0]}
    [[ -z $ON_SERVER_CPU ]] ||
        taskset -p -c "$ON_SERVER_CPU" "${WORKER[$1]}" >&2
}

# ---- the load -------------------------------------------------------------

cpu_ns() {
    cut -d ' ' -f 1 "/proc/$1/schedstat"
}

# load CASE COLUMN: prints how many requests were answered.
load() {
    local port=${PORT13[$2]} path=/ options=(-c 8)
    case $1 in
    tls13-full) options+=(-H 'Connection: close') ;;
    tls12-full)
        port=${PORT12[$2]}
        options+=(-H 'Connection: close')
        ;;
    request) ;;
    download) path=/file ;;
    *) bail "no such case: $1" ;;
    esac
    OPENSSL_CONF=$STOCK ${ON_SERVER_CPU:+taskset -c 0} \
        wrk -t 1 -d "${PERIOD}s" "${options[@]}" \
        "https://127.0.0.1:$port$path" >"$T/wrk" 2>&1
    ! grep -E 'Socket errors|Non-2xx' "$T/wrk" >&2 || bail "$1, $2: see above"
    sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' "$T/wrk"
}

# measure CASE COLUMN ROUND: a line of samples.
measure() {
    local before after requests
    before=$(cpu_ns "${WORKER[$2]}")
    requests=$(load "$1" "$2")
    after=$(cpu_ns "${WORKER[$2]}")
    ((${requests:-0} > 0)) ||
        bail "$1, $2: nothing was answered in $PERIOD s; take longer (-s)"
    echo "$1 $2 $3 $requests $(((after - before) / requests))"
}

# ---- figures --------------------------------------------------------------

# Median and quartiles of each column's ratio to stock of the same round.
figures_of() {
    awk -v kase="$1" -v column="$2" -v rounds="$ROUNDS" '
        function sort(a, n, i, j, x) {
            for (i = 2; i <= n; i++) {
                x = a[i]
                for (j = i - 1; j >= 1 && a[j] > x; j--) a[j + 1] = a[j]
                a[j + 1] = x
            }
        }
        function at(a, n, q, i) {
            i = 1 + q * (n - 1)
            return a[int(i)] + (i - int(i)) * (a[int(i) + (int(i) < n)] - a[int(i)])
        }
        $1 == kase && $2 == "stock" { stock[$3] = $5 }
        $1 == kase && $2 == column { mine[$3] = $5; ops[$3] = $4 }
        END {
            for (r = 1; r <= rounds; r++) {
                ns[r] = mine[r]; n_ops[r] = ops[r]; base[r] = stock[r]
                ratio[r] = stock[r] / mine[r]
            }
            sort(ns, rounds); sort(n_ops, rounds); sort(base, rounds)
            sort(ratio, rounds)
            printf "server,%s,%s,%d,%d,%d,%.4f,%.4f,%.4f,%.4f,\"\"\n", kase,
                column, rounds, at(n_ops, rounds, 0.5), at(ns, rounds, 0.5),
                at(ratio, rounds, 0.5), at(ratio, rounds, 0.25),
                at(ratio, rounds, 0.75), base[1] / ns[1]
        }' "$T/samples"
}

head_lines() {
    echo "# machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)," \
        "$(nproc) CPUs"
    echo "# kernel: $(uname -r)"
    echo "# server: nginx/${1##*/}, $(openssl version), one worker"
    echo "# load: $(cut -d ' ' -f 1-3 /proc/loadavg)"
    echo "bench,case,column,rounds,ops,cpu_ns,ratio,ratio_q1,ratio_q3,ratio_best,note"
}

head -c 1048576 /dev/zero >"$T/file"
for column in "${SHOWN[@]}"; do
    start_column "$column"
done
head_lines "$(nginx -v 2>&1)"
: >"$T/samples"
for case in "${CASES[@]}"; do
    for ((round = 0; round <= ROUNDS; round++)); do
        for column in $(shuf -e "${SHOWN[@]}"); do
            # The round that warms everything up is number 0 and not counted.
            measure "$case" "$column" "$round" >>"$T/samples"
        done
        printf '\r%s: round %d of %d ' "$case" "$round" "$ROUNDS" >&2
    done
    printf '\r%40s\r' '' >&2
    for column in "${SHOWN[@]}"; do
        figures_of "$case" "$column"
    done
done
