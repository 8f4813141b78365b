#!/bin/bash
# Configurations with a mistake in them, and the self-check. Everything about
# providers fails open, so what is claimed each time is that no key ends in
# the clear and that the message names the culprit; and, by the same mistake
# with "self-check = off", that it is the check that sees to it.
#
# The application is s_server: it takes its key by SSL_CTX_use_PrivateKey_file,
# as servers do, and it can load more providers before (-provider). The rest
# of the command line goes by OSSL_STORE.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CONF=$T/openssl.cnf
MODULE=$BUILD/mpk.so
KEY=$T/p256.key
PUB=$T/p256.pub
DATA=$T/data
NOBODY=65534

# ---- configurations ---------------------------------------------------------

section_of() {
    case $1 in
    default | base | legacy)
        echo 'activate = 1'
        ;;
    *)
        printf 'module = %s\nactivate = 1\n%s\n' "$MODULE" "$2"
        [[ $2 == *backend* ]] || echo "backend = $BACKEND"
        [[ $2 == *memory* ]] || echo "memory = $MEMORY"
        ;;
    esac
}

# sections PROVIDERS SETTINGS: the list of providers, in that order, and the
# section of each; ours has the settings.
sections() {
    local name
    echo '[providers]'
    for name in $1; do
        echo "$name = section-$name"
    done
    for name in $1; do
        echo "[section-$name]"
        section_of "$name" "$2"
    done
}

# head_of [PROPERTIES]
head_of() {
    echo "openssl_conf = openssl_init
[openssl_init]
providers = providers
ssl_conf = ssl_modules
${1:+alg_section = algorithms
[algorithms]
default_properties = $1}
[ssl_modules]
app = app
[app]
Certificate = $CERTS/p256.crt
PrivateKey = $KEY"
    conf_common
}

# configure PROVIDERS [SETTINGS] [PROPERTIES]
configure() {
    WHAT="[$1]${2:+ ${2//$'\n'/, }}${3:+ default_properties = $3}"
    {
        head_of "${3:-}"
        sections "$1" "${2:-}"
    } >"$CONF"
}

with() {
    OPENSSL_CONF=$CONF "$@"
}

# ---- what a command line does ------------------------------------------------

sign() {
    with openssl dgst -sha256 -sign "$KEY" -out "$T/sig" "$DATA"
}

signs() {
    sign && stock openssl dgst -sha256 -verify "$PUB" -signature "$T/sig" \
        "$DATA"
}

# Not one line of ours.
signs_silently() {
    sign >"$T/said" 2>&1 || return 1
    ! has_line "$T/said" mpk:
}

no_key_in() {
    lacks_match "$1" 'PRIVATE KEY' || {
        echo 'expected no private key in the output, but it is there'
        return 1
    }
}

# Whatever the status is, no key comes out.
gives_no_key_out() {
    with openssl pkey -in "$KEY" >"$T/pkey" 2>&1 || true
    no_key_in "$T/pkey"
}

# makes_no_request PATTERN: "openssl req -new -key" fails and says why.
makes_no_request() {
    : >"$T/req"
    refuses_saying "$1" with openssl req -new -key "$KEY" -subj /CN=x \
        -out "$T/req" && absent_or_empty "$T/req"
}

# ---- what an application does -------------------------------------------------

serves() {
    serve "$CONF" -ssl_config app -nocert "$@"
}

answers() {
    fetch "$STOCK" "$SERVER_PORT" tls1_3
}

# never_clear OPTION...: the application has ended, or the key is not readable
# in it.
never_clear() {
    serves "$@" || return 0
    scan_clean --pid "$SERVER_PID" "$KEY"
}

in_the_clear() {
    serves "$@" && scan_finds --pid "$SERVER_PID" "$KEY"
}

said() {
    show "$SERVER_LOG"
    has_match "$SERVER_LOG" "^mpk: .*($1)" || {
        echo "expected a line that matches: $1"
        return 1
    }
}

has_nothing_of_ours() {
    ! has_line "$1" mpk:
}

says_nothing() {
    has_nothing_of_ours "$SERVER_LOG"
}

end_server() {
    stop "$SERVER_PID"
}

# ---- mistakes in the section ---------------------------------------------------

