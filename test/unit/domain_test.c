/* The domain is made as asked or not at all, and is closed to the outside. */
#include "../../mpkcore/state.h"
#include "core_test.h"
#include "fail_syscall.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECRET 0x5ec2e75ec2e7a11aULL

enum { OP_SECRET = MPK_ENTRY_FIRST };

struct secret_frame {
    uint64_t *where;
};

static int64_t secret_stub(void *frame)
{
    struct secret_frame *f = frame;

    f->where = mpk_heap_alloc(sizeof(*f->where));
    *f->where = SECRET;
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {secret_stub, sizeof(struct secret_frame), MPK_KIND_STACK},
};

static volatile uint64_t *make_secret(void)
{
    struct secret_frame f = {NULL};

    CHECK(mpk_call(OP_SECRET, &f) == 0);
    return f.where;
}

/* A domain begins with two stacks, its control block and a unit of heap. */
#define FIRST_BYTES (200 << 10)

/* ---- making it ----------------------------------------------------------- */

static void test_init_makes_what_was_asked_for_once(const struct setup *s)
{
    struct mpk_config again = {.entries = entries,
                               .n_entries = COUNT_OF(entries)};
    struct mpk_info info;

    CHECK(mpk_core_info(&info) == -ENXIO);
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_core_info(&info) == 0);
    CHECK(info.backend == s->backend);
    CHECK((info.pkey > 0) == (s->backend == MPK_BACKEND_MPK));
    CHECK(s->memory != MPK_MEMORY_SECRETMEM || info.committed_anon == 0);
    CHECK(s->memory != MPK_MEMORY_ANONYMOUS || info.committed_secret == 0);
    CHECK(info.committed_secret + info.committed_anon >= FIRST_BYTES);
    again.backend = s->backend;
    CHECK(mpk_core_init(&again) == -EALREADY);
    CHECK(make_secret() != NULL);
    /* Nor by an entry that everybody can call. */
    CHECK(mpk_call(0, NULL) == -EALREADY);
    CHECK(make_secret() != NULL);
}

static int init_with(const struct setup *s, const struct mpk_entry *table,
                     uint32_t n, size_t n_outside)
{
    struct mpk_config c = {.backend = s->backend,
                           .memory = s->memory,
                           .entries = table,
                           .n_entries = n,
                           .n_outside = n_outside};

    return mpk_core_init(&c);
}

static void test_a_config_without_sense_is_refused(const struct setup *s)
{
    static const struct mpk_entry swapped[] = {
        {mpk_fork_stub, MPK_FORK_FRAME_LEN, MPK_KIND_STACK},
        {mpk_boot_stub, 0, MPK_KIND_STACK},
        {mpk_stack_stub, 0, MPK_KIND_STACK},
    };
    static const struct mpk_entry no_boot[] = {
        {mpk_fork_stub, MPK_FORK_FRAME_LEN, MPK_KIND_STACK},
        {mpk_fork_stub, MPK_FORK_FRAME_LEN, MPK_KIND_STACK},
        {mpk_stack_stub, 0, MPK_KIND_STACK},
    };
    static const struct mpk_entry no_fork[] = {
        {mpk_boot_stub, 0, MPK_KIND_STACK},
        {mpk_boot_stub, 0, MPK_KIND_STACK},
        {mpk_stack_stub, 0, MPK_KIND_STACK},
    };
    static const struct mpk_entry no_stack[] = {
        {mpk_boot_stub, 0, MPK_KIND_STACK},
        {mpk_fork_stub, MPK_FORK_FRAME_LEN, MPK_KIND_STACK},
        {mpk_boot_stub, 0, MPK_KIND_STACK},
    };
    static const struct mpk_entry no_kind[] = {
        MPK_CORE_ENTRIES, {secret_stub, 8, MPK_KIND_LIGHT + 1}};
    static const struct mpk_entry too_long[] = {
        MPK_CORE_ENTRIES, {secret_stub, MPK_FRAME_MAX + 1, MPK_KIND_STACK}};
    static const struct mpk_entry no_stub[] = {MPK_CORE_ENTRIES,
                                               {NULL, 0, MPK_KIND_STACK}};
    static const struct mpk_range half = {NULL, 2048};
    struct mpk_config half_pages = {.backend = s->backend,
                                    .memory = s->memory,
                                    .entries = entries,
                                    .n_entries = 3,
                                    .outside = &half,
                                    .n_outside = 1};
    struct setup no_backend = {(enum mpk_backend)7, s->memory};
    struct setup no_memory = {s->backend, (enum mpk_memory)7};

    CHECK(init_with(s, NULL, 3, 0) == -EINVAL);
    CHECK(init_with(s, entries, 2, 0) == -EINVAL);
    CHECK(init_with(s, swapped, 3, 0) == -EINVAL);
    CHECK(init_with(s, no_boot, 3, 0) == -EINVAL);
    CHECK(init_with(s, no_fork, 3, 0) == -EINVAL);
    CHECK(init_with(s, no_stack, 3, 0) == -EINVAL);
    CHECK(init_with(s, no_kind, 4, 0) == -EINVAL);
    CHECK(init_with(s, too_long, 4, 0) == -EINVAL);
    CHECK(init_with(s, no_stub, 4, 0) == -EINVAL);
    CHECK(init_with(s, entries, 4, 9) == -EINVAL);
    CHECK(mpk_core_init(&half_pages) == -EINVAL);
    CHECK(init_with(&no_backend, entries, 4, 0) == -EINVAL);
    CHECK(init_with(&no_memory, entries, 4, 0) == -EINVAL);
    /* What failed left nothing behind. */
    CHECK(init_with(s, entries, 4, 0) == 0);
}

