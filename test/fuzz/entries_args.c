/*
 * entries_args.c - a frame for each entry: what its stub uses, as a proxy would
 * have it or nearly so, and then spoiled or not.
 */
#include "../../provider/cipher.h"
#include "../../provider/keyload.h"
#include "../../provider/rights.h"
#include "../../provider/signature.h"
#include "../../provider/tls_kdf.h"
#include "entries.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- data ---------------------------------------------------------------- */

/* |len| bytes to be read: some that an entry has given out, or any. */
static void *some_data(int i, size_t len)
{
    size_t have;
    const unsigned char *from = given(&have);
    unsigned char *at = room(i, len);

    if (len == 0) {
        return at;
    }
    memset(at, (int)pick(256), len);
    if (!one_in(4)) {
        memcpy(at, from, have < len ? have : len);
    }
    if (one_in(4)) {
        at[pick((uint32_t)len)] ^= (unsigned char)(1 + pick(255));
    }
    return at;
}

static void take_in(struct mpkprov_frame *f)
{
    size_t have;

    f->in_len = a_length();
    if (one_in(2)) {
        given(&have);
        f->in_len = have;
    }
    f->in = some_data(ROOM_IN, f->in_len);
}

static void give_out(struct mpkprov_frame *f, size_t len)
{
    f->out_len = one_in(6) ? a_length() : len;
    f->out = one_in(6) ? NULL : room(ROOM_OUT, f->out_len);
}

static void give_out2(struct mpkprov_frame *f, size_t len)
{
    f->out2_len = one_in(6) ? a_length() : len;
    f->out2 = one_in(6) ? NULL : room(ROOM_OUT2, f->out2_len);
}

/* A list of one name; |text| may be written over. */
static const OSSL_PARAM *one_text(const char *name, const char *text)
{
    OSSL_PARAM *list = room(ROOM_PARAMS, 2 * sizeof(*list));
    char *value = room(ROOM_VALUES, strlen(text) + 1);

    strcpy(value, text);
    list[0] = OSSL_PARAM_construct_utf8_string(name, value, 0);
    list[1] = (OSSL_PARAM)OSSL_PARAM_END;
    return list;
}

/* ---- derivations --------------------------------------------------------- */

static const struct {
    const char *label;
    size_t out;
} labels[] = {
    {"derived", 32},      {"c hs traffic", 32},
    {"s hs traffic", 32}, {"c ap traffic", 32},
    {"key", 16},          {"key", 32},
    {"iv", 12},           {"finished", 32},
    {"exp master", 32},   {"res master", 32},
    {"resumption", 32},   {"quic hp", 16},
    {"quic key", 16},     {"traffic upd", 32},
    {"exporter", 100},    {"", 32},
};

static const struct {
    const char *label;
    size_t out;
} labels12[] = {{"master secret", 48},   {"extended master secret", 48},
                {"key expansion", 40},   {"key expansion", 72},
                {"client finished", 12}, {"EXPORTER-x", 32}};

/* Among the names, so that there is memory behind it. */
static struct kdf_piece text_piece(const char *text)
{
    static uint32_t n;
    char *to = (char *)room(ROOM_NAMES, ROOM / 2) + n++ % 256 * 64;

    return (struct kdf_piece){(unsigned char *)strcpy(to, text), strlen(text)};
}

static struct kdf_piece a_piece(size_t len)
{
    struct kdf_piece piece = {NULL, one_in(6) ? a_length() : len};

    if (!one_in(10)) {
        piece.p =
            one_in(20) ? bad_pointer(piece.len) : some_data(ROOM_IN, piece.len);
    }
    if (one_in(40)) {
        piece.len = bad_length();
    }
    return piece;
}

static void ask_tls13(struct mpkprov_frame *f, struct kdf_request *r)
{
    uint32_t i = pick(COUNT(labels));
    size_t size = r->digest == PRF_SHA384 ? 48 : 32;

    r->mode = 1 + (int32_t)pick(2);
    r->key = a_piece(size);
    if (r->mode == KDF_EXTRACT) {
        r->salt = a_piece(size);
    }
    r->prefix = text_piece("tls13 ");
    r->label = text_piece(labels[i].label);
    if (one_in(2)) {
        r->data = a_piece(size);
    }
    give_out(f, r->mode == KDF_EXTRACT ? size : labels[i].out);
}

