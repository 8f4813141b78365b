/*
 * entries_story.c - calls in an order that makes sense: a connection of TLS 1.3
 * or 1.2 from its key exchange to its records, a signature as libssl has it
 * made, a pre-master secret that a client sends. One of them, now and then, is
 * not what it should be. What a connection derives is computed here as well,
 * and looked for from then on.
 */
#include "../../provider/cipher.h"
#include "../../provider/signature.h"
#include "../../provider/tls_kdf.h"
#include "entries.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- what is known of a connection --------------------------------------- */

#define SIZE_MOST 48
enum { EARLY, SHAKE, MASTER, STAGES };

/* A handle, and what it stands for if that is known. */
struct secret {
    unsigned char handle[512];
    size_t handle_len;
    unsigned char clear[512];
    size_t len;
    bool known;
};

#define TRAFFIC 6
static struct {
    int32_t digest;
    size_t size;
    struct secret premaster, stage[STAGES], traffic[TRAFFIC], master12;
    uint32_t n_traffic;
    bool right; /* nothing was changed up to here */
} at;

static const EVP_MD *digest(void)
{
    return at.digest == PRF_SHA384 ? EVP_sha384() : EVP_sha256();
}

/* ---- one step ------------------------------------------------------------ */

static struct kdf_piece piece(int i, size_t offset, const void *p, size_t len)
{
    unsigned char *to = room(i, 4096);

    memcpy(to + offset, p, len);
    return (struct kdf_piece){to + offset, len};
}

/* Among the names, so that there is memory behind it. */
static struct kdf_piece text(const char *label)
{
    static uint32_t n;
    char *to = (char *)room(ROOM_NAMES, ROOM) + n++ % 512 * 64;

    return (struct kdf_piece){(unsigned char *)strcpy(to, label),
                              strlen(label)};
}

static const struct secret *any_secret(void)
{
    struct secret *all[] = {
        &at.premaster,  &at.stage[EARLY], &at.stage[SHAKE], &at.stage[MASTER],
        &at.traffic[0], &at.traffic[1],   &at.traffic[2],   &at.master12};

    return all[pick(COUNT(all))];
}

/* One thing that is not as it should be. */
static void change(struct kdf_request *r, struct mpkprov_frame *f)
{
    static const char *const labels[] = {"derived",
                                         "c hs traffic",
                                         "key",
                                         "iv",
                                         "finished",
                                         "exporter",
                                         "exp master",
                                         "quic hp",
                                         "resumption",
                                         "res master",
                                         "client in",
                                         "traffic upd",
                                         "",
                                         "key expansion",
                                         "master secret",
                                         "ech accept confirmation"};
    static const uint8_t lengths[] = {8, 12, 16, 32, 40, 48, 64, 72, 88, 104};
    const struct secret *s = any_secret();

    at.right = false;
    switch (pick(9)) {
    case 0:
        r->key = piece(ROOM_IN2, 0, s->handle, s->handle_len);
        break;
    case 1:
        r->label = text(labels[pick(COUNT(labels))]);
        r->seed[0] = r->label;
        break;
    case 2:
        r->digest = (int32_t)pick(4);
        break;
    case 3:
        r->mode = (int32_t)pick(3);
        break;
    case 4:
        f->out_len = lengths[pick(sizeof(lengths))];
        f->out = room(ROOM_OUT, f->out_len);
        break;
    case 5:
        r->salt = piece(ROOM_IN2, 1024, s->handle, s->handle_len);
        break;
    case 6:
        r->data.len = pick(65);
        break;
    case 7:
        r->which = !r->which;
        break;
    default:
        r->key.len = r->key.len > 8 ? r->key.len - pick(8) : pick(64);
    }
}

/* |out|'s handle is what comes; true if it came and nothing was changed. */
static bool ask(struct kdf_request *r, size_t len, struct secret *out)
{
    static struct kdf_request kept;
    struct mpkprov_frame f = {.in = &kept, .in_len = sizeof(kept)};

    f.out = room(ROOM_OUT, len);
    f.out_len = len;
    if (one_in(12)) {
        change(r, &f);
    }
    if (one_in(12)) {
        a_follow(&f);
        at.right = false; /* its pieces may lie where ours do */
    }
    kept = *r;
    race_asks(&kept);
    len = f.out_len;
    if (do_frame(OP_kdf_derive, &f) != 1) {
        at.right = false;
        return false;
    }
    if (out != NULL && len <= sizeof(out->handle)) {
        memcpy(out->handle, room(ROOM_OUT, len), len);
        out->handle_len = len;
    }
    return at.right;
}

