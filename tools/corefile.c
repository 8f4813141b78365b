#include "corefile.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocks.h"
#include "mpkctl.h"

/* The notes of a core: registers per thread, and a line per mapped file. */
#define NOTES_MAX (64u << 20)

#define TRUNCATED                                                              \
    "the core file is truncated: dump it again with enough space and "         \
    "\"ulimit "                                                                \
    "-c unlimited\""

struct core {
    int fd;
    uint64_t size;
    const char *why;
};

static int damaged(struct core *c, const char *why)
{
    c->why = why;
    return -EINVAL;
}

/* Fills |buf| with the |len| bytes at |off|, all of them. */
static int read_at(struct core *c, void *buf, size_t len, uint64_t off)
{
    size_t done = 0;
    uint64_t end;
    ssize_t n;

    if (__builtin_add_overflow(off, len, &end) || end > c->size) {
        return damaged(c, TRUNCATED);
    }
    while (done < len) {
        n = pread(c->fd, (char *)buf + done, len - done, (off_t)(off + done));
        if (n < 0) {
            c->why = strerror(errno);
            return -errno;
        }
        if (n == 0) {
            return damaged(c, TRUNCATED);
        }
        done += (size_t)n;
    }
    return 0;
}

static int read_header(struct core *c, Elf64_Ehdr *eh)
{
    static const unsigned char ident[] = {ELFMAG0,   ELFMAG1,    ELFMAG2,
                                          ELFMAG3,   ELFCLASS64, ELFDATA2LSB,
                                          EV_CURRENT};
    int err;

    if (c->size == 0) {
        return damaged(c, "the file is empty");
    }
    err = read_at(c, eh, sizeof(*eh), 0);
    if (err != 0) {
        return err;
    }
    if (memcmp(eh->e_ident, ident, sizeof(ident)) != 0) {
        return damaged(c, "not a 64-bit little-endian ELF file");
    }
    if (eh->e_type != ET_CORE) {
        return damaged(c, "an ELF file, but not a core dump");
    }
    if (eh->e_phentsize != sizeof(Elf64_Phdr)) {
        return damaged(c, "damaged ELF header: program header size");
    }
    return 0;
}

/* With 65535 segments or more the number is in the first section header. */
static int read_phnum(struct core *c, const Elf64_Ehdr *eh, size_t *phnum)
{
    Elf64_Shdr sh;
    int err;

    *phnum = eh->e_phnum;
    if (eh->e_phnum != PN_XNUM) {
        return 0;
    }
    err = read_at(c, &sh, sizeof(sh), eh->e_shoff);
    *phnum = sh.sh_info;
    return err;
}

static int read_phdrs(struct core *c, Elf64_Phdr **out, size_t *phnum)
{
    Elf64_Ehdr eh;
    int err = read_header(c, &eh);

    if (err == 0) {
        err = read_phnum(c, &eh, phnum);
    }
    if (err != 0) {
        return err;
    }
    /* Before memory is asked for: the file has to be as large. */
    if (*phnum > c->size / sizeof(**out)) {
        return damaged(c, TRUNCATED);
    }
    *out = calloc(*phnum + 1, sizeof(**out));
    if (*out == NULL) {
        c->why = "out of memory";
        return -ENOMEM;
    }
    return read_at(c, *out, *phnum * sizeof(**out), eh.e_phoff);
}

static int add_segment(struct core *c, struct mapping_list *list,
                       const Elf64_Phdr *ph)
{
    struct mapping *m;
    uint64_t end;

    if (__builtin_add_overflow(ph->p_offset, ph->p_filesz, &end) ||
        end > c->size) {
        return damaged(c, TRUNCATED);
    }
    if (__builtin_add_overflow(ph->p_vaddr, ph->p_memsz, &end) ||
        ph->p_filesz > ph->p_memsz) {
        return damaged(c, "damaged core file: impossible segment size");
    }
    /* The kernel and gcore write them in order; look-ups rely on it. */
    if (list->len > 0 && ph->p_vaddr < list->at[list->len - 1].end) {
        return damaged(c, "damaged core file: segments overlap");
    }
    m = mapping_add(list);
    if (m == NULL) {
        c->why = "out of memory";
        return -ENOMEM;
    }
    m->start = ph->p_vaddr;
    m->end = end;
    m->file_off = ph->p_offset;
    m->file_len = ph->p_filesz;
    m->fate = MAPPING_SEARCHED;
    mapping_set_name(m, "", 0);
    return 0;
}

static int add_segments(struct core *c, struct mapping_list *list,
                        const Elf64_Phdr *phdrs, size_t phnum)
{
    uint64_t total = 0;
    int err = 0;

    for (size_t i = 0; err == 0 && i < phnum; i++) {
        if (phdrs[i].p_type != PT_LOAD || phdrs[i].p_memsz == 0) {
            continue;
        }
        err = add_segment(c, list, &phdrs[i]);
        /* Or a small file could make us read its bytes for ever. */
        if (err == 0 &&
            (__builtin_add_overflow(total, phdrs[i].p_filesz, &total) ||
             total > c->size)) {
            err = damaged(c, "damaged core file: segments overlap");
        }
    }
    if (err == 0 && list->len == 0) {
        err = damaged(c, "the core file has no memory in it");
    }
    return err;
}

