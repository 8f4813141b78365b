/*
 * attack_entry_test.c - every entry of the gate, every pointer of its frame,
 * aimed where the inside must not follow it: into the domain, across its
 * edges, nowhere; with lengths that wrap; with handles that are forged, stale
 * or of another kind.
 *
 * A frame is the application's memory, so all that is in one is an attacker's
 * to choose. The operations are walked by MPKPROV_OPS: one without a row here
 * is an error. The gate is called directly, past the provider's outside half.
 *
 * Seen to fail: mpk_is_outside that always says yes; take() without its check;
 * params_enter without the check of a parameter's data; params_answer that
 * reads the outer array again; a handle whose kind or generation is not
 * compared; ctx_init that takes any number for an operation; tls_boot that
 * takes a path without bytes; sealed text whose layout is not in the tweak.
 */
#include "../../mpkcore/sanitize.h"
#include "../../mpkcore/state.h"
#include "../attack/module.h"
#include "attack_entry.h"
#include "keys.h"

#include <mpkcore/core.h>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the module's hidden functions --------------------------------------- */

int64_t (*call)(uint32_t op, void *frame);
static int (*info)(struct mpk_info *info);

static bool find_gate(void)
{
    call = (int64_t(*)(uint32_t, void *))module_find_symbol("mpk_call");
    info = (int (*)(struct mpk_info *))module_find_symbol("mpk_core_info");
    return call != NULL && info != NULL;
}

/* ---- frames that work ---------------------------------------------------- */

char *p256, *rsa, *rsa_path;
uint64_t p256_handle, rsa_handle;
unsigned char room[8192], room2[8192], message[1024];
static int32_t number;
static OSSL_PARAM number_param[2];
OSSL_PARAM group_param[2];
static int padding = RSA_PKCS1_PSS_PADDING;
static char digest[] = "digest";
static OSSL_PARAM padding_param[2], salt_param[2];
static const OSSL_PARAM *pss_sets[] = {padding_param, salt_param};

uint64_t load(const char *text)
{
    struct mpkprov_frame f = {.in = text, .in_len = strlen(text), .what = 1};

    CHECK_INT(call(OP_key_decode, &f), 1);
    return f.handle;
}

uint64_t context(enum mpkprov_op op, uint64_t key, int what, const char *name)
{
    struct mpkprov_frame f = {.handle2 = key, .what = what, .name = name};

    CHECK_INT(call((uint32_t)op, &f), 1);
    return f.handle;
}

uint64_t made(enum mpkprov_op op, enum prov_key_type type, int what)
{
    struct mpkprov_frame f = {
        .type = type,
        .what = what,
        .params = op == OP_gen_open ? group_param : NULL,
    };

    CHECK_INT(call((uint32_t)op, &f), 1);
    return f.handle;
}

uint64_t signer(void)
{
    return context(OP_sig_init, p256_handle, SIG_SIGN, NULL);
}

static void nothing(struct mpkprov_frame *f)
{
    f->what = OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
}

static void a_key(struct mpkprov_frame *f)
{
    f->handle = p256_handle;
    f->handle2 = p256_handle;
    f->what = OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
}

static void a_whole_key(struct mpkprov_frame *f)
{
    a_key(f);
    f->what = OSSL_KEYMGMT_SELECT_ALL;
}

static void a_key_to_lose(struct mpkprov_frame *f)
{
    f->handle = load(p256);
}

static void a_key_to_fill(struct mpkprov_frame *f)
{
    f->handle = made(OP_key_new, KEY_EC, 0);
    f->what = OSSL_KEYMGMT_SELECT_ALL_PARAMETERS;
    f->params = group_param;
}

static void a_key_to_ask(struct mpkprov_frame *f)
{
    a_key(f);
    f->params = number_param;
}

static void a_key_to_write(struct mpkprov_frame *f)
{
    a_key(f);
    f->what =
        OSSL_KEYMGMT_SELECT_PUBLIC_KEY | OSSL_KEYMGMT_SELECT_ALL_PARAMETERS;
}

static void a_file(struct mpkprov_frame *f)
{
    f->in = rsa_path;
    f->in_len = strlen(rsa_path);
    f->in2 = "unused";
    f->in2_len = 6;
}