static const unsigned char transcript[SIZE_MOST] = "what both have said so far";

static bool ask13(int32_t mode, const struct secret *key,
                  const struct secret *salt, const char *label, bool data,
                  size_t len, struct secret *out)
{
    struct kdf_request r = {
        .which = KDF_TLS13, .mode = mode, .digest = at.digest};

    if (key != NULL) {
        r.key = piece(ROOM_IN, 0, key->handle, key->handle_len);
    }
    if (salt != NULL) {
        r.salt = piece(ROOM_IN, 2048, salt->handle, salt->handle_len);
    }
    r.prefix = text("tls13 ");
    r.label = text(label);
    if (data) {
        r.data = piece(ROOM_IN, 3072, transcript, at.size);
    }
    return ask(&r, len, out);
}

static void learn(struct secret *s, size_t len, bool known, const char *name)
{
    s->len = len;
    s->known = known;
    if (known) {
        oracle_add(s->clear, len, name);
        /* It is known after the call only. */
        oracle_look(room(ROOM_OUT, 8192), 8192, "at out");
        oracle_look(room(ROOM_OUT2, 8192), 8192, "at out2");
    }
}

/* ---- TLS 1.3 ------------------------------------------------------------- */

static void stage(int i, const struct secret *key)
{
    unsigned char salt[SIZE_MOST] = {0};
    struct secret *s = &at.stage[i], *before = i != EARLY ? s - 1 : NULL;
    unsigned char nothing[SIZE_MOST];
    bool known;

    known = ask13(KDF_EXTRACT, key, before, "derived", false, at.size, s);
    if (before != NULL) {
        EVP_Digest("", 0, nothing, NULL, digest(), NULL);
        own_expand(digest(), before->clear, "derived", nothing, at.size, salt,
                   at.size);
    }
    own_extract(digest(), salt, before != NULL ? at.size : 0,
                key != NULL ? key->clear : NULL, key != NULL ? key->len : 0,
                s->clear);
    /* Of no key the first is known to all. */
    if (before != NULL || key != NULL) {
        learn(s, at.size,
              known && (before == NULL || before->known) &&
                  (key == NULL || key->known),
              "a stage of TLS 1.3");
    } else {
        s->known = known;
    }
}

static struct secret *traffic(const struct secret *from, const char *label)
{
    struct secret *s = &at.traffic[at.n_traffic++ % TRAFFIC];
    bool known = ask13(KDF_EXPAND, from, NULL, label, true, at.size, s);

    own_expand(digest(), from->clear, label, transcript, at.size, s->clear,
               at.size);
    learn(s, at.size, known && from->known, "a traffic secret");
    return s;
}

static void update(struct secret *s)
{
    unsigned char next[SIZE_MOST];
    bool known = ask13(KDF_EXPAND, s, NULL, "traffic upd", false, at.size, s);

    own_expand(digest(), s->clear, "traffic upd", NULL, 0, next, at.size);
    memcpy(s->clear, next, at.size);
    learn(s, at.size, known && s->known, "a traffic secret, updated");
}

static void try_init(const struct secret *key, int32_t slot)
{
    struct mpkprov_frame f = {.type = slot, .what = (int32_t)pick(2)};
    unsigned char *to = room(ROOM_IN, key->handle_len);

    memcpy(to, key->handle, key->handle_len);
    f.in = to;
    f.in_len = key->handle_len;
    f.handle = one_in(4) ? latest(CIPHER) : 0;
    do_frame(one_in(3) ? OP_cipher_init : OP_cipher_start, &f);
}

static void records(void)
{
    for (uint32_t n = pick(4); n > 0; n--) {
        do_record(one_in(2) ? OP_cipher_record : OP_cipher_record_deep);
    }
}

/* A leaf, which is in the clear: whether we know what there is to know. */
static void leaf(const struct secret *s, const char *label, size_t len)
{
    unsigned char due[SIZE_MOST];
    bool known = ask13(KDF_EXPAND, s, NULL, label, false, len, NULL);

    own_expand(digest(), s->clear, label, NULL, 0, due, len);
    if (known && s->known && !race_wanted() &&
        memcmp(room(ROOM_OUT, len), due, len) != 0) {
        __builtin_trap();
    }
}

