/*
 * vkey_begin.c - mpk_begin and mpk_end. Outside.
 *
 * For a group that has a protection key: find it in the read-only table, open
 * it, set a pin, and look again whether it is still the group's. No system
 * call. See keycache.c for the other half.
 */
#include "vkey.h"
#include "x86_64/cpu.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include <time.h>

/* Not in a hit, which saves no register and has no frame then. */
#define ASIDE __attribute__((noinline))
#define USUALLY(x) __builtin_expect((x) != 0, 1)

static __thread struct vk_self vk_self
    __attribute__((tls_model("initial-exec")));

/*
 * The compiler finds it by the word at fs:0, which anybody can write: with
 * another thread's address there, a thread would count as that one, and its
 * pins would go when that one ends. So the register is read, where the kernel
 * allows the instruction; a system call at each mpk_begin would cost more than
 * all the rest of it.
 */
static inline struct vk_self *my_self(void)
{
    return USUALLY(vk_ro.reads_fs)
               ? (struct vk_self *)(cpu_fs_base() + vk_ro.self_at)
               : &vk_self;
}

/* Its members by the register too, which does not wait for the value. Each is
 * read and written once. */
#define SELF_GET(member)                                                       \
    CPU_FS_GET(__typeof__(vk_self.member), vk_ro.self_at,                      \
               offsetof(struct vk_self, member))
#define SELF_SET(member, value)                                                \
    CPU_FS_SET(__typeof__(vk_self.member), vk_ro.self_at,                      \
               offsetof(struct vk_self, member), value)
#define SELF_GET_AT(member, i)                                                 \
    CPU_FS_GET(__typeof__(*vk_self.member),                                    \
               vk_ro.self_at + (i) * sizeof(*vk_self.member),                  \
               offsetof(struct vk_self, member))
#define SELF_SET_AT(member, i, value)                                          \
    CPU_FS_SET(__typeof__(*vk_self.member),                                    \
               vk_ro.self_at + (i) * sizeof(*vk_self.member),                  \
               offsetof(struct vk_self, member), value)

struct vk_self *vk_my_self(void)
{
    return my_self();
}

int vk_settle_self(void)
{
    uintptr_t fs;

    vk_ro.reads_fs = cpu_may_read_fs();
    fs = vk_fs_base();
    vk_ro.self_at = (uintptr_t)&vk_self - fs;
    return fs != 0 && vk_tid() != 0 ? 0 : -EPERM;
}

void vk_wake(void)
{
    if (atomic_load_explicit(&vk_ro.view->head.waiting, memory_order_relaxed) !=
        0) {
        atomic_fetch_add(&mpk_out.vk_seq, 1);
        word_wake(&mpk_out.vk_seq, INT_MAX);
    }
}

/* Not for ever: a thread that dies wakes nobody. */
static void wait_for_change(uint32_t seen)
{
    static const struct timespec limit = {0, 20000000};

    word_wait_until(&mpk_out.vk_seq, seen, &limit);
}

static const struct vk_row *find(mpk_vkey_t vkey)
{
    return &vk_ro.view->row[vkey & (VK_ROWS - 1)];
}

static int is_of(const struct vk_row *row, mpk_vkey_t vkey)
{
    return atomic_load_explicit(&row->vkey, memory_order_relaxed) == vkey &&
           vkey != 0;
}

static uint32_t thread_of(uint32_t idx)
{
    return (idx - 1) & (VK_THREADS - 1);
}

static int is_thread(const struct vk_self *self, uint32_t thread)
{
    return vk_ro.view->thread[thread].tls == (uint64_t)(uintptr_t)self;
}

/*
 * Where this thread is in the table. A wrong number would change another
 * thread's pins. It is read once, and is in a register from then on.
 */
static uint32_t check_self(const struct vk_self *self)
{
    uint32_t thread = thread_of(*(const volatile uint32_t *)&self->idx);

    if (!USUALLY(is_thread(self, thread))) {
        mpk_fatal("a thread's number among the users of virtual keys is wrong");
    }
    return thread;
}