static void a_text(struct mpkprov_frame *f)
{
    f->in = p256;
    f->in_len = strlen(p256);
    f->in2 = "unused";
    f->in2_len = 6;
    f->what = 1;
}

static void a_text_to_seal(struct mpkprov_frame *f)
{
    f->in = p256;
    f->in_len = strlen(p256);
}

static void a_generation(struct mpkprov_frame *f)
{
    f->type = KEY_EC;
    f->what = OSSL_KEYMGMT_SELECT_KEYPAIR;
    f->params = group_param;
}

static void a_running_generation(struct mpkprov_frame *f)
{
    f->handle = made(OP_gen_open, KEY_EC, OSSL_KEYMGMT_SELECT_KEYPAIR);
    f->handle2 = p256_handle;
    f->params = group_param;
}

static void a_context(struct mpkprov_frame *f)
{
    f->handle = signer();
    f->params = number_param;
}

static void a_context_to_lose(struct mpkprov_frame *f)
{
    f->handle = signer();
    f->what = 2; /* OBJECT_CTX */
}

static void a_digest_to_add_to(struct mpkprov_frame *f)
{
    f->handle = context(OP_sig_init, p256_handle, SIG_DIGEST_SIGN, "SHA256");
}

static void a_signature(struct mpkprov_frame *f)
{
    f->handle = signer();
    f->in_len = 32;
}

/* Of TLS, with what makes a context, but that none is needed. */
static void a_tls_signature(struct mpkprov_frame *f)
{
    f->handle2 = p256_handle;
    f->type = SIG_DIGEST_SIGN;
    f->what = 2; /* LAST_ONESHOT */
    f->name = "SHA256";
    f->in2_len = 0;
}

static void a_pss_signature(struct mpkprov_frame *f)
{
    a_tls_signature(f);
    f->handle2 = rsa_handle;
    f->in2 = pss_sets;
    f->in2_len = 2;
}

static void a_verification(struct mpkprov_frame *f)
{
    f->handle = context(OP_sig_init, p256_handle, SIG_VERIFY, NULL);
    f->in_len = 32;
    f->in2_len = 70;
}

static void a_sig_init(struct mpkprov_frame *f)
{
    f->handle2 = p256_handle;
    f->what = SIG_DIGEST_SIGN;
    f->name = "SHA256";
    f->params = number_param;
    f->in2 = NULL; /* no more parameters */
    f->in2_len = 0;
}

static void an_init(struct mpkprov_frame *f)
{
    f->handle2 = rsa_handle;
    f->params = number_param;
}

static void a_kex_init(struct mpkprov_frame *f)
{
    f->handle2 = p256_handle;
    f->params = number_param;
}

static void an_encryption(struct mpkprov_frame *f)
{
    f->handle = context(OP_enc_init, rsa_handle, 0, NULL);
    f->in_len = 32;
}

static void an_exchange(struct mpkprov_frame *f)
{
    f->handle = context(OP_kex_init, p256_handle, 0, NULL);
    f->handle2 = p256_handle;
}

static void a_derivation(struct mpkprov_frame *f)
{
    struct mpkprov_frame peer = {0};

    an_exchange(&peer);
    CHECK_INT(call(OP_kex_peer, &peer), 1);
    f->handle = peer.handle;
}

/* RSASVE has to be asked for by name. */
static void an_encapsulation(struct mpkprov_frame *f)
{
    OSSL_PARAM op[] = {
        OSSL_PARAM_utf8_string(OSSL_KEM_PARAM_OPERATION, "RSASVE", 6),
        OSSL_PARAM_END};
    struct mpkprov_frame init = {.handle2 = rsa_handle, .params = op};

    CHECK_INT(call(OP_kem_init, &init), 1);
    f->handle = init.handle;
}

enum {
    IN = 1,
    IN2 = 2,
    OUT = 4,
    OUT2 = 8,
    PARAMS = 16,
    NAME = 32,
    ONE_HANDLE = 64, /* |handle| is of a kind that others are not */
};

enum { ROW_TLS_EC = OP_kem_run + 1, ROW_TLS_PSS };