# refuses_all_keys PATTERN
refuses_all_keys() {
    claim "$WHAT: makes no request and names it" makes_no_request "$1"
    claim "$WHAT: gives no key out" gives_no_key_out
    claim "$WHAT: no key in the clear" never_clear
    claim "$WHAT: the application's log names it" said "$1"
    end_server
}

# All that is refused is refused in the same way. So a kind of mistake is seen in
# all of them once, and others of its kind in this one: with a key in the clear
# there would be a request. MPK_TEST_LONG=1: in all.
refuses_as_well() {
    if [[ ${MPK_TEST_LONG:-0} == 1 ]]; then
        refuses_all_keys "$1"
    else
        claim "$WHAT: makes no request and names it" makes_no_request "$1"
    fi
}

test_unknown_keys() {
    local key how=refuses_all_keys
    for key in memmory self_check Backend backends x.memory; do
        configure 'default mpk' "$key = auto"
        "$how" "section of provider 'mpk': '$key' is no setting"
        how=refuses_as_well
    done
}

# bad_value HOW KEY VALUE CHOICES
bad_value() {
    configure 'default mpk' "$2 = $3"
    "$1" "section of provider 'mpk': $2 = $3 is none of: $4"
}

test_bad_values() {
    bad_value refuses_all_keys backend mprotec 'mpk, mprotect, none'
    bad_value refuses_as_well backend 1 'mpk, mprotect, none'
    bad_value refuses_as_well memory disk 'auto, secretmem, anonymous'
    bad_value refuses_all_keys self-check maybe 'require, warn, off'
    configure 'default mpk' 'backend ='
    refuses_as_well 'backend =  is none of: mpk, mprotect, none'
}

# A mistake must not switch the check of the order off.
test_two_mistakes() {
    configure 'mpk default' 'memmory = auto'
    claim "$WHAT: no key in the clear" never_clear
    claim "$WHAT: gives no key out" gives_no_key_out
    end_server
    configure 'mpk default' 'self-check = maybe'
    claim "$WHAT: no key in the clear" never_clear
    claim "$WHAT: gives no key out" gives_no_key_out
    end_server
}

# ---- mistakes in the order -----------------------------------------------------

# wrong_order PROVIDERS PATTERN OPTION...: what the self-check does about it.
wrong_order() {
    local providers=$1 pattern=$2
    shift 2
    configure "$providers" 'self-check = require'
    claim "$WHAT $*: no key in the clear" never_clear "$@"
    claim "$WHAT $*: says what is wrong" said "$pattern"
    claim "$WHAT $*: says how to go on" said 'self-check = require'
    claim "$WHAT $*: gives no key out" gives_no_key_out
    end_server
    configure "$providers" 'self-check = warn'
    check "$WHAT $*: serves" serves "$@"
    claim "$WHAT $*: says what is wrong" said "$pattern"
    claim "$WHAT $*: says that it only warns" said 'self-check = warn'
    end_server
    configure "$providers" 'self-check = off'
    check "$WHAT $*: the key ends in the clear" in_the_clear "$@"
    check "$WHAT $*: says nothing" says_nothing
    end_server
}

outer_is_3_0() {
    openssl version | grep -q '^OpenSSL 3\.0\.'
}

# base_is_late PROVIDERS OPTION...: with 3.0 it takes no key all the same.
base_is_late() {
    local providers=$1 check
    shift
    for check in require warn off; do
        configure "$providers" "self-check = $check"
        check "$WHAT $*: serves" serves "$@"
        claim "$WHAT $*: no key in the clear" scan_clean --pid "$SERVER_PID" \
            "$KEY"
        claim "$WHAT $*: says nothing" says_nothing
        check "$WHAT $*: answers" answers
        end_server
    done
}

test_order() {
    local early="sorts before 'default'.* call the provider 'mpk'" name
    wrong_order 'mpk default' \
        "'default' is activated after it.* list 'default' before 'mpk'"
    if outer_is_3_0; then
        base_is_late 'default mpk base'
        base_is_late 'default mpk' -provider base
    else
        wrong_order 'default mpk base' \
            "'base' is activated after it.* list 'base' before 'mpk'"
        wrong_order 'default mpk' \
            "'base' is activated after it.* list 'base' before 'mpk'" \
            -provider base
    fi
    # The name does harm at the first look-up of a provider.
    for name in a-mpk MPK; do
        wrong_order "default $name" "$early" -provider default
        wrong_order "default $name" "$early" -provider legacy
    done
}

