# shellcheck shell=bash
# The suites of apps.sh: for each, how to get it and how to run it. Sourced.
#
# fetch_SUITE installs and fetches. run_SUITE LOG [FILE...] runs all of it, or
# these files, under the OPENSSL_CONF of its environment, and prints a line for
# each test, "ok NAME" or "failed NAME". The program's own output goes to LOG.

# shellcheck disable=SC2034 # for apps.sh
SUITES=(python nginx haproxy tlsfuzzer perl ruby php clients scanners)

# from_git NAME URL COMMIT: unless it is there already.
from_git() {
    local to=${FOLDER:?}/$1
    [[ ! -e $to ]] || return 0
    rm -rf "$to.part"
    git clone -q "$2" "$to.part" || die "cannot fetch $2"
    git -C "$to.part" checkout -q "$3" || die "$2 has no $3"
    mv -T "$to.part" "$to"
}

# from_debian NAME PACKAGE: its source, unless it is there already.
from_debian() {
    local to=$FOLDER/$1
    [[ ! -e $to ]] || return 0
    rm -rf "$to.part"
    mkdir -p "$to.part"
    (cd "$to.part" && apt-get source -qq "$2" >/dev/null 2>&1) ||
        die "cannot fetch the source of $2: has apt a deb-src line?"
    mv "$to.part"/*/ "$to"
    rm -rf "$to.part"
}

# TAP that prove -v has printed, of files NAME.t in FOLDER, as lines of apps.sh.
# Of numbers only that they are there is kept: ports, addresses and times are
# others each time.
from_tap() { # [FOLDER/]
    sed -nE 's/^([^ ]+\.t) \.+ *$/file \1/p
        s/^(not )?ok( [0-9]+)?( [-#])?( .*)?$/\1ok\4/p' |
        sed -E '/^file /!s/0x[0-9a-f]+|[0-9]+/#/g' |
        awk -v folder="$1" \
            '/^file / { file = folder $2; next }
             { word = $1 == "ok" ? "ok" : "failed"; sub(/^(not )?ok ?/, "") }
             $0 == "" || tolower($0) ~ /(^| # ?)(skip|todo)/ { next }
             { name = file ":" $0
               print word, name (seen[name]++ ? " (" seen[name] ")" : "") }'
}

# ---- Python: the tests of its TLS modules ----------------------------------

fetch_python() {
    install_missing /usr/bin/python3:python3 \
        /usr/lib/python3.11/test/test_ssl.py:libpython3.11-testsuite
}

run_python() {
    local log=$1 lines=${1%.log}.lines
    shift
    (($# > 0)) || set -- test.test_{ssl,httplib,urllib2_localnet,ftplib} \
        test.test_{poplib,imaplib,smtplib,hashlib,hmac} \
        test.test_asyncio.test_{ssl,sslproto}
    (
        mkdir -p "$FOLDER/python/work" && cd "$FOLDER/python/work"
        timeout 1800 /usr/bin/python3 "$HERE/unittests.py" "$lines" "$@" \
            >"$log" 2>&1
    ) || true
    cat "$lines"
}

# ---- PHP: its openssl extension --------------------------------------------

fetch_php() {
    install_missing php8.2:php8.2-cli
    from_debian php-tests php8.2
}

# A test counts by its file; some have the same title.
run_php() {
    local log=$1
    shift
    (($# > 0)) || set -- ext/openssl/tests
    (
        cd "$FOLDER/php-tests"
        NO_INTERACTION=1 TEST_PHP_EXECUTABLE=$(command -v php8.2) timeout 1800 \
            php8.2 run-tests.php -q --no-color "$@" >"$log" 2>&1
    ) || true
    sed -nE 's/^(.*\r)?PASS .*\[(.*)\] *$/ok \2/p
        s/^(.*\r)?FAIL .*\[(.*)\] *$/failed \2/p' "$log"
}

# ---- nginx -----------------------------------------------------------------

# The commit is of the time of Debian 12's nginx 1.22.
fetch_nginx() {
    install_missing nginx:nginx prove:perl \
        /usr/share/perl5/IO/Socket/SSL.pm:libio-socket-ssl-perl \
        /usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream \
        /usr/lib/nginx/modules/ngx_mail_module.so:libnginx-mod-mail \
        /usr/lib/nginx/modules/ngx_http_perl_module.so:libnginx-mod-http-perl \
        /usr/lib/nginx/modules/ngx_http_geoip_module.so:libnginx-mod-http-geoip \
        /usr/lib/nginx/modules/ngx_stream_geoip_module.so:libnginx-mod-stream-geoip \
        /usr/lib/nginx/modules/ngx_http_image_filter_module.so:libnginx-mod-http-image-filter \
        /usr/lib/nginx/modules/ngx_http_xslt_filter_module.so:libnginx-mod-http-xslt-filter
    from_git nginx-tests https://github.com/nginx/nginx-tests \
        a551a2978b1ea31f8032661f8b83c80822b43a1d
}

run_nginx() {
    local log=$1
    shift
    (
        cd "$FOLDER/nginx-tests"
        (($# > 0)) || set -- *ssl*.t
        export TEST_NGINX_BINARY=/usr/sbin/nginx
        export TEST_NGINX_MODULES=/usr/lib/nginx/modules
        # Workers of a master that root has started could not read the files.
        export TEST_NGINX_GLOBALS=
        ((EUID != 0)) || TEST_NGINX_GLOBALS='user root;'
        timeout 1800 prove -v "$@" >"$log" 2>&1
    ) || true
    from_tap '' <"$log"
}

# ---- HAProxy ---------------------------------------------------------------

fetch_haproxy() {
    install_missing haproxy:haproxy socat:socat curl:curl gcc:gcc make:make \
        /usr/include/pcre2.h:libpcre2-dev
    from_git haproxy-tests https://github.com/haproxy/haproxy v2.6.0
    from_git vtest https://github.com/vtest/VTest2 11ee910
    [[ -x $FOLDER/vtest/vtest ]] ||
        make -C "$FOLDER/vtest" vtest >"$FOLDER/haproxy/vtest.log" 2>&1 ||
        die "vtest cannot be built, see $FOLDER/haproxy/vtest.log"
}

run_haproxy() {
    local log=$1 work
    shift
    # Its sockets are here, and the name of one has 107 characters at most.
    work=$(mktemp -d /tmp/mpk.XXXXXX)
    (
        cd "$FOLDER/haproxy-tests"
        (($# > 0)) ||
            mapfile -t files < <(grep -rlE 'ssl|\.pem' reg-tests |
                grep '\.vtc$' | sort)
        (($# > 0)) || set -- "${files[@]}"
        VTEST_PROGRAM=$FOLDER/vtest/vtest HAPROXY_PROGRAM=$(command -v haproxy) \
            TMPDIR=$work timeout 1800 scripts/run-regtests.sh --v \
            --vtestparams '-t 60' --type default,slow,bug,devel "$@" \
            >"$log" 2>&1
    ) || true
    rm -rf "$work"
    sed -nE 's/^#.*TEST ([^ ]*) passed .*/ok \1/p
        s/^#.*TEST ([^ ]*) FAILED .*/failed \1/p' "$log"
}

