/* recipe.c - recipes of contexts, and those that have worked. */
#include "recipe.h"

#include "prov.h"

#include <stdlib.h>
#include <string.h>

/* ---- one recipe --------------------------------------------------------- */

void recipe_start(struct recipe *r, int what, const char *name)
{
    size_t len = name != NULL ? strlen(name) : 0;

    r->valid = len < sizeof(r->name);
    r->what = what;
    r->named = name != NULL;
    r->n = r->n_sets = r->used = 0;
    memset(r->name, 0, sizeof(r->name));
    if (r->valid && name != NULL) {
        memcpy(r->name, name, len);
    }
}

static void *keep(struct recipe *r, const void *p, size_t len)
{
    unsigned char *to = r->data + r->used;

    if (len > sizeof(r->data) - r->used) {
        return NULL;
    }
    _Static_assert(sizeof(r->data) % 8 == 0, "rounded up it fits as well");
    memcpy(to, p, len);
    r->used += (len + 7) & ~(size_t)7;
    return to;
}

/* Numbers and names are public; whatever else there may be is not kept. */
static int may_be_kept(const OSSL_PARAM *p)
{
    return p->data != NULL && (p->data_type == OSSL_PARAM_INTEGER ||
                               p->data_type == OSSL_PARAM_UNSIGNED_INTEGER ||
                               p->data_type == OSSL_PARAM_UTF8_STRING);
}

static int add_one(struct recipe *r, const OSSL_PARAM *p)
{
    OSSL_PARAM *to = &r->p[r->n];

    /* One place is for the end. */
    if (r->n + 1 >= RECIPE_PARAMS || !may_be_kept(p)) {
        return 0;
    }
    *to = *p;
    to->key = keep(r, p->key, strlen(p->key) + 1);
    to->data = keep(r, p->data, p->data_size);
    to->return_size = OSSL_PARAM_UNMODIFIED;
    r->n++;
    return to->key != NULL && to->data != NULL;
}

int recipe_add(struct recipe *r, const OSSL_PARAM *params)
{
    size_t n = r->n, used = r->used;
    int ok = r->n_sets < MPKPROV_SETS && r->n < RECIPE_PARAMS;

    for (; ok && params->key != NULL; params++) {
        ok = add_one(r, params);
    }
    if (!ok) {
        r->n = n;
        r->used = used;
        return 0;
    }
    r->p[r->n++] = (OSSL_PARAM)OSSL_PARAM_END;
    r->set[r->n_sets++] = &r->p[n];
    return 1;
}

void recipe_copy(struct recipe *to, const struct recipe *from)
{
    recipe_start(to, from->what, from->named ? from->name : NULL);
    to->valid = from->valid;
    for (size_t i = 0; i < from->n_sets; i++) {
        to->valid = to->valid && recipe_add(to, from->set[i]);
    }
}

static int same_param(const OSSL_PARAM *a, const OSSL_PARAM *b)
{
    if (a->key == NULL || b->key == NULL) {
        return a->key == b->key;
    }
    return a->data_type == b->data_type && a->data_size == b->data_size &&
           strcmp(a->key, b->key) == 0 &&
           memcmp(a->data, b->data, a->data_size) == 0;
}

static int same(const struct recipe *a, const struct recipe *b)
{
    if (a->what != b->what || a->named != b->named || a->n != b->n ||
        a->n_sets != b->n_sets || strcmp(a->name, b->name) != 0) {
        return 0;
    }
    for (size_t i = 0; i < a->n; i++) {
        if (!same_param(&a->p[i], &b->p[i])) {
            return 0;
        }
    }
    return 1;
}

/* ---- those that have worked --------------------------------------------- */

/* More than a program uses with its keys; after that nothing is remembered. */
#define KNOWN_MAX 64

/* Only ever grows: it is read without a lock. */
struct known {
    int refs;
    int n;
    struct recipe *r[KNOWN_MAX];
    struct facts facts;
};

struct known *known_new(void)
{
    struct known *k = calloc(1, sizeof(*k));

    return known_ref(k);
}

struct known *known_ref(struct known *k)
{
    if (k != NULL) {
        __atomic_fetch_add(&k->refs, 1, __ATOMIC_RELAXED);
    }
    return k;
}

void known_release(struct known *k)
{
    if (k == NULL || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    for (int i = 0; i < k->n; i++) {
        free(k->r[i]);
    }
    facts_forget(&k->facts);
    free(k);
}

int known_is_empty(const struct known *k)
{
    return k == NULL || (__atomic_load_n(&k->n, __ATOMIC_RELAXED) == 0 &&
                         __atomic_load_n(&k->facts.n, __ATOMIC_RELAXED) == 0);
}

struct recipe *known_find(struct known *k, const struct recipe *r)
{
    int n = k != NULL ? __atomic_load_n(&k->n, __ATOMIC_ACQUIRE) : 0;

    for (int i = 0; i < n && r->valid; i++) {
        if (same(k->r[i], r)) {
            return k->r[i];
        }
    }
    return NULL;
}

void known_add(struct known *k, const struct recipe *r)
{
    struct recipe *copy;

    if (k == NULL || !r->valid || known_find(k, r) != NULL) {
        return;
    }
    copy = calloc(1, sizeof(*copy));
    if (copy == NULL) {
        return;
    }
    recipe_copy(copy, r);
    pthread_mutex_lock(&prov.lock);
    if (k->n < KNOWN_MAX && known_find(k, r) == NULL) {
        k->r[k->n] = copy;
        __atomic_store_n(&k->n, k->n + 1, __ATOMIC_RELEASE);
        copy = NULL;
    }
    pthread_mutex_unlock(&prov.lock);
    free(copy);
}

struct facts *known_facts(struct known *k)
{
    return k != NULL ? &k->facts : NULL;
}
