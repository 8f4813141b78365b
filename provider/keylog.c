/*
 * keylog.c - outside: the session secrets of a process that is being debugged.
 *
 * Off unless openssl.cnf says "keylog = reveal-for-debugging PATH". Then, and
 * decided at start, the KDFs show what this file writes.
 */
#include "prov.h"
#include "rights.h"
#include "tls.h"
#include "tls_kdf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/*
 * A file or a pipe that somebody else has made, where everybody may make one,
 * gives him the secrets. NULL, or what is wrong.
 */
static const char *why_others_have(int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return strerror(errno);
    }
    if (S_ISCHR(st.st_mode)) { /* a terminal, /dev/null */
        return NULL;
    }
    if (st.st_uid != 0 && st.st_uid != geteuid()) {
        return "another user owns it";
    }
    return rights_of_others(&st) ? RIGHTS_OF_OTHERS : NULL;
}

int keylog_open(const char *path, char *why, size_t room)
{
    const char *wrong;
    int fd;

    if (path[0] == '\0') {
        return 1;
    }
    /* A pipe's reader is not waited for, not now nor when it is slow. */
    fd = prov_open(path,
                   O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK);
    wrong = fd < 0 ? strerror(errno) : why_others_have(fd);
    if (wrong == NULL && !prov_own(&prov.keylog, fd)) {
        wrong = strerror(errno);
    }
    if (wrong != NULL) {
        snprintf(why, room, "keylog: %.120s cannot be opened: %s", path, wrong);
        if (fd >= 0) {
            close(fd);
        }
        return 0;
    }
    return 1;
}

void keylog_say(const char *path)
{
    if (keylog_is_on()) {
        prov_log(0,
                 "KEYLOG IS ON: the secrets of all TLS connections are written "
                 "to %.200s and are NOT protected; for debugging only",
                 path);
    }
}

void keylog_close(void)
{
    if (keylog_is_on()) {
        prov.keylog.known = 0;
        close(prov.keylog.fd);
    }
}

int keylog_is_on(void)
{
    return prov.keylog.known;
}

static size_t put_hex(char *out, const unsigned char *p, size_t len)
{
    static const char digit[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *out++ = digit[p[i] >> 4];
        *out++ = digit[p[i] & 15];
    }
    return 2 * len;
}

/*
 * TLS 1.2: a line as NSS has it, of the client's random and the master secret.
 * TLS 1.3: a handle and what it stands for, from which "mpkctl keylog" makes
 * such lines; the client's random never comes here.
 */
void keylog_write(int tls13, const unsigned char *p, size_t len)
{
    size_t half = tls13 ? len / 2 : 32, n;
    const char *name = tls13 ? "HANDLE " : "CLIENT_RANDOM ";
    char line[32 + 2 * KEYLOG_ROOM];
    int err;

    if (len == 0 || len > KEYLOG_ROOM || half > len) {
        return;
    }
    n = strlen(name);
    memcpy(line, name, n);
    n += put_hex(line + n, p, half);
    line[n++] = ' ';
    n += put_hex(line + n, p + half, len - half);
    line[n++] = '\n';
    err = prov_write(&prov.keylog, line, n);
    if (err != 0) {
        prov_log(1, "keylog: %s", strerror(err));
    }
    explicit_bzero(line, sizeof(line));
}
