/* outcome.c - tells the driver what became of an attack. */
#include "attack.h"

#include <openssl/err.h>

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Thread_local volatile bool surviving;
_Thread_local sigjmp_buf survive_to;

static int to_driver = -1;

static int domain_key = -1;

void outcome_key(int key)
{
    domain_key = key;
}

/* The last fault, for dies(). */
static volatile struct {
    int signo, code, key;
} fault;

/* The domain's key goes before it, for the driver to compare. */
static _Noreturn void say(const char *line, size_t len)
{
    char key[32];
    int n = snprintf(key, sizeof(key), "key %d\n", domain_key);

    if (write(to_driver, key, (size_t)n) != n) {
        _exit(1);
    }
    if (write(to_driver, line, len) != (ssize_t)len) {
        _exit(1);
    }
    _exit(0);
}

_Noreturn void cell(const char *format, ...)
{
    char line[256] = "cell ";
    va_list args;

    va_start(args, format);
    vsnprintf(line + 5, sizeof(line) - 5, format, args);
    va_end(args);
    say(line, strlen(line));
}

_Noreturn void trouble(const char *what)
{
    fprintf(stderr, "cannot be tried: %s\n", what);
    ERR_print_errors_fp(stderr);
    _exit(1);
}

_Noreturn void refused(void)
{
    unsigned long e = ERR_peek_error();
    const char *reason = ERR_reason_error_string(e);

    if (e == 0) {
        cell("refused");
    }
    cell("refused: %s", reason != NULL ? reason : "no reason");
}

_Noreturn void dies(void)
{
    char line[96];

    snprintf(line, sizeof(line), "fault %d %d %d", fault.signo, fault.code,
             fault.key);
    say(line, strlen(line));
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    fault.signo = signo;
    fault.code = info->si_code;
    fault.key = -1;
    if (signo == SIGSEGV && info->si_code == SEGV_PKUERR) {
        fault.key = (int)info->si_pkey;
    }
    if (surviving) {
        siglongjmp(survive_to, 1);
    }
    dies();
}

void outcome_thread(void)
{
    size_t size = 65536;
    stack_t stack = {.ss_sp = malloc(size), .ss_size = size};

    if (stack.ss_sp == NULL || sigaltstack(&stack, NULL) != 0) {
        trouble("sigaltstack");
    }
}

void outcome_start(int fd)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    to_driver = fd;
    outcome_thread();
    action.sa_sigaction = on_fault;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &action, NULL);
    }
}
