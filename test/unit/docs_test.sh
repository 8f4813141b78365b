#!/bin/bash
# docs_test.sh SOURCE-DIR [MPKCTL]: the manuals render without a warning, and
# settings and options are documented where a reader looks for them.

# shellcheck disable=SC2317 # claim calls functions by name

set -euo pipefail

ROOT=${1:?usage: docs_test.sh SOURCE-DIR [MPKCTL]}
MPKCTL=${2:-}
MANUALS=("$ROOT/docs/man/provider-mpk.7" "$ROOT/docs/man/mpkctl.1"
    "$ROOT/docs/man/mpkcore.3")

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

# The names of settings in config.c, and the words that each can have.
settings_of() {
    sed -n '/settings\[[A-Z]*\] = {/,/;$/p' "$1" | grep -oE '\{"[a-z0-9-]+"' |
        tr -d '{"'
}

# words_of CONFIG.C SETTING: none for one that is free text.
words_of() {
    local array
    array=$(sed -n 's/^    \[SET_.*{"'"$2"'", \([a-z0-9_]*\),.*/\1/p' "$1")
    sed -n "/^static const struct choice ${array:-none}\\[\\]/,/;\$/p" "$1" |
        grep -oE '\{"[a-z-]+"' | tr -d '{"' || true
}

# What a document says of a setting: of a table, its row and those below it
# that have no name; of a manual, its item's line.
entry_of() {
    sed -n -e "/^| \`$2\` |/,/^\(| [^|]\|\$\)/{/^| \`$2\` |/p;/^| |/p}" \
        -e "/^\\.It Cm $2 = /p" "$1"
}

lists_settings() {
    local name word missing=0
    for name in $(settings_of "$1"); do
        entry_of "$2" "$name" >"$T/entry"
        [[ -s $T/entry ]] || {
            echo "$2 does not list: $name"
            missing=1
        }
        for word in $(words_of "$1" "$name"); do
            grep -qE "\`$word\`|[=|] $word( |\$)" "$T/entry" || {
                echo "$2 does not say of $name: $word"
                missing=1
            }
        done
    done
    return "$missing"
}

# changed FILE SED-SCRIPT: makes a copy of config.c that differs.
changed() {
    sed "$2" "$1" >"$T/config.c"
    ! cmp -s "$1" "$T/config.c"
}

check_settings() {
    local config=$ROOT/provider/config.c file
    claim 'config.c has settings' test "$(settings_of "$config" | wc -l)" -ge 12
    claim 'config.c has words' test "$(words_of "$config" backend | wc -l)" -eq 3
    for file in "$ROOT/docs/configuration.md" "$ROOT/README.md" \
        "${MANUALS[0]}"; do
        claim "$(basename "$file") lists every setting, and every word of it" \
            lists_settings "$config" "$file"
        changed "$config" 's/{"memory",/{"memory-of-new-kind",/'
        is_noticed "a setting that $(basename "$file") lacks" \
            lists_settings "$T/config.c" "$file"
        changed "$config" 's/{"leave", X448_LEAVE}/{"follow", X448_LEAVE}/'
        is_noticed "a word that $(basename "$file") has of another setting" \
            lists_settings "$T/config.c" "$file"
    done
}

# ---- messages ---------------------------------------------------------------

# The reasons of entries in the error queue.
reasons_of() {
    grep -oE 'X\([A-Z_]+, [0-9]+, "[^"]+"\)' "$1" |
        sed 's/.*"\(.*\)")/\1/'
}

lists_reasons() {
    local missing=0
    reasons_of "$1" >"$T/reasons"
    [[ -s $T/reasons ]]
    while read -r reason; do
        grep -q "^| .*\`$reason\`.* |" "$2" || {
            echo "$2 lacks the reason: $reason"
            missing=1
        }
    done <"$T/reasons"
    return "$missing"
}

check_messages() {
    local reasons=$ROOT/provider/reason.h
    claim 'README.md lists every reason of an error' \
        lists_reasons "$reasons" "$ROOT/README.md"
    sed 's/"invalid handle"/"invalid shovel"/' "$reasons" >"$T/reason.h"
    is_noticed 'a reason that is missing' lists_reasons "$T/reason.h" \
        "$ROOT/README.md"
}

# ---- options ----------------------------------------------------------------

commands() {
    "$MPKCTL" help | sed -n '/^commands:/,$s/^  \([a-z-]*\) .*/\1/p'
}

options_of() {
    "$MPKCTL" help "$1" | grep -oE -- '--[a-z]+' | sort -u
}

# In the synopsis, and with a section of its own.
has_command() {
    grep -qx "\.Cm $2" "$1" && grep -qx "\.Ss $2" "$1"
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
    claim 'mpkctl has commands' test "$(commands | wc -l)" -ge 5
    is_noticed 'a command that is missing' has_command "${MANUALS[1]}" dig
    for command in $(commands); do
        claim "mpkctl.1 has the command $command" \
            has_command "${MANUALS[1]}" "$command"
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
check_messages
[[ -z $MPKCTL ]] || check_options
claims_finish
