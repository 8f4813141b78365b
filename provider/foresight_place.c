/*
 * foresight_place.c - outside: where answers wait that nobody has asked for
 * yet. Each stands with its question, byte for byte.
 */
#include "foresight_place.h"
#include "prov.h"

/* ---- questions ----------------------------------------------------------- */

/* Whether |q| can be written down; its bytes need not be there yet. */
int foresight_fits(const struct kdf_next *q)
{
    const size_t room = FORESIGHT_QUESTION - 2 - 4 * 2;
    const size_t len[] = {q->key.len, q->salt.len, q->label.len, q->data.len};
    size_t n = 0;

    for (int i = 0; i < 4; i++) {
        if (len[i] > room - n) {
            return 0;
        }
        n += len[i];
    }
    return q->out_len <= FORESIGHT_OUT;
}

/*
 * Writes down |q|: what may be there or not, all lengths but the answer's, all
 * bytes, so that two derivations with the same text, and an answer as long, are
 * the same. 0 if that is too long for one that is guessed.
 */
static size_t write_question(unsigned char text[FORESIGHT_QUESTION],
                             int32_t digest, const struct kdf_next *q)
{
    const struct kdf_piece *piece[] = {&q->key, &q->salt, &q->label, &q->data};
    size_t n = 2;

    if (!foresight_fits(q)) {
        return 0;
    }
    text[0] = (unsigned char)q->mode;
    text[1] = (unsigned char)digest;
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
 * The first of FORESIGHT_WAYS places. */
static struct foreseen *places_of(const struct kdf_next *q, int later)
{
    struct foresight *s = &prov.foresight;
    const struct kdf_piece *from = q->key.len != 0 ? &q->key : &q->salt;
    uint64_t at = 0;

    if (from->len != 0) {
        memcpy(&at, from->p, from->len < sizeof(at) ? from->len : sizeof(at));
    }
    for (size_t i = 0; i < q->label.len; i++) {
        at = at * 31 + q->label.p[i];
    }
    for (size_t i = 0; i < q->data.len && i < 8; i++) {
        at = at * 31 + q->data.p[i];
    }
    return later ? &s->later[foresight_index(at, FORESIGHT_LATER) &
                             ~(FORESIGHT_WAYS - 1U)]
                 : &s->soon[foresight_index(at, FORESIGHT_SOON) &
                            ~(FORESIGHT_WAYS - 1U)];
}

/* ---- answers ------------------------------------------------------------- */

static void forget(struct foreseen *f)
{
    __atomic_store_n(&f->question_len, 0, __ATOMIC_RELAXED);
    explicit_bzero(f->out, sizeof(f->out));
}

/* How many keys of records the answer to |q| has. */
static uint32_t keys_of(const struct kdf_next *q)
{
    return foresight_is(&q->label, "key expansion") ? 2
           : foresight_is(&q->label, "key") ||
                   foresight_is(&q->label, "quic key") ||
                   foresight_is(&q->label, "quicv2 key")
               ? 1
               : 0;
}

/* Each that is asked for, and each that is foreseen. */
static void count_keys(const struct kdf_next *q)
{
    uint32_t n = keys_of(q);

    if (n != 0) {
        __atomic_add_fetch(&prov.foresight.keys_given, n, __ATOMIC_RELAXED);
    }
}

/*
 * Inside a record's key waits in one of the 16 places for one of 512 kinds of
 * handles (keyset.c). As long as no more than so many others have come, 16 of
 * its kind are among them once in some hundred thousand times. After more it
 * may have given way, so it is derived anew.
 */
#define OTHERS 2000

static int may_be_lost(const struct foreseen *f, const struct kdf_next *q)
{
    uint32_t now =
        __atomic_load_n(&prov.foresight.keys_given, __ATOMIC_RELAXED);

    return keys_of(q) != 0 && now - f->keys_before > OTHERS;
}

/*
 * What |f| has, if that is the answer to the question |text|, which |q| is. One
 * that was guessed longer, or shorter, than it is asked for is no use to
 * anybody any more, and a key block has more than nonces in the clear then.
 */
static int take_from(struct foreseen *f, const struct kdf_next *q,
                     const unsigned char *text, size_t len, unsigned char *out)
{
    int found = 0;

    if (__atomic_load_n(&f->question_len, __ATOMIC_RELAXED) != len ||
        !foresight_lock(&f->busy)) {
        return 0;
    }
    if (f->question_len == len && memcmp(f->question, text, len) == 0) {
        found = f->out_len == q->out_len && !may_be_lost(f, q);
        memcpy(out, f->out, found ? q->out_len : 0);
        forget(f);
    }
    foresight_unlock(&f->busy);
    return found;
}

/* Whether |q| is asked when the peer has answered, if by its label it can be:
 * the places for that are cold, and a look costs. */
static int may_wait(const struct kdf_next *q)
{
    return foresight_is(&q->label, "c ap traffic") ||
           foresight_is(&q->label, "key") || foresight_is(&q->label, "iv");
}

static int take(const struct kdf_next *q, const unsigned char *text, size_t len,
                unsigned char *out)
{
    int tables = len == 0 ? 0 : may_wait(q) ? 2 : 1;

    for (int later = 0; later < tables; later++) {
        struct foreseen *f = places_of(q, later);

        for (int i = 0; i < FORESIGHT_WAYS; i++) {
            if (take_from(&f[i], q, text, len, out)) {
                return 1;
            }
        }
    }
    return 0;
}

/* What is asked of a secret in the clear, a pre-master secret that libssl has
 * made for one, has it in the question: nothing of that stays on the stack. */
int foresight_take(const struct kdf_next *q, int32_t digest, unsigned char *out)
{
    unsigned char text[FORESIGHT_QUESTION];
    size_t len = write_question(text, digest, q);
    int found;

    count_keys(q);
    found = take(q, text, len, out);
    explicit_bzero(text, len);
    return found;
}

/* One that is empty, or else the one whose answer has waited longest. Another
 * thread may take the same; then one of two guesses is lost. */
static struct foreseen *choose(struct foreseen *f, uint32_t now)
{
    struct foreseen *best = f;
    uint32_t age = 0;

    for (int i = 0; i < FORESIGHT_WAYS; i++) {
        uint32_t waited = now - __atomic_load_n(&f[i].age, __ATOMIC_RELAXED);

        if (__atomic_load_n(&f[i].question_len, __ATOMIC_RELAXED) == 0) {
            return &f[i];
        }
        if (waited > age) {
            age = waited;
            best = &f[i];
        }
    }
    return best;
}

void foresight_put(const struct kdf_next *q, int32_t digest,
                   const unsigned char *out, int later)
{
    uint32_t now = __atomic_add_fetch(&prov.foresight.now, 1, __ATOMIC_RELAXED);
    struct foreseen *f = choose(places_of(q, later), now);
    size_t len;

    count_keys(q);
    if (!foresight_fits(q) || !foresight_lock(&f->busy)) {
        return;
    }
    forget(f);
    len = write_question(f->question, digest, q);
    memcpy(f->out, out, q->out_len);
    f->out_len = (uint8_t)q->out_len;
    __atomic_store_n(&f->age, now, __ATOMIC_RELAXED);
    f->keys_before =
        __atomic_load_n(&prov.foresight.keys_given, __ATOMIC_RELAXED);
    __atomic_store_n(&f->question_len, (uint8_t)len, __ATOMIC_RELAXED);
    foresight_unlock(&f->busy);
}

/* ---- whether, and whose -------------------------------------------------- */

int foresight_worth(uint32_t *credit)
{
    uint32_t left = __atomic_load_n(credit, __ATOMIC_RELAXED);

    if (left == 0) {
        return 0;
    }
    __atomic_store_n(credit, left - 1, __ATOMIC_RELAXED);
    return 1;
}

/* All threads look there: what is there already is not written. */
void foresight_note(uint32_t *word, uint32_t value)
{
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != value) {
        __atomic_store_n(word, value, __ATOMIC_RELAXED);
    }
}

void foresight_credit(uint32_t *credit)
{
    foresight_note(credit, FORESIGHT_PATIENCE);
}

uint32_t foresight_thread(void)
{
    /* Thread control blocks are pages apart. */
    return foresight_index((uint64_t)pthread_self() >> 12, FORESIGHT_THREADS);
}
