#!/bin/bash
# mpkctl doctor says "ok" where keys and secrets are protected, and what to do
# where a configuration has one of the mistakes that nothing else notices; and
# mpkctl handle-key, whose file doctor looks at.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_built "$MPKCTL"
MODULE=$BUILD/mpk.so
CONF=$T/openssl.cnf
KEY=$T/handle.key
CLOSED='tls12-cbc = refuse\ntls12-premaster = refuse\nx448 = protect\nquic = protect'

# ---- what doctor says -------------------------------------------------------

# doctor CONF STATUS ARG...: its report goes to $T/doctor.
doctor() {
    local conf=$1 expected=$2 status=0
    shift 2
    OPENSSL_CONF=$conf timeout 60 "$MPKCTL" doctor "$@" >"$T/doctor" \
        2>"$T/doctor.err" || status=$?
    show "$T/doctor"
    show "$T/doctor.err"
    equal 'exit status' "$status" "$expected"
}

# says VERDICT NAME TEXT: a line of the last report; NAME and TEXT are regular
# expressions.
says() {
    has_match "$T/doctor" "^$1 +$2 +.*$3" || {
        echo "expected a line: $1 | $2 | $3"
        show "$T/doctor"
        return 1
    }
}

# Each line can be read alone, as it is in JSON.
refers_to_no_other() {
    lacks_match "$T/doctor" '\b(above|below)\b|begins? with "mpk:"'
}

says_not() {
    ! says "$@" >/dev/null || {
        echo "expected no line: $1 | $2 | $3"
        return 1
    }
}

all_keys() {
    local kind way
    for kind in P-256 RSA-2048; do
        for way in PEM OSSL_STORE; do
            says "$1" "key, $kind, $way" "$2" || return 1
        done
    done
}

# ---- configurations ---------------------------------------------------------

# conf PROVIDERS SETTINGS: the providers in that order; ours has the settings.
conf() {
    local name
    printf 'openssl_conf = o\n[o]\nproviders = p\n[p]\n'
    for name in $1; do
        echo "$name = s-$name"
    done
    for name in $1; do
        printf '[s-%s]\nactivate = 1\n' "$name"
        [[ $name == default ]] ||
            printf 'module = %s\nbackend = %s\n%s\n' "$MODULE" "$BACKEND" "$2"
    done
}

test_keys_profile() {
    claim 'keys profile: nothing to do' doctor "$PROTECTED" 0
    OPENSSL_CONF=$PROTECTED check 'keys profile: a full disk is an error' \
        refuses_saying 'cannot write' to_a_full_disk "$MPKCTL" doctor
    claim 'keys profile: held by mpk' all_keys ok "held by 'mpk', and signs"
    check 'keys profile: the module' says ok "module of 'mpk'" "$MODULE"
    check 'keys profile: the inner OpenSSL' \
        says ok "provider 'mpk'" 'with OpenSSL [34]\.'
    check 'keys profile: it is not older than the one outside' \
        says ok 'OpenSSL inside' 'OpenSSL [34]\.[0-9.]+$'
    check 'keys profile: the order' says ok providers 'default, mpk'
    check 'keys profile: what is fixed' says ok 'fixed data' 'sealed'
    check 'keys profile: whether pages stay' \
        says '(ok|note)' "domain's pages" 'sealed: '
    check 'keys profile: session secrets are said to be in the clear' \
        says note 'TLS 1.3 exporter' 'in the clear \(the keys profile'
    check 'keys profile: the kernel' says ok kernel "Linux $(uname -r)"
    check 'keys profile: TLS 1.2 too' \
        says note 'TLS 1.2 master secret' 'in the clear'
    check 'keys profile: tickets' says ok 'TLS 1.[23] ticket' resumes
}

# What an update of the distribution's package leaves behind.
test_old_inside() {
    LD_PRELOAD=$BUILD/later_openssl.so \
        check 'OpenSSL updated: nothing is refused' doctor "$PROTECTED" 0
    check 'OpenSSL updated: the module has the old one' \
        says note 'OpenSSL inside' 'older than the one outside'
}

test_stock() {
    check 'stock: something to do' doctor "$STOCK" 1
    check 'stock: keys are in the clear' all_keys 'to do' "held by 'default'"
    check 'stock: the configuration lacks it' \
        says 'to do' configuration 'no provider with the module'
    check 'stock: session secrets are in the clear' \
        says note 'TLS 1.3 resumption' 'in the clear'
}

