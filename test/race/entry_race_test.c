/*
 * Eight threads call every entry of the gate at random, on handles that they
 * share, with arguments that are right, nearly right, or anything, while the
 * bytes that these point to change. Nothing may be read or written that the
 * entry has no business with: the module's heap is fenced (fence.c), and what
 * an entry is told of room ends at a page that faults. For backend none.
 *
 * For two seconds, or $MPK_TEST_SECONDS. A crash is the failure. Seen to fail
 * within twenty seconds: is_over of handle.c without the count of users;
 * contexts that are used though their init has failed, for keys without
 * numbers; parameters without a value.
 */
#include "../interop/interop.h"
#include "../interop/keys.h"

/* The tests and the provider have a type of this name each. */
#define key_type prov_key_type
#include "../../mpkcore/sanitize.h"
#include "../../provider/cipher.h"
#include "../../provider/ops.h"
#include "../../provider/tls_kdf.h"
#undef key_type
#include "../attack/module.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define KEPT 24 /* handles of a kind that threads share */
#define ROOM 65536

static int64_t (*call)(uint32_t op, void *frame);

/* ---- chance -------------------------------------------------------------- */

static __thread uint64_t state;

static uint32_t below(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 16) % n);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

/* ---- what is shared ------------------------------------------------------ */

enum kind { KEY, CTX, GEN, EPHEMERAL, CIPHER, KINDS };

static _Atomic uint64_t kept[KINDS][KEPT];
static unsigned char shared[2 * ROOM]; /* input, which all write to */
static char *text[2];
static const char *path;

static uint64_t some(enum kind kind)
{
    if (one_in(30)) {
        kind = (enum kind)below(KINDS);
    }
    if (one_in(100)) {
        return one_in(2) ? state : kept[kind][below(KEPT)] + (1ULL << 32);
    }
    return kept[kind][below(KEPT)];
}

static void keep(enum kind kind, uint64_t handle)
{
    if (handle != 0) {
        kept[kind][below(KEPT)] = handle;
    }
}

/* ---- room that ends at a page that faults -------------------------------- */

struct thread {
    char *page[3]; /* behind ROOM bytes each */
    struct kdf_request kdf;
    struct kdf_next next[KDF_NEXT_MAX];
    struct cipher_held held;
    OSSL_PARAM params[6];
    unsigned char value[6][256];
    unsigned long calls, good;
};

static void *room(struct thread *t, int i, size_t len)
{
    return t->page[i] - (len < ROOM ? len : ROOM);
}

static void make_rooms(struct thread *t)
{
    for (int i = 0; i < 3; i++) {
        char *p = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        t->page[i] = p + ROOM;
        mprotect(t->page[i], 4096, PROT_NONE);
    }
}

/* ---- arguments ----------------------------------------------------------- */

static const char *const names[] = {"SHA256", "SHA1",     "SHA512", "MD5",
                                    "SHA384", "SHAKE256", "",       "nonsense"};

static const char *a_name(void)
{
    return names[below(one_in(4) ? 8 : 1)];
}

