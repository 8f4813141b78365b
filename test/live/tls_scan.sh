# shellcheck shell=bash
# Live TLS connections and what "mpkctl scan" finds of them; sourced after
# lib.sh. The client is always a stock one: its key log has the true secrets,
# whatever the server's libssl is given instead of them.
#
#   tls_open CONF tls1_3|tls1_2 [CLIENT-ARG...]   a server and one connection
#   tls_connect tls1_3|tls1_2 [CLIENT-ARG...]     one more, in place of it
#   tls_scan found|nothing LABEL...               while it is live
#   tls_scan_lacks LABEL...                       likewise
#   tls_type TEXT                                 s_client's commands
#   tls_close                                     ends both
#
# SERVER_ARGS are the server's arguments; TLS_KEY is the private key to look
# for besides, TLS_MORE whatever else, as arguments of mpkctl scan. TLS_CORE, if
# it is not empty, is a core dump that is searched in place of the server.

TLS_KEY=$CERTS/p256.key
# With a second ticket libssl forgets the first one's secret, and s_client does
# not say when there will be no other.
SERVER_ARGS=(-cert "$CERTS/p256.crt" -key "$TLS_KEY" -num_tickets 1)
TLS_MORE=()
TLS_CORE=
TLS_SESS_OUT=/dev/null

# s_client writes the file anew for each session: a whole one is kept.
keep_session() {
    local text
    text=$(<"$TLS_SESS_OUT")
    [[ $text != *'END SSL SESSION'* ]] || printf '%s\n' "$text" >"$TLS_SESSION"
}

# A resumed TLS 1.2 connection has no new session to write.
session_is_there() {
    keep_session
    [[ $'\n'$(<"$TLS_KEYLOG") == *$'\n'[A-Z]* ]] &&
        { [[ $(<"$TLS_SESSION") == *'END SSL SESSION'* ]] ||
            has_line "$TLS_LOG" 'Reused, TLSv1.2'; }
}

session_is_another() {
    keep_session
    [[ $(<"$TLS_SESSION") != "$1" ]]
}

session_is_there_or_dead() {
    session_is_there || ! alive "$TLS_CLIENT"
}

tls_open() {
    local conf=$1
    shift
    serve "$conf" "${SERVER_ARGS[@]}" && tls_connect "$@"
}

# The client's end of the connection stays open as long as its input does.
tls_connect() {
    local version=$1
    shift
    open_input
    TLS_FD=$INPUT_FD
    new_file keylog && TLS_KEYLOG=$NEW_FILE
    new_file session && TLS_SESSION=$NEW_FILE
    new_file sess_out && TLS_SESS_OUT=$NEW_FILE
    new_file s_client && TLS_LOG=$NEW_FILE
    LAUNCH_STDIN=$INPUT launch "$STOCK" "$TLS_LOG" openssl s_client \
        -connect "127.0.0.1:$SERVER_PORT" "-$version" \
        -CAfile "$CERTS/ca.crt" -verify_return_error \
        -keylogfile "$TLS_KEYLOG" -sess_out "$TLS_SESS_OUT" "$@"
    TLS_CLIENT=$LAUNCHED
    until_true 15 session_is_there_or_dead || true
    session_is_there || {
        tail -n 20 "$TLS_LOG"
        return 1
    }
}

# s_client says that it does so, as KEYUPDATE or RENEGOTIATING.
tls_type() {
    echo "$1" >&"$TLS_FD"
    until_true 10 has_match "$TLS_LOG" '^(KEYUPDATE|RENEGOTIATING)$'
}

tls_close() {
    stop "$TLS_CLIENT" "$SERVER_PID"
    exec {TLS_FD}>&-
}

# tls_report: the scan's report goes to $T/scan; status as mpkctl's.
tls_report() {
    local status=0 args
    args=(--key "$TLS_KEY" --keylog "$TLS_KEYLOG" "${TLS_MORE[@]}")
    keep_session
    [[ ! -s $TLS_SESSION ]] || args+=(--session "$TLS_SESSION")
    if [[ -n $TLS_CORE ]]; then
        args+=(--core "$TLS_CORE")
    else
        args+=(--pid "$SERVER_PID")
    fi
    "$MPKCTL" scan "${args[@]}" >"$T/scan" || status=$?
    show "$T/scan"
    return "$status"
}

# tls_scan EXPECTED LABEL...: "found" wants every label in the report, and
# "nothing" wants it empty. A label is a regular expression.
tls_scan() {
    local expected=$1 status=0 label
    shift
    tls_report || status=$?
    if [[ $expected == nothing ]]; then
        ((status == 0))
        return
    fi
    ((status == 1)) || return 1
    for label in "$@"; do
        has_match "$T/scan" "$label" || {
            echo "not found: $label"
            return 1
        }
    done
}

# tls_scan_lacks LABEL...: there may be something, but none of these.
tls_scan_lacks() {
    local status=0 label
    tls_report || status=$?
    ((status < 2)) || return 1
    for label in "$@"; do
        ! has_match "$T/scan" "$label" || return 1
    done
}

# tls_check EXPECTED WHAT COMMAND...: a check of what is found without
# protection, or a claim of what protection hides.
tls_check() {
    local expected=$1
    shift
    if [[ $expected == found ]]; then
        check "$@"
    else
        claim "$@"
    fi
}