static void keys_of(const struct secret *s, bool quic)
{
    static const uint8_t slots[] = {CIPHER_aes_256_gcm, CIPHER_aes_128_gcm,
                                    CIPHER_aes_256_ccm, CIPHER_aes_128_ccm, 6};
    int32_t slot = slots[pick(sizeof(slots))];
    size_t len =
        slot == CIPHER_aes_128_gcm || slot == CIPHER_aes_128_ccm ? 16 : 32;
    const char *label = quic ? "quic key" : "key";
    struct secret key = {.len = 0};
    bool known = ask13(KDF_EXPAND, s, NULL, label, false, len, &key);

    own_expand(digest(), s->clear, label, NULL, 0, key.clear, len);
    learn(&key, len, known && s->known, "the key of a record");
    leaf(s, quic ? "quic iv" : "iv", 12);
    if (key.handle_len != 0) {
        try_init(&key, slot);
        if (one_in(3)) {
            try_init(&key, slot);
        }
        records();
    }
}

static void tls13(void)
{
    bool quic = one_in(4);
    struct secret *s, export = {.len = 0};

    stage(EARLY, NULL);
    stage(SHAKE, &at.premaster);
    s = traffic(&at.stage[SHAKE], "c hs traffic");
    keys_of(s, quic);
    leaf(s, "finished", at.size);
    keys_of(traffic(&at.stage[SHAKE], "s hs traffic"), quic);
    stage(MASTER, NULL);
    s = traffic(&at.stage[MASTER], one_in(2) ? "c ap traffic" : "s ap traffic");
    keys_of(s, quic);
    update(s);
    keys_of(s, quic);
    s = traffic(&at.stage[MASTER], "exp master");
    if (ask13(KDF_EXPAND, s, NULL, "some label", true, at.size, &export)) {
        own_expand(digest(), s->clear, "some label", transcript, at.size,
                   export.clear, at.size);
        learn(&export, at.size, s->known, "an exporter's secret");
        ask13(KDF_EXPAND, &export, NULL, "exporter", true, 1 + pick(100), NULL);
    }
    s = traffic(&at.stage[MASTER], "res master");
    ask13(KDF_EXPAND, s, NULL, "resumption", true, at.size, &at.premaster);
    /* A session that goes on: the PSK in place of nothing. */
    own_expand(digest(), s->clear, "resumption", transcript, at.size,
               at.premaster.clear, at.size);
    learn(&at.premaster, at.size, at.right && s->known, "a PSK");
    stage(EARLY, &at.premaster);
    traffic(&at.stage[EARLY], one_in(2) ? "res binder" : "c e traffic");
}

/* ---- TLS 1.2 ------------------------------------------------------------- */

static bool ask12(const struct secret *key, const char *label, size_t data,
                  size_t len, struct secret *out)
{
    struct kdf_request r = {
        .which = KDF_TLS1, .digest = at.digest, .n_seeds = 3};
    unsigned char seed[64];

    memset(seed, 'r', sizeof(seed));
    r.key = piece(ROOM_IN, 0, key->handle, key->handle_len);
    r.seed[0] = text(label);
    r.seed[1] = piece(ROOM_IN, 2048, seed, data / 2);
    r.seed[2] = piece(ROOM_IN, 3072, seed, data - data / 2);
    r.label = r.seed[0];
    r.data = r.seed[1];
    return ask(&r, len, out);
}

static void tls12(void)
{
    static const struct {
        uint8_t len, key, slot;
        bool longer;
    } blocks[] = {{40, 16, CIPHER_aes_128_gcm, false},
                  {72, 32, CIPHER_aes_256_gcm, true},
                  {88, 32, 6, false},
                  {72, 32, CIPHER_aes_256_ccm, false},
                  {40, 16, CIPHER_aes_128_ccm, false}};
    uint32_t b = pick(COUNT(blocks));
    struct secret *m = &at.master12, block = {.len = 0}, key = {.len = 0};
    unsigned char seed[64], raw[128];
    bool known;

    at.digest = blocks[b].longer ? PRF_SHA384 : PRF_SHA256;
    at.size = blocks[b].longer ? 48 : 32;
    memset(seed, 'r', sizeof(seed));
    if (one_in(2)) {
        known = ask12(&at.premaster, "master secret", 64, 48, m);
        own_prf(digest(), at.premaster.clear, at.premaster.len, "master secret",
                seed, 64, m->clear, 48);
    } else {
        known = ask12(&at.premaster, "extended master secret", at.size, 48, m);
        own_prf(digest(), at.premaster.clear, at.premaster.len,
                "extended master secret", seed, at.size, m->clear, 48);
    }
    learn(m, 48, known && at.premaster.known, "a master secret of TLS 1.2");
    known = ask12(m, "key expansion", 64, blocks[b].len, &block);
    own_prf(digest(), m->clear, 48, "key expansion", seed, 64, raw,
            blocks[b].len);
    if (known && m->known) {
        oracle_add(raw, 2 * (size_t)blocks[b].key, "a key of TLS 1.2");
    }
    for (size_t i = 0; i < 2 && block.handle_len >= blocks[b].len; i++) {
        key.handle_len = blocks[b].key;
        memcpy(key.handle, block.handle + i * blocks[b].key, blocks[b].key);
        try_init(&key, blocks[b].slot);
        held_of_tls12();
        records();
    }
    ask12(m, one_in(2) ? "client finished" : "server finished", at.size, 12,
          NULL);
    ask12(m, "EXPORTER-x", 65, 1 + pick(100), NULL);
}

