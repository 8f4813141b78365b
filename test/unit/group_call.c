#include "group_call.h"

#include "../../mpkcore/group.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

_Atomic int holding, go[3];

static int64_t make(struct frame *f, size_t len)
{
    uint64_t *p;

    CHECK(mpk_group_new(&f->group, len) == 0);
    CHECK(mpk_group_open(f->group) == 0);
    CHECK(mpk_heap_use(f->group) == 0);
    p = mpk_heap_alloc(sizeof(*p));
    CHECK(p != NULL && group_owns(p));
    CHECK(*p == 0);
    *p = f->value;
    f->p = p;
    mpk_group_close(f->group);
    CHECK(mpk_heap_use(f->group) == -EPERM);
    return 0;
}

static int64_t read_open(struct frame *f)
{
    int err = mpk_group_open(f->group);

    if (err != 0) {
        return err;
    }
    CHECK(mpk_group_open(f->group) == -EBUSY);
    f->value = *f->p;
    mpk_group_close(f->group);
    return 0;
}

static int64_t read_shut(struct frame *f)
{
    CHECK(f->other == 0 || mpk_group_open(f->other) == 0);
    f->value = *f->p;
    return 0;
}

/* Whose group stays open until go[value - 1]. */
int64_t hold(struct frame *f, int keeps)
{
    int err = mpk_group_open(f->group);

    if (err != 0) {
        return err;
    }
    if (keeps) {
        mpk_heap_free(mpk_group_alloc(64));
    }
    atomic_fetch_add(&holding, 1);
    while (!atomic_load(&go[f->value - 1])) {
        usleep(1000);
    }
    mpk_group_close(f->group);
    atomic_fetch_sub(&holding, 1);
    return 0;
}

static int64_t stub(void *frame)
{
    struct frame *f = frame;

    switch (f->what) {
    case MAKE:
        return make(f, 8192);
    case LARGE:
        return make(f, LARGE_LEN);
    case READ_OPEN:
        return read_open(f);
    case READ_SHUT:
        return read_shut(f);
    case FREE:
        return mpk_group_free(f->group);
    case HOLD:
        return hold(f, 0);
    default:
        return own_stub(f);
    }
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES, {stub, sizeof(struct frame), MPK_KIND_STACK}};

uint32_t group_keys = 4;

void start(const struct setup *s)
{
    struct mpk_config config = {.backend = s->backend,
                                .memory = s->memory,
                                .entries = entries,
                                .n_entries = COUNT_OF(entries),
                                .group_keys = group_keys};
    int err = mpk_core_init(&config);

    if (err != 0) {
        fprintf(stderr, "mpk_core_init: %d\n", err);
        _exit(1);
    }
}

int64_t call(uint64_t what, struct frame *f)
{
    f->what = what;
    return mpk_call(MPK_ENTRY_FIRST, f);
}

struct frame made(uint64_t value)
{
    struct frame f = {.value = value};

    CHECK(call(MAKE, &f) == 0);
    return f;
}

void *holds(void *frame)
{
    CHECK(call(HOLD, frame) == 0);
    return NULL;
}
