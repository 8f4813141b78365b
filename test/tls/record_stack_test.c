/*
 * While a thread enciphers records another one looks at its stack: nothing of
 * the record's key, of the AES schedule or of the GHASH key may be there, with
 * each set of instructions that libcrypto chooses its code by. With stock
 * OpenSSL the key of ChaCha20-Poly1305 is, so the looking works.
 *
 * Argument "look" or "stock": one run, as $OPENSSL_ia32cap and $OPENSSL_CONF
 * have it; the status is whether something was found. Seen to fail, without
 * AVX-512: ChaCha20-Poly1305 when cipher_deep_from says SIZE_MAX to all;
 * and its records by libssl's way alone, when cipher_record does not ask.
 */
#include "../interop/interop.h"
#include "forms.h"
#include "pair.h"
#include "patterns.h"

#include <openssl/evp.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH 16384
#define LOOKS 300
#define DEPTH 12288 /* of the stack, below where the thread began */

enum { CLEAN, SEEN, BROKEN };

static unsigned char key[32], copies[LOOKS][DEPTH];
static const EVP_CIPHER *cipher;
static _Atomic(const char *) bottom;
static atomic_int stop, records;

/* What the thread does all the time. */
static enum {
    MESSAGES, /* of any kind */
    KEYS,     /* come to a new context */
    RECORDS,  /* as libssl makes them, by a key that is a handle */
    WAYS
} way;
static const char *const name_of_way[] = {"messages", "keys", "records"};
static unsigned char handle[32]; /* which the KDF gave for |key| */

/* A new context gets its key, again and again. */
static int begin(EVP_CIPHER_CTX *ctx)
{
    int ccm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE;

    return EVP_CIPHER_CTX_reset(ctx) == 1 &&
           EVP_EncryptInit_ex(ctx, cipher, NULL, NULL, NULL) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL) == 1 &&
           (!ccm ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, NULL) == 1) &&
           EVP_EncryptInit_ex(ctx, NULL, NULL, way == RECORDS ? handle : key,
                              NULL) == 1;
}

static int encipher(EVP_CIPHER_CTX *ctx)
{
    static const unsigned char header[5] = {23, 3, 3, (LENGTH + 16) >> 8,
                                            (LENGTH + 16) & 255};
    static unsigned char text[LENGTH], out[LENGTH + 16], iv[12];
    int n, ccm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE;

    iv[0]++;
    return EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv) == 1 &&
           (!ccm || EVP_EncryptUpdate(ctx, NULL, &n, NULL, LENGTH) == 1) &&
           (way != RECORDS ||
            EVP_EncryptUpdate(ctx, NULL, &n, header, sizeof(header)) == 1) &&
           EVP_EncryptUpdate(ctx, out, &n, text, LENGTH) == 1 &&
           EVP_EncryptFinal_ex(ctx, out + n, &n) == 1;
}

static void *encipher_on(void *unused)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    char here = 0;
    int ok = begin(ctx);

    (void)unused;
    atomic_store(&bottom, &here);
    do {
        ok = ok && (way == KEYS ? begin(ctx) : encipher(ctx));
        atomic_fetch_add(&records, ok);
    } while (ok && !atomic_load(&stop));
    EVP_CIPHER_CTX_free(ctx);
    return ok ? &stop : NULL;
}

/* What lies there changes meanwhile: one look at each moment. */
static void look(void)
{
    const volatile uint64_t *from;
    uint64_t word;

    while (atomic_load(&bottom) == NULL) {
        usleep(100);
    }
    from = (const volatile uint64_t *)(((uintptr_t)bottom & ~7UL) - DEPTH);
    for (int i = 0; i < LOOKS; i++) {
        for (size_t at = 0; at < DEPTH / 8; at++) {
            word = from[at];
            memcpy(copies[i] + 8 * at, &word, 8);
        }
        usleep(137);
    }
}

static int add_patterns(struct pattern_set *set, const char *name, size_t len)
{
    unsigned char lanes[16];

    if (strstr(name, "AES") != NULL) {
        return forms_add_aes(set, 0, name, key, len);
    }
    /* As vector code keeps them: each word in all lanes. */
    for (size_t i = 0; i < len; i += 4) {
        for (size_t j = 0; j < sizeof(lanes); j += 4) {
            memcpy(lanes + j, key + i, 4);
        }
        if (pattern_bytes_add(set, 0, FORM_RAW, name, lanes, sizeof(lanes))) {
            return -1;
        }
    }
    return pattern_bytes_add(set, 0, FORM_RAW, name, key, len);
}