# ---- tlsfuzzer -------------------------------------------------------------

fetch_tlsfuzzer() {
    install_missing /usr/bin/python3:python3 \
        /usr/lib/python3/dist-packages/ecdsa:python3-ecdsa \
        /usr/lib/python3/dist-packages/gmpy2:python3-gmpy2
    from_git tlsfuzzer-tests https://github.com/tlsfuzzer/tlsfuzzer \
        14555fe211456c46deccc4b2d94751dbd894aece
    from_git tlslite-ng https://github.com/tlsfuzzer/tlslite-ng 0d03169
}

run_tlsfuzzer() {
    local log=$1
    shift
    PYTHONPATH=$FOLDER/tlslite-ng:$FOLDER/tlsfuzzer-tests \
        /usr/bin/python3 "$HERE/tlsfuzzer.py" "$FOLDER/tlsfuzzer-tests" \
        "$log" "$@"
}

# ---- Perl: IO::Socket::SSL and Net::SSLeay ---------------------------------

fetch_perl() {
    install_missing prove:perl \
        /usr/share/perl5/IO/Socket/SSL.pm:libio-socket-ssl-perl
    from_debian io-socket-ssl libio-socket-ssl-perl
    from_debian net-ssleay libnet-ssleay-perl
}

# The modules that are tested are the installed ones.
run_perl() {
    local log=$1 folder
    shift
    : >"$log"
    for folder in io-socket-ssl net-ssleay; do
        in_perl_folder "$folder" "$@" | tee -a "$log" | from_tap "$folder/"
    done
}

