/*
 * The AEADs against the default provider's, by random sequences of everything
 * that EVP can do with a context. After each step the two sides must have
 * returned the same, written the same, and both or neither have an error.
 *
 * cipher_random_test [SEED [SEQUENCES [verbose]]]
 */
#include "cipher_random.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 40

static unsigned long steps, worked;
static bool verbose;

/* ---- comparing ---------------------------------------------------------- */

void different(const struct pair *p, const char *what)
{
    const struct side *a = &p->side[OURS], *b = &p->side[STOCK];

    printf("%s: %s: %s differs: returned %d and %d, lengths %d and %d, errors "
           "%d and %d\n",
           p->name->name, p->step, what, a->ret, b->ret, a->len, b->len,
           a->error, b->error);
    for (size_t i = 0; i < ROOM; i++) {
        if (a->out[i] != b->out[i]) {
            printf("byte %zu: %02x and %02x\n", i, a->out[i], b->out[i]);
            break;
        }
    }
    ERR_print_errors_fp(stdout);
    exit(1);
}

void compare(struct pair *p)
{
    const struct side *a = &p->side[OURS], *b = &p->side[STOCK];

    if (verbose) {
        printf("  %s: %d\n", p->step, b->ret);
    }
    steps++;
    worked += b->ret > 0;
    if (a->ret != b->ret) {
        different(p, "result");
    }
    if (b->ret > 0 && a->len != b->len) {
        different(p, "length");
    }
    if (a->error != b->error) {
        different(p, "error queue");
    }
    if (memcmp(a->out, b->out, ROOM) != 0) {
        different(p, "output");
    }
}

bool is_mode(const struct pair *p, int mode)
{
    return p->name->mode == mode;
}

void fresh_output(struct pair *p)
{
    for (int i = 0; i < SIDES; i++) {
        memset(p->side[i].out, GUARD, ROOM);
    }
}

/* ---- steps -------------------------------------------------------------- */

/* A handle is good for one init. */
void new_key(struct pair *p)
{
    int len = EVP_CIPHER_get_key_length(p->side[STOCK].cipher);

    p->sealed = pair_random(2);
    pair_key(p->sealed, (size_t)len, p->key);
}

static void step_init(struct pair *p)
{
    bool key = pair_random(3) == 0;
    const unsigned char *iv = pair_random(4) != 0 ? p->iv : NULL;
    int how = pair_random(6) == 0 ? -1 : (int)pair_random(2);
    int with_cipher = pair_random(8) == 0;

    if (key) {
        new_key(p);
    }
    pair_bytes(p->iv, sizeof(p->iv));
    if (EVP_CIPHER_CTX_get_iv_length(p->side[STOCK].ctx) > 12) {
        iv = NULL;
    }
    STEP(p, "init cipher %d key %d iv %d direction %d", with_cipher,
         key * (1 + p->sealed), iv != NULL, how);
    if (with_cipher) {
        p->has_iv = p->counts = false;
    }
    BOTH(p, EVP_CipherInit_ex(s->ctx, with_cipher ? s->cipher : NULL, NULL,
                              key ? s->key : NULL, iv, how));
    if (how >= 0) {
        p->encrypt = how;
    }
    if (p->side[STOCK].ret > 0) {
        p->has_iv = p->has_iv || iv != NULL;
        p->spent = p->spent && !key && iv == NULL;
    }
}

static bool stock_is_at_least_4(void)
{
    return OpenSSL_version_num() >= 0x40000000UL;
}

/* From 4.0 on ChaCha20-Poly1305 uses no nonce again, unless the length is set
 * that it has anyhow. That does not go inside here, where nothing changes. */
static bool allows_nonce_again(const struct pair *p, size_t len)
{
    return stock_is_at_least_4() && p->name->mode == 0 && len == 12;
}

/* A nonce length among the parameters of init. */
static void step_init_params(struct pair *p)
{
    size_t len = pair_random(3) != 0 ? 12 : pair_random(13);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, &len),
        OSSL_PARAM_construct_end()};
    bool with_iv = pair_random(2);

    if ((p->counts && len < 8) || allows_nonce_again(p, len)) {
        return;
    }
    STEP(p, "init with a nonce of %zu bytes", len);
    BOTH(p, EVP_CipherInit_ex2(s->ctx, NULL, NULL, with_iv ? p->iv : NULL, -1,
                               params));
    p->has_iv = p->has_iv || (p->side[STOCK].ret > 0 && with_iv);
}

