/*
 * handle.c - the only names that the outside has for objects inside.
 *
 * A handle is the number of a table row and the row's generation. Everything
 * that arrives from outside as a handle is looked up here: a forged or stale
 * one, or one of another kind, finds nothing. A row's generation changes each
 * time that it is given back; a row whose generation would start over is not
 * given back.
 *
 * Every operation pins and unpins, in every thread, so that takes no lock: all
 * that decides is one word in the row, changed by compare-and-swap, and rows
 * never move. Whoever changes the word to "ended, nobody uses it" owns the row
 * from then on, since nobody can pin it any more. The lock is for the list of
 * free rows.
 */
#include "inside.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define ROWS_STEP 256
#define ROWS_MAX (1U << 22)

/* A row's word: generation, live, kind, users. */
#define WORD_GENERATION 32
#define WORD_LIVE (1ULL << 31)
#define WORD_KIND 28
#define WORD_USERS ((1ULL << WORD_KIND) - 1)
#define WORD_EXCLUSIVE WORD_USERS /* one, who allows no other */

/* A cache line, so that threads on different rows do not meet. */
struct row {
    struct object object; /* first: an object is its row */
    _Atomic uint64_t word;
    uint32_t index;
    uint32_t next_free;
};

_Static_assert(sizeof(struct row) == 64, "a cache line");
_Static_assert(OBJECT_CIPHER < 8, "fits the word");

struct table {
    /* What every look at a handle reads, in no line with what each new object
     * writes. */
    _Atomic uint32_t rows;
    _Atomic uint32_t first_late;             /* row + 1; handle_free_late */
    struct row *block[ROWS_MAX / ROWS_STEP]; /* set before |rows| counts it */
    pthread_mutex_t lock __attribute__((aligned(64)));
    uint32_t first_free; /* row + 1 */
};

static struct table table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct row *row_at(uint32_t index)
{
    return &table.block[index / ROWS_STEP][index % ROWS_STEP];
}

/* The word of a live row of |kind|, but for its users. */
static uint64_t word_of(uint32_t generation, enum object_kind kind)
{
    return (uint64_t)generation << WORD_GENERATION | WORD_LIVE |
           (uint64_t)kind << WORD_KIND;
}

static void push_free(struct row *row)
{
    row->next_free = table.first_free;
    table.first_free = row->index + 1;
}

/* Adds a block of rows; the lock is held. */
static int grow(void)
{
    uint32_t rows = atomic_load_explicit(&table.rows, memory_order_relaxed);
    struct row *block;

    if (rows >= ROWS_MAX) {
        return 0;
    }
    block = mpk_heap_alloc(ROWS_STEP * sizeof(*block));
    if (block == NULL) {
        return 0;
    }
    table.block[rows / ROWS_STEP] = block;
    for (uint32_t i = 0; i < ROWS_STEP; i++) {
        block[i].index = rows + i;
        atomic_store_explicit(&block[i].word, 1ULL << WORD_GENERATION,
                              memory_order_relaxed);
        push_free(&block[i]);
    }
    atomic_store_explicit(&table.rows, rows + ROWS_STEP, memory_order_release);
    return 1;
}

static struct row *take_free(void)
{
    struct row *row = NULL;

    pthread_mutex_lock(&table.lock);
    if (table.first_free != 0 || grow()) {
        row = row_at(table.first_free - 1);
        table.first_free = row->next_free;
    }
    pthread_mutex_unlock(&table.lock);
    return row;
}

struct object *handle_new(enum object_kind kind, uint64_t *handle)
{
    struct row *row = take_free();
    uint32_t generation;

    if (row == NULL) {
        return NULL;
    }
    generation = (uint32_t)(atomic_load(&row->word) >> WORD_GENERATION);
    row->object.kind = kind;
    *handle = (uint64_t)generation << 32 | (row->index + 1);
    atomic_store_explicit(&row->word,
                          word_of(generation, kind) | WORD_EXCLUSIVE,
                          memory_order_release);
    return &row->object;
}

/* The row that |handle| names, live or not, or NULL. */
static struct row *row_of(uint64_t handle)
{
    uint32_t index = (uint32_t)handle - 1;

    return (uint32_t)handle != 0 &&
                   index <
                       atomic_load_explicit(&table.rows, memory_order_acquire)
               ? row_at(index)
               : NULL;
}

struct object *handle_pin(uint64_t handle, enum object_kind kind, int exclusive)
{
    struct row *row = row_of(handle);
    uint64_t due = word_of((uint32_t)(handle >> 32), kind), word, users;

