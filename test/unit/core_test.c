#include "core_test.h"

#include "../../mpkcore/sanitize.h"
#include "../seconds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int failed_checks;
const char *last_notice = "";

static int fault_pipe = -1;

void check(bool holds, const char *claim, const char *function, int line)
{
    if (!holds) {
        dprintf(STDERR_FILENO, "%s:%d: does not hold: %s\n", function, line,
                claim);
        __atomic_fetch_add(&failed_checks, 1, __ATOMIC_SEQ_CST);
    }
}

static void die(const char *what)
{
    perror(what);
    _exit(1);
}

/* ---- children ------------------------------------------------------------ */

static void report_fault(int signo, siginfo_t *info, void *context)
{
    struct outcome o = {
        .signo = signo,
        .code = info->si_code,
        .key = -1,
        .addr = (uintptr_t)info->si_addr,
    };

    (void)context;
    if (signo == SIGSEGV && info->si_code == SEGV_PKUERR) {
        o.key = (int)info->si_pkey;
    }
    if (write(fault_pipe, &o, sizeof(o)) != (ssize_t)sizeof(o)) {
        _exit(1);
    }
    _exit(FAULTED);
}

static void catch_faults(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    static char alternate[65536];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    action.sa_sigaction = report_fault;
    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static void child_main(child_body *body, const struct setup *s, int pipe_fd,
                       int err_fd)
{
    fault_pipe = pipe_fd;
    dup2(err_fd, STDERR_FILENO);
    close(err_fd);
    failed_checks = 0;
    catch_faults();
    alarm(120);
    body(s);
    exit(failed_checks != 0);
}

struct outcome run_in_child(child_body *body, const struct setup *s)
{
    struct outcome o = {.status = -1, .key = -1};
    int err_fd = memfd_create("stderr", 0), fds[2], status = 0;
    ssize_t got;
    pid_t pid;

    if (err_fd < 0 || pipe2(fds, O_NONBLOCK) != 0) {
        die("run_in_child");
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child_main(body, s, fds[1], err_fd);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        die("run_in_child");
    }
    if (read(fds[0], &o, sizeof(o)) < 0 && errno != EAGAIN) {
        die("read");
    }
    o.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    o.killed_by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    got = pread(err_fd, o.err, sizeof(o.err) - 1, 0);
    o.err[got > 0 ? got : 0] = '\0';
    if (o.status == 1) {
        fputs(o.err, stderr);
    }
    close(err_fd);
    close(fds[0]);
    close(fds[1]);
    return o;
}

bool ended_by_fatal(const struct outcome *o, const char *text)
{
    const char *at = strstr(o->err, "mpk: fatal: ");
    bool holds =
        o->killed_by == SIGABRT && at != NULL && strstr(at, text) != NULL;

    if (!holds) {
        fprintf(stderr, "status %d, killed by %d, fault %d/%d, said: %s\n",
                o->status, o->killed_by, o->signo, o->code, o->err);
    }
    return holds;
}

/* ---- the domain ---------------------------------------------------------- */

static void keep_notice(const char *line)
{
    last_notice = line;
}

enum mpk_seal domain_seal = MPK_SEAL_AUTO;

void make_domain(const struct setup *s, const struct mpk_entry *entries,
                 size_t n_entries)
{
    struct mpk_config config = {
        .backend = s->backend,
        .memory = s->memory,
        .entries = entries,
        .n_entries = (uint32_t)n_entries,
        .notice = keep_notice,
        .seal = domain_seal,
    };
    int err = mpk_core_init(&config);

    if (err != 0) {
        fprintf(stderr, "mpk_core_init: %d\n", err);
        _exit(1);
    }
}

static void probe(const struct setup *s)
{
    static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES};
    struct mpk_config config = {
        .backend = s->backend,
        .memory = s->memory,
        .entries = entries,
        .n_entries = COUNT_OF(entries),
    };

    _exit(mpk_core_init(&config) == 0 ? 0 : 77);
}

/* ---- main ---------------------------------------------------------------- */

static const char *const backend_name[] = {"mpk", "mprotect", "none"};
static const char *const memory_name[] = {"auto", "secretmem", "anonymous"};

/* Root may raise the limit on locked memory; the tests that need little of it
 * lower it themselves. */
static bool may_lock_much(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 ||
           (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
            limit.rlim_cur == RLIM_INFINITY);
}

/*
 * ThreadSanitizer puts handlers off until it thinks fit, so a fault inside a
 * handler, or a process that ends while others are inside, hangs or ends
 * otherwise; and an attacker who rewrites what is being read is a race on
 * purpose. All of them keep a list of threads, which one that ends by the
 * system call does not leave. What cannot run here, the other builds do.
 */
#ifdef MPK_TSAN
static const bool under_tsan = true;
#else
static const bool under_tsan = false;
#endif

#ifdef MPK_SANITIZED
static const bool under_any = true;
#else
static const bool under_any = false;
#endif

static bool wanted(const struct core_test *t, const struct setup *s)
{
    const char *only = getenv("MPK_TEST_ONLY");

    if (((t->flags & NOT_TSAN) && under_tsan) ||
        ((t->flags & NOT_SANITIZED) && under_any)) {
        return false;
    }
    return (only == NULL || strstr(t->name, only) != NULL) &&
           (!(t->flags & NEEDS_LOCKING) || s->memory != MPK_MEMORY_SECRETMEM ||
            may_lock_much()) &&
           (!(t->flags & ONE_MEMORY) || s->memory == MPK_MEMORY_AUTO) &&
           (!(t->flags & NEEDS_KEYS) || s->backend == MPK_BACKEND_MPK) &&
           (!(t->flags & NEEDS_CLOSING) || s->backend != MPK_BACKEND_NONE);
}

