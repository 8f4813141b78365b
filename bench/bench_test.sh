#!/bin/bash
# Each benchmark, with few rounds: the baseline has figures for every
# case, a column without figures says why, and the CSV is one. No time is
# looked at: what a machine under load measures in two rounds says nothing.
# Usage: bench_test.sh BUILD-DIR
set -euo pipefail

BUILD=${1:?usage: bench_test.sh BUILD-DIR}
PLOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/plot.sh

export LC_ALL=C
T=$(mktemp -d "${TMPDIR:-/tmp}/mpk-bench-test.XXXXXX")
trap 'rm -rf "$T"' EXIT
# shellcheck source=../test/unit/claims.sh
. "${PLOT%/*}/../test/unit/claims.sh"

# Of the lines that are no comments: the header once, then rows with as many
# fields; figures are numbers, or all of a row "n/a" with a note.
is_csv() {
    awk -F, '
        /^#/ { next }
        !fields {
            fields = NF
            if ($1 != "bench" || $NF != "note" || NF < 10) bad("no header")
            next
        }
        NF < fields { bad("too few fields") }
        {
            rows++
            for (i = 4; i < fields; i++) {
                if ($4 == "n/a" && $i != "n/a") bad("a number without a run")
                if ($4 != "n/a" && $i !~ /^[0-9.]+$/ &&
                    !(i == fields - 1 && $i == "n/a")) bad("no number: " $i)
            }
            if ($4 == "n/a" && $fields == "\"\"") bad("n/a without a reason")
        }
        function bad(why) { print why ": " $0; failed = 1 }
        END { exit failed || rows == 0 }' "$1"
}

names_the_machine() {
    local what
    for what in machine kernel 'libcrypto outside' 'libcrypto inside'; do
        grep -q "^# $what: ." "$1" || { echo "no $what" && return 1; }
    done
}

# has_figures CSV COLUMN N: N cases have figures above zero in this column.
has_figures() {
    awk -F, -v column="$2" -v want="$3" '
        $3 == column && $4 + 0 > 0 && $6 + 0 > 0 && $10 + 0 > 0 { n++ }
        $3 == column { print }
        END { exit n + 0 != want + 0 }' "$1"
}

# run_one NAME CASES ARG...: CASES cases of it, picked by ARG.
run_one() {
    local name=$1 cases=$2 csv=$T/$1.csv
    shift 2
    claim "$name runs" "$BUILD/bench/$name" --rounds 2 --batch-ms 1 \
        --csv "$csv" "$@"
    claim "$name writes CSV" is_csv "$csv"
    claim "$name says what it ran on" names_the_machine "$csv"
    claim "$name has stock figures for $cases cases" \
        has_figures "$csv" stock "$cases"
}

# The module was really in the way of its columns: none needs no special CPU.
has_protected_figures() {
    claim "$1 has figures of keys-none" has_figures "$T/$1.csv" keys-none "$2"
}

# crosses CSV COLUMN LEAST MOST: so often the gate is entered for one operation,
# in each case of this column. To look takes one more, for a batch.
crosses() {
    awk -F, -v column="$2" -v least="$3" -v most="$4" '
        $3 == column && $4 + 0 > 0 {
            rows++
            if ($(NF - 1) == "n/a" || $(NF - 1) < least - 0.005 ||
                $(NF - 1) > most + 1 / $5 + 0.005) {
                print
                wrong = 1
            }
        }
        END { exit wrong || rows == 0 }' "$1"
}

# with_crossings N CSV OUT: a copy with this number in place of its own.
with_crossings() {
    awk -F, -v OFS=, -v n="$1" '/^[a-z]/ && $4 + 0 > 0 { $(NF - 1) = n }
        { print }' "$2" >"$3"
}

# The other end shares no code with the measured one: its object takes no OpenSSL
# from the process, and gives it none.
has_own_openssl() {
    ! readelf -d "$1" | grep 'NEEDED.*lib\(ssl\|crypto\)' &&
        ! nm -D "$1" | grep ' U \(SSL\|TLS\|EVP\|BIO\|ERR\|OPENSSL\)_' &&
        ! nm -D --defined-only "$1" | grep -v ' T peer_'
}

claim 'the other end has an OpenSSL of its own' has_own_openssl \
    "$BUILD/bench/peer.so"
claim 'noticed: one with the OpenSSL of the process' \
    not has_own_openssl "$BUILD/bench/handshake"
# With OpenSSL 3.5, ML-DSA-65 and three with X25519MLKEM768 as well.
KEYOPS=29
HANDSHAKES=17
if openssl list -tls-groups 2>/dev/null | grep -q X25519MLKEM768; then
    KEYOPS=30
    HANDSHAKES=20