static void ask_tls12(struct mpkprov_frame *f, struct kdf_request *r)
{
    uint32_t i = pick(COUNT(labels12));

    r->key = a_piece(one_in(3) ? 64 : 48);
    r->n_seeds = one_in(8) ? (int32_t)pick(256) - 8 : (int32_t)pick(5);
    r->seed[0] = text_piece(labels12[i].label);
    for (int s = 1; s < KDF_SEEDS; s++) {
        r->seed[s] = a_piece(32);
    }
    give_out(f, labels12[i].out);
}

/* What follows, in a list of |n|. */
void a_follow(struct mpkprov_frame *f)
{
    size_t n = one_in(10) ? pick(12) : pick(4);
    struct kdf_next *next = room(ROOM_IN2, n * sizeof(*next));

    for (size_t k = 0; k < n; k++) {
        uint32_t i = pick(COUNT(labels));

        next[k] = (struct kdf_next){.mode = (int32_t)pick(3),
                                    .key = a_piece(32),
                                    .label = text_piece(labels[i].label),
                                    .out = room(ROOM_OUT2, 64),
                                    .out_len = labels[i].out};
        if (one_in(2)) {
            next[k].salt = a_piece(32);
            next[k].data = a_piece(32);
        }
        if (one_in(20)) {
            next[k].out = bad_pointer(next[k].out_len);
        }
        next[k].out_len = one_in(20) ? pick(65) : next[k].out_len;
        if (next[k].out_len > 64) {
            next[k].out = room(ROOM_OUT2, next[k].out_len);
        }
    }
    f->in2 = next;
    f->in2_len = n;
}

static void ask_kdf(struct mpkprov_frame *f)
{
    static struct kdf_request r;

    memset(&r, 0, sizeof(r));
    r.which = one_in(20) ? (int32_t)pick(256) : (int32_t)pick(2);
    r.digest = one_in(8) ? (int32_t)pick(6) - 1 : PRF_SHA256;
    f->type = (int32_t)pick(2);
    if (r.which == KDF_TLS13) {
        ask_tls13(f, &r);
    } else {
        ask_tls12(f, &r);
    }
    if (one_in(20)) {
        r.mode = (int32_t)pick(256) - 3;
    }
    if (one_in(2)) {
        a_follow(f);
    }
    race_asks(&r);
    f->in = &r;
    f->in_len = sizeof(r);
    if (one_in(8)) {
        f->out2_len = pick(100);
        f->out2 = room(ROOM_OUT2, f->out2_len);
    }
}

/* ---- ciphers ------------------------------------------------------------- */

static void hold(struct mpkprov_frame *f)
{
    struct cipher_held *h = room(ROOM_IN2, sizeof(*h));

    memset(h, 0, sizeof(*h));
    h->what = one_in(3) ? pick(512) : HELD_IV | HELD_AAD;
    h->encrypt = pick(2);
    h->tag_len = one_in(8) ? pick(256) : 16;
    h->aad_len = one_in(8) ? pick(256) : 13;
    h->message_len = one_in(8) ? pick64() : f->in_len;
    memset(h->iv, (int)pick(256), sizeof(h->iv));
    h->aad[9] = 3;
    h->aad[10] = 3;
    h->aad[11] = (unsigned char)(f->in_len >> 8);
    h->aad[12] = (unsigned char)f->in_len;
    f->in2 = h;
    f->in2_len = one_in(30) ? a_length() : sizeof(*h);
}

void held_of_tls12(void)
{
    struct mpkprov_frame f = {.handle = latest(CIPHER), .what = 0};
    struct cipher_held *h;

    hold(&f);
    h = room(ROOM_IN2, sizeof(*h));
    h->what = HELD_FIXED_IV | (one_in(3) ? pick(512) : 0);
    f.in2 = h;
    f.in2_len = sizeof(*h);
    do_frame(one_in(2) ? OP_cipher_run : OP_cipher_draw, &f);
}

static void ask_cipher_init(struct mpkprov_frame *f)
{
    static const uint8_t lengths[] = {16, 32, 16, 32, 12, 24, 0, 33};

    f->what = one_in(8) ? -1 : (int32_t)pick(2);
    f->in_len = lengths[pick(8)];
    f->in = one_in(6) ? NULL : some_data(ROOM_IN, f->in_len);
    if (one_in(2)) {
        f->out_len = one_in(4) ? pick(70) : 12;
        f->out = some_data(ROOM_OUT, f->out_len);
    }
    if (one_in(4)) {
        hold(f);
    }
}

