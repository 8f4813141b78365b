#include "target.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "corefile.h"
#include "procmem.h"

int target_search(const struct target *t, struct mapping_list *list,
                  struct matcher *matcher, uint64_t *searched)
{
    return t->core != NULL ? corefile_search(list, matcher, t->core, searched)
                           : procmem_search(list, matcher, t->pid, searched);
}

int target_read(const struct target *t, const struct mapping_list *list,
                uint64_t addr, void *buf, size_t len)
{
    const struct mapping *m = mapping_find(list, addr);
    char path[64];
    uint64_t off = addr;
    ssize_t n;
    int fd;

    if (m == NULL || m->fate != MAPPING_SEARCHED || len > m->end - addr) {
        return -1;
    }
    if (t->core != NULL) {
        if (addr - m->start + len > m->file_len) {
            return -1;
        }
        off = addr - m->start + m->file_off;
    }
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)t->pid);
    fd = open(t->core != NULL ? t->core : path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    n = pread(fd, buf, len, (off_t)off);
    close(fd);
    return n == (ssize_t)len ? 0 : -1;
}