static const struct {
    const char *name;
    unsigned type; /* of its value */
} known[] = {
    {"digest", OSSL_PARAM_UTF8_STRING},
    {"mgf1-digest", OSSL_PARAM_UTF8_STRING},
    {"pad-mode", OSSL_PARAM_UTF8_STRING},
    {"pad-mode", OSSL_PARAM_INTEGER},
    {"saltlen", OSSL_PARAM_INTEGER},
    {"group", OSSL_PARAM_UTF8_STRING},
    {"operation", OSSL_PARAM_UTF8_STRING},
    {"pad", OSSL_PARAM_UNSIGNED_INTEGER},
    {"kdf-type", OSSL_PARAM_UTF8_STRING},
    {"kdf-digest", OSSL_PARAM_UTF8_STRING},
    {"kdf-outlen", OSSL_PARAM_UNSIGNED_INTEGER},
    {"kdf-ukm", OSSL_PARAM_OCTET_STRING},
    {"encoded-pub-key", OSSL_PARAM_OCTET_STRING},
    {"pub", OSSL_PARAM_OCTET_STRING},
    {"priv", OSSL_PARAM_OCTET_STRING},
    {"bits", OSSL_PARAM_INTEGER},
    {"max-size", OSSL_PARAM_INTEGER},
    {"algorithm-id", OSSL_PARAM_OCTET_PTR},
    {"algorithm-id", OSSL_PARAM_OCTET_STRING},
    {"tls-client-version", OSSL_PARAM_UNSIGNED_INTEGER},
    {"tls-negotiated-version", OSSL_PARAM_UNSIGNED_INTEGER},
    {"oaep-label", OSSL_PARAM_OCTET_PTR},
    {"oaep-label", OSSL_PARAM_OCTET_STRING},
    {"ivlen", OSSL_PARAM_UNSIGNED_INTEGER},
    {"keylen", OSSL_PARAM_UNSIGNED_INTEGER},
    {"taglen", OSSL_PARAM_UNSIGNED_INTEGER},
    {"tag", OSSL_PARAM_OCTET_STRING},
    {"tlsaad", OSSL_PARAM_OCTET_STRING},
    {"tlsivfixed", OSSL_PARAM_OCTET_STRING},
    {"tlsivgen", OSSL_PARAM_OCTET_STRING},
    {"tlsivinv", OSSL_PARAM_OCTET_STRING},
    {"iv", OSSL_PARAM_OCTET_STRING},
    {"iv", OSSL_PARAM_OCTET_PTR},
    {"updated-iv", OSSL_PARAM_OCTET_STRING},
    {"use-cofactor-flag", OSSL_PARAM_INTEGER},
    {"n", OSSL_PARAM_UNSIGNED_INTEGER},
    {"e", OSSL_PARAM_UNSIGNED_INTEGER},
    {"p", OSSL_PARAM_UNSIGNED_INTEGER},
    {"order", OSSL_PARAM_UNSIGNED_INTEGER},
};

static const char *const values[] = {
    "SHA256", "SHA1",   "oaep",      "none",       "pkcs1",
    "x931",   "pss",    "RSASVE",    "X963KDF",    "P-256",
    "P-384",  "digest", "secp256k1", "prime239v1", "ffdhe2048"};

/* What a peer may send: any of these lengths is right for one group. */
static unsigned char points[6][2048];

static const size_t sizes[] = {0,  1,  4,  5,  8,  12, 13, 15, 16,
                               17, 20, 32, 33, 48, 56, 64, 65, 133};

static OSSL_PARAM a_param(struct thread *t, int i)
{
    size_t k = below(sizeof(known) / sizeof(known[0]));
    OSSL_PARAM p = {known[k].name, known[k].type, t->value[i], 0, 0};
    const char *s;

    switch (p.data_type) {
    case OSSL_PARAM_UTF8_STRING:
        s = values[below(sizeof(values) / sizeof(values[0]))];
        p.data_size = strlen(s);
        memcpy(p.data, s, p.data_size + 1);
        break;
    case OSSL_PARAM_INTEGER:
    case OSSL_PARAM_UNSIGNED_INTEGER:
        p.data_size = one_in(8) ? 1 + below(40) : 4 + 4 * below(2);
        memset(p.data, 0, 64);
        ((unsigned char *)
             p.data)[below(one_in(4) ? (uint32_t)p.data_size : 1)] =
            (unsigned char)below(64);
        break;
    case OSSL_PARAM_OCTET_PTR:
        p.data_size = sizes[below(18)];
        break;
    default:
        p.data_size = sizes[below(18)];
        if (one_in(3)) {
            ((unsigned char *)p.data)[0] = 4;
        }
    }
    if (one_in(20)) {
        p.data = NULL;
    }
    return p;
}

static const OSSL_PARAM *a_list(struct thread *t)
{
    int n = (int)below(one_in(4) ? 5 : 2);

    for (int i = 0; i < n; i++) {
        t->params[i] = a_param(t, i);
    }
    t->params[n] = (OSSL_PARAM)OSSL_PARAM_END;
    return one_in(6) ? NULL : t->params;
}

static const OSSL_PARAM *a_group(struct thread *t, const char *name)
{
    /* Some entries write there. */
    strcpy((char *)t->value[0], name);
    t->params[0] =
        OSSL_PARAM_construct_utf8_string("group", (char *)t->value[0], 0);
    t->params[1] = (OSSL_PARAM)OSSL_PARAM_END;
    return t->params;
}