static void ask_cipher(uint32_t op, struct mpkprov_frame *f)
{
    f->handle = one_in(4) ? 0 : some(CIPHER);
    f->type = one_in(30) ? (int32_t)pick(256) - 4 : (int32_t)pick(CIPHER_SLOTS);
    f->params = op == OP_cipher_get || op == OP_cipher_set || one_in(6)
                    ? a_list()
                    : NULL;
    if (op == OP_cipher_init || op == OP_cipher_start) {
        ask_cipher_init(f);
        return;
    }
    f->what = (int32_t)pick(5);
    take_in(f);
    give_out(f, f->in_len);
    if (f->out != NULL && op != OP_cipher_get) {
        /* As much is written as is read, whatever is said of room. */
        f->out = room(ROOM_OUT, f->in_len);
    }
    if (one_in(8)) {
        f->out = (void *)f->in;
    }
    give_out2(f, CIPHER_TAG_MAX);
    f->out2 = f->out2 != NULL ? room(ROOM_OUT2, CIPHER_TAG_MAX) : NULL;
    if (one_in(2)) {
        hold(f);
    }
}

struct cipher_record a_record(void)
{
    struct cipher_record r = {.handle = some(CIPHER)};

    r.len = a_length();
    r.in = one_in(12) ? bad_pointer(r.len) : some_data(ROOM_IN, r.len);
    r.out = one_in(12) ? bad_pointer(r.len) : room(ROOM_OUT, r.len);
    if (one_in(8)) {
        r.out = (void *)r.in;
    }
    r.is_tls12 = one_in(20) ? (uint8_t)pick(256) : (uint8_t)pick(2);
    r.encrypt = one_in(20) ? (uint8_t)pick(256) : (uint8_t)pick(2);
    r.tag_len = one_in(8) ? pick(256) : 16;
    memset(r.iv, (int)pick(256), sizeof(r.iv));
    r.aad[0] = 23;
    r.aad[1] = r.aad[2] = 3;
    r.aad[3] = (unsigned char)((r.len + 16) >> 8);
    r.aad[4] = (unsigned char)(r.len + 16);
    if (r.is_tls12) {
        r.aad[9] = 3;
        r.aad[10] = 3;
        r.aad[11] = (unsigned char)(r.len >> 8);
        r.aad[12] = (unsigned char)r.len;
    }
    if (one_in(30)) {
        r.len = bad_length();
    }
    return r;
}

/* ---- groups, keys, contexts ---------------------------------------------- */

/* By the type of key that an input likes. */
static uint32_t a_group(void)
{
    switch (a_key_type()) {
    case KEY_X25519:
        return 9;
    case KEY_X448:
        return 10;
    case KEY_DH:
    case KEY_DHX:
        return 11;
#if MPKPROV_HAS_3_5
    case KEY_ML_KEM_768:
        return (uint32_t)a_kem_group();
#endif
    default:
        return one_in(3) ? pick(3) : 0;
    }
}

static void ask_group(uint32_t op, struct mpkprov_frame *f, uint32_t group)
{
    static const uint16_t lengths[] = {32,   65,   97,   133,  56,   256,
                                       384,  33,   1088, 1120, 1153, 1184,
                                       1216, 1249, 1568, 1665};

    /* Not the slow ones, as a rule. */
    f->type = one_in(30)  ? (int32_t)pick(256) - 100
              : one_in(4) ? (int32_t)pick(MPKPROV_HAS_3_5 ? 24 : 12)
                          : (int32_t)group;
    f->handle = some(EPHEMERAL);
    if (op != OP_group_gen || one_in(2)) {
        take_in(f);
        if (one_in(3)) {
            f->in_len = lengths[pick(MPKPROV_HAS_3_5 ? COUNT(lengths) : 8)];
            f->in = some_data(ROOM_IN, f->in_len);
        }
    }
    f->what = (int32_t)pick(4) - 1;
    /* Of both only what goes there says how long it is. */
    f->out_len = one_in(6) ? a_length() : 4096;
    f->out = room(ROOM_OUT, 8192);
    f->out2 = one_in(6) ? NULL : room(ROOM_OUT2, 8192);
    if (one_in(4)) {
        a_follow(f);
    }
}