# Every one of these goes on in the clear without a word from libcrypto.
test_mistakes() {
    conf 'mpk default' 'self-check = off' >"$CONF"
    check 'wrong order: noticed' doctor "$CONF" 1
    check 'wrong order: each line by itself' refers_to_no_other
    check 'wrong order: who has the keys' \
        says 'to do' 'key, P-256, PEM' "in the clear, held by 'default'"
    conf 'mpk default' 'self-check = require' >"$CONF"
    check 'wrong order, default kept out: noticed' doctor "$CONF" 1
    check 'wrong order, default kept out: said' \
        says 'to do' providers "'default' is not active"
    conf 'default mpk' '' | sed "s|^module = .*|module = $T/mpk.so|" >"$CONF"
    check 'no module: noticed' doctor "$CONF" 1
    check 'no module: named' says 'to do' "module of 'mpk'" "$T/mpk.so"
    conf 'default mpk' 'backend = nonsense' >"$CONF"
    check 'bad setting: noticed' doctor "$CONF" 1
    check 'bad setting: each line by itself' refers_to_no_other
    check 'bad setting: refuses' says 'to do' "provider 'mpk'" \
        'refuses: openssl.cnf, .* backend = nonsense is none of: mpk, '
    check 'bad setting: a handshake names the cause' says 'to do' \
        'TLS 1.3 handshake' 'failed: .*backend = nonsense is none of: mpk,'
    conf 'default mpk' 'self-check = default' >"$CONF"
    check 'a value that is a section: noticed' doctor "$CONF" 1
    check 'a value that is a section: named' \
        says 'to do' setting 'self-check = default in section .s-mpk.: there'
}

# The cause is named: what is wrong with the file, or what it lacks.
test_no_file() {
    local name
    check 'no file: noticed' doctor "$T/nothing.cnf" 1
    check 'no file: named' says 'to do' configuration \
        "'$T/nothing.cnf' .*: No such file or directory"
    check 'a folder: noticed' doctor "$T" 1
    check 'a folder: named' says 'to do' configuration \
        "'$T' .*: Is a directory"
    check 'an empty name: noticed' doctor '' 1
    check 'an empty name: said' says 'to do' configuration 'is empty'
    conf 'default mpk' '' >"$T/good.cnf"
    sed 's/^.s-default./[s-default/' "$T/good.cnf" >"$CONF"
    check 'no syntax: noticed' doctor "$CONF" 1
    check 'no syntax: said' says 'to do' configuration \
        'missing close square bracket: line 7'
    for name in 'openssl_conf = o' 'providers = p' 'default = s-default' \
        'mpk = s-mpk'; do
        sed "s/^$name\$/&x/" "$T/good.cnf" >"$CONF"
        check "${name}x: noticed" doctor "$CONF" 1
        check "${name}x: said" says 'to do' configuration \
            "${name}x names a section that is not in the file"
        check "${name}x: nothing is advised to a section that is not there" \
            says_not 'to do' '.*' 'activate = 1'
    done
}

test_module_file() {
    cp "$MODULE" "$T/other-name.so"
    conf 'default mpk' '' |
        sed "s|^module = .*|module = $T/other-name.so|" >"$CONF"
    claim 'module by another name: nothing to do' doctor "$CONF" 0
    rm "$T/other-name.so"
    mkdir "$T/cut"
    head -c 100000 "$MODULE" >"$T/cut/mpk.so"
    conf 'default mpk' '' | sed "s|^module = .*|module = $T/cut/mpk.so|" >"$CONF"
    check 'module cut off: noticed' doctor "$CONF" 1
    check 'module cut off: named' says 'to do' "module of 'mpk'" "$T/cut/mpk.so"
    conf 'default mpk' '' | sed 's|^module = .*|module = ./mpk.so|' >"$CONF"
    OPENSSL_MODULES=$BUILD claim 'relative path: nothing to do' doctor "$CONF" 0
    check 'relative path: where libcrypto looks' \
        says ok "module of 'mpk'" "$BUILD/./mpk.so"
}

# What follows an .include is taken for the last section of that file.
test_include_first() {
    conf 'default mpk' '' >"$T/included.cnf"
    printf '.include %s\noid_section = new_oids\n[new_oids]\n' \
        "$T/included.cnf" >"$CONF"
    check 'an .include before the rest: noticed' doctor "$CONF" 1
    check 'an .include before the rest: said' \
        says 'to do' setting 'let it be the last line'
}

# As the last line it counts, whatever the file's own section is called.
test_include_last() {
    local name
    for name in openssl_init other_init; do
        printf 'openssl_conf = %s\n[%s]\n[openssl_init]\nssl_conf = s\n[s]
system_default = d\n[d]\nMinProtocol = TLSv1.2\n' "$name" "$name" >"$CONF"
        sed "s/^# backend = mpk .*/backend = $BACKEND/" "$BUILD/mpk-keys.cnf" \
            >"$T/included.cnf"
        echo ".include = $T/included.cnf" >>"$CONF"
        claim "an .include at the end of $name: nothing to do" doctor "$CONF" 0
        sed -i 1d "$CONF"
        claim "an .include at the end, and no openssl_conf before: nothing to do" \
            doctor "$CONF" 0
    done
}

