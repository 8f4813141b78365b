# shellcheck shell=bash
# What test.sh and demo.sh share: installing what a bare Debian lacks, and the
# build. Sourced, never run.

say() {
    printf '\n== %s\n' "$*"
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

# A Debian package with a server starts it when installed. policy-rc.d keeps
# that from happening; one that is there already is somebody's and stays.
install_quietly() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [[ -e $policy ]]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
            --no-install-recommends "$@" >/dev/null || status=$?
    [[ -z $policy ]] || as_root rm -f "$policy"
    return "$status"
}

# Where nobody is there to be asked, sudo must not want a password.
can_sudo() {
    command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }
}

can_install() {
    command -v apt-get >/dev/null && { ((EUID == 0)) || can_sudo; }
}

# missing_of FILE-OR-COMMAND:PACKAGE...: the packages, a line each.
missing_of() {
    local pair
    for pair in "$@"; do
        # A path is a file; a name is a command, never a file that is here.
        [[ $pair == /* && -e ${pair%%:*} ]] ||
            command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done
}

# install_missing FILE-OR-COMMAND:PACKAGE...
install_missing() {
    local missing
    mapfile -t missing < <(missing_of "$@")
    ((${#missing[@]} > 0)) || return 0
    can_install ||
        die "no apt-get, or neither root nor sudo: please install what" \
            "provides: ${missing[*]}"
    say "installing ${missing[*]}"
    install_quietly "${missing[@]}" || die "could not install ${missing[*]}"
}

install_build_tools() {
    PATH=$PATH:/usr/sbin
    install_missing cmake:cmake make:make gcc:gcc openssl:openssl \
        pkg-config:pkg-config \
        /usr/include/stdio.h:libc6-dev /usr/include/openssl/ssl.h:libssl-dev \
        "$@"
}

# quiet_build ROOT FOLDER TARGETS CMAKE-OPTION...: by make, as a user builds, unless
# CMAKE_GENERATOR says otherwise or FOLDER was begun otherwise. No target is all.
quiet_build() {
    local root=$1 dir=$2 targets=() log
    [[ -z $3 ]] || read -ra targets <<<"--target $3"
    shift 3
    log=$(mktemp)
    if ! cmake -S "$root" -B "$dir" "$@" >"$log" 2>&1 ||
        ! cmake --build "$dir" -j "$(nproc)" "${targets[@]}" >>"$log" 2>&1; then
        cat "$log"
        rm -f "$log"
        die "the build in $dir failed"
    fi
    rm -f "$log"
}

# build_tree ROOT TARGETS CMAKE-OPTION...: to ROOT/build.
build_tree() {
    [[ -w $1/build ]] || mkdir "$1/build" 2>/dev/null ||
        die "$1/build cannot be written: copy the tree to where it can be"
    quiet_build "$1" "$1/build" "${@:2}"
}

cpu_has_pku() {
    grep -qw ospke /proc/cpuinfo
}