static void change_what_is_read_only(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    *(volatile char *)(uintptr_t)&mpk_ro = 0;
}

static void test_where_things_are_cannot_be_changed(const struct setup *s)
{
    struct outcome o = run_in_child(change_what_is_read_only, s);

    CHECK(o.status == FAULTED && o.signo == SIGSEGV && o.code == SEGV_ACCERR);
}

static void test_each_error_is_explained(const struct setup *s)
{
    static const int documented[] = {-EALREADY, -EINVAL, -ENOTSUP, -ENOSPC,
                                     -EPERM,    -ENOMEM, -EAGAIN,  -ENOSYS,
                                     -ENODEV,   -EACCES, -EIO,     -EFBIG};

    (void)s;
    for (size_t i = 0; i < COUNT_OF(documented); i++) {
        CHECK(strcmp(mpk_core_strerror(documented[i]),
                     mpk_core_strerror(-12345)) != 0);
    }
}

static void test_without_a_key_there_is_no_domain(const struct setup *s)
{
    struct setup keys = {MPK_BACKEND_MPK, MPK_MEMORY_AUTO};
    int key[16], n = 0;

    while (n < 16 && (key[n] = pkey_alloc(0, 0)) >= 0) {
        n++;
    }
    CHECK(init_with(&keys, entries, 3, 0) == (n == 0 ? -ENOTSUP : -ENOSPC));
    if (n > 0) {
        pkey_free(key[n - 1]);
        CHECK(init_with(&keys, entries, 3, 0) == 0);
        return;
    }
    CHECK(init_with(s, entries, 4, 0) == 0);
}

static void test_a_small_memory_lock_limit_is_no_obstacle(const struct setup *s)
{
    struct mpk_info info;

    if (!become_nobody(65536)) {
        return;
    }
    if (s->memory == MPK_MEMORY_SECRETMEM) {
        CHECK(init_with(s, entries, 3, 0) == -EAGAIN);
        return;
    }
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_core_info(&info) == 0);
    CHECK(info.committed_anon >= FIRST_BYTES);
    CHECK(strstr(last_notice, "RLIMIT_MEMLOCK") != NULL);
    CHECK(make_secret() != NULL);
}

static void test_a_limit_on_files_is_no_obstacle(const struct setup *s)
{
    struct rlimit limit = {4096, 4096};
    struct mpk_info info;

    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    if (s->memory == MPK_MEMORY_SECRETMEM) {
        CHECK(init_with(s, entries, 3, 0) == -EFBIG);
        return;
    }
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_core_info(&info) == 0);
    CHECK(info.committed_secret == 0);
    CHECK(s->memory == MPK_MEMORY_ANONYMOUS ||
          strstr(last_notice, "RLIMIT_FSIZE") != NULL);
    CHECK(make_secret() != NULL);
}

/* In a container, or a user namespace, root is like anybody. */
static void test_root_has_a_memory_lock_limit_too(const struct setup *s)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2];
    struct rlimit limit = {512 << 10, 512 << 10};
    struct mpk_info info;

    if (geteuid() != 0 || s->memory != MPK_MEMORY_AUTO) {
        return;
    }
    CHECK(syscall(SYS_capget, &head, caps) == 0);
    caps[0].effective &= ~(1U << CAP_IPC_LOCK);
    caps[0].permitted &= ~(1U << CAP_IPC_LOCK);
    CHECK(syscall(SYS_capset, &head, caps) == 0);
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_core_info(&info) == 0);
    CHECK(info.committed_secret <= 256 << 10); /* the rest is for a child */
    CHECK(make_secret() != NULL);
}