static const struct row {
    const char *name;
    void (*prepare)(struct mpkprov_frame *f);
    unsigned uses; /* and so has to refuse when it points into the domain */
    uint32_t op;
} rows[] = {
#define ROW(op, prepare, uses) [OP_##op] = {#op, prepare, uses, OP_##op}
    ROW(inner_boot, nothing, 0),
    ROW(inner_count, nothing, 0),
    ROW(key_new, nothing, 0),
    ROW(key_free, a_key_to_lose, 0),
    ROW(key_has, a_key, ONE_HANDLE),
    ROW(key_match, a_key, ONE_HANDLE),
    ROW(key_validate, a_key, ONE_HANDLE),
    ROW(key_dup, a_whole_key, ONE_HANDLE),
    ROW(key_import, a_key_to_fill, PARAMS | ONE_HANDLE),
    ROW(key_export, a_key_to_write, OUT | ONE_HANDLE),
    ROW(key_get, a_key_to_ask, PARAMS | ONE_HANDLE),
    ROW(key_set, a_key_to_ask, PARAMS | ONE_HANDLE),
    ROW(key_print, a_key, OUT | ONE_HANDLE),
    ROW(key_decode, a_text, IN | IN2),
    ROW(key_file, a_file, IN | IN2),
    ROW(key_seal, a_text_to_seal, IN | OUT),
    ROW(gen_open, a_generation, PARAMS),
    ROW(gen_set, a_running_generation, PARAMS | ONE_HANDLE),
    ROW(gen_template, a_running_generation, ONE_HANDLE),
    ROW(gen_run, a_running_generation, ONE_HANDLE),
    ROW(ctx_free, a_context_to_lose, 0),
    ROW(ctx_dup, a_context, ONE_HANDLE),
    ROW(ctx_get, a_context, PARAMS | ONE_HANDLE),
    ROW(ctx_set, a_context, PARAMS | ONE_HANDLE),
    ROW(ctx_tables, a_context, ONE_HANDLE),
    ROW(sig_init, a_sig_init, NAME | PARAMS | IN2),
    ROW(sig_update, a_digest_to_add_to, IN | ONE_HANDLE),
    ROW(sig_make, a_signature, IN | OUT | ONE_HANDLE),
    ROW(sig_check, a_verification, IN | IN2 | ONE_HANDLE),
    ROW(enc_init, an_init, PARAMS),
    ROW(enc_run, an_encryption, IN | OUT | ONE_HANDLE),
    ROW(kex_init, a_kex_init, PARAMS),
    ROW(kex_peer, an_exchange, ONE_HANDLE),
    ROW(kex_derive, a_derivation, OUT | ONE_HANDLE),
    ROW(kem_init, an_init, PARAMS),
    ROW(kem_run, an_encapsulation, OUT | OUT2 | ONE_HANDLE),
    /* Another way through an operation. */
    [ROW_TLS_EC] = {"sig_make of TLS, EC", a_tls_signature, IN | OUT | NAME,
                    OP_sig_make},
    [ROW_TLS_PSS] = {"sig_make of TLS, RSA-PSS", a_pss_signature,
                     IN | OUT | NAME, OP_sig_make},
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* A frame whose every pointer is good. */
static struct mpkprov_frame good_frame(const struct row *row)
{
    struct mpkprov_frame f = {
        .in = message,
        .in_len = sizeof(message),
        .in2 = message,
        .in2_len = sizeof(message),
        .out = room,
        .out_len = sizeof(room),
        .out2 = room2,
        .out2_len = sizeof(room2),
    };

    row->prepare(&f);
    return f;
}

/* ---- where pointers are aimed -------------------------------------------- */

struct target {
    const char *name;
    char *p;
    size_t len; /* given with it, if there is one to give */
    bool unmapped;
};

#define TARGETS 9
static struct target targets[TARGETS];
static bool below_is_ours; /* else a name there may end before it is inside */
static char *readable;     /* 64 bytes that backend none lets us look at */

/* What is read or written across an edge begins in good memory, and a name
 * there has no end before the edge. */
static bool map_neighbour(char *page)
{
    if (mmap(page, 4096, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
             0) != page) {
        return false;
    }
    memset(page, 'x', 4096);
    return true;
}

static void find_targets(void)
{
    struct mpk_info i;
    char *heap_block;

    CHECK_INT(info(&i), 0);
    heap_block = (char *)(uintptr_t)i.base + (size_t)MPK_SLOTS * MPK_SLOT_SIZE +
                 MPK_CONTROL_SIZE + 3 * MPK_PAGE;
    below_is_ours = map_neighbour((char *)(uintptr_t)i.base - 4096);
    if (!below_is_ours) { /* seen with a sanitizer's memory there */
        interop_skip("names across the lower edge: the page below the domain "
                     "is not the test's to fill");
    }
    map_neighbour((char *)(uintptr_t)i.base + i.size);
    /* Behind what the core keeps there, and below the pages of fork's:
     * nobody writes there. Of a free block the heap would wipe the traces. */
    readable = heap_block - 2 * 4096 - 64;
    targets[0] = (struct target){"the core's own data", readable, 64, false};
    targets[8] = (struct target){"the heap", heap_block + 65536, 64, false};
    if (i.backend != MPK_BACKEND_NONE) {
        readable = NULL;
    }
    targets[1] = (struct target){"the lowest stack", (char *)(uintptr_t)i.base,
                                 64, false};
    targets[2] = (struct target){"across the lower edge",
                                 (char *)(uintptr_t)i.base - 8, 64, false};
    targets[3] =
        (struct target){"across the upper edge",
                        (char *)(uintptr_t)i.base + i.size - 8, 64, false};
    targets[4] = (struct target){
        "over all of it", (char *)(uintptr_t)i.base - 8, SIZE_MAX / 4, false};
    targets[5] =
        (struct target){"a sum that wraps", (char *)room, SIZE_MAX, false};
    targets[6] = (struct target){"the top of all addresses",
                                 (char *)(UINTPTR_MAX - 15), 64, true};
    targets[7] = (struct target){"null", NULL, 64, false};
}

static void aim(struct mpkprov_frame *f, unsigned member,
                const struct target *t)
{
    switch (member) {
    case IN:
        f->in = t->p;
        f->in_len = t->len;
        break;
    case IN2:
        f->in2 = t->p;
        f->in2_len = t->len;
        break;
    case OUT:
        f->out = t->p;
        f->out_len = t->len < 8192 ? 8192 : t->len;
        break;
    case OUT2:
        f->out2 = t->p;
        f->out2_len = t->len < 8192 ? 8192 : t->len;
        break;
    case PARAMS:
        f->params = (const OSSL_PARAM *)t->p;
        break;
    case NAME:
        f->name = t->p;
        break;
    }
}

static const char *member_name(unsigned member)
{
    static const char *const names[] = {"in",   "in2",    "out",
                                        "out2", "params", "name"};

    return names[__builtin_ctz(member)];
}

/*
 * Where a pointer is given without a length, there is none to wrap. A name at
 * an address where nothing is mapped, and which is not the domain's, ends the
 * process, as it does in any library.
 */
static bool means_something(unsigned member, const struct target *t)
{
    return member <= OUT2 ||
           (t->len == 64 &&
            (member == PARAMS ||
             (!t->unmapped && (below_is_ours || t != &targets[2]))));
}

/* ---- the attacks --------------------------------------------------------- */

struct progress *progress;

static void try_pointer(uint32_t row, unsigned member, const struct target *t)
{
    struct mpkprov_frame f = good_frame(&rows[row]);
    unsigned char before[64];
    int64_t ret;

    snprintf(progress->at, sizeof(progress->at), "%s: %s at %s", rows[row].name,
             member_name(member), t->name);
    interop_subject("%s", progress->at);
    aim(&f, member, t);
    if (readable != NULL) {
        memcpy(before, readable, sizeof(before));
    }
    ret = call(rows[row].op, &f);
    /* Null is a way to say "none" or "only the length"; it must not kill. An
     * output that all fits is no matter how much room is claimed. */
    if ((rows[row].uses & member) != 0 && t->p != NULL &&
        !(t->p == (char *)room && member >= OUT)) {
        CHECK(ret <= 0);
    }
    if (readable != NULL) {
        CHECK_MEM(readable, sizeof(before), before, sizeof(before));
    }
}

/* A good array whose parameter points where it must not. */
static void try_param(uint32_t row, const struct target *t, int which)
{
    struct mpkprov_frame f = good_frame(&rows[row]);
    OSSL_PARAM params[2];
    unsigned char before[64];
    int64_t ret;

    snprintf(progress->at, sizeof(progress->at), "%s: a parameter's %s at %s",
             rows[row].name, which == 0 ? "data" : "name", t->name);
    interop_subject("%s", progress->at);
    memcpy(params, f.params, sizeof(params));
    if (which == 0) {
        params[0].data = t->p;
        params[0].data_size = t->len;
    } else {
        params[0].key = t->p;
    }
    f.params = params;
    if (readable != NULL) {
        memcpy(before, readable, sizeof(before));
    }
    ret = call(rows[row].op, &f);
    if (t->p != NULL && t->p != (char *)room) {
        CHECK(ret <= 0);
    }
    if (readable != NULL) {
        CHECK_MEM(readable, sizeof(before), before, sizeof(before));
    }
}

static void try_handles(uint32_t row)
{
    uint64_t stale = load(p256);
    struct mpkprov_frame gone = {.handle = stale};
    uint64_t other_kind = rows[row].prepare == a_running_generation ||
                                  strncmp(rows[row].name, "key_", 4) == 0
                              ? signer()
                              : rsa_handle;
    const uint64_t forged[] = {
        0,     1ULL << 63, UINT64_MAX,           UINT32_MAX,
        stale, other_kind, p256_handle + 1000000};

    call(OP_key_free, &gone);
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        struct mpkprov_frame f = good_frame(&rows[row]);

        snprintf(progress->at, sizeof(progress->at), "%s: handle %#llx",
                 rows[row].name, (unsigned long long)forged[i]);
        interop_subject("%s", progress->at);
        f.handle = forged[i];
        CHECK(call(rows[row].op, &f) <= 0);
    }
}

