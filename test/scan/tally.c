/* tally.c - see tally.h. */
#include "tally.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In how many connections. */
struct name {
    char text[32];
    unsigned long sought, lay, shown, full;
};

static struct {
    bool client;
    struct name name[TALLY_NAMES];
    size_t names;
} table;

void tally_start(bool client)
{
    table.client = client;
}

/* ---- what need not be shown --------------------------------------------- */

static bool uses_ccm(const struct kind *k)
{
    return strstr(k->suite, "CCM") != NULL;
}

static bool shows_no_certificate(const struct kind *k)
{
    return table.client && k->way != WAY_CERTIFICATE &&
           k->way != WAY_PROVED_LATER;
}

/* Where stock may show none of a name. All others it has to. */
static struct exception {
    const char *name;
    bool (*applies)(const struct kind *k);
    const char *why;
    unsigned long times; /* that it was not shown */
} exceptions[] = {
    {"GHASH key", uses_ccm, "CCM has none", 0},
    {"private key", shows_no_certificate, "a client that shows none needs none",
     0},
};
#define EXCEPTIONS (sizeof(exceptions) / sizeof(exceptions[0]))

static struct exception *exception_for(const struct kind *k, const char *name)
{
    for (size_t i = 0; i < EXCEPTIONS; i++) {
        if (strcmp(exceptions[i].name, name) == 0 && exceptions[i].applies(k)) {
            return &exceptions[i];
        }
    }
    return NULL;
}

/* ---- one connection ----------------------------------------------------- */

static size_t index_of(const char *text)
{
    size_t i = 0;

    while (i < table.names && strcmp(table.name[i].text, text) != 0) {
        i++;
    }
    if (i == TALLY_NAMES) {
        fprintf(stderr, "too many names of secrets\n");
        exit(1);
    }
    if (i == table.names) {
        snprintf(table.name[table.names++].text, sizeof(table.name[i].text),
                 "%s", text);
    }
    return i;
}

/* Schedules and GHASH keys apart from the key that they are made of. */
static const char *name_of(const struct pattern_piece *p)
{
    if (p->subject >= TALLY_PRIVATE_KEY) {
        return "private key";
    }
    if (p->form < FORM_AES_ENCRYPT) {
        return p->component;
    }
    return p->form < FORM_GHASH ? "AES schedule" : "GHASH key";
}

static size_t secret_of(const struct pattern_piece *p)
{
    return p->subject < SPY_MAX ? p->subject : SPY_MAX;
}

void tally_sought(struct tally *t, const struct pattern_piece *piece)
{
    t->sought[secret_of(piece)][index_of(name_of(piece))] = true;
}

const char *tally_found(struct tally *t, const struct pattern_piece *piece,
                        bool wiped)
{
    const char *name = name_of(piece);
    size_t secret = secret_of(piece), i = index_of(name);

    (wiped ? t->wiped : t->lay)[secret][i] = true;
    return name;
}

/* What a client chooses for RSA key transport libssl has made itself
 * (docs/limits.md); it wipes it. */
bool tally_allowed(const struct tally *t, const struct pattern_piece *piece,
                   bool wiped)
{
    return table.client && wiped && t->kind->group == NULL &&
           strcmp(name_of(piece), "pre-master") == 0;
}

static bool any(const bool of[SPY_MAX + 1][TALLY_NAMES], size_t name)
{
    for (size_t secret = 0; secret <= SPY_MAX; secret++) {
        if (of[secret][name]) {
            return true;
        }
    }
    return false;
}

void tally_add(const struct tally *t)
{
    for (size_t i = 0; i < table.names; i++) {
        struct name *n = &table.name[i];
        bool lay = any(t->lay, i), shown = lay || any(t->wiped, i);

        if (t->subject == FULL) {
            n->full += shown;
            continue;
        }
        n->sought += any(t->sought, i);
        n->lay += lay;
        n->shown += shown;
    }
}

static bool is_missing(const struct tally *t, size_t name)
{
    for (size_t secret = t->first; secret <= SPY_MAX; secret++) {
        if (t->sought[secret][name] && !t->lay[secret][name] &&
            !t->wiped[secret][name]) {
            return true;
        }
    }
    return false;
}

const char *tally_missing(const struct tally *t)
{
    const char *missing = NULL;

    for (size_t i = 0; i < table.names && t->subject == STOCK; i++) {
        struct exception *e = exception_for(t->kind, table.name[i].text);

        if (!is_missing(t, i)) {
            continue;
        }
        if (e != NULL) {
            e->times++;
        } else if (missing == NULL) {
            missing = table.name[i].text;
        }
    }
    return missing;
}

/* ---- all of them -------------------------------------------------------- */

bool tally_print(void)
{
    bool ok = true;

    printf("%-24s %10s %10s %10s %10s\n", "secret", "looked for", "stock",
           "and wiped", "full");
    for (size_t i = 0; i < table.names; i++) {
        const struct name *n = &table.name[i];

        printf("%-24s %10lu %10lu %10lu %10lu\n", n->text, n->sought, n->lay,
               n->shown, n->full);
    }
    for (size_t i = 0; i < EXCEPTIONS; i++) {
        if (exceptions[i].times > 0) {
            printf("not shown by stock, %lu: %s, %s\n", exceptions[i].times,
                   exceptions[i].name, exceptions[i].why);
        }
    }
    for (size_t i = 0; i < table.names; i++) {
        if (table.name[i].sought > 0 && table.name[i].shown == 0) {
            printf("FAIL stock has shown no %s\n", table.name[i].text);
            ok = false;
        }
    }
    return ok;
}
