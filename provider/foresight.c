/*
 * foresight.c - outside: what libssl will ask of TLS13-KDF next, so that the
 * crossing for one derivation brings the answers to those after it.
 *
 * Everything here is what libssl would be given anyway: handles, and the leaves
 * that are in the clear by design. A guess that is wrong costs its derivation.
 */
#include "foresight.h"
#include "prov.h"
#include "tls.h"

/* ---- questions ----------------------------------------------------------- */

#define PREFIX "tls13 "
/* How many guesses in a row may come to nothing. */
#define PATIENCE 8

static struct kdf_next question_of(const struct kdf_request *r, size_t out_len)
{
    return (struct kdf_next){.mode = r->mode,
                             .key = r->key,
                             .salt = r->salt,
                             .label = r->label,
                             .data = r->data,
                             .out_len = out_len};
}

/* A pointer into the domain is for the inside to refuse; here it would end the
 * process. */
static int is_readable(const struct kdf_request *r)
{
    const struct kdf_piece *piece[] = {&r->key, &r->salt, &r->prefix, &r->label,
                                       &r->data};

    for (int i = 0; i < 5; i++) {
        if (!mpk_is_outside(piece[i]->p, piece[i]->len)) {
            return 0;
        }
    }
    return 1;
}

static int is_tls13(const struct kdf_request *r)
{
    return r->which == KDF_TLS13 && is_readable(r) &&
           (r->digest == PRF_SHA256 || r->digest == PRF_SHA384) &&
           r->prefix.len == strlen(PREFIX) &&
           memcmp(r->prefix.p, PREFIX, strlen(PREFIX)) == 0;
}

static int label_is(const struct kdf_piece *label, const char *text)
{
    return label->len == strlen(text) &&
           memcmp(label->p, text, label->len) == 0;
}

/* Whether |q| can be written down; its bytes need not be there yet. */
static int fits(const struct kdf_next *q)
{
    const size_t room = FORESIGHT_QUESTION - 3 - 4 * 2;
    const size_t len[] = {q->key.len, q->salt.len, q->label.len, q->data.len};
    size_t n = 0;

    for (int i = 0; i < 4; i++) {
        if (len[i] > room - n) {
            return 0;
        }
        n += len[i];
    }
    return q->out_len <= PRF_SIZE_MAX;
}

/*
 * Writes down |q|: what may be there or not, all lengths, all bytes, so that
 * two derivations with the same text are the same. 0 if that is too long for
 * one that is guessed.
 */
static size_t write_question(unsigned char text[FORESIGHT_QUESTION],
                             int32_t digest, const struct kdf_next *q)
{
    const struct kdf_piece *piece[] = {&q->key, &q->salt, &q->label, &q->data};
    size_t n = 3;

    if (!fits(q)) {
        return 0;
    }
    text[0] = (unsigned char)q->mode;
    text[1] = (unsigned char)digest;
    text[2] = (unsigned char)q->out_len;
    for (int i = 0; i < 4; i++) {
        size_t len = piece[i]->len;

        text[n++] = piece[i]->p != NULL;
        text[n++] = (unsigned char)len;
        if (len != 0) {
            memcpy(text + n, piece[i]->p, len);
        }
        n += len;
    }
    return n;
}

/* Handles are as good as random: eight bytes of one, and the label, say where.
 */
static struct foreseen *place_of(const struct kdf_next *q)
{
    const struct kdf_piece *from = q->key.len != 0 ? &q->key : &q->salt;
    uint64_t at = 0;

    memcpy(&at, from->p, from->len < sizeof(at) ? from->len : sizeof(at));
    for (size_t i = 0; i < q->label.len; i++) {
        at = at * 31 + q->label.p[i];
    }
    for (size_t i = 0; i < q->data.len && i < 8; i++) {
        at = at * 31 + q->data.p[i];
    }
    return &prov.foresight
                .place[(at * 0x9e3779b97f4a7c15U >> 32) % FORESIGHT_PLACES];
}

/* ---- answers ------------------------------------------------------------- */

/* Nobody waits: a place that is in use is one without an answer. A child of
 * fork may find one in use for good. */
static int lock(struct foreseen *f)
{
    return !__atomic_exchange_n(&f->busy, 1, __ATOMIC_ACQUIRE);
}

static void unlock(struct foreseen *f)
{
    __atomic_store_n(&f->busy, 0, __ATOMIC_RELEASE);
}

