#include "vkey_probe.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* ---- whether an access faults, and how ----------------------------------- */

static __thread sigjmp_buf after;
static __thread volatile int probing;
__thread volatile int seen_code, seen_key;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (!probing) {
        signal(signo, SIG_DFL);
        return;
    }
    seen_code = info->si_code;
    seen_key = info->si_code == SEGV_PKUERR ? (int)info->si_pkey : -1;
    siglongjmp(after, 1);
}

/* siglongjmp leaves the rights of the handler, which are those of nobody. */
static void keep_faults(void)
{
    struct sigaction a = {.sa_flags = SA_SIGINFO | SA_NODEFER};

    a.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &a, NULL);
}

bool touches_byte(const volatile char *p, bool write)
{
    uint32_t rights = vk_ro.backend == MPK_BACKEND_MPK ? mpk_rights_get() : 0;
    bool ok = false;

    probing = 1;
    if (sigsetjmp(after, 0) == 0) {
        if (write) {
            __atomic_store_n((volatile char *)(uintptr_t)p, 1,
                             __ATOMIC_RELAXED);
        } else {
            /* Others write there at the same time, as the model does. */
            (void)__atomic_load_n(p, __ATOMIC_RELAXED);
        }
        ok = true;
    }
    probing = 0;
    if (vk_ro.backend == MPK_BACKEND_MPK) {
        mpk_rights_set(~0U, rights);
    }
    return ok;
}

bool touches(const volatile char *p, bool write)
{
    return touches_byte(write ? p + 4000 : p, write);
}

int key_of(mpk_vkey_t vkey)
{
    return atomic_load(&vk_ro.view->row[vkey & (VK_ROWS - 1)].key);
}

/* ---- making -------------------------------------------------------------- */

struct mpk_params params;

void start(const struct setup *s)
{
    int err;

    params.backend = s->backend;
    err = mpk_init(&params);
    if (err != 0) {
        fprintf(stderr, "mpk_init: %s\n", mpk_core_strerror(err));
        _exit(1);
    }
    keep_faults();
}

char *group(mpk_vkey_t *vkey, size_t len, int prot)
{
    void *p = NULL;
    int err = mpk_mmap(vkey, &p, len, prot, ANON, -1, 0);

    if (err != 0) {
        fprintf(stderr, "mpk_mmap: %d\n", err);
        _exit(1);
    }
    return p;
}