/* One operation, in a process of its own, with all that it can be given. */
static _Noreturn void attack(uint32_t row)
{
    struct mpkprov_frame f = good_frame(&rows[row]);
    unsigned long wrong = interop_failures();

    interop_subject("%s: a frame that is good", rows[row].name);
    snprintf(progress->at, sizeof(progress->at), "%s: good", rows[row].name);
    /* One that fails by itself would refuse an attack for a wrong reason. */
    if (row != OP_inner_boot && row != OP_sig_check && row != OP_key_set &&
        row != OP_gen_template) {
        CHECK(call(rows[row].op, &f) == 1);
    }
    for (unsigned member = IN; member <= NAME; member <<= 1) {
        for (int t = 0; t < TARGETS; t++) {
            if (means_something(member, &targets[t])) {
                try_pointer(row, member, &targets[t]);
            }
        }
    }
    for (int t = 0; (rows[row].uses & PARAMS) != 0 && t < TARGETS; t++) {
        try_param(row, &targets[t], 0);
        if (means_something(NAME, &targets[t])) {
            try_param(row, &targets[t], 1);
        }
    }
    if ((rows[row].uses & ONE_HANDLE) != 0) {
        try_handles(row);
    }
    _exit(interop_failures() != wrong);
}

/*
 * Operations on session secrets have frames of their own and tests of their
 * own (test/tls); here they are given every bad pointer and may answer what
 * they like, as long as nothing inside changes and nobody dies.
 */