static struct vk_pin *pin_of(uint32_t thread, int key)
{
    return &vk_ro.window[(size_t)key * VK_THREADS + thread];
}

static uint32_t rights(int key, uint32_t r)
{
    return r << (2 * key);
}

/* The key of a group that the calling thread has open. */
static int key_of_open(const struct vk_row *row, mpk_vkey_t vkey)
{
    int key = atomic_load_explicit(&row->key, memory_order_relaxed);

    if (key < 0 || !is_of(row, vkey)) {
        mpk_fatal("an open group has lost its protection key");
    }
    return key;
}

static ASIDE int list_is_wrong(void)
{
    mpk_fatal("a thread's list of open groups is wrong");
}

/* How many groups the thread has open. It is read once, and everybody can write
 * it: as an index it could lead anywhere. */
static uint32_t depth_of(const struct vk_self *self)
{
    uint32_t depth = *(const volatile uint32_t *)&self->depth;

    if (depth > MPK_NEST_MAX) {
        list_is_wrong();
    }
    return depth;
}

/* A signal handler may come between any two of these, and write above what is
 * counted. */
static void push(struct vk_self *self, mpk_vkey_t vkey, int global)
{
    uint32_t at = depth_of(self);

    if (at == MPK_NEST_MAX) {
        list_is_wrong();
    }
    self->depth = at + 1;
    atomic_signal_fence(memory_order_seq_cst);
    self->open[at] = vkey;
    self->global[at] = (uint8_t)global;
}

/* The key on which the inside has set the calling thread's pin: as long as
 * there is one, the table says which. Was it asked for another group, there is
 * none. */
static int key_of_pinned(const struct vk_self *self, mpk_vkey_t vkey)
{
    int key = key_of_open(find(vkey), vkey);
    uint32_t thread = check_self(self);

    if (atomic_load_explicit(&vk_ro.view->pin[key][thread].count,
                             memory_order_relaxed) == 0) {
        mpk_fatal("mpk_begin: what was asked for was changed on its way");
    }
    return key;
}

/* The slow path: the inside finds a key, and sets the pin. */
static ASIDE int miss(struct vk_self *self, mpk_vkey_t vkey, int prot)
{
    struct vk_frame f = {.idx = self->idx, .vkey = vkey, .prot = prot};
    int64_t ret;

    for (;;) {
        uint32_t seen = atomic_load(&mpk_out.vk_seq);

        ret = vk_call(VK_BEGIN, &f);
        if (ret != VK_WAIT) {
            break;
        }
        wait_for_change(seen);
    }
    /* It may have been on the stack, where another thread can make it another
     * one: then pins would be looked for that are not this thread's. */
    self = my_self();
    if (ret == 0 && vk_ro.backend == MPK_BACKEND_MPK) {
        int key = key_of_pinned(self, vkey);

        mpk_rights_set(rights(key, VK_CLOSED), 0);
        if ((prot & PROT_WRITE) == 0) {
            mpk_rights_set(0, rights(key, VK_READ));
        }
    }
    if (ret == 0 || ret == VK_IS_GLOBAL) {
        push(self, vkey, ret == VK_IS_GLOBAL);
        return 0;
    }
    return (int)ret;
}

/* Somebody has taken the key meanwhile; the pin is as it was. */
static ASIDE int lose(mpk_vkey_t vkey, int key, uint32_t before, int prot)
{
    mpk_rights_set(rights(key, VK_CLOSED), rights(key, before));
    vk_wake();
    return miss(my_self(), vkey, prot);
}

/* The key is open for writing, and the thread had |before|. */
static int pin_opened(mpk_vkey_t vkey, const struct vk_row *row, int key,
                      struct vk_pin *pin, uint32_t before, int prot)
{
    uint32_t n = atomic_load_explicit(&pin->count, memory_order_relaxed);

