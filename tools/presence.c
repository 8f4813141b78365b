#include "presence.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* Above the numbers that keys and secrets have. */
#define SUBJECT_FIRST 0x80000000u

/* As patterns.c: larger than any number of a key of 64 Kibit. */
#define NUMBER_MAX 8192

/* Of a point the first half, which each encoding of it has. */
static const char *const numbers[] = {
    OSSL_PKEY_PARAM_RSA_N,
    OSSL_PKEY_PARAM_EC_PUB_X,
    OSSL_PKEY_PARAM_PUB_KEY,
};

/* What has no window that could be told from chance counts as seen. */
static int add_item(struct presence *p, uint8_t *bytes, size_t len)
{
    size_t cap = p->cap == 0 ? 64 : p->cap * 2;
    size_t before = p->set->windows_len;
    unsigned int subject = SUBJECT_FIRST + (unsigned int)p->len;
    bool *grown;
    int err;

    if (p->len == p->cap) {
        grown = reallocarray(p->seen, cap, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        p->seen = grown;
        p->cap = cap;
    }
    err = pattern_bytes_add(p->set, subject, FORM_RAW, "public", bytes, len);
    if (err == 0) {
        pattern_reverse(bytes, len);
        err = pattern_bytes_add(p->set, subject, FORM_REVERSED, "public", bytes,
                                len);
    }
    p->seen[p->len++] = p->set->windows_len == before;
    return err;
}

/* Returns the length of the public number, 0 if there is none. */
static size_t public_number(const EVP_PKEY *pkey, uint8_t bytes[NUMBER_MAX])
{
    BIGNUM *bn = NULL;
    size_t len = 0;

    for (size_t i = 0; len == 0 && i < sizeof(numbers) / sizeof(numbers[0]);
         i++) {
        if (EVP_PKEY_get_bn_param(pkey, numbers[i], &bn) &&
            BN_num_bytes(bn) <= NUMBER_MAX) {
            len = (size_t)BN_bn2bin(bn, bytes);
        }
        BN_free(bn);
        bn = NULL;
    }
    if (len == 0 &&
        !EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, bytes,
                                         NUMBER_MAX, &len)) {
        len = 0;
    }
    ERR_clear_error();
    return len;
}

int presence_add_key(struct presence *p, const EVP_PKEY *pkey)
{
    uint8_t bytes[NUMBER_MAX];
    size_t len = public_number(pkey, bytes);

    p->keys_len++;
    return add_item(p, bytes, len);
}

static int compare_randoms(const void *left, const void *right)
{
    const struct keylog_entry *a = *(const struct keylog_entry *const *)left;
    const struct keylog_entry *b = *(const struct keylog_entry *const *)right;

    return memcmp(a->random, b->random, KEYLOG_RANDOM);
}

/* A connection of TLS 1.3 has several lines with the same random. */
int presence_add_keylog(struct presence *p, const struct keylog *log)
{
    const struct keylog_entry **sorted = calloc(log->len + 1, sizeof(*sorted));
    uint8_t random[KEYLOG_RANDOM];
    size_t len = 0;
    int err = 0;

    if (sorted == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < log->len; i++) {
        /* What such a line begins with is no random. */
        if (strcmp(log->at[i].label, "RSA") != 0) {
            sorted[len++] = &log->at[i];
        }
    }
    qsort(sorted, len, sizeof(*sorted), compare_randoms);
    for (size_t i = 0; err == 0 && i < len; i++) {
        if (i == 0 || compare_randoms(&sorted[i - 1], &sorted[i]) != 0) {
            memcpy(random, sorted[i]->random, sizeof(random));
            err = add_item(p, random, sizeof(random));
        }
    }
    free(sorted);
    return err;
}

size_t presence_take(struct presence *p, struct match *matches, size_t len)
{
    unsigned int subject;
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        subject = p->set->pieces[matches[i].piece].subject;
        if (subject >= SUBJECT_FIRST) {
            p->seen[subject - SUBJECT_FIRST] = true;
        } else {
            matches[kept++] = matches[i];
        }
    }
    return kept;
}

bool presence_key_seen(const struct presence *p, size_t key)
{
    return p->seen[key];
}

size_t presence_connections(const struct presence *p)
{
    return p->len - p->keys_len;
}

size_t presence_connections_unseen(const struct presence *p)
{
    size_t n = 0;

    for (size_t i = p->keys_len; i < p->len; i++) {
        n += !p->seen[i];
    }
    return n;
}

void presence_free(struct presence *p)
{
    free(p->seen);
    memset(p, 0, sizeof(*p));
}
