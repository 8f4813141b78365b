/*
 * scan_matrix [--all] [--kem] [--client] SUBJECT STOCK-CONF FULL-CONF CERTS:
 * every secret of every kind of connection, looked for in the memory of a
 * server, or of a client.
 *
 * Kinds are versions, AEAD suites, groups and ways through the protocol: with
 * --all each with each, else the first of the suites with all groups and the
 * first group with all suites, for a client in one way only. --kem: the groups
 * of ML-KEM instead, in the first one all ways. Each kind is run with two
 * subjects, one with the stock configuration and one with the full profile, and
 * a stock peer, from which the secrets come (spy.h). The subject's memory is
 * kept after each of its flights, while the connection is up and after it is
 * closed, and is searched when all secrets are known.
 *
 * In the stock subject every secret must be found, or the search is blind to
 * it: something in its memory as it is, the rest at least in what it has wiped
 * (wiped.h). In the other nothing, there neither. The exit status says so.
 */
#include "connection.h"
#include "keyfile.h"
#include "matcher.h"
#include "patterns.h"
#include "secrets_of.h"
#include "spy.h"
#include "tally.h"
#include "wiped.h"

#include <limits.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/obj_mac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const suites_13[] = {
    "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256"};
static const char *const suites_12[] = {
    "ECDHE-ECDSA-AES256-GCM-SHA384",  "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",  "ECDHE-ECDSA-AES128-CCM",
    "ECDHE-ECDSA-AES256-CCM",         "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-AES256-CCM8",        "ECDHE-ECDSA-ARIA128-GCM-SHA256",
    "ECDHE-ECDSA-ARIA256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"};
static const char *const suites_rsa[] = {"AES128-GCM-SHA256",
                                         "AES256-GCM-SHA384", "AES128-CCM",
                                         "AES256-CCM8", "ARIA256-GCM-SHA384"};
static const struct group {
    const char *name;
    int nid;
} groups[] = {{"X25519", NID_X25519},       {"P-256", NID_X9_62_prime256v1},
              {"P-384", NID_secp384r1},     {"P-521", NID_secp521r1},
              {"X448", NID_X448},           {"ffdhe2048", NID_ffdhe2048},
              {"ffdhe3072", NID_ffdhe3072}, {"ffdhe4096", NID_ffdhe4096}};
#define CURVES 5 /* what TLS 1.2 has of them */
/* Of OpenSSL 3.5; by their numbers, for libssl has no others. */
#define NUMBERED(id) (TLSEXT_nid_unknown | (id))
static const struct group kems[] = {{"X25519MLKEM768", NUMBERED(0x11ec)},
                                    {"SecP256r1MLKEM768", NUMBERED(0x11eb)},
                                    {"SecP384r1MLKEM1024", NUMBERED(0x11ed)},
                                    {"MLKEM512", NUMBERED(0x0200)},
                                    {"MLKEM768", NUMBERED(0x0201)},
                                    {"MLKEM1024", NUMBERED(0x0202)}};

static const enum way ways_13[] = {
    WAY_FULL,    WAY_CERTIFICATE, WAY_RESUMED,     WAY_EARLY_DATA,
    WAY_RETRIED, WAY_KEY_UPDATE,  WAY_PROVED_LATER};
static const enum way ways_12[] = {WAY_FULL, WAY_CERTIFICATE, WAY_RESUMED,
                                   WAY_RENEGOTIATED};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct {
    bool all, client, kem;
    struct subject_link subject[SUBJECTS];
    struct keyfile key[2];
    size_t keys;
    unsigned long kinds, looks, wrong;
} matrix = {.subject = {{.name = "stock"}, {.name = "full profile"}}};

/* ---- what is found ------------------------------------------------------ */

static bool make_patterns(struct pattern_set *set, const struct looks *looks)
{
    bool ok = secrets_of(set, looks->cipher);

    for (size_t i = 0; ok && i < matrix.keys; i++) {
        ok = patterns_add_key(set, TALLY_PRIVATE_KEY + (unsigned)i,
                              &matrix.key[i]) == 0;
    }
    return ok;
}

