/*
 * map_seal.c - of the files that map or tag memory the one for what stays as it
 * is once the domain is made.
 *
 * Read-only is not enough: libc's malloc makes memory writable where words say
 * that anybody can write (grow_heap), so other threads could have it change
 * what the gate decides by. A mapping of a file that is sealed cannot be made
 * writable (memfd_create(2), F_SEAL_FUTURE_WRITE); one that is sealed itself
 * cannot be unmapped or replaced either (mseal(2)). So are pages of the domain,
 * once they are part of it (map_hold, docs/design/domain.md).
 */
#include "map_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462 /* Linux 6.10 */
#endif

/*
 * A filter of system calls that does not know mseal by name may end the
 * process, so it is not asked for where this thread has any, unless who
 * configures the domain says so (MPK_SEAL_TRY). The kernel says whether there
 * is one: at the start in a file, which any filter of a service lets pass; and
 * later, when a program may have gone where it sees no files, to who asks.
 */
static int calls_are_filtered_at_start(void)
{
    static const char none[] = "\nSeccomp:\t0\n";
    const size_t overlap = sizeof(none) - 2;
    char text[4096];
    size_t have = 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/thread-self/status",
                          O_RDONLY | O_CLOEXEC);
    int found = 0;
    long n = 0;

    /* A user can be in many groups, which come first. */
    while (fd >= 0 && !found &&
           (n = syscall(SYS_read, fd, text + have, sizeof(text) - have)) > 0) {
        have += (size_t)n;
        found = memmem(text, have, none, sizeof(none) - 1) != NULL;
        if (have > overlap) {
            memmove(text, text + have - overlap, overlap);
            have = overlap;
        }
    }
    if (fd >= 0) {
        map_close_fd(fd);
    }
    return !found;
}

/* Since Linux 6.7. Not tried out: on a file that others have mapped meanwhile
 * it would look as if the kernel could not. */
static int kernel_tells_writers(void)
{
    struct utsname u;
    char *end;
    unsigned long major;

    if (uname(&u) != 0) {
        return 0;
    }
    major = strtoul(u.release, &end, 10);
    return major > 6 ||
           (major == 6 && *end == '.' && strtoul(end + 1, NULL, 10) >= 7);
}

void map_seal_init(enum mpk_seal seal)
{
    mpk_ro.tells_writers = kernel_tells_writers();
    mpk_ro.by_any_filter = seal == MPK_SEAL_TRY;
    mpk_ro.unfiltered = !calls_are_filtered_at_start();
    mpk_ro.seals = (mpk_ro.by_any_filter || mpk_ro.unfiltered) &&
                   syscall(SYS_mseal, NULL, 0UL, 0UL) == 0;
}

int map_may_ask(void)
{
    return mpk_ro.by_any_filter ||
           (mpk_ro.unfiltered &&
            syscall(SYS_prctl, PR_GET_SECCOMP, 0L, 0L, 0L, 0L) == 0);
}

void map_keep(const void *p, size_t len)
{
    if (mpk_ro.seals && map_may_ask()) {
        syscall(SYS_mseal, p, len, 0UL);
    }
}

/*
 * A child of fork could not put its copy in the place of what stays, so that is
 * none of what fork gives to it.
 */
void map_hold(char *p, size_t len, int copied)
{
    if (mpk_ro.here != NULL &&
        (!copied || madvise(p, len, MADV_DONTFORK) == 0)) {
        map_keep(p, len);
    }
}

int map_seal(void *p, size_t len)
{
    if (!map_fixed(p, p, len) && mprotect(p, len, PROT_READ) != 0) {
        return map_failure();
    }
    map_keep(p, len);
    return 0;
}
