#!/bin/bash
# PEM files that say where a key is. A program that reads key files itself holds
# these bytes; the key is read by the inside.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_built "$MPKCTL" "$BUILD/key_victim"
PASS=correct-horse
KEY=$T/p256.key
REF=$T/p256.ref
PUB=$T/p256.pub

# with SETTING COMMAND...: under a configuration with one more setting.
with() {
    local conf=$T/with.cnf setting=$1
    shift
    sed "s/^module = .*mpk.so$/&\n$setting/" "$PROTECTED" >"$conf"
    OPENSSL_CONF=$conf "$@"
}

follows() {
    with 'key-references = follow' "$@"
}

# block TEXT: a reference with any text in it.
block() {
    echo '-----BEGIN MPK KEY REFERENCE-----'
    printf '%s' "$1" | base64 -w 64
    echo '-----END MPK KEY REFERENCE-----'
}

public_of() {
    "${@:2}" openssl pkey -in "$1" -pubout
}

gives_the_key() {
    public_of "$1" follows "${@:2}" >"$T/got" && same_file "$T/got" "$PUB"
}

encrypted_gives_the_key() {
    follows openssl pkey -in "$T/encrypted.ref" -passin "pass:$1" -pubout \
        >"$T/got" && same_file "$T/got" "$PUB"
}

make_files() {
    cp "$CERTS/p256.key" "$KEY"
    stock openssl pkey -in "$KEY" -pubout -out "$PUB"
    stock openssl pkcs8 -topk8 -in "$KEY" -passout "pass:$PASS" \
        -out "$T/encrypted.key"
    "$MPKCTL" reference "$KEY" >"$REF"
    "$MPKCTL" reference "$T/encrypted.key" >"$T/encrypted.ref"
    cat "$CERTS/p256.crt" "$REF" >"$T/both.pem"
}

has_no_key_in_it() {
    lacks_match "$1" 'PRIVATE KEY'
}

test_keys_by_reference() {
    check 'the reference is not the key' has_no_key_in_it "$REF"
    claim 'it gives the key' gives_the_key "$REF"
    claim 'behind a certificate too' gives_the_key "$T/both.pem"
    claim 'an encrypted key, with its passphrase' \
        encrypted_gives_the_key "$PASS"
    claim 'not with another' refuses_saying 'cannot be decrypted' \
        encrypted_gives_the_key wrong
}

test_server_by_reference() {
    sed 's/^module = .*mpk.so$/&\nkey-references = follow/' "$PROTECTED" \
        >"$T/serve.cnf"
    claim 'a server starts with it' serve "$T/serve.cnf" \
        -cert "$CERTS/p256.crt" -key "$REF"
    # In the control run there is none.
    SERVER_PORT=${SERVER_PORT:-1} SERVER_PID=${SERVER_PID:-$$}
    claim 'and serves' fetch "$STOCK" "$SERVER_PORT" tls1_3
    [[ $CONTROL == 1 ]] ||
        claim 'a scan finds no key' scan_clean --pid "$SERVER_PID" "$KEY"
}

not_given() {
    refuses_saying "$1" public_of "$2" "${@:3}"
}

# Each of these is one error, which says what to do.
test_refusals() {
    claim 'refused unless the section says so' \
        not_given 'key-references = follow' "$REF" protected
    claim 'refused when it says refuse' not_given 'key-references = follow' \
        "$REF" with 'key-references = refuse'
    claim 'another word is none of the setting' not_given 'is none of' "$REF" \
        with 'key-references = perhaps'
    "$MPKCTL" reference "$REF" >"$T/second.ref"
    claim 'a reference to a reference' not_given 'not from one to the next' \
        "$T/second.ref" follows
    block "mpk:$T/self.ref" >"$T/self.ref"
    claim 'a reference to itself' not_given 'not from one to the next' \
        "$T/self.ref" follows
    block "mpk:$T/nothing" >"$T/missing.ref"
    claim 'a file that is not there' not_given "$T/nothing" "$T/missing.ref" \
        follows
}

says_no_key() {
    "$MPKCTL" reference "$1" 2>&1 >/dev/null | grep 'no private key is seen'
}

test_damaged_references() {
    local text
    for text in mpk: mpk:relative "mpk://host$KEY" $'mpk:/a\nb' "file:$KEY" "$KEY" \
        "mpk:/$(printf '%5000s' '' | tr ' ' a)"; do
        block "$text" >"$T/damaged.ref"
        claim "text '${text:0:20}'" not_given 'damaged reference' \
            "$T/damaged.ref" follows
    done
    block '' >"$T/empty.ref"
    claim 'no text' not_given 'damaged private key' "$T/empty.ref" follows
    { block "mpk:$KEY" | head -2 | tr -d '\n' | cut -c1-60 && echo; } \
        >"$T/cut.ref"
    check 'cut short' not_given . "$T/cut.ref" follows
    check 'no such file' refuses_saying 'No such file' \
        "$MPKCTL" reference "$T/nothing"
    check 'no file' refuses_saying 'bad arguments' "$MPKCTL" reference
    check 'a certificate: a warning' says_no_key "$CERTS/p256.crt"
    check 'a key: none' refuses says_no_key "$KEY"
}

# signs_with COMMAND...: by PEM_read_bio_PrivateKey, which goes on to libcrypto's old
# code when a decoder fails; and that reads on, behind a label it does not know.
signs_with() {
    local output
    # A line for each of its stages.
    output=$("$@" 2>&1 <<<$'\n\n\n\n' || true)
    grep '^signed' <<<"$output"
}

test_no_way_around() {
    local victim=$BUILD/key_victim
    cat "$REF" "$CERTS/rsa2048.key" >"$T/two.pem"
    cat "$T/missing.ref" "$CERTS/rsa2048.key" >"$T/two_missing.pem"
    cat "$T/encrypted.ref" "$CERTS/rsa2048.key" >"$T/two_encrypted.pem"
    check 'a key alone signs' signs_with protected "$victim" pem-bio \
        "$CERTS/rsa2048.key"
    claim 'not the key behind a reference that is refused' refuses signs_with \
        protected "$victim" pem-bio "$T/two.pem"
    claim 'not the key behind a reference that fails' refuses signs_with \
        follows "$victim" pem-bio "$T/two_missing.pem"
    claim 'not the key behind a wrong passphrase' refuses signs_with \
        follows "$victim" -p wrong pem-bio "$T/two_encrypted.pem"
    check 'but the one that is followed' signs_with follows "$victim" \
        -p "$PASS" pem-bio "$T/two_encrypted.pem"
}

make_files
test_keys_by_reference
test_server_by_reference
test_refusals
test_damaged_references
test_no_way_around
finish
