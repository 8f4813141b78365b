/*
 * Nothing that follows from a key may be written to the stack of who has a
 * record enciphered, but what everybody may know: text, ciphertext, their sum,
 * and the tag. So a process is stepped through one record, instruction by
 * instruction, and everything that appears on its stack is noted; and the same
 * with another key. They are children of one process, so that addresses are the
 * same in both, and what only one of them has depends on the key.
 *
 * Argument "all", "short" or "aes": one run, as $OPENSSL_ia32cap has it. Seen
 * to fail: with libcrypto's own aesni_ctr32_encrypt_blocks (100 bytes and
 * more), its own aesni_gcm_encrypt (300 bytes and more) and aesni_gcm_decrypt
 * (100), with cipher_deep_from SIZE_MAX for ChaCha20-Poly1305 without AVX-512;
 * the forged ones, and ChaCha20-Poly1305's of TLS 1.2, when cipher_shows says
 * 0; the forged record of TLS 1.3, when cipher_shows_record takes the
 * connection to end by it.
 */
#include "../interop/interop.h"
#include "pair.h"

#include <openssl/evp.h>

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEPTH 12288 /* of the stack, below the caller */
#define LONGEST 8192
#define TAG 16
#define EXPLICIT 8 /* bytes of a nonce of TLS 1.2 in front of its text */

enum way {
    RECORD,   /* of TLS 1.3, by a key that is a handle */
    RECORD12, /* of TLS 1.2, the same */
    DATAGRAM, /* of DTLS 1.2, forged */
    RECORD13, /* of TLS 1.3, forged */
    MESSAGE,  /* of no record's form, by a key as it stands */
    FORGED,   /* a message that comes with another tag than its own */
    START     /* the key comes, and nothing else */
};
static const char *const name_of_way[] = {"record",
                                          "record of TLS 1.2",
                                          "forged datagram",
                                          "forged record",
                                          "message",
                                          "forged message",
                                          "key"};

struct traced {
    const char *name;
    enum way way;
    int side, encrypt;
    int len; /* of the text */
};

/* What a child tells: where its stack is, and what anybody may know. */
struct told {
    uintptr_t here;
    int ok;
    unsigned char in[LONGEST + EXPLICIT + TAG], out[LONGEST + EXPLICIT + TAG];
    unsigned char tag[TAG];
    unsigned char mask[2 * TAG]; /* CCM's key stream where there is no text */
};

static struct told *told;

/* ---- in the child ------------------------------------------------------- */

static const unsigned char nonce[12] = "static part";
/* With the number of the record. */
static const unsigned char nonce12[12] = {'t', 'l', 's', [11] = 1};

struct contexts {
    EVP_CIPHER_CTX *traced, *stock;
    const struct traced *what;
    int ccm;
};

/*
 * Stale bytes would hide what is written once more, or be the rest of a word of
 * which one byte is written. (Registers have some too, of the other side's
 * cipher: the program is linked with -z now, or ld.so would put them here.)
 */
static __attribute__((noinline)) int stop_here(void)
{
    unsigned char left[DEPTH];

    explicit_bzero(left, sizeof(left));
    return raise(SIGSTOP) == 0;
}

static bool is_record12(const struct traced *w)
{
    return w->way == RECORD12 || w->way == DATAGRAM;
}

/* With its tag by itself, and the wrong one. */
static bool is_forged(const struct traced *w)
{
    return w->way == FORGED || w->way == RECORD13;
}

/* What a record of TLS 1.2 has before its text and behind it. */
static int explicit_of(const struct traced *w)
{
    return strncmp(w->name, "AES", 3) == 0 ? EXPLICIT : 0;
}

static int around(const struct traced *w)
{
    return is_record12(w) ? explicit_of(w) + TAG : 0;
}

static int set_up(EVP_CIPHER_CTX *ctx, const struct contexts *c, int encrypt,
                  const unsigned char *key)
{
    static unsigned char fixed[12] = "tls";

    if (!EVP_CipherInit_ex(ctx, NULL, NULL, NULL, NULL, encrypt) ||
        !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL) ||
        (c->ccm &&
         !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, NULL))) {
        return 0;
    }
    if (c->what->way == START && ctx == c->traced) {
        stop_here();
    }
    return EVP_CipherInit_ex(ctx, NULL, NULL, key, NULL, -1) &&
           (c->what->way != START || ctx != c->traced || raise(SIGSTOP) == 0) &&
           (!is_record12(c->what) ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IV_FIXED,
                                12 - explicit_of(c->what), fixed));
}

