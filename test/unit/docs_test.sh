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
        claim "${manual##*/} renders without a warning" "$with" "$manual"
    done
    sed 's/^\.Sh DESCRIPTION/&\n.Bl -nonsense\n.Xx/' "${MANUALS[0]}" >"$T/bad.7"
    is_noticed 'a manual with mistakes' "$with" "$T/bad.7"
}

# ---- settings ---------------------------------------------------------------

# settings_of CONFIG.C: sets SETTINGS to the names of settings, and WORDS, by
# name, to the words that each can have: none for one that is free text.
declare -A WORDS ENTRY
settings_of() {
    local line rest table=
    local -A choices=()
    SETTINGS=() WORDS=()
    while IFS= read -r line; do
        if [[ $line =~ ^'static const struct choice '([a-z0-9_]+)'[] = ' ]]; then
            table=${BASH_REMATCH[1]}
        elif [[ $line == *' settings['*'] = {' ]]; then
            table=SETTINGS
        fi
        rest=$line
        while [[ -n $table && $rest =~ \{\"([a-z0-9-]+)\",\ ([a-z0-9_]*)(.*) ]]; do
            rest=${BASH_REMATCH[3]}
            if [[ $table == SETTINGS ]]; then
                SETTINGS+=("${BASH_REMATCH[1]}")
                WORDS[${BASH_REMATCH[1]}]=${choices[${BASH_REMATCH[2]:-none}]:-}
            else
                choices[$table]+=" ${BASH_REMATCH[1]}"
            fi
        done
        [[ $line != *';' ]] || table=
    done <"$1"
}

# entries_of DOCUMENT: sets ENTRY to what it says of each setting, by name: of
# a table, its row and those below it that have no name; of a manual, its
# item's line.
entries_of() {
    local line name=
    ENTRY=()
    while IFS= read -r line; do
        if [[ $line =~ ^'| `'([a-z0-9-]+)'` |' ||
            $line =~ ^'.It Cm '([a-z0-9-]+)' = ' ]]; then
            name=${BASH_REMATCH[1]}
        elif [[ $line != '| |'* ]]; then
            name=
        fi
        [[ -z $name ]] || ENTRY[$name]+=$line$'\n'
    done <"$1"
}

lists_settings() {
    local name word said missing=0
    settings_of "$1"
    entries_of "$2"
    for name in "${SETTINGS[@]}"; do
        [[ -n ${ENTRY[$name]:-} ]] || {
            echo "$2 does not list: $name"
            missing=1
        }
        for word in ${WORDS[$name]}; do
            said="\`$word\`|[=|] $word( |"$'\n)'
            [[ ${ENTRY[$name]:-} =~ $said ]] || {
                echo "$2 does not say of $name: $word"
                missing=1
            }
        done
    done
    return "$missing"
}

# knows_settings CONFIG.C FILE: those of doctor are in strings of their own.
knows_settings() {
    local name file missing=0
    settings_of "$1"
    file=$(<"$2")
    for name in "${SETTINGS[@]}"; do
        [[ $file == *"\"$name\""* ]] || {
            echo "$2 does not know: $name"
            missing=1
        }
    done
    return "$missing"
}

# changed FILE SED-SCRIPT COPY: makes a copy of config.c that differs.
changed() {
    sed "$2" "$1" >"$3"
    ! cmp -s "$1" "$3"
}

check_settings() {
    local config=$ROOT/provider/config.c file words
    settings_of "$config"
    claim 'config.c has settings' test "${#SETTINGS[@]}" -ge 12
    read -ra words <<<"${WORDS[backend]}"
    claim 'config.c has words' test "${#words[@]}" -eq 3
    changed "$config" 's/{"memory",/{"memory-of-new-kind",/' "$T/setting.c"
    changed "$config" 's/{"leave", X448_LEAVE}/{"follow", X448_LEAVE}/' \
        "$T/word.c"
    claim 'mpkctl doctor knows every setting' \
        knows_settings "$config" "$ROOT/tools/doctor_section.c"
    is_noticed 'a setting that mpkctl doctor does not know' \
        knows_settings "$T/setting.c" "$ROOT/tools/doctor_section.c"
    for file in "$ROOT/docs/configuration.md" "$ROOT/README.md" \
        "${MANUALS[0]}"; do
        claim "${file##*/} lists every setting, and every word of it" \
            lists_settings "$config" "$file"
        is_noticed "a setting that ${file##*/} lacks" \
            lists_settings "$T/setting.c" "$file"
        is_noticed "a word that ${file##*/} has of another setting" \
            lists_settings "$T/word.c" "$file"
    done
}

# ---- messages ---------------------------------------------------------------

# The reasons of entries in the error queue.
reasons_of() {
    grep -oE 'X\([A-Z_]+, [0-9]+, "[^"]+"\)' "$1" |
        sed 's/.*"\(.*\)")/\1/'
}

lists_reasons() {
    local reason rows missing=0
    reasons_of "$1" >"$T/reasons"
    [[ -s $T/reasons ]] || return 1
    rows=$(grep '^| .* |' "$2")
    while read -r reason; do
        [[ $rows == *"\`$reason\`"* ]] || {
            echo "$2 lacks the reason: $reason"
            missing=1
        }
    done <"$T/reasons"
    return "$missing"
}

# Literals that follow one another are one.
joined() {
    tr '\n' ' ' | sed -E 's/" +"//g'
}

# messages_of DIR: what the sources there say, one a line, in quotes: what is
# logged at level 0 or one that is computed, why all is refused, what the core
# tells. A text that is no literal is shown as it is.
messages_of() {
    local text='"(?:[^"\\]|\\.)*"' log why
    log="\\bprov_log\\((?!int )(?! *[12],)(?:[^(),]|\\([^()]*\\))+, *"
    why='snprintf\((ctx->refused|why), (?:sizeof\([^)]*\)|room), *'
    cat "$1"/provider/*.c | joined |
        grep -oP "$log\\K(?:$text|[^,)]+)|$why\\K$text"
    sed -n '/^static void say_notices/,/};/p' "$1/mpkcore/entry.c" | joined |
        grep -oP "$text"
    sed -n '/^const char \*mpk_core_strerror/,/^}/p' "$1/mpkcore/core.c" |
        joined | grep -oP "$text"
}

# spans_of DOCUMENT: sets SPANS to what the rows of its tables are about.
spans_of() {
    local span
    SPANS=()
    while IFS= read -r span; do
        SPANS+=("${span//\`/}")
    done < <(sed -n '/^| message/,/^$/p' "$1" | cut -d '|' -f 2 |
        grep -oE "\`[^\`]+\`")
}

# has_row MESSAGE PATTERN: a row has a part of the message, with "..." for what
# is left out, or what can stand for its conversions.
has_row() {
    local message=$1 pattern=$2 span
    for span in "${SPANS[@]}"; do
        # shellcheck disable=SC2053 # patterns
        [[ $span != $pattern ]] || return 0
        span=${span//.../*}
        span=${span//\* /*}
        span=${span// \*/*}
        [[ ${span//\*/} != ????????* || $message != *$span* ]] || return 0
    done
    return 1
}

lists_messages() {
    local message pattern missing=0
    messages_of "$1" >"$T/messages"
    sed -E 's/^"(.*)"$/\1/; s/%[-0-9.*]*[a-z]/*/g' "$T/messages" >"$T/patterns"
    spans_of "$2"
    while IFS= read -r message && IFS= read -r pattern <&3; do
        [[ $message == \"*\" ]] || {
            echo "the text of a message is not where it is logged: $message"
            missing=1
        }
        message=${message#\"}
        message=${message%\"}
        # One that is handed on as it is.
        [[ $message != %s && $message != 'no error' ]] || continue
        has_row "$message" "$pattern" || {
            echo "$2 lacks: $message"
            missing=1
        }
    done <"$T/messages" 3<"$T/patterns"
    return "$missing"
}

# is_noticed_in FILE SED-SCRIPT WHAT
is_noticed_in() {
    rm -rf "$T/tree"
    mkdir "$T/tree"
    cp -r "$ROOT/provider" "$ROOT/mpkcore" "$T/tree"
    claim "$3 can be changed" changed "$ROOT/$1" "$2" "$T/tree/$1"
    is_noticed "$3" lists_messages "$T/tree" "$ROOT/docs/messages.md"
}

check_texts() {
    claim 'messages.md lists every message' \
        lists_messages "$ROOT" "$ROOT/docs/messages.md"
    claim 'there are messages' test "$(wc -l <"$T/messages")" -ge 40
    is_noticed_in provider/keylog.c 's/KEYLOG IS ON/THE LOG IS ON/' \
        'a line of the log that is missing'
    is_noticed_in provider/object.c 's/"a private key is/"a public key is/' \
        'one of a level that is computed'
    is_noticed_in provider/config.c 's/"section with/"part with/' \
        'a reason to refuse that is missing'
    is_noticed_in provider/keylog.c 's/"KEYLOG IS/TEXT "KEYLOG IS/' \
        'a line whose text is elsewhere'
    is_noticed_in mpkcore/entry.c 's/"secretmem cannot be/"memory cannot be/' \
        'a line of the core that is missing'
    is_noticed_in mpkcore/core.c 's/"there is no memfd_secret/"there is none/' \
        'an error of the core that is missing'
}

check_messages() {
    local reasons=$ROOT/provider/reason.h
    claim 'messages.md lists every reason of an error' \
        lists_reasons "$reasons" "$ROOT/docs/messages.md"
    sed 's/"invalid handle"/"invalid shovel"/' "$reasons" >"$T/reason.h"
    is_noticed 'a reason that is missing' lists_reasons "$T/reason.h" \
        "$ROOT/docs/messages.md"
}

# ---- certificates -----------------------------------------------------------

helps_with_certs() {
    "$ROOT/certs/make-certs.sh" "$1" >"$T/text" 2>"$T/errors" &&
        grep -q '^usage: make-certs.sh DIR' "$T/text" && [[ ! -s $T/errors ]]
}

# wants_usage ARG...: status 2, and one line.
wants_usage() {
    local status=0
    "$ROOT/certs/make-certs.sh" "$@" >"$T/text" 2>&1 || status=$?
    cat "$T/text"
    [[ $status == 2 && $(<"$T/text") == 'usage: make-certs.sh DIR [--force]' ]]
}

check_make_certs() {
    claim 'make-certs.sh --help' helps_with_certs --help
    claim 'make-certs.sh -h' helps_with_certs -h
    claim 'make-certs.sh' wants_usage
    claim "make-certs.sh ''" wants_usage ''
    claim 'make-certs.sh --force' wants_usage --force
    claim 'make-certs.sh DIR --nonsense' wants_usage "$T/certs" --nonsense
    claim 'make-certs.sh DIR --force MORE' wants_usage "$T/certs" --force more
    claim 'make-certs.sh makes nothing then' test ! -e "$T/certs"
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
    local manual
    manual=$(<"$1")
    [[ $manual == *$'\n'".Cm $2"$'\n'* && $manual == *$'\n'".Ss $2"$'\n'* ]]
}

has_options() {
    local option manual missing=0
    manual=$(<"$1")
    for option in $(options_of "$2"); do
        [[ $manual =~ $'\n.It Fl -'"${option#--}"[\ $'\n'] ]] || {
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
check_texts
check_make_certs
[[ -z $MPKCTL ]] || check_options
claims_finish
