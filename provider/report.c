/* report.c - errors for the application's queue, and the log. */
#include "prov.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

const OSSL_ITEM prov_reasons[] = {
#define X(name, number, text) {number, (void *)(text)},
    MPKPROV_REASONS(X)
#undef X
        {0, NULL}};

int prov_raise(int reason, const char *func, const char *format, ...)
{
    const OSSL_CORE_HANDLE *handle = prov_handle();
    va_list ap;

    if (handle == NULL) {
        return 0;
    }
    prov.core.new_error(handle);
    prov.core.set_error_debug(handle, "mpk", 0, func);
    va_start(ap, format);
    prov.core.vset_error(handle, (uint32_t)reason, format, ap);
    va_end(ap);
    return 0;
}

/*
 * MPK_DEBUG=1 logs what happens, 2 also each failure; MPK_DEBUG=LEVEL:FILE does
 * so to a file. secure_getenv: not in a setuid program.
 */
void prov_log_open(void)
{
    const char *value = secure_getenv("MPK_DEBUG");
    char *end;
    int fd;

    if (prov.log_opened) {
        return; /* by another context */
    }
    prov.log_opened = 1;
    prov.log.fd = STDERR_FILENO;
    if (value == NULL) {
        return;
    }
    prov.log_level = (int)strtol(value, &end, 10);
    if (*end == ':') {
        fd = prov_open(end + 1, O_WRONLY | O_CREAT | O_APPEND);
        if (fd >= 0) {
            (void)prov_own(&prov.log, fd);
        } else {
            prov_log(0,
                     "MPK_DEBUG: %s cannot be opened (errno %d): logging "
                     "to standard error",
                     end + 1, errno);
        }
    }
}

int prov_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int own, err;

    if (fd < 0 || fd > STDERR_FILENO) {
        return fd;
    }
    own = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    err = errno;
    close(fd);
    errno = err;
    return own;
}

int prov_own(struct own_file *f, int fd)
{
    struct stat st;

    f->fd = fd;
    f->known = fstat(fd, &st) == 0;
    if (f->known) {
        f->dev = st.st_dev;
        f->ino = st.st_ino;
    }
    return f->known;
}

static int is_still(const struct own_file *f)
{
    struct stat st;

    return !f->known || (fstat(f->fd, &st) == 0 && st.st_dev == f->dev &&
                         st.st_ino == f->ino);
}

/* System calls, since libc's are cancellation points. */
int prov_write(const struct own_file *f, const void *text, size_t len)
{
    static const struct timespec now = {0, 0};
    const uint64_t ours = 1ULL << (SIGPIPE - 1) | 1ULL << (SIGXFSZ - 1);
    uint64_t old;
    int err;

    if (!is_still(f)) {
        return EBADF;
    }
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &ours, &old, sizeof(ours));
    err = syscall(SYS_write, f->fd, text, len) < 0 ? errno : 0;
    if (err == EPIPE || err == EFBIG) {
        syscall(SYS_rt_sigtimedwait, &ours, NULL, &now, sizeof(ours));
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
    return err;
}

void prov_log(int level, const char *format, ...)
{
    char line[512];
    va_list ap;
    int n, m, saved = errno;

    if (level > prov.log_level) {
        return;
    }
    n = snprintf(line, sizeof(line), "mpk: ");
    va_start(ap, format);
    m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
    va_end(ap);
    if (m > 0) {
        n += m < (int)sizeof(line) - n - 1 ? m : (int)sizeof(line) - n - 2;
    }
    line[n++] = '\n';
    /* If it fails there is nobody to tell. */
    (void)prov_write(&prov.log, line, (size_t)n);
    errno = saved;
}
