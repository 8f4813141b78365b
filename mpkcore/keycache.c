/*
 * keycache.c - protection keys as a cache over page groups. Inside.
 *
 * mpk_begin and mpk_end of a group that has a key do not come here. What they
 * leave is a pin: a count, for each thread and key, that says how often the
 * thread has the key open. A key is taken from a group in three steps: the
 * group's |hit| says -1, so that nobody new begins without asking here; a
 * barrier on every running thread; and a look at the pins. mpk_begin sets its
 * pin and then looks at |hit| again, so one of the two sees the other.
 *
 * Waiting, and why it ends: docs/design/vkeys.md.
 */
#include "vkey.h"

#include <errno.h>
#include <sys/mman.h>

static struct vk_pin *pin_of(const struct vk_key *k, uint32_t thread)
{
    return &vk_ro.table->pin[k->pkey][thread];
}

static int pinned_by(const struct vk_key *k, uint32_t thread)
{
    return atomic_load(&pin_of(k, thread)->count) != 0;
}

static int pinned(const struct vk_key *k)
{
    uint32_t threads = vk_state()->threads;

    for (uint32_t t = 0; t < threads; t++) {
        if (pinned_by(k, t)) {
            return 1;
        }
    }
    return 0;
}

/* How many keys |thread| has open; the spare ones only, or all. */
static uint32_t held_by(uint32_t thread, int spare_only)
{
    struct vk_state *vk = vk_state();
    uint32_t n = 0;

    for (uint32_t i = 0; i < vk->n_keys; i++) {
        n +=
            (!spare_only || vk->key[i].spare) && pinned_by(&vk->key[i], thread);
    }
    return n;
}

static struct vk_row *row_of(const struct vk_key *k)
{
    return k->row != VK_NONE ? &vk_ro.table->row[k->row] : NULL;
}

static struct vk_key *key_of(const struct vk_row *row)
{
    struct vk_state *vk = vk_state();
    int pkey = atomic_load(&row->key);

    for (uint32_t i = 0; pkey >= 0 && i < vk->n_keys; i++) {
        if (vk->key[i].pkey == pkey) {
            return &vk->key[i];
        }
    }
    return NULL;
}

/* Whoever wants to begin may, without asking; or must ask. */
static void publish(struct vk_key *k)
{
    struct vk_row *row = row_of(k);

    if (row != NULL) {
        atomic_store(&row->hit, k->spare || k->drains ? -1 : k->pkey);
    }
}

/*
 * Makes sure that nobody has |k| open or begins with it. Returns 0 if somebody
 * has: then all is as it was. |own| is 1 when the caller is certainly one of
 * the threads that are counted, 0 when it may be another: mpk_mprotect asks
 * nobody to have begun a group.
 */
static int retire(struct vk_key *k, uint32_t own)
{
    struct vk_state *vk = vk_state();
    struct vk_row *row = row_of(k);

    if (pinned(k)) {
        return 0;
    }
    VK_RACE();
    if (row != NULL && atomic_load(&row->hit) >= 0) {
        atomic_store(&row->hit, -1);
        if (vk->n_threads > own) {
            map_barrier();
        }
        if (pinned(k)) {
            publish(k);
            return 0;
        }
    }
    return 1;
}

/* Takes the pages of a retired key out of its reach. */
static int unload(struct vk_key *k)
{
    struct vk_row *row = row_of(k);
    struct map_rights loaded = {PROT_NONE, k->pkey};
    const struct map_rights closed = vk_closed();
    int err;

    k->drains = 0;
    if (row == NULL) {
        return 0;
    }
    loaded.prot = row->prot;
    err = map_group_change(row->base, row->len, &closed, &loaded);
    if (err != 0) {
        publish(k);
        return err;
    }
    atomic_store(&row->key, -1);
    k->row = VK_NONE;
    return 0;
}

/* The group is going to be somewhere else: nobody has to make room for it. */
static void cancel_drains(uint64_t vkey)
{
    struct vk_state *vk = vk_state();

    for (uint32_t i = 0; i < vk->n_keys; i++) {
        if (vk->key[i].drains && vk->key[i].want == vkey) {
            vk->key[i].drains = 0;
            publish(&vk->key[i]);
        }
    }
}

/* Gives the retired key |k| to |row|. */
static int load(struct vk_key *k, struct vk_row *row)
{
    struct vk_state *vk = vk_state();
    struct map_rights loaded = {row->prot, k->pkey};
    const struct map_rights closed = vk_closed();
    int evicts = k->row != VK_NONE;
    int err = unload(k);

    if (err == 0) {
        err = map_group_change(row->base, row->len, &loaded, &closed);
    }
    if (err != 0) {
        return err;
    }
    vk->loads++;
    vk->evictions += (uint64_t)evicts;
    k->row = vk_row_index(row);
    k->last = ++vk->clock;
    atomic_store(&row->key, k->pkey);
    cancel_drains(atomic_load(&row->vkey));
    publish(k);
    return 0;
}

