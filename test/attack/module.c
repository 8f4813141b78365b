/* module.c - see module.h. */
#include "module.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mpkcore/core.h>

struct object {
    const char *suffix;
    uintptr_t base;
    char path[4096];
    const ElfW(Phdr) * phdr;
    unsigned n_phdr;
};

static int match(struct dl_phdr_info *i, size_t size, void *arg)
{
    struct object *o = arg;
    size_t len = strlen(i->dlpi_name), suffix = strlen(o->suffix);

    (void)size;
    if (len < suffix || strcmp(i->dlpi_name + len - suffix, o->suffix) != 0) {
        return 0;
    }
    o->base = i->dlpi_addr;
    o->phdr = i->dlpi_phdr;
    o->n_phdr = i->dlpi_phnum;
    snprintf(o->path, sizeof(o->path), "%s", i->dlpi_name);
    return 1;
}

static uintptr_t symbol_in(const unsigned char *elf, const char *name)
{
    const Elf64_Ehdr *eh = (const void *)elf;
    const Elf64_Shdr *sh = (const void *)(elf + eh->e_shoff);

    for (int i = 0; i < eh->e_shnum; i++) {
        const Elf64_Sym *sym = (const void *)(elf + sh[i].sh_offset);
        const char *names = (const char *)elf + sh[sh[i].sh_link].sh_offset;
        size_t n = sh[i].sh_size / sizeof(*sym);

        for (size_t k = 0; sh[i].sh_type == SHT_SYMTAB && k < n; k++) {
            if (strcmp(names + sym[k].st_name, name) == 0) {
                return sym[k].st_value;
            }
        }
    }
    return 0;
}

static void *map_file(const char *path, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *p = MAP_FAILED;
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0) {
        *len = (size_t)st.st_size;
        p = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    return p != MAP_FAILED ? p : NULL;
}

void *module_find_symbol(const char *name)
{
    struct object o = {.suffix = "/mpk.so"};
    uintptr_t value;
    size_t len;
    void *elf;

    if (dl_iterate_phdr(match, &o) == 0 ||
        (elf = map_file(o.path, &len)) == NULL) {
        return NULL;
    }
    value = symbol_in(elf, name);
    munmap(elf, len);
    return value != 0 ? (void *)(o.base + value) : NULL;
}

unsigned char *module_find_code(const char *object, const void *bytes,
                                size_t len, unsigned n)
{
    struct object o = {.suffix = object};

    if (dl_iterate_phdr(match, &o) == 0) {
        return NULL;
    }
    for (unsigned i = 0; i < o.n_phdr; i++) {
        unsigned char *p = (unsigned char *)o.base + o.phdr[i].p_vaddr;
        unsigned char *end = p + o.phdr[i].p_memsz;

        if (o.phdr[i].p_type != PT_LOAD || !(o.phdr[i].p_flags & PF_X)) {
            continue;
        }
        while ((p = memmem(p, (size_t)(end - p), bytes, len)) != NULL) {
            if (n-- == 0) {
                return p;
            }
            p++;
        }
    }
    return NULL;
}

static bool get_info(struct mpk_info *i)
{
    static int (*info)(struct mpk_info *);

    if (info == NULL) {
        info = (int (*)(struct mpk_info *))module_find_symbol("mpk_core_info");
    }
    return info != NULL && info(i) == 0;
}

bool module_domain(unsigned char **start, unsigned char **end)
{
    struct mpk_info i;

    if (!get_info(&i)) {
        return false;
    }
    *start = (unsigned char *)(uintptr_t)i.base;
    *end = *start + i.size;
    return true;
}

int module_pkey(void)
{
    struct mpk_info i;

    return get_info(&i) ? i.pkey : -1;
}

void module_usage(size_t *bytes, size_t *blocks)
{
    static size_t (*live)(void);
    struct mpk_info i;

    if (live == NULL) {
        live = (size_t(*)(void))module_find_symbol("mpk_heap_live");
    }
    *bytes = *blocks = 0;
    if (get_info(&i)) {
        *bytes = i.committed_secret + i.committed_anon;
        if (i.backend == MPK_BACKEND_NONE && live != NULL) {
            *blocks = live();
        }
    }
}
