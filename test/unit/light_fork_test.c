/*
 * A signal may come between any two instructions of the gate while a light
 * entry goes in or comes out, and its handler may fork. That works where no
 * slot is taken, and ends the process where one is: it does not wait for the
 * thread that it interrupts.
 *
 * Each step is tried, by single-stepping (the trap flag). Seen to fail, with
 * children that had to be killed, when fork.c goes by light_rsp alone; and the
 * second test when the gate reads the state of the domain once more to see why
 * it is not open.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"
#include "trap_flag.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define NEVER (~0U)

enum { OP_NOTHING = MPK_ENTRY_FIRST };

static int64_t nothing_stub(void *frame)
{
    (void)frame;
    return 7;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {nothing_stub, 0, MPK_KIND_LIGHT},
};

/* Instructions of the gate before the stub and after it. */
static struct {
    unsigned seen[2];
    bool left, after;
} steps;
static unsigned act_at[2];
static void (*act)(void), (*when_left)(void);
static pid_t pid;

static void on_step(int signo, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    uintptr_t rip = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    bool in_gate = rip - (uintptr_t)mpk_gate <
                   (uintptr_t)mpk_gate_end - (uintptr_t)mpk_gate;

    (void)signo;
    (void)info;
    if (!in_gate) {
        if (steps.seen[0] > 0 && !steps.left && when_left != NULL) {
            when_left();
        }
        steps.left |= steps.seen[0] > 0;
        return;
    }
    steps.after |= steps.left;
    if (steps.seen[steps.after]++ == act_at[steps.after]) {
        u->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
        act();
    }
}

static int64_t call_step_by_step(void)
{
    struct sigaction a = {.sa_flags = SA_SIGINFO};
    int64_t value;

    a.sa_sigaction = on_step;
    sigaction(SIGTRAP, &a, NULL);
    memset(&steps, 0, sizeof(steps));
    set_trap_flag();
    value = mpk_call(OP_NOTHING, NULL);
    clear_trap_flag();
    return value;
}

static void do_fork(void)
{
    pid = fork();
}

/* The wipe of the stack takes a longer way when something is left there, as a
 * handler's frame may have: the last steps of one run are not in each other. */
#define NOT_REACHED 3
#define NOBODY (-2)

/* Both processes come out of the entry, and can go in again. */
static void fork_at_that_step(const struct setup *s)
{
    int status;

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_NOTHING, NULL) == 7);
    pid = NOBODY;
    act = do_fork;
    CHECK(call_step_by_step() == 7);
    if (pid == NOBODY) {
        _exit(failed_checks != 0 ? 1 : NOT_REACHED);
    }
    CHECK(pid >= 0);
    CHECK(mpk_call(OP_NOTHING, NULL) == 7);
    if (pid == 0) {
        _exit(failed_checks != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static unsigned worked, refused;

static void try_steps(const struct setup *s, bool after, unsigned from,
                      unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct outcome o;

        act_at[after] = i;
        act_at[!after] = NEVER;
        o = run_in_child(fork_at_that_step, s);
        if (o.status == 0) {
            worked++;
        } else if (o.status != NOT_REACHED) {
            refused++;
            CHECK(ended_by_fatal(&o, "a signal handler forks"));
        }
    }
}

static void count_steps(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    act_at[0] = act_at[1] = NEVER;
    CHECK(mpk_call(OP_NOTHING, NULL) == 7);
    CHECK(call_step_by_step() == 7);
    printf("%u %u\n", steps.seen[0], steps.seen[1]);
}

static void test_a_handler_may_fork_at_any_step(const struct setup *s)
{
    unsigned before, after;
    int fd[2], status;
    char text[32] = "";
    pid_t counter;

    if (s->backend == MPK_BACKEND_MPROTECT) {
        return; /* has no light entries */
    }
    CHECK(pipe(fd) == 0);
    counter = fork();
    if (counter == 0) {
        dup2(fd[1], STDOUT_FILENO);
        count_steps(s);
        fflush(stdout);
        _exit(failed_checks != 0);
    }
    CHECK(waitpid(counter, &status, 0) == counter && status == 0);
    CHECK(read(fd[0], text, sizeof(text) - 1) > 0);
    CHECK(sscanf(text, "%u %u", &before, &after) == 2);
    /* All of the way in, and of the way out what is not the wipe. */
    CHECK(before > 20 && before < 100 && after > 40);
    try_steps(s, false, 0, before);
    try_steps(s, true, after - 24, after);
    printf("     %u steps: fork works at %u, ends the process at %u\n",
           before + 24, worked, refused);
    CHECK(worked > 10 && refused > 10);
}

/* ---- another thread's fork that ends ------------------------------------- */

/* What the handlers of fork ask for. */
static int64_t fork_step(uint64_t step)
{
    struct {
        uint64_t step;
    } frame = {step};

    return mpk_call(1, &frame);
}

static unsigned ended, too_late;

static void end_fork(void)
{
    ended += fork_step(1) == 0;
}

/* The gate has sent the thread back to wait. */
static void end_if_it_goes_on(void)
{
    if (ended == 0) {
        too_late++;
        end_fork();
    }
}

static void test_the_end_of_a_fork_is_no_raw_clone(const struct setup *s)
{
    if (s->backend == MPK_BACKEND_MPROTECT) {
        return; /* has no light entries */
    }
    make_domain(s, entries, COUNT_OF(entries));
    act = end_fork;
    when_left = end_if_it_goes_on;
    act_at[1] = NEVER;
    for (act_at[0] = 0; too_late == 0; act_at[0]++) {
        CHECK(fork_step(0) == 0);
        ended = 0;
        CHECK(call_step_by_step() == 7);
        CHECK(ended == 1);
    }
    CHECK(act_at[0] > 20);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_a_handler_may_fork_at_any_step, ONE_MEMORY | NOT_TSAN),
        TEST(test_the_end_of_a_fork_is_no_raw_clone, ONE_MEMORY | NOT_TSAN),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
