# shellcheck shell=bash
# What the tests of nginx have in common; sourced after lib.sh.
#
#   nginx_head DIR WORKERS      the configuration from its top into "http {"
#   nginx_up CONF DIR PORT WHAT starts it with DIR/nginx.conf, waits for the
#                               port and all workers, and sets MASTER
#   workers                     sets CHILDREN to their process numbers
#   all_workers_up              whether there are as many as asked for there

PATH=$PATH:/usr/sbin
need_tool nginx

nginx_head() {
    echo "worker_processes $2;
daemon off;
pid $1/nginx.pid;
error_log $1/error.log notice;
# nginx clears its environment for the workers otherwise.
env OPENSSL_CONF;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $1/body;
    proxy_temp_path $1/proxy;
    fastcgi_temp_path $1/fastcgi;
    uwsgi_temp_path $1/uwsgi;
    scgi_temp_path $1/scgi;"
}

workers() {
    children_of "$MASTER"
}

all_workers_up() {
    workers
    has_line "$DIR/nginx.conf" "worker_processes ${#CHILDREN[@]};"
}

nginx_up() {
    launch "$1" "$2/out" nginx -p "$2" -e "$2/error.log" -c "$2/nginx.conf"
    MASTER=$LAUNCHED
    if ! wait_for_accept "$3" "$MASTER" || ! until_true 10 all_workers_up; then
        cat "$2/out" "$2/error.log"
        bail "nginx${4:+ ($4)} does not start"
    fi
}