/* ---- which key ----------------------------------------------------------- */

static void share_out(struct vk_state *vk)
{
    uint32_t n_spare = vk_ro.nest - 1;

    if (n_spare >= vk->n_keys) {
        n_spare = vk->n_keys > 0 ? vk->n_keys - 1 : 0;
    }
    while (vk->n_spare < n_spare) {
        /* A new one, which nobody uses yet. */
        vk->key[vk->n_keys - 1].spare = 1;
        vk->n_spare++;
    }
}

/* One more key of the process, if there is one for us. */
static struct vk_key *claim(void)
{
    struct vk_state *vk = vk_state();
    struct vk_key *k = &vk->key[vk->n_keys];
    int pkey;

    if (vk->n_keys >= vk_ro.max_keys) {
        return NULL;
    }
    pkey = map_key_claim();
    if (pkey < 0) {
        return NULL;
    }
    if (map_pin_window(pkey) != 0) {
        map_key_free(pkey);
        return NULL;
    }
    *k = (struct vk_key){.pkey = pkey, .row = VK_NONE};
    vk->n_keys++;
    return k;
}

/* The keys that nested begins live on must be there from the start. */
void vk_cache_init(void)
{
    struct vk_state *vk = vk_state();

    vk->nester = VK_NONE;
    for (uint32_t i = 0; i < vk_ro.nest && claim() != NULL; i++) {
        if (i > 0) {
            share_out(vk);
        }
    }
}

/* Notes which keys were used since the last time; that is as exact as one can
 * be without a write at each mpk_begin. */
static void look_around(struct vk_state *vk)
{
    vk->clock++;
    for (uint32_t i = 0; i < vk->n_keys; i++) {
        struct vk_key *k = &vk->key[i];
        uint32_t uses = 0;

        for (uint32_t t = 0; t < vk->threads; t++) {
            uses +=
                atomic_load_explicit(&pin_of(k, t)->uses, memory_order_relaxed);
        }
        if (uses != k->seen) {
            k->seen = uses;
            k->last = vk->clock;
        }
    }
}

/* Of the keys that are not held back, the one that was not used for longest;
 * those in |tried| do not count. */
static struct vk_key *oldest(uint32_t tried)
{
    struct vk_state *vk = vk_state();
    struct vk_key *best = NULL;

    for (uint32_t i = 0; i < vk->n_keys; i++) {
        struct vk_key *k = &vk->key[i];

        if (k->spare || k->drains || (tried & (1U << i))) {
            continue;
        }
        if (best == NULL || k->row == VK_NONE ||
            (best->row != VK_NONE && k->last < best->last)) {
            best = k;
        }
    }
    return best;
}

/* A key that can be had at once, retired; or NULL. */
static struct vk_key *take(void)
{
    struct vk_state *vk = vk_state();
    uint32_t tried = 0;
    struct vk_key *k = oldest(0);

    if (k != NULL && k->row == VK_NONE) {
        return k;
    }
    k = claim();
    if (k != NULL) {
        return k;
    }
    look_around(vk);
    while ((k = oldest(tried)) != NULL) {
        if (retire(k, 1)) {
            return k;
        }
        tried |= 1U << (k - vk->key);
    }
    return NULL;
}

static int nester_is_free(struct vk_state *vk)
{
    if (vk->nester != VK_NONE && held_by(vk->nester, 1) == 0) {
        vk->nester = VK_NONE;
    }
    return vk->nester == VK_NONE;
}

/* Holds |other| back in place of the spare key |k|: no page changes its key. */
static void swap_roles(struct vk_key *k, struct vk_key *other)
{
    k->spare = 0;
    other->spare = 1;
    publish(k);
    publish(other);
}

/* Keys that were drained for somebody, and now are. */
static void finish_drains(void)
{
    struct vk_state *vk = vk_state();

    for (uint32_t i = 0; i < vk->n_keys; i++) {
        struct vk_key *k = &vk->key[i];
        struct vk_row *row;

        if (!k->drains || pinned(k)) {
            continue;
        }
        row = vk_row_find(k->want);
        if (row != NULL && key_of(row) != NULL && key_of(row)->spare) {
            if (nester_is_free(vk)) {
                k->drains = 0;
                swap_roles(key_of(row), k);
            }
        } else if (row == NULL || atomic_load(&row->key) >= 0 ||
                   atomic_load(&row->global) != 0 || load(k, row) != 0) {
            k->drains = 0;
            publish(k);
        }
    }
}

