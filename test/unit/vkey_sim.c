#include "vkey_sim.h"

#include "../../mpkcore/vkey.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGES ((size_t)1 << 20)

int __wrap_pkey_alloc(unsigned flags, unsigned rights);
int __wrap_pkey_free(int key);
int __wrap_pkey_mprotect(void *p, size_t len, int prot, int key);
int __wrap_mprotect(void *p, size_t len, int prot);
int __real_mprotect(void *p, size_t len, int prot);
uint32_t __wrap_mpk_rights_set(uint32_t clear, uint32_t set);
uint32_t __wrap_mpk_rights_get(void);
int __wrap_mpk_rights_pin(mpk_vkey_t vkey, const struct vk_row *row, int key,
                          struct vk_pin *pin);
int __wrap_mpk_rights_unpin(int key, struct vk_pin *pin,
                            const _Atomic uint32_t *waiting);

static _Atomic uint32_t taken = 1;
static int n_keys = 15;
static __thread uint32_t pkru = 0x55555554;

/* Of each page of the arena: key << 4 | prot. */
static _Atomic uint8_t tag[PAGES];

void sim_keys(int n)
{
    n_keys = n;
}

int __wrap_pkey_alloc(unsigned flags, unsigned rights)
{
    (void)flags;
    for (int k = 1; k <= n_keys; k++) {
        if (!(atomic_fetch_or(&taken, 1U << k) & (1U << k))) {
            pkru = (pkru & ~(3U << (2 * k))) | rights << (2 * k);
            return k;
        }
    }
    errno = ENOSPC;
    return -1;
}

int __wrap_pkey_free(int key)
{
    atomic_fetch_and(&taken, ~(1U << key));
    return 0;
}

static size_t page_of(const void *p)
{
    return (size_t)((const char *)p - vk_ro.arena) / MPK_PAGE;
}

/* |key| -1 leaves the key that a page has. */
static void set_tags(char *p, size_t len, int prot, int key)
{
    if (p < vk_ro.arena || p >= vk_ro.arena_end) {
        return;
    }
    for (size_t i = page_of(p); i < page_of(p) + len / MPK_PAGE && i < PAGES;
         i++) {
        int k = key >= 0 ? key : atomic_load(&tag[i]) >> 4;

        atomic_store(&tag[i], (uint8_t)(k << 4 | prot));
    }
}

int __wrap_pkey_mprotect(void *p, size_t len, int prot, int key)
{
    set_tags(p, len, prot, key);
    return __real_mprotect(p, len, prot);
}

int __wrap_mprotect(void *p, size_t len, int prot)
{
    set_tags(p, len, prot, -1);
    return __real_mprotect(p, len, prot);
}

uint32_t __wrap_mpk_rights_set(uint32_t clear, uint32_t set)
{
    uint32_t old = pkru;

    pkru = (pkru & ~clear) | set;
    return old;
}

uint32_t __wrap_mpk_rights_get(void)
{
    return pkru;
}

/* The same steps as in hit.S, with places where threads meet. */
int __wrap_mpk_rights_pin(mpk_vkey_t vkey, const struct vk_row *row, int key,
                          struct vk_pin *pin)
{
    if ((pkru >> (2 * key) & 3) != VK_CLOSED) {
        return vk_pin_here(vkey, row, key, pin);
    }
    pkru &= ~(VK_CLOSED << (2 * key));
    if (atomic_load_explicit(&pin->count, memory_order_relaxed) != 0) {
        return vk_pin_again(vkey, row, key, pin);
    }
    sim_race();
    atomic_store_explicit(
        &pin->uses, atomic_load_explicit(&pin->uses, memory_order_relaxed) + 1,
        memory_order_relaxed);
    atomic_store_explicit(&pin->count, 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&row->hit, memory_order_relaxed) != key ||
        atomic_load_explicit(&row->vkey, memory_order_relaxed) != vkey) {
        return vk_pin_lost(vkey, row, key, pin);
    }
    return vk_pinned(vkey);
}

int __wrap_mpk_rights_unpin(int key, struct vk_pin *pin,
                            const _Atomic uint32_t *waiting)
{
    uint32_t n = atomic_load_explicit(&pin->count, memory_order_relaxed);
    uint32_t before = VK_CLOSED;

    pkru &= ~(VK_CLOSED << (2 * key));
    if (n == 0) {
        return vk_pin_is_gone();
    }
    if (n > 1) {
        before = pin->before & 3;
        pin->before >>= 2;
    }
    atomic_store_explicit(&pin->count, n - 1, memory_order_release);
    sim_race();
    pkru |= before << (2 * key);
    return atomic_load_explicit(waiting, memory_order_relaxed) == 0
               ? 0
               : vk_unpinned_wake();
}

bool sim_allows(const void *p, bool write)
{
    uint8_t t = atomic_load(&tag[page_of(p)]);
    uint32_t r = pkru >> (2 * (t >> 4)) & 3;

    if ((t >> 4) == 0) {
        r = 0;
    }
    return (t & (write ? PROT_WRITE : PROT_READ)) != 0 && !(r & 1) &&
           !(write && (r & 2));
}

/* Mostly nothing; sometimes the other threads get ahead. */
void sim_race(void)
{
    static __thread unsigned n;

    if (++n % 16 == 0) {
        sched_yield();
    }
}

/*
 * TSan does not see that the gate's assembly hands a domain stack from one
 * thread to the next: the first thing that happens on it is a copy in, the last
 * one a copy out.
 */
int __real_mpk_copy_in(void *dst, const void *src, size_t len);
int __wrap_mpk_copy_in(void *dst, const void *src, size_t len);
int __real_mpk_copy_out(void *dst, const void *src, size_t len);
int __wrap_mpk_copy_out(void *dst, const void *src, size_t len);

#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *p);
void __tsan_release(void *p);
#else
#define __tsan_acquire(p) ((void)(p))
#define __tsan_release(p) ((void)(p))
#endif

static char handed[MPK_SLOTS];

int __wrap_mpk_copy_in(void *dst, const void *src, size_t len)
{
    __tsan_acquire(&handed[slot_index(mpk_slot_self())]);
    return __real_mpk_copy_in(dst, src, len);
}

int __wrap_mpk_copy_out(void *dst, const void *src, size_t len)
{
    int ret = __real_mpk_copy_out(dst, src, len);

    __tsan_release(&handed[slot_index(mpk_slot_self())]);
    return ret;
}
