/*
 * attack_entry_pointers_test.c - frames that are good but for one pointer, of
 * the operations on session secrets and of what attack_entry_test cannot tell
 * by the return value alone.
 *
 * Each frame is seen to work first, and then given again with that one pointer
 * into the domain. A refusal says why: one for another reason, such as bytes
 * of the domain that make no key, would mean that they were read.
 *
 * Seen to fail without the check of each of these pointers, one at a time; for
 * those of a KEM with an inner OpenSSL that has ML-KEM.
 */
#include "attack_entry.h"
#include "attack_entry_targets.h"

#include "../../provider/cipher.h"
#include "../../provider/tls_kdf.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- ciphers ------------------------------------------------------------- */

static unsigned char nonce[CIPHER_IV_LEN], tag[CIPHER_TAG_MAX];
static struct cipher_held held;
static OSSL_PARAM params[2];
static unsigned char value[64];

static void one_param(const char *name, unsigned type, size_t len)
{
    params[0] = (OSSL_PARAM){name, type, value, len, OSSL_PARAM_UNMODIFIED};
    params[1] = OSSL_PARAM_construct_end();
}

/* A new context, with nonce and key. */
static void a_key(struct mpkprov_frame *f)
{
    *f = (struct mpkprov_frame){.type = CIPHER_aes_128_gcm,
                                .what = 1,
                                .in = message,
                                .in_len = 16,
                                .out = nonce,
                                .out_len = sizeof(nonce)};
}

static void a_key_and_no_nonce(struct mpkprov_frame *f)
{
    a_key(f);
    f->out = NULL;
    f->out_len = 0;
}

/* A nonce that waits for a message. */
static void with_held(struct mpkprov_frame *f)
{
    held = (struct cipher_held){.what = HELD_IV, .encrypt = 1};
    f->in2 = &held;
    f->in2_len = sizeof(held);
}

static void a_held_nonce_first(struct mpkprov_frame *f)
{
    a_key(f);
    CHECK_INT(call(OP_cipher_init, f), 1);
    *f = (struct mpkprov_frame){.handle = f->handle, .what = -1};
    with_held(f);
}

static void a_cipher(struct mpkprov_frame *f)
{
    struct mpkprov_frame init;

    a_key(&init);
    CHECK_INT(call(OP_cipher_init, &init), 1);
    *f = (struct mpkprov_frame){.handle = init.handle};
}

static void a_nonce_to_restore(struct mpkprov_frame *f)
{
    a_cipher(f);
    f->in = nonce;
    f->in_len = sizeof(nonce);
}

static void a_length_to_set(struct mpkprov_frame *f)
{
    static const size_t len = sizeof(nonce);

    a_cipher(f);
    one_param(OSSL_CIPHER_PARAM_AEAD_IVLEN, OSSL_PARAM_UNSIGNED_INTEGER,
              sizeof(len));
    memcpy(value, &len, sizeof(len));
    f->params = params;
}

static void a_length_to_set_after_held(struct mpkprov_frame *f)
{
    a_length_to_set(f);
    with_held(f);
}

static void a_length_to_get(struct mpkprov_frame *f)
{
    a_length_to_set(f);
}

static void a_length_to_get_after_held(struct mpkprov_frame *f)
{
    a_length_to_set_after_held(f);
}

/* By reference, so that it is put at the frame's |out|. */
static void a_nonce_to_get(struct mpkprov_frame *f)
{
    a_cipher(f);
    one_param(OSSL_CIPHER_PARAM_IV, OSSL_PARAM_OCTET_PTR, sizeof(nonce));
    f->params = params;
    f->out = room;
    f->out_len = sizeof(room);
}

/* What comes out where no room is said is all of it. */
static void a_nonce_to_make(struct mpkprov_frame *f)
{
    a_cipher(f);
    one_param(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, OSSL_PARAM_OCTET_STRING,
              CIPHER_FIXED_IV_LEN);
    f->params = params;
    CHECK_INT(call(OP_cipher_set, f), 1);
    one_param(OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, OSSL_PARAM_OCTET_STRING,
              0);
}

static void data(struct mpkprov_frame *f)
{
    a_cipher(f);
    f->what = RUN_UPDATE;
    f->in = message;
    f->out = room;
    f->in_len = f->out_len = 64;
}

static void data_after_held(struct mpkprov_frame *f)
{
    data(f);
    with_held(f);
}

static void data_in_one(struct mpkprov_frame *f)
{
    data(f);
    f->what = RUN_CIPHER;
}

/* A message of which only the tag is missing. */
static void a_final(struct mpkprov_frame *f)
{
    data(f);
    CHECK_INT(call(OP_cipher_draw, f), 1);
    *f = (struct mpkprov_frame){
        .handle = f->handle, .what = RUN_FINAL, .out = room, .out2 = tag};
}

