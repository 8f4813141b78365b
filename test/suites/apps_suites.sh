# shellcheck shell=bash
# The suites of apps.sh: for each, how to get it and how to run it. Sourced.
#
# fetch_SUITE installs and fetches. run_SUITE LOG [FILE...] runs all of it, or
# these files, under the OPENSSL_CONF of its environment, and prints a line for
# each test, "ok NAME" or "failed NAME". The program's own output goes to LOG.

# shellcheck disable=SC2034 # for apps.sh
SUITES=(python cryptography nginx haproxy stunnel tlsfuzzer perl ruby php node
    clients scanners)

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

# ---- Python: cryptography and pyOpenSSL ------------------------------------

fetch_cryptography() {
    install_missing /usr/bin/python3:python3 \
        /usr/lib/python3/dist-packages/cryptography:python3-cryptography \
        /usr/lib/python3/dist-packages/OpenSSL:python3-openssl \
        /usr/lib/python3/dist-packages/cryptography_vectors:python3-cryptography-vectors \
        /usr/lib/python3/dist-packages/pytest:python3-pytest \
        /usr/lib/python3/dist-packages/pytest_forked:python3-pytest-forked \
        /usr/lib/python3/dist-packages/pytest_subtests.py:python3-pytest-subtests \
        /usr/lib/python3/dist-packages/pretend.py:python3-pretend \
        /usr/lib/python3/dist-packages/iso8601:python3-iso8601 \
        /usr/lib/python3/dist-packages/flaky:python3-flaky \
        /usr/lib/python3/dist-packages/pytz:python3-tz \
        /usr/lib/python3/dist-packages/hypothesis:python3-hypothesis \
        /usr/lib/python3/dist-packages/cffi:python3-cffi
    from_debian cryptography-source python-cryptography
    from_git pyopenssl-source https://github.com/pyca/pyopenssl 23.0.0
    # Without what else is in the sources: it is the installed modules that are
    # tested. One file cannot be read where no key is exported.
    rm -rf "$FOLDER/cryptography/work"
    mkdir -p "$FOLDER/cryptography/work"/{cryptography,pyopenssl}
    cp -r "$FOLDER/cryptography-source/tests" "$FOLDER/cryptography/work/cryptography/"
    cp -r "$FOLDER/pyopenssl-source/tests" "$FOLDER/cryptography/work/pyopenssl/"
    (
        cd "$FOLDER/cryptography/work" || exit
        rm -rf cryptography/tests/bench
        sed -i 's/^    return \(dump_privatekey(FILETYPE_PEM, load_privatekey(.*\)/    try:\
        return \1\
    except Error:\
        return pem/' pyopenssl/tests/test_crypto.py
    )
}

# Each of pyOpenSSL's in a process of its own, as some end it.
run_cryptography() {
    local log=$1 lines=${1%.log}.lines
    shift
    : >"$log"
    : >"$lines"
    pytest_in cryptography "$log" "$lines" "$@"
    pytest_in pyopenssl "$log" "$lines" --forked "$@"
    cat "$lines"
}

