/*
 * peek reads another process's memory with process_vm_readv(2), which does not
 * heed protection keys, and says whether the kernel allowed it:
 *
 *   peek PID ADDRESS [LENGTH]     ADDRESS in hexadecimal
 *   peek secretmem                can this user get secret memory at all?
 *
 * Exit status: 0 the read succeeded (there is secret memory), 1 it was refused
 * (there is none), 2 usage. What was read is not shown: it may be a key.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_LENGTH 4096

/* The system call alone proves little: RLIMIT_MEMLOCK counts at mmap. */
static int secretmem_available(void)
{
    int ret = 1;
    int fd = (int)syscall(SYS_memfd_secret, 0);

    if (fd >= 0 && ftruncate(fd, MAX_LENGTH) == 0) {
        void *page =
            mmap(NULL, MAX_LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        ret = page == MAP_FAILED;
    }
    puts(ret == 0 ? "secret memory: yes" : "secret memory: no");
    return ret;
}

int main(int argc, char **argv)
{
    static unsigned char buffer[MAX_LENGTH];
    struct iovec local = {.iov_base = buffer, .iov_len = 64};
    struct iovec remote;
    ssize_t got;

    if (argc == 2 && strcmp(argv[1], "secretmem") == 0) {
        return secretmem_available();
    }
    if (argc < 3 || argc > 4) {
        fputs("usage: peek PID ADDRESS [LENGTH] | peek secretmem\n", stderr);
        return 2;
    }
    if (argc == 4) {
        local.iov_len = strtoul(argv[3], NULL, 0);
    }
    if (local.iov_len == 0 || local.iov_len > MAX_LENGTH) {
        fputs("peek: length out of range\n", stderr);
        return 2;
    }
    remote.iov_base = (void *)(uintptr_t)strtoull(argv[2], NULL, 16);
    remote.iov_len = local.iov_len;
    got = process_vm_readv((pid_t)atol(argv[1]), &local, 1, &remote, 1, 0);
    if (got < 0) {
        printf("refused: %s\n", strerror(errno));
        return 1;
    }
    printf("read %zd bytes\n", got);
    return 0;
}
