#!/bin/bash
# The openssl command line with protected keys. Usage: cli_test.sh pem|mpk,
# which says how they are loaded, from PEM or by mpk: URI. Whatever they make
# is checked by a stock openssl with public data.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

WAY=${1:-}
PASS=correct-horse
DATA=$T/data
BIN=$T/digest
OUT=$T/out

# forget empties what the last commands have written.
forget() {
    local file
    for file in "$OUT" "$OUT".*; do
        [[ ! -e $file ]] || : >"$file"
    done
}

# ---- certificates ---------------------------------------------------------

public_key_of_request() {
    stock openssl req -in "$1" -noout -pubkey >"$T/req.pub" &&
        same_file "$T/req.pub" "$2"
}

test_certificates() {
    local type=$1 key=$2 name="$1 by $3" sub
    sub="/CN=$type"
    check "req -new, $name" protected openssl req -new -key "$key" \
        -subj "$sub" -out "$OUT.csr"
    check "req -new, $name: verifies" \
        stock openssl req -in "$OUT.csr" -verify -noout
    check "req -new, $name: has the key's public part" \
        public_key_of_request "$OUT.csr" "$T/$type.pub"
    check "req -x509, $name" protected openssl req -x509 -new -key "$key" \
        -subj "$sub CA" -addext basicConstraints=critical,CA:TRUE -out "$OUT.ca"
    check "req -x509, $name: verifies" stock openssl verify -check_ss_sig \
        -CAfile "$OUT.ca" "$OUT.ca"
    check "x509 -req -CA, $name" protected openssl x509 -req -in "$T/leaf.csr" \
        -CA "$OUT.ca" -CAkey "$key" -set_serial 7 -out "$OUT.leaf"
    check "x509 -req -CA, $name: verifies" stock openssl verify \
        -CAfile "$OUT.ca" "$OUT.leaf"
    check "x509 -signkey, $name" protected openssl x509 -req -in "$OUT.csr" \
        -signkey "$key" -out "$OUT.self"
    check "x509 -signkey, $name: verifies" stock openssl verify -check_ss_sig \
        -CAfile "$OUT.self" "$OUT.self"
    forget
}

# openssl ca takes its policy from a configuration of its own. With -config it
# is a second file beside OPENSSL_CONF, and one that names providers again.
ca_config() {
    show "$PROTECTED"
    echo "[ca]
default_ca = test_ca
[test_ca]
database = $T/ca.index
crlnumber = $T/ca.crlnumber
default_md = default
default_crl_days = 30"
}

gencrl() {
    local conf=$1 key=$2
    shift 2
    : >"$T/ca.index"
    echo 01 >"$T/ca.crlnumber"
    OPENSSL_CONF=$conf openssl ca -gencrl "$@" -keyfile "$key" \
        -cert "$T/ca.pem" -out "$OUT.crl" &&
        stock openssl crl -in "$OUT.crl" -CAfile "$T/ca.pem" -noout \
            >"$T/crl" 2>&1 && [[ $(<"$T/crl") == *'verify OK'* ]]
}

test_crl() {
    local type=$1 key=$2 name="$1 by $3"
    stock openssl req -x509 -new -key "$CERTS/$type.key" -subj '/CN=CRL CA' \
        -addext basicConstraints=critical,CA:TRUE -out "$T/ca.pem"
    ca_config >"$T/ca.cnf"
    check "ca -gencrl, $name, one configuration" gencrl "$T/ca.cnf" "$key"
    check "ca -gencrl, $name, -config beside OPENSSL_CONF" \
        gencrl "$PROTECTED" "$key" -config "$T/ca.cnf"
}

# ---- messages -------------------------------------------------------------

test_cms_sign() {
    local type=$1 key=$2 name="$1 by $3" cert=$CERTS/$1.crt
    shift 3
    check "cms -sign, $name $*" protected openssl cms -sign -binary -nodetach \
        -in "$DATA" -signer "$cert" -inkey "$key" "$@" -outform DER -out "$OUT"
    check "cms -sign, $name $*: verifies" stock openssl cms -verify -binary \
        -in "$OUT" -inform DER -CAfile "$CERTS/ca.crt" -purpose any \
        -out "$OUT.d"
    check "cms -sign, $name $*: is the data" same_file "$DATA" "$OUT.d"
    forget
}