    VK_RACE();
    pin->before = pin->before << 2 | before;
    atomic_store_explicit(
        &pin->uses, atomic_load_explicit(&pin->uses, memory_order_relaxed) + 1,
        memory_order_relaxed);
    atomic_store_explicit(&pin->count, n + 1, memory_order_relaxed);
    /* The other side executes a barrier for us: map_barrier. */
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&row->hit, memory_order_relaxed) != key ||
        !is_of(row, vkey)) {
        pin->before >>= 2;
        atomic_store_explicit(&pin->count, n, memory_order_release);
        return lose(vkey, key, before, prot);
    }
    if ((prot & PROT_WRITE) == 0) {
        mpk_rights_set(0, rights(key, VK_READ));
    }
    push(my_self(), vkey, 0);
    return 0;
}

static int open_and_pin(mpk_vkey_t vkey, const struct vk_row *row, int key,
                        struct vk_pin *pin, int prot)
{
    uint32_t old = mpk_rights_set(rights(key, VK_CLOSED), 0);

    return pin_opened(vkey, row, key, pin, old >> (2 * key) & 3, prot);
}

/* ---- where mpk_rights_pin goes on ---------------------------------------- */

int vk_pin_here(mpk_vkey_t vkey, const struct vk_row *row, int key,
                struct vk_pin *pin)
{
    return open_and_pin(vkey, row, key, pin, PROT_READ | PROT_WRITE);
}

int vk_pin_again(mpk_vkey_t vkey, const struct vk_row *row, int key,
                 struct vk_pin *pin)
{
    return pin_opened(vkey, row, key, pin, VK_CLOSED, PROT_READ | PROT_WRITE);
}

int vk_pin_lost(mpk_vkey_t vkey, const struct vk_row *row, int key,
                struct vk_pin *pin)
{
    (void)row;
    atomic_store_explicit(&pin->count, 0, memory_order_release);
    return lose(vkey, key, VK_CLOSED, PROT_READ | PROT_WRITE);
}

int vk_pinned(mpk_vkey_t vkey)
{
    uint32_t at = SELF_GET(depth);

    if (!USUALLY(at < MPK_NEST_MAX)) {
        return list_is_wrong();
    }
    SELF_SET(depth, at + 1);
    SELF_SET_AT(open, at, vkey);
    SELF_SET_AT(global, at, 0);
    return 0;
}

/* ---- begin --------------------------------------------------------------- */

static int not_ready(struct vk_self *self, int prot)
{
    if (vk_ro.view == NULL) {
        return -ENXIO;
    }
    if (prot != PROT_READ && prot != (PROT_READ | PROT_WRITE)) {
        return -EINVAL;
    }
    if (self->depth >= MPK_NEST_MAX) {
        return -EMLINK;
    }
    if (*vk_ro.alive == 0) {
        fatal_without_domain();
    }
    return self->idx == 0 ? vk_thread_register(self) : 0;
}

/* Whatever is not the one case that mpk_begin is made for. */
static ASIDE int begin_asking(mpk_vkey_t vkey, int prot)
{
    struct vk_self *self = my_self();
    int err = not_ready(self, prot), key;
    const struct vk_row *row;
    uint32_t thread;

    if (err != 0) {
        return err;
    }
    thread = check_self(self);
    row = find(vkey);
    key = atomic_load_explicit(&row->hit, memory_order_relaxed);
    if (key < 0 || !is_of(row, vkey) || (prot & ~row->prot) != 0) {
        return miss(self, vkey, prot);
    }
    return open_and_pin(vkey, row, key, pin_of(thread, key), prot);
}

int mpk_begin(mpk_vkey_t vkey, int prot)
{
    const int rw = PROT_READ | PROT_WRITE;
    const struct vk_self *self = my_self();
    const struct vk_row *row;
    uint32_t thread;
    int key;

    if (!USUALLY(vk_ro.view != NULL)) {
        return begin_asking(vkey, prot);
    }
    /* Without a number it is not this one. */
    thread = thread_of(SELF_GET(idx));
    row = find(vkey);
    key = atomic_load_explicit(&row->hit, memory_order_relaxed);
    if (!USUALLY(prot == rw && is_thread(self, thread) && key >= 0 &&
                 is_of(row, vkey) && (rw & ~row->prot) == 0 &&
                 *vk_ro.alive != 0 && SELF_GET(depth) < MPK_NEST_MAX)) {
        return begin_asking(vkey, prot);
    }
    return mpk_rights_pin(vkey, row, key, pin_of(thread, key));
}

