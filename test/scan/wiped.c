/*
 * wiped.c - see wiped.h. The functions here take the place of libcrypto's, for
 * libssl and for itself. The module has a libcrypto of its own, which knows
 * nothing of this.
 */
#include "wiped.h"

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <dlfcn.h>

#define ROOM (1 << 20)
#define STEP (16 << 10) /* by which it is opened: a look costs what is open */
#define LONGEST 1024    /* buffers of records are longer, secrets are not */

static unsigned char *kept;
static size_t len_open, len_kept;

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

void wiped_start(void)
{
    int fd = memfd_create(WIPED_NAME, MFD_CLOEXEC);
    void *at = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, ROOM) == 0) {
        at = mmap(NULL, ROOM, PROT_NONE, MAP_SHARED, fd, 0);
    }
    if (at == MAP_FAILED) {
        die("memory for what is wiped");
    }
    close(fd);
    kept = at;
}

void wiped_forget(void)
{
    if (len_open > 0) {
        memset(kept, 0, len_kept);
        mprotect(kept, len_open, PROT_NONE);
    }
    len_open = 0;
    len_kept = 0;
}

static void keep(const void *bytes, size_t len)
{
    if (kept == NULL || bytes == NULL || len > LONGEST) {
        return;
    }
    if (len > len_open - len_kept) {
        if (len_open + STEP > ROOM ||
            mprotect(kept, len_open + STEP, PROT_READ | PROT_WRITE) != 0) {
            die("more memory for what is wiped");
        }
        len_open += STEP;
    }
    memcpy(kept + len_kept, bytes, len);
    len_kept += len;
}

void OPENSSL_cleanse(void *bytes, size_t len)
{
    static void (*real)(void *, size_t);

    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "OPENSSL_cleanse");
    }
    keep(bytes, len);
    real(bytes, len);
}
