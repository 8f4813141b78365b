/*
 * What comes to the domain comes as zeros: nobody can write to pages that are
 * on their way into it. A thread that is inside has the right to all pages with
 * the domain's key, and a pointer from outside may lead wherever the domain is
 * not. Seen to fail with pages that get the key before they are in their place.
 * And nobody outside says where they come: seen to fail with a stack that is
 * made by a thread outside.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"

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

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

enum { OP_GROW = MPK_ENTRY_FIRST, OP_WRITE, OP_FILL, OP_LOOK, OP_HOLD };

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

#define FULL ((size_t)256 << 10)
static unsigned char *full;

static int64_t fill_stub(void *frame)
{
    (void)frame;
    full = mpk_heap_alloc(FULL);
    if (full == NULL) {
        return -1;
    }
    memset(full, 'x', FULL);
    return 0;
}

/* Returns how many bytes are others than they were. */
static int64_t look_stub(void *frame)
{
    int64_t n = 0;

    (void)frame;
    for (size_t i = 0; i < FULL; i++) {
        n += full[i] != 'x';
    }
    return n;
}

static _Atomic int held, let_go;

static int64_t hold_stub(void *frame)
{
    (void)frame;
    atomic_store(&held, 1);
    while (!atomic_load(&let_go)) {
        usleep(1000);
    }
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {grow_stub, 0, MPK_KIND_STACK},
    {write_stub, sizeof(struct frame), MPK_KIND_STACK},
    {fill_stub, 0, MPK_KIND_STACK},
    {look_stub, 0, MPK_KIND_STACK},
    {hold_stub, 0, MPK_KIND_STACK},
};

/* ---- a thread that stops where its pages are made or moved --------------- */

static _Atomic int listener = -1, over;
static int64_t grown;

/* The descriptor by which this thread's calls of |nr| are told, or below 0. */
static int stop_at(uint32_t nr)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {COUNT_OF(code), code};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                        SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static void *grow_thread(void *arg)
{
    int fd = stop_at(SYS_mremap);

    atomic_store(&listener, fd >= 0 ? fd : -2);
    if (fd >= 0) {
        grown = mpk_call(OP_GROW, NULL);
    }
    atomic_store(&over, 1);
    return arg;
}

/* Whether the thread has stopped by now. */
static bool has_stopped(int fd, struct seccomp_notif *told)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 10) > 0 && (p.revents & POLLIN) &&
           ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, told) == 0;
}

static void let_go_on(int fd, const struct seccomp_notif *told)
{
    struct seccomp_notif_resp go_on = {
        .id = told->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};

    ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &go_on);
}

/* Waits for the next move and writes to what is moved. Returns how often that
 * was possible, or below 0 when there was none. */
static int64_t write_to_what_moves(int fd)
{
    struct seccomp_notif told = {0};
    struct frame f;
    int64_t n;

    if (!has_stopped(fd, &told)) {
        return -1;
    }
    f.at = (char *)(uintptr_t)told.data.args[0];
    f.len = (size_t)told.data.args[1];
    n = mpk_call(OP_WRITE, &f);
    let_go_on(fd, &told);
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

/* ---- a thread that needs a stack ----------------------------------------- */

#define LOOKED_AT 8192
static _Atomic uintptr_t stack_top;
static int64_t looked = -1;

static void *hold(void *arg)
{
    mpk_call(OP_HOLD, NULL);
    return arg;
}

static void *need_a_stack(void *arg)
{
    int fd = stop_at(SYS_memfd_secret);

    atomic_store(&stack_top, (uintptr_t)__builtin_frame_address(0));
    atomic_store(&listener, fd >= 0 ? fd : -2);
    if (fd >= 0) {
        looked = mpk_call(OP_LOOK, NULL);
    }
    atomic_store(&over, 1);
    return arg;
}

/* Whatever on the thread's own stack is an address of the domain becomes that
 * of the block. */
static void change_addresses(void)
{
    uintptr_t top = atomic_load(&stack_top) & ~(uintptr_t)7;
    uintptr_t to = ((uintptr_t)full + MPK_PAGE) & ~(uintptr_t)(MPK_PAGE - 1);

    for (uintptr_t at = top - LOOKED_AT; at < top; at += sizeof(uintptr_t)) {
        volatile uintptr_t *word = (volatile uintptr_t *)at;

        if (*word >= (uintptr_t)mpk_ro.base && *word < (uintptr_t)mpk_ro.end) {
            *word = to;
        }
    }
}

static void test_nobody_outside_says_where_a_stack_comes(const struct setup *s)
{
    struct seccomp_notif told = {0};
    pthread_t holds, needs;
    unsigned stops = 0;
    int fd;

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_FILL, NULL) == 0);
    for (uint32_t n = atomic_load(&mpk_out.slots_ready);
         atomic_load(&mpk_out.slots_ready) == n;) {
        atomic_store(&held, 0);
        CHECK(pthread_create(&holds, NULL, hold, NULL) == 0);
        while (!atomic_load(&held)) {
            usleep(100);
        }
    }
    CHECK(pthread_create(&needs, NULL, need_a_stack, NULL) == 0);
    while ((fd = atomic_load(&listener)) == -1) {
        usleep(100);
    }
    while (fd >= 0 && !atomic_load(&over)) {
        if (has_stopped(fd, &told)) {
            stops++;
            change_addresses();
            let_go_on(fd, &told);
            told = (struct seccomp_notif){0};
        }
    }
    pthread_join(needs, NULL);
    atomic_store(&let_go, 1);
    if (fd < 0 || stops == 0) {
        fprintf(stderr, "no stack was made that this could see\n");
        _exit(failed_checks == 0 ? 77 : 1);
    }
    CHECK(looked == 0);
    CHECK(mpk_call(OP_LOOK, NULL) == 0);
}

static const struct core_test tests[] = {
    TEST(test_pages_that_come_are_nobodys_to_write, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_nobody_outside_says_where_a_stack_comes,
         ONE_MEMORY | NOT_SANITIZED),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
