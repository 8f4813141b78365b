/*
 * What decides about an entry, on the way in and inside, is not in memory that
 * another thread can write: libc's errno of the thread, and its stack. Seen to
 * fail: the first test with -errno in map_failure, the second with the mask in
 * a variable of signals_block, the third where more_slots restores it; the last
 * when the number outside decides.
 */
#include "core_test.h"
#include "fail_syscall.h"

#include "../../mpkcore/internal.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

enum { OP_GROW = MPK_ENTRY_FIRST, OP_WORK, OP_HOLD };

static const char secret[] = "what is in the domain";

/* Sixteen blocks, with the secret in each: the heap grows each time. */
static int64_t grow_stub(void *frame)
{
    (void)frame;
    for (int i = 0; i < 16; i++) {
        char *p = mpk_heap_alloc(4000);

        if (p == NULL) {
            return -1;
        }
        memcpy(p, secret, sizeof(secret));
    }
    return 0;
}

static int64_t work_stub(void *frame)
{
    volatile uint64_t left = 300000;

    (void)frame;
    while (left > 0) {
        left--;
    }
    return 0;
}

static _Atomic int over, held;

static int64_t hold_stub(void *frame)
{
    (void)frame;
    for (held = 1; !over;) {
        usleep(1000);
    }
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {grow_stub, 0, MPK_KIND_STACK},
    {work_stub, 0, MPK_KIND_STACK},
    {hold_stub, 0, MPK_KIND_STACK},
};

/* ---- errno -------------------------------------------------------------- */

#define FILE_LEN (1 << 20)

static volatile int *victims_errno;
static int shown;

static void *write_errno(void *arg)
{
    while (!atomic_load(&over)) {
        *victims_errno = -shown;
    }
    return arg;
}

/* A file that the program has open and mapped, and no secretmem. */
static char *shared_file(void)
{
    FILE *f = tmpfile();

    if (f == NULL || ftruncate(fileno(f), FILE_LEN) != 0) {
        _exit(1);
    }
    shown = fileno(f);
    return mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, shown, 0);
}

static void test_errno_is_not_taken_for_a_descriptor(const struct setup *s)
{
    char *file = shared_file();
    pthread_t thread;

    if (!fail_syscall(SYS_memfd_secret, EPERM)) {
        _exit(77);
    }
    make_domain(s, entries, COUNT_OF(entries));
    victims_errno = &errno;
    pthread_create(&thread, NULL, write_errno, NULL);
    for (unsigned i = 0; i < scaled(2000); i++) {
        if (mpk_call(OP_GROW, NULL) != 0) {
            break;
        }
    }
    atomic_store(&over, 1);
    pthread_join(thread, NULL);
    CHECK(memmem(file, FILE_LEN, secret, sizeof(secret)) == NULL);
}

/* ---- the mask of signals ------------------------------------------------ */

static struct mpk_info domain;
static _Atomic uintptr_t victims_stack;
static _Atomic unsigned handled, inside;

static void handler(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *u = context;
    uintptr_t sp = (uintptr_t)u->uc_mcontext.gregs[REG_RSP];

    (void)signo;
    (void)info;
    atomic_fetch_add(&handled, 1);
    if (sp - (uintptr_t)domain.base < domain.size) {
        atomic_fetch_add(&inside, 1);
    }
}

static void *enter_for_ever(void *arg)
{
    static char alternate[65536];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};

    sigaltstack(&stack, NULL);
    atomic_store(&victims_stack, (uintptr_t)__builtin_frame_address(0) & ~7UL);
    while (!atomic_load(&over)) {
        mpk_call(OP_WORK, NULL);
    }
    return arg;
}

/* As the kernel gives it back: all but SIGKILL and SIGSTOP. */
#define ALL_SIGNALS ~0x40100ULL

/* What looks like "all signals" on the victim's stack becomes "none". With
 * |arg| the victim also finds no stack of the domain free each time. */
static void *write_masks(void *arg)
{
    while (!atomic_load(&over)) {
        uintptr_t top = atomic_load(&victims_stack);

        if (arg != NULL) {
            atomic_store(&mpk_out.slots_ready, MPK_FIRST_SLOTS);
        }
        for (uintptr_t at = top - 768; top != 0 && at < top; at += 8) {
            volatile uint64_t *word = (volatile uint64_t *)at;

            if (*word == ~0ULL || *word == ALL_SIGNALS) {
                *word = 0;
            }
        }
    }
    return arg;
}

static void write_masks_of_a_victim(void *writers_arg)
{
    struct sigaction action = {.sa_sigaction = handler,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK};
    pthread_t victim, writer;

    mpk_core_info(&domain);
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&victim, NULL, enter_for_ever, NULL);
    pthread_create(&writer, NULL, write_masks, writers_arg);
    do {
        usleep(500);
        pthread_kill(victim, SIGUSR1);
    } while (atomic_load(&inside) == 0 && time_is_left());
    atomic_store(&over, 1);
    pthread_join(victim, NULL);
    pthread_join(writer, NULL);
    CHECK(atomic_load(&handled) > 0);
    CHECK(atomic_load(&inside) == 0);
}

static void test_signals_stay_blocked(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    write_masks_of_a_victim(NULL);
}

static void *hold(void *arg)
{
    mpk_call(OP_HOLD, NULL);
    return arg;
}

static void
test_signals_stay_blocked_while_a_stack_is_made(const struct setup *s)
{
    pthread_t holder;

    _Static_assert(MPK_FIRST_SLOTS == 2, "the core's and the holder's");
    make_domain(s, entries, COUNT_OF(entries));
    pthread_create(&holder, NULL, hold, NULL);
    while (!held) {
        usleep(100);
    }
    write_masks_of_a_victim(&over);
    pthread_join(holder, NULL);
}

/* ---- how much is secretmem ---------------------------------------------- */

#define NOBODY 65534

static void
test_nobody_has_the_domain_grow_by_ordinary_memory(const struct setup *s)
{
    const struct rlimit locked = {8 << 20, 8 << 20};
    struct mpk_info before, after;

    /* Root has no limit. */
    CHECK(setrlimit(RLIMIT_MEMLOCK, &locked) == 0);
    if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0) {
        _exit(77);
    }
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_core_info(&before) == 0);
    if (before.committed_anon != 0) {
        return; /* no secretmem here */
    }
    atomic_store(&mpk_out.secret_bytes, (size_t)1 << 40);
    for (int i = 0; i < 10; i++) {
        CHECK(mpk_call(OP_GROW, NULL) == 0);
    }
    CHECK(mpk_core_info(&after) == 0);
    CHECK(after.committed_secret > (size_t)1 << 40);
    CHECK(after.committed_anon == 0);
}

static const struct core_test tests[] = {
    TEST(test_errno_is_not_taken_for_a_descriptor, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_signals_stay_blocked, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_signals_stay_blocked_while_a_stack_is_made,
         ONE_MEMORY | NOT_SANITIZED),
    TEST(test_nobody_has_the_domain_grow_by_ordinary_memory, ONE_MEMORY),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