test_tls_only() {
    conf_full >"$CONF" || return 0
    sed -i '/^mpk = /d' "$CONF"
    check 'session secrets only: noticed' doctor "$CONF" 1
    check 'session secrets only: each line by itself' refers_to_no_other
    check 'session secrets only: said' \
        says 'to do' 'private keys' "add the section 'mpk'"
    check 'session secrets only: the module says so too' \
        has_line "$T/doctor.err" 'mpk: private keys are NOT protected'
}

in_a_system_with() {
    local dir
    dir=$(stock openssl version -d | sed 's/.*"\(.*\)"/\1/')
    unshare -m bash -c 'mount --bind "$1" "$(readlink -f "$2")" && shift 2 &&
        exec "$@"' - "$1" "$dir/openssl.cnf" "${@:2}"
}

# A file of its own replaces all that the system's has.
test_policy() {
    printf 'openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]
MinProtocol = TLSv1.3\n' >"$T/system.cnf"
    if ! in_a_system_with "$T/system.cnf" true 2>"$T/unshare"; then
        echo "not checked: a TLS policy of the system ($(cat "$T/unshare"))"
        return 0
    fi
    OPENSSL_CONF=$PROTECTED in_a_system_with "$T/system.cnf" "$MPKCTL" doctor \
        >"$T/doctor" 2>&1 || true
    check "the system's TLS policy is not in force: said" \
        says note 'TLS policy' 'MinProtocol'
    sed 's/^providers = .*/&\nssl_conf = s/' "$PROTECTED" >"$CONF"
    sed 1,3d "$T/system.cnf" >>"$CONF"
    OPENSSL_CONF=$CONF in_a_system_with "$T/system.cnf" "$MPKCTL" doctor \
        >"$T/doctor" 2>&1 || true
    check "the system's TLS policy is in force: nothing said" \
        says_not note 'TLS policy' ''
}

# libcrypto ignores OPENSSL_CONF in such a program, and says nothing.
test_capabilities() {
    cp "$MPKCTL" "$T/mpkctl-cap"
    chmod 755 "$T"
    if ! setcap cap_net_bind_service=+ep "$T/mpkctl-cap" 2>"$T/setcap" ||
        ! setpriv --reuid=65534 --clear-groups "$T/mpkctl-cap" --version \
            >/dev/null 2>"$T/setcap"; then
        echo "not checked: a program with capabilities ($(cat "$T/setcap"))"
        return 0
    fi
    OPENSSL_CONF=$PROTECTED setpriv --reuid=65534 --clear-groups \
        "$T/mpkctl-cap" doctor >"$T/doctor" 2>&1 || true
    check 'a program with capabilities: said' \
        says 'to do' configuration 'OPENSSL_CONF is ignored'
}

# The command of deploy.md, with what there is here: a limit that this root may
# have (that of a container cannot be raised), a user, the file.
test_as_service() {
    local command
    mkdir -m 755 "$T/service-bin"
    install -m 755 "$MPKCTL" "$T/service-bin/mpkctl"
    install -m 755 "$MODULE" "$T/service-bin/mpk.so"
    conf 'default mpk' '' |
        sed "s|^module = .*|module = $T/service-bin/mpk.so|" >"$CONF"
    command=$(sed -n '/^sudo prlimit/,/^```/p' "$ROOT/docs/deploy.md" |
        sed -e '/^```/d' -e 's/^sudo //' -e 's/67108864/1048576/' \
            -e 's/www-data/1/g; s/--init-groups/--clear-groups/' \
            -e "s|OPENSSL_CONF=[^ ]*|OPENSSL_CONF=$CONF|" \
            -e "s|mpkctl doctor|$T/service-bin/&|")
    if ((EUID != 0)) || ! prlimit --memlock=1048576 true; then
        echo "not checked: doctor as another user (not root)"
        return 0
    fi
    bash -c "$command" >"$T/doctor" 2>&1 || true
    check "as a service's user: its limit" says 'to do' 'memory lock' '1024 KiB'
    claim "as a service's user: held by mpk" \
        all_keys ok "held by 'mpk', and signs"
    chmod 600 "$T/service-bin/mpk.so"
    bash -c "$command" >"$T/doctor" 2>&1 || true
    check "as a service's user: a module that it may not read" \
        says 'to do' "module of 'mpk'" \
        "Permission denied.*: let the service's user read it"
}

# What holds in one folder only.
test_relative_paths() {
    local what='relative path'
    mkdir "$T/relative"
    conf 'default mpk' '' >"$T/relative/openssl.cnf"
    cd "$T/relative"
    claim "$what: nothing to do" doctor openssl.cnf 0
    check "$what: the configuration is named" \
        says note "$what" 'the configuration, openssl.cnf, is looked for'
    claim "$what: the whole path" doctor "$PWD/openssl.cnf" 0
    check "$what: nothing is said" says_not note "$what" ''
    cd - >/dev/null
}

