/*
 * map_fork.c - of the files that map or tag memory the one for what fork copies
 * of the domain, and for the list of it.
 */
#include "map_impl.h"
#include "sanitize.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17 */
#endif

/*
 * No memcpy: the sanitizers' own one looks at every byte, and the stacks that
 * are copied, the one that this runs on included, have bytes between their
 * variables that nobody may read by name. volatile keeps the compiler from
 * making a memcpy of it. Page faults take most of the time either way.
 */
MPK_NO_SANITIZE static void copy_pages(char *to, const char *from, size_t len)
{
    volatile uint64_t *out = (volatile uint64_t *)to;
    const volatile uint64_t *in = (const volatile uint64_t *)from;

    for (size_t i = 0; i < len / sizeof(*in); i++) {
        out[i] = in[i];
    }
}

/* What is not open to every thread as long as one is inside. */
static int close_again(char *p, size_t len)
{
    return mpk_ro.backend == MPK_BACKEND_MPROTECT ? map_close(p, len) : 0;
}

_Static_assert(sizeof(struct map_stage) % sizeof(uint64_t) == 0, "copy_pages");

static void show_page(void)
{
    if (map_group_tag((char *)mpk_ro.stage, MPK_PAGE, PROT_READ,
                      mpk_ro.pkey >= 0 ? 0 : -1) != 0) {
        mpk_fatal("the list of what fork copies cannot be shown");
    }
}

/*
 * The list of what is copied is part of the domain: it is written by the inside
 * only. While fork is under way it can be read outside, by the child's handler,
 * and written by nobody. Between forks it is empty and closed, and not writable
 * inside either: so that what comes after a fork, in a parent that is to go on,
 * asks for no memory. A page that becomes writable does (RLIMIT_DATA).
 */
static int write_list(const struct map_stage *to)
{
    char *page = (char *)mpk_ro.stage;

    if (map_tag(page, MPK_PAGE) != 0) {
        return 0;
    }
    copy_pages(page, (const char *)to, sizeof(*to));
    show_page();
    return 1;
}

/* As a file that nobody can have made writable (map_seal.c): a child goes by
 * what stands there. Where there is none to be had it is read-only only. */
static int show_list(const struct map_stage *list)
{
    return map_fixed((char *)mpk_ro.stage, (const char *)list, sizeof(*list)) ||
           write_list(list);
}

static int close_list(void)
{
    char *page = (char *)mpk_ro.stage;

    return mpk_ro.backend == MPK_BACKEND_MPROTECT
               ? map_close(page, MPK_PAGE)
               : map_group_tag(page, MPK_PAGE, PROT_READ, mpk_ro.pkey);
}

/*
 * For this, too, no memory is asked: a page that is not writable takes none.
 * Where addresses are limited below what there is the kernel maps nothing; then
 * the list was no file either, and its page can be given back.
 */
static int empty_list(void)
{
    char *page = (char *)mpk_ro.stage;

    munlock(page, MPK_PAGE); /* or it counts twice (mlockall) */
    if (mmap(page, MPK_PAGE, PROT_READ,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
             0) == page) {
        madvise(page, MPK_PAGE, MADV_DONTDUMP);
        return 1;
    }
    return (madvise(page, MPK_PAGE, MADV_DONTNEED) == 0 ||
            madvise(page, MPK_PAGE, MADV_DONTNEED_LOCKED) == 0) &&
           mpk_ro.stage->slots == 0;
}

/* In a process that stays without a domain an empty list stays to be read. */
int map_stage_drop(void)
{
    static const struct map_stage nothing;

    return map_fixed((char *)mpk_ro.stage, (const char *)&nothing,
                     sizeof(nothing)) ||
           empty_list();
}

int map_here_init(void)
{
    void *p;
    int err = map_wiped_page(&p, PROT_READ | PROT_WRITE);

    mpk_ro.here = p;
    map_here_set();
    return err;
}

void map_here_undo(void)
{
    if (mpk_ro.here != NULL) {
        munmap((void *)mpk_ro.here, MPK_PAGE);
    }
}

void map_here_set(void)
{
    if (mpk_ro.here != NULL) {
        atomic_store(mpk_ro.here, 1);
    }
}

int map_is_gone(void)
{
    return mpk_ro.here != NULL && atomic_load(mpk_ro.here) == 0;
}