test_cms_decrypt() {
    local type=$1 key=$2 name="$1 by $3" cert=$CERTS/$1.crt
    shift 3
    stock openssl cms -encrypt -binary -aes256 -in "$DATA" -outform DER \
        -out "$OUT" -recip "$cert" "$@"
    check "cms -decrypt, $name $*" protected openssl cms -decrypt -binary \
        -in "$OUT" -inform DER -recip "$cert" -inkey "$key" -out "$OUT.d"
    check "cms -decrypt, $name $*: is the data" same_file "$DATA" "$OUT.d"
    check "cms -encrypt to $name" protected openssl cms -encrypt -binary \
        -aes256 -in "$DATA" -outform DER -out "$OUT.e" -recip "$cert" "$@"
    check "cms -encrypt to $name: stock decrypts" stock openssl cms -decrypt \
        -binary -in "$OUT.e" -inform DER -recip "$cert" \
        -inkey "$CERTS/$type.key" -out "$OUT.f"
    check "cms -encrypt to $name: is the data" same_file "$DATA" "$OUT.f"
    forget
}

test_smime() {
    local type=$1 key=$2 name="$1 by $3" cert=$CERTS/$1.crt
    check "smime -sign, $name" protected openssl smime -sign -binary -nodetach \
        -in "$DATA" -signer "$cert" -inkey "$key" -out "$OUT"
    check "smime -sign, $name: verifies" stock openssl smime -verify \
        -in "$OUT" -CAfile "$CERTS/ca.crt" -purpose any -out "$OUT.d"
    [[ $type == rsa* ]] || return 0
    stock openssl smime -encrypt -binary -aes256 -in "$DATA" -out "$OUT" "$cert"
    check "smime -decrypt, $name" protected openssl smime -decrypt \
        -in "$OUT" -recip "$cert" -inkey "$key" -out "$OUT.d"
    check "smime -decrypt, $name: is the data" same_file "$DATA" "$OUT.d"
    forget
}

# ---- raw operations -------------------------------------------------------

# pkeyutl_sign TYPE KEY WAY OPTION...: signed here, verified by both.
pkeyutl_sign() {
    local type=$1 key=$2 name="$1 by $3"
    shift 3
    check "pkeyutl -sign, $name $*" protected openssl pkeyutl -sign \
        -inkey "$key" -in "$BIN" "$@" -out "$OUT"
    check "pkeyutl -sign, $name $*: stock verifies" stock openssl pkeyutl \
        -verify -pubin -inkey "$T/$type.pub" -in "$BIN" -sigfile "$OUT" "$@"
    check "pkeyutl -verify, $name $*" protected openssl pkeyutl -verify \
        -inkey "$key" -in "$BIN" -sigfile "$OUT" "$@"
    forget
}

test_pkeyutl_sign() {
    local type=$1
    case $type in
    rsapss)
        pkeyutl_sign "$@" -pkeyopt rsa_padding_mode:pss -pkeyopt digest:sha256
        ;;
    rsa*)
        pkeyutl_sign "$@"
        pkeyutl_sign "$@" -pkeyopt digest:sha256
        pkeyutl_sign "$@" -pkeyopt rsa_padding_mode:pss -pkeyopt digest:sha256
        ;;
    ed*)
        pkeyutl_sign "$@" -rawin
        ;;
    *)
        pkeyutl_sign "$@"
        ;;
    esac
}

# decrypts TYPE KEY WAY OPTION...
decrypts() {
    local type=$1 key=$2 name="$1 by $3"
    shift 3
    stock openssl pkeyutl -encrypt -pubin -inkey "$T/$type.pub" -in "$BIN" \
        "$@" -out "$OUT"
    check "pkeyutl -decrypt, $name $*" protected openssl pkeyutl -decrypt \
        -inkey "$key" -in "$OUT" "$@" -out "$OUT.d"
    check "pkeyutl -decrypt, $name $*: is the data" same_file "$BIN" "$OUT.d"
    forget
}

test_pkeyutl_decrypt() {
    decrypts "$@"
    decrypts "$@" -pkeyopt rsa_padding_mode:oaep
    decrypts "$@" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256
    decrypts "$@" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
        -pkeyopt rsa_mgf1_md:sha1
}

