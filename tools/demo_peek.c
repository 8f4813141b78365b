/*
 * demo_peek CONF KEY - what a wild read of a key's own address gives.
 *
 * A child loads KEY with the configuration CONF, as any application would.
 * The parent finds the address of the private number in it, with the kernel's
 * help (/proc/PID/mem ignores protection; so CONF must not ask for secretmem,
 * which even that cannot read). The child then reads that address with an
 * ordinary load. Exit status 0: the read faulted, 1: it gave the key, 2: error.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SEGV_PKUERR
#define SEGV_PKUERR 4
#endif

/* Enough of a key that nothing else has the same. */
#define PIECE 16

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "demo-peek: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(2);
}

static EVP_PKEY *load(const char *path)
{
    FILE *f = fopen(path, "r");
    EVP_PKEY *key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

    if (f != NULL) {
        fclose(f);
    }
    return key;
}

/* ---- the child: an application ------------------------------------------- */

static uintptr_t target;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    char line[160];
    int n;

    (void)sig;
    (void)context;
    if (info->si_code == SEGV_PKUERR) {
        n = snprintf(line, sizeof(line),
                     "SIGSEGV at %#" PRIxPTR ": SEGV_PKUERR, protection key "
                     "%u\n",
                     (uintptr_t)info->si_addr, info->si_pkey);
    } else {
        n = snprintf(line, sizeof(line), "SIGSEGV at %#" PRIxPTR ": %s\n",
                     (uintptr_t)info->si_addr,
                     info->si_code == SEGV_ACCERR
                         ? "SEGV_ACCERR, no access (mprotect)"
                         : "not mapped");
    }
    if (write(STDOUT_FILENO, line, (size_t)n) < 0) {
        _exit(2);
    }
    _exit((uintptr_t)info->si_addr == target ? 0 : 2);
}

static _Noreturn void application(const char *conf, const char *path, int in,
                                  int out)
{
    struct sigaction action;
    unsigned char piece[8];
    EVP_PKEY *key;

    setenv("OPENSSL_CONF", conf, 1);
    key = load(path);
    if (key == NULL) {
        die("the key cannot be loaded");
    }
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    if (write(out, "r", 1) != 1 ||
        read(in, &target, sizeof(target)) != (ssize_t)sizeof(target)) {
        exit(2);
    }
    for (size_t i = 0; i < sizeof(piece); i++) {
        piece[i] = *(volatile unsigned char *)(target + i);
    }
    printf("read %#" PRIxPTR ":", target);
    for (size_t i = 0; i < sizeof(piece); i++) {
        printf(" %02x", piece[i]);
    }
    printf(" ... the private key\n");
    fflush(stdout);
    EVP_PKEY_free(key);
    _exit(1);
}

/* ---- the parent: finds the address --------------------------------------- */

/* The start of the private number as it lies in memory. */
static void private_piece(const char *path, unsigned char piece[PIECE])
{
    EVP_PKEY *key = load(path);
    unsigned char all[8192];
    BIGNUM *n = NULL;
    size_t len = sizeof(all);

    if (key == NULL) {
        die("the key cannot be read");
    }
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_D, &n) ||
        (!EVP_PKEY_is_a(key, "ED25519") && !EVP_PKEY_is_a(key, "ED448") &&
         EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &n))) {
        if (BN_bn2lebinpad(n, all, sizeof(all)) < 0) {
            die("the key is too large");
        }
    } else if (!EVP_PKEY_get_raw_private_key(key, all, &len)) {
        die("keys of this type are not for this demonstration");
    }
    memcpy(piece, all, PIECE);
    OPENSSL_cleanse(all, sizeof(all));
    BN_clear_free(n);
    EVP_PKEY_free(key);
}

static uintptr_t find_in(int mem, uintptr_t start, uintptr_t end,
                         const unsigned char piece[PIECE])
{
    static unsigned char block[1 << 16];
    const unsigned char *hit;
    ssize_t n;

    /* Neighbouring blocks overlap, so that no piece is cut in two. */
    for (uintptr_t at = start; at < end; at += sizeof(block) - PIECE) {
        n = pread(mem, block, sizeof(block), (off_t)at);
        if (n < PIECE) {
            continue;
        }
        hit = memmem(block, (size_t)n, piece, PIECE);
        if (hit != NULL) {
            return at + (uintptr_t)(hit - block);
        }
    }
    return 0;
}

static uintptr_t find(pid_t pid, const unsigned char piece[PIECE])
{
    uintptr_t start, end, found = 0;
    char path[64], line[512], rights[8];
    FILE *maps;
    int mem;

    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    mem = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    maps = fopen(path, "r");
    if (mem < 0 || maps == NULL) {
        die("the child's memory cannot be searched (ptrace_scope?)");
    }
    while (found == 0 && fgets(line, sizeof(line), maps) != NULL) {
        /* What is never written to holds no key; a reservation is empty. */
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &start, &end,
                   rights) == 3 &&
            end - start < (uintptr_t)1 << 30) {
            found = find_in(mem, start, end, piece);
        }
    }
    fclose(maps);
    close(mem);
    return found;
}

int main(int argc, char **argv)
{
    unsigned char piece[PIECE];
    int to[2], from[2], status;
    uintptr_t at;
    pid_t pid;
    char ready;

    if (argc != 3) {
        fprintf(stderr, "usage: demo-peek CONF KEY\n");
        return 2;
    }
    if (pipe(to) != 0 || pipe(from) != 0) {
        die("no pipe");
    }
    pid = fork();
    if (pid < 0) {
        die("no process");
    }
    if (pid == 0) {
        /* Or it would wait for itself when the parent has died. */
        close(to[1]);
        close(from[0]);
        application(argv[1], argv[2], to[0], from[1]);
    }
    close(from[1]);
    setenv("OPENSSL_CONF", "/dev/null", 1);
    if (read(from[0], &ready, 1) != 1) {
        waitpid(pid, NULL, 0);
        return 2;
    }
    private_piece(argv[2], piece);
    at = find(pid, piece);
    OPENSSL_cleanse(piece, sizeof(piece));
    if (at == 0) {
        kill(pid, SIGKILL);
        die("the key's address was not found (is it secretmem?)");
    }
    if (write(to[1], &at, sizeof(at)) != (ssize_t)sizeof(at) ||
        waitpid(pid, &status, 0) != pid) {
        die("the child is gone");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}