/* What is longer takes too long to make. */
static const OSSL_PARAM *a_short_rsa(void)
{
    OSSL_PARAM *list = room(ROOM_PARAMS, 2 * sizeof(*list));
    size_t *bits = room(ROOM_VALUES, sizeof(*bits));

    *bits = 512 + 8 * pick(32);
    list[0] = OSSL_PARAM_construct_size_t("bits", bits);
    list[1] = (OSSL_PARAM)OSSL_PARAM_END;
    return list;
}

static void ask_new_key(uint32_t op, struct mpkprov_frame *f)
{
    static const char *const curves[] = {"P-256",      "P-384",     "secp256k1",
                                         "prime239v1", "sect163k1", "SM2"};

    f->type = one_in(30)  ? (int32_t)pick(256) - 4
              : one_in(4) ? (int32_t)pick(KEY_TYPES)
                          : a_key_type();
    f->params = one_in(2) ? a_list() : one_text("group", curves[pick(6)]);
    if (op != OP_key_new && (f->type == KEY_RSA || f->type == KEY_RSA_PSS)) {
        f->params = a_short_rsa();
    }
}

static void ask_text(uint32_t op, struct mpkprov_frame *f)
{
    size_t len;
    const char *text = a_key_text(op == OP_key_seal, &len);
    char *at = room(ROOM_IN, len);

    memcpy(at, text, len);
    for (uint32_t n = one_in(3) ? pick(4) : 0; n > 0; n--) {
        at[pick((uint32_t)len)] = (char)pick(256);
    }
    f->in = at;
    f->in_len = one_in(6) ? pick((uint32_t)len) : len;
    f->what = op == OP_key_decode ? (int32_t)pick(5) : 0;
    if (op == OP_key_seal) {
        give_out(f, f->in_len);
        return;
    }
    f->in2_len = one_in(4) ? pick(16) : 4;
    f->in2 = f->in2_len != 0 ? some_data(ROOM_IN2, f->in2_len) : NULL;
    if (f->in2_len == 4) {
        memcpy((void *)f->in2, "pass", 4);
    }
}

static void ask_key(uint32_t op, struct mpkprov_frame *f)
{
    static const uint8_t selection[] = {1, 2, 3, 4, 0x80, 0x84, 0x86, 0x87};

    f->handle = some(op >= OP_gen_open && op <= OP_gen_run ? GEN : KEY);
    f->handle2 = some(KEY);
    f->what = one_in(8) ? (int32_t)pick(256) : selection[pick(8)];
    f->params = a_list();
    f->in_len = pick(2);
    give_out(f, 8192);
    switch (op) {
    case OP_key_new:
    case OP_gen_open:
        ask_new_key(op, f);
        break;
    case OP_key_import:
        f->handle = latest(KEY);
        f->params = one_in(6) ? a_list() : a_key_list();
        break;
    case OP_gen_set:
        f->params = one_in(2)   ? one_text("group", "P-256")
                    : one_in(2) ? a_short_rsa()
                                : a_list();
        break;
    case OP_key_decode:
    case OP_key_seal:
        ask_text(op, f);
        break;
    case OP_key_file:
        f->in_len = one_in(2) ? pick(20) : strlen("/dev/null");
        f->in = strcpy(room(ROOM_IN, 20), "/dev/null");
        break;
    }
}

static bool is_init(uint32_t op)
{
    return op == OP_sig_init || op == OP_enc_init || op == OP_kex_init ||
           op == OP_kem_init;
}

/* Sets of parameters, in f->in2. */
static void a_few_sets(struct mpkprov_frame *f)
{
    const OSSL_PARAM **set;

    f->in2_len = one_in(8) ? pick(8) : one_in(3) ? pick(3) : 0;
    f->in2 = set = room(ROOM_IN2, f->in2_len * sizeof(*set));
    for (size_t i = 0; i < f->in2_len; i++) {
        set[i] = a_list();
    }
}

static const char *a_digest(void)
{
    static const char *const names[] = {"SHA256", "SHA512",   "SHA1",
                                        "SHA384", "SHAKE256", "MD5-SHA1",
                                        "SM3",    ""};

    return one_in(30)  ? bad_pointer(1)
           : one_in(4) ? NULL
                       : names[one_in(3) ? pick(8) : 0];
}