static _Noreturn void attack_blindly(uint32_t op, const char *name)
{
    unsigned long wrong = interop_failures();
    unsigned char before[64];

    for (unsigned member = IN; member <= NAME; member <<= 1) {
        for (int t = 0; t < TARGETS; t++) {
            struct mpkprov_frame f = {.in = message,
                                      .in_len = sizeof(message),
                                      .in2 = message,
                                      .in2_len = sizeof(message),
                                      .out = room,
                                      .out_len = sizeof(room),
                                      .out2 = room2,
                                      .out2_len = sizeof(room2)};

            if (!means_something(member, &targets[t])) {
                continue;
            }
            snprintf(progress->at, sizeof(progress->at), "%s: %s at %s", name,
                     member_name(member), targets[t].name);
            interop_subject("%s", progress->at);
            aim(&f, member, &targets[t]);
            if (readable != NULL) {
                memcpy(before, readable, sizeof(before));
            }
            call(op, &f);
            if (readable != NULL) {
                CHECK_MEM(readable, sizeof(before), before, sizeof(before));
            }
        }
    }
    _exit(interop_failures() != wrong);
}

static void test_operation_blindly(uint32_t op, const char *name)
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        attack_blindly(op, name);
    }
    waitpid(pid, &status, 0);
    interop_subject("%s", progress->at);
    CHECK_INT(status, 0);
}

