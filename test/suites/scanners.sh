#!/bin/bash
# What scanners of TLS servers say of nginx:
#
#   scanners.sh CERTS LOG [FILE...]
#
# nginx runs under the OPENSSL_CONF of the environment, the scanners do not.
# CERTS is a folder that make-certs.sh has filled. Prints a line for each
# finding, "ok FILE:FINDING"; FILE is sslscan or testssl.
set -euo pipefail

CERTS=$1 LOG=$2
shift 2
(($# > 0)) || set -- sslscan testssl
# shellcheck source=test/suites/servers.sh
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

do_sslscan() {
    timeout 900 sslscan --no-colour "localhost:$NGINX" | tee -a "$LOG" |
        sed -nE '/^(Testing|Connected|Version|OpenSSL)/d
            /[^ ]/s/^ */ok sslscan:/p'
}

# Its own preparation takes minutes. What tells the time is left out.
do_testssl() {
    OPENSSL_CONF='' timeout 3600 testssl --quiet --color 0 --warnings off \
        --nodns none --ip 127.0.0.1 --jsonfile "$T/testssl.json" \
        "localhost:$NGINX" >>"$LOG" 2>&1 || true
    python3 - "$T/testssl.json" <<'END'
import json
import re
import sys

with open(sys.argv[1]) as f:
    for row in json.load(f):
        if re.search("scanTime|clock_skew|expiration|engine", row["id"]):
            continue
        print(f"ok testssl:{row['id']}: {row['severity']} {row['finding']}")
END
}

nginx_start "$OPENSSL_CONF"
export OPENSSL_CONF=/dev/null
for file in "$@"; do
    "do_$file"
done
