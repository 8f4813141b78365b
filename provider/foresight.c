/*
 * foresight.c - outside: what libssl will ask of the KDFs next, so that the
 * crossing for one derivation brings the answers to those after it.
 *
 * Everything here is what libssl would be given anyway: handles, and the leaves
 * that are in the clear by design. A guess that is wrong costs its derivation.
 */
#include "foresight_place.h"
#include "prov.h"
#include "tls.h"

/* ---- questions ----------------------------------------------------------- */

#define PREFIX "tls13 "

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
           (r->mode == KDF_EXTRACT || r->mode == KDF_EXPAND) &&
           (r->digest == PRF_SHA256 || r->digest == PRF_SHA384) &&
           r->prefix.len == strlen(PREFIX) &&
           memcmp(r->prefix.p, PREFIX, strlen(PREFIX)) == 0;
}

/* ---- answers ------------------------------------------------------------- */

/* The handshake secret: early secret and key exchange come together. */
static int is_exchanged(const struct kdf_request *r)
{
    return r->mode == KDF_EXTRACT && r->salt.p != NULL && r->key.p != NULL;
}

/* What is asked says what is going to be asked. */
static void learn(const struct kdf_request *r, size_t out_len)
{
    struct foresight *s = &prov.foresight;

    if (foresight_is(&r->label, "key")) {
        foresight_note(&s->key_len[r->digest], (uint32_t)out_len);
        foresight_credit(&s->keys);
    } else if (foresight_is(&r->label, "resumption")) {
        foresight_credit(&s->tickets);
    } else if (is_exchanged(r)) {
        foresight_note(&s->stage_digest, (uint32_t)r->digest);
        foresight_credit(&s->stages);
    }
}

static int is_early(const struct kdf_request *r, size_t out_len)
{
    return r->mode == KDF_EXTRACT && r->key.p == NULL && r->salt.p == NULL &&
           r->data.p == NULL && foresight_is(&r->label, "derived") &&
           out_len == prf_size((enum prf_digest)r->digest);
}

static int answer_tls13(const struct kdf_request *r, unsigned char *out,
                        size_t out_len)
{
    const struct kdf_next q = question_of(r, out_len);

    if (is_early(r, out_len)) {
        if (!__atomic_load_n(&prov.foresight.early[r->digest].ready,
                             __ATOMIC_ACQUIRE)) {
            return 0;
        }
        memcpy(out, prov.foresight.early[r->digest].out, out_len);
        return 1;
    }
    learn(r, out_len);
    return foresight_take(&q, r->digest, out);
}

static int answer_tls1(const struct kdf_request *r, unsigned char *out,
                       size_t out_len)
{
    unsigned char data[FORESIGHT_RANDOMS];
    struct kdf_next q;

    if (!foresight_tls1_question(&q, data, r, out_len)) {
        return 0;
    }
    foresight_tls1_learn(&q, r->digest);
    return foresight_take(&q, r->digest, out);
}

int foresight_answer(const struct kdf_request *r, unsigned char *out,
                     size_t out_len)
{
    /* A key log has each secret from a call of its own. */
    if (keylog_is_on() || !mpk_is_outside(out, out_len)) {
        return 0;
    }
    return is_tls13(r)            ? answer_tls13(r, out, out_len)
           : foresight_is_tls1(r) ? answer_tls1(r, out, out_len)
                                  : 0;
}

/* ---- guesses ------------------------------------------------------------- */

/* Adds an expansion; returns where its result is going to be. */
static const unsigned char *add(struct foresight_plan *plan,
                                const unsigned char *key, size_t size,
                                const char *label, struct kdf_piece data,
                                size_t out_len)
{
    uint32_t i = plan->n++;

    plan->next[i] = (struct kdf_next){.mode = KDF_EXPAND,
                                      .key = {key, size},
                                      .label = foresight_text(label),
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
                                      .label = foresight_text("derived"),
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
    uint32_t of_client, first = plan->n;
    const unsigned char *second =
        add(plan, r->key.p, size, other, r->data, size);

    /* What comes of one secret stands together: it is hashed in once. */
    if (!handshake) {
        add(plan, r->key.p, size, "exp master", r->data, size);
    }
    add_leaves(plan, r->digest, out, size, handshake);
    of_client = plan->n;
    add_leaves(plan, r->digest, second, size, handshake);
    if (strcmp(other, "c ap traffic") == 0) {
        /* A server wants these when the client's Finished is there. */
        plan->later = 1U << first | ((1U << plan->n) - (1U << of_client));
    }
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
        if (foresight_is(&r->label, pairs[i].label)) {
            if (foresight_worth(&prov.foresight.keys)) {
                plan_traffic(plan, r, out, pairs[i].other, pairs[i].handshake);
            }
            return;
        }
    }
    if (foresight_is(&r->label, "res master") &&
        foresight_worth(&prov.foresight.tickets)) {
        plan_tickets(plan, out, size);
    }
}

static void plan_extract(struct foresight_plan *plan,
                         const struct kdf_request *r, const unsigned char *out,
                         size_t size)
{
    if (is_exchanged(r)) {
        add_stage(plan, out, size, nothing);
    } else if (r->key.p != NULL) {
        /* A binder's key is derived over the hash of nothing. */
        const struct kdf_piece hash = {prf_empty[r->digest], size};

        add(plan, add(plan, out, size, "res binder", hash, size), size,
            "finished", nothing, size);
    }
}

/* ---- key exchange -------------------------------------------------------- */

static struct early_hint *hint_here(void)
{
    return &prov.foresight.early_of_psk[foresight_thread()];
}

/* Another thread's hint, or one of a connection that went another way, is a
 * wrong guess and no more. */
static void put_hint(int32_t digest, const unsigned char *handle, size_t len)
{
    struct early_hint *hint = hint_here();

    if (foresight_lock(&hint->busy)) {
        memcpy(hint->handle, handle, len);
        hint->digest = digest;
        hint->len = (uint32_t)len;
        foresight_unlock(&hint->busy);
    }
}

static int take_hint(int32_t *digest, unsigned char early[PRF_SIZE_MAX])
{
    struct early_hint *hint = hint_here();
    int found;

    if (!foresight_lock(&hint->busy)) {
        return 0;
    }
    found = hint->len != 0;
    if (found) {
        memcpy(early, hint->handle, PRF_SIZE_MAX);
        *digest = hint->digest;
        hint->len = 0;
    }
    foresight_unlock(&hint->busy);
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
        .label = foresight_text("derived")};

    return foresight_fits(&stage);
}

void foresight_plan_stages(struct foresight_plan *plan, struct mpkprov_frame *f,
                           const unsigned char *secret, size_t len)
{
    size_t size;

    plan->n = 0;
    plan->later = 0;
    if (!keylog_is_on() &&
        (take_hint(&plan->digest, plan->early) ||
         usual_early(&plan->digest, plan->early)) &&
        stage_fits(plan, len) && foresight_worth(&prov.foresight.stages)) {
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
    plan->later = 0;
    plan->digest = r->digest;
    if (keylog_is_on()) {
        return;
    }
    if (foresight_is_tls1(r)) {
        foresight_tls1_plan(plan, r, out, out_len);
        return;
    }
    if (!is_tls13(r)) {
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
        foresight_put(&plan->next[i], plan->digest, plan->out[i],
                      plan->later >> i & 1);
    }
    explicit_bzero(plan->out, plan->n * sizeof(plan->out[0]));
}