static void step_iv_len(struct pair *p)
{
    static const int other[] = {0, 1, 7, 8, 11, 13, 16, 128, 129};
    int len = pair_random(2) ? 12 : other[pair_random(9)];

    if (p->counts && len < 8) {
        return; /* the default provider would write before its nonce */
    }
    if (allows_nonce_again(p, (size_t)len)) {
        return;
    }
    STEP(p, "nonce length %d", len);
    BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_IVLEN, len, NULL));
}

static void step_set_tag(struct pair *p)
{
    unsigned char tag[20];
    int len = pair_random(3) != 0 ? 16 : (int)pair_random(18);
    bool without = pair_random(4) == 0;

    pair_bytes(tag, sizeof(tag));
    STEP(p, "set %s of %d bytes", without ? "the length of a tag" : "a tag",
         len);
    BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, len,
                                without ? NULL : tag));
}

static void step_get_tag(struct pair *p)
{
    int len = pair_random(3) != 0 ? 16 : (int)pair_random(18);

    fresh_output(p);
    STEP(p, "get a tag of %d bytes", len);
    BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, len, s->out));
}

/* GCM makes nonces up by itself, which no other side can repeat; and the
 * default provider's ChaCha20-Poly1305 uses one again, which ours does for no
 * handle. */
static bool no_nonce(const struct pair *p)
{
    return (is_mode(p, EVP_CIPH_GCM_MODE) && p->encrypt && !p->has_iv) ||
           (p->name->mode == 0 && p->sealed && p->spent);
}

static void step_aad(struct pair *p)
{
    unsigned char in[128];
    int len = (int)pair_random(pair_random(2) ? 20 : sizeof(in));

    if (no_nonce(p)) {
        return;
    }
    pair_bytes(in, sizeof(in));
    STEP(p, "AAD of %d bytes", len);
    BOTH(p, EVP_CipherUpdate(s->ctx, NULL, &s->len, in, len));
}

static void step_ccm_length(struct pair *p)
{
    int len = (int)pair_random(200);

    if (!is_mode(p, EVP_CIPH_CCM_MODE)) {
        return;
    }
    STEP(p, "a message of %d bytes", len);
    BOTH(p, EVP_CipherUpdate(s->ctx, NULL, &s->len, NULL, len));
}

static void step_update(struct pair *p)
{
    unsigned char in[300];
    int len = (int)pair_random(pair_random(3) ? 70 : sizeof(in));
    int in_place = pair_random(3) == 0;

    if (no_nonce(p)) {
        return;
    }
    pair_bytes(in, sizeof(in));
    fresh_output(p);
    for (int i = 0; in_place && i < SIDES; i++) {
        memcpy(p->side[i].out, in, (size_t)len);
    }
    STEP(p, "update of %d bytes%s", len, in_place ? " in place" : "");
    BOTH(p, EVP_CipherUpdate(s->ctx, s->out, &s->len, in_place ? s->out : in,
                             len));
}

static void step_one_shot(struct pair *p)
{
    unsigned char in[64];
    unsigned len = 1 + pair_random(sizeof(in) - 1);
    bool end = pair_random(3) == 0;

    if (no_nonce(p)) {
        return;
    }
    pair_bytes(in, sizeof(in));
    fresh_output(p);
    STEP(p, "EVP_Cipher of %u bytes", end ? 0 : len);
    BOTH(p, EVP_Cipher(s->ctx, s->out, end ? NULL : in, end ? 0 : len));
}

static void step_final(struct pair *p)
{
    bool nowhere = pair_random(8) == 0;

    if (no_nonce(p)) {
        return;
    }
    fresh_output(p);
    STEP(p, "final%s", nowhere ? " to nowhere" : "");
    BOTH(p, EVP_CipherFinal_ex(s->ctx, nowhere ? NULL : s->out, &s->len));
}

/* From 4.0 on GCM makes a nonce up when it is asked which it has. */
static bool makes_nonce_up(const struct pair *p)
{
    return stock_is_at_least_4() && is_mode(p, EVP_CIPH_GCM_MODE) &&
           no_nonce(p);
}

