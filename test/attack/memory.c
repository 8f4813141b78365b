/* memory.c - attacks by loads and stores. */
#include "attack.h"
#include "needles.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool key_at_target(void)
{
    return needles_find(victim.target, NEEDLE_LEN) != NULL;
}

static void read_outside(void)
{
    victim_ready();
    victim_read_target();
}

static void write_outside(void)
{
    victim_ready();
    *(volatile unsigned char *)victim.target ^= 1;
    cell(victim_intact() ? "nothing written" : "**key overwritten**");
}

static void search(void)
{
    victim_seek_text();
    cell(search_all(NULL) != NULL ? "**key found**" : "nothing found");
}

static void search_loaded(void)
{
    victim_load();
    search();
}

static void search_freed(void)
{
    victim_come_and_go();
    search();
}

/* ---- while others are inside --------------------------------------------- */

static void *sign_for_ever(void *arg)
{
    (void)arg;
    victim_sign_for_ever();
}

static void read_from_another_thread(void)
{
    volatile bool found = false;
    pthread_t thread;
    time_t end;

    victim_ready();
    if (pthread_create(&thread, NULL, sign_for_ever, NULL) != 0) {
        trouble("a thread");
    }
    end = time(NULL) + 4;
    while (time(NULL) < end) {
        if (SURVIVES(found = key_at_target()) && found) {
            cell("**key read**");
        }
    }
    dies();
}

static void read_in_handler(int signo)
{
    (void)signo;
    victim_read_target();
}

/* Comes while this thread is inside, if it may. */
static void read_from_a_handler(void)
{
    struct sigaction action = {.sa_handler = read_in_handler,
                               .sa_flags = SA_ONSTACK};
    pthread_t thread;

    victim_ready();
    sigaction(SIGUSR1, &action, NULL);
    if (pthread_create(&thread, NULL, sign_for_ever, NULL) != 0) {
        trouble("a thread");
    }
    usleep(50000);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
}

static void read_in_a_child(void)
{
    int status;
    pid_t pid;

    victim_ready();
    pid = fork();
    if (pid == 0) {
        victim_read_target();
    }
    waitpid(pid, &status, 0);
    _exit(status == 0 ? 0 : 1);
}

#define NO_ACCESS "dies: SIGSEGV, no access"
#define WRONG_KEY "dies: SIGSEGV, the domain's key"

const struct attack memory_attacks[] = {
    {"read", "a load",
     "reads the key's own address (over-read, use after free)", KEYS,
     read_outside, .want = {"**key read**", NO_ACCESS, WRONG_KEY}},
    {"write", "a store", "writes to the key's own address", KEYS, write_outside,
     .want = {"**key overwritten**", NO_ACCESS, WRONG_KEY}},
    {"loaded", "memory after load",
     "searches all memory once the key is loaded and has signed", KEYS,
     search_loaded,
     .want = {"**key found**", "nothing found", "nothing found"}},
    {"freed", "memory after free", "searches all memory after `EVP_PKEY_free`",
     KEYS, search_freed,
     .want = {"**key found**", "nothing found", "nothing found"}},
    {"thread", "another thread", "reads the key's address while a thread signs",
     KEYS, read_from_another_thread,
     .want = {"**key read**", "**key read**", WRONG_KEY}},
    {"handler", "a signal handler",
     "reads the key's address when it interrupts a thread that signs", KEYS,
     read_from_a_handler, .want = {"**key read**", NO_ACCESS, WRONG_KEY}},
    {"fork", "a forked child",
     "reads the key's address in its own copy of memory", KEYS, read_in_a_child,
     .want = {"**key read**", NO_ACCESS, WRONG_KEY}},
    {0},
};
