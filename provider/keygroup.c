/*
 * keygroup.c - inside: a page group for each long-lived private key.
 *
 * With key-isolation = per-key a private key, and all that the inner OpenSSL
 * computes from it, lies in a group of its own, which a stub has open while it
 * works with that key and no longer. docs/design/keygroup.md says why it is
 * decided by source file what goes there.
 *
 * A context holds the key's inner object after the key's handle has gone, so
 * the group is counted.
 */
#include "inside.h"

#include <mpkcore/group.h>

#include <openssl/core_names.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct keygroup {
    _Atomic uint32_t users;
    mpk_group_t id;
    struct keygroup *next; /* of those that are late */
};

static int per_key;
/* While somebody looks: blocks that went into keys' groups. */
static _Atomic uint32_t watched;
static _Atomic uint64_t taken;

/* ---- what goes into the open group --------------------------------------- */

/* Numbers and keys, with all that is computed from them; not what outlives the
 * operation: digests, random generators, method stores, errors. */
static int names_keys(const char *file)
{
    static const char *const part[] = {"bn/",     "rsa/",    "ec/",
                                       "dh/",     "dsa/",    "sm2/",
                                       "ml_dsa/", "ml_kem/", "slh_dsa/"};
    const char *at = strstr(file, "crypto/");

    for (size_t i = 0; at != NULL && i < sizeof(part) / sizeof(part[0]); i++) {
        if (strncmp(at + strlen("crypto/"), part[i], strlen(part[i])) == 0) {
            return 1;
        }
    }
    return 0;
}

/*
 * The same for a name that was asked for before: a file's name is one constant
 * of the inner OpenSSL, so its address says which. The lowest bit is the
 * answer.
 */
#define KNOWN 256

static int is_of_keys(const char *file)
{
    static _Atomic uint64_t known[KNOWN];
    uint64_t at = (uint64_t)(uintptr_t)file, word;
    _Atomic uint64_t *place = &known[(at * 0x9e3779b97f4a7c15U >> 32) % KNOWN];

    word = atomic_load_explicit(place, memory_order_relaxed);
    if (word >> 1 != at) {
        word = at << 1 | (uint64_t)names_keys(file);
        atomic_store_explicit(place, word, memory_order_relaxed);
    }
    return (int)(word & 1);
}

static int goes_to_group(const char *file)
{
    return per_key && file != NULL && is_of_keys(file);
}

/*
 * Temporary numbers of many operations with one key at a time can be more than
 * the group has room for. The heap wipes what is given back, as the group does.
 */
void *keygroup_malloc(size_t n, const char *file)
{
    void *p = goes_to_group(file) ? mpk_group_alloc(n) : NULL;

    if (p == NULL) {
        return mpk_heap_alloc(n);
    }
    if (atomic_load_explicit(&watched, memory_order_relaxed) != 0) {
        atomic_fetch_add(&taken, 1);
    }
    return p;
}

void *keygroup_realloc(void *p, size_t n, const char *file)
{
    void *q = NULL;

    if (p == NULL) {
        return keygroup_malloc(n, file);
    }
    if (goes_to_group(file) && mpk_group_opened() != 0 &&
        mpk_heap_use(mpk_group_opened()) == 0) {
        q = mpk_heap_realloc(p, n);
        mpk_heap_use(0);
    }
    return q != NULL ? q : mpk_heap_realloc(p, n);
}

/* ---- open and shut ------------------------------------------------------- */

int keygroup_boot(struct mpkprov_frame *f)
{
    if (f->what && f->type && !mpk_group_isolated()) {
        return fail(f, MPKPROV_R_OPERATION,
                    "no protection key is left for key-isolation = per-key; "
                    "other libraries have them all");
    }
    per_key = f->what != 0;
    return 1;
}

int keygroup_open(struct mpkprov_frame *f, const struct object *o)
{
    if (o->group == NULL || mpk_group_open(o->group->id) == 0) {
        return 1;
    }
    return fail(f, MPKPROV_R_MEMORY, "the key's pages cannot be opened");
}

void keygroup_close(const struct object *o)
{
    if (o->group != NULL) {
        mpk_group_close(o->group->id);
    }
}

void keygroup_share(struct object *o, const struct object *with)
{
    o->group = with->group;
    if (o->group != NULL) {
        atomic_fetch_add(&o->group->users, 1);
    }
}

/* Groups without users whose pages could not be opened to be wiped. */
static struct {
    pthread_mutex_t lock;
    struct keygroup *first;
} late = {PTHREAD_MUTEX_INITIALIZER, NULL};

static void put_off(struct keygroup *g)
{
    pthread_mutex_lock(&late.lock);
    g->next = late.first;
    late.first = g;
    pthread_mutex_unlock(&late.lock);
}

static struct keygroup *take_late(void)
{
    struct keygroup *g;

    pthread_mutex_lock(&late.lock);
    g = late.first;
    if (g != NULL) {
        late.first = g->next;
    }
    pthread_mutex_unlock(&late.lock);
    return g;
}