static ASIDE int end_without_key(struct vk_self *self, mpk_vkey_t vkey)
{
    struct vk_frame f = {.idx = self->idx, .vkey = vkey};
    int64_t ret = vk_call(VK_END, &f);

    if (ret == 0) {
        self->depth--;
    }
    return (int)ret;
}

/* Where mpk_rights_unpin goes on. */
int vk_pin_is_gone(void)
{
    mpk_fatal("mpk_end: the pin of an open group is gone");
}

int vk_unpinned_wake(void)
{
    vk_wake();
    return 0;
}

/* That a group was open for all, and there is nothing to close, is written
 * where everybody can write; whether this thread has it open is not. */
static void check_not_pinned(const struct vk_self *self, mpk_vkey_t vkey)
{
    const struct vk_row *row = find(vkey);
    int key = atomic_load_explicit(&row->key, memory_order_relaxed);
    uint32_t thread = check_self(self);

    if (key >= 0 && is_of(row, vkey) &&
        atomic_load_explicit(&vk_ro.view->pin[key][thread].count,
                             memory_order_relaxed) != 0) {
        mpk_fatal("mpk_end: a thread's list of open groups is wrong");
    }
}

static int give_back(uint32_t thread, int key)
{
    return mpk_rights_unpin(key, pin_of(thread, key),
                            &vk_ro.view->head.waiting);
}

/* Whatever is not the one case that mpk_end is made for. */
static ASIDE int end_asking(mpk_vkey_t vkey)
{
    struct vk_self *self = my_self();
    uint32_t depth = depth_of(self), thread;
    int key;

    if (depth == 0 || self->open[depth - 1] != vkey || *vk_ro.alive == 0) {
        return -EPERM;
    }
    if (self->global[depth - 1]) {
        check_not_pinned(self, vkey);
        self->depth--;
        return 0;
    }
    if (vk_ro.backend != MPK_BACKEND_MPK) {
        return end_without_key(self, vkey);
    }
    thread = check_self(self);
    key = key_of_open(find(vkey), vkey);
    self->depth--;
    return give_back(thread, key);
}

int mpk_end(mpk_vkey_t vkey)
{
    const struct vk_self *self = my_self();
    uint32_t last = SELF_GET(depth) - 1, thread;
    const struct vk_row *row;
    int key;

    if (!USUALLY(vk_ro.view != NULL && last < MPK_NEST_MAX)) {
        return end_asking(vkey);
    }
    thread = thread_of(SELF_GET(idx));
    row = find(vkey);
    key = atomic_load_explicit(&row->key, memory_order_relaxed);
    if (!USUALLY(is_thread(self, thread) && SELF_GET_AT(open, last) == vkey &&
                 SELF_GET_AT(global, last) == 0 && key >= 0 &&
                 is_of(row, vkey) && *vk_ro.alive != 0 &&
                 vk_ro.backend == MPK_BACKEND_MPK)) {
        return end_asking(vkey);
    }
    /* Before the pin goes: what a thread that ends has, the table says. */
    SELF_SET(depth, last);
    return give_back(thread, key);
}

void vk_close_all(const struct vk_self *self)
{
    uint32_t thread;

    if (vk_ro.backend != MPK_BACKEND_MPK || self->idx == 0) {
        return;
    }
    thread = check_self(self);
    for (int key = 0; key < MPK_HW_KEYS; key++) {
        if (atomic_load_explicit(&vk_ro.view->pin[key][thread].count,
                                 memory_order_relaxed) != 0) {
            mpk_rights_set(0, rights(key, VK_CLOSED));
        }
    }
}