# The name alone: refused before it does harm.
test_early_name() {
    configure 'default a-mpk' 'self-check = require'
    refuses_all_keys "the name 'a-mpk' sorts before 'default'"
}

test_base_before() {
    configure 'default base mpk'
    check "$WHAT: serves" serves
    claim "$WHAT: no key in the clear" scan_clean --pid "$SERVER_PID" "$KEY"
    claim "$WHAT: says nothing" says_nothing
    check "$WHAT: answers" answers
    end_server
    configure 'default mpk' 'self-check = require'
    if outer_is_3_0; then
        claim "$WHAT: dgst -provider base signs" signs_with_base
        claim "$WHAT: without a word" has_nothing_of_ours "$T/said"
        return
    fi
    claim "$WHAT: pkey -provider base is refused" refuses_saying \
        "'base' is activated after it" with openssl pkey -provider base \
        -in "$KEY" -out "$T/pkey"
    configure 'default mpk' 'self-check = warn'
    claim "$WHAT: dgst -provider base goes on" signs_with_base
    claim "$WHAT: with a warning" has_match "$T/said" \
        "^mpk: .*'base' is activated after it"
}

signs_with_base() {
    with openssl dgst -sha256 -provider base -sign "$KEY" -out "$T/sig" \
        "$DATA" >"$T/said" 2>&1 && show "$T/said"
}

# Nothing reads a file without default or base; that is libcrypto's message.
test_no_default() {
    local app="$BUILD/key_victim"
    configure 'mpk'
    claim "$WHAT: gives no key out" gives_no_key_out
    claim "$WHAT: makes no request" makes_no_request 'default or base'
    claim "$WHAT: no key in the clear" never_clear
    end_server
    # An application that reads PEM itself gets its key, and the message.
    printf '\n\n\n\n' | with "$app" pem-bio "$KEY" >"$T/said" 2>&1 || true
    claim "$WHAT: says that default is missing" has_match "$T/said" \
        '^mpk: .*the default provider is not active; activate it'
}

# ---- mistakes beside the section -------------------------------------------------

# libcrypto goes on without a module that it cannot open, and says nothing: no
# code of ours runs. Listing the providers is the way to find out.
test_no_module() {
    local module=$MODULE
    MODULE=$T/not-there.so
    configure 'default mpk'
    MODULE=$module
    check "$WHAT, no module: the key ends in the clear" in_the_clear
    check "$WHAT, no module: nothing is said" says_nothing
    end_server
    check "$WHAT, no module: list -providers does not have it" \
        lists_no_provider mpk
    configure 'default mpk'
    check "$WHAT: list -providers has it" lists_provider mpk
}

lists_provider() {
    with openssl list -providers >"$T/list" 2>&1 && has_match "$T/list" "^  $1\$"
}

lists_no_provider() {
    ! lists_provider "$1" && [[ -s $T/list ]]
}

test_default_properties() {
    local properties
    for properties in provider=default fips=yes; do
        configure 'default mpk' '' "$properties"
        claim "$WHAT: no key in the clear" never_clear
        claim "$WHAT: says what is wrong" said \
            "demand '$properties'|went to provider"
        claim "$WHAT: gives no key out" gives_no_key_out
        end_server
    done
    for properties in '?provider=default' '?fips=yes'; do
        configure 'default mpk' '' "$properties"
        claim "$WHAT: gives no key out" gives_no_key_out
        claim "$WHAT: says nothing" signs_silently
    done
}

test_no_pku() {
    if cpu_has_pku; then
        echo 'not claimed: what happens without PKU, this CPU has it'
        return 0
    fi
    configure 'default mpk' 'backend = mpk'
    refuses_all_keys 'no memory protection keys.*backend = mprotect'
    # Without a setting it is the same: mpk is the default, nothing else is.
    configure 'default mpk' '# no backend'
    refuses_all_keys 'no memory protection keys.*backend = mprotect'
    configure 'default mpk' 'backend = mprotect'
    claim "$WHAT: asked for by name it works" signs
}

# ---- right, if unusual ------------------------------------------------------------