static void forget(struct foreseen *f)
{
    f->question_len = 0;
    explicit_bzero(f->out, sizeof(f->out));
}

static int take(struct foreseen *f, const unsigned char *text, size_t len,
                unsigned char *out, size_t out_len)
{
    int found;

    if (!lock(f)) {
        return 0;
    }
    found = f->question_len == len && f->out_len == out_len &&
            memcmp(f->question, text, len) == 0;
    if (found) {
        memcpy(out, f->out, out_len);
        forget(f);
    }
    unlock(f);
    return found;
}

static void keep(const struct kdf_next *q, int32_t digest,
                 const unsigned char *out)
{
    struct foreseen *f = place_of(q);
    size_t len;

    if (!fits(q) || !lock(f)) {
        return;
    }
    forget(f);
    len = write_question(f->question, digest, q);
    memcpy(f->out, out, q->out_len);
    f->out_len = (uint8_t)q->out_len;
    f->question_len = (uint8_t)len;
    unlock(f);
}

/* The handshake secret: early secret and key exchange come together. */
static int is_exchanged(const struct kdf_request *r)
{
    return r->mode == KDF_EXTRACT && r->salt.p != NULL && r->key.p != NULL;
}

/* What is asked says what is going to be asked. */
static void learn(const struct kdf_request *r, size_t out_len)
{
    struct foresight *s = &prov.foresight;

    if (label_is(&r->label, "key")) {
        __atomic_store_n(&s->key_len[r->digest], (uint32_t)out_len,
                         __ATOMIC_RELAXED);
        __atomic_store_n(&s->keys, PATIENCE, __ATOMIC_RELAXED);
    } else if (label_is(&r->label, "resumption")) {
        __atomic_store_n(&s->tickets, PATIENCE, __ATOMIC_RELAXED);
    } else if (is_exchanged(r)) {
        __atomic_store_n(&s->stage_digest, (uint32_t)r->digest,
                         __ATOMIC_RELAXED);
        __atomic_store_n(&s->stages, PATIENCE, __ATOMIC_RELAXED);
    }
}

static int is_early(const struct kdf_request *r, size_t out_len)
{
    return r->mode == KDF_EXTRACT && r->key.p == NULL && r->salt.p == NULL &&
           r->data.p == NULL && label_is(&r->label, "derived") &&
           out_len == prf_size((enum prf_digest)r->digest);
}

int foresight_answer(const struct kdf_request *r, unsigned char *out,
                     size_t out_len)
{
    unsigned char text[FORESIGHT_QUESTION];
    struct kdf_next q;
    size_t len;

    /* A key log has each secret from a call of its own. */
    if (keylog_is_on() || !is_tls13(r) || !mpk_is_outside(out, out_len)) {
        return 0;
    }
    if (is_early(r, out_len)) {
        if (!__atomic_load_n(&prov.foresight.early[r->digest].ready,
                             __ATOMIC_ACQUIRE)) {
            return 0;
        }
        memcpy(out, prov.foresight.early[r->digest].out, out_len);
        return 1;
    }
    learn(r, out_len);
    q = question_of(r, out_len);
    len = write_question(text, r->digest, &q);
    return len != 0 && take(place_of(&q), text, len, out, out_len);
}

/* ---- guesses ------------------------------------------------------------- */

static struct kdf_piece text_piece(const char *text)
{
    return (struct kdf_piece){(const unsigned char *)text, strlen(text)};
}

/* Adds an expansion; returns where its result is going to be. */
static const unsigned char *add(struct foresight_plan *plan,
                                const unsigned char *key, size_t size,
                                const char *label, struct kdf_piece data,
                                size_t out_len)
{
    uint32_t i = plan->n++;

    plan->next[i] = (struct kdf_next){.mode = KDF_EXPAND,
                                      .key = {key, size},
                                      .label = text_piece(label),
                                      .data = data,
                                      .out = plan->out[i],
                                      .out_len = out_len};
    return plan->out[i];
}

static const struct kdf_piece nothing;

/* Adds the stage after the one at |salt|; |key| is what is mixed in. */
static const unsigned char *add_stage(struct foresight_plan *plan,
                                      const unsigned char *salt, size_t size,
                                      struct kdf_piece key)
{
    uint32_t i = plan->n++;

    plan->next[i] = (struct kdf_next){.mode = KDF_EXTRACT,
                                      .key = key,
                                      .salt = {salt, size},
                                      .label = text_piece("derived"),
                                      .out = plan->out[i],
                                      .out_len = size};
    return plan->out[i];
}

