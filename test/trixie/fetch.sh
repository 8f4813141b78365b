#!/bin/bash
# Fetches OpenSSL 3.5 and nginx 1.26, of Debian 13, to run beside what this
# machine has. Nothing is installed: packages are unpacked into a folder, with
# the libc that they need.
#
#   test/trixie/fetch.sh [FOLDER]
#
# FOLDER is by default $MPK_TEST_TRIXIE, or openssl-mpk/trixie in the user's
# cache. What is there already is kept. The last line printed is the folder.
# Ends with 77 and the reason when it cannot be fetched from here: offline, or
# no Debian.
#
# Which servers to ask is the machine's own business: the sources that apt has
# for its own release are used, with that release's name exchanged.
set -euo pipefail

# shellcheck source=test/trixie/sources.sh
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"

SUITE=trixie
PACKAGES=(openssl libssl3t64 libssl-dev nginx)
FOLDER=${1:-${MPK_TEST_TRIXIE:-${XDG_CACHE_HOME:-$HOME/.cache}/openssl-mpk/trixie}}
LIBS=usr/lib/x86_64-linux-gnu

skip() {
    printf 'SKIP: %s\n' "$1"
    exit 77
}

works() {
    [[ -e $1/complete ]] &&
        "$1/$LIBS/ld-linux-x86-64.so.2" --library-path "$1/$LIBS" \
            "$1/usr/bin/openssl" version | grep -q '^OpenSSL 3\.5\.'
}

# An apt of its own: its state in ROOT, an empty list of installed packages,
# and of the machine only how to reach servers and whom to trust.
make_apt_root() {
    local root=$1
    mkdir -p "$root"/etc/apt/{sources.list.d,preferences.d,apt.conf.d} \
        "$root"/var/lib/apt/lists/partial "$root"/var/lib/dpkg \
        "$root"/var/cache/apt/archives/partial "$root"/keys
    : >"$root/var/lib/dpkg/status"
    debian_sources "$SUITE" >"$root/etc/apt/sources.list"
    [[ -s $root/etc/apt/sources.list ]] ||
        skip 'apt has no sources for the release of this machine'
    cp -L /etc/apt/trusted.gpg.d/*.{gpg,asc} \
        /usr/share/keyrings/debian-archive-*.gpg "$root/keys" 2>/dev/null ||
        true
    {
        apt-config dump Acquire
        echo "Dir \"$root\";"
        echo "Dir::State::status \"$root/var/lib/dpkg/status\";"
        echo "Dir::Etc::trusted \"/etc/apt/trusted.gpg\";"
        echo "Dir::Etc::trustedparts \"$root/keys\";"
        echo 'Dir::Etc::netrc "/etc/apt/auth.conf";'
        echo 'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";'
        echo 'APT::Sandbox::User "";'
        echo 'Acquire::Languages "none";'
        echo 'Acquire::Retries "2";'
    } >"$root/apt.conf"
}

download() {
    local root=$1
    export APT_CONFIG=$root/apt.conf
    apt-get update -qq >"$root/log" 2>&1 &&
        apt-get install -qq --download-only -y --no-install-recommends \
            "${PACKAGES[@]}" >>"$root/log" 2>&1 && return 0
    tail -3 "$root/log"
    skip "the packages of Debian $SUITE cannot be fetched from here"
}

unpack() {
    local root=$1 tree=$2 package
    mkdir -p "$tree"
    for package in "$root"/var/cache/apt/archives/*.deb; do
        dpkg -x "$package" "$tree"
    done
    : >"$tree/complete"
}

if works "$FOLDER"; then
    echo "$FOLDER"
    exit 0
fi
for tool in apt-get apt-config dpkg; do
    command -v "$tool" >/dev/null || skip "there is no $tool here"
done
mkdir -p "$(dirname "$FOLDER")"
# Beside the folder: the move at the end is then one step, and whoever comes
# at the same time sees all or nothing.
work=$(mktemp -d "$FOLDER.XXXXXX")
trap 'rm -rf "$work"' EXIT
make_apt_root "$work/apt"
download "$work/apt"
unpack "$work/apt" "$work/tree"
works "$work/tree" || skip 'what was fetched does not run here'
rm -rf "$FOLDER"
mv -T "$work/tree" "$FOLDER"
echo "$FOLDER"
