/*
 * What the tests of the core share: claims, children and what became of them,
 * and a main that runs each test in a process of its own for each way the
 * domain can be made.
 */
#ifndef MPK_TEST_CORE_TEST_H
#define MPK_TEST_CORE_TEST_H

#include <mpkcore/core.h>
#include <mpkcore/gate.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* CHECK counts and reports a claim that does not hold, and goes on. */
#define CHECK(claim) check((claim), #claim, __func__, __LINE__)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

extern int failed_checks;
void check(bool holds, const char *claim, const char *function, int line);

/* One way to make the domain. */
struct setup {
    enum mpk_backend backend;
    enum mpk_memory memory;
};

/* What became of a child. */
struct outcome {
    int status;    /* exit status, or -1 when a signal ended it */
    int killed_by; /* that signal, or 0 */
    /* The fault that its handler saw; |signo| is 0 if it saw none. The handler
     * ends the child with status FAULTED. */
    int signo;
    int code;
    int key;
    uintptr_t addr;
    char err[2048]; /* what it wrote to standard error */
};

#define FAULTED 99

typedef void child_body(const struct setup *s);

/*
 * run_in_child runs |body| in a forked child, which exits with 0, or with 1
 * when a CHECK failed in it, if |body| returns. SIGSEGV, SIGBUS, SIGILL and
 * SIGFPE are reported; so is a child that takes longer than two minutes
 * (killed_by is SIGALRM).
 */
struct outcome run_in_child(child_body *body, const struct setup *s);

/* ended_by_fatal: |o| died of mpk_fatal with a message that holds |text|. */
bool ended_by_fatal(const struct outcome *o, const char *text);

/* make_domain makes the domain as |s| and |domain_seal| say or ends the
 * process. */
extern enum mpk_seal domain_seal;
void make_domain(const struct setup *s, const struct mpk_entry *entries,
                 size_t n_entries);

/* The last line that the domain made with make_domain asked to be shown. */
extern const char *last_notice;

struct core_test {
    const char *name;
    child_body *run;
    /* Which ways to make the domain are tried: */
    enum {
        EACH_MEMORY = 0,
        ONE_MEMORY = 1,    /* auto only */
        NEEDS_KEYS = 2,    /* mpk only */
        NEEDS_CLOSING = 4, /* not none */
        NEEDS_LOCKING = 8, /* secretmem only where it is not limited */
        NOT_TSAN = 16,     /* not under ThreadSanitizer, see core_test.c */
        NOT_SANITIZED = 32 /* under no sanitizer */
    } flags;
};

#define TEST(name, flags)                                                      \
    {                                                                          \
#name, name, flags                                                     \
    }

/*
 * core_test_main runs |tests| on $MPK_TEST_BACKEND, or on every backend that
 * this machine can have; only those whose name holds $MPK_TEST_ONLY, if it is
 * set. Returns what main is to: 0, 1 or 77.
 */
int core_test_main(const struct core_test *tests, size_t n);

/* |n|, or less of it where instructions are emulated or instrumented. */
unsigned scaled(unsigned n);

/*
 * time_is_left says whether a test that runs for a time is to go on: for one
 * second, or $MPK_TEST_SECONDS, from the start of the test. To be asked after
 * the first turn, so that a busy machine does something as well.
 */
bool time_is_left(void);

/* in_smaps puts into |line| the line of /proc/PID/smaps that begins with
 * |what|, of the mapping at |p|. False if there is none. */
bool in_smaps(pid_t pid, const void *p, const char *what, char *line,
              size_t len);

/* The number of open descriptors. */
int open_fds(void);
/* Bytes of addresses that this process has mapped. */
size_t address_space(void);

/* How often the calling thread has gone to sleep of its own accord. */
long thread_sleeps(void);

/* limit_data lets the process have |more| bytes of data (RLIMIT_DATA) than it
 * has now. */
void limit_data(size_t more);

/* take_all_mappings leaves the process none of the mappings that it may have
 * (vm.max_map_count). False where these are more than 100,000. */
bool take_all_mappings(void);
void give_mappings_back(unsigned n);

/* Whether this thread can read, or write, at |p|: the kernel does so with its
 * rights. */
bool readable(const void *p);
bool writable(void *p);

/* become_nobody sets the memory-lock limit and gives root up. False when the
 * process is not root's. */
bool become_nobody(size_t lock_limit);

/* say_seed returns a seed from $MPK_TEST_SEED or the clock and prints it. */
uint64_t say_seed(void);
/* xorshift64*; never 0. */
uint64_t next_random(uint64_t *state);

#endif
