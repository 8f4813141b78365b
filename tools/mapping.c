#include "mapping.h"

#include <stdlib.h>
#include <string.h>

struct mapping *mapping_add(struct mapping_list *list)
{
    struct mapping *grown;
    size_t cap;

    if (list->len == list->cap) {
        cap = list->cap == 0 ? 64 : list->cap * 2;
        grown = reallocarray(list->at, cap, sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        list->at = grown;
        list->cap = cap;
    }
    memset(&list->at[list->len], 0, sizeof(list->at[0]));
    return &list->at[list->len++];
}

void mapping_set_name(struct mapping *m, const char *path, size_t len)
{
    const char *slash;

    if (len == 0) {
        path = "[anon]";
        len = strlen(path);
    }
    if (path[0] == '/' && (slash = memrchr(path, '/', len)) != NULL) {
        len -= (size_t)(slash + 1 - path);
        path = slash + 1;
    }
    if (len > sizeof(m->name) - 1) {
        len = sizeof(m->name) - 1;
    }
    for (size_t i = 0; i < len; i++) {
        m->name[i] = path[i] >= ' ' && path[i] <= '~' ? path[i] : '?';
    }
    m->name[len] = '\0';
}

const struct mapping *mapping_find(const struct mapping_list *list,
                                   uint64_t addr)
{
    size_t lo = 0;
    size_t hi = list->len;
    size_t mid;

    while (lo < hi) {
        mid = lo + (hi - lo) / 2;
        if (addr < list->at[mid].start) {
            hi = mid;
        } else if (addr >= list->at[mid].end) {
            lo = mid + 1;
        } else {
            return &list->at[mid];
        }
    }
    return NULL;
}

void mapping_free(struct mapping_list *list)
{
    free(list->at);
    memset(list, 0, sizeof(*list));
}
