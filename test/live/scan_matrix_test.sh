#!/bin/bash
# Every secret of connections of every kind, looked for in the memory of a
# server and of a client with the full profile, and of stock ones beside them:
# see ../scan/matrix.c. A selection of kinds; with MPK_TEST_LONG=1 all of them.

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

# matrix ROLE [OPTION]
matrix() {
    OPENSSL_CONF=$STOCK "$BUILD/scan_matrix" "${ARGS[@]}" "${@:2}" \
        "$BUILD/scan_subject" "$STOCK" "$FULL" "$CERTS" >"$T/$1" 2>&1 ||
        { grep '^F' "$T/$1"; return 1; }
}

claim 'no secret of any kind of connection is in the memory of a server' \
    matrix server
claim 'nor in that of a client' matrix client --client
sed -s -n '/^secret/,$p' "$T/server" "$T/client"
finish