/* 16 bytes of |piece| in a row, wherever they begin. */
static int has_piece(const unsigned char *copy,
                     const struct pattern_piece *piece)
{
    for (size_t at = 0; at + 16 <= piece->len; at += 16) {
        if (memmem(copy, DEPTH, piece->bytes + at, 16) != NULL) {
            return 1;
        }
    }
    return 0;
}

static int has_any(const unsigned char *copy, const struct pattern_set *set)
{
    for (size_t i = 0; i < set->pieces_len; i++) {
        if (has_piece(copy, &set->pieces[i])) {
            return 1;
        }
    }
    return 0;
}

static int search(const char *name)
{
    struct pattern_set set = {0};
    int seen = 0;

    if (add_patterns(&set, name, (size_t)EVP_CIPHER_get_key_length(cipher))) {
        return BROKEN;
    }
    for (int i = 0; i < LOOKS; i++) {
        seen += has_any(copies[i], &set);
    }
    patterns_free(&set);
    printf("%-18s %7d %s, seen in %d of %d looks\n", name,
           atomic_load(&records), name_of_way[way], seen, LOOKS);
    return seen != 0 ? SEEN : CLEAN;
}

static void take_key(void)
{
    unsigned char both[SIDES][32];

    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (unsigned char)(0x53 + 37 * i);
    }
    if (way == RECORDS) {
        pair_key(true, (size_t)EVP_CIPHER_get_key_length(cipher), both);
        memcpy(key, both[STOCK], sizeof(key));
        memcpy(handle, both[OURS], sizeof(handle));
    }
}

static int look_at(const char *name)
{
    EVP_CIPHER *fetched = EVP_CIPHER_fetch(NULL, name, NULL);
    pthread_t thread;
    void *ok = NULL;

    atomic_store(&bottom, NULL);
    atomic_store(&stop, 0);
    atomic_store(&records, 0);
    cipher = fetched;
    if (fetched == NULL) {
        return BROKEN;
    }
    take_key();
    if (pthread_create(&thread, NULL, encipher_on, NULL)) {
        return BROKEN;
    }
    look();
    atomic_store(&stop, 1);
    pthread_join(thread, &ok);
    int what = ok != NULL && records > 0 ? search(name) : BROKEN;

    EVP_CIPHER_free(fetched);
    return what;
}

/* The worst of all ciphers. */
static int look_at_all(void)
{
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM",
                                        "AES-128-CCM", "ChaCha20-Poly1305",
                                        "ARIA-256-GCM"};
    int worst = CLEAN;

    if (way == RECORDS) {
        pair_start();
        pair_seed(1);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int what = look_at(names[i]);

        worst = what > worst ? what : worst;
    }
    return worst;
}

static int run(const char *self, const char *name, const char *cap,
               const char *conf)
{
    int status = -1;

    printf("OPENSSL_ia32cap='%s'%s\n", cap, conf != NULL ? ", stock" : "");
    fflush(stdout);
    if (fork() == 0) {
        setenv("OPENSSL_ia32cap", cap, 1);
        if (conf != NULL) {
            setenv("OPENSSL_CONF", conf, 1);
        }
        execl(self, self, name, (char *)NULL);
        _exit(BROKEN);
    }
    wait(&status);
    return WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN;
}

int main(int argc, char **argv)
{
    /* All; no AVX-512; no AVX2 either; no AES-NI and PCLMULQDQ. Bits as in
     * OPENSSL_ia32cap(3). */
    static const char *const less[] = {":~0", ":~0xd0230000", ":~0xd0230020",
                                       "~0x200000200000000:~0xd0230020"};

    if (argc > 1) {
        while (strcmp(argv[1], name_of_way[way]) != 0) {
            way++;
        }
        return look_at_all();
    }
    interop_need_backend();
    for (size_t i = 0; i < sizeof(less) / sizeof(less[0]); i++) {
        for (int j = 0; j < WAYS; j++) {
            CHECK(run(argv[0], name_of_way[j], less[i], NULL) == CLEAN);
        }
    }
    CHECK(run(argv[0], "messages", less[1], "/dev/null") == SEEN);
    return interop_finish();
}
