/*
 * tls_group_stub.c - keys of TLS groups, inside: a pair is made, ended, and a
 * peer's public key looked at.
 */
#include "secret.h"
#include "tls_group.h"

/*
 * Uses: type = group, out = room for the public key. Makes handle. With in = a
 * peer's public key the pair is used for the exchange with it, if that works,
 * and handle is 0: out2 = room for the secret's handle. in2 = array of in2_len
 * kdf_next, derivations that follow, what = their digest; sets handle2 to how
 * many were made.
 */
int64_t group_gen_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    const struct tls_group *g = group_there(f->type);
    unsigned char public[GROUP_PUBLIC_MAX];
    struct object *o;
    int ok, spent;

    f->handle2 = 0;
    if (g == NULL) {
        return fail(f, MPKPROV_R_PARAMETER,
                    "the inner OpenSSL does not have this group");
    }
    o = handle_new(OBJECT_EPHEMERAL, &f->handle);
    if (o == NULL) {
        return fail(f, MPKPROV_R_MEMORY, NULL);
    }
    o->what = f->type;
    o->data = group_key_make(f, g, public);
    ok = o->data != NULL && give(f, public, g->public_len);
    spent = ok && f->in != NULL && group_exchange(f, g, o->data, f->out2);
    if (ok) {
        /* Why an exchange fails is said when it is asked for. */
        f->error.reason = 0;
    }
    handle_made(o, &f->handle, ok && !spent);
    if (spent) {
        kdf_follow(f, f->what);
    }
    return ok;
}

/* Uses: handle. */
int64_t group_free_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    handle_free(f->handle, OBJECT_EPHEMERAL);
    return 1;
}

/* Uses: type = group of DH, out = room for its prime, low byte first. */
int64_t group_prime_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    const struct tls_group *g = group_there(f->type);
    unsigned char prime[GROUP_PUBLIC_MAX];

    if (g == NULL || !group_prime(g, prime)) {
        forget_errors();
        return fail(f, MPKPROV_R_PARAMETER, "no group with a prime");
    }
    return give(f, prime, g->public_len);
}

/* The public key |key| to out. If it did not come in the form of TLS 1.3 it
 * goes on as a hybrid one, which has the same length and says so. */
static int give_peer(struct mpkprov_frame *f, const struct tls_group *g,
                     void *key, int plain)
{
    unsigned char public[GROUP_PUBLIC_MAX];

    if (!group_key_encode(g, key, public)) {
        return fail_inner(f, "the peer's key");
    }
    if (!plain) {
        public[0] = POINT_HYBRID | (public[g->public_len - 1] & 1);
    }
    return give(f, public, g->public_len);
}

/*
 * Uses: type = group, in = a public key, out = room for it as it is kept. What
 * comes next with a key for encapsulation is done too, if it works, and handle2
 * is 1: out2 = room for the secret's handle and, behind that, the ciphertext.
 */
int64_t group_check_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    const struct tls_group *g = group_there(f->type);
    unsigned char *ready = f->out2;
    void *key;
    int plain, ok;

    f->handle2 = 0;
    if (g == NULL || g->alg == GROUP_X25519) {
        return fail(f, MPKPROV_R_PARAMETER,
                    "the inner OpenSSL does not have this group, or it takes "
                    "any key");
    }
    key = group_key_peer(f, g, &plain);
    ok = key != NULL && give_peer(f, g, key, plain);
    if (ok && g->alg == GROUP_KEM && ready != NULL) {
        f->handle2 = group_encapsulate(
            f, g, key, ready + g->secret_len + PREMASTER_MORE, ready);
        /* Why it fails is said when it is asked for. */
        f->error.reason = 0;
    }
    group_key_free(f->type, key);
    return ok;
}