/* ---- time ---- */

static double test_ends;

static void start_clock(void)
{
    test_ends = seconds_now() + seconds_of_case();
}

bool time_is_left(void)
{
    return seconds_now() < test_ends;
}

static int run_one(const struct core_test *t, const struct setup *s)
{
    struct outcome o;

    start_clock();
    o = run_in_child(t->run, s);
    printf("%s %s %s %s\n", o.status == 0 ? "ok  " : "FAIL",
           backend_name[s->backend], memory_name[s->memory], t->name);
    if (o.status == 0) {
        return 0;
    }
    if (o.status != 1) {
        printf("     status %d, killed by %d, fault %d code %d key %d at %#lx\n"
               "%s",
               o.status, o.killed_by, o.signo, o.code, o.key,
               (unsigned long)o.addr, o.err);
    }
    return 1;
}

/* What every machine can have is no reason to skip a test, nor is an end by a
 * signal: the tests say then what is wrong. */
static bool possible(const struct setup *s)
{
    if ((s->backend != MPK_BACKEND_MPK && s->memory != MPK_MEMORY_SECRETMEM) ||
        run_in_child(probe, s).status != 77) {
        return true;
    }
    printf("skip: no %s domain with memory %s on this machine\n",
           backend_name[s->backend], memory_name[s->memory]);
    return false;
}

int core_test_main(const struct core_test *tests, size_t n)
{
    const char *only = getenv("MPK_TEST_BACKEND");
    struct rlimit no_core = {0, 0};
    int ran = 0, failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    setrlimit(RLIMIT_CORE, &no_core);
    may_lock_much();
    for (unsigned i = 0; i < 9; i++) {
        struct setup s = {(enum mpk_backend)(i / 3), (enum mpk_memory)(i % 3)};
        size_t due = 0;

        for (size_t t = 0; t < n; t++) {
            due += wanted(&tests[t], &s);
        }
        if ((only != NULL && strcmp(only, backend_name[s.backend]) != 0) ||
            due == 0 || !possible(&s)) {
            continue;
        }
        for (size_t t = 0; t < n; t++) {
            if (wanted(&tests[t], &s)) {
                ran++;
                failed += run_one(&tests[t], &s);
            }
        }
    }
    printf("%d tests, %d failed\n", ran, failed);
    return failed != 0 ? 1 : ran != 0 ? 0 : 77;
}

/* ---- small things -------------------------------------------------------- */

unsigned scaled(unsigned n)
{
    return getenv("MPK_VM") != NULL || getenv("MPK_TEST_SLOW") != NULL
               ? (n + 9) / 10
               : n;
}

size_t address_space(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    CHECK(f != NULL && fscanf(f, "%lu", &pages) == 1);
    if (f != NULL) {
        fclose(f);
    }
    return pages * 4096;
}

bool in_smaps(pid_t pid, const void *p, const char *what, char *line,
              size_t len)
{
    unsigned long from, to, at = (unsigned long)(uintptr_t)p;
    bool here = false, found = false;
    char name[64];
    FILE *f;

    snprintf(name, sizeof(name), "/proc/%d/smaps", (int)pid);
    f = fopen(name, "r");
    while (f != NULL && !found && fgets(line, (int)len, f) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            here = at >= from && at < to;
        }
        found = here && strncmp(line, what, strlen(what)) == 0;
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

int open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    while (d != NULL && readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n;
}

long thread_sleeps(void)
{
    struct rusage r = {0};

    CHECK(getrusage(RUSAGE_THREAD, &r) == 0);
    return r.ru_nvcsw;
}

void limit_data(size_t more)
{
    FILE *f = fopen("/proc/self/status", "r");
    struct rlimit limit = {0, RLIM_INFINITY};
    unsigned long kib = 0;
    char line[256];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, "VmData: %lu", &kib);
    }
    CHECK(f != NULL && kib != 0);
    fclose(f);
    limit.rlim_cur = (size_t)kib * 1024 + more;
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
}

static char *taken[100000];
static size_t n_taken;

bool take_all_mappings(void)
{
    while (n_taken < COUNT_OF(taken)) {
        int prot = n_taken % 2 == 0 ? PROT_NONE : PROT_READ;

        taken[n_taken] =
            mmap(NULL, 4096, prot, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (taken[n_taken] == MAP_FAILED) {
            return true;
        }
        n_taken++;
    }
    give_mappings_back(COUNT_OF(taken));
    return false;
}

void give_mappings_back(unsigned n)
{
    for (; n > 0 && n_taken > 0; n--) {
        CHECK(munmap(taken[--n_taken], 4096) == 0);
    }
}

bool readable(const void *p)
{
    int fd[2];
    bool yes;

    CHECK(pipe(fd) == 0);
    yes = write(fd[1], p, 1) == 1;
    close(fd[0]);
    close(fd[1]);
    return yes;
}

bool writable(void *p)
{
    int fd[2];
    bool yes;

    CHECK(pipe(fd) == 0 && write(fd[1], "s", 1) == 1);
    yes = read(fd[0], p, 1) == 1;
    close(fd[0]);
    close(fd[1]);
    return yes;
}

bool become_nobody(size_t lock_limit)
{
    struct rlimit limit = {lock_limit, lock_limit};

    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && geteuid() == 0 &&
           setresgid(65534, 65534, 65534) == 0 &&
           setresuid(65534, 65534, 65534) == 0;
}

uint64_t say_seed(void)
{
    const char *given = getenv("MPK_TEST_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given != NULL ? strtoull(given, NULL, 0)
                         : (uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec;
    printf("     MPK_TEST_SEED=%llu\n", (unsigned long long)(seed | 1));
    return seed | 1;
}

uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}
