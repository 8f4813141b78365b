/*
 * A process forks every 10 ms while sixteen of its threads sign; the children
 * sign, and theirs do.
 */
#include "life.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE 8 /* children that may be alive */

static _Noreturn void be_grandchild(void)
{
    alarm(60);
    _exit(life_signs(NULL, life_left_key) ? 0 : 3);
}

static _Noreturn void be_child(bool with_child)
{
    pid_t pid;

    alarm(60);
    if (!life_signs(NULL, life_left_key)) {
        _exit(1);
    }
    if (with_child) {
        pid = fork();
        if (pid == 0) {
            be_grandchild();
        }
        if (life_wait(pid) != 0 || !life_signs(NULL, life_left_key)) {
            _exit(2);
        }
    }
    _exit(0);
}

/* Reaps what has ended; waits for one if |at_least_one|. How many there were.
 */
static int reap(bool at_least_one)
{
    int status, n = 0;

    while (waitpid(-1, &status, at_least_one && n == 0 ? 0 : WNOHANG) > 0) {
        CHECK_INT(status, 0);
        n++;
    }
    return n;
}

/* To the next of the points that are 10 ms apart; at once if that is over. */
static void wait_for_next(struct timespec *at)
{
    at->tv_nsec += 10000000;
    if (at->tv_nsec >= 1000000000) {
        at->tv_nsec -= 1000000000;
        at->tv_sec++;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL) == EINTR) {
    }
}

static unsigned fork_often(void)
{
    struct timespec at;
    unsigned forks = 0;
    int alive = 0;

    clock_gettime(CLOCK_MONOTONIC, &at);
    do {
        pid_t pid = fork();

        if (pid == 0) {
            be_child(forks % 4 == 0);
        }
        CHECK(pid > 0);
        forks++;
        alive++;
        alive -= reap(alive >= AT_ONCE);
        wait_for_next(&at);
    } while (life_goes_on());
    while (alive > 0) {
        alive -= reap(true);
    }
    return forks;
}

static int forks(void)
{
    struct life_crowd c;

    life_case("fork while others sign");
    life_crowd_start(&c, life_left_key);
    printf("  %u forks\n", fork_often());
    life_crowd_stop(&c);
    CHECK(life_signs(NULL, life_left_key));
    return interop_failures() == 0 ? 0 : 1;
}

static const struct life_scenario scenarios[] = {{"forks", forks, 0}};

static void test_forks(const char *memory)
{
    char line[64];
    int status;

    snprintf(line, sizeof(line), "memory = %s", memory);
    life_case("fork with %s", line);
    status = life_again("forks", life_conf("memory.cnf", "memory", line));
    /* 1 from interop_start: the provider has refused the key. */
    if (strcmp(memory, "secretmem") == 0 && WIFEXITED(status) &&
        WEXITSTATUS(status) == LIFE_REFUSED) {
        interop_skip("forks with secretmem: not to be had here");
        return;
    }
    CHECK_INT(status, 0);
}

int main(int argc, char **argv)
{
    interop_start();
    if (argc > 1) {
        return life_scenario(scenarios, 1, argv[1]);
    }
    test_forks("anonymous");
    test_forks("secretmem");
    return interop_finish();
}
