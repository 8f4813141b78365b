/*
 * foresight_tls1.c - outside: what libssl will ask of TLS1-PRF after a master
 * secret.
 *
 * The key block is made of both randoms. When the master secret is made of
 * them, they are in its question. When it is made of the handshake's hash (RFC
 * 7627), a server has had them signed before, with its ephemeral key, and the
 * exchange with that key says which pre-master secret is theirs. The client's
 * Finished is over the same hash as the master secret, unless the client has a
 * certificate.
 */
#include "foresight_place.h"
#include "prov.h"

#define HALF (FORESIGHT_RANDOMS / 2)
#define MASTER 48
#define FINISHED 12

#define LABEL_MASTER "master secret"
#define LABEL_EXTENDED "extended master secret"
#define LABEL_BLOCK "key expansion"
#define LABEL_FINISHED "client finished"

/* ---- questions ----------------------------------------------------------- */

int foresight_is_tls1(const struct kdf_request *r)
{
    if (r->which != KDF_TLS1 || r->n_seeds < 1 || r->n_seeds > KDF_SEEDS ||
        (r->digest != PRF_SHA256 && r->digest != PRF_SHA384) ||
        r->mode != KDF_NO_MODE || r->salt.p != NULL || r->prefix.p != NULL ||
        r->label.p != NULL || r->data.p != NULL ||
        !mpk_is_outside(r->key.p, r->key.len)) {
        return 0;
    }
    for (int32_t i = 0; i < r->n_seeds; i++) {
        if (!mpk_is_outside(r->seed[i].p, r->seed[i].len)) {
            return 0;
        }
    }
    return 1;
}

/* All parts of the seed but the label, which comes first. SIZE_MAX if there is
 * no room for them. */
static size_t gather(unsigned char data[FORESIGHT_RANDOMS],
                     const struct kdf_request *r)
{
    size_t n = 0;

    for (int32_t i = 1; i < r->n_seeds; i++) {
        size_t len = r->seed[i].len;

        if (len > FORESIGHT_RANDOMS - n) {
            return SIZE_MAX;
        }
        if (len != 0) {
            memcpy(data + n, r->seed[i].p, len);
        }
        n += len;
    }
    return n;
}

int foresight_tls1_question(struct kdf_next *q,
                            unsigned char data[FORESIGHT_RANDOMS],
                            const struct kdf_request *r, size_t out_len)
{
    size_t len = gather(data, r);

    *q = (struct kdf_next){.mode = KDF_NO_MODE,
                           .key = r->key,
                           .label = r->seed[0],
                           .data = {data, len},
                           .out_len = out_len};
    return len != SIZE_MAX && r->key.len == MASTER;
}

/*
 * Key blocks of AEADs, but for the shortest, of AES-128 (40 bytes): it has IVs
 * in the clear where longer ones have eight bytes of a key, and which it is to
 * be nobody knows before it is asked for. Others are keys in the clear.
 */
static int may_guess_block(size_t len)
{
    return len == 72 || len == 88;
}

void foresight_tls1_learn(const struct kdf_next *q, int32_t digest)
{
    struct foresight *s = &prov.foresight;

    if (foresight_is(&q->label, LABEL_BLOCK)) {
        foresight_note(&s->block_len[digest], (uint32_t)q->out_len);
        foresight_credit(&s->blocks);
    } else if (foresight_is(&q->label, LABEL_FINISHED)) {
        foresight_credit(&s->finishes);
    }
}

/* ---- which randoms ------------------------------------------------------- */

/* What a server signs in TLS 1.2 (RFC 8422 5.4): both randoms, three bytes that
 * name the curve, a byte of length, its ephemeral public key. */
#define CURVE_NAMED 3
#define PARAMS (3 + 1)

/* Public keys are as good as random; P-256's second half is looked at. */
static struct signed_randoms *signed_place(const unsigned char *public,
                                           size_t len)
{
    uint64_t at;

    memcpy(&at, public + len - sizeof(at), sizeof(at));
    return &prov.foresight.randoms[foresight_index(at, FORESIGHT_SIGNED)];
}

void foresight_signed(const unsigned char *tbs, size_t len)
{
    const size_t least = FORESIGHT_RANDOMS + PARAMS;
    struct signed_randoms *s;

    if (len < least + FORESIGHT_PUBLIC || len > least + UINT8_MAX ||
        !mpk_is_outside(tbs, len) || tbs[FORESIGHT_RANDOMS] != CURVE_NAMED ||
        tbs[least - 1] != len - least) {
        return;
    }
    s = signed_place(tbs, len);
    if (foresight_lock(&s->busy)) {
        memcpy(s->public, tbs + len - FORESIGHT_PUBLIC, FORESIGHT_PUBLIC);
        memcpy(s->randoms, tbs, FORESIGHT_RANDOMS);
        s->there = 1;
        foresight_unlock(&s->busy);
    }
}

