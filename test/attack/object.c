/*
 * object.c - attacks on what the inside is given: handles, pointers,
 * parameters. The gate is called directly, past the provider's outside half,
 * where an attacker would have his own numbers in a frame.
 */
#include "attack.h"
#include "needles.h"

#include "../../provider/ops.h"
#include "../../provider/reason.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t call(uint32_t op, struct mpkprov_frame *f)
{
    static int64_t (*mpk_call_hidden)(uint32_t, void *);

    if (mpk_call_hidden == NULL) {
        mpk_call_hidden =
            (int64_t(*)(uint32_t, void *))module_symbol("mpk_call");
    }
    f->error.reason = 0;
    return mpk_call_hidden(op, f);
}

/* A key of the attacker's own choice is as good as any. */
static uint64_t load(void)
{
    static char pem[8192];
    struct mpkprov_frame f = {.in = pem, .what = 1};
    int fd = open(victim_path("key.pem"), O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, pem, sizeof(pem));

    close(fd);
    f.in_len = len > 0 ? (size_t)len : 0;
    if (call(OP_key_decode, &f) != 1) {
        trouble("a key by a frame");
    }
    explicit_bzero(pem, sizeof(pem));
    return f.handle;
}

enum { SIG_SIGN = 0 }; /* as signature.h numbers them */

static int64_t use(uint64_t key, struct mpkprov_frame *f)
{
    *f = (struct mpkprov_frame){.handle2 = key, .what = SIG_SIGN};
    return call(OP_sig_init, f);
}

/* The table's words of an answer to a handle that must not work. */
static _Noreturn void answer(int64_t ret, const struct mpkprov_frame *f)
{
    if (ret > 0) {
        cell("**it works**");
    }
    cell(f->error.reason == MPKPROV_R_HANDLE ? "refused: invalid handle"
                                             : "refused: another reason");
}

static void freed_handle(void)
{
    struct mpkprov_frame f = {0};
    uint64_t key;

    victim_load();
    key = load();
    if (use(key, &f) != 1) {
        trouble("the handle does not work before it is freed");
    }
    f = (struct mpkprov_frame){.handle = key};
    call(OP_key_free, &f);
    answer(use(key, &f), &f);
}

/* Its place has another key by now. */
static void stale_handle(void)
{
    struct mpkprov_frame f;
    uint64_t key;

    victim_load();
    key = load();
    f = (struct mpkprov_frame){.handle = key};
    call(OP_key_free, &f);
    for (int i = 0; i < 16; i++) {
        load();
    }
    answer(use(key, &f), &f);
}

static void forged_handle(void)
{
    struct mpkprov_frame f = {0};
    uint64_t key, forged = 0;
    int64_t ret = 0;

    victim_load();
    key = load();
    for (uint64_t i = 1; i <= 4096 && ret <= 0; i++) {
        forged = i < 64     ? key ^ 1ULL << i
                 : i < 2048 ? key + (i << 32)
                            : i * 0x9e3779b97f4a7c15ULL;
        ret = use(forged, &f);
        if (ret <= 0 && f.error.reason != MPKPROV_R_HANDLE) {
            break;
        }
    }
    answer(ret, &f);
}

static void handle_of_another_kind(void)
{
    struct mpkprov_frame f;
    uint64_t ctx;

    victim_load();
    if (use(load(), &f) != 1) {
        trouble("a context");
    }
    ctx = f.handle;
    answer(use(ctx, &f), &f);
}

/* ---- pointers ------------------------------------------------------------ */

static int sign(unsigned char *sig, const unsigned char *message)
{
    size_t len = 256;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ret;

    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, victim.key) != 1) {
        trouble("EVP_DigestSignInit");
    }
    ret = EVP_DigestSign(ctx, sig, &len, message, NEEDLE_LEN);
    EVP_MD_CTX_free(ctx);
    return ret;
}

static void key_as_message(void)
{
    unsigned char sig[256];

    victim_ready();
    if (sign(sig, victim.target) == 1) {
        cell("**key read**");
    }
    refused();
}

static void key_as_output(void)
{
    unsigned char message[NEEDLE_LEN] = {0};
    int ret;

    victim_ready();
    ret = sign(victim.target, message);
    if (!victim_intact()) {
        cell("**key overwritten**");
    }
    if (ret == 1) {
        trouble("a signature went nowhere");
    }
    refused();
}

static struct {
    OSSL_PARAM params[2];
    int room;
    atomic_bool stop;
    struct mpkprov_frame frame;
} shared;

static void *change(void *arg)
{
    volatile OSSL_PARAM *p = &shared.params[0];
    void *room = &shared.room;

    (void)arg;
    while (!atomic_load(&shared.stop)) {
        p->data = victim.target;
        p->data_size = 64;
        p->data = room;
        p->data_size = sizeof(int);
    }
    return NULL;
}

static int ask(uint64_t key)
{
    if (victim.column == STOCK) {
        return EVP_PKEY_get_params(victim.key, shared.params);
    }
    shared.frame = (struct mpkprov_frame){.handle = key};
    shared.frame.params = shared.params;
    return (int)call(OP_key_get, &shared.frame);
}

static void params_that_change(void)
{
    unsigned good = 0;
    pthread_t thread;
    uint64_t key = 0;
    time_t end;

    victim_ready();
    if (victim.column != STOCK) {
        key = load();
    }
    shared.params[0] =
        OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_BITS, &shared.room);
    shared.params[1] = OSSL_PARAM_construct_end();
    if (pthread_create(&thread, NULL, change, NULL) != 0) {
        trouble("a thread");
    }
    end = time(NULL) + 3;
    while (time(NULL) < end) {
        good += ask(key) == 1;
    }
    atomic_store(&shared.stop, true);
    pthread_join(thread, NULL);
    if (good == 0) {
        trouble("no question was answered");
    }
    cell(victim_intact() ? "key intact" : "**key overwritten**");
}

#define INVALID "refused: invalid handle"
#define POINTER "refused: pointer into the domain"

const struct attack object_attacks[] = {
    {"freed_handle", "a handle of a key that is freed",
     "makes a signing context with it", KEYS, freed_handle,
     .want = {NULL, INVALID, INVALID}},
    {"stale_handle", "a stale handle",
     "the same, when others have taken the key's place", KEYS, stale_handle,
     .want = {NULL, INVALID, INVALID}},
    {"forged_handle", "forged handles",
     "the same, with 4096 numbers near the right one and anywhere", KEYS,
     forged_handle, .want = {NULL, INVALID, INVALID}},
    {"other_handle", "a handle of another kind",
     "the same, with a context's handle for a key", KEYS,
     handle_of_another_kind, .want = {NULL, INVALID, INVALID}},
    {"message", "an input at the key",
     "has the key's address signed as a message", KEYS, key_as_message,
     .want = {"**key read**", POINTER, POINTER}},
    {"output", "an output at the key",
     "has a signature written to the key's address", KEYS, key_as_output,
     .want = {"**key overwritten**", POINTER, POINTER}},
    {"params", "parameters that change",
     "aims an `OSSL_PARAM` at the key while a call looks at it", KEYS,
     params_that_change,
     .want = {"**key overwritten**", "key intact", "key intact"}},
    {0},
};
