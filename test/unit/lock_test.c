/*
 * Locks of the inside, while another thread writes to the words that libc's
 * locks go by. This program is linked with the --wrap options that a module
 * with a library inside uses.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"
#include "../../mpkcore/lock.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4

enum { OP_SELF = MPK_ENTRY_FIRST };

/* libc's own, not a copy that the program has: "there is one thread". */
static void say_single_threaded(void)
{
    char *word = dlsym(RTLD_DEFAULT, "__libc_single_threaded");

    CHECK(word != NULL);
    if (word != NULL) {
        *(volatile char *)word = 1;
    }
}

/* Where libc keeps the number of this thread, in its control block. */
static _Atomic pid_t *number_of_thread(void)
{
    pid_t *block = (pid_t *)pthread_self();

    for (size_t i = 16; i < 512; i++) {
        if (block[i] == gettid()) {
            return (_Atomic pid_t *)&block[i];
        }
    }
    return NULL;
}

/* ---- one at a time ------------------------------------------------------ */

static struct lock own;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static volatile unsigned long counted;
static unsigned turns;

static void *count_by_own(void *arg)
{
    for (unsigned i = 0; i < turns; i++) {
        lock_take(&own);
        counted++;
        lock_give(&own);
    }
    return arg;
}

static void *count_by_mutex(void *arg)
{
    for (unsigned i = 0; i < turns; i++) {
        pthread_mutex_lock(&mutex);
        counted++;
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

static void *count_by_rwlock(void *arg)
{
    for (unsigned i = 0; i < turns; i++) {
        unsigned long seen;

        pthread_rwlock_rdlock(&rw);
        seen = counted;
        CHECK(counted == seen);
        pthread_rwlock_unlock(&rw);
        pthread_rwlock_wrlock(&rw);
        counted++;
        pthread_rwlock_unlock(&rw);
    }
    return arg;
}

static void run_all(void *(*body)(void *))
{
    pthread_t thread[THREADS];

    for (int i = 0; i < THREADS; i++) {
        pthread_create(&thread[i], NULL, body, NULL);
    }
    say_single_threaded();
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
}

/* Who is let in too early is seen by the count; who is forgotten, by the time
 * that a child may take. */
static void count_by(void *(*body)(void *))
{
    turns = scaled(200000);
    counted = 0;
    run_all(body);
    CHECK(counted == (unsigned long)THREADS * turns);
}

static void test_a_lock_is_one_threads(const struct setup *s)
{
    (void)s;
    count_by(count_by_own);
}

static void test_a_mutex_is_one_threads(const struct setup *s)
{
    (void)s;
    count_by(count_by_mutex);
    CHECK(pthread_mutex_trylock(&mutex) == 0);
    CHECK(pthread_mutex_trylock(&mutex) != 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
}

static void test_a_writer_is_alone(const struct setup *s)
{
    (void)s;
    count_by(count_by_rwlock);
}

static void *read_it(void *arg)
{
    CHECK(pthread_rwlock_rdlock(&rw) == 0);
    CHECK(pthread_rwlock_unlock(&rw) == 0);
    return arg;
}

static void test_readers_are_together(const struct setup *s)
{
    pthread_t thread;

    (void)s;
    CHECK(pthread_rwlock_rdlock(&rw) == 0);
    pthread_create(&thread, NULL, read_it, NULL);
    pthread_join(thread, NULL);
    CHECK(pthread_rwlock_unlock(&rw) == 0);
}

#define WRITERS 8

static _Atomic long sleeps;

static void *write_slowly(void *arg)
{
    long before = thread_sleeps();

    CHECK(pthread_rwlock_wrlock(&rw) == 0);
    atomic_fetch_add(&sleeps, thread_sleeps() - before);
    usleep(5000);
    CHECK(pthread_rwlock_unlock(&rw) == 0);
    return arg;
}

/* Were all of them woken each time, they would sleep 36 times; if they spun,
 * never. */
static void test_one_writer_is_woken(const struct setup *s)
{
    pthread_t thread[WRITERS];

    (void)s;
    CHECK(pthread_rwlock_wrlock(&rw) == 0);
    for (int i = 0; i < WRITERS; i++) {
        pthread_create(&thread[i], NULL, write_slowly, NULL);
    }
    usleep(100000);
    CHECK(pthread_rwlock_unlock(&rw) == 0);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
    }
    CHECK(atomic_load(&sleeps) >= 1 && atomic_load(&sleeps) <= 2 * WRITERS);
}

/*
 * Whoever has waited for the lock may be its last user, and free it: the other
 * one, which has just given it back, must not touch it any more.
 */
static struct {
    pthread_rwlock_t lock;
    _Atomic unsigned round, taken; /* in one cache line, which goes back and
                                    * forth between the two */
} shared __attribute__((aligned(64)));

static void spin(int n)
{
    for (volatile int i = 0; i < n; i++) {
    }
}

static void *give_back(void *arg)
{
    unsigned round;

    for (unsigned i = 1;; i++) {
        while ((round = atomic_load(&shared.round)) < i) {
        }
        if (round == UINT_MAX) {
            return arg;
        }
        pthread_rwlock_wrlock(&shared.lock);
        atomic_store(&shared.taken, i);
        spin(20); /* until the other one waits */
        pthread_rwlock_unlock(&shared.lock);
    }
}

static int is_all(volatile void *p, size_t len, char byte)
{
    volatile char *c = p;

    while (len > 0 && c[len - 1] == byte) {
        len--;
    }
    return len == 0;
}

static void test_what_is_given_back_is_not_touched(const struct setup *s)
{
    pthread_t thread;
    unsigned touched = 0;

    (void)s;
    pthread_create(&thread, NULL, give_back, NULL);
    for (unsigned i = 1; i == 1 || time_is_left(); i++) {
        atomic_store(&shared.round, i);
        while (atomic_load(&shared.taken) != i) {
        }
        pthread_rwlock_wrlock(&shared.lock);
        memset(&shared.lock, 0x5a, sizeof(shared.lock));
        spin(60);
        touched += !is_all(&shared.lock, sizeof(shared.lock), 0x5a);
        memset(&shared.lock, 0, sizeof(shared.lock));
    }
    atomic_store(&shared.round, UINT_MAX);
    pthread_join(thread, NULL);
    CHECK(touched == 0);
}

/* ---- as another thread -------------------------------------------------- */

static _Atomic int entered;

static void *write_as(void *arg)
{
    _Atomic pid_t *number = number_of_thread();
    pid_t mine = gettid();

    CHECK(number != NULL);
    if (number != NULL) {
        atomic_store(number, *(pid_t *)arg);
        CHECK(pthread_rwlock_wrlock(&rw) == 0);
        atomic_store(&entered, 1);
        atomic_store(number, mine);
        CHECK(pthread_rwlock_unlock(&rw) == 0);
    }
    return NULL;
}

/* libc's refuses the second one, which has to wait. */
static void
test_a_writer_with_the_number_of_another_waits(const struct setup *s)
{
    pid_t me = gettid();
    pthread_t thread;

    (void)s;
    CHECK(pthread_rwlock_wrlock(&rw) == 0);
    pthread_create(&thread, NULL, write_as, &me);
    usleep(100000);
    CHECK(!atomic_load(&entered));
    CHECK(pthread_rwlock_unlock(&rw) == 0);
    pthread_join(thread, NULL);
    CHECK(atomic_load(&entered));
}

static int64_t self_stub(void *frame)
{
    (void)frame;
    CHECK(pthread_self() == (pthread_t)(uintptr_t)mpk_slot_self());
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {self_stub, 0, MPK_KIND_STACK},
};

static void test_a_thread_inside_is_its_slot(const struct setup *s)
{
    pthread_t outside = pthread_self();

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_SELF, NULL) == 0);
    CHECK(pthread_self() == outside);
}

