/*
 * The module's constants and what ld.so has made read-only of it cannot be made
 * writable: who writes memory has libc call mprotect for any page, and with
 * another table of a curve signatures give their key.
 *
 * Seen to fail: without map_module_fix, and where that leaves constants out (in
 * a process with a filter, as most services have one; without, mseal keeps
 * them).
 */
#include "interop.h"
#include "keys.h"

#include "../unit/fail_syscall.h"

#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL

static int constants, relocated;

static int becomes_writable(uintptr_t at)
{
    void *page = (void *)(at & ~(PAGE - 1));

    return mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0;
}

static int look_at(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    if (strstr(info->dlpi_name, "mpk.so") == NULL) {
        return 0;
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + ph->p_vaddr;

        if (ph->p_type == PT_LOAD && ph->p_flags == PF_R && ph->p_offset != 0) {
            constants++;
#ifndef MPK_SANITIZED /* whose module's data is not the domain's */
            CHECK(!becomes_writable(at));
            CHECK(!becomes_writable(at + ph->p_memsz - 1));
#endif
        }
        if (ph->p_type == PT_GNU_RELRO) {
            relocated++;
            CHECK(!becomes_writable(at));
            CHECK(!becomes_writable(at + ph->p_memsz - PAGE));
        }
    }
    return 1;
}

int main(void)
{
    EVP_PKEY *key;

    if (!fail_syscall(SYS_mseal, EPERM)) {
        puts("skipped: no filters of system calls here");
        return 77;
    }
    interop_start();
    key = key_load(key_type_at(0));
    CHECK_HELD(key);
    if (interop_protected()) {
        CHECK(dl_iterate_phdr(look_at, NULL) == 1);
        CHECK(constants > 0 && relocated > 0);
    }
    EVP_PKEY_free(key);
    return interop_finish();
}