# Whoever can write module or configuration can switch protection off.
test_who_can_write() {
    local dir=$T/written what='who can write'
    if ((EUID != 0)); then
        echo "not checked: $what (not root)"
        return 0
    fi
    mkdir "$dir" "$dir/conf" "$dir/key"
    cp "$MODULE" "$dir/mpk.so"
    make_key "$dir/key/secret.key"
    conf 'default mpk' '' | sed "s|^module = .*|module = $dir/mpk.so|" \
        >"$dir/conf/openssl.cnf"
    claim "$what: root only" doctor "$dir/conf/openssl.cnf" 0
    check "$what: nothing is said" says_not note "$what" ''
    chmod 666 "$dir/conf/openssl.cnf"
    claim "$what: a configuration, and nothing to do" \
        doctor "$dir/conf/openssl.cnf" 0
    check "$what: a configuration is named" \
        says note "$what" "the configuration can .* $dir/conf/openssl.cnf is"
    chmod 644 "$dir/conf/openssl.cnf"
    chmod 777 "$dir/conf"
    chown 1 "$dir/mpk.so"
    claim "$what: a folder and a module" doctor "$dir/conf/openssl.cnf" 0
    check "$what: a folder is named" \
        says note "$what" "the configuration can .* $dir/conf is .*mode 777"
    check "$what: a module is named" \
        says note "$what" "the module can .* $dir/mpk.so is user 1's"
    chmod 1777 "$dir/conf"
    chown 0:2 "$dir/mpk.so"
    chmod 664 "$dir/mpk.so"
    claim "$what: a folder for all, and a group's module" \
        doctor "$dir/conf/openssl.cnf" 0
    check "$what: nobody replaces what is another's in such a folder" \
        says_not note "$what" 'the configuration'
    check "$what: a group is others" says note "$what" 'the module .*mode 664'
    sed -i "s|^activate.*|&\nrole = tls\nhandle-key-file = $dir/key/secret.key|" \
        "$dir/conf/openssl.cnf"
    chown 1 "$dir/key"
    doctor "$dir/conf/openssl.cnf" 1 >/dev/null || true
    check "$what: the handle key's folder is named" \
        says note "$what" "the handle key can .* $dir/key is user 1's"
}

# A self-check that finds a hole may end the process; doctor outlives it.
test_ended() {
    if ! command -v cc >/dev/null; then
        echo 'not checked: a module that ends the process (no compiler)'
        return 0
    fi
    mkdir "$T/ends"
    echo 'void abort(void); int OSSL_provider_init(void) { abort(); }' |
        cc -shared -fPIC -w -x c -o "$T/ends/mpk.so" -
    conf 'default mpk' '' |
        sed "s|^module = .*|module = $T/ends/mpk.so|" >"$CONF"
    check 'ended by the module: noticed' doctor "$CONF" 1
    check 'ended by the module: each line by itself' refers_to_no_other
    check 'ended by the module: said' \
        says 'to do' configuration 'is ended by signal 6'
    echo 'void abort(void); int puts(const char *); int dup2(int, int);
        int fflush(void *); int OSSL_provider_init(void) { dup2(2, 1);
        puts("mpk: this and that"); puts("mpk: and more"); fflush(0);
        abort(); }' |
        cc -shared -fPIC -w -x c -o "$T/ends/mpk.so" -
    check 'ended by the module with words: noticed' doctor "$CONF" 1
    check 'ended by the module with words: they are in the text' says 'to do' \
        configuration 'signal 6 .*last words: mpk: this and that; mpk: and more'
    check 'ended by the module with words: and on standard error' \
        has_line "$T/doctor.err" 'mpk: and more'
    check 'ended by the module with words: no filter is named' \
        says_not 'to do' configuration SystemCallFilter
    check 'ended by the module with words: in JSON too' doctor "$CONF" 1 --json
    check 'ended by the module with words: said there' \
        has_match "$T/doctor" '"text": "every.*; mpk: and more"'
    echo 'int raise(int); int OSSL_provider_init(void) { return raise(31); }' |
        cc -shared -fPIC -w -x c -o "$T/ends/mpk.so" -
    check 'ended by a filter: noticed' doctor "$CONF" 1
    check 'ended by a filter: said' says 'to do' configuration \
        'signal 31 .*SystemCallFilter='
}

test_backends() {
    conf 'default mpk' '' | sed 's/^backend = .*/backend = none/' >"$CONF"
    check 'backend none: something to do' doctor "$CONF" 1
    check 'backend none: said' says 'to do' backend 'protects nothing'
    sed -i 's/^backend = .*/backend = None/' "$CONF"
    check 'backend None is the same: something to do' doctor "$CONF" 1
    check 'backend None is the same: said' \
        says 'to do' backend 'protects nothing'
    sed -i 's/^backend = .*/backend = nonsense/' "$CONF"
    check 'backend nonsense: something to do' doctor "$CONF" 1
    check 'backend nonsense: said' says 'to do' backend 'none of: mpk,'
    check 'backend nonsense: the provider says why, in one line' \
        test "$(grep -c 'nonsense is none of' "$T/doctor.err")" -eq 1
}

