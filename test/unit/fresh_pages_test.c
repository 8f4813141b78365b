/*
 * What comes to the domain comes as zeros: nobody can write to pages that are
 * on their way into it. A thread that is inside has the right to all pages with
 * the domain's key, and a pointer from outside may lead wherever the domain is
 * not. Seen to fail with pages that get the key before they are in their place.
 */
#include "core_test.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OP_GROW = MPK_ENTRY_FIRST, OP_WRITE };

#define BLOCK 4000
#define BLOCKS 64

struct frame {
    char *at;
    size_t len;
};

/* Returns how many blocks are not all zero, or below 0. */
static int64_t grow_stub(void *frame)
{
    int64_t written = 0;

    (void)frame;
    for (int i = 0; i < BLOCKS; i++) {
        const char *p = mpk_heap_alloc(BLOCK);

        if (p == NULL) {
            return -1;
        }
        for (size_t at = 0; at < BLOCK; at++) {
            if (p[at] != 0) {
                written++;
                break;
            }
        }
    }
    return written;
}

/* What a buffer for a result is to a stub. The kernel writes, with the thread's
 * rights, and does not end the process where it may not. */
static int64_t write_stub(void *frame)
{
    const struct frame *f = frame;
    int64_t n = 0;

    for (size_t at = 0; at < f->len; at += BLOCK / 8) {
        if (mpk_is_outside(f->at + at, 1) && writable(f->at + at)) {
            n++;
            memset(f->at + at, 'x', 1);
        }
    }
    return n;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {grow_stub, 0, MPK_KIND_STACK},
    {write_stub, sizeof(struct frame), MPK_KIND_STACK},
};

/* ---- a thread that stops where its pages are moved ----------------------- */

static _Atomic int listener = -1, over;
static int64_t grown;

/* The descriptor by which this thread's calls of mremap are told, or below 0.
 */
static int stop_at_moves(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {COUNT_OF(code), code};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                        SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void *grow_thread(void *arg)
{
    int fd = stop_at_moves();

    atomic_store(&listener, fd >= 0 ? fd : -2);
    if (fd >= 0) {
        grown = mpk_call(OP_GROW, NULL);
    }
    atomic_store(&over, 1);
    return arg;
}

/* Waits for the next move and writes to what is moved. Returns how often that
 * was possible, or below 0 when there was none. */
static int64_t write_to_what_moves(int fd)
{
    struct seccomp_notif told = {0};
    struct seccomp_notif_resp go_on = {.flags =
                                           SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct frame f;
    int64_t n;

    if (poll(&p, 1, 10) <= 0 || !(p.revents & POLLIN) ||
        ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &told) != 0) {
        return -1;
    }
    f.at = (char *)(uintptr_t)told.data.args[0];
    f.len = (size_t)told.data.args[1];
    n = mpk_call(OP_WRITE, &f);
    go_on.id = told.id;
    ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &go_on);
    return n;
}

static void test_pages_that_come_are_nobodys_to_write(const struct setup *s)
{
    unsigned moves = 0;
    pthread_t thread;
    int fd;

    make_domain(s, entries, COUNT_OF(entries));
    pthread_create(&thread, NULL, grow_thread, NULL);
    while ((fd = atomic_load(&listener)) == -1) {
        usleep(100);
    }
    while (fd >= 0 && !atomic_load(&over)) {
        int64_t n = write_to_what_moves(fd);

        moves += n >= 0;
        CHECK(n <= 0);
    }
    pthread_join(thread, NULL);
    if (fd < 0 || moves == 0) {
        fprintf(stderr, "no pages were moved that this could see\n");
        _exit(failed_checks == 0 ? 77 : 1);
    }
    CHECK(grown == 0);
}

static const struct core_test tests[] = {
    TEST(test_pages_that_come_are_nobodys_to_write, ONE_MEMORY | NOT_SANITIZED),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