static size_t a_length(void)
{
    return one_in(10) ? below(ROOM) : sizes[below(18)];
}

/* ---- operations ---------------------------------------------------------- */

static const struct {
    const char *label;
    size_t len;
    size_t out;
} labels[] = {
    {"derived", 7, 32},     {"c hs traffic", 12, 32}, {"key", 3, 16},
    {"iv", 2, 12},          {"finished", 8, 32},      {"exp master", 10, 32},
    {"res master", 10, 32}, {"resumption", 10, 32},   {"client in", 9, 32},
    {"quic hp", 7, 16},     {"exporter", 8, 100},     {"any", 3, 32},
};

static struct kdf_piece a_piece(size_t len)
{
    return (struct kdf_piece){one_in(10) ? NULL : shared + below(ROOM / 2),
                              one_in(12) ? a_length() : len};
}

static void ask_kdf(struct thread *t, struct mpkprov_frame *f)
{
    struct kdf_request *r = &t->kdf;
    size_t i = below(12);

    memset(r, 0, sizeof(*r));
    r->which = one_in(3) ? KDF_TLS1 : KDF_TLS13;
    r->digest = one_in(8) ? (int32_t)below(4) : PRF_SHA256;
    f->in = r;
    f->in_len = sizeof(*r);
    f->type = (int32_t)below(2);
    if (r->which == KDF_TLS13) {
        r->mode = one_in(3) ? KDF_EXTRACT : KDF_EXPAND;
        r->key = a_piece(32);
        r->prefix = (struct kdf_piece){(const unsigned char *)"tls13 ", 6};
        r->label = (struct kdf_piece){(const unsigned char *)labels[i].label,
                                      labels[i].len};
        r->data = a_piece(one_in(2) ? 0 : 32);
        if (r->mode == KDF_EXTRACT) {
            r->salt = a_piece(32);
            r->data.p = NULL;
        }
        f->out_len = one_in(10) ? a_length() : labels[i].out;
    } else {
        r->mode = KDF_NO_MODE;
        r->key = a_piece(one_in(3) ? 64 : 48);
        r->n_seeds = (int32_t)below(6);
        r->seed[0] = (struct kdf_piece){
            (const unsigned char *)(one_in(2) ? "key expansion"
                                              : "master secret"),
            13};
        for (int s = 1; s < KDF_SEEDS; s++) {
            r->seed[s] = a_piece(32);
        }
        f->out_len = one_in(3) ? 48 : 40;
    }
    f->out = room(t, 0, f->out_len);
    f->in2_len = below(KDF_NEXT_MAX + 1);
    f->in2 = t->next;
    for (size_t n = 0; n < f->in2_len; n++) {
        i = below(12);
        t->next[n] = (struct kdf_next){
            .mode = one_in(4) ? KDF_EXTRACT : KDF_EXPAND,
            .key = a_piece(32),
            .label = {(const unsigned char *)labels[i].label, labels[i].len},
            .data = {NULL, 0},
            .out = room(t, 1, 64),
            .out_len = labels[i].out};
    }
}

static void hold(struct thread *t, struct mpkprov_frame *f)
{
    struct cipher_held *h = &t->held;

    memset(h, 0, sizeof(*h));
    h->what = one_in(4) ? below(512) : HELD_IV | HELD_AAD;
    h->encrypt = below(2);
    h->tag_len = one_in(8) ? below(40) : 16;
    h->aad_len = one_in(8) ? below(80) : 13;
    h->message_len = f->in_len;
    f->in2 = h;
    f->in2_len = one_in(30) ? a_length() : sizeof(*h);
}