test_derive() {
    local type=$1 key=$2 name="$1 by $3"
    stock openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:P-${1#p}" \
        -out "$T/peer.key"
    stock openssl pkey -in "$T/peer.key" -pubout -out "$T/peer.pub"
    stock openssl pkeyutl -derive -inkey "$T/peer.key" \
        -peerkey "$T/$type.pub" -out "$OUT.expected"
    check "pkeyutl -derive, $name" protected openssl pkeyutl -derive \
        -inkey "$key" -peerkey "$T/peer.pub" -out "$OUT"
    check "pkeyutl -derive, $name: is the peer's secret" \
        same_file "$OUT" "$OUT.expected"
    forget
}

# dgst_sign TYPE KEY WAY OPTION...
dgst_sign() {
    local type=$1 key=$2 name="$1 by $3"
    shift 3
    check "dgst -sign, $name $*" protected openssl dgst -sign "$key" "$@" \
        -out "$OUT" "$DATA"
    check "dgst -sign, $name $*: stock verifies" stock openssl dgst \
        -verify "$T/$type.pub" "$@" -signature "$OUT" "$DATA"
    check "dgst -prverify, $name $*" protected openssl dgst \
        -prverify "$key" "$@" -signature "$OUT" "$DATA"
    check "dgst -prverify, $name $*: notices other data" refuses protected \
        openssl dgst -prverify "$key" "$@" -signature "$OUT" "$BIN"
    forget
}

test_dgst() {
    local type=$1 pss='-sigopt rsa_padding_mode:pss'
    case $type in
    ed*)
        # dgst streams, which these two cannot do, with or without us.
        return 0
        ;;
    rsapss)
        dgst_sign "$@" -sha256
        ;;
    rsa*)
        # shellcheck disable=SC2086 # options
        dgst_sign "$@" -sha256 $pss -sigopt rsa_pss_saltlen:-1
        # shellcheck disable=SC2086
        dgst_sign "$@" -sha384 $pss -sigopt rsa_pss_saltlen:20 \
            -sigopt rsa_mgf1_md:sha256
        ;;&
    *)
        dgst_sign "$@" -sha256
        dgst_sign "$@" -sha512
        ;;
    esac
}

# ---- what may and may not come out ----------------------------------------