static void test_who_was_root_has_it_as_well(const struct setup *s)
{
    struct rlimit limit = {512 << 10, 512 << 10};
    struct mpk_info before, after;

    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_core_info(&before) == 0);
    /* Only root was given so much, and not in every container. */
    if (before.committed_secret <= 256 << 10) {
        return;
    }
    CHECK(setresuid(65534, 65534, 65534) == 0);
    for (int i = 0; i < 6000; i++) {
        make_secret();
    }
    CHECK(mpk_core_info(&after) == 0);
    CHECK(after.committed_secret == before.committed_secret);
    CHECK(after.committed_anon > before.committed_anon);
}

static void test_signals_have_to_be_kept_out(const struct setup *s)
{
    CHECK(fail_syscall(SYS_rt_sigprocmask, EPERM));
    CHECK(init_with(s, entries, 3, 0) == -EPERM);
}

/* ---- closed -------------------------------------------------------------- */

static void (*access_secret)(volatile uint64_t *);
static volatile uint64_t *secret;
static volatile uint64_t sink;

static void read_it(volatile uint64_t *p)
{
    sink = *p;
}

static void write_it(volatile uint64_t *p)
{
    *p = 1;
}

static void here(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    secret = make_secret();
    access_secret(secret);
}

static void *wait_and_access(void *go)
{
    while (!__atomic_load_n((int *)go, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    access_secret(secret);
    return NULL;
}

static void in_earlier_thread(const struct setup *s)
{
    pthread_t thread;
    int go = 0;

    pthread_create(&thread, NULL, wait_and_access, &go);
    make_domain(s, entries, COUNT_OF(entries));
    secret = make_secret();
    __atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
}

static void in_later_thread(const struct setup *s)
{
    pthread_t thread;
    int go = 1;

    make_domain(s, entries, COUNT_OF(entries));
    secret = make_secret();
    pthread_create(&thread, NULL, wait_and_access, &go);
    pthread_join(thread, NULL);
}

static void on_signal(int signo)
{
    (void)signo;
    access_secret(secret);
}

static void in_signal_handler(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    secret = make_secret();
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
}

/* Seen to fail for mpk with the key left out of map.c's tag(). */
static void closed_in(child_body *place, const struct setup *s)
{
    struct outcome o = run_in_child(place, s);

    if (s->backend == MPK_BACKEND_NONE) {
        CHECK(o.status == 0);
        return;
    }
    CHECK(o.status == FAULTED);
    CHECK(o.signo == SIGSEGV);
    if (s->backend == MPK_BACKEND_MPK) {
        CHECK(o.code == SEGV_PKUERR);
        CHECK(o.key > 0);
    } else {
        CHECK(o.code == SEGV_ACCERR);
    }
}

static void closed_everywhere(const struct setup *s)
{
    closed_in(here, s);
    closed_in(in_earlier_thread, s);
    closed_in(in_later_thread, s);
    closed_in(in_signal_handler, s);
}

static void test_read_outside_faults(const struct setup *s)
{
    access_secret = read_it;
    closed_everywhere(s);
}

static void test_write_outside_faults(const struct setup *s)
{
    access_secret = write_it;
    closed_everywhere(s);
}

static void say_key_and_touch(const struct setup *s)
{
    struct mpk_info info;

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_core_info(&info) == 0);
    secret = make_secret();
    dprintf(STDERR_FILENO, "key %d at %p", info.pkey, (void *)secret);
    read_it(secret);
}

static void test_the_fault_names_the_key_and_the_address(const struct setup *s)
{
    struct outcome o = run_in_child(say_key_and_touch, s);
    char expected[64];

    snprintf(expected, sizeof(expected), "key %d at %p",
             s->backend == MPK_BACKEND_MPK ? o.key : -1, (void *)o.addr);
    CHECK(o.signo == SIGSEGV);
    CHECK(strcmp(o.err, expected) == 0);
}

/* ---- what the kernel says of the pages ----------------------------------- */

struct mapping {
    uintptr_t start, end;
    char rights[8];
    int key;
    bool dontdump;
};

/* Reads one entry of smaps; false at the end. */
static bool next_mapping(FILE *smaps, struct mapping *m)
{
    uintptr_t start, end;
    char line[512];

    m->key = -1;
    while (fgets(line, sizeof(line), smaps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, m->rights) == 3) {
            m->start = start;
            m->end = end;
            continue;
        }
        sscanf(line, "ProtectionKey: %d", &m->key);
        if (strncmp(line, "VmFlags:", 8) == 0) {
            m->dontdump = strstr(line, " dd") != NULL;
            return true;
        }
    }
    return false;
}

