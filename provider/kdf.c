/*
 * kdf.c - inside: one derivation of TLS, from the request to the answer. What
 * TLS 1.3 and what earlier versions derive is in kdf_tls13.c and kdf_tls1.c.
 */
#include "secret.h"
#include "tls_kdf.h"

#include <openssl/crypto.h>

/* From openssl.cnf, decided at start: a caller cannot switch these. */
static int reveal, no_cbc, no_raw, leave_x448;

/* Uses: what = bits of enum kdf_flags. */
void kdf_boot(const struct mpkprov_frame *f)
{
    reveal = (f->what & KDF_REVEAL) != 0;
    no_cbc = (f->what & KDF_NO_CBC) != 0;
    no_raw = (f->what & KDF_NO_RAW) != 0;
    leave_x448 = (f->what & KDF_LEAVE_X448) != 0;
    kdf_tls13_boot();
}

int kdf_enter(struct mpkprov_frame *f, unsigned char *out, size_t room,
              const struct kdf_piece *piece)
{
    if (piece->len > room) {
        return fail(f, MPKPROV_R_PARAMETER,
                    "a parameter of the KDF is too long");
    }
    if (mpk_copy_in(out, piece->p, piece->len) != 0) {
        return fail(f, MPKPROV_R_POINTER, NULL);
    }
    return 1;
}

int kdf_take_raw(struct mpkprov_frame *f, struct kdf_work *w, size_t len)
{
    if (w->leave_x448 && len == X448_SECRET) {
        w->raw_premaster = KDF_RAW_LEFT;
        return 1;
    }
    w->raw_premaster = KDF_RAW;
    return w->strict ? fail(f, MPKPROV_R_UNPROTECTED, KDF_RAW_PREMASTER) : 1;
}

static int derive_to(struct mpkprov_frame *f, struct kdf_work *w,
                     const struct kdf_request *r)
{
    int ok;

    w->key_len = 0;
    if (!kdf_enter(f, w->key, sizeof(w->key), &r->key)) {
        return 0;
    }
    w->key_len = r->key.len;
    ok = r->which == KDF_TLS13 ? kdf_tls13_derive(f, w, r)
                               : kdf_tls1_derive(f, w, r);
    if (ok && mpk_copy_out(f->out, w->out, w->out_len) != 0) {
        ok = fail(f, MPKPROV_R_POINTER, NULL);
    }
    /* The caller has a buffer for it when it knows that the log is on. */
    if (ok && w->revealed_len != 0 && f->out2_len >= w->revealed_len &&
        mpk_copy_out(f->out2, w->revealed, w->revealed_len) != 0) {
        ok = fail(f, MPKPROV_R_POINTER, NULL);
    }
    f->out2_len = ok ? w->revealed_len : 0;
    /* What was opened can be shorter than what came. */
    OPENSSL_cleanse(w->key,
                    r->key.len > PRF_SIZE_MAX ? r->key.len : PRF_SIZE_MAX);
    OPENSSL_cleanse(w->revealed, sizeof(w->revealed));
    return ok;
}

/* What holds for every derivation of a call. */
static void start(struct kdf_work *w, const struct mpkprov_frame *f,
                  const struct kdf_request *r)
{
    w->digest = (enum prf_digest)r->digest;
    w->has_key = r->key.p != NULL;
    w->strict = f->type;
    w->no_cbc = no_cbc;
    w->no_raw = no_raw;
    w->leave_x448 = leave_x448;
    w->reveal = reveal;
    w->raw_premaster = KDF_RAW_NONE;
    w->revealed_len = 0;
}