# in_section NAME SED-COMMAND FILE: changes this provider's section.
in_section() {
    sed -i "/^\\[s-$1\\]/,/^\\[/$2" "$3"
}

# A process has one domain, with what the first section says.
test_two_sections() {
    conf 'default mpk other' 'memory = auto' >"$CONF"
    claim 'two sections alike: nothing to do' doctor "$CONF" 0
    in_section mpk 's/^backend = .*/backend = none/' "$CONF"
    check 'the first of two is none: something to do' doctor "$CONF" 1
    check 'the first of two is none: that is in force' says 'to do' backend \
        "none is in force, of .*'mpk'; 'other' has $BACKEND.*the same into all"
    check 'the first of two is none: the module says so' has_match \
        "$T/doctor.err" "^mpk: .* has backend = none and memory = auto, from .*\
provider 'other' is ignored: write the same into both"
    check 'the first of two is none: not both are said' \
        says_not '(ok|note)' backend ''
    in_section mpk "s/^backend = .*/backend = ${BACKEND^^}/" "$CONF"
    claim 'two sections alike, in capitals: nothing to do' doctor "$CONF" 0
    in_section mpk 's/^memory = .*/memory = anonymous/' "$CONF"
    check 'two sections, other memory: something to do' doctor "$CONF" 1
    check 'two sections, other memory: said' says 'to do' memory \
        "anonymous is in force, of .*'mpk'; 'other' has auto"
    in_section mpk 's/^activate = .*//' "$CONF"
    in_section other 's/^memory = .*/memory = anonymous/' "$CONF"
    in_section mpk 's/^backend = .*/backend = none/' "$CONF"
    check 'the first of two is not active: something to do' doctor "$CONF" 1
    check "the first of two is not active: the other's is in force" \
        says_not 'to do' '(backend|memory)' ''
    conf 'default mpk other' '' >"$CONF"
    in_section mpk 's/^backend = .*/backend = nonsense/' "$CONF"
    check 'the first of two is refused: something to do' doctor "$CONF" 1
    check "the first of two is refused: the other's is in force" says 'to do' \
        backend "$BACKEND is in force, of .*'other'; 'mpk' has nonsense"
}

# As the module has it of the first section with role = tls.
test_two_tls_sections() {
    conf 'default mpk other' 'role = tls' >"$CONF"
    in_section other "s|^role = .*|&\nhandle-key-file = $T/missing.key|" "$CONF"
    check 'two sections for TLS: something to do' doctor "$CONF" 1
    check "two sections for TLS: the second's handle key is not in force" \
        says note 'handle key' 'of each process anew'
}

test_two_files() {
    mkdir "$T/copy"
    cp "$MODULE" "$T/copy/mpk.so"
    ln -s "$MODULE" "$T/copy/link.so"
    conf 'default mpk other' '' >"$CONF"
    in_section mpk "s|^module = .*|module = $T/copy/link.so|" "$CONF"
    claim 'a link to the module: nothing to do' doctor "$CONF" 0
    in_section mpk "s|^module = .*|module = $T/copy/mpk.so|" "$CONF"
    check 'two files of the module: something to do' doctor "$CONF" 1
    check 'two files of the module: said' says 'to do' module \
        "two files: 'mpk' has $T/copy/mpk.so, 'other' has $MODULE"
}

test_not_active() {
    conf 'default mpk' '' >"$CONF"
    in_section mpk 's/^activate = .*//' "$CONF"
    check 'not active: something to do' doctor "$CONF" 1
    check 'not active: said' says 'to do' "section of 'mpk'" \
        '\[s-mpk\] has no "activate = 1"'
    check 'not active: the file is not in order' \
        says 'to do' configuration 'activates no provider with this module'
    check 'not active: no backend is in force' says_not ok backend ''
    in_section mpk 's/^module = .*/&\nactivte = 1/' "$CONF"
    check 'misspelt: something to do' doctor "$CONF" 1
    check 'misspelt: named' says 'to do' "section of 'mpk'" \
        "'activte' in \[s-mpk\] is no setting"
    in_section mpk 's/^activte = .*/0.activate = 1/' "$CONF"
    claim 'activated with a number: nothing to do' doctor "$CONF" 0
}

test_memlock() {
    check 'low memory lock: noticed' low_memlock
    check 'low memory lock: said' says 'to do' 'memory lock' '64 KiB'
}

