/*
 * entries_oracle.c - secrets that the fuzzer knows and that no entry may give
 * out: they are looked for where entries write.
 */
#include "entries.h"

#include <stdio.h>
#include <string.h>

#define PART 16 /* bytes that are found; of each secret every PART of them */
#define PARTS 2048
#define BLOOM 65536

static struct needle {
    unsigned char part[PART];
    const char *name;
} needles[PARTS];
static size_t n_needles, n_lasting;
static unsigned char bloom[BLOOM / 8];

static uint32_t hash_of(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return (uint32_t)(word * 0x9e3779b97f4a7c15U >> 48);
}

static bool is_telling(const unsigned char *part)
{
    unsigned seen = 0;

    for (int i = 0; i < PART; i++) {
        seen += memchr(part, part[i], (size_t)i) == NULL;
    }
    return seen > PART / 2;
}

static void add_part(const unsigned char *part, const char *name)
{
    uint32_t h = hash_of(part);

    if (n_needles < PARTS && is_telling(part)) {
        memcpy(needles[n_needles].part, part, PART);
        needles[n_needles++].name = name;
        bloom[h / 8] |= (unsigned char)(1U << h % 8);
    }
}

void oracle_add(const void *secret, size_t len, const char *name)
{
    const unsigned char *p = secret;

    for (size_t at = 0; at + PART <= len; at += PART) {
        add_part(p + at, name);
    }
}

void oracle_add_number(const unsigned char *secret, size_t len,
                       const char *name)
{
    unsigned char turned[4096];

    if (len > sizeof(turned)) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        turned[i] = secret[len - 1 - i];
    }
    oracle_add(secret, len, name);
    oracle_add(turned, len, name);
}

void oracle_keep(void)
{
    n_lasting = n_needles;
}

void oracle_forget(void)
{
    n_needles = n_lasting;
    memset(bloom, 0, sizeof(bloom));
    for (size_t i = 0; i < n_needles; i++) {
        uint32_t h = hash_of(needles[i].part);

        bloom[h / 8] |= (unsigned char)(1U << h % 8);
    }
}

static const char *found(const unsigned char *p)
{
    uint32_t h = hash_of(p);

    if (!(bloom[h / 8] & 1U << h % 8)) {
        return NULL;
    }
    for (size_t i = 0; i < n_needles; i++) {
        if (memcmp(p, needles[i].part, PART) == 0) {
            return needles[i].name;
        }
    }
    return NULL;
}

void oracle_look(const void *from, size_t len, const char *where)
{
    const unsigned char *p = from;

    for (size_t i = 0; i + PART <= len; i++) {
        const char *name = found(p + i);

        if (name != NULL) {
            fprintf(stderr, "%s is outside, %s\n", name, where);
            __builtin_trap();
        }
    }
}
