/*
 * Page groups that threads and processes share: rights are those of a model,
 * who ends or dies gives back what he had open, who finds no key waits for one.
 */
#include "core_test.h"
#include "vkey_model.h"
#include "vkey_probe.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- threads and processes ----------------------------------------------- */

static mpk_vkey_t shared[16];

static void *exits_pinned(void *how)
{
    for (int i = 0; i < 12; i++) {
        if (mpk_begin(shared[i], RW) != 0) {
            break;
        }
        if (i == MPK_NEST_MAX - 1 || (how != NULL && i == 0)) {
            break;
        }
    }
    if (how != NULL) {
        syscall(SYS_exit, 0); /* no destructor runs */
    }
    return NULL;
}

static void test_a_thread_that_ends_gives_back(const struct setup *s)
{
    pthread_t t;

    params.max_keys = 2;
    start(s);
    for (int i = 0; i < 16; i++) {
        group(&shared[i], 4096, RW);
    }
    pthread_create(&t, NULL, exits_pinned, NULL);
    pthread_join(t, NULL);
    for (int i = 0; i < 16; i++) {
        CHECK(mpk_begin(shared[i], RW) == 0);
        CHECK(mpk_end(shared[i]) == 0);
        CHECK(mpk_munmap(shared[i]) == 0);
    }
}

static void test_a_thread_that_dies_gives_back(const struct setup *s)
{
    pthread_t t[2];

    params.max_keys = 2;
    start(s);
    for (int i = 0; i < 16; i++) {
        group(&shared[i], 4096, RW);
    }
    for (int i = 0; i < 2; i++) {
        pthread_create(&t[i], NULL, exits_pinned, "killed");
        usleep(50000);
    }
    for (int i = 2; i < 16; i++) {
        CHECK(mpk_begin(shared[i], RW) == 0);
        CHECK(mpk_end(shared[i]) == 0);
    }
}

static void *begin_and_tell(void *done)
{
    CHECK(mpk_begin(shared[1], RW) == 0);
    atomic_store((_Atomic int *)done, 1);
    CHECK(mpk_end(shared[1]) == 0);
    return NULL;
}

/* Who waits asks again now and then, and does not wait for that moment. */
static bool somebody_waits(_Atomic int *done)
{
    while (atomic_load(&vk_ro.view->head.waiting) != 1 && !atomic_load(done)) {
        usleep(1000);
    }
    return !atomic_load(done);
}

