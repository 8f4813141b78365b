/* The block cipher itself: EVP gives no key schedules away. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "schedule.h"

#include <openssl/aes.h>
#include <openssl/crypto.h>
#include <string.h>

#define BLOCK 16

/* Room for the schedule of AES-256: 15 round keys. */
#define SCHEDULE_MAX ((size_t)15 * BLOCK)

static void swap_words(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i += 4) {
        pattern_reverse(bytes + i, 4);
    }
}

static int add_both_orders(struct pattern_set *set, unsigned int subject,
                           const char *component, enum pattern_form form,
                           uint8_t *bytes, size_t len)
{
    int err = pattern_bytes_add(set, subject, form, component, bytes, len);

    if (err == 0) {
        swap_words(bytes, len);
        err = pattern_bytes_add(set, subject, form + 1, component, bytes, len);
    }
    return err;
}

/*
 * libcrypto's schedule in FIPS 197's order of bytes, in which it begins with
 * the key: its portable code keeps the words in the machine's.
 */
static void take_schedule(uint8_t *out, const AES_KEY *ks, size_t len,
                          bool words)
{
    memcpy(out, ks->rd_key, len);
    if (words) {
        swap_words(out, len);
    }
}

static int add_schedules(struct pattern_set *set, unsigned int subject,
                         const char *component, const uint8_t *key,
                         size_t key_len)
{
    uint8_t bytes[SCHEDULE_MAX];
    size_t len = BLOCK * (key_len / 4 + 7);
    AES_KEY ks;
    bool words;
    int err;

    AES_set_encrypt_key(key, (int)key_len * 8, &ks);
    words = memcmp(ks.rd_key, key, key_len) != 0;
    take_schedule(bytes, &ks, len, words);
    err =
        add_both_orders(set, subject, component, FORM_AES_ENCRYPT, bytes, len);
    if (err == 0) {
        AES_set_decrypt_key(key, (int)key_len * 8, &ks);
        take_schedule(bytes, &ks, len, words);
        err = add_both_orders(set, subject, component, FORM_AES_DECRYPT, bytes,
                              len);
    }
    OPENSSL_cleanse(&ks, sizeof(ks));
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return err;
}

/*
 * |h| times x, reflected, as PCLMULQDQ code wants it (Gueron and Kounavis,
 * "Intel Carry-Less Multiplication Instruction and its Usage for Computing the
 * GCM Mode"): |h| has the least significant byte first here.
 */
static void double_reflected(uint8_t h[BLOCK])
{
    uint8_t carry = 0;
    uint8_t top;

    for (size_t i = 0; i < BLOCK; i++) {
        top = h[i] >> 7;
        h[i] = (uint8_t)(h[i] << 1 | carry);
        carry = top;
    }
    if (carry != 0) {
        h[0] ^= 1;
        h[BLOCK - 1] ^= 0xc2;
    }
}

static void swap_halves(uint8_t h[BLOCK])
{
    uint8_t half[BLOCK / 2];

    memcpy(half, h, sizeof(half));
    memcpy(h, h + sizeof(half), sizeof(half));
    memcpy(h + sizeof(half), half, sizeof(half));
}

static void reverse_halves(uint8_t h[BLOCK])
{
    pattern_reverse(h, BLOCK / 2);
    pattern_reverse(h + BLOCK / 2, BLOCK / 2);
}

static int add_ghash(struct pattern_set *set, unsigned int subject,
                     const char *component, const uint8_t *key, size_t key_len)
{
    /* Each made from the one before. */
    static const struct {
        enum pattern_form form;
        void (*make)(uint8_t h[BLOCK]);
    } steps[] = {
        {FORM_GHASH_SWAPPED, reverse_halves},
        {FORM_GHASH_REVERSED, swap_halves},
        {FORM_GHASH_DOUBLED, double_reflected},
        {FORM_GHASH_DOUBLED_SWAPPED, swap_halves},
    };
    uint8_t h[BLOCK] = {0};
    AES_KEY ks;
    int err;

    AES_set_encrypt_key(key, (int)key_len * 8, &ks);
    AES_encrypt(h, h, &ks);
    OPENSSL_cleanse(&ks, sizeof(ks));
    err = pattern_bytes_add(set, subject, FORM_GHASH, component, h, BLOCK);
    for (size_t i = 0; err == 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
        steps[i].make(h);
        err =
            pattern_bytes_add(set, subject, steps[i].form, component, h, BLOCK);
    }
    OPENSSL_cleanse(h, sizeof(h));
    return err;
}

int schedule_add(struct pattern_set *set, unsigned int subject,
                 const char *component, const uint8_t *key, size_t key_len)
{
    int err = add_schedules(set, subject, component, key, key_len);

    return err == 0 ? add_ghash(set, subject, component, key, key_len) : err;
}
