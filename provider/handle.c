/*
 * handle.c - the only names that the outside has for objects inside.
 *
 * A handle is the number of a table row and the row's generation. Everything
 * that arrives from outside as a handle is looked up here: a forged or stale
 * one, or one of another kind, finds nothing. A row's generation changes each
 * time that it is given back.
 */
#include "inside.h"

#include <pthread.h>
#include <string.h>

#define ROWS_STEP 256
#define ROWS_MAX (1U << 22)

struct row {
    struct object object; /* first: an object is its row */
    uint32_t generation;
    int32_t users; /* -1: exclusively */
    uint32_t next_free;
    uint8_t live;
};

struct table {
    pthread_mutex_t lock;
    struct row **block; /* of ROWS_STEP rows each */
    uint32_t blocks;
    uint32_t rows;
    uint32_t first_free; /* row + 1 */
};

static struct table table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct row *row_at(uint32_t index)
{
    return &table.block[index / ROWS_STEP][index % ROWS_STEP];
}

/* Adds a block of rows. */
static int grow(void)
{
    struct row **block;

    if (table.rows >= ROWS_MAX) {
        return 0;
    }
    block = mpk_heap_realloc(table.block, (table.blocks + 1) * sizeof(*block));
    if (block == NULL) {
        return 0;
    }
    table.block = block;
    block[table.blocks] = mpk_heap_alloc(ROWS_STEP * sizeof(struct row));
    if (block[table.blocks] == NULL) {
        return 0;
    }
    table.blocks++;
    for (uint32_t i = 0; i < ROWS_STEP; i++) {
        uint32_t index = table.rows++;

        row_at(index)->generation = 1;
        row_at(index)->next_free = table.first_free;
        table.first_free = index + 1;
    }
    return 1;
}

struct object *handle_new(enum object_kind kind, uint64_t *handle)
{
    struct row *row = NULL;
    uint32_t index;

    pthread_mutex_lock(&table.lock);
    if (table.first_free != 0 || grow()) {
        index = table.first_free - 1;
        row = row_at(index);
        table.first_free = row->next_free;
        memset(&row->object, 0, sizeof(row->object));
        row->object.kind = kind;
        row->users = -1;
        row->live = 1;
        *handle = (uint64_t)row->generation << 32 | (index + 1);
    }
    pthread_mutex_unlock(&table.lock);
    return row != NULL ? &row->object : NULL;
}

/* The live row of |handle|, or NULL; the lock is held. */
static struct row *find(uint64_t handle, enum object_kind kind)
{
    uint32_t index = (uint32_t)handle - 1;
    struct row *row;

    if ((uint32_t)handle == 0 || index >= table.rows) {
        return NULL;
    }
    row = row_at(index);
    if (!row->live || row->generation != (uint32_t)(handle >> 32) ||
        row->object.kind != kind) {
        return NULL;
    }
    return row;
}

struct object *handle_pin(uint64_t handle, enum object_kind kind, int exclusive)
{
    struct row *row;

    pthread_mutex_lock(&table.lock);
    row = find(handle, kind);
    if (row != NULL && (row->users < 0 || (exclusive && row->users > 0))) {
        row = NULL;
    }
    if (row != NULL) {
        row->users = exclusive ? -1 : row->users + 1;
    }
    pthread_mutex_unlock(&table.lock);
    return row != NULL ? &row->object : NULL;
}

/* Takes the object out of a row that nobody uses and frees the row. */
static void retire(struct row *row, uint32_t index, struct object *out)
{
    *out = row->object;
    memset(&row->object, 0, sizeof(row->object));
    row->generation++;
    row->next_free = table.first_free;
    table.first_free = index + 1;
}

static uint32_t index_of(const struct row *row)
{
    for (uint32_t b = 0; b < table.blocks; b++) {
        if (row >= table.block[b] && row < table.block[b] + ROWS_STEP) {
            return b * ROWS_STEP + (uint32_t)(row - table.block[b]);
        }
    }
    mpk_fatal("an object inside is not in the handle table");
}

void handle_unpin(struct object *o)
{
    struct row *row = (struct row *)o;
    struct object gone = {0};

    if (o == NULL) {
        return;
    }
    pthread_mutex_lock(&table.lock);
    row->users = row->users < 0 ? 0 : row->users - 1;
    if (row->users == 0 && !row->live) {
        retire(row, index_of(row), &gone);
    }
    pthread_mutex_unlock(&table.lock);
    object_release(&gone);
}

void handle_free(uint64_t handle, enum object_kind kind)
{
    struct object gone = {0};
    struct row *row;

    pthread_mutex_lock(&table.lock);
    row = find(handle, kind);
    if (row != NULL) {
        row->live = 0;
        if (row->users == 0) {
            retire(row, (uint32_t)handle - 1, &gone);
        }
    }
    pthread_mutex_unlock(&table.lock);
    object_release(&gone);
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