/* A message, or a record of TLS 1.3. What is traced is the data's call. */
static int run_message(EVP_CIPHER_CTX *ctx, const struct contexts *c,
                       int encrypt, const unsigned char *in, unsigned char *out,
                       bool stop)
{
    int n, sealed = c->what->len + TAG;
    unsigned char header[5] = {23, 3, 3, (unsigned char)(sealed >> 8),
                               (unsigned char)sealed};

    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, encrypt) &&
           (encrypt ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, told->tag)) &&
           (!c->ccm || EVP_CipherUpdate(ctx, NULL, &n, NULL, c->what->len)) &&
           EVP_CipherUpdate(ctx, NULL, &n, header, sizeof(header)) &&
           (!stop || stop_here()) &&
           (EVP_CipherUpdate(ctx, out, &n, in, c->what->len) ||
            is_forged(c->what)) &&
           (EVP_CipherFinal_ex(ctx, out + c->what->len, &n) ||
            is_forged(c->what)) &&
           (!stop || raise(SIGSTOP) == 0) &&
           (!encrypt ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, told->tag));
}

/* In place: nonce, text and tag. */
static int run_record12(EVP_CIPHER_CTX *ctx, const struct contexts *c,
                        int encrypt, unsigned char *buf, bool stop)
{
    int n, len = c->what->len + explicit_of(c->what) + (encrypt ? 0 : TAG);
    bool dtls = c->what->way == DATAGRAM;
    unsigned char header[13] = {[7] = 1, /* the number of the record */
                                [8] = 23,
                                [9] = dtls ? 0xfe : 3,
                                [10] = dtls ? 0xfd : 3,
                                [11] = (unsigned char)(len >> 8),
                                [12] = (unsigned char)len};

    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_TLS1_AAD, sizeof(header),
                               header) > 0 &&
           (!stop || stop_here()) &&
           (EVP_CipherUpdate(ctx, buf, &n, buf,
                             c->what->len + around(c->what)) ||
            (dtls && !encrypt)) &&
           (!stop || raise(SIGSTOP) == 0);
}

static int run_once(const struct contexts *c, bool stop)
{
    const struct traced *w = c->what;

    for (int i = 0; i < w->len; i++) {
        told->in[i] = (unsigned char)(7 * i + i / 256);
    }
    if (is_record12(w)) {
        memcpy(told->out, told->in, sizeof(told->out));
        if (!w->encrypt && !run_record12(c->stock, c, 1, told->out, false)) {
            return 0;
        }
        told->out[w->len + around(w) - 1] ^= w->way == DATAGRAM;
        memcpy(told->in, told->out, sizeof(told->in));
        return run_record12(c->traced, c, w->encrypt, told->out, stop);
    }
    if (!w->encrypt &&
        !run_message(c->stock, c, 1, told->in, told->in, false)) {
        return 0;
    }
    told->tag[0] ^= is_forged(w);
    return run_message(c->traced, c, w->encrypt, told->in, told->out, stop);
}

/*
 * CCM has a block of key stream for its tag, and the last one to its end, on
 * its stack. With the tag that is a CBC-MAC of a message that nobody else's can
 * begin with, and no key.
 */
static int tell_mask(const struct contexts *c, const unsigned char *key)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER *ecb = EVP_CIPHER_fetch(pair_stock(), "AES-128-ECB", NULL);
    unsigned char counter[2 * TAG] = {2}, *last = counter + TAG;
    int n, ok;

    memcpy(counter + 1, is_record12(c->what) ? nonce12 : nonce, sizeof(nonce));
    memcpy(last, counter, TAG);
    last[TAG - 2] = (unsigned char)((c->what->len + TAG - 1) / TAG >> 8);
    last[TAG - 1] = (unsigned char)((c->what->len + TAG - 1) / TAG);
    ok = EVP_EncryptInit_ex(ctx, ecb, NULL, key, NULL) &&
         EVP_EncryptUpdate(ctx, told->mask, &n, counter, sizeof(counter));
    EVP_CIPHER_free(ecb);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* The record before it has everything looked up that is looked up once. */
static int run_twice(const struct traced *w)
{
    EVP_CIPHER *cipher[SIDES];
    unsigned char key[SIDES][32];
    struct contexts c = {EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_new(), w, 0};

    pair_fetch(w->name, cipher);
    c.ccm = EVP_CIPHER_get_mode(cipher[STOCK]) == EVP_CIPH_CCM_MODE;
    pair_key(w->way != MESSAGE && w->way != FORGED,
             (size_t)EVP_CIPHER_get_key_length(cipher[STOCK]), key);
    told->here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)63;
    return (!c.ccm || tell_mask(&c, key[STOCK])) &&
           EVP_CipherInit_ex(c.traced, cipher[w->side], NULL, NULL, NULL, -1) &&
           EVP_CipherInit_ex(c.stock, cipher[STOCK], NULL, NULL, NULL, -1) &&
           set_up(c.traced, &c, w->encrypt, key[w->side]) &&
           (w->way == START || (set_up(c.stock, &c, 1, key[STOCK]) &&
                                run_once(&c, false) && run_once(&c, true)));
}

