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
    rm -f "$OUT".*
}

# openssl ca takes its policy from a configuration of its own. With -config it
# is a second file beside OPENSSL_CONF, and one that names providers again.
ca_config() {
    cat "$PROTECTED"
    cat <<EOF
[ca]
default_ca = test_ca
[test_ca]
database = $T/ca.index
crlnumber = $T/ca.crlnumber
default_md = default
default_crl_days = 30
EOF
}

gencrl() {
    local conf=$1 key=$2
    shift 2
    : >"$T/ca.index"
    echo 01 >"$T/ca.crlnumber"
    OPENSSL_CONF=$conf openssl ca -gencrl "$@" -keyfile "$key" \
        -cert "$T/ca.pem" -out "$OUT.crl" &&
        stock openssl crl -in "$OUT.crl" -CAfile "$T/ca.pem" -noout &&
        [[ $(stock openssl crl -in "$OUT.crl" -CAfile "$T/ca.pem" -noout 2>&1) \
            == *'verify OK'* ]]
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
    rm -f "$OUT" "$OUT".*
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
    rm -f "$OUT" "$OUT".*
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
    rm -f "$OUT" "$OUT".*
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
    rm -f "$OUT"
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
    rm -f "$OUT" "$OUT".*
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
    rm -f "$OUT" "$OUT".*
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
    rm -f "$OUT"
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

# private_hex TYPE: the private number as stock prints it, in one line.
private_hex() {
    stock openssl pkey -in "$CERTS/$1.key" -noout -text |
        awk '/^[a-zA-Z]/ { on = /^(priv|privateExponent):/ }
             on && /^ / { gsub(/[^0-9a-f]/, ""); printf "%s", $0 }'
}

# One number may be cut anywhere by line ends, hence the squeezing, and the
# middle of it is enough: no leading zeros to argue about.
no_private_number() {
    local type=$1 file=$2 hex
    hex=$(private_hex "$type")
    ((${#hex} >= 64)) || return 1
    ! tr -cd '0-9a-f' <"$file" | grep -qF "${hex:16:40}" || {
        echo "expected no private number in the output, but it is there"
        return 1
    }
}

prints_public_part() {
    local type=$1 file=$2
    stock openssl pkey -pubin -in "$T/$type.pub" -noout -text |
        grep '^ ' | tr -cd '0-9a-f' >"$T/public.hex"
    tr -cd '0-9a-f' <"$file" | grep -qF "$(head -c 60 "$T/public.hex")" ||
        {
            echo 'expected the public part in:'
            cat "$file"
            return 1
        }
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
    claim "pkey -text, $name: says protected" grep -qi protected "$OUT"
    claim "pkey -text, $name: no private number" \
        no_private_number "$type" "$OUT"
    check "pkey -text_pub, $name" protected openssl pkey -in "$key" -noout \
        -text_pub
    rm -f "$OUT"
}

# keeps_in WHAT COMMAND...: no private key comes out, and the user learns why.
keeps_in() {
    local what=$1
    shift
    rm -f "$OUT"
    claim "$what is refused" refuses_saying 'protect|export|not support' \
        protected "$@" -out "$OUT"
    claim "$what leaves no output" absent_or_empty "$OUT"
    rm -f "$OUT"
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
    rm -f "$OUT" "$OUT".*
}

# ---- passphrases ----------------------------------------------------------

error_lines() {
    grep -c ':error:' "$1" || true
}

# One line that names the file, and one error of the queue; decryption in
# stock openssl itself has two to say, and more would be noise.
one_clear_error() {
    local limit=$1
    shift
    refuses "$@" >"$T/refusal" 2>&1 || {
        cat "$T/refusal"
        return 1
    }
    cat "$T/refusal"
    equal 'lines that name the key' \
        "$(grep -ci 'could not\|unable to' "$T/refusal")" 1 &&
        at_most 'errors in the queue' "$(error_lines "$T/refusal")" "$limit"
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
    rm -f "$OUT"
}

make_encrypted() {
    local type=$1 file
    file=$CERTS/$type.key
    stock openssl pkey -in "$file" -aes256 -passout "pass:$PASS" \
        -out "$T/$type.pkcs8.enc"
    # These have no form older than PKCS#8.
    [[ $type != ed* ]] || return 0
    stock openssl pkey -in "$file" -aes256 -passout "pass:$PASS" -traditional \
        -out "$T/$type.traditional.enc" 2>/dev/null
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
        stock openssl pkey -in "$CERTS/$type.key" -pubout \
            -out "$T/$type.pub"
        stock openssl pkey -in "$CERTS/$type.key" -pubout -outform DER \
            -out "$T/$type.pub.der"
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

# What follows is the same code for some types as for others, and on either way
# to load a key: those have all of it by PEM only, with MPK_TEST_LONG=1.
has_everything() {
    case $1-$2 in
    rsa3072-* | rsa4096-* | p384-* | p521-* | ed448-* | rsapss-mpk | ed25519-mpk)
        [[ $2-${MPK_TEST_LONG:-0} == pem-1 ]]
        ;;
    esac
}

test_type_again() {
    set -- "$1" "${URI[$2]}$CERTS/$1.key" "$2"
    test_pkeyutl_sign "$@"
    test_public_part "$@"
    test_private_part_stays "$@"
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
    else
        test_type_again "$type" "$WAY"
    fi
done
for type in rsa2048 p256 ed25519; do
    make_encrypted "$type"
    test_passphrase "$type" pkcs8 "$WAY"
    [[ $type == ed* ]] || test_passphrase "$type" traditional "$WAY"
done
[[ $WAY != mpk ]] || test_bad_files
finish
