/* snapshot.c - see snapshot.h. */
#include "snapshot.h"

#include "procmem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char smaps[1 << 20];

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static int open_proc(pid_t pid, const char *file)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        die(path);
    }
    return fd;
}

static void list_mappings(struct snapshot *s, pid_t pid)
{
    int fd = open_proc(pid, "smaps");
    size_t len = 0;
    ssize_t n;

    while ((n = read(fd, smaps + len, sizeof(smaps) - len)) > 0) {
        len += (size_t)n;
    }
    close(fd);
    if (n < 0 || len == sizeof(smaps) ||
        procmem_parse(&s->list, smaps, len) != 0) {
        die("smaps");
    }
}

/* Untouched memory may be mapped in any amount; it is zero. */
static bool is_kept(const struct mapping *m)
{
    return m->fate == MAPPING_SEARCHED && m->writable &&
           (m->populated > 0 || !m->anonymous);
}

void snapshot_take(struct snapshot *s, pid_t pid, const char *when)
{
    int mem = open_proc(pid, "mem");

    memset(s, 0, sizeof(*s));
    snprintf(s->when, sizeof(s->when), "%s", when);
    list_mappings(s, pid);
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