/* ---- key exchange -------------------------------------------------------- */

/* The module's public key is at ROOM_OUT, the secret's handle at ROOM_OUT2. */
static void learn_premaster(const struct own *o, const unsigned char *public)
{
    struct secret *s = &at.premaster;
    size_t len = own_exchange(o, public, s->clear, sizeof(s->clear));

    s->handle_len = o->secret_len + 16;
    memcpy(s->handle, room(ROOM_OUT2, 8192), s->handle_len);
    learn(s, len, len == o->secret_len, "what a key exchange gave");
}

/* Its secret's handle is at |handle|; what it is was computed here. */
static bool learn_kem(const struct own *o, const void *handle, size_t len)
{
    struct secret *s = &at.premaster;

    s->handle_len = o->secret_len + 16;
    memcpy(s->handle, handle, s->handle_len);
    learn(s, len, len == o->secret_len, "what a KEM gave");
    return s->known;
}

/* The module's key is encapsulated for, as a server does. */
static bool kem_to_module(const struct own *o)
{
    unsigned char *to = room(ROOM_IN, o->ciphertext_len);
    struct mpkprov_frame f = {
        .type = o->number, .out = room(ROOM_OUT, 8192), .out_len = 8192};
    size_t len;

    if (do_frame(OP_group_gen, &f) != 1) {
        return false;
    }
    len = own_encapsulate(o, room(ROOM_OUT, 8192), to, at.premaster.clear,
                          o->secret_len);
    f = (struct mpkprov_frame){.handle = f.handle,
                               .type = o->number,
                               .in = to,
                               .in_len = o->ciphertext_len,
                               .out = room(ROOM_OUT, 8192),
                               .out_len = 8192};
    if (one_in(6)) {
        a_follow(&f);
        at.right = false;
    }
    return do_frame(OP_group_decapsulate, &f) == 1 &&
           learn_kem(o, room(ROOM_OUT, 8192), len);
}

/* The module encapsulates for ours, at once or when it is asked to. */
static bool kem_by_module(const struct own *o)
{
    unsigned char *to = room(ROOM_IN, o->public_len);
    unsigned char *handle = room(ROOM_OUT2, 8192);
    const unsigned char *ciphertext = handle + o->secret_len + 16;
    struct mpkprov_frame f = {.type = o->number,
                              .in = to,
                              .in_len = o->public_len,
                              .out = room(ROOM_OUT, 8192),
                              .out_len = 8192,
                              .out2 = handle};
    bool at_once = one_in(2);

    memcpy(to, o->public, o->public_len);
    if (do_frame(at_once ? OP_group_check : OP_group_encapsulate, &f) != 1 ||
        (at_once && f.handle2 != 1)) {
        return false;
    }
    return learn_kem(
        o, handle,
        own_decapsulate(o, at_once ? ciphertext : room(ROOM_OUT, 8192),
                        at.premaster.clear, o->secret_len));
}

static bool key_exchange(const struct own *o)
{
    unsigned char public[512];
    struct mpkprov_frame f = {.type = o->number,
                              .out = room(ROOM_OUT, 8192),
                              .out_len = 8192,
                              .out2 = room(ROOM_OUT2, 8192)};
    unsigned char *to = room(ROOM_IN, o->public_len);
    bool at_once = one_in(2);

    if (o->ciphertext_len != 0) {
        return at_once ? kem_by_module(o) : kem_to_module(o);
    }
    memcpy(to, o->public, o->public_len);
    if (at_once) {
        f.in = to;
        f.in_len = o->public_len;
    }
    if (do_frame(OP_group_gen, &f) != 1) {
        return false;
    }
    memcpy(public, room(ROOM_OUT, 8192), o->public_len);
    if (!at_once) {
        uint64_t handle = f.handle;

        f = (struct mpkprov_frame){.handle = handle,
                                   .type = o->number,
                                   .in = to,
                                   .in_len = o->public_len,
                                   .out = room(ROOM_OUT2, 8192),
                                   .out_len = 8192};
        if (one_in(6)) {
            a_follow(&f);
            at.right = false;
        }
        if (do_frame(OP_group_derive, &f) != 1) {
            return false;
        }
    }
    learn_premaster(o, public);
    return at.premaster.known;
}

