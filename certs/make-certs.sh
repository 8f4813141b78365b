#!/bin/sh
# make-certs.sh DIR [--force]: a test CA, and a key and certificate of each type
# that a TLS server uses, good for localhost as server and as client. What
# exists already is kept, unless --force is given.
set -eu
umask 077

usage='usage: make-certs.sh DIR [--force]'
case ${1:-} in
-h | --help)
    echo "$usage"
    echo
    echo 'Makes DIR/ca.crt, and TYPE.key and TYPE.crt for a TLS server: rsa2048,'
    echo 'p256, ed25519 and others. What is there stays, but with --force.'
    exit 0
    ;;
esac
case "$#,${1:-},${2:---force}" in
[12],[!-]*,--force) ;;
*)
    echo "$usage" >&2
    exit 2
    ;;
esac
dir=$1
force=${2:-}
mkdir -p "$dir"
cd "$dir"

# The caller's configuration may be the very one under test.
OPENSSL_CONF=$PWD/make-certs.cnf
export OPENSSL_CONF
unset OPENSSL_MODULES
printf '[req]\ndistinguished_name = dn\n[dn]\n' >"$OPENSSL_CONF"
trap 'rm -f "$OPENSSL_CONF" ./*.tmp' EXIT

# Files are written aside and renamed: an interrupted run leaves no half one.
make() { # NAME CERTIFICATE-ARGUMENTS GENPKEY-ARGUMENT...
    name=$1 certargs=$2 && shift 2
    if [ -n "$force" ] || [ ! -s "$name.key" ]; then
        openssl genpkey -quiet -out "$name.tmp" "$@"
        mv "$name.tmp" "$name.key"
        # A new CA makes all certificates void.
        case $name in ca) rm -f ./*.crt ;; *) rm -f "$name.crt" ;; esac
    fi
    if [ ! -s "$name.crt" ]; then
        # shellcheck disable=SC2086 # a list of arguments without spaces
        openssl req -new -x509 -days 3650 -key "$name.key" \
            -subj "/O=openssl-mpk test/CN=$name" $certargs -out "$name.tmp"
        mv "$name.tmp" "$name.crt"
    fi
}

make ca "-addext basicConstraints=critical,CA:TRUE
    -addext keyUsage=critical,keyCertSign,cRLSign" \
    -algorithm EC -pkeyopt ec_paramgen_curve:P-256
leaf="-CA ca.crt -CAkey ca.key
    -addext basicConstraints=critical,CA:FALSE
    -addext extendedKeyUsage=serverAuth,clientAuth
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
for bits in 2048 3072 4096; do
    make rsa$bits "$leaf" -algorithm RSA -pkeyopt rsa_keygen_bits:$bits
done
make rsapss "$leaf" -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
for bits in 256 384 521; do
    make p$bits "$leaf" -algorithm EC -pkeyopt ec_paramgen_curve:P-$bits
done
make ed25519 "$leaf" -algorithm ED25519
make ed448 "$leaf" -algorithm ED448
# Of OpenSSL 3.5 and later.
if openssl list -public-key-algorithms | grep -q ML-DSA-65; then
    make mldsa65 "$leaf" -algorithm ML-DSA-65
fi
