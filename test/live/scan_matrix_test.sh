#!/bin/bash
# Every secret of connections of every kind, looked for in the memory of a
# server and of a client with the full profile, and of stock ones beside them:
# see ../scan/matrix.c. A selection of kinds; with MPK_TEST_LONG=1 all of them.
# The groups of ML-KEM too, where there are any; with MPK_TEST_QUICK=1 only these.

# shellcheck disable=SC2317 # check and claim call functions by name

set -euo pipefail
# shellcheck source=test/live/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_built "$BUILD/scan_matrix"
FULL=$T/full.cnf
conf_full >"$FULL" || skip 'this build has no full profile'
sed -i '/^role = tls/a x448 = protect' "$FULL"
ARGS=()
[[ ${MPK_TEST_LONG:-0} != 1 ]] || ARGS=(--all)

# matrix REPORT [OPTION...]
matrix() {
    OPENSSL_CONF=$STOCK "$BUILD/scan_matrix" "${ARGS[@]}" "${@:2}" \
        "$BUILD/scan_subject" "$STOCK" "$FULL" "$CERTS" >"$T/$1" 2>&1 ||
        { grep '^F' "$T/$1"; return 1; }
}

REPORTS=()

# matrices NAME [OPTION]: of both roles.
matrices() {
    claim "$1: no secret of any kind of connection is in a server's memory" \
        matrix "$1-server" "${@:2}"
    claim "$1: nor in that of a client" matrix "$1-client" "${@:2}" --client
    REPORTS+=("$T/$1-server" "$T/$1-client")
}

[[ ${MPK_TEST_QUICK:-0} == 1 ]] || matrices usual
if grep -q '^Groups.*X25519MLKEM768' "$BUILD/mpk.cnf" &&
    openssl version | grep -qE '^OpenSSL (3\.[5-9]|4)\.'; then
    matrices ML-KEM --kem
fi
((${#REPORTS[@]} > 0)) || bail 'no group of ML-KEM is here'
sed -s -n '/^secret/,$p' "${REPORTS[@]}"
finish
