#!/bin/bash
# The tests that compare with the default provider, all of whose claims hold
# only where that is of the same version as the OpenSSL inside: run by
# openssl35_test.sh --inner, which builds them.
set -euo pipefail

LIBS=$MPK_TEST_TREE/usr/lib/x86_64-linux-gnu
status=0

# compare CONF TEST...: with 3.5 outside as well.
compare() {
    local conf=$MPK_TEST_BUILD/test/$1.cnf program
    shift
    for program in "$@"; do
        echo "$program"
        OPENSSL_CONF=$conf MPK_TEST_PROVIDER=mpk MPK_TEST_BACKEND=none \
            OPENSSL_MODULES=$LIBS/ossl-modules \
            "$LIBS/ld-linux-x86-64.so.2" --library-path "$LIBS" \
            "$MPK_TEST_BUILD/test/$program" || status=1
    done
}

compare none interop/{sign,sign_rsa,rsa_crypt,keymgmt,key_make}_test \
    interop/attack_entry{,_asked,_rewrite}_test
compare full-warn-none tls/cipher{,_equal,_nonce,_random}_test \
    interop/attack_entry_pointers_test
exit "$status"