protects() {
    check "$WHAT: signs" signs
    claim "$WHAT: says nothing" signs_silently
    claim "$WHAT: gives no key out" gives_no_key_out
    check "$WHAT: serves" serves
    claim "$WHAT: no key in the clear" scan_clean --pid "$SERVER_PID" "$KEY"
    claim "$WHAT: the application's log is silent" says_nothing
    check "$WHAT: answers" answers
    end_server
}

test_two_sections() {
    configure 'default mpk mpk-too'
    protects
    configure 'default mpk mpk-too' 'self-check = require'
    protects
}

test_include() {
    head_of >"$CONF"
    echo ".include $T/included.cnf" >>"$CONF"
    WHAT='.include'
    sections 'default mpk' '' >"$T/included.cnf"
    protects
    sections 'default mpk' 'memmory = auto' >"$T/included.cnf"
    refuses_all_keys "'memmory' is no setting"
}

# ---- the log --------------------------------------------------------------------

# no_key_material FILE: neither the text of the key file nor its number.
no_key_material() {
    local hex line text squeezed
    hex=$(stock openssl pkey -in "$KEY" -noout -text |
        awk '/^[a-zA-Z]/ { on = /^priv:/ }
             on && /^ / { gsub(/[^0-9a-f]/, ""); printf "%s", $0 }')
    ((${#hex} >= 60)) || return 1
    text=$(<"$1")
    squeezed=${text//[: $'\n']/}
    [[ ${squeezed,,} != *"${hex:8:32}"* ]] || return 1
    while read -r line; do
        [[ $line != -* ]] || continue
        [[ $text != *"${line:0:24}"* ]] || return 1
    done <"$KEY"
}

# Everything that is logged at the highest level: a good key, a wrong
# passphrase, a refused export.
log_all() {
    MPK_DEBUG=$1 sign
    MPK_DEBUG=$1 with openssl dgst -sign "$T/encrypted.key" \
        -passin pass:a-wrong-passphrase -out "$T/sig" "$DATA" || true
    MPK_DEBUG=$1 with openssl pkey -in "$KEY" -out "$T/pkey" || true
}

clean_log() {
    [[ -s $1 ]] && no_key_material "$1" && no_key_in "$1" &&
        lacks_match "$1" a-wrong-passphrase
}

test_log() {
    local level
    stock openssl pkey -in "$KEY" -aes256 -passout pass:the-right-one \
        -out "$T/encrypted.key"
    configure 'default mpk'
    claim 'without MPK_DEBUG: silence' signs_silently
    for level in 1 2; do
        log_all "$level" >"$T/said" 2>&1
        claim "MPK_DEBUG=$level: lines on standard error" \
            has_line "$T/said" 'mpk: '
        claim "MPK_DEBUG=$level: nothing of a key" clean_log "$T/said"
        rm -f "$T/log"
        log_all "$level:$T/log" >"$T/said" 2>&1
        claim "MPK_DEBUG=$level:FILE: lines in the file" \
            has_line "$T/log" 'mpk: '
        claim "MPK_DEBUG=$level:FILE: none on standard error" \
            not_logged "$T/said"
        claim "MPK_DEBUG=$level:FILE: nothing of a key" clean_log "$T/log"
        claim "MPK_DEBUG=$level:FILE: nobody else may read it" \
            equal 'mode' "$(stat -c %a "$T/log")" 600
    done
    log_all "1:$T/nowhere/log" >"$T/said" 2>&1
    claim 'MPK_DEBUG: a file that cannot be opened is named' \
        has_match "$T/said" 'MPK_DEBUG: .*/nowhere/log cannot be opened'
    check 'what is looked for would be found' refuses clean_log "$KEY"
}

not_logged() {
    ! has_line "$1" mpk:
}

# ---- other users -------------------------------------------------------------------

as_nobody() {
    setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups "$@"
}

# In a directory that others can reach, with a module that they can read.
prepare_for_nobody() {
    cp "$BUILD/mpk.so" "$T/mpk.so"
    chmod 644 "$T/mpk.so" "$KEY" "$DATA"
    MODULE=$T/mpk.so
    install -d -o "$NOBODY" "$T/nobody"
}

# A setuid program takes no OPENSSL_CONF either, hence -config.
request_as_nobody() {
    MPK_DEBUG=2:$T/nobody/log as_nobody "$1" req -new -config "$CONF" \
        -key "$KEY" -subj /CN=x -out /dev/null
}

test_setuid() {
    if findmnt -no OPTIONS -T "$T" | grep -qw nosuid; then
        echo "not claimed: setuid programs, $T is mounted nosuid"
        return 0
    fi
    cp "$(command -v openssl)" "$T/plain"
    cp "$T/plain" "$T/setuid"
    chmod 755 "$T/plain"
    chown "$((NOBODY - 1))" "$T/setuid"
    chmod 4755 "$T/setuid"
    chmod 777 "$T/nobody"
    configure 'default mpk' 'memory = disk'
    claim 'setuid: the provider is active in it' refuses_saying \
        'memory = disk is none of' request_as_nobody "$T/setuid"
    configure 'default mpk'
    rm -f "$T/nobody/log"
    claim 'setuid: MPK_DEBUG opens no file' setuid_logs_nothing
    check 'not setuid: the same program does' request_as_nobody "$T/plain"
    check 'not setuid: the log is there' test -s "$T/nobody/log"
}

setuid_logs_nothing() {
    request_as_nobody "$T/setuid" && [[ ! -e $T/nobody/log ]]
}

# Each line once: one for secretmem, one for the locking of what is in its
# place.
test_lock_limit() {
    configure 'default mpk' 'memory = auto'
    claim 'memory-lock limit of 64 KiB: signs' locked_sign 65536
    claim 'memory-lock limit of 64 KiB: says what to do' has_match "$T/said" \
        '^mpk: the memory-lock limit is reached: .*LimitMEMLOCK'
    claim 'memory-lock limit of 64 KiB: says nothing twice' \
        equal 'repeated lines' "$(sort "$T/said" | uniq -d)" ''
    claim 'memory-lock limit of 64 KiB: at most two lines' \
        at_most lines "$(grep -c '^mpk:' "$T/said" || true)" 2
    claim 'no memory-lock limit at all: signs' locked_sign 0
    configure 'default mpk' 'memory = secretmem'
    claim 'memory = secretmem and a limit of 64 KiB: refused' refuses_saying \
        'memory-lock limit.*LimitMEMLOCK' locked_sign 65536
}

locked_sign() {
    OPENSSL_CONF=$CONF as_nobody prlimit --memlock="$1:$1" openssl dgst \
        -sign "$KEY" -out "$T/nobody/sig" "$DATA" >"$T/said" 2>&1 || {
        show "$T/said"
        return 1
    }
}

test_other_users() {
    if ((EUID != 0)); then
        echo 'not claimed: other users, only root can become one'
        return 0
    fi
    prepare_for_nobody
    test_setuid
    test_lock_limit
}

# ---- no descriptor left -------------------------------------------------------------

limited() {
    (ulimit -n "$1" && OPENSSL_CONF=$CONF exec "${@:2}")
}

# It works, or it fails with a message; it does not crash and gives no key.
survives_limit() {
    local status=0
    limited "$1" openssl pkey -in "$KEY" >"$T/pkey" 2>"$T/said" || status=$?
    show "$T/said"
    ((status < 124)) || ((status == 127)) || return 1
    no_key_in "$T/pkey" && [[ -s $T/said ]]
}

signs_or_says() {
    local status=0
    limited "$1" openssl dgst -sign "$KEY" -out "$T/sig" "$DATA" \
        >"$T/said" 2>&1 || status=$?
    show "$T/said"
    ((status == 0)) || [[ $status -lt 128 && -s $T/said ]]
}

test_descriptors() {
    local limit
    configure 'default mpk'
    for limit in 3 4 5 6 7 8; do
        claim "$limit descriptors: gives no key out" survives_limit "$limit"
        check "$limit descriptors: signs or says why" signs_or_says "$limit"
    done
}

if [[ $CONTROL == 1 ]]; then
    skip 'self-check = off is the control of this test'
fi
need_built "$MPKCTL" "$BUILD/key_victim"
stock openssl pkey -in "$CERTS/p256.key" -out "$KEY"
stock openssl pkey -in "$KEY" -pubout -out "$PUB"
echo 'some data' >"$DATA"
test_unknown_keys
test_bad_values
test_two_mistakes
test_order
test_early_name
test_base_before
test_no_default
test_no_module
test_default_properties
test_no_pku
test_two_sections
test_include
test_log
test_descriptors
test_other_users
finish
