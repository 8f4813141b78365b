/*
 * file.c - inside: files that are read straight into the domain. By system
 * calls themselves: libc's functions are cancellation points, and whether a
 * thread may be cancelled is written where anybody can change it.
 */
#include "inside.h"
#include "rights.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A function, so that where errno is is asked each time: inside it is not
 * libc's (calls.c). */
static __attribute__((noinline)) int last_error(void)
{
    return errno;
}

static ssize_t read_all(int fd, unsigned char *p, size_t room, size_t *len)
{
    ssize_t n;

    do {
        n = syscall(SYS_read, fd, p + *len, room - *len);
        *len += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && *len < room) || (n < 0 && last_error() == EINTR));
    return n;
}

/* strerror would follow pointers of libc's into any memory. */
static const char *why_not(int err)
{
    switch (err) {
    case ENOENT:
        return "there is no such file";
    case EACCES:
    case EPERM:
        return "permission denied";
    case EMFILE:
    case ENFILE:
        return "too many files are open";
    case ENOTDIR:
    case ELOOP:
        return "the path leads nowhere";
    default:
        return "it cannot be read";
    }
}

/*
 * Opens |path| if it is a regular file; else -1 and |*why|. Nothing else: with
 * signals blocked one must not wait for whoever writes to a pipe. |*size| is 0
 * where that says nothing, as in /proc.
 */
static int open_file(const char *path, int only_owner, size_t *size,
                     const char **why)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path,
                          O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0) {
        *why = why_not(last_error());
        return -1;
    }
    if (syscall(SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) != 0 ||
        !S_ISREG(st.st_mode)) {
        *why = "it is not a regular file";
    } else if (only_owner && rights_of_others(&st)) {
        *why = RIGHTS_OF_OTHERS;
    } else {
        *size = (size_t)st.st_size;
        return fd;
    }
    syscall(SYS_close, fd);
    return -1;
}

unsigned char *file_take(struct mpkprov_frame *f, const char *path, size_t max,
                         int only_owner, size_t *len)
{
    const char *why = NULL;
    size_t size = 0;
    int fd = open_file(path, only_owner, &size, &why);
    size_t room = size == 0 || size > max ? max + 1 : size + 1;
    unsigned char *p = fd >= 0 ? mpk_heap_alloc(room) : NULL;

    *len = 0;
    if (fd >= 0 && p == NULL) {
        why = "there is no memory in the domain";
    } else if (fd >= 0 && read_all(fd, p, room, len) < 0) {
        why = why_not(last_error());
    } else if (fd >= 0 && (*len == 0 || *len > max)) {
        why = *len == 0 ? "it is empty" : "it is larger than any key file";
    } else if (fd >= 0 && *len == room) {
        why = "it is being written";
    }
    if (fd >= 0) {
        syscall(SYS_close, fd);
    }
    if (why != NULL) {
        const char *const part[] = {path, ": ", why, NULL};

        fail_with(f, MPKPROV_R_FILE, part);
        mpk_heap_free(p);
        return NULL;
    }
    return p;
}
