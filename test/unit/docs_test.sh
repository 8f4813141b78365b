#!/bin/bash
# docs_test.sh SOURCE-DIR [MPKCTL]: the manuals render without a warning, and
# settings and options are documented where a reader looks for them.

# shellcheck disable=SC2317 # claim calls functions by name

set -euo pipefail

ROOT=${1:?usage: docs_test.sh SOURCE-DIR [MPKCTL]}
MPKCTL=${2:-}
MANUALS=("$ROOT/docs/man/provider-mpk.7" "$ROOT/docs/man/mpkctl.1")

export LC_ALL=C
T=$(mktemp -d "${TMPDIR:-/tmp}/mpk-docs.XXXXXX")
trap 'rm -rf "$T"' EXIT

# shellcheck source=test/unit/claims.sh
. "$(dirname "${BASH_SOURCE[0]}")/claims.sh"

# ---- manuals ----------------------------------------------------------------

linted() {
    mandoc -Tlint -W warning "$1" >"$T/lint" 2>&1 || true
    grep -v 'outdated mandoc.db' "$T/lint" || true
    ! grep -q WARNING "$T/lint" && ! grep -q ERROR "$T/lint"
}

rendered() {
    man --warnings -l "$1" 2>"$T/warnings" >"$T/text"
    cat "$T/warnings"
    [[ ! -s $T/warnings ]] && grep -q 'DESCRIPTION' "$T/text"
}

check_manuals() {
    local with=$1 manual
    for manual in "${MANUALS[@]}"; do
        claim "$(basename "$manual") renders without a warning" "$with" "$manual"
    done
    sed 's/^\.Sh DESCRIPTION/&\n.Bl -nonsense\n.Xx/' "${MANUALS[0]}" >"$T/bad.7"
    is_noticed 'a manual with mistakes' "$with" "$T/bad.7"
}

# ---- settings ---------------------------------------------------------------

# The names of settings, and of the words that they can have, in config.c.
settings_of() {
    sed -n '/settings\[[A-Z]*\] = {/,/;$/p' "$1" | grep -oE '\{"[a-z-]+"' | tr -d '{"'
}

words_of() {
    grep -oE '\{"[a-z-]+", [A-Z_]+\}' "$1" | sed 's/{"\([a-z-]*\)".*/\1/' |
        sort -u
}

documents() {
    local file=$1 word missing=0
    shift
    for word in "$@"; do
        grep -qE "(^|[^a-z-])$word([^a-z-]|\$)" "$file" || {
            echo "$file says nothing of: $word"
            missing=1
        }
    done
    return "$missing"
}

# A setting stands at the beginning of its row, or of its item.
lists_settings() {
    local name missing=0
    for name in $(settings_of "$1"); do
        grep -q "^| \`$name\` |" "$2" || grep -q "^\.It Cm $name = " "$2" || {
            echo "$2 does not list: $name"
            missing=1
        }
    done
    return "$missing"
}

# shellcheck disable=SC2046 # lists of words
check_settings() {
    local config=$ROOT/provider/config.c file
    claim 'config.c has settings' test "$(settings_of "$config" | wc -l)" -ge 3
    claim 'config.c has words' test "$(words_of "$config" | wc -l)" -ge 9
    for file in "$ROOT/docs/configuration.md" "${MANUALS[0]}"; do
        claim "$(basename "$file") lists every setting" \
            lists_settings "$config" "$file"
        claim "$(basename "$file") says what every word means" \
            documents "$file" $(words_of "$config")
        sed 's/{"memory",/{"memory-of-new-kind",/' "$config" >"$T/config.c"
        is_noticed "a setting that $(basename "$file") lacks" \
            lists_settings "$T/config.c" "$file"
    done
}

# ---- options ----------------------------------------------------------------

options_of() {
    "$MPKCTL" help "$1" | grep -oE -- '--[a-z]+' | sort -u
}

has_options() {
    local option missing=0
    for option in $(options_of "$2"); do
        grep -qE "^\.It Fl -${option#--}( |\$)" "$1" || {
            echo "$1 lacks $option of $2"
            missing=1
        }
    done
    return "$missing"
}

check_options() {
    local command
    for command in scan doctor handle-key reference; do
        claim "mpkctl.1 has every option of $command" \
            has_options "${MANUALS[1]}" "$command"
    done
    grep -v '^\.It Fl -epochs' "${MANUALS[1]}" >"$T/short.1"
    is_noticed 'an option that is missing' has_options "$T/short.1" scan
}

if command -v mandoc >/dev/null; then
    check_manuals linted
elif command -v man >/dev/null && command -v groff >/dev/null; then
    check_manuals rendered
else
    echo 'not checked: the manuals (neither mandoc nor man with groff)'
fi
check_settings
[[ -z $MPKCTL ]] || check_options
claims_finish
