/*
 * Each of two threads signs with RSA-4096 while a timer of its own interrupts
 * it every millisecond, with a handler that has no stack of its own
 * (no SA_ONSTACK) and restarts no system call. The handler must never run on
 * a stack of the domain: it would die there, where there are protection keys,
 * and leave the registers of the inside in a frame.
 *
 * Seen to fail without the mask of signals in mpk_call.
 */
#include "life.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static _Thread_local struct {
    uintptr_t low, high; /* the thread's own stack */
    volatile sig_atomic_t ticks, astray;
} mine;

static void tick(int signo)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    volatile unsigned char room[4096];

    (void)signo;
    for (size_t i = 0; i < sizeof(room); i += 64) {
        room[i] = 0xa5;
    }
    mine.ticks++;
    mine.astray += here < mine.low || here >= mine.high;
}

static bool know_own_stack(void)
{
    pthread_attr_t attr;
    size_t size = 0;
    void *low = NULL;
    bool ok = pthread_getattr_np(pthread_self(), &attr) == 0 &&
              pthread_attr_getstack(&attr, &low, &size) == 0;

    pthread_attr_destroy(&attr);
    mine.low = (uintptr_t)low;
    mine.high = mine.low + size;
    return ok;
}

static bool start_timer(timer_t *timer)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID,
                             .sigev_signo = SIGALRM};
    struct itimerspec every = {{0, 1000000}, {0, 1000000}};

    event.sigev_notify_thread_id = gettid();
    return timer_create(CLOCK_MONOTONIC, &event, timer) == 0 &&
           timer_settime(*timer, 0, &every, NULL) == 0;
}

struct count {
    pthread_t thread;
    EVP_PKEY *key;
    bool ready;
    int signatures, failed, ticks, astray;
};

static void *run(void *arg)
{
    struct count *c = arg;
    timer_t timer;

    c->ready = know_own_stack() && start_timer(&timer);
    if (!c->ready) {
        return NULL;
    }
    do {
        c->failed += !life_signs(NULL, c->key);
        c->signatures++;
    } while (life_goes_on());
    timer_delete(timer);
    c->ticks = mine.ticks;
    c->astray = mine.astray;
    return NULL;
}

static void check_count(const struct count *c)
{
    printf("  %d signatures, %d ticks\n", c->signatures, c->ticks);
    CHECK(c->ready);
    CHECK_INT(c->failed, 0);
    CHECK_INT(c->astray, 0);
    /* None is lost for good: there is one for each signature or more. */
    CHECK(c->ticks > c->signatures / 2);
}

static char *read_text(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 8192);

    if (f == NULL || text == NULL || fread(text, 1, 8191, f) == 0) {
        perror(path);
        exit(1);
    }
    fclose(f);
    return text;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = tick};
    struct count c[2] = {{0}};
    EVP_PKEY *key;
    char *pem;

    if (argc != 2) {
        fputs("usage: life_timer_test RSA-4096.pem\n", stderr);
        return 1;
    }
    interop_start();
    pem = read_text(argv[1]);
    key = life_read(NULL, pem);
    CHECK_HELD(key);
    CHECK_INT(EVP_PKEY_get_bits(key), 4096);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    life_case("RSA-4096 under a timer of 1 ms");
    for (int i = 0; i < 2; i++) {
        c[i].key = key;
        CHECK(pthread_create(&c[i].thread, NULL, run, &c[i]) == 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(c[i].thread, NULL);
        check_count(&c[i]);
    }
    EVP_PKEY_free(key);
    free(pem);
    return interop_finish();
}