static void ask_cipher(struct thread *t, uint32_t op, struct mpkprov_frame *f)
{
    f->handle = one_in(5) ? 0 : some(CIPHER);
    f->type = (int32_t)below(one_in(20) ? 20 : CIPHER_SLOTS);
    if (op == OP_cipher_init || op == OP_cipher_start) {
        f->what = one_in(8) ? -1 : (int32_t)below(2);
        f->in = one_in(8) ? NULL : shared;
        f->in_len = one_in(10) ? a_length() : 16 + 16 * below(2);
        f->out = NULL;
        if (one_in(2)) {
            f->out = shared + 64;
            f->out_len = one_in(8) ? a_length() : 12;
        }
        f->in2 = NULL;
        if (one_in(8)) {
            hold(t, f);
        }
        return;
    }
    f->in2 = NULL;
    f->what = (int32_t)below(one_in(30) ? 9 : 5);
    f->in_len = a_length();
    f->in = one_in(8) ? room(t, 0, f->in_len) : shared;
    f->out = one_in(8) ? NULL : room(t, 0, f->in_len);
    f->out_len = f->in_len;
    f->out2 = room(t, 1, CIPHER_TAG_MAX);
    f->out2_len = CIPHER_TAG_MAX;
    if (op == OP_cipher_get) {
        f->out = room(t, 0, 4096);
        f->out_len = 4096;
    }
    if (one_in(2)) {
        hold(t, f);
    }
}

static struct cipher_record ask_record(struct thread *t)
{
    struct cipher_record r = {.handle = some(CIPHER)};

    r.len = a_length();
    r.in = one_in(8) ? NULL : one_in(8) ? room(t, 0, r.len) : shared;
    r.out = one_in(8) ? NULL : room(t, 0, r.len);
    r.is_tls12 = below(3);
    r.encrypt = below(3);
    r.tag_len = one_in(8) ? below(40) : 16;
    memcpy(r.iv, shared, sizeof(r.iv));
    memcpy(r.tag, shared, sizeof(r.tag));
    memcpy(r.aad, shared, sizeof(r.aad));
    r.aad[11] = one_in(4) ? r.aad[11] : (unsigned char)(r.len >> 8);
    r.aad[12] = one_in(4) ? r.aad[12] : (unsigned char)r.len;
    return r;
}

static void ask_group(struct thread *t, uint32_t op, struct mpkprov_frame *f)
{
    static const size_t public_len[] = {32, 65, 97, 133, 56, 256};
    uint32_t n = below(6);

    /* Not the slow ones. */
    f->type = (int32_t)below(one_in(50) ? 40 : 5);
    f->handle = some(EPHEMERAL);
    f->in = one_in(4) ? shared : points[n];
    f->in_len = public_len[n];
    f->out = room(t, 0, 2048);
    f->out_len = 2048;
    f->out2 = room(t, 1, 2048);
    f->out2_len = 2048;
    if (op == OP_group_gen && one_in(2)) {
        f->in = NULL;
    }
    f->what = (int32_t)below(3);
}

static void ask_key(struct thread *t, uint32_t op, struct mpkprov_frame *f)
{
    static const char *const curves[] = {"P-256", "P-256", "P-384", "secp256k1",
                                         "ffdhe2048"};
    static const int selection[] = {1, 2, 3, 0x84, 0x86, 0x87, 0xff};

    f->what = selection[below(7)];
    f->handle = some(op >= OP_gen_open && op <= OP_gen_run ? GEN : KEY);
    f->handle2 = some(KEY);
    f->type = (int32_t)below(one_in(20) ? 12 : KEY_TYPES);
    f->params = one_in(2) ? a_list(t) : a_group(t, curves[below(5)]);
    f->in_len = a_length();
    switch (op) {
    case OP_key_new:
    case OP_gen_open:
        /* Making keys of these takes too long. */
        while (f->type == KEY_RSA || f->type == KEY_RSA_PSS ||
               f->type == KEY_DSA || f->type == KEY_DHX) {
            f->type = (int32_t)below(KEY_TYPES);
        }
        if (f->type == KEY_DH) {
            f->params = a_group(t, "ffdhe2048");
        }
        break;
    case OP_gen_set:
        f->params = a_group(t, curves[below(5)]);
        break;
    case OP_key_decode:
        f->what = 1;
        f->in = text[below(2)];
        f->in_len = strlen(f->in) - (one_in(6) ? below(100) : 0);
        break;
    case OP_key_file:
        f->in = path;
        f->in_len = strlen(path);
        break;
    case OP_key_seal:
        f->in = text[below(2)];
        f->in_len = strlen(f->in);
        f->out = room(t, 0, 4096);
        f->out_len = 4096;
        break;
    case OP_ctx_free:
        f->what = 2 + (int32_t)below(2);
        break;
    }
}