/* An init that goes by a number of the caller's: there is one for each of two.
 */
static void test_no_other_variant(uint32_t op, const char *name)
{
    static const int numbers[] = {-1, 2, INT_MAX, INT_MIN};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct mpkprov_frame f = good_frame(&rows[op]);

        interop_subject("%s: operation %d", name, numbers[i]);
        f.what = numbers[i];
        CHECK(call(op, &f) <= 0);
        CHECK_STR(f.error.text, "no such operation");
        CHECK(f.handle == 0);
    }
}

/* In a process of its own: seen to end it, in the inner OpenSSL. */
static void test_a_key_without_a_curve(void)
{
    int flag = 1, status = -1;
    OSSL_PARAM cofactor[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, &flag),
        OSSL_PARAM_END};
    pid_t pid;

    interop_subject("key_set: the cofactor of a key without a curve");
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct mpkprov_frame f = {.handle = made(OP_key_new, KEY_EC, 0),
                                  .params = cofactor};

        _exit(call(OP_key_set, &f) == 0 && f.error.reason != 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

/* In a process of its own: session secrets are switched on once. */
static void test_a_path_without_bytes(void)
{
    struct mpkprov_frame f = {.in = message};
    int status = -1;
    pid_t pid;

    interop_subject("tls_boot: a path of no bytes");
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        call(OP_tls_boot, &f);
        _exit(f.error.reason == MPKPROV_R_PARAMETER ||
                      f.error.reason == MPKPROV_R_OPERATION
                  ? 0
                  : 1);
    }
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

/* Zeros as a key of group |type|; they are one of ML-KEM. Encapsulation with it
 * is done at once, and its results are to go inside. What is asked for by
 * itself goes to where there is room only. */
static void look_at_peers_key(int type)
{
    static const size_t lens[] = {32, 800, 1184, 1216, 1249, 1568, 1665};

    memset(room2, 0, sizeof(room2));
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]) * TARGETS; i++) {
        const struct target *t = &targets[i % TARGETS];
        struct mpkprov_frame f = {.type = type,
                                  .in = room2,
                                  .in_len = lens[i / TARGETS],
                                  .out = room,
                                  .out_len = sizeof(room),
                                  .out2 = t->p};

        CHECK(call(OP_group_check, &f) == 1 || f.error.reason != 0);
        CHECK(f.handle2 == 0 || t->p == (char *)room);
        f.out_len = 31;
        f.out2 = room;
        CHECK(call(OP_group_encapsulate, &f) != 1 && f.error.reason != 0);
    }
}

/* A peer's key is looked at, and what that takes ends with it; also where
 * libssl never asks for the look (X25519, whose keys are made in another way).
 */
static void test_a_look_at_peers_keys_leaves_nothing(void)
{
    long long before = 0;

    interop_subject("group_check of every group");
    for (int round = 0; round < 3; round++) {
        if (round == 2) {
            before = interop_blocks("mpk");
        }
        for (int type = -1; type <= TLS_GROUPS_MAX; type++) {
            look_at_peers_key(type);
        }
    }
    CHECK_INT(interop_blocks("mpk") - before, 0);
}

static void test_operation(uint32_t op)
{
    int status = -1;
    pid_t pid;

    interop_subject("operation %u", op);
    if (!CHECK(op < N_ROWS && rows[op].prepare != NULL)) {
        return;
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        attack(op);
    }
    waitpid(pid, &status, 0);
    interop_subject("%s", progress->at);
    CHECK_INT(status, 0);
}

/* ---- another thread writes during the call ------------------------------- */

static struct {
    struct mpkprov_frame frame;
    OSSL_PARAM params[2];
    atomic_bool stop;
    atomic_ulong turns;
} shared;

/* Now good, now bad: what is looked at twice is seen both ways. A race on
 * purpose, which the thread sanitizer is not to report. */
