#!/bin/bash
# Runs the test suites of real programs three times: with stock OpenSSL, with
# the keys profile, with the full one. Prints what differs from stock, and
# fails when a difference is not in apps.known.
#
#   test/suites/apps.sh [-b BACKEND] [-d FOLDER] [SUITE[/FILE]...]
#
# Suites: python, cryptography, nginx, haproxy, stunnel, tlsfuzzer, perl, ruby, php,
# node, clients, scanners; all of them by default. With FILE it is only this file of the suite.
# BACKEND is none (the default: the same code, and nothing can fault),
# mprotect or mpk. FOLDER, by default openssl-mpk/suites in the user's cache,
# keeps sources, configurations and results; sources that are there already
# are used as they are. Nothing of the machine's OpenSSL is changed, but Debian
# packages are installed. Takes hours, most of them tlsfuzzer; not part of test.sh.
#
# A test that stock passes and a profile fails is run again, twice at most,
# before it counts: these suites have time limits of their own.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
BUILD=${MPK_TEST_BUILD:-$ROOT/build}
BACKEND=none
FOLDER=${XDG_CACHE_HOME:-$HOME/.cache}/openssl-mpk/suites
PROFILES=(keys full)
# shellcheck source=test/live/packages.sh
. "$ROOT/test/live/packages.sh"
# shellcheck source=test/suites/apps_suites.sh
. "$HERE/apps_suites.sh"

# ---- configurations --------------------------------------------------------

# The groups that the full profile names are named for stock too: else the
# suites would see that difference, which is one of configuration.
make_configurations() {
    local new=$FOLDER/cnf.part
    rm -rf "$new"
    mkdir -p "$new" "$FOLDER/cnf"
    sed "s/^# backend = mpk .*/backend = $BACKEND/" "$BUILD/mpk-keys.cnf" \
        >"$new/keys.cnf"
    sed "s/^# backend = mpk .*/backend = $BACKEND/" "$BUILD/mpk.cnf" \
        >"$new/full.cnf"
    sed -e '/^MPK = /d; /^mpk = /d; /^alg_section = /d' \
        -e '/^\[tls_provider\]/,/^$/d; /^\[mpk_provider\]/,/^$/d' \
        -e '/^\[algorithms\]/,/^$/d' "$new/full.cnf" >"$new/stock.cnf"
    mv "$new"/*.cnf "$FOLDER/cnf/" # at once: another run may be reading
    rmdir "$new"
}

# A run under a configuration that is not in effect means nothing.
demand_in_effect() {
    local profile refused
    for profile in stock "${PROFILES[@]}"; do
        refused=$(OPENSSL_CONF=$FOLDER/cnf/$profile.cnf \
            openssl pkey -in "$FOLDER/probe.key" 2>&1 >/dev/null |
            grep -c 'private key is protected') || true
        if [[ $profile == stock ]]; then
            ((refused == 0)) || die 'the stock configuration has the provider'
        else
            ((refused > 0)) || die "$profile.cnf protects no keys"
        fi
    done
    OPENSSL_CONF=$FOLDER/cnf/full.cnf openssl list -providers |
        grep -q '^  MPK$' || die 'full.cnf protects no session secrets'
}

# ---- running and comparing -------------------------------------------------

# A line for each test, "ok NAME" or "failed NAME", sorted, in RESULTS.
# NAME is FILE or FILE:TEST; tests are run again by FILE.
run_suite() { # SUITE PROFILE RESULTS [FILE...]
    local suite=$1 profile=$2 results=$3 log=${3%.results}.log
    shift 3
    OPENSSL_CONF=$FOLDER/cnf/$profile.cnf "run_$suite" "$log" "$@" |
        sort -u >"$results"
}

# Names that are ok in stock and not, or not at all, in the other.
worse() { # STOCK OTHER
    comm -23 <(sed -n 's/^ok //p' "$1" | sort -u) \
        <(sed -n 's/^ok //p' "$2" | sort -u)
}

# What of |names| is not ok in two more runs.
confirm() { # SUITE PROFILE
    local names again files try
    names=$(cat)
    for try in 1 2; do
        [[ -n $names ]] || return 0
        again=$FOLDER/$1/$2-again$try.results
        mapfile -t files < <(cut -d: -f1 <<<"$names" | sort -u)
        run_suite "$1" "$2" "$again" "${files[@]}" >&2
        names=$(comm -23 <(sort -u <<<"$names") \
            <(sed -n 's/^ok //p' "$again" | sort -u))
    done
    [[ -z $names ]] || echo "$names"
}

# apps.known: "PROFILE SUITE PATTERN  # reason"; PROFILE may be both.
is_known() { # SUITE PROFILE NAME
    local profile suite pattern
    while read -r profile suite pattern; do
        # shellcheck disable=SC2053 # the right side is a pattern
        [[ $profile == "$2" || $profile == both ]] && [[ $suite == "$1" ]] &&
            [[ $3 == ${pattern%%  \#*} ]] && return 0
    done < <(grep -v '^#' "$HERE/apps.known")
    return 1
}

count() { # WORD RESULTS
    grep -c "^$1 " "$2" || true
}

judge() { # SUITE PROFILE STOCK; counts in UNKNOWN
    local other=$FOLDER/$1/$2.results name
    printf '%-10s %-6s %5d ok %5d failed\n' "$1" "$2" \
        "$(count ok "$other")" "$(count failed "$other")"
    while read -r name; do
        if is_known "$1" "$2" "$name"; then
            printf '    known: %s\n' "$name"
        else
            printf '    DIFFERS: %s\n' "$name"
            UNKNOWN=$((UNKNOWN + 1))
        fi
    done < <(worse "$3" "$other" | confirm "$1" "$2")
}

do_suite() { # SUITE[/FILE]
    local suite=${1%%/*} profile files=()
    local stock=$FOLDER/$suite/stock.results
    [[ $suite == "$1" ]] || files=("${1#*/}")
    say "$1"
    mkdir -p "$FOLDER/$suite"
    "fetch_$suite"
    for profile in stock "${PROFILES[@]}"; do
        run_suite "$suite" "$profile" "$FOLDER/$suite/$profile.results" \
            "${files[@]}"
    done
    (($(count ok "$stock") > 0)) || die "$suite: nothing passes with stock"
    printf '%-10s %-6s %5d ok %5d failed\n' "$suite" stock \
        "$(count ok "$stock")" "$(count failed "$stock")"
    for profile in "${PROFILES[@]}"; do
        judge "$suite" "$profile" "$stock"
    done
}

while getopts b:d: option; do
    case $option in
    b) BACKEND=$OPTARG ;;
    d) FOLDER=$OPTARG ;;
    *) die 'usage: apps.sh [-b BACKEND] [-d FOLDER] [SUITE[/FILE]...]' ;;
    esac
done
shift $((OPTIND - 1))
(($# > 0)) || set -- "${SUITES[@]}"
[[ -e $BUILD/mpk.so ]] || die "there is no $BUILD/mpk.so: build first"
install_build_tools git:git
mkdir -p "$FOLDER"
FOLDER=$(cd "$FOLDER" && pwd)
make_configurations
OPENSSL_CONF=/dev/null openssl genpkey -algorithm RSA \
    -out "$FOLDER/probe.key" 2>/dev/null
demand_in_effect
UNKNOWN=0
for suite in "$@"; do
    declare -F "run_${suite%%/*}" >/dev/null ||
        die "there is no suite ${suite%%/*}"
    do_suite "$suite"
done
say "$UNKNOWN differences that apps.known does not explain"
((UNKNOWN == 0))