    if (row == NULL) {
        return NULL;
    }
    /* Alone: nobody may have it, so the whole word is known. */
    if (exclusive) {
        word = due;
        return atomic_compare_exchange_strong_explicit(
                   &row->word, &word, due | WORD_EXCLUSIVE,
                   memory_order_acquire, memory_order_relaxed)
                   ? &row->object
                   : NULL;
    }
    word = atomic_load_explicit(&row->word, memory_order_relaxed);
    do {
        users = word & WORD_USERS;
        /* The last shared user that fits would read as an exclusive one. */
        if ((word & ~WORD_USERS) != due || users >= WORD_EXCLUSIVE - 1) {
            return NULL;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &row->word, &word, due | (users + 1), memory_order_acquire,
        memory_order_relaxed));
    return &row->object;
}

/* Empties a row that has ended and that nobody uses, and gives it back; 0 if it
 * cannot be emptied now. */
static int empty(struct row *row)
{
    uint32_t generation =
        (uint32_t)(atomic_load_explicit(&row->word, memory_order_acquire) >>
                   WORD_GENERATION);

    if (!object_release(&row->object)) {
        return 0;
    }
    memset(&row->object, 0, sizeof(row->object));
    /* The highest generation is the last: a handle to it can exist for ever. */
    if (generation != UINT32_MAX) {
        atomic_store_explicit(&row->word,
                              (uint64_t)(generation + 1) << WORD_GENERATION,
                              memory_order_relaxed);
        pthread_mutex_lock(&table.lock);
        push_free(row);
        pthread_mutex_unlock(&table.lock);
    }
    return 1;
}

static void put_off(struct row *row)
{
    pthread_mutex_lock(&table.lock);
    row->next_free = atomic_load(&table.first_late);
    atomic_store(&table.first_late, row->index + 1);
    pthread_mutex_unlock(&table.lock);
}

static void retire(struct row *row)
{
    if (!empty(row)) {
        put_off(row);
    }
}

/* The last one that was put off, or NULL. */
static struct row *take_late(void)
{
    struct row *row = NULL;

    pthread_mutex_lock(&table.lock);
    if (atomic_load(&table.first_late) != 0) {
        row = row_at(atomic_load(&table.first_late) - 1);
        atomic_store(&table.first_late, row->next_free);
    }
    pthread_mutex_unlock(&table.lock);
    return row;
}

void handle_free_late(void)
{
    struct row *row;

    while (atomic_load_explicit(&table.first_late, memory_order_relaxed) != 0 &&
           (row = take_late()) != NULL) {
        if (!empty(row)) {
            put_off(row);
            return;
        }
    }
}

int handle_hold(struct object *o)
{
    struct row *row = (struct row *)o;
    uint64_t word = atomic_load_explicit(&row->word, memory_order_relaxed);

    do {
        if ((word & WORD_USERS) == 0 || (word & WORD_USERS) == WORD_EXCLUSIVE) {
            mpk_fatal("an object inside is to be held that nobody has");
        }
        if ((word & WORD_USERS) >= WORD_EXCLUSIVE - 1) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak_explicit(&row->word, &word, word + 1,
                                                    memory_order_relaxed,
                                                    memory_order_relaxed));
    return 1;
}

static int is_over(uint64_t word)
{
    return !(word & WORD_LIVE) && (word & WORD_USERS) == 0;
}

void handle_unpin(struct object *o)
{
    struct row *row = (struct row *)o;
    uint64_t word, next;

    if (o == NULL) {
        return;
    }
    word = atomic_load_explicit(&row->word, memory_order_relaxed);
    do {
        if ((word & WORD_USERS) == 0) {
            mpk_fatal("an object inside is given back that nobody has");
        }
        next = (word & WORD_USERS) == WORD_EXCLUSIVE ? word & ~WORD_USERS
                                                     : word - 1;
    } while (!atomic_compare_exchange_weak_explicit(
        &row->word, &word, next, memory_order_acq_rel, memory_order_relaxed));
    if (is_over(next)) {
        retire(row);
    }
}

void handle_free(uint64_t handle, enum object_kind kind)
{
    struct row *row = row_of(handle);
    uint64_t due = word_of((uint32_t)(handle >> 32), kind), word;

    if (row == NULL) {
        return;
    }
    word = atomic_load_explicit(&row->word, memory_order_relaxed);
    do {
        if ((word & ~WORD_USERS) != due) {
            return;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &row->word, &word, word & ~WORD_LIVE, memory_order_acq_rel,
        memory_order_relaxed));
    if (is_over(word & ~WORD_LIVE)) {
        retire(row);
    }
}

void handle_free_ended(const struct mpkprov_frame *f, enum object_kind kind)
{
    for (size_t i = 0; i < MPKPROV_ENDED; i++) {
        if (f->ended[i] != 0) {
            handle_free(f->ended[i], kind);
        }
    }
}

int handle_made(struct object *o, uint64_t *handle, int ok)
{
    ok = ok && o != NULL && o->data != NULL;
    if (o != NULL && !ok) {
        handle_free(*handle, o->kind);
    }
    handle_unpin(o);
    if (!ok) {
        *handle = 0;
    }
    return ok;
}