static void step_get(struct pair *p)
{
    static const char *const size[] = {
        OSSL_CIPHER_PARAM_IVLEN, OSSL_CIPHER_PARAM_KEYLEN,
        OSSL_CIPHER_PARAM_AEAD_TAGLEN, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD};
    const char *first = size[pair_random(4)];
    /* The updated nonce of a handle's context is refused, see cipher_test. */
    int more = (int)pair_random(p->sealed ? 2 : 3);

    if (makes_nonce_up(p)) {
        more = 0;
    }
    fresh_output(p);
    STEP(p, "get %s%s", first,
         more == 1 ? ", iv" : (more == 2 ? ", updated-iv" : ""));
    for (int i = 0; i < SIDES; i++) {
        struct side *s = &p->side[i];
        OSSL_PARAM params[] = {OSSL_PARAM_END, OSSL_PARAM_END, OSSL_PARAM_END};

        params[0] = OSSL_PARAM_construct_size_t(first, (size_t *)s->out);
        if (more != 0) {
            params[1] = OSSL_PARAM_construct_octet_string(
                more == 1 ? OSSL_CIPHER_PARAM_IV : OSSL_CIPHER_PARAM_UPDATED_IV,
                s->out + 16, is_mode(p, EVP_CIPH_CCM_MODE) ? 13 : 128);
        }
        ERR_clear_error();
        s->len = 0;
        s->ret = EVP_CIPHER_CTX_get_params(s->ctx, params);
        s->error = ERR_peek_error() != 0;
        memcpy(s->out + 256, &params[0].return_size, sizeof(size_t));
        memcpy(s->out + 264, &params[1].return_size, sizeof(size_t));
        if (s->ret <= 0) {
            memset(s->out, GUARD, ROOM); /* what was answered before */
        }
    }
    compare(p);
}

static void *nonce_of(struct side *s, const char *name)
{
    void *at = NULL;
    OSSL_PARAM ask[] = {OSSL_PARAM_octet_ptr(name, &at, 16), OSSL_PARAM_END};
    int ret = EVP_CIPHER_CTX_get_params(s->ctx, ask);

    ERR_clear_error();
    return ret > 0 ? at : NULL;
}

/* The nonce by reference, where stock has it, which stays where it is when it
 * is asked for by another name. Seen to fail with one place for both, and
 * without room for one. */
static void step_nonce_pointers(struct pair *p)
{
    static const char *const name[] = {OSSL_CIPHER_PARAM_IV,
                                       OSSL_CIPHER_PARAM_UPDATED_IV};
    unsigned char first[16];
    void *at[2] = {NULL, NULL};
    size_t len = (size_t)EVP_CIPHER_CTX_get_iv_length(p->side[OURS].ctx);

    if (p->sealed || !p->has_iv || len > sizeof(first)) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        at[i] = nonce_of(&p->side[OURS], name[i]);
        if ((at[i] != NULL) != (nonce_of(&p->side[STOCK], name[i]) != NULL)) {
            different(p, "whether there is a pointer to a nonce");
        }
        if (i == 0 && at[0] != NULL) {
            memcpy(first, at[0], len);
        }
    }
    if (at[0] != NULL && at[1] != NULL &&
        (at[0] == at[1] || memcmp(at[0], first, len) != 0)) {
        different(p, "pointer to a nonce");
    }
}

/* The random part of the nonce has to be ours on both sides. */
static void share_nonce(struct pair *p)
{
    unsigned char iv[128];

    if (!is_mode(p, EVP_CIPH_GCM_MODE) || p->side[STOCK].ret <= 0) {
        return;
    }
    p->has_iv = p->counts = true;
    if (EVP_CIPHER_CTX_get_original_iv(p->side[OURS].ctx, iv, sizeof(iv)) !=
            1 ||
        EVP_CIPHER_CTX_ctrl(p->side[STOCK].ctx, EVP_CTRL_GCM_SET_IV_FIXED, -1,
                            iv) != 1) {
        different(p, "nonce");
    }
    STEP(p, "restoring a nonce");
    BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_SET_IV_FIXED, -1, iv));
}

static void step_fixed_iv(struct pair *p)
{
    unsigned char iv[16];
    int len =
        pair_random(3) ? (p->name->mode != 0 ? 4 : 12) : (int)pair_random(13);

    /* What the default provider does with more than its nonce is undefined. */
    if (EVP_CIPHER_CTX_get_iv_length(p->side[STOCK].ctx) < len) {
        return;
    }
    pair_bytes(iv, sizeof(iv));
    STEP(p, "fixed nonce of %d bytes", len);
    BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_IV_FIXED, len, iv));
    share_nonce(p);
}

static void step_iv_gen(struct pair *p)
{
    int have = EVP_CIPHER_CTX_get_iv_length(p->side[STOCK].ctx);
    int len = pair_random(2) ? 8 : (int)pair_random(16) - 1;
    unsigned char in[16];

    fresh_output(p);
    /* As above. */
    if (have < 12) {
        return;
    }
    if (pair_random(2)) {
        STEP(p, "make a nonce, %d bytes", len);
        BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_IV_GEN, len, s->out));
    } else if (len >= 0 && len <= have) {
        pair_bytes(in, sizeof(in));
        STEP(p, "set the end of a nonce, %d bytes", len);
        BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_GCM_SET_IV_INV, len, in));
    }
}