in_perl_folder() { # FOLDER [FILE...]
    local folder=$1 files=() file
    cd "$FOLDER/$folder" || exit
    shift
    for file in "$@"; do
        [[ $file != "$folder"/* ]] || files+=("${file#"$folder"/}")
    done
    if (($# == 0)); then
        mapfile -t files < <(find t -name '*.t' ! -path '*/external/*' | sort)
    fi
    ((${#files[@]} == 0)) ||
        timeout 900 prove -v -Iinc "${files[@]}" 2>&1 || true
}

# ---- Ruby: the tests of its OpenSSL module ---------------------------------

# The version is that of Debian 12's ruby3.1.
fetch_ruby() {
    install_missing ruby:ruby \
        /usr/share/doc/ruby-test-unit:ruby-test-unit
    from_git ruby-openssl https://github.com/ruby/openssl v3.0.1
}

run_ruby() {
    local log=$1 file
    shift
    cd "$FOLDER/ruby-openssl/test/openssl" || exit
    (($# > 0)) || set -- test_*.rb
    for file in "$@"; do
        echo "file $file"
        timeout 600 ruby -I. -r "$HERE/ruby_guard.rb" "$file" -v --no-use-color 2>&1 || true
    done >"$log"
    from_test_unit <"$log"
}

# What Ruby's test-unit prints with -v: "CLASS: ", and for each of its tests
# "TEST: MARK: (SECONDS)", where MARK is a dot, F, E, or a letter for a test that
# was left out. Classes share tests.
from_test_unit() {
    awk '/^file / { file = $2; next }
         /^ *[A-Z][A-Za-z0-9_:]*: *$/ {
             class = $1; gsub(/^OpenSSL::|:$/, "", class)
         }
         /^ *test_[^ \t]*:\t+[.FE]/ {
             name = $1; sub(/:.*/, "", name)
             print ($2 ~ /^\./ ? "ok " : "failed ") file ":" class "." name
         }'
}

# ---- clients of other libraries, and curl ----------------------------------

fetch_clients() {
    install_missing nginx:nginx curl:curl gnutls-cli:gnutls-bin \
        javac:default-jdk-headless
    fetch_certs
    javac -d "$FOLDER/clients" "$HERE/Client.java"
}

fetch_certs() {
    "$ROOT/certs/make-certs.sh" "$FOLDER/certs" >/dev/null 2>&1
}

run_clients() {
    local log=$1
    shift
    "$HERE/clients.sh" "$FOLDER/certs" "$FOLDER/clients" "$log" "$@" || true
}

# ---- scanners --------------------------------------------------------------

fetch_scanners() {
    install_missing nginx:nginx sslscan:sslscan testssl:testssl.sh \
        python3:python3
    fetch_certs
}

run_scanners() {
    local log=$1
    shift
    "$HERE/scanners.sh" "$FOLDER/certs" "$log" "$@" || true
}
