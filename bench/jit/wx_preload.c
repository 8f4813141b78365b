/*
 * wx_preload.c - who may write a JIT's code cache, and when. For LD_PRELOAD.
 *
 * LuaJIT keeps code either writable or executable: it calls mprotect before
 * and after each change. WX_MODE says what becomes of these calls:
 *   mprotect  they are made
 *   none      each part of the code cache becomes writable and executable once,
 *             and nothing else is done
 *   mpk       the code cache is a page group; a right to write is a key switch
 *             of the calling thread. No other thread can write meanwhile, which
 *             mprotect allows, and there is no system call
 *
 * The code cache is what is first made executable. Its pages then move into a
 * group at the same address, with room below it, where LuaJIT asks for more.
 * The group stays open for reading, since code has its constants in it. It is
 * for a process with one Lua state, used by one thread.
 *
 * WX_STATS=1 says at the end how often rights were to change, and how many
 * system calls came of it; WX_FAULTS=1 says what kind of fault ends a process.
 */
#include <mpkcore/mpk.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define ROOM ((size_t)2 << 20)
#define STEP ((size_t)64 << 10)
#define MAX_PARTS 256
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

#define REFUSED 3 /* exit status: this mode cannot be had */
#define FAULTED 99

static struct {
    enum { MPROTECT, NONE, MPK } mode;
    /* The code cache: all of it in mode mpk, or 0. */
    char *base;
    mpk_vkey_t vkey;
    /* Of each page: whether a part of the cache starts here, and how. */
    enum { UNUSED, CLOSED, OPEN } part[ROOM / PAGE];
    unsigned open, parts; /* how many */
    /* Mode none: parts that are writable and executable. */
    struct {
        void *p;
        size_t len;
    } done[MAX_PARTS];
    unsigned n_done;
    unsigned long changes, calls;
} wx;

__attribute__((noreturn)) static void die(const char *what, int status)
{
    fprintf(stderr, "wx_preload: %s\n", what);
    _exit(status);
}

/* ---- system calls, past our own functions -------------------------------- */

static int sys_mprotect(void *p, size_t len, int prot)
{
    wx.calls++;
    return (int)syscall(SYS_mprotect, p, len, prot);
}

static void *sys_mmap(void *p, size_t len, int prot, int flags, int fd,
                      off_t offset)
{
    return (void *)syscall(SYS_mmap, p, len, prot, flags, fd, offset);
}

/* ---- the page group ------------------------------------------------------ */

static int is_ours(const void *p)
{
    return wx.base != NULL && (const char *)p >= wx.base &&
           (const char *)p < wx.base + ROOM;
}

static size_t part_of(const void *p)
{
    return (size_t)((const char *)p - wx.base) / PAGE;
}

/* Parts are opened and closed by themselves; the group is open while any is. */
static void set_part(const void *p, int state)
{
    size_t i = part_of(p);
    int was = wx.part[i];

    if (state == OPEN && was != OPEN && wx.open++ == 0) {
        if (mpk_begin(wx.vkey, RW) != 0) {
            die("mpk_begin failed", 1);
        }
    } else if (state != OPEN && was == OPEN && --wx.open == 0) {
        if (mpk_end(wx.vkey) != 0) {
            die("mpk_end failed", 1);
        }
    }
    wx.parts += (state != UNUSED) - (was != UNUSED);
    wx.part[i] = state;
}

/* LuaJIT gives a full code cache up, and asks for another one elsewhere. From
 * then on munmap is the kernel's for these pages: the core calls it. */
static void drop_part(const void *p)
{
    set_part(p, UNUSED);
    if (wx.parts == 0) {
        wx.base = NULL;
        if (mpk_end(wx.vkey) != 0 || mpk_munmap(wx.vkey) != 0) {
            die("the page group cannot be given up", 1);
        }
    }
}

/* A group that holds [p, p + len), with as much room below as there is. */
static char *group_around(char *p, size_t len)
{
    for (char *want = p + len - ROOM; want <= p; want += STEP) {
        void *got = want;

        if (mpk_mmap(&wx.vkey, &got, ROOM, RWX, ANON, -1, 0) != 0) {
            die("mpk_mmap failed", 1);
        }
        if (got == want) {
            return got;
        }
        mpk_munmap(wx.vkey);
    }
    die("there is no room around the code cache", 1);
}