static int derive_next(struct mpkprov_frame *f, struct kdf_work *w,
                       int32_t digest, const struct kdf_next *n)
{
    static const unsigned char prefix[] = "tls13 ";
    const struct kdf_request tls13 = {.which = KDF_TLS13,
                                      .mode = n->mode,
                                      .digest = digest,
                                      .key = n->key,
                                      .salt = n->salt,
                                      .prefix = {prefix, sizeof(prefix) - 1},
                                      .label = n->label,
                                      .data = n->data};
    const struct kdf_request tls1 = {.which = KDF_TLS1,
                                     .digest = digest,
                                     .key = n->key,
                                     .n_seeds = 2,
                                     .seed = {n->label, n->data}};
    const struct kdf_request *r = n->mode == KDF_NO_MODE ? &tls1 : &tls13;

    if (n->out_len == 0 || n->out_len > KDF_SMALL_OUT) {
        return 0;
    }
    start(w, f, r);
    /* What a key exchange gave is a handle, if it is foreseen. */
    w->strict = 1;
    w->leave_x448 = 0;
    f->out = n->out;
    w->out_len = n->out_len;
    return derive_to(f, w, r);
}

/* The first that is refused ends it, without an error: nobody has asked for it
 * yet. Returns how many were made. */
static uint64_t derive_rest(struct mpkprov_frame *f, struct kdf_work *w,
                            int32_t digest)
{
    const struct kdf_next *list = f->in2;
    struct kdf_next n;
    uint64_t i = 0;

    /* A key log has each secret from a call of its own. */
    if (reveal || f->in2_len > KDF_NEXT_MAX || digest < 0 ||
        digest >= PRF_DIGESTS) {
        return 0;
    }
    while (list != NULL && i < f->in2_len &&
           mpk_copy_in(&n, list + i, sizeof(n)) == 0 &&
           derive_next(f, w, digest, &n)) {
        i++;
    }
    f->error.reason = 0;
    return i;
}

void kdf_follow(struct mpkprov_frame *f, int32_t digest)
{
    unsigned char small[KDF_SMALL_OUT];
    struct kdf_work w;

    w.out = small;
    w.last.type = 0;
    w.given.n = 0;
    f->handle2 = derive_rest(f, &w, digest);
    OPENSSL_cleanse(small, sizeof(small));
    OPENSSL_cleanse(&w.last, sizeof(w.last));
}

/*
 * Uses: in = struct kdf_request, out, type = whether a raw pre-master secret is
 * refused. Sets what to enum kdf_raw when there was one, and out2 to what a key
 * log shows, if one was asked for at start. in2 = array of in2_len kdf_next,
 * may be none; sets handle2 to how many of these were derived. ended = cipher
 * contexts.
 */
int64_t kdf_derive_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    unsigned char small[KDF_SMALL_OUT];
    struct kdf_request r;
    struct kdf_work w;
    int ok;

    handle_free_ended(f, OBJECT_CIPHER);
    f->what = 0;
    f->handle2 = 0;
    if (f->in_len != sizeof(r) || mpk_copy_in(&r, f->in, sizeof(r)) != 0) {
        return fail(f, MPKPROV_R_POINTER, NULL);
    }
    if (r.digest < 0 || r.digest >= PRF_DIGESTS || f->out_len == 0 ||
        f->out_len > KDF_OUT_MAX) {
        return fail(f, MPKPROV_R_PARAMETER, "digest or length of a TLS KDF");
    }
    w.out_len = f->out_len;
    w.out = w.out_len <= sizeof(small) ? small : mpk_heap_alloc(w.out_len);
    if (w.out == NULL) {
        return fail(f, MPKPROV_R_MEMORY, NULL);
    }
    w.last.type = 0;
    w.given.n = 0;
    start(&w, f, &r);
    ok = derive_to(f, &w, &r);
    f->what = (int32_t)w.raw_premaster;
    if (w.out != small) {
        mpk_heap_free(w.out);
        w.out = small;
    }
    f->handle2 = ok ? derive_rest(f, &w, r.digest) : 0;
    OPENSSL_cleanse(small, sizeof(small));
    OPENSSL_cleanse(&w.last, sizeof(w.last));
    return ok;
}
