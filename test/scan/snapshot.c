/* snapshot.c - see snapshot.h. */
#include "snapshot.h"

#include "procmem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static int open_memory(pid_t pid)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        die(path);
    }
    return fd;
}

/* Untouched memory may be mapped in any amount; it is zero. */
static bool is_kept(const struct mapping *m)
{
    return m->fate == MAPPING_SEARCHED && m->writable &&
           (m->populated > 0 || !m->anonymous);
}

void snapshot_take(struct snapshot *s, pid_t pid, const char *when)
{
    int mem = open_memory(pid);

    memset(s, 0, sizeof(*s));
    snprintf(s->when, sizeof(s->when), "%s", when);
    errno = -procmem_list(&s->list, pid);
    if (errno != 0) {
        die("smaps");
    }
    s->bytes = calloc(s->list.len, sizeof(*s->bytes));
    for (size_t i = 0; i < s->list.len; i++) {
        const struct mapping *m = &s->list.at[i];
        size_t len = m->end - m->start;

        if (!is_kept(m)) {
            continue;
        }
        s->bytes[i] = malloc(len);
        if (s->bytes[i] == NULL ||
            pread(mem, s->bytes[i], len, (off_t)m->start) != (ssize_t)len) {
            die(m->name);
        }
    }
    close(mem);
}

void snapshot_free(struct snapshot *s)
{
    for (size_t i = 0; i < s->list.len; i++) {
        free(s->bytes[i]);
    }
    free(s->bytes);
    mapping_free(&s->list);
}

bool snapshot_feed(const struct snapshot *s, struct matcher *matcher)
{
    for (size_t i = 0; i < s->list.len; i++) {
        const struct mapping *m = &s->list.at[i];

        if (s->bytes[i] != NULL && matcher_feed(matcher, m->start, s->bytes[i],
                                                m->end - m->start) != 0) {
            return false;
        }
    }
    return true;
}