/* A record of TLS 1.2, or something like it. */
static void step_tls12(struct pair *p)
{
    unsigned char aad[13], in[256];
    unsigned len = pair_random(200), said = len;
    int pads = p->name->mode != 0 ? 8 : 0, total;

    if (pair_random(8) == 0) {
        said = pair_random(30);
    }
    if (!is_mode(p, EVP_CIPH_CCM_MODE) && no_nonce(p)) {
        return;
    }
    pair_bytes(aad, sizeof(aad));
    said += (unsigned)pads + (p->encrypt ? 0 : 16);
    aad[11] = (unsigned char)(said >> 8);
    aad[12] = (unsigned char)said;
    STEP(p, "header of a record of %u bytes", said);
    BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_TLS1_AAD, 13, aad));
    if (pair_random(8) == 0) {
        return;
    }
    pair_bytes(in, sizeof(in));
    fresh_output(p);
    for (int i = 0; i < SIDES; i++) {
        memcpy(p->side[i].out, in, sizeof(in));
    }
    total = (int)len + pads + 16;
    STEP(p, "record of %d bytes", total);
    BOTH(p, EVP_CipherUpdate(s->ctx, s->out, &s->len, s->out, total));
    if (is_mode(p, EVP_CIPH_GCM_MODE) && p->encrypt) {
        p->has_iv = true;
    }
}

static void step_copy(struct pair *p)
{
    bool keep_copy = pair_random(2);

    STEP(p, "copy");
    for (int i = 0; i < SIDES; i++) {
        EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new(), *old = p->side[i].ctx;

        ERR_clear_error();
        p->side[i].ret = EVP_CIPHER_CTX_copy(copy, old);
        p->side[i].error = ERR_peek_error() != 0;
        p->side[i].ctx = keep_copy ? copy : old;
        EVP_CIPHER_CTX_free(keep_copy ? old : copy);
    }
    compare(p);
}

/* ---- sequences ---------------------------------------------------------- */

static void (*const step[])(struct pair *) = {
    step_init,          step_init,    step_init,    step_init_params,
    step_iv_len,        step_set_tag, step_set_tag, step_get_tag,
    step_get_tag,       step_aad,     step_aad,     step_ccm_length,
    step_update,        step_update,  step_update,  step_one_shot,
    step_final,         step_final,   step_get,     step_get,
    step_fixed_iv,      step_iv_gen,  step_iv_gen,  step_tls12,
    step_tls12,         step_copy,    step_tls13,   step_message,
    step_nonce_pointers};

static void sequence(const struct cipher_name *name, EVP_CIPHER *cipher[SIDES])
{
    static struct pair p;

    memset(&p, 0, sizeof(p));
    p.name = name;
    p.encrypt = pair_random(2);
    pair_bytes(p.iv, sizeof(p.iv));
    fresh_output(&p);
    for (int i = 0; i < SIDES; i++) {
        p.side[i].cipher = cipher[i];
        p.side[i].ctx = EVP_CIPHER_CTX_new();
    }
    STEP(&p, "first init");
    BOTH(&p, EVP_CipherInit_ex(s->ctx, s->cipher, NULL, NULL, NULL, p.encrypt));
    for (int i = 0; i < STEPS; i++) {
        step[pair_random(sizeof(step) / sizeof(step[0]))](&p);
    }
    for (int i = 0; i < SIDES; i++) {
        EVP_CIPHER_CTX_free(p.side[i].ctx);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = pair_seed_from(argc, argv);
    const char *backend = getenv("MPK_TEST_BACKEND");
    /* Backend mprotect, and an emulated CPU, take a hundred times as long. */
    unsigned long sequences =
        backend != NULL && strcmp(backend, "none") == 0 ? 1000 : 40;

    sequences = argc > 2 ? strtoul(argv[2], NULL, 0) : sequences;
    verbose = argc > 3;
    pair_start();
    if (pair_inner_is_newer()) {
        puts("the OpenSSL inside is newer than what it is compared with: see "
             "compare_test.sh");
        return 77;
    }
    for (size_t c = 0; c < n_cipher_names; c++) {
        EVP_CIPHER *cipher[SIDES];

        pair_fetch(cipher_names[c].name, cipher);
        for (unsigned long i = 0; i < sequences; i++) {
            pair_seed(seed * 0x9e3779b97f4a7c15 + (c << 32) + i);
            if (verbose) {
                printf("%s, sequence %lu\n", cipher_names[c].name, i);
            }
            sequence(&cipher_names[c], cipher);
        }
        for (int i = 0; i < SIDES; i++) {
            EVP_CIPHER_free(cipher[i]);
        }
    }
    printf("%lu sequences of each of %zu ciphers, %lu steps, of which %lu "
           "worked: all alike\n",
           sequences, n_cipher_names, steps, worked);
    return worked * 4 > steps ? 0 : 1;
}
