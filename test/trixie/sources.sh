# shellcheck shell=bash disable=SC2016 # what apt expands
# What fetches from another release of Debian shares. Sourced, never run.

# debian_sources SUITE: the machine's Debian sources, as lines for the other
# suite. No keyring is named: what reads them has its own.
debian_sources() {
    local codename uri release component
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [[ -n $codename ]] || return 0
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Identifier: Packages' |
        while read -r uri release component; do
            [[ $component == main ]] || continue
            case $release in
            "$codename" | "$codename-updates" | "$codename-security")
                echo "deb $uri $1${release#"$codename"} main"
                ;;
            esac
        done | sort -u
}