static void ask_ctx(struct thread *t, uint32_t op, struct mpkprov_frame *f)
{
    f->handle = some(CTX);
    f->handle2 = some(KEY);
    if ((op == OP_sig_init || op == OP_enc_init || op == OP_kex_init ||
         op == OP_kem_init) &&
        !one_in(4)) {
        f->handle = 0;
    }
    if (op == OP_enc_init || op == OP_kem_init || op == OP_kex_init) {
        f->what = (int32_t)below(one_in(20) ? 3 : 2);
    } else {
        f->what = (int32_t)below(5);
    }
    f->type = (int32_t)below(6);
    f->name = one_in(4) ? NULL : a_name();
    f->params = one_in(4) ? a_list(t) : NULL;
    f->in2_len = op == OP_sig_check ? a_length() : 0;
    f->in_len = one_in(3) ? 256 : a_length();
    if (op == OP_kem_init && one_in(2)) {
        strcpy((char *)t->value[0], "RSASVE");
        t->params[0] = OSSL_PARAM_construct_utf8_string("operation",
                                                        (char *)t->value[0], 0);
        t->params[1] = (OSSL_PARAM)OSSL_PARAM_END;
        f->params = t->params;
    }
    if (op == OP_ctx_get) {
        f->out_len = 4096;
        f->out = room(t, 0, 4096);
    }
}

static bool between(uint32_t op, uint32_t first, uint32_t last)
{
    return op >= first && op <= last;
}

static struct mpkprov_frame ask(struct thread *t, uint32_t op)
{
    struct mpkprov_frame f = {.in = shared, .in2 = shared + 512};

    f.out_len = one_in(3) ? a_length() : 512;
    f.out = one_in(12) ? NULL : room(t, 0, f.out_len);
    f.out2_len = one_in(3) ? a_length() : 512;
    f.out2 = one_in(12) ? NULL : room(t, 1, f.out2_len);
    if (one_in(4)) {
        f.ended[below(MPKPROV_ENDED)] = some(CTX);
        f.ended[below(MPKPROV_ENDED)] = some(CIPHER);
    }
    f.params = NULL;
    if (op == OP_kdf_derive) {
        ask_kdf(t, &f);
    } else if (between(op, OP_group_there, OP_group_decapsulate)) {
        ask_group(t, op, &f);
    } else if (between(op, OP_cipher_init, OP_cipher_info) ||
               op == OP_cipher_start || op == OP_cipher_run) {
        ask_cipher(t, op, &f);
        if (one_in(6) || op == OP_cipher_get || op == OP_cipher_set) {
            f.params = a_list(t);
        }
    } else if (between(op, OP_ctx_free, OP_kem_run)) {
        ask_ctx(t, op, &f);
    } else {
        ask_key(t, op, &f);
    }
    return f;
}

static void keep_point(const struct mpkprov_frame *f)
{
    static const size_t len[] = {32, 65, 97, 133, 56, 256};

    for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
        if (f->out_len == len[i]) {
            memcpy(points[i], f->out, len[i]);
        }
    }
}

/* What came of it is shared. */
static void note(uint32_t op, const struct mpkprov_frame *f)
{
    switch (op) {
    case OP_key_new:
    case OP_key_decode:
    case OP_key_file:
        keep(KEY, f->handle);
        break;
    case OP_key_dup:
    case OP_gen_run:
        keep(KEY, f->handle2);
        break;
    case OP_gen_open:
        keep(GEN, f->handle);
        break;
    case OP_group_gen:
        keep(EPHEMERAL, f->handle);
        keep_point(f);
        break;
    case OP_cipher_dup:
        keep(CIPHER, f->handle2);
        break;
    case OP_ctx_dup:
        keep(CTX, f->handle2);
        break;
    default:
        if (between(op, OP_sig_init, OP_kem_run)) {
            keep(CTX, f->handle);
        } else if (op >= OP_cipher_init) {
            keep(CIPHER, f->handle);
        }
    }
}

