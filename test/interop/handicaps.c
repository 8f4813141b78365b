/* handicaps.c - what a machine can lack, for the process that asks for it. */
#include "handicaps.h"

#include "../unit/fail_syscall.h"

#include <openssl/crypto.h>

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

bool no_pkey_alloc(void)
{
    return fail_syscall(SYS_pkey_alloc, ENOSYS);
}

bool pkey_alloc_not_allowed(void)
{
    return fail_syscall(SYS_pkey_alloc, EPERM);
}

bool pkey_alloc_says_invalid(void)
{
    return fail_syscall(SYS_pkey_alloc, EINVAL);
}

bool pkey_alloc_says_no_space(void)
{
    return fail_syscall(SYS_pkey_alloc, ENOSPC);
}

bool all_keys_are_taken(void)
{
    while (pkey_alloc(0, 0) >= 0) {
    }
    return true;
}

bool one_key_is_left(void)
{
    int key = pkey_alloc(0, 0);

    return key >= 0 && all_keys_are_taken() && pkey_free(key) == 0;
}

bool no_secretmem(void)
{
    return fail_syscall(SYS_memfd_secret, ENOSYS);
}

bool secretmem_not_allowed(void)
{
    return fail_syscall(SYS_memfd_secret, EPERM);
}

bool madvise_not_allowed(void)
{
    return fail_syscall(SYS_madvise, EPERM);
}

/* As many bytes as the core asks for. */
bool getrandom_not_allowed(void)
{
    return fail_syscall_with(SYS_getrandom, 1, sizeof(uint64_t), EPERM);
}

/* As root is in a container: without the right to lock more. */
bool locked_memory(size_t bytes)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2];
    struct rlimit limit = {bytes, bytes};

    if (syscall(SYS_capget, &head, caps) != 0) {
        return false;
    }
    caps[0].effective &= ~(1U << CAP_IPC_LOCK);
    caps[0].permitted &= ~(1U << CAP_IPC_LOCK);
    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
           syscall(SYS_capset, &head, caps) == 0;
}

bool no_capability(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2] = {{0}};

    return syscall(SYS_capset, &head, caps) == 0;
}

bool little_locked_memory(void)
{
    return locked_memory(65536);
}

/* Without any, libcrypto cannot read its configuration, and nobody is asked. */
bool one_descriptor(void)
{
    struct rlimit limit = {4, 4};

    closefrom(3); /* what the caller has left open */
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

bool no_descriptor(void)
{
    struct rlimit limit = {0, 0};

    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static bool address_space(size_t mib)
{
    struct rlimit limit = {(rlim_t)mib << 20, (rlim_t)mib << 20};

    return setrlimit(RLIMIT_AS, &limit) == 0;
}

/* What Dovecot allows its processes. */
bool some_address_space(void)
{
    return address_space(256);
}

bool little_address_space(void)
{
    return address_space(48);
}

/*
 * What pthread_atfork(3) calls: libc's, but for the handlers of the module that
 * are to have no memory.
 *
 * Seen to fail: with either registration of provider.c unchecked.
 */
static enum { ALL_REGISTER, NO_CHILD, NO_LOCK } handlers;

int __register_atfork(void (*before)(void), void (*parent)(void),
                      void (*child)(void), void *dso);
int __register_atfork(void (*before)(void), void (*parent)(void),
                      void (*child)(void), void *dso)
{
    int (*real)(void (*)(void), void (*)(void), void (*)(void), void *);
    Dl_info info = {0};

    if (dladdr(dso, &info) != 0 && strstr(info.dli_fname, "mpk.so") != NULL &&
        handlers == (before == NULL ? NO_CHILD : NO_LOCK)) {
        return ENOMEM;
    }
    *(void **)&real = dlsym(RTLD_NEXT, "__register_atfork");
    return real(before, parent, child, dso);
}

bool no_child_handler(void)
{
    handlers = NO_CHILD;
    return true;
}

bool no_lock_handler(void)
{
    handlers = NO_LOCK;
    return true;
}

static void **mapping;
static long mappings;

static bool give_back_one(void)
{
    return mappings > 0 &&
           munmap(mapping[--mappings], (size_t)sysconf(_SC_PAGESIZE)) == 0;
}

bool one_mapping(void)
{
    long page = sysconf(_SC_PAGESIZE);
    FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
    long most = LONG_MAX;
    void *p;

    if (f != NULL) {
        most = fscanf(f, "%ld", &most) == 1 ? most : LONG_MAX;
        fclose(f);
    }
    if (most > 1000000) {
        return false;
    }
    if (mapping == NULL) {
        mapping = calloc((size_t)most, sizeof(*mapping));
    }
    /* Neighbours with other rights stay mappings of their own. */
    while (mapping != NULL && mappings < most) {
        p = mmap(NULL, (size_t)page, mappings % 2 != 0 ? PROT_READ : PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            break;
        }
        mapping[mappings++] = p;
    }
    return give_back_one();
}

void many_mappings(void)
{
    while (give_back_one()) {
    }
}

static void *malloc_but_names(size_t len, const char *file, int line)
{
    (void)line;
    return strstr(file, "namemap.c") != NULL ? NULL : malloc(len);
}

static void *realloc_any(void *p, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(p, len);
}

static void free_any(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

/* Newer libcryptos have them from the start. The module gives this one a second
 * for them, in pauses of a millisecond. */
bool no_memory_for_names(void)
{
    return OpenSSL_version_num() < 0x30100000L &&
           CRYPTO_set_mem_functions(malloc_but_names, realloc_any, free_any) &&
           fail_syscall(SYS_nanosleep, EINTR);
}