int map_stage_init(void)
{
    int err = map_private_page((char *)mpk_ro.stage, 0);

    return err != 0 ? err : close_list();
}

/*
 * The copies are secretmem again where that can be had, otherwise private
 * anonymous pages. Either way they are a mapping under the domain's key, which
 * fork gives to the child too: that moves it into place. A descriptor would do
 * as well, and any thread could be made to map it, or to put a file of its own
 * in its place. NULL where there can be neither.
 */
static char *stage_memory(struct map_stage *stage)
{
    char *p = NULL;
    int err = map_secret(&p, stage->len);

    stage->secret = err == 0;
    if (err == 0) {
        return p;
    }
    if (mpk_ro.memory == MPK_MEMORY_SECRETMEM) {
        mpk_notice_due(err == -ENOMEM ? MPK_NOTICE_NO_COPY_MEMORY
                                      : MPK_NOTICE_NO_COPY);
        return NULL;
    }
    p = mmap(NULL, stage->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) {
        if (map_tag(p, stage->len) == 0) {
            mpk_notice_due(map_notice_for(err));
            return p;
        }
        munmap(p, stage->len);
    }
    mpk_notice_due(MPK_NOTICE_NO_COPY_MEMORY);
    return NULL;
}

/* In the child nobody is in the core's slot; who makes the copy is. And nobody
 * has the copy, whatever became of the one that this process is at work with.
 */
static void free_core_slot(char *copy, const struct map_span *first)
{
    char *low = slot_low(MPK_CORE_SLOT),
         *ctrl = (char *)slot_ctrl(MPK_CORE_SLOT);

    if (first->start == low) {
        struct mpk_slot *slot = (struct mpk_slot *)(copy + (ctrl - low));

        atomic_store(&slot->busy, 0);
        atomic_store(&slot->adopted, 0);
    }
}

static void fill(struct map_stage *stage)
{
    char *p = stage_memory(stage), *at = p;

    if (p == NULL) {
        return;
    }
    madvise(p, stage->len, MADV_DONTDUMP);
    for (uint32_t i = 0; i < stage->n; i++) {
        copy_pages(at, stage->span[i].start, stage->span[i].len);
        at += stage->span[i].len;
    }
    free_core_slot(p, &stage->span[0]);
    if (close_again(p, stage->len) != 0) {
        mpk_fatal("what fork copies cannot be closed");
    }
    stage->copy = p;
}

/*
 * The kernel clears the pages before anybody else gets them. Copies that stayed
 * would be part of the domain in a place that counts as outside: an entry could
 * be made to read them as its input.
 */
static void drop_copies(void)
{
    struct mpk_domain *d = mpk_ro.domain;

    if (d->copies != NULL && munmap(d->copies, d->copies_len) != 0) {
        mpk_fatal("what fork copies cannot be dropped");
    }
    d->copies = NULL;
}

/* Page groups do not stay what they are. */
static int is_held(const struct map_span *s)
{
    return mpk_ro.here != NULL && s->start < mpk_ro.groups;
}

/* Not for the first time, unless a filter of another thread's denied it. */
static void keep_from_child(struct map_stage *stage)
{
    for (uint32_t i = 0; i < stage->n; i++) {
        const struct map_span *s = &stage->span[i];

        stage->given |= is_held(s) && madvise(s->start, s->len, MADV_DONTFORK);
    }
}

void map_stage_make(struct map_stage *stage)
{
    if (stage->slots > 0 && stage->n > 0) {
        fill(stage);
    }
    mpk_ro.domain->copies = stage->copy;
    mpk_ro.domain->copies_len = stage->len;
    keep_from_child(stage);
    if (!show_list(stage)) {
        mpk_notice_due(MPK_NOTICE_NO_COPY_MEMORY);
        drop_copies();
        show_page(); /* which is empty */
    }
}

void map_stage_forget(int copies_too)
{
    static const struct map_stage nothing;

    if ((!empty_list() && !write_list(&nothing)) || close_list() != 0) {
        mpk_fatal("the list of what fork copies cannot be dropped");
    }
    if (copies_too) {
        drop_copies();
    } else {
        mpk_ro.domain->copies = NULL;
    }
}

int map_stage_is_made(void)
{
    return mpk_ro.stage->slots > 0 &&
           (mpk_ro.stage->n == 0 || mpk_ro.stage->copy != NULL);
}