fi
run_one keyop "$KEYOPS"
has_protected_figures keyop "$KEYOPS"
run_one handshake "$HANDSHAKES" --case 'tls1?-full-p256-*' --case 'tls1?-resumed-p256*' \
    --case 'tls1?-full-rsa2048-x25519' --case 'tls13-full-ed25519-x25519' \
    --case 'client-*' --case 'mutual-*'
has_protected_figures handshake "$HANDSHAKES"
claim 'a handshake enters the gate 45 times at most' \
    crosses "$T/handshake.csv" full-none 2 45
run_one record 12 --case '*-16k-*'
claim 'a record enters it once' crosses "$T/record.csv" full-none 1 1
with_crossings 47 "$T/handshake.csv" "$T/bad.csv"
claim 'noticed: 46 for a handshake' not crosses "$T/bad.csv" full-none 2 45
with_crossings n/a "$T/handshake.csv" "$T/bad.csv"
claim 'noticed: no number' not crosses "$T/bad.csv" full-none 2 45
with_crossings 2 "$T/record.csv" "$T/bad.csv"
claim 'noticed: two for a record' not crosses "$T/bad.csv" full-none 1 1

claim 'keyop fails for a column that there is not' \
    not "$BUILD/bench/keyop" --rounds 2 --batch-ms 1 --case p256-sign \
    --column keys-non

# Several keys, and a page group for each.
claim 'keyop runs with many keys' "$BUILD/bench/keyop" --rounds 2 \
    --batch-ms 1 --case p256-sign --case p256-derive --keys 1 --keys 7 \
    --column 'perkey*' --csv "$T/keys.csv"
claim 'handshake fails for a case that needs one key' \
    not "$BUILD/bench/handshake" --rounds 2 --batch-ms 1 --keys 7 \
    --case 'tls13-*-p256-x25519' --column perkey-none --csv "$T/many.csv"
claim 'keyop has figures of stock for both numbers of keys' \
    has_figures "$T/keys.csv" stock 4
claim 'and of a group for each key' has_figures "$T/keys.csv" perkey-none 4
claim 'handshake has them for full handshakes' \
    has_figures "$T/many.csv" perkey-none 1
claim 'and says that a resumption uses no key' \
    grep -q 'resumed.*perkey-none.*uses no key' "$T/many.csv"

# run_rows NAME BASELINE CASES PROGRAM ARG...: those without columns of OpenSSL.
run_rows() {
    local name=$1 baseline=$2 cases=$3 csv=$T/$1.csv
    shift 3
    claim "$name runs" "$@" --rounds 2 --csv "$csv"
    claim "$name writes CSV" is_csv "$csv"
    claim "$name says what it ran on" grep -q '^# machine: .' "$csv"
    claim "$name has figures of $baseline for $cases cases" \
        has_figures "$csv" "$baseline" "$cases"
}

run_rows gate getppid 1 "$BUILD/bench/gate" none
claim 'gate has figures of an entry' has_figures "$T/gate.csv" gate_stack 1
claim 'gate prints ticks when it is asked for no CSV' "$BUILD/bench/gate" none
cp "$T/out" "$T/ticks.csv"
claim 'and has them' grep -c '^gate_.*,[1-9]' "$T/ticks.csv"

STORE=(--mib 8 --batch-ms 5)
run_rows store none 2 "$BUILD/bench/store/bench_store" "${STORE[@]}"
claim 'store fails for a case that there is not' \
    not "$BUILD/bench/store/bench_store" --case socket --rounds 2
claim 'store has figures of mprotect' has_figures "$T/store.csv" mprotect 2
run_rows store_played none 2 "$BUILD/bench/store/bench_store_played" \
    "${STORE[@]}"
claim 'store has figures of begin and end on played keys' \
    has_figures "$T/store_played.csv" begin-end-played 2
run_rows vkeys bare 4 "$BUILD/bench/vkeys/bench_vkeys" --batch-ms 0.1 \
    --case 'mprotect-1*p-2t' # 1, 10, 100 and 1000 pages
# One for the rights that are there already is too cheap. Seen to fail with one
# memory of the rights for both ways, and odd numbers of calls.
changes_rights_each_time() {
    strace -f -o "$T/strace" -e trace=mprotect "$BUILD/bench/vkeys/bench_vkeys" \
        --batch-ms 0.2 --rounds 9 --case mprotect-10p-2t || return 1
    awk -F'[(,]' '$3 == " 40960" {
            calls++
            if (rights[$2] == $4) same++
            rights[$2] = $4
        }
        END {
            print calls + 0, "calls,", same + 0, "for the same rights"
            exit same || calls < 50
        }' "$T/strace"
}
if command -v strace >/dev/null; then
    claim 'vkeys: each call changes rights' changes_rights_each_time