test_memlock_of_secretmem() {
    local what='low memory lock, memory = secretmem'
    conf 'default mpk' 'memory = secretmem' >"$CONF"
    (ulimit -l 64 && OPENSSL_CONF=$CONF "$MPKCTL" doctor >"$T/doctor" 2>&1) ||
        true
    check "$what: keys are refused" \
        says 'to do' 'memory lock' '64 KiB.*keys are refused'
}

low_memlock() {
    (ulimit -l 64 && doctor "$PROTECTED" 1)
}

# filtered_doctor NUMBER: as the unit of a service, without that system call.
filtered_doctor() {
    OPENSSL_CONF=$CONF timeout 60 "$BUILD/filtered" "$1" "$MPKCTL" doctor \
        >"$T/doctor" 2>"$T/doctor.err" || true
    show "$T/doctor"
}

# A filter that does not know the call for it ends who asks.
test_filter() {
    local mseal=462 close_range=436 acct=163 pages="domain's pages"
    BACKEND=none conf 'default mpk' '' >"$CONF"
    OPENSSL_CONF=$CONF "$MPKCTL" doctor >"$T/doctor" 2>&1 || true
    says ok "$pages" 'sealed: ' >/dev/null || return 0 # Linux 6.10
    filtered_doctor "$acct"
    check 'filtered: what seals pages there' says note "$pages" \
        "'seal-pages = try'.* here"
    filtered_doctor "$mseal"
    check 'filtered, no mseal: that is not asked for' says note "$pages" \
        'or one that lets mseal pass'
    filtered_doctor "$close_range"
    check 'filtered, no close_range: nor where that would end it' \
        says note "$pages" 'or one that lets mseal pass'
    BACKEND=none conf 'default mpk' 'seal-pages = try' >"$CONF"
    filtered_doctor "$acct"
    check 'filtered, told to try: sealed' says ok "$pages" 'sealed: '
    filtered_doctor "$mseal"
    check 'filtered, no mseal, told to try: doctor says what ends it' \
        says 'to do' configuration 'ended by signal 31 .*SystemCallFilter='
    BACKEND=none conf 'default mpk' 'seal-pages = always' >"$CONF"
    check 'seal-pages = always: refused' doctor "$CONF" 1
    check 'seal-pages = always: said' has_match "$T/doctor" \
        'seal-pages = always is none of: auto, try'
}

test_file_limit() {
    check 'a limit on files: noticed' low_file_limit
    check 'a limit on files: said' says note secretmem '1024 KiB.*LimitFSIZE'
    (ulimit -f 256 && OPENSSL_CONF=$PROTECTED "$MPKCTL" doctor 2>&1) |
        cat >"$T/doctor" || true
    check 'small files only: what is fixed is not all sealed' \
        says note 'fixed data' 'not all sealed.*LimitFSIZE'
}

low_file_limit() {
    (ulimit -f 1024 && doctor "$PROTECTED" 0)
}

to_a_full_disk() {
    "$@" >/dev/full
}

json_is_json() {
    doctor "$PROTECTED" 0 --json >/dev/null &&
        python3 -m json.tool "$T/doctor" >"$T/json" &&
        grep -q '"verdict": "ok"' "$T/json" && grep -q '"to_do": 0' "$T/json"
}

# ---- the full profile -------------------------------------------------------

# What a server wants of its connections is no fault of the configuration. Each
# of the lines by itself was seen to fail: the certificate was of P-256 only, and
# libssl gave the lines to the client, too.
test_strict_full_profile() {
    local what='full profile, few groups, versions and suites'
    conf_full | sed '/^Groups/d' >"$CONF"
    printf '%s\n' 'Groups = X25519' 'Protocol = -ALL,TLSv1.3' \
        'VerifyMode = Peer,Require' \
        'CipherString = ECDHE-RSA-AES128-GCM-SHA256' >>"$CONF"
    claim "$what: nothing to do" doctor "$CONF" 0
    claim "$what: opaque" says ok 'TLS 1.2 master secret' opaque
    sed -i 's/^Groups = .*/Groups = P-521:P-384/; s/ECDHE-RSA/ECDHE-ECDSA/' \
        "$CONF"
    claim "$what, ECDSA: nothing to do" doctor "$CONF" 0
    sed -i 's/^Groups = .*/Groups = X448/' "$CONF"
    claim 'full profile, X448: nothing to do' doctor "$CONF" 0
    check 'full profile, X448: said' \
        says note 'TLS 1.3 key exchange' 'in the clear, as "x448 = leave"'
}

