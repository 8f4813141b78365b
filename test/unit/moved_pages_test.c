/*
 * Where mremap passes with MREMAP_FIXED only, the domain has all that it needs,
 * and its pages cannot be had elsewhere, which libc's realloc can be made to
 * ask for (threat-model.md). Seen to fail without the filter, and with one that
 * lets no mremap pass.
 */
#include "core_test.h"
#include "fail_syscall.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OP_GROW = MPK_ENTRY_FIRST, OP_LOOK };

#define BLOCK 100000
#define BLOCKS 10

static char *block; /* the last */

/* Returns how many blocks there were. */
static int64_t grow_stub(void *frame)
{
    int64_t n = 0;

    (void)frame;
    while (n < BLOCKS && (block = mpk_heap_alloc(BLOCK)) != NULL) {
        block[BLOCK - 1] = 'x';
        n++;
    }
    return n;
}

static int64_t look_stub(void *frame)
{
    (void)frame;
    return block[BLOCK - 1];
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {grow_stub, 0, MPK_KIND_STACK},
    {look_stub, 0, MPK_KIND_STACK},
};

static bool pass_fixed_only(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args) + 3 * 8),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MREMAP_FIXED, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

    return fail_by(code, COUNT_OF(code));
}

/* As realloc asks: to be longer, and so elsewhere; or, with a length of 0, of
 * pages that are shared, as secretmem is, once more. */
static void cannot_be_had_elsewhere(size_t len)
{
    char *page = (char *)((uintptr_t)block & ~(uintptr_t)4095);

    CHECK(mremap(page, len, (size_t)2 << 20, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK(errno == EPERM);
}

static void child_has_it_too(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(mpk_call(OP_LOOK, NULL) != 'x');
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_where_mremap_passes_in_part(const struct setup *s)
{
    struct mpk_info before, now;

    if (!pass_fixed_only()) {
        fprintf(stderr, "system calls cannot be filtered here\n");
        _exit(77);
    }
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_core_info(&before) == 0);
    CHECK(mpk_call(OP_GROW, NULL) == BLOCKS);
    CHECK(mpk_core_info(&now) == 0);
    /* What mremap is for was not given up. */
    CHECK(before.committed_secret == 0 ||
          (now.committed_secret >= before.committed_secret + BLOCKS * BLOCK &&
           now.committed_anon == before.committed_anon));
    cannot_be_had_elsewhere(0);
    cannot_be_had_elsewhere(4096);
    child_has_it_too();
    CHECK(mpk_call(OP_LOOK, NULL) == 'x');
}

static const struct core_test tests[] = {
    TEST(test_where_mremap_passes_in_part, NOT_SANITIZED),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