/* Beside a pre-shared key the secret stands between lengths (RFC 4279 2). */
static void compose(struct secret *s)
{
    size_t n = one_in(3) ? pick(300) : s->handle_len;
    unsigned char whole[512] = {(unsigned char)(n >> 8), (unsigned char)n};

    if (n == s->handle_len) {
        memcpy(whole + 2, s->handle, n);
    }
    whole[n + 3] = 16;
    memset(whole + n + 4, 'k', 16);
    s->known = false;
    s->handle_len = n + 20;
    memcpy(s->handle, whole, n + 20);
}

static void connection(void)
{
    const struct own *o = own_pick();

    memset(&at, 0, sizeof(at));
    at.right = true;
    at.digest = one_in(3) ? PRF_SHA384 : PRF_SHA256;
    at.size = at.digest == PRF_SHA384 ? 48 : 32;
    if (!key_exchange(o)) {
        return;
    }
    if (one_in(3)) {
        if (one_in(3)) {
            compose(&at.premaster);
        }
        tls12();
    } else {
        tls13();
    }
}

/* ---- what a client sends to an RSA key ----------------------------------- */

/* What a client sends to an RSA key, and what libssl makes of it; perhaps it is
 * nothing that a client would send. */
static void rsa_premaster(void)
{
    struct mpkprov_frame f = {.handle2 = a_key_for(CTX_ENC), .what = 0};
    OSSL_PARAM *list = room(ROOM_PARAMS, 4 * sizeof(*list));
    unsigned *version = room(ROOM_VALUES, sizeof(*version));
    int *padding = room(ROOM_VALUES + 1, sizeof(*padding));
    unsigned char *message = room(ROOM_IN, 48);
    uint64_t key = f.handle2;

    *version = one_in(4) ? pick(1024) : 0x303;
    *padding = RSA_PKCS1_PADDING;
    list[0] = OSSL_PARAM_construct_int("pad-mode", padding);
    list[1] = (OSSL_PARAM)OSSL_PARAM_END;
    f.params = list;
    do_frame(OP_enc_init, &f);
    memset(message, 'p', 48);
    message[0] = 3;
    message[1] = 3;
    f = (struct mpkprov_frame){.handle = f.handle,
                               .in = message,
                               .in_len = one_in(8) ? pick(49) : 48,
                               .out = room(ROOM_OUT, 256),
                               .out_len = 256};
    if (do_frame(OP_enc_run, &f) != 1) {
        return;
    }
    memcpy(room(ROOM_IN, 256), room(ROOM_OUT, 256), 256);
    *padding = RSA_PKCS1_WITH_TLS_PADDING;
    list[1] = OSSL_PARAM_construct_uint("tls-client-version", version);
    list[2] = (OSSL_PARAM)OSSL_PARAM_END;
    if (one_in(3)) {
        unsigned *other = room(ROOM_VALUES + 2, sizeof(*other));

        *other = 0x300 + pick(5);
        list[2] = OSSL_PARAM_construct_uint("tls-negotiated-version", other);
        list[3] = (OSSL_PARAM)OSSL_PARAM_END;
    }
    f = (struct mpkprov_frame){.handle2 = key, .what = 1, .params = list};
    do_frame(OP_enc_init, &f);
    f = (struct mpkprov_frame){.handle = f.handle,
                               .in = room(ROOM_IN, 256),
                               .in_len = 256,
                               .out_len = one_in(8) ? pick(64) : 48};
    f.out = room(ROOM_OUT, f.out_len);
    memset(&at, 0, sizeof(at));
    at.right = true;
    if (do_frame(OP_enc_run, &f) == 1 && f.out_len == 48) {
        at.premaster.handle_len = 48;
        memcpy(at.premaster.handle, room(ROOM_OUT, 48), 48);
        memset(at.premaster.clear, 'p', 48);
        at.premaster.len = 48;
        tls12();
    }
}

void story(void)
{
    uint32_t which = pick(7);

    if (MPKPROV_HAS_3_5 && one_in(3)) {
        story_of_kem();
        return;
    }
    if (which < STORIES_OF_KEYS) {
        story_of_keys(which);
    } else if (which == 6) {
        rsa_premaster();
    } else {
        connection();
    }
}