test_full_profile() {
    local secret
    if ! conf_full >"$CONF"; then
        echo 'not checked: the full profile, which has no role = tls here'
        return 0
    fi
    claim 'full profile: nothing to do' doctor "$CONF" 0
    for secret in '1.3 key exchange' '1.3 client handshake traffic' \
        '1.3 server handshake traffic' '1.3 client application traffic' \
        '1.3 server application traffic' '1.3 exporter' '1.3 resumption' \
        '1.3 client early traffic' '1.3 early exporter' '1.2 key exchange' \
        '1.2 master secret'; do
        claim "full profile: $secret" says ok "TLS $secret" opaque
    done
    check 'full profile: no handle key is said' \
        says note 'handle key' "HAProxy's reload.*set handle-key-file"
    check 'full profile: what it leaves in the clear' \
        says note 'left in the clear' 'CBC.*RSA.*X448'
    check 'full profile: HTTP/3' says note HTTP/3 'quic = protect'
    conf_full | sed "s|^role = tls|&\nhandle-key-file = $KEY\n$CLOSED|" >"$CONF"
    claim 'full profile with a handle key: nothing to do' doctor "$CONF" 0
    check 'full profile, all closed: nothing in the clear' \
        says_not note 'left in the clear' ''
    check 'full profile, all closed: HTTP/3' says_not note HTTP/3 ''
    claim 'full profile with a handle key: opaque' \
        says ok 'TLS 1.3 resumption' opaque
    test_strict_full_profile
    conf_full >"$CONF"
    # After "default", by place and by name, which libcrypto sorts by.
    sed -i '/^default_properties/d; /^MPK = /d
        s/^mpk = .*/&\nzz = tls_provider/
        s/^role = tls/&\ntls-secrets = warn/' "$CONF"
    check 'full profile in the wrong order: noticed' doctor "$CONF" 1
    check 'full profile in the wrong order: said' \
        says 'to do' 'TLS 1.3 exporter' 'in the clear: the provider with role'
    check 'full profile in the wrong order: the key exchange' \
        says 'to do' 'TLS 1.[23] key exchange' 'in the clear: the provider'
    conf_full | sed 's/^role = tls/&\ntls-secrets = off/' >"$CONF"
    check 'full profile, switched off: noticed' doctor "$CONF" 1
    check 'full profile, switched off: said' \
        says 'to do' 'TLS 1.3 exporter' 'in the clear, as "tls-secrets = off"'
}

# ---- handle keys ------------------------------------------------------------

make_key() {
    "$MPKCTL" handle-key "$@"
}

mode_is() {
    equal mode "$(stat -c %a "$1")" "$2"
}

# The key file's form is what provider and mpkctl agree on.
form_is_right() {
    [[ $(sed -n 1p "$KEY") == '-----BEGIN MPK HANDLE KEY-----' ]] &&
        [[ $(sed -n 3p "$KEY") == '-----END MPK HANDLE KEY-----' ]] &&
        [[ $(wc -l <"$KEY") == 3 ]] &&
        [[ $(sed -n 2p "$KEY" | base64 -d | wc -c) == 32 ]]
}

differs() {
    ! cmp -s "$1" "$2"
}

owner_is() {
    equal owner "$(stat -c %u:%g "$1")" "$2"
}

make_key_as_daemon() {
    setpriv --reuid=1 --regid=1 --clear-groups "$T/mpkctl" handle-key "$@"
}

# A service's own key, replaced by root. Seen to fail without the fchown, and
# without the fchmod.
test_owner_of_handle_key() {
    if ((EUID != 0)); then
        echo "not checked: another user's handle key (not root)"
        return 0
    fi
    install -m 755 "$MPKCTL" "$T/mpkctl"
    chmod 711 "$T"
    mkdir -m 777 "$T/service"
    make_key "$T/service/key"
    chown 1:2 "$T/service/key"
    chmod 440 "$T/service/key"
    check "handle key: a service's is replaced" \
        make_key --force "$T/service/key"
    check 'handle key: which keeps its owner' owner_is "$T/service/key" 1:2
    check 'handle key: and its mode, but for others' \
        mode_is "$T/service/key" 400
    check 'handle key: replaced by an owner outside of its group' \
        make_key_as_daemon --force "$T/service/key"
    check 'handle key: who keeps it' owner_is "$T/service/key" 1:1
    chown 2:2 "$T/service/key"
    chmod 444 "$T/service/key"
    cp "$T/service/key" "$T/first.key"
    check "handle key: another user's is not taken" \
        refuses_saying 'cannot write' make_key_as_daemon --force "$T/service/key"
    check 'handle key: and stays' same_file "$T/service/key" "$T/first.key"
    check 'handle key: with nothing beside it' \
        equal files "$(find "$T/service" -type f | wc -l)" 1
}

