#!/bin/bash
# The same module under OpenSSL 3.5 and nginx 1.26, which run beside the
# system's: openssl35_test.sh SCRIPT... runs other live tests with these.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LIBS=usr/lib/x86_64-linux-gnu

skip_as_fetch_does() {
    cat "$1"
    exit 77
}

# wrap NAME PROGRAM: a command NAME that runs the tree's program with the
# tree's own libc. exec, so that the process is the one that was started.
wrap() {
    cat >"$BIN/$1" <<END
#!/bin/sh
OPENSSL_MODULES=$TREE/$LIBS/ossl-modules
export OPENSSL_MODULES
exec $TREE/$LIBS/ld-linux-x86-64.so.2 --library-path $TREE/$LIBS \\
    $TREE/$2 "\$@"
END
    chmod 755 "$BIN/$1"
}

BIN=$(mktemp -d)
trap 'rm -rf "$BIN"' EXIT
chmod 755 "$BIN"
"$HERE/../trixie/fetch.sh" >"$BIN/log" || skip_as_fetch_does "$BIN/log"
TREE=$(tail -n 1 "$BIN/log")
wrap openssl usr/bin/openssl
wrap nginx usr/sbin/nginx
PATH=$BIN:$PATH

version=$(openssl version)
echo "$version; $(nginx -v 2>&1)"
[[ $version == 'OpenSSL 3.5.'* ]] || {
    echo "expected OpenSSL 3.5, got $version"
    exit 1
}
for script in "$@"; do
    "$HERE/$script"
done
