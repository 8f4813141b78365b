/*
 * Thread-specific data of code inside: the slot's, never libc's. This program
 * is linked with the --wrap options that a module with a library inside uses.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OP_CREATE = MPK_ENTRY_FIRST,
    OP_MEET,
    OP_EDGES,
    OP_ALL_KEYS,
    OP_NUMBER,
    OP_DESCENDANT,
    OP_FATAL
};

#define THREADS 4

static int destroyed;
static uint32_t arrived;

static void destructor(void *value)
{
    (void)value;
    destroyed = 1;
}

static int64_t create_stub(void *frame)
{
    pthread_key_t key = 0;

    (void)frame;
    CHECK(pthread_key_create(&key, destructor) == 0);
    CHECK(pthread_getspecific(key) == NULL);
    return key;
}

static int64_t number_stub(void *frame);
static int64_t descendant_stub(void *frame);

struct meet_frame {
    pthread_key_t key;
    uint32_t threads;
    void *value;
};

/* Sets a value, waits until all threads have, and says whether it stayed. */
static int64_t meet_stub(void *frame)
{
    struct meet_frame *f = frame;
    void *const *stored;

    CHECK(pthread_setspecific(f->key, f->value) == 0);
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < f->threads) {
    }
    stored = &mpk_slot_self()->tsd[f->key];
    CHECK(!mpk_is_outside(stored, sizeof(*stored)) && *stored == f->value);
    return pthread_getspecific(f->key) == f->value;
}

static int64_t edges_stub(void *frame)
{
    (void)frame;
    CHECK(pthread_getspecific(MPK_TSD_KEYS) == NULL);
    CHECK(pthread_getspecific((pthread_key_t)-1) == NULL);
    CHECK(pthread_setspecific(MPK_TSD_KEYS, &destroyed) == EINVAL);
    CHECK(pthread_setspecific((pthread_key_t)-1, &destroyed) == EINVAL);
    CHECK(pthread_key_delete(MPK_TSD_KEYS) == 0);
    return 0;
}

static int64_t all_keys_stub(void *frame)
{
    pthread_key_t key, last = (pthread_key_t)-1;
    int made = 0;

    (void)frame;
    while (made < 1000 && pthread_key_create(&key, NULL) == 0) {
        CHECK(key != last);
        last = key;
        made++;
    }
    CHECK(pthread_key_create(&key, NULL) == EAGAIN);
    return made;
}

static int64_t fatal_stub(void *frame)
{
    (void)frame;
    mpk_fatal("as asked");
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {create_stub, 0, MPK_KIND_STACK},
    {meet_stub, sizeof(struct meet_frame), MPK_KIND_STACK},
    {edges_stub, 0, MPK_KIND_STACK},
    {all_keys_stub, 0, MPK_KIND_STACK},
    {number_stub, 0, MPK_KIND_STACK},
    {descendant_stub, 0, MPK_KIND_STACK},
    {fatal_stub, 0, MPK_KIND_STACK},
};

static pthread_key_t key_made;

static void make(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    key_made = (pthread_key_t)mpk_call(OP_CREATE, NULL);
}

static void *meet(void *value)
{
    struct meet_frame f = {key_made, THREADS, value};

    CHECK(mpk_call(OP_MEET, &f) == 1);
    return NULL;
}

static void test_slots_do_not_see_each_others_values(const struct setup *s)
{
    pthread_t thread[THREADS];
    static char value[THREADS];

    make(s);
    for (int round = 0; round < 10; round++) {
        arrived = 0;
        for (int i = 0; i < THREADS; i++) {
            pthread_create(&thread[i], NULL, meet, &value[i]);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(thread[i], NULL);
        }
    }
    /* All those threads have ended, each with a value set. */
    CHECK(!destroyed);
}

static void test_keys_do_not_share_a_value(const struct setup *s)
{
    struct meet_frame first = {0, 0, &destroyed}, second = {0, 0, &arrived};

    make(s);
    first.key = key_made;
    second.key = (pthread_key_t)mpk_call(OP_CREATE, NULL);
    CHECK(first.key != second.key);
    CHECK(mpk_call(OP_MEET, &first) == 1);
    CHECK(mpk_call(OP_MEET, &second) == 1);
}

