/* scenario.c - what is drawn. Each setting is plain more often than not, so
 * that most connections come to something. */
#include "scenario.h"

#include "pair.h"

#include <inttypes.h>

#define PICK(a) ((a)[pair_random(sizeof(a) / sizeof((a)[0]))])

static bool percent(uint32_t n)
{
    return pair_random(100) < n;
}

static const char *const lists[] = {
    "ECDHE+AESGCM",
    "ECDHE+CHACHA20",
    "ECDHE+AES256:!AESGCM:!AESCCM",
    "ECDHE+AESCCM8:ECDHE+AESCCM",
    "ECDHE+ARIA",
    "DHE+AESGCM",
    "kRSA+AESGCM",
    "AES128-SHA:AES256-SHA256",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256",
};

#define ALL_OF_13                                                              \
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"                     \
    "TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256"

static const char *const suites[] = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256:TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_CCM_8_SHA256",
};

/* A client of TLS 1.2 offers no group of ours unless X448 is in its list, and a
 * group of libssl's own would not be compared with one of ours. */
static const char *const groups[] = {
    "X25519:P-256:X448",
    "P-256:X448",
    "X448",
    "P-384:X25519:X448",
    "P-521:X448",
    "X448:P-256",
    "ffdhe2048:X448",
    "P-256:X25519:P-384:P-521:X448",
};

static const char *const sigalgs[] = {
    "RSA-PSS+SHA256:RSA+SHA256",
    "ECDSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA384",
    "ed25519:ECDSA+SHA512:RSA-PSS+SHA256",
    "RSA+SHA512",
};

static const char *const types[] = {"RSA-2048", "P-256", "P-384", "ED25519"};

static const uint64_t options[] = {
    SSL_OP_NO_TICKET,           SSL_OP_CIPHER_SERVER_PREFERENCE,
    SSL_OP_NO_ENCRYPT_THEN_MAC, SSL_OP_NO_EXTENDED_MASTER_SECRET,
    SSL_OP_NO_RENEGOTIATION,    SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION,
    SSL_OP_ALLOW_NO_DHE_KEX,
};

static void draw_end(struct scenario_end *e)
{
    e->min = percent(85) ? TLS1_2_VERSION : TLS1_3_VERSION;
    e->max = e->min == TLS1_3_VERSION || percent(70) ? TLS1_3_VERSION
                                                     : TLS1_2_VERSION;
    e->list = percent(30) ? PICK(lists) : "ALL";
    e->suites = percent(20) ? PICK(suites) : ALL_OF_13;
    e->groups = PICK(groups);
    e->sigalgs = percent(10) ? PICK(sigalgs) : NULL;
    e->options = SSL_OP_ALLOW_CLIENT_RENEGOTIATION;
    for (int i = 0; i < 2; i++) {
        e->options |= percent(20) ? PICK(options) : 0;
    }
    e->suspends = percent(15);
}

static void draw_fault(struct fault *f)
{
    f->kind = percent(25) ? 1 + pair_random(FAULT_KINDS - 1) : FAULT_NONE;
    f->from = (int)pair_random(ENDS);
    f->record = (int)pair_random(percent(70) ? 4 : 15);
    /* In a hello anywhere; elsewhere before what varies in length. */
    f->at = percent(10) ? pair_random(5)
                        : 5 + pair_random(f->record == 0 ? 300 : 60);
    f->mask = (unsigned char)(1u << pair_random(8));
}

void scenario_draw(struct scenario *s, uint64_t seed)
{
    pair_seed(seed);
    *s = (struct scenario){.seed = seed};
    draw_end(&s->end[CLIENT]);
    draw_end(&s->end[SERVER]);
    s->end[SERVER].types[0] = percent(60) ? "P-256" : PICK(types);
    s->end[SERVER].types[1] = percent(50) ? "RSA-2048" : NULL;
    s->end[CLIENT].types[0] = percent(40) ? PICK(types) : NULL;
    s->verify = percent(60) ? SSL_VERIFY_NONE
                            : SSL_VERIFY_PEER |
                                  (percent(30) ? SSL_VERIFY_POST_HANDSHAKE : 0);
    s->connections = percent(50) ? 2 : 1;
    s->piece = percent(20) ? 1 + pair_random(percent(50) ? 10 : 1000) : 0;
    draw_fault(&s->fault);
    for (int i = 0; i < SCENARIO_OPS; i++) {
        s->ops[i] = pair_random(OPERATIONS);
    }
    s->size = 1 + pair_random(percent(80) ? 2000 : 40000);
}

void scenario_print(const struct scenario *s, FILE *to)
{
    static const char *const name[ENDS] = {"client", "server"};

    fprintf(to, "scenario %" PRIu64 ": %d connections, verify %d, pieces %zu\n",
            s->seed, s->connections, s->verify, s->piece);
    for (int i = 0; i < ENDS; i++) {
        const struct scenario_end *e = &s->end[i];

        fprintf(to,
                "  %s %x to %x, %s, %s, groups %s, sigalgs %s, keys %s %s, "
                "options %" PRIx64 "%s\n",
                name[i], e->min, e->max, e->list, e->suites, e->groups,
                e->sigalgs != NULL ? e->sigalgs : "-",
                e->types[0] != NULL ? e->types[0] : "-",
                e->types[1] != NULL ? e->types[1] : "-", e->options,
                e->suspends ? ", suspends" : "");
    }
    fprintf(to, "  fault %d, record %d of the %s, byte %zu, %02x; operations",
            s->fault.kind, s->fault.record, name[s->fault.from], s->fault.at,
            s->fault.mask);
    for (int i = 0; i < SCENARIO_OPS; i++) {
        fprintf(to, " %d", s->ops[i]);
    }
    fprintf(to, " of %zu bytes\n", s->size);
}