MPK_NO_SANITIZE static void *rewrite(void *arg)
{
    const struct target *inside = &targets[0];
    volatile struct mpkprov_frame *f = &shared.frame;
    volatile OSSL_PARAM *p = &shared.params[0];
    char *good = (char *)room2;

    (void)arg;
    while (!atomic_load(&shared.stop)) {
        f->out = inside->p;
        f->params = (const OSSL_PARAM *)inside->p;
        p->data = inside->p;
        p->data_size = SIZE_MAX;
        f->out = room;
        f->params = shared.params;
        p->data = good;
        p->data_size = sizeof(int);
        f->out_len = SIZE_MAX / 2;
        f->out_len = sizeof(room);
        atomic_fetch_add(&shared.turns, 1);
    }
    return NULL;
}

/* For a second, or for a minute until there was something of both. */
static bool goes_on(time_t start, unsigned good)
{
    bool both = good > 0 && atomic_load(&shared.turns) > 1000;

    return time(NULL) < start + (both ? 2 : 60);
}

/* Calls |op| while its frame and parameters change. */
static unsigned call_under_fire(uint32_t op)
{
    time_t start = time(NULL);
    unsigned good = 0;

    while (goes_on(start, good)) {
        shared.frame.handle = rows[op].prepare == a_key_to_ask ? p256_handle
                              : op == OP_sig_make              ? signer()
                                                               : 0;
        shared.frame.handle2 = p256_handle;
        shared.frame.in = message;
        shared.frame.in_len = 32;
        shared.frame.what = 0;
        if (op > OP_kem_run) {
            rows[op].prepare(&shared.frame);
        }
        good += call(rows[op].op, &shared.frame) == 1;
    }
    return good;
}

static _Noreturn void attack_in_time(uint32_t op)
{
    unsigned long wrong = interop_failures();
    unsigned char before[64];
    pthread_t thread;
    unsigned good;

    snprintf(progress->at, sizeof(progress->at), "%s: under fire",
             rows[op].name);
    interop_subject("%s", progress->at);
    shared.params[0] = number_param[0];
    shared.params[1] = number_param[1];
    shared.frame.out = room;
    shared.frame.out_len = sizeof(room);
    shared.frame.params = shared.params;
    if (readable != NULL) {
        memcpy(before, readable, sizeof(before));
    }
    pthread_create(&thread, NULL, rewrite, NULL);
    good = call_under_fire(op);
    atomic_store(&shared.stop, true);
    pthread_join(thread, NULL);
    CHECK(good > 0 && atomic_load(&shared.turns) > 1000);
    if (readable != NULL) {
        CHECK_MEM(readable, sizeof(before), before, sizeof(before));
    }
    _exit(interop_failures() != wrong);
}

/* Sets that are in the domain, and parameters of a set. */
static void test_sets(void)
{
    for (int t = 0; t < TARGETS; t++) {
        struct mpkprov_frame f = good_frame(&rows[ROW_TLS_PSS]);
        OSSL_PARAM bad[2] = {padding_param[0], padding_param[1]};
        const OSSL_PARAM *sets[] = {bad, salt_param};

        interop_subject("a set's parameter at %s", targets[t].name);
        bad[0].data = targets[t].p;
        bad[0].data_size = targets[t].len;
        f.in2 = sets;
        CHECK(targets[t].p == (char *)room || call(OP_sig_make, &f) <= 0);
        if (!means_something(NAME, &targets[t]) || targets[t].p == NULL) {
            continue;
        }
        interop_subject("a set at %s", targets[t].name);
        sets[0] = (const OSSL_PARAM *)targets[t].p;
        f = good_frame(&rows[ROW_TLS_PSS]);
        f.in2 = sets;
        CHECK(call(OP_sig_make, &f) <= 0);
        interop_subject("sets at %s", targets[t].name);
        f = good_frame(&rows[ROW_TLS_PSS]);
        f.in2 = targets[t].p;
        CHECK(call(OP_sig_make, &f) <= 0);
    }
}

/* What is said is that, though a signature was made; it may be shorter than the
 * room that the next try needs. */
static void test_the_pointer_is_named(uint32_t op)
{
    for (int i = 0; i < 16; i++) {
        struct mpkprov_frame f = good_frame(&rows[op]);

        interop_subject("%s: why", rows[op].name);
        f.out = targets[8].p;
        CHECK(call(rows[op].op, &f) <= 0);
        CHECK_INT(f.error.reason, MPKPROV_R_POINTER);
    }
}