else
    echo 'SKIP: no strace'
fi
if command -v luajit >/dev/null; then
    run_rows jit none 9 "$BUILD/bench/jit/bench_jit" --size 5
    claim 'jit has figures of mprotect' has_figures "$T/jit.csv" mprotect 9
else
    echo 'SKIP: no luajit'
fi

# A server that a client talks to.
if command -v wrk >/dev/null && PATH=$PATH:/usr/sbin command -v nginx >/dev/null
then
    claim 'server runs' env MPK_TEST_BUILD="$BUILD" "${PLOT%/*}/server.sh" -r 1 \
        -s 1 -C tls13-full -c keys-none -o "$T/server.csv"
    claim 'server writes CSV' is_csv "$T/server.csv"
    claim 'server has figures of stock' has_figures "$T/server.csv" stock 1
    claim 'server has figures of keys-none' \
        has_figures "$T/server.csv" keys-none 1
else
    echo 'SKIP: no nginx or no wrk'
fi

claim 'CSV goes to standard output unasked' \
    "$BUILD/bench/keyop" --rounds 1 --batch-ms 1 --case p256-sign
cp "$T/out" "$T/stdout.csv"
claim 'and is CSV there, too' is_csv "$T/stdout.csv"

# Where the keys are meanwhile. Seen to fail with whole paths in what is said to
# a column's process, and in room for 40 characters of it.
AWAY="$T/with a space/$(printf 'long%.0s' {1..50})"
mkdir -p "$AWAY"
claim 'a temporary directory may be anywhere' env -C "$T" TMPDIR="$AWAY" \
    "$BUILD/bench/keyop" --rounds 1 --batch-ms 1 --case p256-sign \
    --csv away.csv
claim 'and gives figures' has_figures "$T/away.csv" keys-none 1
claim 'and is left as it was' rmdir "$AWAY"

# ends_by SIGNAL: a benchmark does, once it has keys. Seen to fail, with the keys
# left behind, when it takes no note of the signal.
ends_by() {
    local pid status=0 i
    mkdir "$T/ended"
    TMPDIR=$T/ended env --default-signal=INT "$BUILD/bench/keyop" \
        --rounds 100000 --case p256-sign --csv "$T/ended.csv" &
    pid=$!
    for ((i = 0; i < 300; i++)); do
        [[ ! -s $(echo "$T/ended/"*/*.pem) ]] || break
        sleep 0.1
    done
    kill -s "$1" "$pid"
    wait "$pid" || status=$?
    ls -AR "$T/ended"
    echo "status $status"
    ((i < 300 && status == 128 + $(kill -l "$1"))) && rmdir "$T/ended"
}
for signal in INT TERM; do
    claim "SIG$signal ends a benchmark, and its keys" ends_by "$signal"
done

# A module that is not there must not become a figure.
claim 'a benchmark without the module still runs' "$BUILD/bench/keyop" \
    --rounds 1 --batch-ms 1 --case p256-sign --module "$T/missing.so" \
    --csv "$T/missing.csv"
claim 'no protected column has figures without the module' \
    has_figures "$T/missing.csv" keys-none 0
claim 'stock has them' has_figures "$T/missing.csv" stock 1

claim 'an unknown case is an error' \
    not "$BUILD/bench/keyop" --rounds 1 --case nonsense --csv "$T/none.csv"
printf 'bench,note\nkeyop,p256-sign,stock\n' >"$T/bad.csv"
claim 'noticed: what is no such CSV' not is_csv "$T/bad.csv"
sed '/,stock,/s/,stock,.*/,stock,n\/a,1,/' "$T/record.csv" >"$T/bad.csv"
claim 'noticed: figures of a column that did not run' not is_csv "$T/bad.csv"

if command -v gnuplot >/dev/null; then
    claim 'a picture comes of it' "$PLOT" "$T/keyop.csv"
    claim 'it is an SVG' grep -q '</svg>' "$T/keyop.svg"
    claim 'and of the others, in one go' "$PLOT" "$T/store.csv" "$T/vkeys.csv"
    claim 'each is an SVG' grep -q '</svg>' "$T/store.svg" "$T/vkeys.svg"
    claim 'one with large ratios, too' "$PLOT" "$T/gate.csv"
    claim 'it is an SVG' grep -q '</svg>' "$T/gate.svg"
    claim 'no picture comes of another CSV' not "$PLOT" "$T/ticks.csv"
    cp "$T/out" "$T/said"
    claim 'and that is said' grep -q 'ticks.csv: not the CSV of' "$T/said"
    claim 'nor is there an empty one' not test -e "$T/ticks.svg"
else
    echo 'SKIP: no gnuplot, no pictures'
fi
claims_finish