pytest_in() { # FOLDER LOG LINES [--forked] [FILE...]
    local folder=$1 log=$2 lines=$3 options=() files=() file
    shift 3
    if [[ ${1-} == --forked ]]; then
        options=("$1")
        shift
    fi
    for file in "$@"; do
        [[ $file != "$folder"/* ]] || files+=("${file#"$folder"/}")
    done
    (($# > 0)) || files=(tests)
    ((${#files[@]} > 0)) || return 0
    (
        cd "$FOLDER/cryptography/work/$folder"
        MPK_TEST_LINES=$lines.part PYTHONPATH=$HERE timeout 3600 \
            /usr/bin/python3 -m pytest -p pytest_lines -p no:cacheprovider \
            --tb=short "${options[@]}" "${files[@]}" >>"$log" 2>&1
    ) || true
    sed "s,^\(ok\|failed\) ,&$folder/," "$lines.part" >>"$lines"
    rm -f "$lines.part"
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

# ---- stunnel ---------------------------------------------------------------

fetch_stunnel() {
    install_missing /usr/bin/python3:python3 /usr/bin/stunnel4:stunnel4 \
        openssl:openssl
    from_debian stunnel-tests stunnel4
    ln -sfn /usr/bin/stunnel4 "$FOLDER/stunnel-tests/src/stunnel"
    [[ -e $FOLDER/stunnel-tests/tests/certs/CACert.pem ]] || (
        cd "$FOLDER/stunnel-tests/tests/certs" || exit
        OPENSSL_CONF=/dev/null ./maketestcert.sh >/dev/null 2>&1
    ) || die "stunnel's tests have no certificates"
}

# With that variable it does not mind that stunnel was built with another patch
# level of OpenSSL. It is one program, so one file.
run_stunnel() {
    local log=$1
    shift
    (
        cd "$FOLDER/stunnel-tests/tests"
        AUTOPKGTEST_TMP=$FOLDER/stunnel timeout 900 \
            /usr/bin/python3 maketest.py --debug=10 >"$log" 2>&1
    ) || true
    awk '/^[0-9]+\. / { name = $0 }
        /^\.+ succeeded$/ { print "ok maketest.py:" name }
        /^\.+ failed$/ { print "failed maketest.py:" name }' "$log"
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

# ---- Node.js ---------------------------------------------------------------

# Debian's, which has the system's libssl, from its packages: what is installed
# may be another, with an OpenSSL of its own.
fetch_node() {
    local libs=/usr/lib/x86_64-linux-gnu
    install_missing /usr/bin/python3:python3 openssl:openssl \
        $libs/libuv.so.1:libuv1 $libs/libcares.so.2:libc-ares2 \
        $libs/libnghttp2.so.14:libnghttp2-14 $libs/libicuuc.so.72:libicu72 \
        $libs/libbrotlidec.so.1:libbrotli1 \
        /usr/share/nodejs/acorn:node-acorn \
        /usr/share/nodejs/cjs-module-lexer:node-cjs-module-lexer \
        /usr/share/nodejs/undici:node-undici
    if [[ ! -e $FOLDER/node-18 ]]; then
        rm -rf "$FOLDER/node-18.part"
        mkdir -p "$FOLDER/node-18.part"
        (
            cd "$FOLDER/node-18.part"
            apt-get download -qq 'nodejs=18*' 'libnode108=18*' >/dev/null 2>&1
            for package in *.deb; do
                dpkg-deb -x "$package" .
            done
        ) || die "cannot fetch Debian's nodejs and libnode108"
        mv -T "$FOLDER/node-18.part" "$FOLDER/node-18"
    fi
    from_debian node-tests nodejs
    [[ -e $FOLDER/node/handle.key ]] ||
        "$BUILD/mpkctl" handle-key "$FOLDER/node/handle.key"
    make_node_configurations
}

# It reads a section of another name. Its tests are for the level of security
# that OpenSSL has, not Debian, and take tickets to other processes.
make_node_configurations() {
    local profile groups
    groups=$(grep '^Groups' "$FOLDER/cnf/full.cnf")
    for profile in stock "${PROFILES[@]}"; do
        {
            sed -e '/^ssl_conf = /d' \
                -e 's/^openssl_conf = .*/&\nnodejs_conf = openssl_init/' \
                -e 's/^\[openssl_init\]/&\nssl_conf = node_ssl/' \
                -e "s,^# \(handle-key-file = \).*,\1$FOLDER/node/handle.key," \
                "$FOLDER/cnf/$profile.cnf"
            printf '\n[node_ssl]\nsystem_default = node_tls\n\n[node_tls]\n'
            printf '%s\nCipherString = DEFAULT@SECLEVEL=1\n' "$groups"
        } >"$FOLDER/node/$profile.cnf"
    done
}

run_node() {
    local log=$1
    shift
    LD_LIBRARY_PATH=$FOLDER/node-18/usr/lib/x86_64-linux-gnu \
        OPENSSL_CONF=$FOLDER/node/$(basename "$OPENSSL_CONF") \
        /usr/bin/python3 "$HERE/node.py" "$FOLDER/node-18/usr/bin/node" \
        "$FOLDER/node-tests/test" "$log" "$@" || true
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