/* ---- what appears ------------------------------------------------------- */

/* Of a size that is fixed, and not of the heap: what this process allocated
 * between two children would move what they allocate. */
#define WORDS (1 << 20)

struct words {
    size_t n;
    uint32_t word[WORDS]; /* half of what is pushed: nonces are in pieces */
};

static struct words *of_one, *of_other;

static void note(struct words *w, uint32_t word)
{
    if (word != 0 && w->n < WORDS) {
        w->word[w->n++] = word;
    }
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static bool has(const struct words *w, uint32_t word)
{
    return bsearch(&word, w->word, w->n, sizeof(word), compare) != NULL;
}

static bool read_stack(pid_t pid, uint32_t *stack)
{
    struct iovec to = {stack, DEPTH},
                 from = {(void *)(told->here - DEPTH), DEPTH};

    return process_vm_readv(pid, &to, 1, &from, 1, 0) == DEPTH;
}

/* Whether |pid| is stopped, by a signal other than what it stops itself by. */
static bool stepped(pid_t pid, int *status)
{
    return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status) &&
           WSTOPSIG(*status) != SIGSTOP;
}

/* Steps |pid| from where it has stopped itself to where it does so again. */
static long step_through(pid_t pid, struct words *seen)
{
    static uint32_t now[DEPTH / 4], before[DEPTH / 4];
    long steps = 0;
    int status;

    if (!read_stack(pid, before)) {
        return 0;
    }
    for (;; steps++) {
        if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) != 0 ||
            !stepped(pid, &status)) {
            break;
        }
        if (!read_stack(pid, now)) {
            return 0;
        }
        if (memcmp(now, before, DEPTH) == 0) {
            continue;
        }
        for (size_t i = 0; i < DEPTH / 4; i++) {
            if (now[i] != before[i]) {
                note(seen, now[i]);
            }
        }
        memcpy(before, now, DEPTH);
    }
    return WIFSTOPPED(status) ? steps : 0;
}

/* All that appears on the stack of a child with the key of |seed|, sorted. */
static long trace(const struct traced *w, uint64_t seed, struct words *seen)
{
    pid_t pid = fork();
    long steps = 0;
    int status;

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        pair_seed(seed);
        told->ok = 0;
        told->ok = run_twice(w);
        _exit(0);
    }
    seen->n = 0;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        if (WSTOPSIG(status) == SIGSTOP && steps == 0) {
            steps = step_through(pid, seen);
        }
        ptrace(PTRACE_CONT, pid, 0, 0);
    }
    qsort(seen->word, seen->n, sizeof(seen->word[0]), compare);
    return told->ok ? steps : 0;
}

/* Text, ciphertext, a nonce of TLS 1.2 before it, the tag, and key stream. */
static bool is_public(uint32_t word, size_t len)
{
    unsigned char sum[4];
    bool found = memmem(told->in, len, &word, 4) != NULL ||
                 memmem(told->out, len, &word, 4) != NULL ||
                 memmem(told->tag, TAG, &word, 4) != NULL ||
                 memmem(told->mask, sizeof(told->mask), &word, 4) != NULL;

    for (size_t at = 0; !found && at + 4 <= len; at++) {
        for (size_t i = 0; i < 4; i++) {
            sum[i] = told->in[at + i] ^ told->out[at + i];
        }
        found = memcmp(sum, &word, 4) == 0;
    }
    return found;
}

/* How many words depend on the key, and are nobody's to know; -1 if it was not
 * to be found out. */
static int secrets_of(const struct traced *w)
{
    long steps = trace(w, 2, of_other);
    size_t len = (size_t)(w->len + around(w));
    int n = 0;

    if (steps > 50) {
        steps = trace(w, 1, of_one);
    }
    for (size_t i = 0; i < of_one->n; i++) {
        uint32_t word = of_one->word[i];

        if ((i == 0 || word != of_one->word[i - 1]) && !has(of_other, word) &&
            !is_public(word, len)) {
            if (n++ < 3) {
                printf("  %08x\n", word);
            }
        }
    }
    return steps > 50 && of_one->n < WORDS && of_other->n < WORDS ? n : -1;
}

/* ---- all ---------------------------------------------------------------- */

/* How much of it: a step takes 20 us. */
enum much {
    ALL,
    SHORT, /* no long texts */
    AES    /* and no other cipher, of which what is short has many steps */
};

static const char *const name_of_much[] = {"all", "short", "aes"};

/* Left to ./test.sh --all: the same code with another length of the key, and,
 * for less than all, what a record goes through as well; on a CPU that has
 * nothing for AES, all but one record. */
