/*
 * map_module.c - of the files that map or tag memory the one for the module's
 * own writable data, which becomes part of the domain where it lies.
 */
#include "map_impl.h"

#include <errno.h>
#include <link.h>
#include <sys/mman.h>

struct find_module {
    uintptr_t addr;
    uintptr_t start, end; /* writable pages that do not become read-only */
    uintptr_t relro, relro_end;
};

static uintptr_t page_below(uintptr_t at)
{
    return at & ~(uintptr_t)(MPK_PAGE - 1);
}

static uintptr_t page_above(uintptr_t at)
{
    return page_below(at + MPK_PAGE - 1);
}

static int is_part_of(const struct dl_phdr_info *info, uintptr_t addr)
{
    int is = 0;

    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

        is |= ph->p_type == PT_LOAD &&
              addr - (info->dlpi_addr + ph->p_vaddr) < ph->p_memsz;
    }
    return is;
}

static int find_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct find_module *f = arg;
    uintptr_t start = 0, end = 0, relro = 0, relro_end = 0;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + ph->p_vaddr;

        if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W)) {
            start = at;
            end = at + ph->p_memsz;
        } else if (ph->p_type == PT_GNU_RELRO) {
            relro = at;
            relro_end = at + ph->p_memsz;
        }
    }
    if (!is_part_of(info, f->addr) || start == 0) {
        return 0;
    }
    /* ld.so protects whole pages below the end of RELRO. */
    f->relro = page_below(relro);
    f->relro_end = page_below(relro_end);
    f->start = page_below(relro_end > start ? relro_end : start);
    f->end = page_above(end);
    return 1;
}

static int tag_module_range(uintptr_t start, uintptr_t end)
{
    if (start == end) {
        return 0;
    }
    if (mpk_ro.n_module == MPK_MODULE_RANGES) {
        return -EINVAL;
    }
    madvise((void *)start, end - start, MADV_DONTDUMP);
    if (mpk_ro.n_module == 0) {
        mpk_ro.module_start = (const char *)start;
    }
    mpk_ro.module_end = (const char *)end;
    mpk_ro.module[mpk_ro.n_module].start = (const void *)start;
    mpk_ro.module[mpk_ro.n_module++].len = end - start;
    if (pkey_mprotect((void *)start, end - start, PROT_READ | PROT_WRITE,
                      mpk_ro.pkey) != 0) {
        return map_failure();
    }
    map_lock((char *)start, end - start);
    return 0;
}

static const struct mpk_range *
lower_of(const struct mpk_range *a, const struct mpk_range *b, uintptr_t from)
{
    if ((uintptr_t)b->start < from) {
        return a;
    }
    return a == NULL || b->start < a->start ? b : a;
}

/* The lowest of the ranges that stay outside, at or after |from|. */
static const struct mpk_range *next_outside(const struct mpk_config *config,
                                            uintptr_t from)
{
    static const struct mpk_range own[] = {{&mpk_ro, sizeof(mpk_ro)},
                                           {&mpk_out, sizeof(mpk_out)},
                                           {&vk_ro, sizeof(vk_ro)}};
    const struct mpk_range *best = NULL;

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        best = lower_of(best, &own[i], from);
    }
    for (size_t i = 0; i < config->n_outside; i++) {
        best = lower_of(best, &config->outside[i], from);
    }
    return best;
}

void map_module_undo(void)
{
    for (uint32_t i = 0; i < mpk_ro.n_module; i++) {
        munlock(mpk_ro.module[i].start, mpk_ro.module[i].len);
        if (pkey_mprotect((void *)(uintptr_t)mpk_ro.module[i].start,
                          mpk_ro.module[i].len, PROT_READ | PROT_WRITE,
                          0) != 0) {
            mpk_fatal("the module's data cannot be given back");
        }
    }
}

int map_module_data(const struct mpk_config *config)
{
    struct find_module f = {.addr = (uintptr_t)config->module_data};
    const struct mpk_range *out;
    int err;

    if (dl_iterate_phdr(find_module, &f) == 0) {
        return -EINVAL;
    }
    while ((out = next_outside(config, f.start)) != NULL &&
           (uintptr_t)out->start < f.end) {
        err = tag_module_range(f.start, (uintptr_t)out->start);
        if (err != 0) {
            return err;
        }
        f.start = (uintptr_t)out->start + out->len;
    }
    return tag_module_range(f.start, f.end);
}

struct fix_segments {
    uintptr_t addr;
    int constants_too;
};

/*
 * Segments that nobody writes. Constants of a library inside give keys away
 * when they are changed (the table of a curve), and cost a copy; not those of
 * the first segment, which are for ld.so.
 */
static int fix_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
    const struct fix_segments *f = arg;

    (void)size;
    if (!is_part_of(info, f->addr)) {
        return 0;
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + ph->p_vaddr;
        uintptr_t start = page_below(at);
        size_t len = page_above(at + ph->p_memsz) - start;

        if (ph->p_type != PT_LOAD || (ph->p_flags & PF_W)) {
            continue;
        }
        if (ph->p_flags == PF_R && ph->p_offset != 0 && f->constants_too) {
            map_seal((void *)start, len);
        } else {
            map_keep((void *)start, len);
        }
    }
    return 1;
}

void map_module_fix(int constants_too)
{
    struct find_module f = {.addr = (uintptr_t)&mpk_ro};
    struct fix_segments all = {f.addr, constants_too};

    if (dl_iterate_phdr(find_module, &f) != 0 && f.relro < f.relro_end) {
        map_seal((void *)f.relro, f.relro_end - f.relro);
    }
    dl_iterate_phdr(fix_segments, &all);
}