/* Nobody new may open the oldest key, so that |row| has it in the end. */
static void drain_for(struct vk_row *row)
{
    struct vk_state *vk = vk_state();
    uint64_t vkey = atomic_load(&row->vkey);
    struct vk_key *k;

    for (uint32_t i = 0; i < vk->n_keys; i++) {
        if (vk->key[i].drains && vk->key[i].want == vkey) {
            return;
        }
    }
    k = oldest(0);
    if (k != NULL) {
        k->drains = 1;
        k->want = vkey;
        publish(k);
        if (vk->n_threads > 1) {
            map_barrier();
        }
    }
}

/* ---- begin --------------------------------------------------------------- */

/* The caller's rights to keys of groups are as they were outside. */
static int64_t pin(struct vk_key *k, uint32_t thread)
{
    struct vk_pin *p = pin_of(k, thread);

    p->before = p->before << 2 | (mpk_rights_get() >> (2 * k->pkey) & 3);
    atomic_fetch_add(&p->count, 1);
    atomic_fetch_add(&p->uses, 1);
    return 0;
}

/* The group has a key already. */
static int64_t join(struct vk_key *k, uint32_t thread, int nested)
{
    struct vk_state *vk = vk_state();
    struct vk_key *other;

    if (pinned_by(k, thread)) {
        return pin(k, thread);
    }
    if (k->spare) {
        if (!nester_is_free(vk) && vk->nester != thread) {
            return VK_WAIT;
        }
        if (nested) {
            vk->nester = thread;
        } else if ((other = take()) != NULL) {
            swap_roles(k, other);
        } else {
            return VK_WAIT;
        }
        return pin(k, thread);
    }
    return k->drains && !nested ? VK_WAIT : pin(k, thread);
}

/* A thread that has groups open must not wait for one that may wait for it:
 * one thread at a time may use the keys that are held back. */
static int64_t begin_nested(struct vk_row *row, uint32_t thread)
{
    struct vk_state *vk = vk_state();

    if (vk->n_spare == 0) {
        return -EDEADLK;
    }
    if (!nester_is_free(vk) && vk->nester != thread) {
        return VK_WAIT;
    }
    for (uint32_t i = 0; i < vk->n_keys; i++) {
        struct vk_key *k = &vk->key[i];
        int err;

        /* Pins of others are of begins that are about to be taken back. */
        if (!k->spare || pinned_by(k, thread)) {
            continue;
        }
        err = load(k, row);
        if (err == 0) {
            vk->nester = thread;
            return pin(k, thread);
        }
        return err;
    }
    return -EDEADLK;
}

static int64_t try_begin(struct vk_row *row, uint32_t thread, int nested)
{
    struct vk_key *k = key_of(row);
    int err;

    if (k != NULL) {
        return join(k, thread, nested);
    }
    k = take();
    if (k != NULL) {
        err = load(k, row);
        return err != 0 ? err : pin(k, thread);
    }
    return nested ? begin_nested(row, thread) : VK_WAIT;
}

int64_t vk_cache_begin(struct vk_row *row, uint32_t thread)
{
    struct vk_state *vk = vk_state();
    int nested = held_by(thread, 0) != 0;
    int64_t ret;

    finish_drains();
    ret = try_begin(row, thread, nested);
    if (ret != VK_WAIT) {
        return ret;
    }
    /* mpk_end looks for waiters after it has given up its pin. */
    vk->waits++;
    vk_ro.table->thread[thread].waiting = 1;
    atomic_fetch_add(&vk_ro.table->head.waiting, 1);
    map_barrier();
    vk_thread_reap(0);
    finish_drains();
    ret = try_begin(row, thread, nested);
    if (ret == VK_WAIT) {
        if (!nested && (key_of(row) == NULL || key_of(row)->spare)) {
            drain_for(row);
        }
        return VK_WAIT;
    }
    vk_ro.table->thread[thread].waiting = 0;
    atomic_fetch_sub(&vk_ro.table->head.waiting, 1);
    return ret;
}

int vk_cache_holds(struct vk_row *row, uint32_t thread)
{
    struct vk_key *k = key_of(row);

    return k != NULL && pinned_by(k, thread);
}

int vk_cache_pinned(uint32_t thread)
{
    return held_by(thread, 0) != 0;
}

int vk_cache_drop(struct vk_row *row)
{
    struct vk_key *k = key_of(row);

    if (k == NULL) {
        return 0;
    }
    return retire(k, 0) ? unload(k) : -EBUSY;
}

/* The thread is dead: whatever it had open is not. */
void vk_cache_forget(uint32_t thread)
{
    struct vk_state *vk = vk_state();

    for (uint32_t i = 0; i < vk->n_keys; i++) {
        struct vk_pin *p = pin_of(&vk->key[i], thread);

        p->before = 0;
        atomic_store(&p->count, 0);
    }
    if (vk->nester == thread) {
        vk->nester = VK_NONE;
    }
}