struct search {
    struct tally tally;
    struct pattern_set set;
    bool found; /* what should not be there, or with stock anything */
};

static void note(struct search *s, const struct snapshot *look,
                 const struct match *m)
{
    const struct pattern_piece *piece = &s->set.pieces[m->piece];
    const struct mapping *where = mapping_find(&look->list, m->addr);
    bool wiped = where != NULL && strstr(where->name, WIPED_NAME) != NULL;
    const char *name = tally_found(&s->tally, piece, wiped);

    if (s->tally.subject == STOCK) {
        s->found |= !wiped;
    } else if (!tally_allowed(&s->tally, piece, wiped)) {
        s->found = true;
        printf("FOUND %s, %s: %s in %s, %s\n", look->when, name,
               pattern_form_name(piece->form),
               where != NULL ? where->name : "?", s->tally.kind->suite);
    }
}

static bool search_look(struct search *s, struct matcher *matcher,
                        const struct snapshot *look)
{
    struct match *matches = NULL;
    size_t n = 0;
    bool ok = snapshot_feed(look, matcher) &&
              matcher_finish(matcher, &matches, &n) == 0;

    for (size_t i = 0; ok && i < n; i++) {
        note(s, look, &matches[i]);
    }
    free(matches);
    matrix.looks++;
    return ok;
}

/* Looks for all secrets in all of the looks. */
static void search(struct search *s, const struct looks *looks)
{
    struct matcher *matcher = NULL;
    bool ok =
        make_patterns(&s->set, looks) && matcher_new(&matcher, &s->set) == 0;

    for (size_t i = 0; ok && i < s->set.pieces_len; i++) {
        tally_sought(&s->tally, &s->set.pieces[i]);
    }
    for (size_t i = 0; ok && i < looks->len; i++) {
        ok = search_look(s, matcher, &looks->at[i]);
    }
    if (!ok) {
        fprintf(stderr, "no memory to search with\n");
        exit(1);
    }
    tally_add(&s->tally);
    matcher_free(matcher);
    patterns_free(&s->set);
}

/* ---- one kind of connection --------------------------------------------- */

static void complain(const struct kind *k, int subject, const char *what)
{
    printf("FAIL %s, %s, %s, %s: %s\n", matrix.subject[subject].name, k->suite,
           k->group != NULL ? k->group : "RSA", way_names[k->way], what);
    matrix.wrong++;
}

static void judge(const struct kind *k, int subject, const struct looks *looks)
{
    struct search s = {
        .tally = {.kind = k, .subject = subject, .first = looks->first}};
    const char *missing;
    char what[96];

    search(&s, looks);
    if (subject == FULL && s.found) {
        complain(k, subject, "something is found");
    }
    if (subject == STOCK && !s.found) {
        complain(k, subject, "only what was wiped is found");
    }
    missing = tally_missing(&s.tally);
    if (missing != NULL) {
        snprintf(what, sizeof(what),
                 "%s is not found, so it was not looked "
                 "for rightly",
                 missing);
        complain(k, subject, what);
    }
}

static void run_with(const struct kind *k, int subject)
{
    static struct looks looks;
    const char *why;

    spy_forget();
    why = connection_run(&matrix.subject[subject], k, &looks);
    if (why != NULL) {
        complain(k, subject, why);
    } else {
        judge(k, subject, &looks);
    }
    for (size_t i = 0; i < looks.len; i++) {
        snapshot_free(&looks.at[i]);
    }
    looks.len = 0;
}

static void run(const struct kind *k)
{
    matrix.kinds++;
    for (int i = 0; i < SUBJECTS; i++) {
        run_with(k, i);
    }
}

/* A client's other suites go one way: how they end is the server's test. */
static bool wanted(size_t suite, size_t group, size_t way)
{
    if (matrix.kem && !matrix.all) {
        return suite == 0 && (group == 0 || way == 0);
    }
    return matrix.all || suite == 0 ||
           (group == 0 && (!matrix.client || way == 0));
}