/* The key of a traffic secret, which is as long as the last one was. */
static void add_leaves(struct foresight_plan *plan, int32_t digest,
                       const unsigned char *secret, size_t size, int finished)
{
    struct foresight *s = &prov.foresight;
    uint32_t key_len = __atomic_load_n(&s->key_len[digest], __ATOMIC_RELAXED);

    if (key_len == 16 || key_len == 32) {
        add(plan, secret, size, "key", nothing, key_len);
        add(plan, secret, size, "iv", nothing, 12);
    }
    if (finished) {
        add(plan, secret, size, "finished", nothing, size);
    }
}

/* One of a pair, both of which libssl wants. */
static void plan_traffic(struct foresight_plan *plan,
                         const struct kdf_request *r, const unsigned char *out,
                         const char *other, int handshake)
{
    size_t size = prf_size((enum prf_digest)r->digest);
    const unsigned char *second =
        add(plan, r->key.p, size, other, r->data, size);

    /* What comes of one secret stands together: it is hashed in once. */
    if (!handshake) {
        add(plan, r->key.p, size, "exp master", r->data, size);
    }
    add_leaves(plan, r->digest, out, size, handshake);
    add_leaves(plan, r->digest, second, size, handshake);
}

/* Whether guesses with |credit| have come true of late; spends one. */
static int worth_it(uint32_t *credit)
{
    uint32_t left = __atomic_load_n(credit, __ATOMIC_RELAXED);

    if (left == 0) {
        return 0;
    }
    __atomic_store_n(credit, left - 1, __ATOMIC_RELAXED);
    return 1;
}

/* libssl's nonces of tickets count from 0. */
static void plan_tickets(struct foresight_plan *plan, const unsigned char *out,
                         size_t size)
{
    static const unsigned char nonce[2][8] = {{0}, {0, 0, 0, 0, 0, 0, 0, 1}};

    for (int i = 0; i < 2; i++) {
        add(plan, out, size, "resumption", (struct kdf_piece){nonce[i], 8},
            size);
    }
}

static void plan_expand(struct foresight_plan *plan,
                        const struct kdf_request *r, const unsigned char *out,
                        size_t size)
{
    static const struct {
        const char *label, *other;
        int handshake;
    } pairs[] = {{"s hs traffic", "c hs traffic", 1},
                 {"c hs traffic", "s hs traffic", 1},
                 {"s ap traffic", "c ap traffic", 0},
                 {"c ap traffic", "s ap traffic", 0}};

    if (r->data.len != size) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        if (label_is(&r->label, pairs[i].label)) {
            if (worth_it(&prov.foresight.keys)) {
                plan_traffic(plan, r, out, pairs[i].other, pairs[i].handshake);
            }
            return;
        }
    }
    if (label_is(&r->label, "res master") &&
        worth_it(&prov.foresight.tickets)) {
        plan_tickets(plan, out, size);
    }
}

/* The hashes of nothing, over which a binder's key is derived. */
static const unsigned char empty[2][PRF_SIZE_MAX] = {
    [PRF_SHA256] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                    0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                    0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55},
    [PRF_SHA384] = {0x38, 0xb0, 0x60, 0xa7, 0x51, 0xac, 0x96, 0x38, 0x4c, 0xd9,
                    0x32, 0x7e, 0xb1, 0xb1, 0xe3, 0x6a, 0x21, 0xfd, 0xb7, 0x11,
                    0x14, 0xbe, 0x07, 0x43, 0x4c, 0x0c, 0xc7, 0xbf, 0x63, 0xf6,
                    0xe1, 0xda, 0x27, 0x4e, 0xde, 0xbf, 0xe7, 0x6f, 0x65, 0xfb,
                    0xd5, 0x1a, 0xd2, 0xf1, 0x48, 0x98, 0xb9, 0x5b}};

static void plan_extract(struct foresight_plan *plan,
                         const struct kdf_request *r, const unsigned char *out,
                         size_t size)
{
    if (is_exchanged(r)) {
        add_stage(plan, out, size, nothing);
    } else if (r->key.p != NULL) {
        const struct kdf_piece hash = {empty[r->digest], size};

        add(plan, add(plan, out, size, "res binder", hash, size), size,
            "finished", nothing, size);
    }
}

/* ---- key exchange -------------------------------------------------------- */