static uint64_t word_at(const uint8_t *bytes, uint64_t index)
{
    uint64_t word;

    memcpy(&word, bytes + index * sizeof(word), sizeof(word));
    return word;
}

/*
 * NT_FILE: count, page size, |count| times (start, end, offset), then |count|
 * strings. Both it and the segments ascend, so one pass over each will do.
 * Where it is damaged names are missing, no more than that.
 */
static void name_from_files(struct mapping_list *list, const uint8_t *desc,
                            size_t len)
{
    const char *path;
    const char *end = (const char *)desc + len;
    const char *zero;
    uint64_t count;
    size_t seg = 0;

    if (len < 16 || (count = word_at(desc, 0)) > (len - 16) / 24) {
        return;
    }
    path = (const char *)desc + 16 + count * 24;
    for (uint64_t i = 0; i < count; i++) {
        zero = memchr(path, '\0', (size_t)(end - path));
        if (zero == NULL) {
            return;
        }
        while (seg < list->len &&
               list->at[seg].start < word_at(desc, 2 + i * 3)) {
            seg++;
        }
        for (;
             seg < list->len && list->at[seg].start < word_at(desc, 3 + i * 3);
             seg++) {
            mapping_set_name(&list->at[seg], path, (size_t)(zero - path));
        }
        path = zero + 1;
    }
}

static uint64_t padded(uint32_t len)
{
    return ((uint64_t)len + 3) & ~UINT64_C(3);
}

static void name_from_notes(struct mapping_list *list, const uint8_t *notes,
                            size_t len)
{
    Elf64_Nhdr nh;
    uint64_t name_len;
    uint64_t desc_len;

    while (len >= sizeof(nh)) {
        memcpy(&nh, notes, sizeof(nh));
        notes += sizeof(nh);
        len -= sizeof(nh);
        name_len = padded(nh.n_namesz);
        desc_len = padded(nh.n_descsz);
        if (name_len > len || desc_len > len - name_len) {
            return;
        }
        if (nh.n_type == NT_FILE) {
            name_from_files(list, notes + name_len, nh.n_descsz);
            return;
        }
        notes += name_len + desc_len;
        len -= name_len + desc_len;
    }
}

static int read_notes(struct core *c, struct mapping_list *list,
                      const Elf64_Phdr *phdrs, size_t phnum)
{
    uint8_t *notes;
    int err = 0;

    for (size_t i = 0; err == 0 && i < phnum; i++) {
        if (phdrs[i].p_type != PT_NOTE || phdrs[i].p_filesz == 0 ||
            phdrs[i].p_filesz > NOTES_MAX) {
            continue;
        }
        if (phdrs[i].p_filesz > c->size) {
            return damaged(c, TRUNCATED);
        }
        notes = malloc(phdrs[i].p_filesz);
        if (notes == NULL) {
            c->why = "out of memory";
            return -ENOMEM;
        }
        err = read_at(c, notes, phdrs[i].p_filesz, phdrs[i].p_offset);
        if (err == 0) {
            name_from_notes(list, notes, phdrs[i].p_filesz);
        }
        free(notes);
    }
    return err;
}

int corefile_open(struct mapping_list *list, int fd, const char **why)
{
    struct core c = {.fd = fd, .why = ""};
    Elf64_Phdr *phdrs = NULL;
    size_t phnum = 0;
    struct stat st;
    int err = 0;

    if (fstat(fd, &st) != 0) {
        err = -errno;
        c.why = strerror(errno);
    } else if (!S_ISREG(st.st_mode)) {
        err = damaged(&c, "not a regular file");
    } else {
        c.size = (uint64_t)st.st_size;
        err = read_phdrs(&c, &phdrs, &phnum);
    }
    if (err == 0) {
        err = add_segments(&c, list, phdrs, phnum);
    }
    if (err == 0) {
        err = read_notes(&c, list, phdrs, phnum);
    }
    free(phdrs);
    *why = c.why;
    return err;
}

static int search_segments(struct mapping_list *list, struct matcher *matcher,
                           int fd, uint64_t *searched, const char **why)
{
    struct block_reader r;
    int err = blocks_init(&r, fd, matcher);
    struct mapping *m;

    for (size_t i = 0; err == 0 && i < list->len; i++) {
        m = &list->at[i];
        err = blocks_read(&r, m->start, m->file_off, m->file_len, &m->unread);
        if (err == 0 && m->unread > 0) {
            err = -EIO;
        }
    }
    if (err != 0) {
        *why = err == -ENODATA ? TRUNCATED : strerror(-err);
    }
    *searched += r.bytes;
    blocks_free(&r);
    return err;
}

int corefile_search(struct mapping_list *list, struct matcher *matcher,
                    const char *path, uint64_t *searched)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *why = "";
    int err;

    if (fd < 0) {
        mpkctl_error("cannot open the core file %s: %s", path, strerror(errno));
        return -1;
    }
    err = corefile_open(list, fd, &why);
    if (err == 0) {
        err = search_segments(list, matcher, fd, searched, &why);
    }
    if (err != 0) {
        mpkctl_error("%s: %s", path, why);
    }
    close(fd);
    return err == 0 ? 0 : -1;
}