/* As a child of fork has it: nobody does, whatever its parent's threads do. */
static int waiting_in_a_child(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit((int)(atomic_load(&vk_ro.view->head.waiting) & 127));
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_who_finds_no_key_waits_for_one(const struct setup *s)
{
    _Atomic int done = 0;
    pthread_t t;

    params.max_keys = 1;
    params.nest = 1;
    start(s);
    group(&shared[0], 4096, RW);
    group(&shared[1], 4096, RW);
    CHECK(mpk_begin(shared[0], RW) == 0);
    CHECK(mpk_begin(shared[1], RW) == -EDEADLK);
    pthread_create(&t, NULL, begin_and_tell, &done);
    for (int i = 0; i < 10; i++) {
        CHECK(somebody_waits(&done));
        CHECK(waiting_in_a_child() == 0);
    }
    CHECK(mpk_end(shared[0]) == 0);
    pthread_join(t, NULL);
    CHECK(atomic_load(&done));
}

static void in_child(char *p, mpk_vkey_t held, mpk_vkey_t other)
{
    mpk_vkey_t fresh;
    char *q;

    CHECK(touches(p, true) && p[1] == 7);
    p[1] = 8;
    CHECK(mpk_end(held) == 0);
    CHECK(mpk_begin(other, RW) == 0 && mpk_end(other) == 0);
    CHECK(mpk_munmap(other) == 0);
    q = group(&fresh, 4096, RW);
    CHECK(mpk_begin(fresh, RW) == 0);
    *q = 1;
    CHECK(mpk_end(fresh) == 0);
    _exit(failed_checks != 0);
}

static void test_a_child_of_fork_has_what_its_parent_had(const struct setup *s)
{
    mpk_vkey_t vkey, other;
    int status = -1;
    char *p;
    pid_t pid;

    start(s);
    p = group(&vkey, 4096, RW);
    group(&other, 4096, RW);
    CHECK(mpk_begin(vkey, RW) == 0);
    p[1] = 7;
    pid = fork();
    if (pid == 0) {
        in_child(p, vkey, other);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(p[1] == 7);
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_begin(other, RW) == 0 && mpk_end(other) == 0);
    CHECK(mpk_munmap(other) == 0 && mpk_munmap(vkey) == 0);
}

/* ---- the model ----------------------------------------------------------- */

/* The key that the pages of the group with |p| carry, -1 if none. */
static int key_at(const volatile char *p)
{
    for (unsigned i = 0; i < 256; i++) {
        const struct vk_row *row = &vk_ro.view->row[i];

        if (atomic_load(&row->vkey) != 0 && p >= row->base &&
            p < row->base + row->len) {
            return atomic_load(&row->key);
        }
    }
    return -1;
}

static _Atomic unsigned faults_by_key, faults_without_key;

/* How often a group was given a key or lost it. */
static unsigned long long moves(void)
{
    struct mpk_stats st;

    CHECK(mpk_stats_get(&st) == 0);
    return (unsigned long long)st.loads + st.evictions;
}

/*
 * As the model asks. A fault must be by the key that the group has; while it
 * has none, by the domain's, or by page rights that all threads have. It is
 * left out when other threads move keys at the same time: the group may have
 * had one for just that moment.
 */
static bool allows(const volatile char *p, bool write)
{
    unsigned long long moved = moves();
    int before = key_at(p);
    bool ok = touches_byte(p, write);

    if (ok || vk_ro.backend != MPK_BACKEND_MPK || key_at(p) != before ||
        moves() != moved) {
        return ok;
    }
    if (before > 0) {
        CHECK(seen_code == SEGV_PKUERR && seen_key == before);
        atomic_fetch_add(&faults_by_key, 1);
    } else {
        CHECK(seen_code == SEGV_ACCERR || seen_code == SEGV_MAPERR ||
              (seen_code == SEGV_PKUERR && seen_key == mpk_ro.pkey));
        atomic_fetch_add(&faults_without_key, 1);
    }
    return ok;
}

static void run_model(const struct setup *s, unsigned threads, unsigned steps,
                      unsigned fork_in)
{
    struct world w = {.threads = threads,
                      .steps = scaled(steps),
                      .groups = 24,
                      .nest = 2,
                      .fork_in = fork_in,
                      .own_rights = s->backend == MPK_BACKEND_MPK,
                      .allows = allows};
    struct mpk_stats st;

    params.max_keys = 4;
    start(s);
    model_run(&w, say_seed());
    CHECK(mpk_stats_get(&st) == 0);
    printf("     %u steps, %llu loads, %llu evictions, %llu waits\n",
           w.steps * w.threads, (unsigned long long)st.loads,
           (unsigned long long)st.evictions, (unsigned long long)st.waits);
    if (w.own_rights) {
        printf("     %u faults by the group's key, %u of groups without one\n",
               atomic_load(&faults_by_key), atomic_load(&faults_without_key));
        CHECK(atomic_load(&faults_by_key) > 0);
        CHECK(atomic_load(&faults_without_key) > 0);
    }
}

static void test_rights_are_the_models(const struct setup *s)
{
    run_model(s, 4, 20000, 0);
}

static void test_and_in_children_of_one_thread(const struct setup *s)
{
    run_model(s, 1, 10000, 200);
}

/* The run-time of TSan has no children of many threads. */
static void test_and_in_children_of_many(const struct setup *s)
{
    run_model(s, 4, 4000, 200);
}

static const struct core_test tests[] = {
    TEST(test_a_thread_that_ends_gives_back, ONE_MEMORY),
    TEST(test_a_thread_that_dies_gives_back, ONE_MEMORY),
    TEST(test_who_finds_no_key_waits_for_one, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_child_of_fork_has_what_its_parent_had, ONE_MEMORY),
    TEST(test_rights_are_the_models, ONE_MEMORY),
    TEST(test_and_in_children_of_one_thread, ONE_MEMORY),
    TEST(test_and_in_children_of_many, ONE_MEMORY | NOT_TSAN),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