static struct early_hint *hint_here(void)
{
    /* Thread control blocks are pages apart. */
    uint64_t self = (uint64_t)pthread_self() >> 12;

    return &prov.foresight.early_of_psk[(self * 0x9e3779b97f4a7c15U >> 32) %
                                        FORESIGHT_THREADS];
}

/* Another thread's hint, or one of a connection that went another way, is a
 * wrong guess and no more. */
static void put_hint(int32_t digest, const unsigned char *handle, size_t len)
{
    struct early_hint *hint = hint_here();

    if (!__atomic_exchange_n(&hint->busy, 1, __ATOMIC_ACQUIRE)) {
        memcpy(hint->handle, handle, len);
        hint->digest = digest;
        hint->len = (uint32_t)len;
        __atomic_store_n(&hint->busy, 0, __ATOMIC_RELEASE);
    }
}

static int take_hint(int32_t *digest, unsigned char early[PRF_SIZE_MAX])
{
    struct early_hint *hint = hint_here();
    int found;

    if (__atomic_exchange_n(&hint->busy, 1, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    found = hint->len != 0;
    if (found) {
        memcpy(early, hint->handle, PRF_SIZE_MAX);
        *digest = hint->digest;
        hint->len = 0;
    }
    __atomic_store_n(&hint->busy, 0, __ATOMIC_RELEASE);
    return found;
}

/* The early secret of a connection without a PSK, as most are. */
static int usual_early(int32_t *digest, unsigned char early[PRF_SIZE_MAX])
{
    uint32_t d =
        __atomic_load_n(&prov.foresight.stage_digest, __ATOMIC_RELAXED);

    if (d > PRF_SHA384 ||
        !__atomic_load_n(&prov.foresight.early[d].ready, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    memcpy(early, prov.foresight.early[d].out, PRF_SIZE_MAX);
    *digest = (int32_t)d;
    return 1;
}

/* The handles of some groups are longer than any question (ffdhe). */
static int stage_fits(const struct foresight_plan *plan, size_t len)
{
    const struct kdf_next stage = {
        .key = {NULL, len},
        .salt = {NULL, prf_size((enum prf_digest)plan->digest)},
        .label = text_piece("derived")};

    return fits(&stage);
}

void foresight_plan_stages(struct foresight_plan *plan, struct mpkprov_frame *f,
                           const unsigned char *secret, size_t len)
{
    size_t size;

    plan->n = 0;
    if (!keylog_is_on() &&
        (take_hint(&plan->digest, plan->early) ||
         usual_early(&plan->digest, plan->early)) &&
        stage_fits(plan, len) && worth_it(&prov.foresight.stages)) {
        size = prf_size((enum prf_digest)plan->digest);
        add_stage(
            plan,
            add_stage(plan, plan->early, size, (struct kdf_piece){secret, len}),
            size, nothing);
        f->what = plan->digest;
    }
    f->in2 = plan->next;
    f->in2_len = plan->n;
}

void foresight_notice(const struct kdf_request *r, const unsigned char *out,
                      size_t out_len)
{
    if (!is_tls13(r) || r->mode != KDF_EXTRACT) {
        return;
    }
    if (is_early(r, out_len)) {
        memcpy(prov.foresight.early[r->digest].out, out, out_len);
        __atomic_store_n(&prov.foresight.early[r->digest].ready, 1,
                         __ATOMIC_RELEASE);
    } else if (r->salt.p == NULL && out_len <= PRF_SIZE_MAX) {
        put_hint(r->digest, out, out_len);
    }
}

void foresight_plan(struct foresight_plan *plan, const struct kdf_request *r,
                    const unsigned char *out, size_t out_len)
{
    size_t size;

    plan->n = 0;
    plan->digest = r->digest;
    if (keylog_is_on() || !is_tls13(r)) {
        return;
    }
    size = prf_size((enum prf_digest)r->digest);
    if (out_len != size) {
        return;
    }
    if (r->mode == KDF_EXTRACT) {
        plan_extract(plan, r, out, size);
    } else if (r->mode == KDF_EXPAND && r->key.len == size) {
        plan_expand(plan, r, out, size);
    }
}

void foresight_keep(struct foresight_plan *plan, uint64_t done)
{
    for (uint32_t i = 0; i < plan->n && i < done; i++) {
        keep(&plan->next[i], plan->digest, plan->out[i]);
    }
    explicit_bzero(plan->out, plan->n * sizeof(plan->out[0]));
}