/* Without |n_groups|: suites of RSA key transport. */
static void run_suites(int version, const char *const *suites, size_t n_suites,
                       const struct group *of, size_t n_groups,
                       const enum way *ways, size_t n_ways)
{
    for (size_t s = 0; s < n_suites; s++) {
        printf("%s\n", suites[s]);
        for (size_t g = 0; g < (n_groups > 0 ? n_groups : 1); g++) {
            for (size_t w = 0; w < n_ways; w++) {
                struct kind k = {
                    .version = version, .suite = suites[s], .way = ways[w]};

                if (n_groups > 0) {
                    k.group = of[g].name;
                    k.group_nid = of[g].nid;
                }
                if (wanted(s, g, w)) {
                    run(&k);
                }
            }
        }
    }
}

static void run_usual(void)
{
    run_suites(TLS1_3_VERSION, suites_13, COUNT(suites_13), groups,
               COUNT(groups), ways_13, COUNT(ways_13));
    run_suites(TLS1_2_VERSION, suites_12, COUNT(suites_12), groups, CURVES,
               ways_12, COUNT(ways_12));
    run_suites(TLS1_2_VERSION, suites_rsa, COUNT(suites_rsa), NULL, 0, ways_12,
               COUNT(ways_12));
}

/* ---- the program -------------------------------------------------------- */

static char *file_in(const char *dir, const char *name)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", dir, name) < 0) {
        exit(1);
    }
    return path;
}

static void start(char **args)
{
    const char *dir = args[3];
    char *of_server[] = {file_in(dir, "p256.crt"), file_in(dir, "p256.key"),
                         file_in(dir, "rsa2048.crt"),
                         file_in(dir, "rsa2048.key"), NULL};
    char *of_client[] = {file_in(dir, "rsa3072.crt"),
                         file_in(dir, "rsa3072.key"), NULL};
    char **own = matrix.client ? of_client : of_server;

    for (int i = 0; i < SUBJECTS; i++) {
        link_start(&matrix.subject[i], args[0],
                   matrix.client ? "client" : "server", args[1 + i], own);
    }
    for (; own[2 * matrix.keys] != NULL; matrix.keys++) {
        if (keyfile_load(&matrix.key[matrix.keys], NULL,
                         own[2 * matrix.keys + 1], NULL) != 0) {
            exit(1);
        }
    }
    connection_start(!matrix.client, matrix.client ? of_server : of_client);
}

static int end(void)
{
    for (int i = 0; i < SUBJECTS; i++) {
        link_stop(&matrix.subject[i]);
    }
    for (size_t i = 0; i < matrix.keys; i++) {
        keyfile_free(&matrix.key[i]);
    }
    connection_end();
    return matrix.wrong == 0 ? 0 : 1;
}

static void report(void)
{
    matrix.wrong += !tally_print();
    printf("%lu kinds of connections, %lu looks at a %s's memory, %lu wrong\n",
           matrix.kinds, matrix.looks, matrix.client ? "client" : "server",
           matrix.wrong);
}

/*
 * Each look has the size of the last, and its pages would be new ones all the
 * same: half a million page faults, where one may cost 150 us.
 */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most that it takes */
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

int main(int argc, char **argv)
{
    char **args = argv + 1;

    keep_memory();
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (; *args != NULL && **args == '-'; args++) {
        matrix.all |= strcmp(*args, "--all") == 0;
        matrix.kem |= strcmp(*args, "--kem") == 0;
        matrix.client |= strcmp(*args, "--client") == 0;
    }
    if (argv + argc - args != 4) {
        fprintf(stderr, "usage: scan_matrix [--all] [--kem] [--client] "
                        "SUBJECT STOCK-CONF FULL-CONF CERTS\n");
        return 2;
    }
    tally_start(matrix.client);
    start(args);
    if (matrix.kem) {
        run_suites(TLS1_3_VERSION, suites_13, COUNT(suites_13), kems,
                   COUNT(kems), ways_13, COUNT(ways_13));
    } else {
        run_usual();
    }
    report();
    return end();
}