int map_stage_is_shown(void)
{
    return map_is_open((char *)mpk_ro.stage) && mpk_ro.stage->slots > 0;
}

/* The inside has a right to them but with backend mprotect. */
static int copies_are_there(void)
{
    char *copy = mpk_ro.stage->copy;

    return mpk_ro.backend == MPK_BACKEND_MPROTECT
               ? map_close(copy, MPK_PAGE) == 0
               : map_is_open(copy);
}

/* What was moved is not where it was. */
int map_stage_is_adopted(void)
{
    return map_stage_is_shown() && map_stage_is_made() &&
           (mpk_ro.stage->n == 0 || !copies_are_there());
}

/* Copies of secretmem are shared by all that were forked while they are there:
 * the word that says so is in them. */
int map_stage_is_first(void)
{
    return !mpk_ro.stage->secret ||
           !atomic_exchange(&slot_ctrl(MPK_CORE_SLOT)->adopted, 1);
}

/*
 * Nothing is where the copies go, unless another library's handler, which came
 * first, has got memory there: that is not ours to replace.
 */
static int take_place(const struct map_span *s)
{
    char *p =
        mmap(s->start, s->len, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
             -1, 0);

    if (p != MAP_FAILED && p != s->start) {
        munmap(p, s->len);
    }
    return p == s->start;
}

/* What could not be kept from the child is there. */
static int has_place(const struct map_stage *stage, const struct map_span *s)
{
    return !is_held(s) || take_place(s) || stage->given;
}

/* The core's slot is the first on the list, and comes last: who finds that
 * finds the rest in place as well. */
static uint32_t move_copies(const struct map_stage *stage)
{
    char *from = stage->copy + stage->len;

    for (uint32_t i = stage->n; i-- > 0;) {
        const struct map_span *s = &stage->span[i];

        from -= s->len;
        if (!has_place(stage, s)) {
            return last_errno() == EEXIST ? MPK_DEAD_NO_PLACE
                                          : MPK_DEAD_NO_COPY;
        }
        if (!map_move(s->start, from, s->len)) {
            return MPK_DEAD_NO_COPY;
        }
        if (is_held(s)) {
            map_hold(s->start, s->len, 1);
        }
    }
    return 0;
}

/*
 * The kernel moves nothing in a process that has nearly all the mappings it may
 * have. Half of a domain is none: the list goes, so that nobody takes what lies
 * where the copies were for them, in a process that this one forks.
 */
int map_stage_adopt(void)
{
    const struct map_stage *stage = mpk_ro.stage;
    uint32_t why = stage->n > 0 ? move_copies(stage) : 0;

    if (why != 0) {
        atomic_store(&mpk_out.dead, why);
        if (!map_stage_drop()) {
            mpk_fatal("a forked process cannot have its copy of the domain");
        }
        return 0;
    }
    atomic_store(&mpk_out.slots_ready, stage->slots);
    return 1;
}

/* The first span of secretmem that reaches beyond |p|, or NULL. */
static const struct map_span *span_after(const char *p)
{
    const struct map_stage *stage = mpk_ro.stage;
    const struct map_span *first = NULL;

    for (uint32_t i = 0; stage->secret && i < stage->n; i++) {
        const struct map_span *s = &stage->span[i];

        if (s->start + s->len > p &&
            (first == NULL || s->start < first->start)) {
            first = s;
        }
    }
    return first;
}

/*
 * Secretmem is locked by its nature. The kernel refuses to lock it once more,
 * with the error that it has for the limit.
 */
static void relock(char *p, char *end)
{
    while (p < end) {
        const struct map_span *s = span_after(p);
        char *stop = s != NULL && s->start < end ? s->start : end;

        if (p < stop) {
            map_lock(p, (size_t)(stop - p));
        }
        p = stop < end ? s->start + s->len : end;
    }
}

void map_relock(void)
{
    uint32_t slots = atomic_load(&mpk_out.slots_ready);

    relock(slot_low(0), atomic_load(&mpk_out.heap_end));
    for (uint32_t i = 1; i < slots && i < MPK_SLOTS; i++) {
        char *low = slot_low(i);

        relock(low, low + SLOT_MAPPED);
    }
    for (uint32_t i = 0; i < mpk_ro.n_module; i++) {
        map_lock((char *)(uintptr_t)mpk_ro.module[i].start,
                 mpk_ro.module[i].len);
    }
}
