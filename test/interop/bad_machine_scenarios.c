/* bad_machine_scenarios.c - the table of bad_machine_test. */
#include "bad_machine.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The same, and what is said of it goes to a pipe that nobody reads. */
static bool no_reader(void)
{
    int end[2];

    if (pipe(end) != 0 || dup2(end[1], STDERR_FILENO) < 0) {
        return false;
    }
    close(end[0]);
    close(end[1]);
    return no_descriptor();
}

/* Files are as large as they may be: secretmem, and the one for what is said of
 * it. */
static bool full_log(void)
{
    const struct rlimit limit = {4096, 4096};
    int fd = memfd_create("log", MFD_CLOEXEC);

    return fd >= 0 && ftruncate(fd, (off_t)limit.rlim_cur) == 0 &&
           lseek(fd, 0, SEEK_END) >= 0 && dup2(fd, STDERR_FILENO) >= 0 &&
           setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

/* Another section for session secrets, behind that of the profile. */
#define SECOND                                                                 \
    "\n[list]\nMPL = second\n[second]\n"                                       \
    "module = ${tls_provider::module}\nbackend = ${tls_provider::backend}\n"   \
    "activate = 1\nrole = tls\n"

/* In place of the section's own. */
#define ELSEWHERE "module = /nonexistent/"

/* Of a program that has a line of its own in place of openssl_conf: nobody can
 * say whether that has been used. */
#define ANOTHER_LIST                                                           \
    "\n[default]\nprogram = its_init\n[its_init]\nproviders = its_list\n"      \
    "[its_list]\ndefault = default_provider\n"

/* One byte more than there is room for with its NUL. */
#define TIMES_4(text) text text text text
#define LONG_PATH TIMES_4(TIMES_4(TIMES_4(TIMES_4("/key"))))

#define NO_PKU "no memory protection keys"
#define BY_NAME "ask by name for 'backend = mprotect'"

const struct scenario bad_machine_scenarios[] = {
    {"nothing is wrong", "", NULL, NULL, WORKS, NULL, 0, false},
    {"nothing is wrong, full profile", "", "", NULL, WORKS, NULL, 0, false},

    {"pkey_alloc: ENOSYS", "backend = mpk", NULL, no_pkey_alloc, REFUSED,
     "a system call that the domain needs is denied", PKU, false},
    {"pkey_alloc: EPERM", "backend = mpk", NULL, pkey_alloc_not_allowed,
     REFUSED, "a system call that the domain needs is denied", PKU, false},
    {"pkey_alloc: EINVAL", "backend = mpk", NULL, pkey_alloc_says_invalid,
     REFUSED, NO_PKU, 0, false},
    {"pkey_alloc: ENOSPC", "backend = mpk", NULL, pkey_alloc_says_no_space,
     REFUSED, BY_NAME, 0, false},
    {"all protection keys are taken", "backend = mpk", NULL, all_keys_are_taken,
     REFUSED, "all protection keys of this process", PKU, false},
    {"one is left, key-isolation", "backend = mpk\nkey-isolation = per-key",
     NULL, one_key_is_left, REFUSED, "no protection key is left", PKU, false},

    {"no memfd_secret, memory = auto", "memory = auto", NULL, no_secretmem,
     WORKS, "memfd_secret is not available", SECRETMEM, false},
    {"no memfd_secret, memory = secretmem", "memory = secretmem", NULL,
     no_secretmem, REFUSED, "secretmem.enable=1", SECRETMEM, false},
    {"memfd_secret: EPERM, memory = auto", "memory = auto", NULL,
     secretmem_not_allowed, WORKS, "memfd_secret is not available", SECRETMEM,
     false},
    {"memfd_secret: EPERM, memory = secretmem", "memory = secretmem", NULL,
     secretmem_not_allowed, REFUSED, "allow it where system calls are filtered",
     SECRETMEM, false},
    {"madvise: EPERM", "", NULL, madvise_not_allowed, REFUSED,
     "a system call that the domain needs is denied", NO_SANITIZER, false},
    {"no names", "", NULL, no_memory_for_names, ENDS, "its names", 0, false},
    {"getrandom: EPERM", "", NULL, getrandom_not_allowed, REFUSED,
     "the kernel gives no random numbers", 0, false},
    {"64 KiB of locked memory, memory = auto", "memory = auto", NULL,
     little_locked_memory, WORKS, "raise RLIMIT_MEMLOCK", 0, false},
    {"64 KiB of locked memory, memory = anonymous", "memory = anonymous", NULL,
     little_locked_memory, WORKS, "raise RLIMIT_MEMLOCK", 0, false},
    {"64 KiB of locked memory, memory = secretmem", "memory = secretmem", NULL,
     little_locked_memory, REFUSED, "raise RLIMIT_MEMLOCK", SECRETMEM, false},
    {"one descriptor", "", NULL, one_descriptor, WORKS, NULL, 0, false},
    {"no descriptor while the heap grows", "memory = auto", NULL, no_descriptor,
     WORKS, "no descriptor is left", SECRETMEM, true},
    {"no descriptor and the heap cannot grow", "memory = secretmem", NULL,
     no_descriptor, WORKS, "out of domain memory", SECRETMEM, true},
    {"a line that no one reads", "memory = auto", NULL, no_reader, WORKS, NULL,
     SECRETMEM, true},
    {"a line that its file has no room for", "memory = auto", NULL, full_log,
     WORKS, NULL, SECRETMEM, true},
    {"one mapping while the heap grows", "memory = secretmem", NULL,
     one_mapping, WORKS, "out of domain memory", SECRETMEM | NO_SANITIZER,
     true},
    {"256 MiB of address space", "", NULL, some_address_space, WORKS, NULL,
     NO_SANITIZER, false},
    {"256 MiB of address space, per-key", "key-isolation = per-key", NULL,
     some_address_space, WORKS, NULL, NO_SANITIZER, false},
    {"48 MiB of address space", "", NULL, little_address_space, REFUSED,
     "not enough address space", NO_SANITIZER, false},
    {"no memory for the child's fork handler", "", NULL, no_child_handler,
     REFUSED, "no memory for a fork handler", NO_SANITIZER, false},
    {"no memory for fork handlers", "", NULL, no_lock_handler, REFUSED,
     "refuses all private keys", NO_SANITIZER, false},

    {"handle-key-file is not there", "",
     "handle-key-file = /nonexistent/handle.key", NULL, REFUSED,
     "/nonexistent/handle.key", 0, false},
    {"handle-key-file is a directory", "", "handle-key-file = /tmp", NULL,
     REFUSED, "/tmp", 0, false},
    {"handle-key-file is empty", "", "handle-key-file = /dev/null", NULL,
     REFUSED, "/dev/null", 0, false},
    {"handle-key-file has no end", "", "handle-key-file = /dev/zero", NULL,
     REFUSED, "/dev/zero", 0, false},
    {"handle-key-file without a path", "", "handle-key-file =", NULL, REFUSED,
     "the path is empty", 0, false},
    {"handle-key-file with a long path", "", "handle-key-file = " LONG_PATH,
     NULL, REFUSED, "the path is too long", 0, false},
    {"keylog with a long path", "", "keylog = reveal-for-debugging " LONG_PATH,
     NULL, REFUSED, "the path is too long", 0, false},
    {"keylog without the words", "", "keylog = /tmp/log", NULL, REFUSED,
     "reveal-for-debugging", 0, false},
    {"keylog with the words only", "", "keylog = reveal-for-debugging", NULL,
     REFUSED, "reveal-for-debugging", 0, false},
    {"keylog is a link", "", "keylog = reveal-for-debugging /dev/stdout", NULL,
     REFUSED, "keylog: /dev/stdout cannot be opened", 0, false},
    {"key-isolation in the last section only", "key-isolation = per-key", "",
     NULL, REFUSED, "key-isolation = per-key comes too late", 0, false},
    {"record-stack of a second section", "", SECOND "record-stack = domain",
     NULL, REFUSED, "record-stack = domain comes too late", 0, false},
    {"tls12-cbc of a second section", "", SECOND "tls12-cbc = refuse", NULL,
     REFUSED, "tls12-cbc = refuse comes too late", 0, false},
    {"tls12-premaster of a second section", "",
     SECOND "tls12-premaster = refuse", NULL, REFUSED,
     "tls12-premaster = refuse comes too late", 0, false},
    {"keylog of a second section", "",
     SECOND "keylog = reveal-for-debugging /dev/null", NULL, WORKS,
     "those of provider 'MPL' are ignored", 0, false},
    {"two sections alike", "", SECOND, NULL, WORKS, NULL, 0, false},
    {"no module for sessions", "", ELSEWHERE "mpk.so", NULL, REFUSED,
     "module of provider 'MPK', cannot be opened", 0, false},
    {"the same, by another name", "", ELSEWHERE "mpk.os", NULL, REFUSED,
     "module of provider 'MPK', cannot be opened", 0, false},
    {"the same, tls-secrets = warn", "", ELSEWHERE "mpk.so\ntls-secrets = warn",
     NULL, WORKS, "connections are NOT protected", 0, false},
    {"no module for keys", ELSEWHERE "mpk.so", "", NULL, ENDS,
     "private keys would not be protected", 0, false},
    {"the same, by another name", ELSEWHERE "mpk.os\nrole = keys", "", NULL,
     ENDS, "private keys would not be protected", 0, false},
    {"its folder is a file", "module = /dev/null/mpk.so", "", NULL, ENDS,
     "private keys would not be protected", 0, false},
    {"its folder is not to be read", "module = /proc/1/root/mpk.so", "",
     no_capability, ENDS, "private keys would not be protected", 0, false},
    {"no module for sessions, which are not asked for", "",
     ELSEWHERE "mpk.so\nactivate = 0", NULL, WORKS, NULL, 0, false},
    {"no module for sessions, and another list", "",
     ELSEWHERE "mpk.so" ANOTHER_LIST, NULL, WORKS, NULL, 0, false},
    {"default comes last, and self-check is not set",
     "\n[list]\ndefault = default_provider", NULL, NULL, WORKS,
     "(self-check = require)", 0, false},
    {"connections are others', and tls-secrets is not set", "",
     "\n[init]\nalg_section = others\n[others]\n"
     "default_properties = ?provider=default",
     NULL, REFUSED, "(tls-secrets = require)", 0, false},
    {"a setting of the other section", "tls-secrets = require", NULL, NULL,
     REFUSED, "tls-secrets is a setting of the section with 'role = tls'", 0,
     false},
    {"a setting nobody knows", "colour = blue", NULL, NULL, REFUSED,
     "'colour' is no setting", 0, false},
    {"a setting nobody knows, full profile", "", "colour = blue", NULL, REFUSED,
     "'colour' is no setting", 0, false},
    {"the same, tls-secrets = warn", "", "tls-secrets = warn\ncolour = blue",
     NULL, REFUSED, "'colour' is no setting", 0, false},
};
const size_t bad_machine_n_scenarios =
    sizeof(bad_machine_scenarios) / sizeof(bad_machine_scenarios[0]);