/* 1, or 0 if that has to wait. */
static int group_end(struct keygroup *g)
{
    int err = mpk_group_free(g->id);

    if (err == -ENOMEM) {
        put_off(g);
        return 0;
    }
    if (err != 0) {
        mpk_fatal("the pages of a key cannot be freed");
    }
    mpk_heap_free(g);
    return 1;
}

void keygroup_drop(struct object *o)
{
    struct keygroup *g = o->group;

    o->group = NULL;
    if (g != NULL && atomic_fetch_sub(&g->users, 1) == 1) {
        group_end(g);
    }
}

/* ---- moving a key into its group ----------------------------------------- */

/* These have no numbers: what is computed is on the stack. */
static int is_bytes(enum key_type type)
{
    return type == KEY_ED25519 || type == KEY_ED448 || type == KEY_X25519 ||
           type == KEY_X448;
}

/*
 * Room for the key, its caches and the numbers of a few operations at a time:
 * an operation with an RSA key needs some 20 times its modulus.
 */
static size_t room_for(const struct object *key)
{
    int bits = 0;
    OSSL_PARAM ask[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, &bits),
                        OSSL_PARAM_END};

    if (is_bytes(key->type)) {
        return 4096;
    }
    KEY_FN(key->type, get_params, GET_PARAMS)(key->data, ask);
    forget_errors();
    return (size_t)16384 + (bits > 1000 ? (size_t)bits / 8 * 64 : 0);
}

static struct keygroup *group_make(size_t room)
{
    struct keygroup *g;

    while ((g = take_late()) != NULL && group_end(g)) {
    }
    g = mpk_heap_alloc(sizeof(*g));

    if (g != NULL && mpk_group_new(&g->id, room) != 0) {
        mpk_heap_free(g);
        return NULL;
    }
    if (g != NULL) {
        atomic_store(&g->users, 1);
    }
    return g;
}

/* The group is open: what dup makes of |shared| lies in it. */
static void *dup_into(const struct object *key, void *shared)
{
    uint64_t before = atomic_load(&taken);
    void *own;
    int outside;

    atomic_fetch_add(&watched, 1);
    own = KEY_FN(key->type, dup, DUP)(shared, OSSL_KEYMGMT_SELECT_ALL);
    outside = atomic_load(&taken) == before;
    atomic_fetch_sub(&watched, 1);
    /* An OpenSSL that does not say who allocates would leave it outside. */
    if (own != NULL && outside) {
        key_data_free(key->type, own);
        return NULL;
    }
    return own;
}

int keygroup_move(struct mpkprov_frame *f, struct object *key)
{
    void *shared = key->data, *own;

    if (shared == NULL) {
        return 1; /* whoever could not make it has said why */
    }
    if (!per_key || key->group != NULL ||
        !key_data_has_private(key->type, key->data)) {
        forget_errors();
        return 1;
    }
    key->group = group_make(room_for(key));
    if (key->group == NULL || !keygroup_open(f, key)) {
        keygroup_drop(key);
        return fail(f, MPKPROV_R_MEMORY,
                    "no pages for the key alone: raise the limit on "
                    "addresses, locked memory or descriptors");
    }
    own = dup_into(key, shared);
    keygroup_close(key);
    if (own == NULL) {
        keygroup_drop(key);
        return fail_inner(f, "the key cannot be given pages of its own");
    }
    key->data = own;
    key_data_free(key->type, shared);
    return 1;
}

/* ---- copies in the shared heap ------------------------------------------- */

static int copy_params(const OSSL_PARAM params[], void *arg)
{
    OSSL_PARAM **copy = arg;

    *copy = OSSL_PARAM_dup(params);
    return *copy != NULL;
}

OSSL_PARAM *keygroup_numbers(struct mpkprov_frame *f, const struct object *key,
                             int selection)
{
    OSSL_PARAM *numbers = NULL;

    if (!keygroup_open(f, key)) {
        return NULL;
    }
    KEY_FN(key->type, export, EXPORT)
    (key->data, selection, copy_params, &numbers);
    keygroup_close(key);
    return numbers;
}

static void *copy_by_numbers(struct mpkprov_frame *f, const struct object *key,
                             int selection)
{
    OSSL_PARAM *numbers = keygroup_numbers(f, key, selection);
    void *copy = numbers != NULL ? key_data_new(key->type) : NULL;

    if (copy != NULL &&
        KEY_FN(key->type, import, IMPORT)(copy, selection, numbers) <= 0) {
        key_data_free(key->type, copy);
        copy = NULL;
    }
    OSSL_PARAM_free(numbers);
    return copy;
}

/*
 * Numbers are what can be had of a key with the group open and used when it is
 * closed, and without the private one, whatever dup makes of a selection. A
 * public key needs neither, and an import builds its curve anew.
 */
void *keygroup_copy(struct mpkprov_frame *f, const struct object *key,
                    int selection)
{
    int private =
        key->group != NULL || key_data_has_private(key->type, key->data);

    forget_errors();
    return private ? copy_by_numbers(f, key, selection)
                   : KEY_FN(key->type, dup, DUP)(key->data, selection);
}