static void test_a_thread_that_rewrites(uint32_t op)
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        attack_in_time(op);
    }
    waitpid(pid, &status, 0);
    interop_subject("%s", progress->at);
    CHECK_INT(status, 0);
}

/* Of a line libcrypto's reader takes what is before a zero byte. So whoever may
 * put one into sealed text chooses which digits of a key are parsed, and from
 * what an error says of them he has the key. */
static void test_digits_of_sealed_text_are_not_left_out(void)
{
    static const char begin[] = "-----BEGIN PRIVATE KEY-----\n";
    const char *body = strstr(p256, "KEY-----\n") + strlen("KEY-----\n");
    char text[4096];
    struct mpkprov_frame f = {.in = text, .out = text, .what = 1};

    interop_subject("four digits before a key, sealed");
    f.in_len = (size_t)snprintf(text, sizeof(text), "%sAAAA\n%s", begin, body);
    f.out_len = f.in_len;
    CHECK_INT(call(OP_key_seal, &f), 1);
    CHECK(memmem(text, f.in_len, "PRIVATE MPK-----\n", 17) != NULL);
    interop_subject("the four behind a zero byte");
    memmove(text + strlen(begin) + 1, text + strlen(begin),
            f.in_len - strlen(begin));
    text[strlen(begin)] = '\0';
    f.in_len++;
    CHECK(call(OP_key_decode, &f) != 1);
}

/* ---- the program --------------------------------------------------------- */

static void prepare(void)
{
    p256 = key_pem(key_type_find("P-256"));
    rsa = key_pem(key_type_find("RSA-2048"));
    rsa_path = strdup(interop_file("rsa.pem", rsa, strlen(rsa)));
    progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    number_param[0] = OSSL_PARAM_construct_int("bits", &number);
    number_param[1] = OSSL_PARAM_construct_end();
    group_param[0] = OSSL_PARAM_construct_utf8_string("group", "P-256", 5);
    group_param[1] = OSSL_PARAM_construct_end();
    padding_param[0] = OSSL_PARAM_construct_int("pad-mode", &padding);
    padding_param[1] = OSSL_PARAM_construct_end();
    salt_param[0] = OSSL_PARAM_construct_utf8_string("saltlen", digest, 0);
    salt_param[1] = OSSL_PARAM_construct_end();
    p256_handle = load(p256);
    rsa_handle = load(rsa);
    find_targets();
}

int main(void)
{
    interop_start();
    if (!interop_protected() || !find_gate()) {
        interop_skip("the attacks: there is no gate in this process");
        return interop_finish();
    }
    prepare();
#define X(name) test_operation(OP_##name);
    MPKPROV_KEY_OPS(X)
#undef X
    test_operation(ROW_TLS_EC);
    test_operation(ROW_TLS_PSS);
    test_sets();
    test_the_pointer_is_named(ROW_TLS_EC);
    test_the_pointer_is_named(ROW_TLS_PSS);
#define X(name) test_operation_blindly(OP_##name, #name);
    MPKPROV_KDF_OPS(X)
    MPKPROV_GROUP_OPS(X)
    MPKPROV_CIPHER_OPS(X)
    MPKPROV_RAND_OPS(X)
    MPKPROV_LIGHT_OPS(X)
#undef X
    test_a_look_at_peers_keys_leaves_nothing();
    test_no_other_variant(OP_enc_init, "enc_init");
    test_no_other_variant(OP_kex_init, "kex_init");
    test_no_other_variant(OP_kem_init, "kem_init");
    test_what_is_asked_for();
    test_what_is_asked_of_groups();
    test_a_path_without_bytes();
    test_a_key_without_a_curve();
    test_digits_of_sealed_text_are_not_left_out();
    test_a_thread_that_rewrites(OP_sig_make);
    test_a_thread_that_rewrites(ROW_TLS_EC);
    test_a_thread_that_rewrites(ROW_TLS_PSS);
    test_a_thread_that_rewrites(OP_key_get);
    test_a_thread_that_rewrites(OP_sig_init);
    free(p256);
    free(rsa);
    free(rsa_path);
    return interop_finish();
}
