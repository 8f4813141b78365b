/*
 * soak.c - very many handshakes in one process, and memory that stays flat.
 *
 *   tls_soak [HANDSHAKES [SEED]]
 *
 * One end or both are under test, the other is a stock one. Each handshake is
 * drawn: version, suite, group, certificate, client certificate, ticket or
 * cache, new or resumed, early data, renegotiation, key update; and some break
 * off in the middle of a flight. Between two looks at memory nothing is kept:
 * then the blocks in the domain's heap, libc's heap and the resident pages are
 * what they were.
 */
#include "soak.h"

#include "../interop/interop.h"
#include "../interop/ops.h"
#include "pair.h"

#include <malloc.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOKS 12
#define WARM 4 /* by then one of everything is there, tables of methods too */

/* Ends of one kind under test, and the sessions to resume between them. */
static struct side sides[3];
static struct soak_counts counts;

/* ---- memory ------------------------------------------------------------- */

struct usage {
    uint64_t blocks; /* in the domain */
    size_t heap;     /* of libc, in use */
    long resident;   /* KiB */
};

static uint64_t blocks_in_use(void)
{
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(NULL, "MPK");
    uint64_t blocks = 0;
    OSSL_PARAM ask[] = {OSSL_PARAM_uint64("mpk-blocks-in-use", &blocks),
                        OSSL_PARAM_END};

    CHECK(provider != NULL && OSSL_PROVIDER_get_params(provider, ask) == 1);
    CHECK(OSSL_PARAM_modified(&ask[0]) && blocks > 0);
    OSSL_PROVIDER_unload(provider);
    return blocks;
}

static struct usage usage_now(void)
{
    struct usage u = {.resident = -1};
    FILE *f = fopen("/proc/self/statm", "r");

    for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++) {
        side_forget(&sides[i]);
    }
    malloc_trim(0);
    u.blocks = interop_protected() ? blocks_in_use() : 0;
    u.heap = mallinfo2().uordblks;
    if (f != NULL && fscanf(f, "%*d %ld", &u.resident) == 1) {
        u.resident *= 4;
    }
    if (f != NULL) {
        fclose(f);
    }
    return u;
}

static void show(unsigned long done, struct usage u)
{
    printf("%8lu handshakes: %llu blocks in the domain, %zu bytes of heap, "
           "%ld KiB resident\n",
           done, (unsigned long long)u.blocks, u.heap, u.resident);
}

/* The count of blocks is exact, so a leak in one handshake of fifty shows. The
 * room is for what a rare group or suite needs once, and for the contexts that
 * have ended and wait for a call to go in with; and libcrypto 3.5 alone takes
 * up to 17 KiB more from 2,000 to 6,000 handshakes. The domain's heap takes
 * memory in steps of 192 KiB, when its free spans lie unluckily: one or two of
 * these after the first 2,000 as a rule, and none after some 9,000. */
static void check_flat(struct usage then, struct usage now)
{
    CHECK(now.blocks <= then.blocks + 80);
    if (interop_memory_counts()) {
        CHECK(now.heap <= then.heap + 32768);
        CHECK(now.resident >= 0 && now.resident <= then.resident + 1024);
    }
}

/* ---- the plan ----------------------------------------------------------- */

static const struct suite suites[SOAK_SUITES] = {
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", false},
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", false},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", false},
    {TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", false},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", false},
    {TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384", false},
    {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", false},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", false},
    {TLS1_2_VERSION, "AES128-GCM-SHA256", true},
};

static const char *const groups[] = {"X25519", "P-256", "P-384", "X448"};

static bool one_in(uint32_t n)
{
    return pair_random(n) == 0;
}

/* Costly groups and certificates are rare, so that there are many in all. */
static struct plan draw(void)
{
    struct plan p = {.suite_number = pair_random(SOAK_SUITES),
                     .cut_flight = -1};
    bool tls13 = suites[p.suite_number].version == TLS1_3_VERSION;

    p.suite = &suites[p.suite_number];
    p.group = groups[one_in(20) ? 2 + pair_random(2) : pair_random(2)];
    p.rsa = one_in(20);
    p.retry = tls13 && one_in(20);
    p.client_certificate = one_in(6);
    p.resume = !one_in(3);
    p.ticket = !one_in(3);
    p.early = tls13 && p.resume && one_in(2);
    p.update = tls13 && one_in(4);
    p.renegotiate = !tls13 && one_in(8);
    p.abrupt = one_in(3);
    if (one_in(3)) {
        /* Only after a retry there are as many as that. */
        p.cut_flight = p.retry && one_in(2) ? SOAK_FLIGHTS - 1
                                            : (int)pair_random(SOAK_FLIGHTS);
        p.cut_percent = (int)pair_random(101);
    }
    return p;
}

static void run(unsigned long from, unsigned long to)
{
    for (unsigned long i = from; i < to && interop_failures() == 0; i++) {
        struct plan p = draw();
        struct side *side = &sides[pair_random(3)];

        interop_subject("%lu: %s, %s under test, %s%s%s%s", i, p.suite->name,
                        side->name, p.group, p.resume ? ", resumed" : "",
                        p.retry ? ", retried" : "", p.early ? ", early" : "");
        soak_connect(side, &p, &counts);
        ERR_clear_error();
    }
}

static void show_counts(void)
{
    const struct soak_counts *c = &counts;

    printf("whole %lu, of these resumed %lu, with client certificate %lu, "
           "early data %lu, retried %lu, renegotiated %lu, key updates %lu\n",
           c->whole, c->resumed, c->client_certificate, c->early, c->retried,
           c->renegotiated, c->updated);
    printf("cut in flight");
    for (int i = 0; i < SOAK_FLIGHTS; i++) {
        printf(" %d: %lu%s", i + 1, c->cut[i],
               i < SOAK_FLIGHTS - 1 ? "," : "\n");
    }
}

/* A soak that never came by something says nothing of it. */
static void check_counts(void)
{
    const struct soak_counts *c = &counts;

    CHECK(c->resumed > 0 && c->client_certificate > 0 && c->early > 0);
    CHECK(c->retried > 0 && c->renegotiated > 0 && c->updated > 0);
    for (int i = 0; i < SOAK_FLIGHTS; i++) {
        CHECK(c->cut[i] > 0);
    }
}

int main(int argc, char **argv)
{
    unsigned long all = argc > 1 ? strtoul(argv[1], NULL, 0) : 6000;
    struct usage then = {0}, now = {0};

    setvbuf(stdout, NULL, _IOLBF, 0);
    interop_start();
    pair_seed(pair_seed_from(argc - (argc > 1), argv + (argc > 1)));
    side_open(&sides[0], "server", interop_ref(), NULL);
    side_open(&sides[1], "client", NULL, interop_ref());
    side_open(&sides[2], "both", NULL, NULL);
    for (unsigned long i = 0; i < LOOKS && interop_failures() == 0; i++) {
        run(all * i / LOOKS, all * (i + 1) / LOOKS);
        now = usage_now();
        show(all * (i + 1) / LOOKS, now);
        then = i + 1 == WARM ? now : then;
    }
    interop_subject("memory after %lu handshakes", all);
    check_flat(then, now);
    check_counts();
    show_counts();
    for (size_t i = 0; i < sizeof(sides) / sizeof(sides[0]); i++) {
        side_close(&sides[i]);
    }
    return interop_finish();
}