static enum ctx_class class_of(uint32_t op)
{
    return op >= OP_kem_init   ? CTX_KEM
           : op >= OP_kex_init ? CTX_KEX
           : op >= OP_enc_init ? CTX_ENC
                               : CTX_SIG;
}

/* Room for the longest that the types of an input give. */
static size_t long_out(void)
{
    switch (a_key_type()) {
#if MPKPROV_HAS_3_5
    case KEY_ML_KEM_768:
        return 1088;
    case KEY_ML_DSA_44:
        return 2420;
    case KEY_SLH_DSA_SHA2_128F:
        return 17088;
#endif
    default:
        return 512;
    }
}

static void ask_ctx(uint32_t op, struct mpkprov_frame *f)
{
    f->handle = is_init(op) && !one_in(4) ? 0 : some(CTX);
    f->handle2 = one_in(6) ? some(KEY) : a_key_for(class_of(op));
    f->what = one_in(20) ? (int32_t)pick(256) - 2
              : op == OP_sig_init || op == OP_sig_make || op == OP_sig_check
                  ? (int32_t)pick(5)
                  : (int32_t)pick(2);
    f->type = (int32_t)pick(6);
    if (op == OP_sig_init && one_in(2)) {
        f->what = INIT_DIGEST_SIGN;
    }
    f->name = a_digest();
    take_in(f);
    give_out(f, long_out());
    give_out2(f, 512);
    f->params =
        op == OP_ctx_get || op == OP_ctx_set || one_in(5) ? a_list() : NULL;
    if (op == OP_sig_init || op == OP_sig_make) {
        a_few_sets(f);
        f->handle = op == OP_sig_make && one_in(3) ? 0 : f->handle;
    } else {
        f->in2_len = a_length();
        f->in2 = some_data(ROOM_IN2, f->in2_len);
    }
    if (op == OP_kem_init && !one_in(3)) {
        f->params = one_text("operation", "RSASVE");
    }
    if (op == OP_ctx_tables && one_in(3)) {
        f->what = -1;
        give_out(f, 4096);
    }
    if (op == OP_ctx_free) {
        f->what = 2 + (int32_t)pick(2);
    }
}

/* ---- frames -------------------------------------------------------------- */

static bool between(uint32_t op, uint32_t first, uint32_t last)
{
    return op >= first && op <= last;
}

struct mpkprov_frame a_frame(uint32_t op)
{
    struct mpkprov_frame f = {.handle = 0};

    if (op == OP_kdf_derive) {
        ask_kdf(&f);
    } else if (between(op, OP_group_there, OP_group_decapsulate)) {
        ask_group(op, &f, a_group());
    } else if (between(op, OP_cipher_init, OP_cipher_info) ||
               op == OP_cipher_start || op == OP_cipher_run) {
        ask_cipher(op, &f);
    } else if (between(op, OP_ctx_free, OP_kem_run)) {
        ask_ctx(op, &f);
    } else {
        ask_key(op, &f);
    }
    if (one_in(8)) {
        f.ended[pick(MPKPROV_ENDED)] = some(CTX);
        f.ended[pick(MPKPROV_ENDED)] = some(CIPHER);
    }
    return f;
}

void spoil(struct mpkprov_frame *f)
{
    const void **in[] = {&f->in, &f->in2};
    void **out[] = {&f->out, &f->out2};
    size_t *len[] = {&f->in_len, &f->in2_len, &f->out_len, &f->out2_len};
    uint32_t i = pick(2);

    switch (pick(9)) {
    case 0:
        *in[i] = bad_pointer(*len[i]);
        break;
    case 1:
        *out[i] = bad_pointer(*len[2 + i]);
        break;
    case 2:
        *len[i] = bad_length();
        break;
    case 3: /* of room there is more than will be used */
        *out[i] = room(ROOM_OUT + (int)i, ROOM);
        *len[2 + i] = bad_length();
        break;
    case 4:
        f->params = bad_pointer(sizeof(OSSL_PARAM));
        break;
    case 5:
        f->name = bad_pointer(1);
        break;
    case 6:
        f->type = (int32_t)pick64();
        break;
    case 7:
        f->what = (int32_t)pick64();
        break;
    default:
        f->handle = some((enum kind)pick(KINDS));
        f->handle2 = some((enum kind)pick(KINDS));
    }
}
