/*
 * attack_entry_rewrite_test.c - another thread writes to a frame and to its
 * parameters during the call: now they are good, now they lead inside, and what
 * is looked at twice is seen both ways.
 *
 * Seen to fail: params_answer that reads the outer array again.
 */
#include "../../mpkcore/sanitize.h"
#include "../seconds.h"
#include "attack_entry.h"
#include "attack_entry_targets.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    struct mpkprov_frame frame;
    OSSL_PARAM params[2];
    atomic_bool stop;
    atomic_ulong turns;
} shared;

/* Now good, now bad: what is looked at twice is seen both ways. A race on
 * purpose, which the thread sanitizer is not to report. */
MPK_NO_SANITIZE static void *rewrite(void *arg)
{
    const struct target *inside = &targets[0];
    volatile struct mpkprov_frame *f = &shared.frame;
    volatile OSSL_PARAM *p = &shared.params[0];
    char *good = (char *)room2;

    (void)arg;
    while (!atomic_load(&shared.stop)) {
        f->out = inside->p;
        f->params = (const OSSL_PARAM *)inside->p;
        p->data = inside->p;
        p->data_size = SIZE_MAX;
        f->out = room;
        f->params = shared.params;
        p->data = good;
        p->data_size = sizeof(int);
        f->out_len = SIZE_MAX / 2;
        f->out_len = sizeof(room);
        atomic_fetch_add(&shared.turns, 1);
    }
    return NULL;
}

/* For a case's time, or for a minute until there was something of both. */
static bool goes_on(double start, unsigned good)
{
    bool both = good > 0 && atomic_load(&shared.turns) > 1000;

    return seconds_now() < start + (both ? seconds_of_case() : 60);
}

/* Calls |op| while its frame and parameters change. */
static unsigned call_under_fire(uint32_t op)
{
    double start = seconds_now();
    unsigned good = 0;

    while (goes_on(start, good)) {
        shared.frame.handle = rows[op].prepare == a_key_to_ask ? p256_handle
                              : op == OP_sig_make              ? signer()
                                                               : 0;
        shared.frame.handle2 = p256_handle;
        shared.frame.in = message;
        shared.frame.in_len = 32;
        shared.frame.what = 0;
        if (op > OP_kem_run) {
            rows[op].prepare(&shared.frame);
        }
        good += call(rows[op].op, &shared.frame) == 1;
    }
    return good;
}

static _Noreturn void attack_in_time(uint32_t op)
{
    unsigned long wrong = interop_failures();
    unsigned char before[64];
    pthread_t thread;
    unsigned good;

    snprintf(progress->at, sizeof(progress->at), "%s: under fire",
             rows[op].name);
    interop_subject("%s", progress->at);
    shared.params[0] = number_param[0];
    shared.params[1] = number_param[1];
    shared.frame.out = room;
    shared.frame.out_len = sizeof(room);
    shared.frame.params = shared.params;
    if (readable != NULL) {
        memcpy(before, readable, sizeof(before));
    }
    pthread_create(&thread, NULL, rewrite, NULL);
    good = call_under_fire(op);
    atomic_store(&shared.stop, true);
    pthread_join(thread, NULL);
    CHECK(good > 0 && atomic_load(&shared.turns) > 1000);
    if (readable != NULL) {
        CHECK_MEM(readable, sizeof(before), before, sizeof(before));
    }
    _exit(interop_failures() != wrong);
}

static void test_a_thread_that_rewrites(uint32_t op)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        attack_in_time(op);
    }
    child_ends_well(pid);
}

int main(void)
{
    if (!attack_start()) {
        return attack_finish();
    }
    test_a_thread_that_rewrites(OP_sig_make);
    test_a_thread_that_rewrites(ROW_TLS_EC);
    test_a_thread_that_rewrites(ROW_TLS_PSS);
    test_a_thread_that_rewrites(OP_key_get);
    test_a_thread_that_rewrites(OP_sig_init);
    return attack_finish();
}
