#include "procmem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "blocks.h"
#include "file.h"
#include "mpkctl.h"

#define PAGE 4096u

/* Some twenty million mappings. */
#define SMAPS_MAX ((size_t)1 << 34)

/* One read of pagemap: what it says of 2 MiB. */
#define PAGEMAP_ENTRIES 512u

/* Linux, Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)

struct process {
    pid_t pid;
    int mem;
    int pagemap; /* -1 if there is none: then everything is read */
    struct block_reader reader;
};

static void explain(pid_t pid, int err)
{
    if ((err == ENOENT || err == ESRCH) && access("/proc/self", F_OK) != 0) {
        mpkctl_error("/proc is not mounted here");
    } else if (err == ENOENT && (kill(pid, 0) == 0 || errno == EPERM)) {
        mpkctl_error("/proc does not show process %d, which is there: hidden "
                     "by hidepid (ProtectProc=)? Run as root, or in the group "
                     "that the mount option gid names",
                     (int)pid);
    } else if (err == ENOENT || err == ESRCH) {
        mpkctl_error("no process %d", (int)pid);
    } else if (err == EACCES || err == EPERM) {
        mpkctl_error("no permission to read the memory of process %d: run as "
                     "root, or with CAP_SYS_PTRACE and, for another user's, "
                     "CAP_DAC_READ_SEARCH (being the same user is enough only "
                     "where /proc/sys/kernel/yama/ptrace_scope is 0)",
                     (int)pid);
    } else {
        mpkctl_error("cannot read the memory of process %d: %s", (int)pid,
                     strerror(err));
    }
}

/* Opens /proc/|pid|/|file|; -1 with errno set on failure. */
static int open_proc(pid_t pid, const char *file)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int procmem_list(struct mapping_list *list, pid_t pid)
{
    int fd = open_proc(pid, "smaps");
    char *text = NULL;
    size_t len = 0;
    int err;

    if (fd < 0) {
        return -errno;
    }
    err = fd_load(fd, SMAPS_MAX, &text, &len);
    if (err == 0) {
        err = procmem_parse(list, text, len);
    }
    free(text);
    close(fd);
    return err;
}

static int read_range(struct process *p, struct mapping *m, uint64_t from,
                      uint64_t to)
{
    if (from >= to) {
        return 0;
    }
    return blocks_read(&p->reader, from, from, to - from, &m->unread);
}

/*
 * Pages of anonymous memory that were never touched are left alone: they hold
 * zeros, reading them would give the target page tables for its whole
 * reservation (terabytes under some run-times), and could wait for a
 * userfaultfd handler.
 */
static int search_populated(struct process *p, struct mapping *m)
{
    uint64_t entry[PAGEMAP_ENTRIES];
    uint64_t from = m->start;
    uint64_t at = m->start;
    size_t want;
    ssize_t n;
    int err = 0;

    while (err == 0 && at < m->end) {
        want = (m->end - at) / PAGE;
        want = want < PAGEMAP_ENTRIES ? want : PAGEMAP_ENTRIES;
        n = pread(p->pagemap, entry, want * sizeof(entry[0]),
                  (off_t)(at / PAGE * sizeof(entry[0])));
        if (n < (ssize_t)sizeof(entry[0])) {
            break; /* it does not say: read what is left */
        }
        for (size_t i = 0; err == 0 && i < (size_t)n / sizeof(entry[0]); i++) {
            if (!(entry[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED))) {
                err = read_range(p, m, from, at);
                from = at + PAGE;
            }
            at += PAGE;
        }
    }
    return err == 0 ? read_range(p, m, from, m->end) : err;
}

/*
 * Opens what is behind |m|, if it is shared and in memory only. -1 if it is
 * not, or if we may not: that takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
 */
static int open_shared(const struct process *p, const struct mapping *m)
{
    char path[96];
    struct statfs fs;
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64,
             (int)p->pid, m->start, m->end);
    return m->shared && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
                   statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC
               ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
               : -1;
}

/*
 * To read a hole in shared memory gives it a page, which stays, and which the
 * target pays for: where its memory is short that ends it. pagemap does not
 * help, it lacks what only other processes have touched.
 */
