/*
 * foresight_test.c - answers to questions that were not asked yet, without a
 * domain: an answer is for the very same question, once, and what is inside is
 * not looked at from outside.
 *
 * Seen to fail: take() without the comparison of the question, without that of
 * the length, without forget(); foresight_answer without is_readable and
 * without mpk_is_outside of its output; each look at the key log removed; what
 * is not written into a question; patience without end; a plan or an answer for
 * what does not fit; of TLS 1.2 the looks at the mode, at seeds inside, at
 * which premaster and which public key; any length of a block; a short one that
 * is kept, or guessed again, after a longer one; one place for each answer, the
 * newest pushed out, and no places apart for what waits; a question that is not
 * wiped; a key that others may have pushed out; an answer of another length
 * that stays. A lock() that always says yes is seen by the thread sanitizer.
 */
#include "prov.h"
#include "tls.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int failed;
#define CHECK(claim)                                                           \
    ((claim) ? (void)0                                                         \
             : (void)(failed++, fprintf(stderr, "%s:%d: does not hold: %s\n",  \
                                        __func__, __LINE__, #claim)))

/* ---- what foresight.c needs ---------------------------------------------- */

struct prov_outside prov;
static int keylog;
static unsigned char *inside; /* a page that ends whoever touches it */

int keylog_is_on(void)
{
    return keylog;
}

int mpk_is_outside(const void *p, size_t len)
{
    uintptr_t at = (uintptr_t)p, domain = (uintptr_t)inside;

    return at + len <= domain || at >= domain + 4096;
}

/* ---- a connection -------------------------------------------------------- */

#define SIZE 32
#define PIECE(array, n) ((struct kdf_piece){(array), (n)})

static unsigned char secret[SIZE], hash[SIZE], result[SIZE];

static struct kdf_request expansion(const char *label)
{
    return (struct kdf_request){
        .which = KDF_TLS13,
        .mode = KDF_EXPAND,
        .digest = PRF_SHA256,
        .key = PIECE(secret, SIZE),
        .prefix = PIECE((const unsigned char *)"tls13 ", 6),
        .label = PIECE((const unsigned char *)label, strlen(label)),
        .data = PIECE(hash, SIZE)};
}

/* The inside: answers that say which question they are of. */
static uint64_t derive_all(struct foresight_plan *plan)
{
    for (uint32_t i = 0; i < plan->n; i++) {
        memset(plan->out[i], (int)(0xa0 + i), plan->next[i].out_len);
    }
    return plan->n;
}

static void forget_all(void)
{
    memset(&prov.foresight, 0, sizeof(prov.foresight));
    prov.foresight.keys = prov.foresight.tickets = 8;
    prov.foresight.key_len[PRF_SHA256] = 16;
}

/* Asks for one traffic secret, as of a new connection; the answer to the other
 * one waits then. Returns how many do. */
static uint32_t foresee(unsigned char number)
{
    struct kdf_request r;
    struct foresight_plan plan;

    memset(secret, number, sizeof(secret));
    memset(result, number ^ 0x55, sizeof(result));
    r = expansion("s hs traffic");
    foresight_plan(&plan, &r, result, SIZE);
    foresight_keep(&plan, derive_all(&plan));
    return plan.n;
}

static int answered(const struct kdf_request *r, size_t len)
{
    unsigned char out[64] = {0};
    int ok = foresight_answer(r, out, len);

    CHECK(!ok || out[0] >= 0xa0);
    return ok;
}

/* ---- claims -------------------------------------------------------------- */

static void test_an_answer_is_given_once(void)
{
    struct kdf_request other, leaf = expansion("iv");

    forget_all();
    CHECK(foresee(1) == 7);
    other = expansion("c hs traffic");
    CHECK(answered(&other, SIZE));
    CHECK(!answered(&other, SIZE));
    leaf.key.p = result;
    leaf.data = PIECE(NULL, 0);
    CHECK(answered(&leaf, 12));
    CHECK(!answered(&leaf, 12));
}

static void test_only_the_same_question_is_answered(void)
{
    static const unsigned char other_prefix[] = "tls12 ";
    unsigned char changed[SIZE];
    struct kdf_request good, r;

    forget_all();
    foresee(2);
    good = expansion("c hs traffic");
#define REFUSED(change)                                                        \
    do {                                                                       \
        r = good;                                                              \
        change;                                                                \
        CHECK(!answered(&r, SIZE));                                            \
    } while (0)
    REFUSED(r.mode = KDF_EXTRACT);
    REFUSED(r.which = KDF_TLS1);
    REFUSED(r.digest = PRF_SHA384);
    REFUSED(r.digest = PRF_MD5_SHA1);
    REFUSED(r.digest = -1);
    REFUSED(r.prefix.p = other_prefix);
    REFUSED(r.prefix.len = 5);
    REFUSED(r.salt = r.data);
    REFUSED(r.salt.p = hash);
    REFUSED(r.data = PIECE(NULL, 0));
    REFUSED(r.data.len--);
    REFUSED(r.key.len--);
    REFUSED(r.label.len--);
    REFUSED(r.label.p = (const unsigned char *)"c ap traffic");
    for (int bit = 0; bit < SIZE * 8; bit++) {
        memcpy(changed, secret, SIZE);
        changed[bit / 8] ^= (unsigned char)(1 << bit % 8);
        REFUSED(r.key.p = changed);
        memcpy(changed, hash, SIZE);
        changed[bit / 8] ^= (unsigned char)(1 << bit % 8);
        REFUSED(r.data.p = changed);
    }
    CHECK(answered(&good, SIZE));
}

#define PLACES (FORESIGHT_SOON + FORESIGHT_LATER)

static struct foreseen *place(int i)
{
    return i < FORESIGHT_SOON ? &prov.foresight.soon[i]
                              : &prov.foresight.later[i - FORESIGHT_SOON];
}

/* Where a place is shared, or a question forged into another's place: the text
 * decides. */
static void test_a_question_in_the_place_of_another(void)
{
    struct kdf_request r;
    struct foreseen *f = NULL;

    forget_all();
    foresee(3);
    r = expansion("c hs traffic");
    for (int i = 0; i < PLACES; i++) {
        struct foreseen *at = place(i);

        if (at->question_len > 60 &&
            memmem(at->question, at->question_len, "c hs", 4) != NULL) {
            f = at;
        }
    }
    CHECK(f != NULL);
    if (f != NULL) {
        f->question[f->question_len - 1] ^= 1;
        CHECK(!answered(&r, SIZE));
        f->question[f->question_len - 1] ^= 1;
    }
    CHECK(answered(&r, SIZE));
}

static bool is_kept(unsigned char byte, size_t n)
{
    bool kept = false;

    for (int i = 0; i < PLACES; i++) {
        for (size_t at = 0; at + n <= FORESIGHT_OUT; at++) {
            size_t same = 0;

            while (same < n && place(i)->out[at + same] == byte) {
                same++;
            }
            kept |= same == n;
        }
    }
    return kept;
}

/* A key block has more than nonces in the clear then: nothing of it stays. */
static void test_what_was_guessed_too_long_is_wiped(void)
{
    struct kdf_request r;

    for (int more = -1; more <= 1; more += 2) {
        forget_all();
        foresee(2);
        r = expansion("c hs traffic");
        CHECK(is_kept(0xa0, SIZE) && is_kept(0xa1, 4));
        CHECK(!answered(&r, (size_t)(SIZE + more)));
        CHECK(!is_kept(0xa0, 4) && is_kept(0xa1, 4));
        CHECK(!answered(&r, SIZE));
    }
}

static void test_what_is_inside_is_not_looked_at(void)
{
    struct kdf_request good, r;
    struct foresight_plan plan;

    forget_all();
    foresee(4);
    good = expansion("c hs traffic");
    REFUSED(r.key.p = inside);
    REFUSED(r.salt = PIECE(inside, SIZE));
    REFUSED(r.prefix.p = inside);
    REFUSED(r.label.p = inside);
    REFUSED(r.data.p = inside + 4096 - SIZE / 2);
    CHECK(!foresight_answer(&good, inside, SIZE));
    r = expansion("s hs traffic");
    r.data.p = inside;
    foresight_plan(&plan, &r, result, SIZE);
    CHECK(plan.n == 0);
    foresight_notice(&r, result, SIZE);
    CHECK(answered(&good, SIZE));
}

static void test_a_key_log_has_none_of_it(void)
{
    struct kdf_request r;
    struct foresight_plan plan;
    struct mpkprov_frame f = {0};

    forget_all();
    foresee(5);
    prov.foresight.stages = 8;
    prov.foresight.early[PRF_SHA256].ready = 1;
    keylog = 1;
    r = expansion("c hs traffic");
    CHECK(!answered(&r, SIZE));
    CHECK(foresee(6) == 0);
    foresight_plan_stages(&plan, &f, result, SIZE);
    CHECK(plan.n == 0 && f.in2_len == 0);
    keylog = 0;
    foresight_plan_stages(&plan, &f, result, SIZE);
    CHECK(plan.n == 2 && f.in2_len == 2);
}

/* As that of a group with a long secret: nothing is derived, and nothing kept
 * that nobody can ask for. */
static void test_a_question_that_is_too_long_is_not_foreseen(void)
{
    static const struct foreseen none;
    struct foresight_plan plan;
    struct mpkprov_frame f = {0};
    static unsigned char shared[272];

    forget_all();
    prov.foresight.stages = 8;
    prov.foresight.early[PRF_SHA256].ready = 1;
    foresight_plan_stages(&plan, &f, shared, sizeof(shared));
    CHECK(plan.n == 0 && f.in2_len == 0);
    CHECK(prov.foresight.stages == 8);
    foresight_plan_stages(&plan, &f, shared, 64); /* P-384 */
    CHECK(plan.n == 2);
    prov.foresight.stage_digest = PRF_SHA384;
    prov.foresight.early[PRF_SHA384].ready = 1;
    foresight_plan_stages(&plan, &f, shared, 80); /* X25519MLKEM768 */
    CHECK(plan.n == 2);
    plan.next[0].key.len = sizeof(shared);
    plan.n = 1;
    foresight_keep(&plan, derive_all(&plan));
    for (int i = 0; i < PLACES; i++) {
        CHECK(memcmp(place(i), &none, sizeof(none)) == 0);
    }
}

/* What is foreseen with |label|, of the |i|th secret. */
static void foresee_of(int i, const char *label)
{
    struct foresight_plan plan;
    struct kdf_request r;

    prov.foresight.keys = 8;
    memcpy(secret, &i, sizeof(i));
    memcpy(result, &i, sizeof(i));
    r = expansion(label);
    foresight_plan(&plan, &r, result, SIZE);
    foresight_keep(&plan, derive_all(&plan));
}

/* However much is foreseen and never asked for. */
static void test_there_are_so_many_places_and_no_more(void)
{
    struct kdf_request r;
    unsigned n = 0;

    forget_all();
    for (int i = 0; i < 4 * PLACES; i++) {
        foresee_of(i, "s hs traffic");
        /* What came last is there. */
        r = expansion("c hs traffic");
        CHECK(i % 2 || answered(&r, SIZE));
    }
    for (int i = 0; i < 4 * PLACES; i++) {
        memcpy(secret, &i, sizeof(i));
        r = expansion("c hs traffic");
        n += (unsigned)answered(&r, SIZE);
    }
    CHECK(n > 0 && n <= FORESIGHT_SOON);
}

/* A server's answers for the client's next flight: other connections' do not
 * push them out meanwhile. */
static void test_what_waits_for_the_peer_has_places_of_its_own(void)
{
    enum { CONNECTIONS = 100 };
    unsigned n = 0;

    forget_all();
    for (int i = 0; i < CONNECTIONS; i++) {
        foresee_of(i, "s ap traffic");
    }
    for (int i = CONNECTIONS; i < CONNECTIONS + 8 * FORESIGHT_SOON; i++) {
        foresee_of(i, "s hs traffic");
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        struct kdf_request r;

        memcpy(secret, &i, sizeof(i));
        r = expansion("c ap traffic");
        n += (unsigned)answered(&r, SIZE);
    }
    /* 300 answers in 256 groups of four places: few have no room. */
    CHECK(n >= CONNECTIONS - 5);
}

static void test_guesses_that_stay_unasked_stop(void)
{
    unsigned n = 0;

    forget_all();
    for (int i = 0; i < 20; i++) {
        n += foresee((unsigned char)i) != 0;
    }
    CHECK(n == 8);
}

/* ---- TLS 1.2 ------------------------------------------------------------- */

#define MASTER 48
#define BLOCK 72
#define PUBLIC 32

static unsigned char premaster[48], master[MASTER], client_random[32],
    server_random[32];

static struct kdf_request tls1(const char *label, const unsigned char *key,
                               size_t key_len)
{
    struct kdf_request r = {.which = KDF_TLS1,
                            .digest = PRF_SHA256,
                            .key = PIECE(key, key_len),
                            .n_seeds = 1};

    r.seed[0] = PIECE((const unsigned char *)label, strlen(label));
    return r;
}

static struct kdf_request with(struct kdf_request r, const unsigned char *a,
                               const unsigned char *b)
{
    r.seed[r.n_seeds++] = PIECE(a, 32);
    if (b != NULL) {
        r.seed[r.n_seeds++] = PIECE(b, 32);
    }
    return r;
}

static struct kdf_request block(void)
{
    return with(tls1("key expansion", master, MASTER), server_random,
                client_random);
}

static struct kdf_request finished(const char *label)
{
    return with(tls1(label, master, MASTER), hash, NULL);
}

static struct kdf_request extended(void)
{
    return with(tls1("extended master secret", premaster, sizeof(premaster)),
                hash, NULL);
}

/* What a server signs. */
static size_t signed_text(unsigned char tbs[200])
{
    memcpy(tbs, client_random, 32);
    memcpy(tbs + 32, server_random, 32);
    memcpy(tbs + 64, (const unsigned char[]){3, 0, 29, PUBLIC}, 4);
    memset(tbs + 68, 'p', PUBLIC);
    return 68 + PUBLIC;
}

static uint32_t foresee_tls1(const struct kdf_request *r)
{
    struct foresight_plan plan;

    foresight_plan(&plan, r, master, MASTER);
    foresight_keep(&plan, derive_all(&plan));
    return plan.n;
}

/* A new connection; the randoms are known if it has been |signed_before|. */
static uint32_t connect_tls12(unsigned char number, int signed_before)
{
    unsigned char tbs[200], public[PUBLIC];
    struct kdf_request r = extended();

    memset(premaster, number, sizeof(premaster));
    memset(master, number ^ 0xaa, sizeof(master));
    memset(client_random, number ^ 1, sizeof(client_random));
    memset(server_random, number ^ 2, sizeof(server_random));
    if (signed_before) {
        foresight_signed(tbs, signed_text(tbs));
    }
    memset(public, 'p', PUBLIC);
    foresight_exchanged(public, PUBLIC, premaster, sizeof(premaster));
    return foresee_tls1(&r);
}

static void start_tls12(void)
{
    forget_all();
    prov.foresight.blocks = prov.foresight.finishes = 8;
    prov.foresight.block_len[PRF_SHA256] = BLOCK;
}

static int answered_tls1(struct kdf_request r, size_t len)
{
    unsigned char out[128];
    int ok = foresight_answer(&r, out, len);

    CHECK(!ok || out[0] >= 0xa0);
    return ok;
}

static void test_a_key_block_comes_with_its_master_secret(void)
{
    struct kdf_request r;

    start_tls12();
    CHECK(connect_tls12(1, 1) == 2);
    CHECK(!answered_tls1(finished("server finished"), 12));
    CHECK(answered_tls1(finished("client finished"), 12));
    CHECK(!answered_tls1(finished("client finished"), 12));
    CHECK(answered_tls1(block(), BLOCK));
    CHECK(!answered_tls1(block(), BLOCK));
    /* Without a hash. */
    r = with(tls1("master secret", premaster, sizeof(premaster)), client_random,
             server_random);
    CHECK(foresee_tls1(&r) == 1);
    CHECK(answered_tls1(block(), BLOCK));
}

static void test_another_block_is_not_answered(void)
{
    struct kdf_request good, r;

    start_tls12();
    connect_tls12(2, 1);
    good = block();
#define REFUSED_TLS1(change)                                                   \
    do {                                                                       \
        r = good;                                                              \
        change;                                                                \
        CHECK(!answered_tls1(r, BLOCK));                                       \
    } while (0)
    REFUSED_TLS1(r.which = KDF_TLS13);
    REFUSED_TLS1(r.mode = KDF_EXPAND);
    REFUSED_TLS1(r.digest = PRF_SHA384);
    REFUSED_TLS1(r.digest = PRF_MD5_SHA1);
    REFUSED_TLS1(r.digest = -1);
    REFUSED_TLS1(r.key.p = premaster);
    REFUSED_TLS1(r.key.len--);
    REFUSED_TLS1(r.seed[0].len--);
    REFUSED_TLS1(r.seed[1].p = client_random; r.seed[2].p = server_random);
    REFUSED_TLS1(r.seed[2].len--);
    REFUSED_TLS1(r.n_seeds--);
    REFUSED_TLS1(r.n_seeds = KDF_SEEDS + 1);
    REFUSED_TLS1(r.n_seeds = 0);
    REFUSED_TLS1(r.n_seeds = -1);
    REFUSED_TLS1(r.seed[3] = r.seed[2]; r.n_seeds++);
    REFUSED_TLS1(r.salt.p = hash);
    REFUSED_TLS1(r.key.p = inside);
    REFUSED_TLS1(r.seed[0].p = inside);
    REFUSED_TLS1(r.seed[2].p = inside + 4096 - 16);
    /* One of TLS 1.3 without a mode is written down as one of TLS 1.2. */
    r = (struct kdf_request){
        .which = KDF_TLS13,
        .digest = PRF_SHA256,
        .key = PIECE(master, MASTER),
        .prefix = PIECE((const unsigned char *)"tls13 ", 6),
        .label = PIECE((const unsigned char *)"client finished", 15),
        .data = PIECE(hash, 32)};
    CHECK(!answered_tls1(r, 12));
    CHECK(answered_tls1(finished("client finished"), 12));
    CHECK(answered_tls1(good, BLOCK));
}

/* Those of another exchange, or that nobody has signed, make no block. */
static void test_randoms_are_those_of_the_exchange(void)
{
    unsigned char tbs[200], public[PUBLIC];
    struct kdf_request r = extended();
    size_t len;

    start_tls12();
    CHECK(connect_tls12(3, 0) == 1);
    CHECK(connect_tls12(4, 1) == 2);
    CHECK(connect_tls12(5, 0) == 1);
    /* Another one's pre-master secret. */
    foresight_signed(tbs, signed_text(tbs));
    memset(public, 'p', PUBLIC);
    foresight_exchanged(public, PUBLIC, result, 32);
    CHECK(foresee_tls1(&r) == 1);
    /* Another one's key. */
    foresight_signed(tbs, signed_text(tbs));
    public[0] ^= 1;
    foresight_exchanged(public, PUBLIC, premaster, sizeof(premaster));
    CHECK(foresee_tls1(&r) == 1);
    public[0] ^= 1;
    /* What a server does not sign. */
    for (int i = 0; i < 5; i++) {
        memset(&prov.foresight.randoms, 0, sizeof(prov.foresight.randoms));
        prov.foresight.blocks = prov.foresight.finishes = 8;
        len = signed_text(tbs);
        tbs[64] = i == 0 ? 2 : 3;
        tbs[67] = (unsigned char)(PUBLIC - (i == 1));
        foresight_signed(i == 2 ? inside : tbs, i == 3   ? len - 1
                                                : i == 4 ? 10
                                                         : len);
        foresight_exchanged(public, PUBLIC, premaster, sizeof(premaster));
        CHECK(foresee_tls1(&r) == 1);
    }
}

/* Keys of CBC go out in the clear: not before they are asked for. */
static void test_only_blocks_of_handles_are_foreseen(void)
{
    static const uint32_t raw[] = {0, 41, 71, 87, 104, 128, 160, 192, 100000};

    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        start_tls12();
        prov.foresight.block_len[PRF_SHA256] = raw[i];
        CHECK(connect_tls12(6, 1) == 1);
    }
}

/* AES-128's IVs are in the clear, and bytes of a key in a longer block. */
static void test_no_block_with_keys_for_ivs_is_foreseen(void)
{
    start_tls12();
    CHECK(!answered_tls1(block(), 40));
    CHECK(connect_tls12(60, 1) == 1);
    CHECK(!answered_tls1(block(), 88));
    CHECK(connect_tls12(61, 1) == 2);
    CHECK(answered_tls1(block(), 88));
    CHECK(!answered_tls1(block(), 40));
    CHECK(connect_tls12(62, 1) == 1);
}

static void test_tls12_has_a_key_log_and_patience(void)
{
    unsigned n = 0;

    start_tls12();
    connect_tls12(7, 1);
    keylog = 1;
    CHECK(!answered_tls1(block(), BLOCK));
    CHECK(connect_tls12(8, 1) == 0);
    keylog = 0;
    start_tls12();
    for (int i = 0; i < 20; i++) {
        n += connect_tls12((unsigned char)(9 + i), 1);
    }
    CHECK(n == 16);
    CHECK(!answered_tls1(finished("client finished"), 11));
    CHECK(!answered_tls1(block(), 72));
    CHECK(connect_tls12(40, 1) == 2);
    CHECK(answered_tls1(block(), 72));
}

/* ---- threads ------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 20000

static pthread_barrier_t together;
static _Atomic unsigned given;

static void *ask(void *arg)
{
    struct kdf_request r = expansion("c hs traffic");

    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        if (pthread_barrier_wait(&together) == PTHREAD_BARRIER_SERIAL_THREAD) {
            prov.foresight.keys = 8;
            foresee(7);
        }
        pthread_barrier_wait(&together);
        given += (unsigned)answered(&r, SIZE);
    }
    return NULL;
}

static void test_of_many_threads_one_gets_it(void)
{
    pthread_t t[THREADS];

    forget_all();
    given = 0;
    pthread_barrier_init(&together, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&t[i], NULL, ask, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    /* Where two meet, the one who waits would have to; it asks inside. */
    CHECK(given > ROUNDS / 2 && given <= ROUNDS);
}

/* ---- what stays behind --------------------------------------------------- */

#define STACK ((size_t)256 << 10)

static void *ask_for_a_master_secret(void *raw)
{
    static unsigned char randoms[64];
    const struct kdf_request r = {
        .which = KDF_TLS1,
        .mode = KDF_NO_MODE,
        .digest = PRF_SHA256,
        .key = PIECE(raw, 48),
        .n_seeds = 2,
        .seed = {PIECE((const unsigned char *)"master secret", 13),
                 PIECE(randoms, sizeof(randoms))}};
    unsigned char out[48];

    CHECK(!foresight_answer(&r, out, sizeof(out)));
    return NULL;
}

/* A pre-master secret that libssl has made is one in the clear. The thread's
 * stack is ours, to be looked at afterwards. */
static void test_no_question_stays_on_the_stack(void)
{
    unsigned char *stack = aligned_alloc(4096, STACK), raw[48];
    pthread_attr_t attr;
    pthread_t thread;

    for (size_t i = 0; i < sizeof(raw); i++) {
        raw[i] = (unsigned char)(3 + 5 * i);
    }
    forget_all();
    memset(stack, 0, STACK);
    pthread_attr_init(&attr);
    CHECK(pthread_attr_setstack(&attr, stack, STACK) == 0);
    CHECK(pthread_create(&thread, &attr, ask_for_a_master_secret, raw) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    CHECK(memmem(stack, STACK, raw + 8, 32) == NULL);
    free(stack);
}

/* A key that may have given way inside is asked for there. Its nonce is not. */
static void test_a_key_is_not_answered_after_too_many_others(void)
{
    for (int many = 0; many < 2; many++) {
        struct kdf_request key = expansion("key"), iv = expansion("iv"),
                           other = expansion("key");
        int others = many ? 2000 : 1500;

        forget_all();
        CHECK(foresee(1) == 7);
        key.key.p = iv.key.p = result;
        key.data = iv.data = other.data = PIECE(NULL, 0);
        for (int i = 0; i < others; i++) {
            answered(&other, 16);
        }
        CHECK(answered(&key, 16) == !many);
        CHECK(answered(&iv, 12));
    }
}

int main(void)
{
    inside = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (inside == MAP_FAILED) {
        return 1;
    }
    memset(hash, 9, sizeof(hash));
    test_an_answer_is_given_once();
    test_only_the_same_question_is_answered();
    test_a_question_in_the_place_of_another();
    test_what_was_guessed_too_long_is_wiped();
    test_what_waits_for_the_peer_has_places_of_its_own();
    test_a_key_is_not_answered_after_too_many_others();
    test_what_is_inside_is_not_looked_at();
    test_a_key_log_has_none_of_it();
    test_a_question_that_is_too_long_is_not_foreseen();
    test_there_are_so_many_places_and_no_more();
    test_guesses_that_stay_unasked_stop();
    test_a_key_block_comes_with_its_master_secret();
    test_another_block_is_not_answered();
    test_randoms_are_those_of_the_exchange();
    test_only_blocks_of_handles_are_foreseen();
    test_no_block_with_keys_for_ivs_is_foreseen();
    test_tls12_has_a_key_log_and_patience();
    test_of_many_threads_one_gets_it();
    test_no_question_stays_on_the_stack();
    return failed != 0;
}
