/*
 * signature_direct.c - inside: the signatures of TLS, without a context.
 *
 * Most of what a context costs once is code that nothing else in a handshake
 * runs. So a message that libssl signs, ECDSA or RSA with SHA-256 or SHA-384,
 * goes straight to the function that the inner OpenSSL's own provider would
 * end up in. Whatever is not plainly one of these takes the ordinary way, and
 * so does what fails here, which leaves the errors to that.
 */

/* They are older than providers, which call them. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "signature_direct.h"
#include "inside.h"
#include "prf.h"
#include "signature.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include <string.h>

/* Of RSA with 8192 bits. */
#define SIG_DIRECT 1024

struct plan {
    enum prf_digest digest;
    int pss, salt; /* of RSA: PSS, with a salt as long as the digest */
};

static const struct {
    const char *names;
    int nid;
} known[] = {
    [PRF_SHA256] = {"SHA256:SHA2-256", NID_sha256},
    [PRF_SHA384] = {"SHA384:SHA2-384", NID_sha384},
};

/* PSS asks for methods. A fetch takes longer than the padding. There is no key
 * without them. */
static EVP_MD *method[sizeof(known) / sizeof(known[0])];

int sign_directly_boot(void)
{
    int ok = 1;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        method[i] = EVP_MD_fetch(NULL, OBJ_nid2sn(known[i].nid), NULL);
        ok = ok && method[i] != NULL;
    }
    return ok;
}

static int plan_digest(struct mpkprov_frame *f, struct plan *plan)
{
    char buf[64];
    const char *name;

    if (!take_string(f, f->name, buf, &name) || name == NULL) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (mpkprov_name_is(known[i].names, name)) {
            plan->digest = (enum prf_digest)i;
            return 1;
        }
    }
    return 0;
}

static int is_pss(const OSSL_PARAM *p)
{
    int n;

    return strcmp(p->key, OSSL_SIGNATURE_PARAM_PAD_MODE) == 0 &&
           OSSL_PARAM_get_int(p, &n) && n == RSA_PKCS1_PSS_PADDING;
}

static int is_salt_of_digest(const OSSL_PARAM *p)
{
    static const char value[] = OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST;

    return strcmp(p->key, OSSL_SIGNATURE_PARAM_PSS_SALTLEN) == 0 &&
           p->data_type == OSSL_PARAM_UTF8_STRING &&
           p->data_size == sizeof(value) - 1 &&
           memcmp(p->data, value, sizeof(value) - 1) == 0;
}

/* What libssl sets, in the form that libcrypto gives it. */
static int plan_param(const OSSL_PARAM *p, struct plan *plan)
{
    if (is_pss(p)) {
        plan->pss = 1;
        return 1;
    }
    if (is_salt_of_digest(p)) {
        plan->salt = 1;
        return 1;
    }
    return 0;
}

static int plan_set(const OSSL_PARAM *outer, struct plan *plan)
{
    struct params_in ps;
    int ok = params_enter(&ps, outer, 0, NULL);

    for (size_t i = 0; ok && i < ps.n; i++) {
        ok = plan_param(&ps.p[i], plan);
    }
    params_free(&ps);
    return ok;
}

/* PKCS #1 v1.5 if nothing is set. */
static int plan_rsa(const struct mpkprov_frame *f, struct plan *plan)
{
    const OSSL_PARAM *set[MPKPROV_SETS];

    if (!sig_sets(f, set)) {
        return 0;
    }
    plan->pss = plan->salt = 0;
    for (size_t i = 0; i < f->in2_len; i++) {
        if (!plan_set(set[i], plan)) {
            return 0;
        }
    }
    return plan->pss == plan->salt;
}

static int plan_for(struct mpkprov_frame *f, const struct object *key,
                    struct plan *plan)
{
    if (f->params != NULL || !mpk_is_outside(f->in, f->in_len) ||
        !plan_digest(f, plan)) {
        return 0;
    }
    return key->type == KEY_EC ? f->in2_len == 0
                               : key->type == KEY_RSA && plan_rsa(f, plan);
}

/* The length of a signature in |room| bytes at |sig|, or 0. */
static size_t ec_sign(EC_KEY *ec, const unsigned char *hash, size_t hash_len,
                      unsigned char *sig, size_t room)
{
    unsigned len = 0;

    return (size_t)ECDSA_size(ec) <= room &&
                   ECDSA_sign(0, hash, (int)hash_len, sig, &len, ec) == 1
               ? len
               : 0;
}

static int pss_sign(RSA *rsa, const struct plan *plan,
                    const unsigned char *hash, unsigned char *sig)
{
    const EVP_MD *md = method[plan->digest];
    unsigned char padded[SIG_DIRECT];

    return RSA_padding_add_PKCS1_PSS_mgf1(rsa, padded, hash, md, md,
                                          RSA_PSS_SALTLEN_DIGEST) == 1
               ? RSA_private_encrypt(RSA_size(rsa), padded, sig, rsa,
                                     RSA_NO_PADDING)
               : 0;
}

static size_t rsa_sign(RSA *rsa, const struct plan *plan,
                       const unsigned char *hash, size_t hash_len,
                       unsigned char *sig, size_t room)
{
    size_t size = (size_t)RSA_size(rsa);
    unsigned len = 0;

    if (size > room) {
        return 0;
    }
    if (plan->pss) {
        return pss_sign(rsa, plan, hash, sig) == (int)size ? size : 0;
    }
    return RSA_sign(known[plan->digest].nid, hash, (unsigned)hash_len, sig,
                    &len, rsa) == 1
               ? len
               : 0;
}

/* The message is read where it lies, once. */
static int sign(struct mpkprov_frame *f, const struct object *key,
                const struct plan *plan)
{
    unsigned char hash[PRF_SIZE_MAX], sig[SIG_DIRECT];
    size_t hash_len = prf_size(plan->digest), len = 0;
    size_t room = f->out_len < sizeof(sig) ? f->out_len : sizeof(sig);
    uint64_t refused = mpk_heap_refused();

    prf_hash(plan->digest, hash, f->in, f->in_len);
    if (keygroup_open(f, key)) {
        len = key->type == KEY_EC
                  ? ec_sign(key->data, hash, hash_len, sig, room)
                  : rsa_sign(key->data, plan, hash, hash_len, sig, room);
        keygroup_close(key);
        len = had_memory(refused) ? len : 0;
    }
    return len != 0 && give(f, sig, len);
}

int sign_directly(struct mpkprov_frame *f)
{
    struct object *key = ctx_key(f);
    size_t room = f->out_len;
    struct plan plan;
    int made = key != NULL && plan_for(f, key, &plan) && sign(f, key, &plan);

    handle_unpin(key);
    forget_errors();
    if (!made) {
        f->out_len = room;
        f->error.reason = 0;
        f->error.text[0] = '\0';
    }
    return made;
}