static void adopt(char *p, size_t len)
{
    char *copy = sys_mmap(NULL, len, RW, ANON, -1, 0);

    if (wx.base != NULL || len > ROOM || copy == MAP_FAILED) {
        die("the code cache has grown out of its page group", 1);
    }
    memcpy(copy, p, len);
    syscall(SYS_munmap, p, len);
    wx.base = group_around(p, len);
    if (mpk_begin(wx.vkey, PROT_READ) != 0) {
        die("mpk_begin failed", 1);
    }
    set_part(p, OPEN);
    memcpy(p, copy, len);
    syscall(SYS_munmap, copy, len);
}

static int mprotect_mpk(void *p, size_t len, int prot)
{
    if (prot == RX && !is_ours(p)) {
        adopt(p, len);
    }
    if (!is_ours(p)) {
        return sys_mprotect(p, len, prot);
    }
    if (prot != RX && prot != RW) {
        die("rights to the code cache that no JIT should ask for", 1);
    }
    set_part(p, prot == RW ? OPEN : CLOSED);
    return 0;
}

/* ---- what LuaJIT calls --------------------------------------------------- */

static int is_done(const void *p, size_t len)
{
    for (unsigned i = 0; i < wx.n_done; i++) {
        if (wx.done[i].p == p && wx.done[i].len == len) {
            return 1;
        }
    }
    return 0;
}

/* A part that goes; another one may come to its place. */
static void forget(const void *p)
{
    for (unsigned i = 0; i < wx.n_done; i++) {
        if (wx.done[i].p == p) {
            wx.done[i] = wx.done[--wx.n_done];
            return;
        }
    }
}

static int mprotect_none(void *p, size_t len, int prot)
{
    int err;

    if (prot == RW || (prot == RX && is_done(p, len))) {
        return 0;
    }
    err = sys_mprotect(p, len, prot == RX ? RWX : prot);
    if (prot == RX && err == 0) {
        if (wx.n_done == MAX_PARTS) {
            die("the code cache has too many parts", 1);
        }
        wx.done[wx.n_done].p = p;
        wx.done[wx.n_done++].len = len;
    }
    return err;
}

int mprotect(void *p, size_t len, int prot)
{
    wx.changes += prot == RX || prot == RW;
    switch (wx.mode) {
    case MPK:
        return mprotect_mpk(p, len, prot);
    case NONE:
        return mprotect_none(p, len, prot);
    default:
        return sys_mprotect(p, len, prot);
    }
}

/* More code cache, right below what there is. */
static int is_next_part(const char *p, size_t len, int prot)
{
    return prot == RW && is_ours(p) && is_ours(p + len - 1) &&
           wx.part[part_of(p)] == UNUSED;
}

void *mmap64(void *p, size_t len, int prot, int flags, int fd, off_t offset)
{
    if (is_next_part(p, len, prot) && flags == ANON) {
        set_part(p, OPEN);
        return p;
    }
    return sys_mmap(p, len, prot, flags, fd, offset);
}

void *mmap(void *p, size_t len, int prot, int flags, int fd, off_t offset)
{
    return mmap64(p, len, prot, flags, fd, offset);
}

int munmap(void *p, size_t len)
{
    if (is_ours(p)) {
        drop_part(p);
        return 0;
    }
    forget(p);
    return (int)syscall(SYS_munmap, p, len);
}

/* ---- start and end ------------------------------------------------------- */

static void on_fault(int signo, siginfo_t *info, void *context)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "fault: code %d, %s\n", info->si_code,
                     !is_ours(info->si_addr)        ? "elsewhere"
                     : info->si_code == SEGV_PKUERR ? "code cache, its key"
                                                    : "code cache");

    (void)signo;
    (void)context;
    if (write(STDERR_FILENO, text, (size_t)n) < 0) {
        _exit(1);
    }
    _exit(FAULTED);
}

__attribute__((constructor)) static void start(void)
{
    const char *mode = getenv("WX_MODE");
    int err;

    if (getenv("WX_FAULTS") != NULL) {
        struct sigaction a = {.sa_flags = SA_SIGINFO};

        a.sa_sigaction = on_fault;
        sigaction(SIGSEGV, &a, NULL);
    }
    if (mode == NULL || strcmp(mode, "mprotect") == 0) {
        return;
    }
    if (strcmp(mode, "none") == 0) {
        wx.mode = NONE;
    } else if (strcmp(mode, "mpk") == 0) {
        err = mpk_init(NULL);
        if (err != 0) {
            die(mpk_core_strerror(err), REFUSED);
        }
        wx.mode = MPK;
    } else {
        die("WX_MODE is mprotect, none or mpk", 2);
    }
}

__attribute__((destructor)) static void finish(void)
{
    if (getenv("WX_STATS") != NULL) {
        fprintf(stderr, "wx_preload: %lu changes of rights, %lu calls\n",
                wx.changes, wx.calls);
    }
}