/* ---- once, and waiting -------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic int begun, done;

static void slowly(void)
{
    atomic_fetch_add(&begun, 1);
    usleep(50000);
    atomic_fetch_add(&done, 1);
}

static void *do_once(void *arg)
{
    CHECK(pthread_once(&once, slowly) == 0);
    CHECK(atomic_load(&done) == 1);
    return arg;
}

static void test_once_is_once(const struct setup *s)
{
    (void)s;
    run_all(do_once);
    CHECK(atomic_load(&begun) == 1);
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int whose;

static void *pass_on(void *arg)
{
    int me = *(int *)arg;

    pthread_mutex_lock(&mutex);
    for (int i = 0; i < 1000; i++) {
        while (whose != me) {
            pthread_cond_wait(&cond, &mutex);
        }
        whose = !me;
        pthread_cond_broadcast(&cond);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void test_who_waits_is_woken(const struct setup *s)
{
    int number[2] = {0, 1};
    pthread_t thread[2];

    (void)s;
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread[i], NULL, pass_on, &number[i]);
    }
    say_single_threaded();
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
    }
    CHECK(whose == 0);
}

int main(void)
{
    /* Not under ThreadSanitizer, whose run-time has libc's word as it is. */
    static const struct core_test tests[] = {
        TEST(test_a_lock_is_one_threads, ONE_MEMORY),
        TEST(test_a_mutex_is_one_threads, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_a_writer_is_alone, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_readers_are_together, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_one_writer_is_woken, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_what_is_given_back_is_not_touched,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_a_writer_with_the_number_of_another_waits,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_a_thread_inside_is_its_slot, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_once_is_once, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_who_waits_is_woken, ONE_MEMORY | NOT_SANITIZED),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