static void test_keys_that_do_not_exist_are_harmless(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_EDGES, NULL) == 0);
}

static void test_keys_run_out_with_an_error(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_ALL_KEYS, NULL) == MPK_TSD_KEYS - 1);
    CHECK(mpk_call(OP_ALL_KEYS, NULL) == 0);
}

/* ---- the number of the process ------------------------------------------- */

static int64_t number_stub(void *frame)
{
    (void)frame;
    return getpid();
}

/* A child of its own namespace, in which its number is 1; its exit status. */
static int in_namespace(int (*body)(int64_t), int64_t number)
{
    int status;
    pid_t pid;

    if (unshare(CLONE_NEWPID) != 0) {
        return 77;
    }
    pid = fork();
    if (pid == 0) {
        _exit(body(number));
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status)
               ? WEXITSTATUS(status)
               : 1;
}

static int is_another(int64_t number)
{
    return syscall(SYS_getpid) != 1 || mpk_call(OP_NUMBER, NULL) == number;
}

static int number_one(int64_t unused)
{
    (void)unused;
    return in_namespace(is_another, mpk_call(OP_NUMBER, NULL));
}

static void fork_as_number_one(const struct setup *s)
{
    make(s);
    _exit(in_namespace(number_one, 0));
}

/* Where namespaces can be made, as by root. */
static void test_parent_and_child_are_never_the_same(const struct setup *s)
{
    int status = run_in_child(fork_as_number_one, s).status;

    if (status == 77) {
        fputs("no namespace of processes here: not tested\n", stderr);
    } else {
        CHECK(status == 0);
    }
}

/* What a child's fork handler leaves, without the fork. */
static int64_t descendant_stub(void *frame)
{
    (void)frame;
    atomic_fetch_add(&mpk_ro.domain->forks, 1);
    return getpid();
}

/* A process whose number the kernel gives out again, or that is number 1 of
 * its own namespace as an ancestor was. */
static void test_no_descendant_is_as_its_ancestors(const struct setup *s)
{
    int64_t last, next;

    make(s);
    last = mpk_call(OP_NUMBER, NULL);
    for (int i = 0; i < 2000; i++, last = next) {
        next = mpk_call(OP_DESCENDANT, NULL);
        CHECK(next > last);
        if (next <= last) {
            return;
        }
    }
}

static void end_inside(const struct setup *s)
{
    (void)s;
    mpk_call(OP_FATAL, NULL);
}

/* Where getpid tells another number than the kernel does. */
static void test_a_child_that_ends_inside_is_aborted(const struct setup *s)
{
    struct outcome o;

    make(s);
    o = run_in_child(end_inside, s);
    CHECK(ended_by_fatal(&o, "as asked"));
}

/* ---- outside ------------------------------------------------------------- */

static void get_outside(const struct setup *s)
{
    make(s);
    (void)pthread_getspecific(key_made);
}

static void set_outside(const struct setup *s)
{
    make(s);
    pthread_setspecific(key_made, s);
}

static void create_outside(const struct setup *s)
{
    make(s);
    pthread_key_create(&key_made, NULL);
}

static void create_before_there_is_a_domain(const struct setup *s)
{
    (void)s;
    pthread_key_create(&key_made, NULL);
}

static void test_use_outside_ends_the_process(const struct setup *s)
{
    static child_body *const bodies[] = {get_outside, set_outside,
                                         create_outside,
                                         create_before_there_is_a_domain};

    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct outcome o = run_in_child(bodies[i], s);

        CHECK(ended_by_fatal(&o, "the inner library ran outside the domain"));
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_slots_do_not_see_each_others_values, 0),
        TEST(test_keys_do_not_share_a_value, ONE_MEMORY),
        TEST(test_keys_that_do_not_exist_are_harmless, ONE_MEMORY),
        TEST(test_keys_run_out_with_an_error, ONE_MEMORY),
        TEST(test_parent_and_child_are_never_the_same, ONE_MEMORY),
        TEST(test_no_descendant_is_as_its_ancestors, ONE_MEMORY),
        TEST(test_a_child_that_ends_inside_is_aborted, ONE_MEMORY),
        TEST(test_use_outside_ends_the_process, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
