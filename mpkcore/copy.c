/* copy.c - what the inside may do with a pointer that came from outside. */
#include "internal.h"
#include "x86_64/cpu.h"

#include <errno.h>

static inline int touches(uintptr_t start, uintptr_t end, const void *from,
                          const void *to)
{
    return start < (uintptr_t)to && end > (uintptr_t)from;
}

static int touches_module(uintptr_t start, uintptr_t end)
{
    for (uint32_t i = 0; i < mpk_ro.n_module; i++) {
        const struct mpk_range *r = &mpk_ro.module[i];

        if (touches(start, end, r->start, (const char *)r->start + r->len)) {
            return 1;
        }
    }
    return 0;
}

/*
 * What a light entry runs on belongs to the inside as long as it does: a buffer
 * there would be a way to its return addresses, which a cipher's caller can
 * write what he likes to.
 */
static int touches_light_stack(uintptr_t start, uintptr_t end,
                               const struct mpk_slot *slot)
{
    uint64_t rsp = slot != NULL ? atomic_load_explicit(&slot->light_rsp,
                                                       memory_order_relaxed)
                                : 0;

    return rsp != 0 && start < rsp && end > rsp - MPK_LIGHT_STACK;
}

/* It reaches less than its length up and down from here, and few buffers do. */
static inline int is_near(uintptr_t start, uintptr_t end)
{
    const uintptr_t here = cpu_stack_pointer();

    return start < here + MPK_LIGHT_STACK && end > here - MPK_LIGHT_STACK;
}

/* Neither in the domain nor in the module's data. */
static inline int is_elsewhere(const void *p, size_t len, uintptr_t start,
                               uintptr_t *end)
{
    return p != NULL && !__builtin_add_overflow(start, len, end) &&
           !touches(start, *end, mpk_ro.base, mpk_ro.end) &&
           !(touches(start, *end, mpk_ro.module_start, mpk_ro.module_end) &&
             touches_module(start, *end));
}

int mpk_is_outside(const void *p, size_t len)
{
    uintptr_t start = (uintptr_t)p, end;

    return len == 0 || (is_elsewhere(p, len, start, &end) &&
                        (!is_near(start, end) ||
                         !touches_light_stack(start, end, mpk_slot_find())));
}

/* The same, where |slot| is known to be the caller's: a frame is mostly on the
 * stack, and near. */
static inline int is_outside_of(const struct mpk_slot *slot, const void *p,
                                size_t len)
{
    uintptr_t start = (uintptr_t)p, end;

    return len == 0 || (is_elsewhere(p, len, start, &end) &&
                        !touches_light_stack(start, end, slot));
}

int mpk_is_inside(const void *p, size_t len)
{
    uintptr_t start = (uintptr_t)p, base = (uintptr_t)mpk_ro.base;
    size_t room = (size_t)(mpk_ro.end - mpk_ro.base);

    return start >= base && start - base < room && len <= room - (start - base);
}

/*
 * libc's memcpy goes by numbers in libc's own data: who writes there has it
 * copy on to the end of the mapping. cpu_keep_writes keeps the compiler from
 * making a call of it.
 */
static inline void copy(void *dst, const void *src, size_t len)
{
    const char *from = src;
    char *to = dst;

    for (; len >= 64; len -= 64, from += 64, to += 64) {
        __builtin_memcpy(to, from, 64);
        cpu_keep_writes(to);
    }
    if (len >= 32) {
        __builtin_memcpy(to, from, 32);
        cpu_keep_writes(to);
        from += 32;
        to += 32;
        len -= 32;
    }
    if (len == 0) {
        return;
    }
    if (len & 16) {
        __builtin_memcpy(to, from, 16);
        cpu_keep_writes(to);
        from += 16;
        to += 16;
    }
    if (len & 8) {
        __builtin_memcpy(to, from, 8);
        cpu_keep_writes(to);
        from += 8;
        to += 8;
    }
    for (len &= 7; len > 0; len--) {
        *to++ = *from++;
        cpu_keep_writes(to);
    }
}

static inline int copy_if(int allowed, void *dst, const void *src, size_t len)
{
    if (!allowed) {
        return -EFAULT;
    }
    copy(dst, src, len);
    return 0;
}

int mpk_copy_in(void *dst, const void *src, size_t len)
{
    return copy_if(mpk_is_outside(src, len), dst, src, len);
}

int mpk_copy_out(void *dst, const void *src, size_t len)
{
    return copy_if(mpk_is_outside(dst, len), dst, src, len);
}

int frame_copy_in(struct mpk_slot *slot, const void *frame, size_t len)
{
    return copy_if(is_outside_of(slot, frame, len), slot->frame, frame, len);
}

int frame_copy_out(const struct mpk_slot *slot, void *frame)
{
    size_t len = slot->frame_len;

    return copy_if(is_outside_of(slot, frame, len), frame, slot->frame, len);
}
