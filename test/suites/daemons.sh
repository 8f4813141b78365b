#!/bin/bash
# Other servers than the live tests': each started unmodified with the
# configuration of a profile in OPENSSL_CONF, talked to by a stock s_client, and
# scanned, all its processes, while the connection is open. One line for each
# server and profile: whether it works, and what a wild read finds. Where a
# signal has certificates read anew, another line says whether that works.
#
#   test/suites/daemons.sh [-p stock|keys|full]... [-k KEY] [SERVER...]
#
# KEY is one of certs/make-certs.sh, rsa2048 if none is named.
#
# It installs nothing: a server that is not there is left out. Run as root, as
# these start and then become somebody else.
# shellcheck disable=SC2317 # servers are called by name

set -euo pipefail
SUITES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=test/live/lib.sh
. "$SUITES/../live/lib.sh"

PATH=$PATH:/usr/sbin
for dir in /usr/lib/postgresql/*/bin; do
    PATH+=:$dir
done
KEY=rsa2048
PROFILES=()
while getopts p:k: option; do
    case $option:${OPTARG-} in
    p:stock | p:keys | p:full) PROFILES+=("$OPTARG") ;;
    k:*) KEY=$OPTARG ;;
    *) bail "usage: daemons.sh [-p stock|keys|full]... [-k KEY] [SERVER...]" ;;
    esac
done
shift $((OPTIND - 1))
((${#PROFILES[@]} > 0)) || PROFILES=(stock keys full)
# What takes its place.
NEW_KEY=p256
[[ $KEY != p256 ]] || NEW_KEY=rsa2048

# Everything that a server gets to see, readable by whoever it becomes.
chmod 755 "$T"
D=$T/servers
mkdir -m 755 "$D"

conf_of() {
    case $1 in
    stock) echo "$D/stock.cnf" ;;
    keys) echo "$D/mpk-keys.cnf" ;;
    full) echo "$D/mpk.cnf" ;;
    esac
}

# The profiles as they are built, for another backend where there is no PKU.
make_confs() {
    local name
    printf 'openssl_conf = none\n[none]\n' >"$D/stock.cnf"
    for name in mpk-keys mpk; do
        sed -e "s/^# backend = mpk .*/backend = $BACKEND/" \
            -e 's/^# key-references = .*/key-references = follow/' \
            "$BUILD/$name.cnf" >"$D/$name.cnf"
    done
    chmod 644 "$D"/*.cnf
}

# leave_out WHY: ends what one_apart has begun.
leave_out() {
    printf '%-15s %s\n' "$NAME" "$1"
    exit 0
}

# needs PROGRAM
needs() {
    type -P "$1" >/dev/null || leave_out 'not installed'
}

# give USER: certificate and key, in files that USER may read.
give() {
    id -u "${1%:*}" >/dev/null 2>&1 || leave_out 'not installed'
    rm -rf "$D/tls" && mkdir -m 755 "$D/tls"
    cp "$CERTS/$KEY.crt" "$D/tls/crt"
    cp "$CERTS/$KEY.key" "$D/tls/key"
    cat "$D/tls/key" "$D/tls/crt" >"$D/tls/both"
    # For servers that read the key's file themselves.
    if [[ $PROFILE == stock ]]; then
        cp "$D/tls/key" "$D/tls/ref"
    else
        "$MPKCTL" reference "$D/tls/key" >"$D/tls/ref"
    fi
    chown -R "$1" "$D/tls"
    chmod 600 "$D/tls"/{key,both}
    # Some look at the time, in seconds, when they are told to read them anew.
    touch -d '1 hour ago' "$D/tls"/*
}

# ---- the servers ----------------------------------------------------------
#
# Each writes its configuration into $W and sets RUN, what is started, and
# CLIENT, more arguments for s_client; SAY is what the client sends, ANSWER what
# must come back; VERSIONS are those of TLS that the server has; RELOAD is the
# signal that has a changed certificate read, "none" if it is read anyway.

apache_conf() {
    local modules=/usr/lib/apache2/modules
    cat <<END
ServerRoot $W
PidFile $W/pid
ServerName localhost
LoadModule mpm_$1_module $modules/mod_mpm_$1.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule socache_shmcb_module $modules/mod_socache_shmcb.so
LoadModule ssl_module $modules/mod_ssl.so
User www-data
Group www-data
Listen 127.0.0.1:$PORT
ErrorLog $W/error.log
SSLSessionCache shmcb:$W/cache(65536)
DocumentRoot $W/www
SSLEngine on
SSLCertificateFile $D/tls/crt
SSLCertificateKeyFile $D/tls/key
END
}

apache() {
    give root
    mkdir -p "$W/www"
    echo hello >"$W/www/index.html"
    apache_conf "$1" >"$W/conf"
    RUN=(apache2 -f "$W/conf" -DFOREGROUND)
    SAY=$'GET /index.html HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'
    ANSWER=hello
    RELOAD=USR1
}

server_apache_event() { apache event; }
server_apache_prefork() { apache prefork; }

# With an encrypted key, whose passphrase a program gives.
server_apache_passphrase() {
    apache event
    OPENSSL_CONF=$(conf_of stock) openssl pkey -in "$CERTS/$KEY.key" \
        -aes256 -passout pass:secret -out "$D/tls/key"
    printf '#!/bin/sh\necho secret\n' >"$W/dialog"
    chmod 755 "$W/dialog"
    echo "SSLPassPhraseDialog exec:$W/dialog" >>"$W/conf"
    RELOAD=
}

server_lighttpd() {
    give www-data
    mkdir -p "$W/www"
    echo hello >"$W/www/index.html"
    cat >"$W/conf" <<END
server.modules = ("mod_openssl")
server.document-root = "$W/www"
server.bind = "127.0.0.1"
server.port = $PORT
server.username = "www-data"
index-file.names = ("index.html")
ssl.engine = "enable"
ssl.pemfile = "$D/tls/crt"
ssl.privkey = "$D/tls/key"
ssl.openssl.ssl-conf-cmd = ("MinProtocol" => "TLSv1.2")
END
    RUN=(lighttpd -D -f "$W/conf")
    SAY=$'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
    ANSWER=hello
    RELOAD=USR1
}

server_stunnel() {
    give stunnel4
    serve "$(conf_of stock)" -cert "$CERTS/p256.crt" -key "$CERTS/p256.key"
    cat >"$W/conf" <<END
foreground = yes
pid =
setuid = stunnel4
[test]
accept = 127.0.0.1:$PORT
connect = 127.0.0.1:$SERVER_PORT
cert = $D/tls/crt
key = $D/tls/key
END
    RUN=(stunnel4 "$W/conf")
    ANSWER=
    RELOAD=HUP
}

redis_of() { # redis|valkey
    give "$1"
    RUN=(runuser -u "$1" -- "$1-server" --port 0 --tls-port "$PORT"
        --bind 127.0.0.1 --tls-cert-file "$D/tls/crt"
        --tls-key-file "$D/tls/key" --tls-auth-clients no --save ''
        --dir "$W")
    SAY=$'PING\r\n'
    ANSWER=PONG
}

server_redis() { redis_of redis; }
server_valkey() { redis_of valkey; }

server_postgres() {
    give postgres
    chown postgres "$W"
    runuser -u postgres -- initdb -D "$W/data" -A trust >/dev/null
    cat >>"$W/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $PORT
unix_socket_directories = ''
ssl = on
ssl_cert_file = '$D/tls/crt'
ssl_key_file = '$D/tls/key'
END
    RUN=(runuser -u postgres -- postgres -D "$W/data")
    CLIENT=(-starttls postgres)
    ANSWER=
    RELOAD=HUP
}

server_mosquitto() {
    give mosquitto
    cat >"$W/conf" <<END
listener $PORT 127.0.0.1
allow_anonymous true
certfile $D/tls/crt
keyfile $D/tls/key
END
    RUN=(mosquitto -c "$W/conf")
    # CONNECT of MQTT 3.1.1 with the name "a"; the answer is CONNACK.
    SAY=$(printf '\x10\x0d')
    ANSWER=
    RELOAD=HUP
}

# The configuration of 2.4 has nothing in common with that of 2.3.
dovecot_2_3() { # KEYFILE
    cat <<END
import_environment = OPENSSL_CONF
protocols = imap
ssl_cert = <$D/tls/crt
ssl_key = <$1
passdb {
  driver = static
  args = nopassword=y
}
END
}

dovecot_2_4() { # KEYFILE
    cat <<END
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
import_environment {
  OPENSSL_CONF = %{env:OPENSSL_CONF}
}
protocols = imap
ssl_server_cert_file = $D/tls/crt
ssl_server_key_file = $1
passdb static {
  fields {
    nopassword = yes
  }
}
END
}

# dovecot_with KEYFILE [SETTING-OF-THE-LOGIN-SERVICE]
dovecot_with() {
    mkdir -p "$W/run"
    {
        case $(dovecot --version 2>/dev/null || true) in
        2.3*) dovecot_2_3 "$1" ;;
        *) dovecot_2_4 "$1" ;;
        esac
        cat <<END
base_dir = $W/run
log_path = $W/log
ssl = required
service imap-login {
  ${2:-}
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = $PORT
  }
}
END
    } >"$W/conf"
    RUN=(dovecot -F -c "$W/conf")
    SAY=$'a CAPABILITY\r\n'
    ANSWER='OK'
    RELOAD=HUP
}

server_dovecot() {
    give root
    dovecot_with "$D/tls/key"
}

# The process that reads the key is in a chroot otherwise.
server_dovecot_ref() {
    give root:dovenull
    chmod 640 "$D/tls/key"
    dovecot_with "$D/tls/ref" 'chroot ='
}

vsftpd_with() { # SETTING...
    needs vsftpd
    give root
    mkdir -p /var/run/vsftpd/empty
    cat >"$W/conf" <<END
listen=YES
listen_address=127.0.0.1
listen_port=$PORT
background=NO
anonymous_enable=YES
allow_anon_ssl=YES
ssl_enable=YES
ssl_tlsv1=YES
require_ssl_reuse=NO
rsa_cert_file=$D/tls/crt
rsa_private_key_file=$D/tls/key
END
    printf '%s\n' "$@" >>"$W/conf"
    RUN=(vsftpd "$W/conf")
    CLIENT=(-starttls ftp)
    SAY=$'USER anonymous\r\n'
    ANSWER=331
}

server_vsftpd() { vsftpd_with; }

# It forks by a raw clone otherwise, and limits itself to these addresses.
server_vsftpd_set() {
    vsftpd_with isolate=NO isolate_network=NO
    RUN=(prlimit --as=209715200 "${RUN[@]}")
}

server_proftpd() {
    give root
    mkdir -p /run/proftpd
    cat >"$W/conf" <<END
ServerType standalone
DefaultAddress 127.0.0.1
Port $PORT
User proftpd
Group nogroup
PidFile $W/pid
ScoreboardFile $W/scores
LoadModule mod_tls.c
TLSEngine on
TLSLog $W/tls.log
TLSRSACertificateFile $D/tls/crt
TLSRSACertificateKeyFile $D/tls/key
END
    RUN=(proftpd -n -c "$W/conf")
    CLIENT=(-starttls ftp)
    SAY=$'USER anonymous\r\n'
    ANSWER=331
    RELOAD=HUP
}

postfix_with() { # LINE-OF-MASTER.CF...
    give root
    mkdir -p "$W/spool" "$W/data"
    chown postfix "$W/data"
    cat >"$W/main.cf" <<END
compatibility_level = 3.6
queue_directory = $W/spool
data_directory = $W/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = $W/log
maillog_file_prefixes = $W
import_environment = MAIL_CONFIG OPENSSL_CONF MAIL_LOGTAG PATH
export_environment = OPENSSL_CONF PATH
mynetworks = 127.0.0.0/8
smtpd_tls_security_level = may
smtpd_tls_chain_files = $D/tls/both
END
    printf '%s\n' "$@" >"$W/master.cf"
    cat >>"$W/master.cf" <<END
postlog unix-dgram n - n - 1 postlogd
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
END
    postfix -c "$W" set-permissions >/dev/null 2>&1 || true
    mkdir -p "$W/spool/pid" "$W/spool/private" "$W/spool/public"
    chown postfix "$W/spool/private" "$W/spool/public"
    RUN=(/usr/lib/postfix/sbin/master -d -c "$W")
    CLIENT=(-starttls smtp)
    SAY=$'EHLO a\r\n'
    ANSWER=250
}

server_postfix() {
    postfix_with "127.0.0.1:$PORT inet n - n - - smtpd"
    RELOAD=HUP
}

server_postfix_chroot() {
    postfix_with "127.0.0.1:$PORT inet n - y - - smtpd"
    RELOAD=HUP
}

# TLS is that of tlsproxy, as long as postscreen itself talks to the client.
server_postscreen() {
    postfix_with "127.0.0.1:$PORT inet n - y - 1 postscreen" \
        'smtpd pass - - y - - smtpd' 'dnsblog unix - - y - 0 dnsblog' \
        'tlsproxy unix - - y - 0 tlsproxy'
    cat >>"$W/main.cf" <<END
postscreen_access_list =
postscreen_cache_map = btree:$W/data/postscreen
postscreen_greet_wait = 1s
postscreen_pipelining_enable = yes
postscreen_pipelining_action = enforce
END
}

server_unbound() {
    give unbound
    cat >"$W/conf" <<END
server:
  chroot: ""
  directory: "$W"
  pidfile: "$W/pid"
  interface: 127.0.0.1@$PORT
  tls-port: $PORT
  tls-service-key: "$D/tls/key"
  tls-service-pem: "$D/tls/crt"
  local-zone: "test." static
remote-control:
  control-enable: no
END
    RUN=(unbound -d -c "$W/conf")
    ANSWER=
}

server_bind() {
    give bind
    chown bind "$W"
    cat >"$W/conf" <<END
tls t { key-file "$D/tls/key"; cert-file "$D/tls/crt"; };
options {
  directory "$W";
  pid-file "$W/pid";
  session-keyfile "$W/session.key";
  listen-on port $PORT tls t { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion no;
};
controls { };
END
    RUN=(named -f -u bind -c "$W/conf")
    ANSWER=
    RELOAD=HUP
}

server_mariadb() {
    give mysql
    chown mysql "$W"
    mariadb-install-db --no-defaults --user=mysql --datadir="$W/data" \
        --auth-root-authentication-method=normal >/dev/null
    RUN=(mariadbd --no-defaults --user=mysql "--datadir=$W/data"
        "--port=$PORT" --bind-address=127.0.0.1 "--socket=$W/sock"
        "--ssl-cert=$D/tls/crt" "--ssl-key=$D/tls/key")
    CLIENT=(-starttls mysql)
    ANSWER=
}

node_with() {
    cat >"$W/main.js" <<END
const fs = require('fs');
require('https').createServer(
    { key: fs.readFileSync('$1'), cert: fs.readFileSync('$D/tls/crt') },
    (request, answer) => answer.end('hello')).listen($PORT, '127.0.0.1');
END
    RUN=(node --openssl-shared-config "$W/main.js")
    SAY=$'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
    ANSWER=hello
}

server_node() {
    give root
    node_with "$D/tls/key"
}

server_node_ref() {
    give root
    node_with "$D/tls/ref"
}

server_squid() {
    give proxy
    chown proxy "$W"
    cat >"$W/conf" <<END
https_port 127.0.0.1:$PORT tls-cert=$D/tls/crt tls-key=$D/tls/key
http_access deny all
pid_filename $W/pid
access_log none
cache_log $W/log
coredump_dir $W
logfile_rotate 0
END
    RUN=(squid -N -f "$W/conf")
    SAY=$'GET http://localhost/ HTTP/1.0\r\n\r\n'
    ANSWER='403'
    RELOAD=HUP
}

server_turn() {
    give turnserver
    RUN=(turnserver -n --no-udp --no-dtls --no-cli -L 127.0.0.1
        "--tls-listening-port=$PORT" "--cert=$D/tls/crt" "--pkey=$D/tls/key"
        "--pidfile=$W/pid" --log-file=stdout)
    VERSIONS=(tls1_2)
    ANSWER=
    RELOAD=USR2
}

hitch_with() { # PEM-FILE
    give _hitch
    serve "$(conf_of stock)" -cert "$CERTS/p256.crt" -key "$CERTS/p256.key"
    cat >"$W/conf" <<END
frontend = "[127.0.0.1]:$PORT"
backend = "[127.0.0.1]:$SERVER_PORT"
pem-file = $1
user = "_hitch"
workers = 2
END
    RUN=(hitch --config="$W/conf")
    ANSWER=
    RELOAD=HUP
}

server_hitch() {
    hitch_with "{ cert = \"$D/tls/crt\"
    private-key = \"$D/tls/key\" }"
}

server_hitch_both() {
    hitch_with "\"$D/tls/both\""
}

server_nghttpx() {
    give root
    serve "$(conf_of stock)" -cert "$CERTS/p256.crt" -key "$CERTS/p256.key"
    RUN=(nghttpx --conf=/dev/null --user=www-data --workers=2
        "--frontend=127.0.0.1,$PORT" "--backend=127.0.0.1,$SERVER_PORT"
        "--errorlog-file=$W/log" "--pid-file=$W/pid" "$D/tls/key" "$D/tls/crt")
    ANSWER=
}

server_pgbouncer() {
    give postgres
    chown postgres "$W"
    cat >"$W/conf" <<END
[databases]
* = host=127.0.0.1 port=1
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $PORT
unix_socket_dir =
auth_type = any
client_tls_sslmode = require
client_tls_cert_file = $D/tls/crt
client_tls_key_file = $D/tls/key
END
    RUN=(runuser -u postgres -- pgbouncer "$W/conf")
    CLIENT=(-starttls postgres)
    RELOAD=HUP
    ANSWER=
}

server_dnsdist() {
    give _dnsdist
    cat >"$W/conf" <<END
newServer('127.0.0.1:1')
setLocal('127.0.0.1:0')
addTLSLocal('127.0.0.1:$PORT', '$D/tls/crt', '$D/tls/key',
    { provider = 'openssl' })
END
    RUN=(dnsdist --supervised --disable-syslog -u _dnsdist -C "$W/conf")
    ANSWER=
}

server_nsd() {
    give nsd
    chown nsd "$W"
    cat >"$W/conf" <<END
server:
  ip-address: 127.0.0.1@$PORT
  tls-port: $PORT
  tls-service-key: "$D/tls/key"
  tls-service-pem: "$D/tls/crt"
  username: nsd
  zonesdir: "$W"
  database: ""
  zonelistfile: "$W/zones"
  xfrdfile: "$W/xfrd"
  xfrdir: "$W"
  pidfile: "$W/pid"
remote-control:
  control-enable: no
END
    RUN=(nsd -d -c "$W/conf")
    ANSWER=
}

server_memcached() {
    give memcache
    RUN=(memcached -u memcache -l 127.0.0.1 -p "$PORT" -Z
        -o "ssl_chain_cert=$D/tls/crt,ssl_key=$D/tls/key")
    SAY=$'version\r\n'
    ANSWER=VERSION
}

server_nrpe() {
    give nagios
    cat >"$W/conf" <<END
server_address=127.0.0.1
server_port=$PORT
nrpe_user=nagios
nrpe_group=nogroup
pid_file=$W/pid
allowed_hosts=127.0.0.1
ssl_version=TLSv1.2+
ssl_use_adh=0
ssl_cert_file=$D/tls/crt
ssl_privatekey_file=$D/tls/key
END
    RUN=(nrpe -f -c "$W/conf")
    ANSWER=
}

server_monit() {
    give root
    cat >"$W/conf" <<END
set daemon 60
set log $W/log
set pidfile $W/pid
set idfile $W/id
set statefile $W/state
set httpd port $PORT
    use address 127.0.0.1
    with ssl { pemfile: $D/tls/both }
    allow 127.0.0.1
END
    chmod 600 "$W/conf"
    RUN=(monit -I -c "$W/conf")
    SAY=$'GET / HTTP/1.0\r\n\r\n'
    ANSWER='HTTP/1'
}

server_rsyslog() {
    give root
    cat >"$W/conf" <<END
global(
    workDirectory="$W"
    DefaultNetstreamDriver="ossl"
    DefaultNetstreamDriverCAFile="$CERTS/ca.crt"
    DefaultNetstreamDriverCertFile="$D/tls/crt"
    DefaultNetstreamDriverKeyFile="$D/tls/key"
)
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1"
    StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="$PORT")
action(type="omfile" file="$W/messages")
END
    RUN=(rsyslogd -n -f "$W/conf" -i "$W/pid")
    SAY=$'<13>Jan  1 00:00:00 here test: hello\n'
    ANSWER=
}

server_ntpsec() {
    give ntpsec
    chown ntpsec "$W"
    PORT=4460
    cat >"$W/conf" <<END
nts enable
nts cert $D/tls/crt
nts key $D/tls/key
nts cookie $W/cookies
END
    RUN=(ntpd -n -u ntpsec -c "$W/conf" -p "$W/pid" -I 127.0.0.1)
    CLIENT=(-alpn ntske/1)
    VERSIONS=(tls1_3)
    ANSWER=
    RELOAD=HUP
}

server_znc() {
    give _znc
    mkdir -p "$W/data/configs"
    cat >"$W/data/configs/znc.conf" <<END
Version = 1.8.2
SSLCertFile = $D/tls/crt
SSLKeyFile = $D/tls/key
<Listener l>
    Host = 127.0.0.1
    Port = $PORT
    IPv4 = true
    IPv6 = false
    SSL = true
    AllowIRC = true
    AllowWeb = false
</Listener>
<User a>
    Pass = plain#a#
    Admin = true
</User>
END
    chown -R _znc "$W"
    RUN=(runuser -u _znc -- znc -f -d "$W/data")
    SAY=$'NICK a\r\nUSER a a a a\r\n'
    ANSWER='464'
    RELOAD=none
}

server_mumble() {
    give mumble-server
    chown mumble-server "$W"
    cat >"$W/conf" <<END
database=$W/sqlite
host=127.0.0.1
port=$PORT
sslCert=$D/tls/crt
sslKey=$D/tls/key
logfile=$W/log
pidfile=$W/pid
END
    RUN=(mumble-server -fg -ini "$W/conf")
    type -P "${RUN[0]}" >/dev/null || RUN[0]=murmurd # before 1.4
    ANSWER=
}

server_prosody() {
    give prosody
    chown prosody "$W"
    cat >"$W/conf.cfg.lua" <<END
pidfile = "$W/pid"
data_path = "$W"
log = { info = "$W/log" }
run_as_root = false
modules_enabled = { "saslauth", "tls", "disco" }
modules_disabled = { "s2s" }
c2s_ports = {}
c2s_direct_tls_ports = { $PORT }
c2s_direct_tls_ssl = { certificate = "$D/tls/crt", key = "$D/tls/key" }
interfaces = { "127.0.0.1" }
VirtualHost "localhost"
ssl = { certificate = "$D/tls/crt", key = "$D/tls/key" }
END
    RUN=(runuser -u prosody -- prosody -F --config "$W/conf.cfg.lua")
    SAY='<stream:stream to="localhost" xmlns="jabber:client"'
    SAY+=' xmlns:stream="http://etherx.jabber.org/streams" version="1.0">'
    ANSWER=stream:features
}

server_pureftpd() {
    give root
    RUN=(pure-ftpd -S "127.0.0.1,$PORT" -Y 1 -2 "$D/tls/both" -g "$W/pid" -e)
    CLIENT=(-starttls ftp)
    SAY=$'USER anonymous\r\n'
    ANSWER=
}

server_kamailio() {
    local modules=/usr/lib/x86_64-linux-gnu/kamailio/modules
    give kamailio
    chown kamailio "$W"
    cat >"$W/conf" <<END
children=2
listen=tls:127.0.0.1:$PORT
enable_tls=1
disable_tcp=no
mpath="$modules/"
loadmodule "tls.so"
loadmodule "sl.so"
modparam("tls", "config", "$W/tls")
request_route { sl_send_reply("200", "hello"); }
END
    cat >"$W/tls" <<END
[server:default]
method = TLSv1.2+
certificate = $D/tls/crt
private_key = $D/tls/key
[client:default]
method = TLSv1.2+
END
    RUN=(kamailio -DD -E -f "$W/conf" -u kamailio -Y "$W" -P "$W/pid")
    SAY=$'OPTIONS sip:a@localhost SIP/2.0\r\n'
    SAY+=$'Via: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1\r\n'
    SAY+=$'From: <sip:a@localhost>;tag=1\r\nTo: <sip:a@localhost>\r\n'
    SAY+=$'Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 9\r\n'
    SAY+=$'Content-Length: 0\r\n\r\n'
    ANSWER='200 hello'
}

server_uwsgi() {
    give www-data
    cat >"$W/app.py" <<END
def application(environment, start):
    start('200 OK', [('Content-Type', 'text/plain')])
    return [b'hello']
END
    RUN=(uwsgi --uid www-data --gid www-data --master --processes 2
        --plugins "http,python3" --https "127.0.0.1:$PORT,$D/tls/crt,$D/tls/key"
        --wsgi-file "$W/app.py")
    SAY=$'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
    ANSWER=hello
    RELOAD=HUP
}

server_radsecproxy() {
    give root
    cat >"$W/conf" <<END
ListenTLS 127.0.0.1:$PORT
PidFile $W/pid
LogDestination file://$W/log
tls default {
    CACertificateFile $CERTS/ca.crt
    CertificateFile $D/tls/crt
    CertificateKeyFile $D/tls/key
    TlsVersion TLS1_2:TLS1_3
}
client 127.0.0.1 {
    type tls
    secret radsec
    certificateNameCheck off
}
realm * {
    replymessage "none"
}
END
    RUN=(radsecproxy -f -c "$W/conf")
    CLIENT=(-cert "$CERTS/p256.crt" -key "$CERTS/p256.key")
    ANSWER=
}

server_pgpool() {
    give postgres
    chown postgres "$W"
    cat >"$W/conf" <<END
backend_clustering_mode = 'raw'
backend_hostname0 = '127.0.0.1'
backend_port0 = 1111
listen_addresses = '127.0.0.1'
port = $PORT
unix_socket_directories = '$W'
pcp_listen_addresses = '127.0.0.1'
pcp_port = $((PORT + 1))
pcp_socket_dir = '$W'
pid_file_name = '$W/pid'
logdir = '$W'
num_init_children = 3
ssl = on
ssl_cert = '$D/tls/crt'
ssl_key = '$D/tls/key'
END
    RUN=(runuser -u postgres -- pgpool -n -f "$W/conf" -a /dev/null)
    CLIENT=(-starttls postgres)
    ANSWER=
}

server_netdata() {
    give netdata
    chown netdata "$W"
    cat >"$W/conf" <<END
[directories]
    cache = $W
    lib = $W
    log = $W
[db]
    mode = none
[health]
    enabled = no
[ml]
    enabled = no
[plugins]
    proc = no
    cgroups = no
    tc = no
    diskspace = no
    apps = no
    idlejitter = no
    statsd = no
    timex = no
    enable running new plugins = no
[web]
    bind to = 127.0.0.1:$PORT=dashboard^SSL=force
    ssl key = $D/tls/key
    ssl certificate = $D/tls/crt
END
    RUN=(netdata -D -u netdata -c "$W/conf" -P "$W/pid")
    SAY=$'GET /api/v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n'
    ANSWER='HTTP/1.1'
}

# It is called what its certificate says.
server_icinga2() {
    local certs=$W/lib/certs
    give nagios
    mkdir -p "$certs" "$W/log" "$W/cache" "$W/run"
    ln -s "$D/tls/crt" "$certs/$KEY.crt"
    ln -s "$D/tls/key" "$certs/$KEY.key"
    cp "$CERTS/ca.crt" "$certs/ca.crt"
    chown -R nagios "$W"
    cat >"$W/conf" <<END
const NodeName = "$KEY"
object Endpoint "$KEY" { }
object Zone "$KEY" { endpoints = [ "$KEY" ] }
object ApiListener "api" {
  bind_host = "127.0.0.1"
  bind_port = $PORT
}
object ApiUser "a" {
  password = "a"
  permissions = [ "*" ]
}
END
    RUN=(icinga2 daemon -x warning -c "$W/conf" "-DDataDir=$W/lib"
        "-DLogDir=$W/log" "-DCacheDir=$W/cache" "-DInitRunDir=$W/run"
        "-DSpoolDir=$W")
    SAY=$'GET /v1/status HTTP/1.1\r\nHost: localhost\r\n'
    SAY+=$'Accept: application/json\r\nAuthorization: Basic YTph\r\n\r\n'
    ANSWER='HTTP/1.1'
}

server_socat() {
    local address=OPENSSL-LISTEN:$PORT,bind=127.0.0.1,fork,su=nobody
    address+=,verify=0,cert=$D/tls/crt,key=$D/tls/key
    give root
    RUN=(socat "$address" EXEC:cat)
    SAY=$'hello\n'
    ANSWER=hello
}

server_syslogng() {
    give root
    cat >"$W/conf" <<END
@version: 3.38
source s {
    network(ip("127.0.0.1") port($PORT) transport("tls")
        tls(key-file("$D/tls/key") cert-file("$D/tls/crt")
            peer-verify(optional-untrusted)));
};
destination d { file("$W/messages"); };
log { source(s); destination(d); };
END
    RUN=(syslog-ng -F --no-caps -f "$W/conf" -p "$W/pid" -R "$W/persist"
        -c "$W/ctl")
    SAY=$'<13>Jan  1 00:00:00 here test: hello\n'
    ANSWER=
    RELOAD=HUP
}

# It looks for DH parameters in the key's file unless they are in another.
server_cyrus() {
    give cyrus
    mkdir -p "$W"/conf/{socket,db} "$W"/{spool,proc,lock}
    chown -R cyrus "$W"
    openssl genpkey -quiet -genparam -algorithm DH \
        -pkeyopt group:ffdhe2048 -out "$W/dh" 2>/dev/null
    cat >"$W/imapd.conf" <<END
configdirectory: $W/conf
defaultpartition: default
partition-default: $W/spool
proc_path: $W/proc
mboxname_lockpath: $W/lock
cyrus_user: cyrus
sasl_mech_list: PLAIN
tls_server_cert: $D/tls/crt
tls_server_key: $D/tls/key
tls_server_dhparam: $W/dh
END
    cat >"$W/cyrus.conf" <<END
START {
    recover cmd="ctl_cyrusdb -C $W/imapd.conf -r"
}
SERVICES {
    imaps cmd="imapd -s -C $W/imapd.conf" listen="127.0.0.1:$PORT" prefork=1
}
EVENTS {
}
END
    RUN=(cyrmaster -D -C "$W/imapd.conf" -M "$W/cyrus.conf" -p "$W/pid")
    SAY=$'a CAPABILITY\r\n'
    ANSWER='OK'
}

# Debian 13 builds it with OpenSSL.
server_slapd() {
    needs slapd
    [[ $(ldd "$(type -P slapd)") != *libgnutls* ]] || leave_out 'has GnuTLS'
    give openldap
    chown openldap "$W"
    cat >"$W/conf" <<END
pidfile $W/pid
TLSCertificateFile $D/tls/crt
TLSCertificateKeyFile $D/tls/key
database monitor
END
    RUN=(slapd -d 0 -u openldap -g openldap -f "$W/conf"
        -h "ldaps://127.0.0.1:$PORT/")
    ANSWER=
}

SERVERS=(apache_event apache_prefork apache_passphrase lighttpd stunnel redis
    valkey postgres mosquitto dovecot dovecot_ref vsftpd vsftpd_set proftpd
    pureftpd postfix postfix_chroot postscreen unbound bind nsd dnsdist mariadb
    pgbouncer node node_ref squid turn hitch hitch_both nghttpx memcached nrpe
    monit rsyslog ntpsec znc mumble prosody kamailio uwsgi radsecproxy pgpool
    netdata icinga2 socat syslogng cyrus slapd)

# ---- one run --------------------------------------------------------------

# connect VERSION: one connection that stays; sets CLIENT_PID and its files.
connect() {
    open_input
    LAUNCH_STDIN=$INPUT launch "$(conf_of stock)" "$W/client" openssl s_client \
        -connect "127.0.0.1:$PORT" "-$1" -keylogfile "$W/keylog" \
        -CAfile "$CERTS/ca.crt" "${CLIENT[@]}"
    CLIENT_PID=$LAUNCHED
    until_true 20 shook_hands_or_dead || true
    # Without a certificate the code is 0 too.
    grep -q 'Verify return code: 0' "$W/client" &&
        grep -q "^[A-Z]" "$W/keylog" || return 1
    [[ -z $SAY ]] || printf '%s' "$SAY" >&"$INPUT_FD"
    until_true 5 grep -q "$ANSWER" "$W/client" || return 1
}

shook_hands_or_dead() {
    grep -q 'Verify return code' "$W/client" || ! alive "$CLIENT_PID"
}

# scan PID WHAT OPTION...: adds the process to FOUND[WHAT] if something of it is
# found there.
scan() {
    local pid=$1 what=$2 status=0 name
    shift 2
    name=$(cat "/proc/$pid/comm" 2>/dev/null) || return 0
    "$MPKCTL" scan --pid "$pid" "$@" >"$W/scan" 2>&1 || status=$?
    case $status in
    0) ;;
    1) FOUND[$what]+=" $name" ;;
    *)
        FOUND[$what]+=" $name:not-scanned"
        shown "$W/scan"
        ;;
    esac
}

one_version() {
    local version=$1 pid works=works n=0
    : >"$W/client"
    rm -f "$W/keylog"
    connect "$version" || works=FAILS
    declare -A FOUND=([key]='' [secrets]='')
    DESCENDANTS=()
    descendants_of "$SERVER"
    for pid in "$SERVER" "${DESCENDANTS[@]}"; do
        scan "$pid" key --key "$CERTS/$KEY.key"
        scan "$pid" secrets --keylog "$W/keylog"
        n=$((n + 1))
    done
    stop "$CLIENT_PID"
    exec {INPUT_FD}>&-
    printf '%-15s %-6s %-7s %-6s %2d processes; key:%s; secrets:%s\n' \
        "$NAME" "$PROFILE" "$version" "$works" "$n" \
        "${FOUND[key]:- none}" "${FOUND[secrets]:- none}"
    if [[ $works == FAILS ]]; then
        shown "$W/client"
        shown "$W/server"
        [[ ! -e $W/log ]] || shown "$W/log"
    fi
}

# The process that a server's signals go to.
main_process() {
    if [[ $(<"/proc/$SERVER/comm") == runuser ]]; then
        children_of "$SERVER"
        echo "${CHILDREN[0]}"
    else
        echo "$SERVER"
    fi
}

has_new_certificate() {
    OPENSSL_CONF=$(conf_of stock) timeout 5 openssl s_client \
        -connect "127.0.0.1:$PORT" "${CLIENT[@]}" </dev/null \
        >"$W/client" 2>&1 || true
    grep -qE "^subject=.*CN ?= ?$NEW_KEY" "$W/client"
}

# Other files at the same place, and the signal that has them read.
reload() {
    local works=works pid
    declare -A FOUND=([key]='')
    cat "$CERTS/$NEW_KEY.crt" >"$D/tls/crt"
    cat "$CERTS/$NEW_KEY.key" >"$D/tls/key"
    cat "$D/tls/key" "$D/tls/crt" >"$D/tls/both"
    if [[ $PROFILE == stock ]]; then
        cat "$D/tls/key" >"$D/tls/ref"
    else
        "$MPKCTL" reference "$D/tls/key" >"$D/tls/ref"
    fi
    # shellcheck disable=SC2046 # one process id
    [[ $RELOAD == none ]] || kill -s "$RELOAD" $(main_process)
    until_true 10 has_new_certificate || works=FAILS
    DESCENDANTS=()
    descendants_of "$SERVER"
    for pid in "$SERVER" "${DESCENDANTS[@]}"; do
        scan "$pid" key --key "$CERTS/$NEW_KEY.key"
    done
    printf '%-15s %-6s %-7s %-6s new key:%s\n' "$NAME" "$PROFILE" reload \
        "$works" "${FOUND[key]:- none}"
    if [[ $works == FAILS ]]; then
        shown "$W/client"
        shown "$W/server"
    fi
}

one() {
    local version
    NAME=$1 PROFILE=$2
    W=$D/$NAME.$PROFILE
    CLIENT=() SAY='' ANSWER='' RUN=() VERSIONS=(tls1_3 tls1_2) RELOAD=
    mkdir -p "$W" && chmod 755 "$W"
    pick_port
    "server_$NAME"
    needs "${RUN[0]}"
    # TLS 1.2 has no such certificates.
    [[ $KEY != mldsa* ]] || VERSIONS=(tls1_3)
    # Some end by a signal to their process group, which is ours otherwise.
    launch "$(conf_of "$PROFILE")" "$W/server" setsid "${RUN[@]}"
    SERVER=$LAUNCHED
    wait_for_accept "$PORT" "$SERVER" || true
    sleep 0.5
    for version in "${VERSIONS[@]}"; do
        one_version "$version"
    done
    [[ -z $RELOAD ]] || ! alive "$SERVER" || reload
    stop "$SERVER"
}

# In a shell of its own, which has no part in clean_up and numbers its files
# by itself.
one_apart() (
    T=$(mktemp -d "$T/apart.XXXXXX")
    PIDS=()
    trap 'stop "${PIDS[@]}"' EXIT
    one "$@"
)

((EUID == 0)) || skip "the servers start as root"
make_confs
(($# > 0)) || set -- "${SERVERS[@]}"
for name; do
    declare -F "server_$name" >/dev/null ||
        bail "no server $name; there are: ${SERVERS[*]}"
done
for name in "$@"; do
    for profile in "${PROFILES[@]}"; do
        one_apart "$name" "$profile"
    done
done
exit 0