static int search_shared(struct process *p, struct mapping *m, int fd)
{
    uint64_t at = m->start;
    uint64_t from, to;
    off_t data, hole;
    int err = 0;

    while (err == 0 && at < m->end) {
        data = lseek(fd, (off_t)(m->file_off + (at - m->start)), SEEK_DATA);
        if (data < 0 && errno == ENXIO) {
            break; /* holes up to the end */
        }
        hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        from = data < 0 ? at : m->start + ((uint64_t)data - m->file_off);
        to = hole < 0 ? m->end : m->start + ((uint64_t)hole - m->file_off);
        to = to < m->end ? (to + PAGE - 1) / PAGE * PAGE : m->end;
        err = read_range(p, m, from, to);
        at = to;
    }
    return err;
}

static int search_file(struct process *p, struct mapping *m)
{
    int fd = open_shared(p, m);
    int err;

    if (fd < 0) {
        return read_range(p, m, m->start, m->end);
    }
    err = search_shared(p, m, fd);
    close(fd);
    return err;
}

static int search_mapping(struct process *p, struct mapping *m)
{
    if (m->fate == MAPPING_DEVICE) {
        m->unread = m->end - m->start;
    }
    if (m->fate != MAPPING_SEARCHED) {
        return 0;
    }
    if (!m->anonymous) {
        return search_file(p, m);
    }
    if (p->pagemap < 0) {
        return read_range(p, m, m->start, m->end);
    }
    return m->populated == 0 ? 0 : search_populated(p, m);
}

static int search_mappings(struct process *p, struct mapping_list *list)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < list->len; i++) {
        err = search_mapping(p, &list->at[i]);
    }
    /* Nothing at all can be read where the list is another program's. */
    if (err == -ENODATA || (err == 0 && p->reader.bytes == 0)) {
        mpkctl_error("process %d ended, or executed another program, while it "
                     "was searched: repeat that",
                     (int)p->pid);
        return -1;
    }
    if (err != 0) {
        explain(p->pid, -err);
    }
    return err == 0 ? 0 : -1;
}

/* A thread of process |pid| that is not its first, or 0. */
static pid_t other_thread(pid_t pid)
{
    char path[64];
    struct dirent *entry;
    pid_t tid = 0;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir != NULL && (tid == 0 || tid == pid) &&
           (entry = readdir(dir)) != NULL) {
        tid = (pid_t)strtol(entry->d_name, NULL, 10);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return tid == pid ? 0 : tid;
}

static void explain_empty(pid_t pid)
{
    pid_t tid = other_thread(pid);

    if (tid != 0) {
        mpkctl_error("the first thread of process %d has ended, others have "
                     "not: use --pid %d, which is one of these",
                     (int)pid, (int)tid);
    } else {
        mpkctl_error("process %d has no memory: it has ended, or it is a "
                     "kernel thread",
                     (int)pid);
    }
}

static int open_process(struct process *p, struct mapping_list *list,
                        struct matcher *matcher)
{
    int err;

    /* First of all: if it executes something else after that, this is memory
     * that is gone, and reading it says so. */
    p->mem = open_proc(p->pid, "mem");
    err = p->mem < 0 ? -errno : procmem_list(list, p->pid);
    if (err != 0 && (err != -ESRCH || kill(p->pid, 0) != 0)) {
        explain(p->pid, -err);
        return -1;
    }
    if (list->len == 0) {
        explain_empty(p->pid);
        return -1;
    }
    p->pagemap = open_proc(p->pid, "pagemap");
    err = blocks_init(&p->reader, p->mem, matcher);
    if (err != 0) {
        explain(p->pid, -err);
    }
    return err;
}

int procmem_search(struct mapping_list *list, struct matcher *matcher,
                   pid_t pid, uint64_t *searched)
{
    struct process p = {.pid = pid, .mem = -1, .pagemap = -1};
    int err = open_process(&p, list, matcher);

    if (err == 0) {
        err = search_mappings(&p, list);
    }
    *searched += p.reader.bytes;
    blocks_free(&p.reader);
    if (p.pagemap >= 0) {
        close(p.pagemap);
    }
    if (p.mem >= 0) {
        close(p.mem);
    }
    return err == 0 ? 0 : -1;
}

void procmem_name(char *name, size_t cap, pid_t pid)
{
    int fd = open_proc(pid, "comm");
    ssize_t n = fd < 0 ? -1 : read(fd, name, cap - 1);

    name[n < 0 ? 0 : n] = '\0';
    name[strcspn(name, "\n")] = '\0';
    for (char *c = name; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    }
    if (fd >= 0) {
        close(fd);
    }
}