/* Takes what was signed with |public|; 0 if there is nothing. */
static int take_signed(const unsigned char *public, size_t len,
                       unsigned char randoms[FORESIGHT_RANDOMS])
{
    struct signed_randoms *s = signed_place(public, len);
    int found;

    if (!foresight_lock(&s->busy)) {
        return 0;
    }
    found = s->there && memcmp(s->public, public + len - FORESIGHT_PUBLIC,
                               FORESIGHT_PUBLIC) == 0;
    if (found) {
        memcpy(randoms, s->randoms, FORESIGHT_RANDOMS);
        s->there = 0;
    }
    foresight_unlock(&s->busy);
    return found;
}

static struct randoms_hint *hint_here(void)
{
    return &prov.foresight.randoms_of_exchange[foresight_thread()];
}

void foresight_exchanged(const unsigned char *public, size_t public_len,
                         const unsigned char *secret, size_t len)
{
    struct randoms_hint *hint = hint_here();

    if (public_len < FORESIGHT_PUBLIC || len < sizeof(hint->premaster) ||
        !foresight_lock(&hint->busy)) {
        return;
    }
    hint->there = take_signed(public, public_len, hint->randoms);
    memcpy(hint->premaster, secret, sizeof(hint->premaster));
    foresight_unlock(&hint->busy);
}

/* Those of the exchange that has given |premaster|. */
static int take_randoms(const struct kdf_piece *premaster,
                        unsigned char randoms[FORESIGHT_RANDOMS])
{
    struct randoms_hint *hint = hint_here();
    int found;

    if (premaster->len < sizeof(hint->premaster) ||
        !foresight_lock(&hint->busy)) {
        return 0;
    }
    found = hint->there &&
            memcmp(hint->premaster, premaster->p, sizeof(hint->premaster)) == 0;
    if (found) {
        memcpy(randoms, hint->randoms, FORESIGHT_RANDOMS);
        hint->there = 0;
    }
    foresight_unlock(&hint->busy);
    return found;
}

/* ---- guesses ------------------------------------------------------------- */

static void add(struct foresight_plan *plan, const unsigned char *master,
                const char *label, const unsigned char *data, size_t len,
                size_t out_len)
{
    uint32_t i = plan->n++;

    plan->next[i] = (struct kdf_next){.mode = KDF_NO_MODE,
                                      .key = {master, MASTER},
                                      .label = foresight_text(label),
                                      .data = {data, len},
                                      .out = plan->out[i],
                                      .out_len = out_len};
}

/* The client's random comes first in what gives the master secret and in what
 * is signed, and second in what gives the key block. */
static void plan_block(struct foresight_plan *plan, const struct kdf_request *r,
                       const unsigned char *master,
                       const unsigned char client[FORESIGHT_RANDOMS])
{
    struct foresight *s = &prov.foresight;
    size_t len = __atomic_load_n(&s->block_len[r->digest], __ATOMIC_RELAXED);

    if (may_guess_block(len) && foresight_worth(&s->blocks)) {
        memcpy(plan->randoms, client + HALF, HALF);
        memcpy(plan->randoms + HALF, client, HALF);
        add(plan, master, LABEL_BLOCK, plan->randoms, FORESIGHT_RANDOMS, len);
    }
}

void foresight_tls1_plan(struct foresight_plan *plan,
                         const struct kdf_request *r, const unsigned char *out,
                         size_t out_len)
{
    unsigned char data[FORESIGHT_RANDOMS];
    struct kdf_next q;
    size_t size = prf_size((enum prf_digest)r->digest);

    if (out_len != MASTER) {
        return;
    }
    foresight_tls1_question(&q, data, r, out_len);
    if (foresight_is(&q.label, LABEL_MASTER) &&
        q.data.len == FORESIGHT_RANDOMS) {
        plan_block(plan, r, out, data);
    } else if (foresight_is(&q.label, LABEL_EXTENDED) && q.data.len == size) {
        /* The hash, where it stays until it is asked. */
        memcpy(plan->hash, data, size);
        if (take_randoms(&r->key, data)) {
            plan_block(plan, r, out, data);
        }
        if (foresight_worth(&prov.foresight.finishes)) {
            add(plan, out, LABEL_FINISHED, plan->hash, size, FINISHED);
        }
    }
}