# number_in FILE REGEX: sets HEX to the number under the name of that kind, in
# what "openssl pkey -text" has printed.
number_in() {
    local line on=0
    HEX=
    while IFS= read -r line; do
        if [[ $line != ' '* ]]; then
            on=0
            [[ ! $line =~ ^($2): ]] || on=1
        elif ((on == 1)); then
            HEX+=${line//[!0-9a-f]/}
        fi
    done <"$1"
}

# One number may be cut anywhere by line ends, hence the squeezing, and the
# middle of it is enough: no leading zeros to argue about.
no_private_number() {
    local type=$1 output
    number_in "$T/$type.text" 'priv|privateExponent'
    ((${#HEX} >= 64)) || return 1
    output=$(<"$2")
    [[ ${output//[!0-9a-f]/} != *"${HEX:16:40}"* ]] || {
        echo "expected no private number in the output, but it is there"
        return 1
    }
}

prints_public_part() {
    local type=$1 output
    number_in "$T/$type.text" 'pub|modulus'
    ((${#HEX} >= 64)) || return 1
    output=$(<"$2")
    [[ ${output//[!0-9a-f]/} == *"${HEX:0:60}"* ]] || {
        echo 'expected the public part in:'
        show "$2"
        return 1
    }
}

says_protected() {
    has_match "$1" '[Pp][Rr][Oo][Tt][Ee][Cc][Tt][Ee][Dd]'
}

test_public_part() {
    local type=$1 key=$2 name="$1 by $3"
    check "pkey -pubout, $name" protected openssl pkey -in "$key" -pubout \
        -out "$OUT"
    check "pkey -pubout, $name: as stock has it" same_file "$OUT" "$T/$type.pub"
    check "pkey -pubout DER, $name" protected openssl pkey -in "$key" -pubout \
        -outform DER -out "$OUT"
    check "pkey -pubout DER, $name: as stock has it" \
        same_file "$OUT" "$T/$type.pub.der"
    check "pkey -text, $name" protected openssl pkey -in "$key" -noout -text \
        -out "$OUT"
    check "pkey -text, $name: prints the public part" \
        prints_public_part "$type" "$OUT"
    claim "pkey -text, $name: says protected" says_protected "$OUT"
    claim "pkey -text, $name: no private number" \
        no_private_number "$type" "$OUT"
    check "pkey -text_pub, $name" protected openssl pkey -in "$key" -noout \
        -text_pub
    forget
}

# keeps_in WHAT COMMAND...: no private key comes out, and the user learns why.
keeps_in() {
    local what=$1
    shift
    forget
    claim "$what is refused" refuses_saying 'protect|export|not support' \
        protected "$@" -out "$OUT"
    claim "$what leaves no output" absent_or_empty "$OUT"
    forget
}

test_private_part_stays() {
    local type=$1 key=$2 name="$1 by $3"
    keeps_in "pkey -out, $name" openssl pkey -in "$key"
    keeps_in "pkey -outform DER, $name" openssl pkey -in "$key" -outform DER
    keeps_in "pkey -out encrypted, $name" openssl pkey -in "$key" -aes256 \
        -passout pass:x
    # pkcs8 opens files only, no URIs.
    [[ $3 != pem ]] || keeps_in "pkcs8 -topk8, $name" openssl pkcs8 -topk8 \
        -nocrypt -in "$key"
    keeps_in "pkcs12 -export, $name" openssl pkcs12 -export -inkey "$key" \
        -in "$CERTS/$type.crt" -passout pass:x
    [[ $type == ed* || $type == rsapss ]] ||
        keeps_in "pkey -traditional, $name" openssl pkey -in "$key" -traditional
}

# The commands from before pkey, which know one algorithm each.
test_old_commands() {
    local type=$1 key=$2 name="$1 by $3" command=ec
    [[ $type != rsa* ]] || command=rsa
    check "$command -pubout, $name" protected openssl "$command" -in "$key" \
        -pubout -out "$OUT"
    check "$command -pubout, $name: as stock has it" \
        same_file "$OUT" "$T/$type.pub"
    check "$command -text, $name" protected openssl "$command" -in "$key" \
        -noout -text -out "$OUT"
    claim "$command -text, $name: no private number" \
        no_private_number "$type" "$OUT"
    keeps_in "$command -out, $name" openssl "$command" -in "$key"
    [[ $command == rsa ]] || return 0
    check "rsa -modulus, $name" protected openssl rsa -in "$key" -noout \
        -modulus -out "$OUT"
    stock openssl rsa -in "$CERTS/$type.key" -noout -modulus -out "$OUT.m"
    check "rsa -modulus, $name: as stock has it" same_file "$OUT" "$OUT.m"
    forget
}

# ---- passphrases ----------------------------------------------------------

# count_lines FILE REGEX: sets COUNT.
count_lines() {
    local line
    COUNT=0
    while IFS= read -r line; do
        [[ ! $line =~ $2 ]] || COUNT=$((COUNT + 1))
    done <"$1"
}

# One line that names the file, and one error of the queue; decryption in
# stock openssl itself has two to say, and more would be noise.
one_clear_error() {
    local limit=$1
    shift
    refuses "$@" >"$T/refusal" 2>&1 || {
        show "$T/refusal"
        return 1
    }
    show "$T/refusal"
    count_lines "$T/refusal" '[Cc]ould not|[Uu]nable to'
    equal 'lines that name the key' "$COUNT" 1 || return 1
    count_lines "$T/refusal" ':error:'
    at_most 'errors in the queue' "$COUNT" "$limit"
}

test_passphrase() {
    local type=$1 form=$2 way=$3 key=$T/$1.$2.enc name
    name="$type, $form, by $way"
    [[ $way == pem ]] || key=${URI[mpk]}$key
    check "encrypted $name: opens" protected openssl pkey -in "$key" \
        -passin "pass:$PASS" -pubout -out "$OUT"
    check "encrypted $name: is the key" same_file "$OUT" "$T/$type.pub"
    printf '%s\n' "$PASS" >"$T/pass"
    check "encrypted $name: signs" protected openssl pkeyutl -sign -rawin \
        -inkey "$key" -passin "file:$T/pass" -in "$DATA" -out "$OUT"
    check "encrypted $name: the signature verifies" stock openssl pkeyutl \
        -verify -rawin -pubin -inkey "$T/$type.pub" -in "$DATA" -sigfile "$OUT"
    check "encrypted $name: wrong passphrase, one clear error" \
        one_clear_error 3 protected openssl pkey -in "$key" -passin pass:wrong \
        -pubout
    claim "encrypted $name: stays" refuses protected openssl pkey -in "$key" \
        -passin "pass:$PASS" -out "$OUT"
    forget
}

# make_encrypted TYPE pkcs8|traditional
make_encrypted() {
    local args=()
    [[ $2 != traditional ]] || args=(-traditional)
    stock openssl pkey -in "$CERTS/$1.key" -aes256 -passout "pass:$PASS" \
        "${args[@]}" -out "$T/$1.$2.enc" 2>/dev/null
}

test_bad_files() {
    echo 'no key at all' >"$T/bad.key"
    check 'a file without a key is refused' refuses protected openssl pkey \
        -in "${URI[mpk]}$T/bad.key" -noout
    check 'a missing file is refused' refuses_saying 'bad2.key|no such file' \
        protected openssl pkey -in "${URI[mpk]}$T/bad2.key" -noout
}

# ---- everything -----------------------------------------------------------

prepare() {
    local type
    head -c 5000 /dev/urandom >"$DATA"
    head -c 32 /dev/urandom >"$BIN"
    for type in "${KEY_TYPES[@]}"; do
        is_tested "$type" "$WAY" || continue
        stock openssl pkey -in "$CERTS/$type.key" -pubout \
            -out "$T/$type.pub"
        stock openssl pkey -in "$CERTS/$type.key" -pubout -outform DER \
            -out "$T/$type.pub.der"
        stock openssl pkey -in "$CERTS/$type.key" -noout -text \
            -out "$T/$type.text"
    done
    stock openssl req -new -key "$CERTS/p256.key" -subj /CN=leaf \
        -out "$T/leaf.csr"
}

test_type() {
    local type=$1 way=$2 key
    key=${URI[$way]}$CERTS/$type.key
    set -- "$type" "$key" "$way"
    test_certificates "$@"
    test_pkeyutl_sign "$@"
    test_dgst "$@"
    test_public_part "$@"
    test_private_part_stays "$@"
    case $type in
    rsa2048)
        test_crl "$@"
        test_cms_sign "$@" -keyopt rsa_padding_mode:pss
        test_cms_decrypt "$@"
        test_cms_decrypt "$@" -keyopt rsa_padding_mode:oaep
        test_smime "$@"
        test_pkeyutl_decrypt "$@"
        test_old_commands "$@"
        ;;&
    p256)
        test_crl "$@"
        test_smime "$@"
        test_old_commands "$@"
        ;;&
    p*)
        test_derive "$@"
        test_cms_decrypt "$@"
        ;;&
    rsapss)
        # Left to itself cms picks PKCS#1 padding, which such a key forbids.
        test_cms_sign "$@" -keyopt rsa_padding_mode:pss
        ;;
    rsa* | p*)
        test_cms_sign "$@"
        ;;
    esac
}

# A key is the same when it is loaded, and so is the code for all types of one
# family. So each family has everything in one of the ways, and what each
# command makes of its -key is seen in both; test_type_again is for the rest.
# MPK_TEST_LONG=1: each type by PEM, and RSA and EC in both ways.
has_everything() {
    case $1-$2 in
    rsa2048-pem | ed25519-pem | p256-mpk | rsapss-mpk) ;;
    *-pem | rsa2048-mpk)
        [[ ${MPK_TEST_LONG:-0} == 1 ]]
        ;;
    *)
        false
        ;;
    esac
}

test_type_again() {
    local type=$1 way=$2
    set -- "$type" "${URI[$way]}$CERTS/$type.key" "$way"
    test_pkeyutl_sign "$@"
    test_public_part "$@"
    test_private_part_stays "$@"
    [[ $type != rsa2048 && $type != p256 ]] || test_old_commands "$@"
}

# Both forms of both families, and both forms in both ways.
has_passphrase() {
    case $1-$2-$3 in
    ed25519-traditional-*) false ;;
    rsa2048-traditional-pem | rsa2048-pkcs8-mpk | p256-pkcs8-pem | \
        p256-traditional-mpk | ed25519-*-mpk)
        [[ ${MPK_TEST_LONG:-0} == 1 ]]
        ;;
    esac
}

case $WAY in
pem | mpk) ;;
*)
    echo 'usage: cli_test.sh pem|mpk' >&2
    exit 1
    ;;
esac
prepare
for type in "${KEY_TYPES[@]}"; do
    if has_everything "$type" "$WAY"; then
        test_type "$type" "$WAY"
    elif is_tested "$type" "$WAY"; then
        test_type_again "$type" "$WAY"
    fi
done
for type in rsa2048 p256 ed25519; do
    for form in pkcs8 traditional; do
        has_passphrase "$type" "$form" "$WAY" || continue
        make_encrypted "$type" "$form"
        test_passphrase "$type" "$form" "$WAY"
    done
done
[[ $WAY != mpk ]] || test_bad_files
finish