test_handle_key() {
    check 'handle key: is made' make_key "$KEY"
    check 'handle key: for its owner only' mode_is "$KEY" 600
    check 'handle key: form' form_is_right
    cp "$KEY" "$T/first.key"
    check 'handle key: is not replaced' refuses_saying 'is there already' \
        make_key "$KEY"
    check 'handle key: is as it was' same_file "$KEY" "$T/first.key"
    check 'handle key: is replaced when asked for' make_key --force "$KEY"
    check 'handle key: is another' differs "$KEY" "$T/first.key"
    check 'handle key: still for its owner only' mode_is "$KEY" 600
    test_owner_of_handle_key
    cp "$T/first.key" "$T/other.pem"
    sed -i 's/HANDLE/PRIVATE/' "$T/other.pem"
    cp "$T/other.pem" "$T/copy.pem"
    check 'handle key: another file is not replaced' \
        refuses_saying 'is no handle key' make_key --force "$T/other.pem"
    check 'handle key: which is as it was' same_file "$T/other.pem" "$T/copy.pem"
    mkfifo "$T/pipe"
    check 'handle key: nor is what is no file' \
        refuses_saying 'is no handle key' make_key --force "$T/pipe"
    check 'handle key: leaves nothing else' \
        equal files "$(find "$T" -name 'handle.key*' | wc -l)" 1
    check 'handle key: no such folder' refuses_saying 'cannot write' \
        make_key "$T/none/handle.key"
    check 'handle key: no file' \
        refuses_saying 'bad arguments: one is missing' make_key
}

# doctor reads the setting from the file, whatever module is built.
doctor_on_key() {
    conf 'default mpk' 'role = tls' |
        sed "s|^role = tls|&\nhandle-key-file = $1|" >"$CONF"
    doctor "$CONF" 1 >/dev/null
}

# Its path is longer than most settings are.
test_doctor_on_handle_key() {
    local name long=$T
    printf -v name '%0100d' 0
    long+=/$name/$name/$name
    mkdir -p "$long"
    cp -p "$KEY" "$long/key"
    check 'handle key: a good one' doctor_on_key "$long/key"
    check 'handle key: is ok' says ok 'handle key' "$long/key\$"
    chmod 640 "$KEY"
    check 'handle key: readable for others' doctor_on_key "$KEY"
    check 'handle key: chmod is advised' says 'to do' 'handle key' 'chmod 600'
    chmod 600 "$KEY"
    sed -i '2s/^..../!!!!/' "$KEY"
    check 'handle key: damaged' doctor_on_key "$KEY"
    check 'handle key: is none' says 'to do' 'handle key' 'is no handle key'
    mkfifo -m 600 "$T/fifo"
    check 'handle key: a pipe is not waited for' doctor_on_key "$T/fifo"
    check 'handle key: is no file' says 'to do' 'handle key' 'not a regular file'
    check 'handle key: missing' doctor_on_key "$T/missing.key"
    check 'handle key: how to make it' \
        says 'to do' 'handle key' 'mpkctl handle-key'
}

# ---- the command itself -----------------------------------------------------

version_is_said() {
    "$MPKCTL" --version | grep -qE '^mpkctl [0-9.]+ with OpenSSL [0-9.]+'
}

helps() {
    local command
    "$MPKCTL" help | grep -q 'usage: mpkctl' || return 1
    for command in scan doctor handle-key reference keylog; do
        "$MPKCTL" help "$command" | grep -q "usage: mpkctl $command" ||
            return 1
        equal "help of $command" "$("$MPKCTL" help "$command")" \
            "$("$MPKCTL" "$command" --help)" || return 1
        equal "$command -h" "$("$MPKCTL" "$command" -h)" \
            "$("$MPKCTL" "$command" --help)" || return 1
    done
}

check 'mpkctl --version' version_is_said
check 'mpkctl help' helps
check 'mpkctl help nonsense' refuses_saying 'unknown command' \
    "$MPKCTL" help nonsense
check 'mpkctl scan --nonsense' refuses_saying 'nonsense: no such option' \
    "$MPKCTL" scan --nonsense
check 'mpkctl scan nonsense' refuses_saying 'nonsense: no option' \
    "$MPKCTL" scan nonsense
check 'mpkctl doctor nonsense' \
    refuses_saying 'bad arguments: nonsense is one too many' \
    "$MPKCTL" doctor --json nonsense
check 'mpkctl doctor --nonsense' \
    refuses_saying 'bad arguments: --nonsense: no such option' \
    "$MPKCTL" doctor --json --nonsense
check 'mpkctl doctor -x' refuses_saying 'bad arguments: -x: no such option' \
    "$MPKCTL" doctor -xy
check 'mpkctl doctor --json=1' \
    refuses_saying 'bad arguments: --json=1: no such option' \
    "$MPKCTL" doctor --json=1
test_keys_profile
test_old_inside
test_stock
test_mistakes
test_no_file
test_module_file
test_include_first
test_include_last
test_tls_only
test_policy
test_capabilities
test_as_service
test_who_can_write
test_relative_paths
test_ended
test_backends
test_two_sections
test_two_tls_sections
test_two_files
test_not_active
test_memlock
test_memlock_of_secretmem
test_filter
test_file_limit
if command -v python3 >/dev/null; then
    claim 'doctor --json is JSON' json_is_json
fi
test_handle_key
test_full_profile
test_doctor_on_handle_key
finish