static bool is_later(const struct traced *w, enum much much)
{
    if (getenv("MPK_TEST_LONG") != NULL) {
        return false;
    }
    return (strcmp(w->name, "AES-256-GCM") == 0 &&
            (w->way != RECORD || w->len != 100)) ||
           (much == AES && w->way != START &&
            (w->way != RECORD || w->len != 100)) ||
           (much != ALL &&
            (w->way == MESSAGE ||
             (w->way == START && strcmp(w->name, "AES-128-GCM") != 0)));
}

static bool applies(const struct traced *w, enum much much)
{
    bool gcm = strstr(w->name, "AES-128-GCM") != NULL;
    bool aes = strncmp(w->name, "AES", 3) == 0;

    if (strncmp(w->name, "ARIA", 4) == 0) {
        return much == ALL && w->way == RECORD && w->len == 20;
    }
    if (is_later(w, much)) {
        return false;
    }
    if (much == AES && (!aes || (w->len == 20 && w->way != START) ||
                        (w->len > 100 && (!gcm || w->way != RECORD)))) {
        return false;
    }
    if (much != ALL && w->len > 300) {
        return false;
    }
    switch (w->way) {
    case RECORD:
        return w->len <= 1400 || (gcm && w->encrypt);
    case RECORD12:
        return (gcm || strstr(w->name, "256") == NULL) && w->len <= 300;
    case DATAGRAM:
        return strstr(w->name, "CCM") != NULL && !w->encrypt && w->len == 100;
    case RECORD13:
    case FORGED:
        return !w->encrypt && w->len == 100;
    case START:
        return w->len == 20;
    default:
        return w->len == 100;
    }
}

static void check(const struct traced *w)
{
    interop_subject("%s, %s %s of %d bytes", w->name,
                    w->encrypt ? "sent" : "received", name_of_way[w->way],
                    w->len);
    CHECK_INT(secrets_of(w), 0);
}

static void trace_all(enum much much)
{
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM",
                                        "AES-128-CCM", "ChaCha20-Poly1305",
                                        "ARIA-256-GCM"};
    static const int lens[] = {20, 100, 300, 1400, 8192};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
            for (int k = 0; k < 2 * (START + 1); k++) {
                struct traced w = {names[i], (enum way)(k / 2), OURS, k % 2,
                                   lens[j]};

                if (applies(&w, much)) {
                    check(&w);
                }
            }
        }
    }
}

/* With the default provider there is something to see. */
static void trace_stock(void)
{
    static const struct traced stock = {"AES-128-GCM", MESSAGE, STOCK, 1, 300};

    interop_subject("stock");
    CHECK(secrets_of(&stock) > 0);
}

static int run(const char *self, const char *what, const char *cap)
{
    int status = -1;

    printf("OPENSSL_ia32cap='%s'\n", cap);
    fflush(stdout);
    if (fork() == 0) {
        setenv("OPENSSL_ia32cap", cap, 1);
        execl(self, self, what, (char *)NULL);
        _exit(1);
    }
    wait(&status);
    return status;
}

/* The tracer and what it steps take turns: on one CPU a third of the time. */
static void stay_on_one_cpu(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    CHECK(sched_setaffinity(0, sizeof(set), &set) == 0);
}

static void *shared(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        exit(1);
    }
    return p;
}

static enum much much_of(const char *name)
{
    int much = AES;

    while (much > ALL && strcmp(name, name_of_much[much]) != 0) {
        much--;
    }
    return (enum much)much;
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

int main(int argc, char **argv)
{
    /* All; no AVX-512 (and no VAES); no AVX; no AES-NI and PCLMULQDQ. Bits as
     * in OPENSSL_ia32cap(3). */
    static const struct {
        const char *cap;
        enum much much;
        bool of_avx512; /* without it the same CPU as before */
    } less[] = {{":~0", ALL, false},
                {":~0x600d0230000", SHORT, true},
                {"~0x1000000000000000:~0xd0230020", SHORT, false},
                {"~0x200000200000000:~0xd0230020", AES, false}};
    /* With backend mprotect nothing of ours is on the caller's stack. */
    const char *backend = getenv("MPK_TEST_BACKEND");
    bool light = backend != NULL && strcmp(backend, "mprotect") != 0;

    told = shared(sizeof(*told));
    of_one = shared(sizeof(*of_one));
    of_other = shared(sizeof(*of_other));
    pair_start();
    stay_on_one_cpu();
    if (argc > 1) {
        trace_all(much_of(argv[1]));
        trace_stock();
        return interop_finish();
    }
    for (size_t i = 0; i < (light ? sizeof(less) / sizeof(less[0]) : 1); i++) {
        if (!less[i].of_avx512 || has_avx512()) {
            interop_subject("%s", less[i].cap);
            CHECK_INT(run(argv[0], name_of_much[light ? less[i].much : SHORT],
                          less[i].cap),
                      0);
        }
    }
    return interop_finish();
}
