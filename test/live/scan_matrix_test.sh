#!/bin/bash
# Every secret of connections of every kind, looked for in the memory of a
# server with the full profile, and of a stock one beside it: see
# ../scan/matrix.c. A selection of kinds; with MPK_TEST_LONG=1 all of them.

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

matrix() {
    OPENSSL_CONF=$STOCK "$BUILD/scan_matrix" "${ARGS[@]}" \
        "$BUILD/scan_server" "$STOCK" "$FULL" "$CERTS" >"$T/matrix" 2>&1 ||
        { grep '^F' "$T/matrix"; return 1; }
}

claim 'no secret of any kind of connection is in memory' matrix
sed -n '/^secret/,$p' "$T/matrix"
finish