static void test_every_page_is_keyed_and_kept_from_dumps(const struct setup *s)
{
    FILE *smaps;
    struct mapping m;
    struct mpk_info info;
    size_t usable = 0, dumpable = 0;

    make_domain(s, entries, COUNT_OF(entries));
    make_secret();
    CHECK(mpk_core_info(&info) == 0);
    smaps = fopen("/proc/self/smaps", "r");
    while (next_mapping(smaps, &m)) {
        if (m.end <= (uintptr_t)info.base ||
            m.start >= (uintptr_t)info.base + info.size) {
            continue;
        }
        dumpable += m.dontdump ? 0 : m.end - m.start;
        if (m.rights[0] == 'r' || m.rights[1] == 'w') {
            usable += m.end - m.start;
            CHECK(s->backend != MPK_BACKEND_MPROTECT);
            CHECK(s->backend != MPK_BACKEND_MPK || m.key == info.pkey);
        }
        CHECK(m.rights[2] == '-');
    }
    fclose(smaps);
    CHECK(dumpable == 0);
    CHECK((usable > FIRST_BYTES) == (s->backend != MPK_BACKEND_MPROTECT));
}

static void test_no_descriptor_stays_open(const struct setup *s)
{
    int before = open_fds();

    make_domain(s, entries, COUNT_OF(entries));
    make_secret();
    CHECK(open_fds() == before);
}

/* ---- around the key: documented for anonymous memory --------------------- */

static bool read_by_proc_mem(const volatile uint64_t *p)
{
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uint64_t got = 0;
    ssize_t n = pread(fd, &got, sizeof(got), (off_t)(uintptr_t)p);

    CHECK(fd >= 0);
    CHECK(n == (ssize_t)sizeof(got) || errno == EIO || errno == EFAULT);
    close(fd);
    return got == SECRET;
}

static bool read_by_readv(const volatile uint64_t *p)
{
    uint64_t got = 0;
    struct iovec to = {&got, sizeof(got)};
    struct iovec from = {(void *)(uintptr_t)p, sizeof(got)};
    ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

    CHECK(n == (ssize_t)sizeof(got) || errno == EFAULT);
    return got == SECRET;
}

static void test_only_secretmem_is_closed_to_the_kernel(const struct setup *s)
{
    bool anonymous = s->memory == MPK_MEMORY_ANONYMOUS;

    if (s->memory == MPK_MEMORY_AUTO) {
        return;
    }
    make_domain(s, entries, COUNT_OF(entries));
    secret = make_secret();
    CHECK(read_by_proc_mem(secret) == anonymous);
    /* process_vm_readv minds mprotect, but not keys. */
    CHECK(read_by_readv(secret) ==
          (anonymous && s->backend != MPK_BACKEND_MPROTECT));
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_init_makes_what_was_asked_for_once, 0),
        TEST(test_a_config_without_sense_is_refused, 0),
        TEST(test_where_things_are_cannot_be_changed, ONE_MEMORY),
        TEST(test_each_error_is_explained, ONE_MEMORY),
        TEST(test_without_a_key_there_is_no_domain, ONE_MEMORY),
        TEST(test_a_small_memory_lock_limit_is_no_obstacle, 0),
        TEST(test_a_limit_on_files_is_no_obstacle, 0),
        TEST(test_root_has_a_memory_lock_limit_too, 0),
        TEST(test_who_was_root_has_it_as_well, ONE_MEMORY),
        TEST(test_signals_have_to_be_kept_out, ONE_MEMORY),
        TEST(test_read_outside_faults, 0),
        TEST(test_write_outside_faults, 0),
        TEST(test_the_fault_names_the_key_and_the_address, NEEDS_CLOSING),
        TEST(test_every_page_is_keyed_and_kept_from_dumps, 0),
        TEST(test_no_descriptor_stays_open, 0),
        TEST(test_only_secretmem_is_closed_to_the_kernel, 0),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