static void a_constant(struct mpkprov_frame *f)
{
    *f = (struct mpkprov_frame){.type = CIPHER_aes_128_gcm, .params = params};
    one_param(OSSL_CIPHER_PARAM_KEYLEN, OSSL_PARAM_UNSIGNED_INTEGER,
              sizeof(size_t));
}

/* ---- groups -------------------------------------------------------------- */

/* The numbers of one of X25519, one of P-256 and one of ML-KEM, or -1. */
static int x25519 = -1, curve = -1, kem = -1;

static unsigned char public[GROUP_PUBLIC_MAX], ciphertext[GROUP_PUBLIC_MAX];
static size_t ciphertext_len;

static uint64_t a_pair(int group, size_t *len)
{
    struct mpkprov_frame f = {
        .type = group, .out = public, .out_len = sizeof(public)};

    CHECK_INT(call(OP_group_gen, &f), 1);
    *len = f.out_len;
    return f.handle;
}

static bool is_kem(int group)
{
    struct mpkprov_frame f = {.type = group};

    call(OP_group_encapsulate, &f);
    return strcmp(f.error.text, "no such group") != 0;
}

/* The least room that is not too little. */
static void find_ciphertext(void)
{
    struct mpkprov_frame f = {.error.reason = MPKPROV_R_BUFFER};

    while (f.error.reason == MPKPROV_R_BUFFER) {
        f = (struct mpkprov_frame){.type = kem, .out_len = ++ciphertext_len};
        call(OP_group_encapsulate, &f);
    }
}

static void find_groups(void)
{
    struct mpkprov_frame there = {0};

    CHECK_INT(call(OP_group_there, &there), 1);
    for (int i = TLS_GROUPS_MAX - 1; i >= 0; i--) {
        struct mpkprov_frame f = {.type = i};
        size_t len = 0;

        if ((there.handle >> i & 1) == 0) {
            continue;
        }
        if (is_kem(i)) {
            kem = i;
            continue;
        }
        f.handle = a_pair(i, &len);
        call(OP_group_free, &f);
        x25519 = len == 32 ? i : x25519;
        curve = len == 65 ? i : curve;
    }
    CHECK(x25519 >= 0 && curve >= 0);
    if (kem >= 0) {
        find_ciphertext();
    }
}

static void a_generation(struct mpkprov_frame *f)
{
    *f = (struct mpkprov_frame){
        .type = curve, .out = room, .out_len = sizeof(room)};
}

/* A pair that is used at once. */
static void an_exchange_to_come(struct mpkprov_frame *f)
{
    a_generation(f);
    a_pair(curve, &f->in_len);
    f->in = public;
    f->out2 = room2;
}

static void a_prime(struct mpkprov_frame *f)
{
    struct mpkprov_frame there = {0};
    int64_t ret = 0;

    call(OP_group_there, &there);
    for (int i = 0; i < TLS_GROUPS_MAX && ret != 1; i++) {
        *f = (struct mpkprov_frame){
            .type = i, .out = room, .out_len = sizeof(room)};
        ret = (there.handle >> i & 1) != 0 ? call(OP_group_prime, f) : 0;
    }
    f->out_len = sizeof(room);
}

static void peers_key(struct mpkprov_frame *f, int group)
{
    *f = (struct mpkprov_frame){
        .type = group, .in = public, .out = room, .out_len = sizeof(room)};
    f->handle = a_pair(group, &f->in_len);
}

static void a_curves_key(struct mpkprov_frame *f)
{
    peers_key(f, curve);
}

static void an_x25519_key(struct mpkprov_frame *f)
{
    peers_key(f, x25519);
}

static void a_kems_key(struct mpkprov_frame *f)
{
    peers_key(f, kem);
    f->out2 = room2;
}

static void a_ciphertext(struct mpkprov_frame *f)
{
    struct mpkprov_frame to;

    a_kems_key(&to);
    to.out = ciphertext;
    to.out_len = sizeof(ciphertext);
    CHECK_INT(call(OP_group_encapsulate, &to), 1);
    *f = (struct mpkprov_frame){.handle = to.handle,
                                .in = ciphertext,
                                .in_len = ciphertext_len,
                                .out = room};
}

/* ---- derivations --------------------------------------------------------- */

static struct kdf_request request;
static struct kdf_next next;

#define PIECE(string)                                                          \
    (struct kdf_piece)                                                         \
    {                                                                          \
        (const unsigned char *)(string), sizeof(string) - 1                    \
    }

