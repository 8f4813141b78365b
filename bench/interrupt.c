/* interrupt.c - an end that leaves nothing behind. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t noted;

static void note(int signo)
{
    noted = signo;
}

void interrupt_catch(void)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM};
    /* Without SA_RESTART: nobody waits for an answer any more. */
    struct sigaction action = {.sa_handler = note}, before;

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) { /* nohup, a shell's background */
            sigaction(signals[i], &action, NULL);
        }
    }
}

bool interrupted(void)
{
    return noted != 0;
}

void interrupt_end(void)
{
    int signo = noted;

    if (signo != 0) {
        signal(signo, SIG_DFL);
        raise(signo);
    }
}
