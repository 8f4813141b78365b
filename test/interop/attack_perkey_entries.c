/*
 * attack_perkey_entries.c - the gate's table of a module for tests only, in
 * which the comparison of two keys is a bug: at work for the first key, it
 * reads the second one.
 */
#include "inside.h"

static int64_t attack_match_stub(void *frame);

/* Where the table has key_match_stub, it gets this. */
#define key_match_stub attack_match_stub
#include "entries.c"

static int64_t attack_match_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *a = handle_pin(f->handle, OBJECT_KEY, 0);
    struct object *b = handle_pin(f->handle2, OBJECT_KEY, 0);
    int64_t ok = 0;

    if (a != NULL && b != NULL && keygroup_open(f, a)) {
        (void)*(volatile unsigned char *)a->data;
        (void)*(volatile unsigned char *)b->data;
        keygroup_close(a);
        ok = 1;
    }
    handle_unpin(b);
    handle_unpin(a);
    return ok;
}
