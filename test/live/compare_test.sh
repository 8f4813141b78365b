#!/bin/bash
# The tests that compare with the default provider, all of whose claims hold
# only where that is of the same version as the OpenSSL inside, and those that
# go through the groups of TLS: run by openssl35_test.sh, with a module that has
# OpenSSL 3.5 inside. But for those that call its entries, which depend on that,
# the programs are the usual build's.
set -euo pipefail

LIBS=$MPK_TEST_TREE/usr/lib/x86_64-linux-gnu
status=0

# compare CONF TEST...: with 3.5 outside as well.
compare() {
    local conf=$MPK_TEST_BUILD/test/$1.cnf program of
    shift
    for program in "$@"; do
        echo "$program"
        of=$MPK_TEST_PROGRAMS
        [[ $program != interop/attack_entry* ]] || of=$MPK_TEST_BUILD
        OPENSSL_CONF=$conf MPK_TEST_PROVIDER=mpk MPK_TEST_BACKEND=none \
            OPENSSL_MODULES=$LIBS/ossl-modules \
            "$LIBS/ld-linux-x86-64.so.2" --library-path "$LIBS" \
            "$of/test/$program" || status=1
    done
}

compare full-require-none interop/{secrets,kdf_refusal}_test
compare full-warn-none interop/{kdf_schedule,attack_entry_pointers}_test \
    tls/suite_test
compare tls/none-protect-leave tls/{tls_group,group_peer,group_length}_test \
    tls/group_tls_test
if [[ ${MPK_TEST_QUICK:-0} != 1 ]]; then
    compare none interop/{sign,sign_rsa,rsa_crypt,keymgmt,key_make}_test \
        interop/attack_entry{,_asked,_rewrite}_test
    compare full-warn-none tls/cipher{,_equal,_nonce,_random}_test
    compare full-require-none tls/scenario_test
fi
exit "$status"