static const char *const op_names[] = {
#define X(name) [OP_##name] = #name,
    MPKPROV_OPS(X) MPKPROV_LIGHT_OPS(X) MPKPROV_RECORD_OPS(X)
#undef X
};
#define N_OPS (sizeof(op_names) / sizeof(op_names[0]))

static unsigned long good_of[N_OPS], calls_of[N_OPS];
static time_t end;

/* Slow, or what leaves the others with nothing to work on. */
static uint32_t seldom(uint32_t op)
{
    switch (op) {
    case OP_key_decode: /* thousands of blocks each */
    case OP_key_file:
    case OP_key_print:
        return 20;
    case OP_key_new:
    case OP_key_free:
    case OP_gen_open:
    case OP_gen_run:
    case OP_ctx_free:
    case OP_cipher_free:
    case OP_tls_boot:
    case OP_group_there:
        return 8;
    default:
        return 1;
    }
}

static int64_t try(struct thread *t, uint32_t op)
{
    struct mpkprov_frame f;
    struct cipher_record r;
    int64_t ret;

    if (between(op, OP_cipher_record, OP_cipher_record_deep)) {
        r = ask_record(t);
        return call(op, &r) == 1 && r.done;
    }
    f = ask(t, op);
    shared[below(1024)] ^= (unsigned char)state;
    ret = call(op, &f);
    if (ret > 0) {
        note(op, &f);
    }
    return ret;
}

static void step(struct thread *t)
{
    uint32_t op = OP_key_new + below((uint32_t)(N_OPS - OP_key_new));

    if (!one_in(seldom(op))) {
        return;
    }
    if (try(t, op) > 0) {
        __atomic_add_fetch(&good_of[op], 1, __ATOMIC_RELAXED);
        t->good++;
    }
    __atomic_add_fetch(&calls_of[op], 1, __ATOMIC_RELAXED);
    t->calls++;
}

static void *work(void *arg)
{
    struct thread *t = arg;

    make_rooms(t);
    while (time(NULL) < end) {
        for (int i = 0; i < 50; i++) {
            step(t);
        }
    }
    return NULL;
}

/* ---- start --------------------------------------------------------------- */

struct start {
    struct thread t;
    uint64_t seed;
};

static void *begin(void *arg)
{
    struct start *s = arg;

    state = s->seed;
    return work(&s->t);
}

int main(void)
{
    static struct start start[THREADS];
    pthread_t thread[THREADS];
    const char *seed = getenv("MPK_TEST_SEED");
    uint64_t first = seed != NULL ? strtoull(seed, NULL, 0)
                                  : (uint64_t)time(NULL) * 2654435761U;

    interop_start();
    RACED_ON_PURPOSE(shared, sizeof(shared));
    RACED_ON_PURPOSE(points, sizeof(points));
    call = (int64_t(*)(uint32_t, void *))module_find_symbol("mpk_call");
    if (!CHECK(call != NULL)) {
        return interop_finish();
    }
    printf("MPK_TEST_SEED=%llu\n", (unsigned long long)first);
    fflush(stdout);
    text[0] = key_pem(key_type_find("P-256"));
    text[1] = key_pem(key_type_find("RSA-2048"));
    path = interop_file("key.pem", text[0], strlen(text[0]));
    for (int i = 0; i < KEPT; i++) {
        struct mpkprov_frame f = {
            .in = text[i % 2], .in_len = strlen(text[i % 2]), .what = 1};

        CHECK_INT(call(OP_key_decode, &f), 1);
        kept[KEY][i] = f.handle;
    }
    end = time(NULL) + (getenv("MPK_TEST_SECONDS") != NULL
                            ? atoi(getenv("MPK_TEST_SECONDS"))
                            : 2);
    for (int i = 0; i < THREADS; i++) {
        start[i].seed = first * 2 + 1 + (uint64_t)i * 0x9e3779b97f4a7c15U;
        pthread_create(&thread[i], NULL, begin, &start[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    for (size_t i = OP_key_new; i < N_OPS; i++) {
        printf("%-18s %8lu calls, %8lu good\n", op_names[i], calls_of[i],
               good_of[i]);
    }
    return interop_finish();
}