/* The early secret, and a traffic secret of it. */
static void a_derivation(struct mpkprov_frame *f)
{
    request = (struct kdf_request){.which = KDF_TLS13,
                                   .mode = KDF_EXTRACT,
                                   .digest = PRF_SHA256,
                                   .prefix = PIECE("tls13 "),
                                   .label = PIECE("derived")};
    next = (struct kdf_next){.mode = KDF_EXPAND,
                             .key = {room, 32},
                             .label = PIECE("c e traffic"),
                             .data = {message, 32},
                             .out = room2,
                             .out_len = 32};
    *f = (struct mpkprov_frame){.in = &request,
                                .in_len = sizeof(request),
                                .in2 = &next,
                                .in2_len = 1,
                                .out = room,
                                .out_len = 32};
}

/* ---- the rest ------------------------------------------------------------ */

static void random_numbers(struct mpkprov_frame *f)
{
    *f = (struct mpkprov_frame){.out = room, .out_len = 64};
}

static void a_table(struct mpkprov_frame *f)
{
    *f = (struct mpkprov_frame){.type = KEY_EC,
                                .what = TABLE_GEN,
                                .out = room,
                                .out_len = sizeof(room)};
}

/* ---- rows ---------------------------------------------------------------- */

/* Pointers of a frame's pointers, besides attack_entry.h's. */
enum { DATA = 128, NEXT_KEY = 256, NEXT_OUT = 512 };

static void aim(struct mpkprov_frame *f, unsigned member, void *p)
{
    switch (member) {
    case IN:
        f->in = p;
        break;
    case IN2:
        f->in2 = p;
        break;
    case OUT:
        f->out = p;
        break;
    case OUT2:
        f->out2 = p;
        break;
    case DATA:
        params[0].data = p;
        break;
    case NEXT_KEY:
        next.key.p = p;
        break;
    case NEXT_OUT:
        next.out = p;
        break;
    }
}

/* Whether an operation that answers 1 all the same has followed a pointer. */
static bool has_tag(const struct mpkprov_frame *f)
{
    return f->out2_len == CIPHER_TAG_MAX;
}

static bool has_used_its_pair(const struct mpkprov_frame *f)
{
    return f->handle == 0;
}

static bool has_more(const struct mpkprov_frame *f)
{
    return f->handle2 == 1;
}

static bool has_table(const struct mpkprov_frame *f)
{
    return f->out != NULL;
}

/* |len| bytes go there. A refusal says |reason| and, where that is another one
 * than POINTER, |text|; without either it says nothing. */
struct pointer_row {
    uint32_t op;
    const char *name;
    void (*prepare)(struct mpkprov_frame *f);
    unsigned member;
    size_t len;
    int reason;
    const char *text;
    bool (*followed)(const struct mpkprov_frame *f);
};

#define ROW(op, prepare, member, ...)                                          \
    {                                                                          \
        OP_##op, #op ", " #prepare ": " #member, prepare, member, __VA_ARGS__  \
    }
#define BAD(op, prepare, member, len)                                          \
    ROW(op, prepare, member, len, MPKPROV_R_POINTER, NULL, NULL)
#define SAYS(op, prepare, member, len, text)                                   \
    ROW(op, prepare, member, len, MPKPROV_R_PARAMETER, text, NULL)
#define SILENT(op, prepare, member, len, followed)                             \
    ROW(op, prepare, member, len, 0, NULL, followed)

static const struct pointer_row pointers[] = {
    SAYS(cipher_init, a_key, IN, 16, "a key of this length"),
    SAYS(cipher_init, a_key, OUT, 12, "a nonce of this length"),
    BAD(cipher_init, a_held_nonce_first, IN2, sizeof(held)),
    SAYS(cipher_start, a_key_and_no_nonce, IN, 16, "a key of this length"),
    BAD(cipher_start, a_held_nonce_first, IN2, sizeof(held)),
    SAYS(cipher_set, a_nonce_to_restore, IN, 12, "not this cipher's nonce"),
    SAYS(cipher_set, a_length_to_set, DATA, 8, "cipher parameter"),
    BAD(cipher_set, a_length_to_set_after_held, IN2, sizeof(held)),
    SAYS(cipher_get, a_length_to_get, DATA, 8, "cipher parameter"),
    BAD(cipher_get, a_length_to_get_after_held, IN2, sizeof(held)),
    SILENT(cipher_get, a_nonce_to_get, OUT, 12, NULL),
    SILENT(cipher_get, a_nonce_to_make, DATA, 12, NULL),
    BAD(cipher_run, data, IN, 64),
    BAD(cipher_run, data, OUT, 64),
    BAD(cipher_run, data_in_one, IN, 64),
    BAD(cipher_run, data_in_one, OUT, 64),
    BAD(cipher_run, data_after_held, IN2, sizeof(held)),
    SILENT(cipher_run, a_final, OUT2, 16, has_tag),
    BAD(cipher_draw, data, IN, 64),
    BAD(cipher_draw, data, OUT, 64),
    BAD(cipher_draw, data_after_held, IN2, sizeof(held)),
    SILENT(cipher_draw, a_final, OUT2, 16, has_tag),
    SAYS(cipher_info, a_constant, DATA, 8, "cipher parameter"),
    BAD(group_gen, a_generation, OUT, 65),
    SILENT(group_gen, an_exchange_to_come, IN, 65, has_used_its_pair),
    SILENT(group_gen, an_exchange_to_come, OUT2, 48, has_used_its_pair),
    BAD(group_prime, a_prime, OUT, 256),
    BAD(group_check, a_curves_key, IN, 65),
    BAD(group_check, a_curves_key, OUT, 65),
    BAD(group_derive, a_curves_key, IN, 65),
    BAD(group_derive, a_curves_key, OUT, 48),
    BAD(group_derive, an_x25519_key, IN, 32),
    BAD(group_derive, an_x25519_key, OUT, 48),
    BAD(kdf_derive, a_derivation, IN, sizeof(request)),
    BAD(kdf_derive, a_derivation, OUT, 32),
    SILENT(kdf_derive, a_derivation, IN2, sizeof(next), has_more),
    SILENT(kdf_derive, a_derivation, NEXT_KEY, 32, has_more),
    SILENT(kdf_derive, a_derivation, NEXT_OUT, 32, has_more),
    BAD(rand_make, random_numbers, OUT, 64),
    SILENT(ctx_tables, a_table, OUT, sizeof(OSSL_PARAM), has_table),
};

