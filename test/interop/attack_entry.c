#include "attack_entry.h"

#include "../attack/module.h"
#include "attack_entry_targets.h"
#include "keys.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the module's hidden functions --------------------------------------- */

int64_t (*call)(uint32_t op, void *frame);
int (*info)(struct mpk_info *info);

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
OSSL_PARAM number_param[2], group_param[2];
static int padding = RSA_PKCS1_PSS_PADDING;
static char digest[] = "digest";
OSSL_PARAM padding_param[2], salt_param[2];
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

void a_key_to_ask(struct mpkprov_frame *f)
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

void a_running_generation(struct mpkprov_frame *f)
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

const struct row rows[N_ROWS] = {
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

struct mpkprov_frame frame_of_rooms(void)
{
    return (struct mpkprov_frame){
        .in = message,
        .in_len = sizeof(message),
        .in2 = message,
        .in2_len = sizeof(message),
        .out = room,
        .out_len = sizeof(room),
        .out2 = room2,
        .out2_len = sizeof(room2),
    };
}

struct mpkprov_frame good_frame(const struct row *row)
{
    struct mpkprov_frame f = frame_of_rooms();

    row->prepare(&f);
    return f;
}

/* ---- beginning and end --------------------------------------------------- */

struct progress *progress;

void child_ends_well(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    interop_subject("%s", progress->at);
    CHECK_INT(status, 0);
}

void test_in_a_child(void (*body)(void))
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        unsigned long wrong = interop_failures();

        body();
        _exit(interop_failures() != wrong);
    }
    child_ends_well(pid);
}

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

bool attack_start(void)
{
    interop_start();
    if (!interop_protected() || !find_gate()) {
        interop_skip("the attacks: there is no gate in this process");
        return false;
    }
    prepare();
    return true;
}

int attack_finish(void)
{
    free(p256);
    free(rsa);
    free(rsa_path);
    return interop_finish();
}
