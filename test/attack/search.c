/*
 * search.c - looks at all memory of this process, as a wild read might. What
 * faults is passed over. Without stdio, which has buffers in that memory.
 */
#include "attack.h"
#include "needles.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char maps[1 << 18];

static bool read_maps(void)
{
    size_t len = 0;
    ssize_t got;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

    do {
        got = read(fd, maps + len, sizeof(maps) - 1 - len);
        len += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    close(fd);
    maps[len] = '\0';
    return got == 0 && len > 0;
}

void search_maps(bool (*each)(const struct mapping *m, void *arg), void *arg)
{
    unsigned long start, end;

    if (!read_maps()) {
        trouble("/proc/self/maps");
    }
    for (char *line = maps, *next; *line != '\0'; line = next) {
        struct mapping m = {.name = ""};

        next = line + strcspn(line, "\n");
        *next++ = '\0';
        if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %63[^\n]", &start, &end,
                   m.rights, m.name) >= 3) {
            m.start = (unsigned char *)start;
            m.len = end - start;
            if (each(&m, arg)) {
                return;
            }
        }
    }
}

struct find {
    const unsigned char *at;
    char name[64];
};

static bool look(const struct mapping *m, void *arg)
{
    struct find *f = arg;

    if (m->rights[0] == 'r' && strncmp(m->name, "[v", 2) != 0) {
        (void)SURVIVES(f->at = needles_find(m->start, m->len));
    }
    if (f->at != NULL) {
        memcpy(f->name, m->name, sizeof(f->name));
    }
    return f->at != NULL;
}

const unsigned char *search_all(const char **name)
{
    static struct find f;

    memset(&f, 0, sizeof(f));
    search_maps(look, &f);
    if (name != NULL) {
        *name = f.name;
    }
    return f.at;
}