/* The shortest that any of them has. */
static const struct pointer_row pointers_of_kem[] = {
    BAD(group_gen, a_kems_key, OUT, 800),
    BAD(group_check, a_kems_key, IN, 800),
    BAD(group_check, a_kems_key, OUT, 800),
    SILENT(group_check, a_kems_key, OUT2, 768, has_more),
    BAD(group_encapsulate, a_kems_key, IN, 800),
    BAD(group_encapsulate, a_kems_key, OUT, 768),
    BAD(group_encapsulate, a_kems_key, OUT2, 48),
    SAYS(group_decapsulate, a_ciphertext, IN, 768,
         "a ciphertext of another length"),
    BAD(group_decapsulate, a_ciphertext, OUT, 48),
};

static bool followed(const struct pointer_row *r, const struct mpkprov_frame *f,
                     int64_t ret)
{
    return ret == 1 && (r->followed == NULL || r->followed(f));
}

/* ---- the attack ---------------------------------------------------------- */

static void give(const struct pointer_row *r, const struct target *t)
{
    unsigned char before[64];
    struct mpkprov_frame f;
    int64_t ret;

    r->prepare(&f);
    snprintf(progress->at, sizeof(progress->at), "%s at %s", r->name, t->name);
    interop_subject("%s", progress->at);
    aim(&f, r->member, t->p);
    if (readable != NULL) {
        memcpy(before, readable, sizeof(before));
    }
    ret = call(r->op, &f);
    CHECK(!followed(r, &f, ret));
    CHECK_INT(f.error.reason, r->reason);
    if (r->text != NULL) {
        CHECK_STR(f.error.text, r->text);
    }
    if (readable != NULL) {
        CHECK_MEM(readable, sizeof(before), before, sizeof(before));
    }
}

/* Not null, and not eight bytes that end where the domain begins; past the last
 * address only with an end that wraps. */
static bool leads_inside(const struct pointer_row *r, const struct target *t)
{
    return t->p != NULL && t->p != (char *)room &&
           (r->len > 8 || t->p != targets[2].p) &&
           (!t->unmapped || r->len >= 16);
}

static const struct pointer_row *row;

static void every_target(void)
{
    struct mpkprov_frame f;
    int64_t ret;

    row->prepare(&f);
    snprintf(progress->at, sizeof(progress->at), "%s: good", row->name);
    interop_subject("%s", progress->at);
    ret = call(row->op, &f);
    if (ret == CIPHER_DEEP) {
        interop_skip("%s: not on this CPU, whose code keeps keys on the stack",
                     row->name);
        return;
    }
    CHECK(followed(row, &f, ret));
    for (int t = 0; t < TARGETS; t++) {
        if (leads_inside(row, &targets[t])) {
            give(row, &targets[t]);
        }
    }
}

static void test_rows(const struct pointer_row *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        row = &r[i];
        test_in_a_child(every_target);
    }
}

int main(void)
{
    if (!attack_start()) {
        return attack_finish();
    }
    find_groups();
    test_rows(pointers, sizeof(pointers) / sizeof(pointers[0]));
    if (kem >= 0) {
        test_rows(pointers_of_kem,
                  sizeof(pointers_of_kem) / sizeof(pointers_of_kem[0]));
    } else {
        interop_skip("groups of ML-KEM: the inner OpenSSL has none");
    }
    return attack_finish();
}
