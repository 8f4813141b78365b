/* fact.c - answers of keys that are kept outside. */
#include "fact.h"

#include "prov.h"

#include <stdlib.h>

#define FACT_DATA 64

struct fact {
    const char *name;
    unsigned type;
    size_t room, answered; /* what was asked with, and return_size */
    size_t len;
    unsigned char data[FACT_DATA];
};

/* Public, and the same for a key's whole life. */
static const char *const lasting[] = {
    OSSL_PKEY_PARAM_BITS,           OSSL_PKEY_PARAM_SECURITY_BITS,
    OSSL_PKEY_PARAM_MAX_SIZE,       OSSL_PKEY_PARAM_GROUP_NAME,
    OSSL_PKEY_PARAM_DEFAULT_DIGEST, OSSL_PKEY_PARAM_MANDATORY_DIGEST,
};

/* The name of what |p| asks for, if the answer lasts. */
static const char *question(const OSSL_PARAM *p)
{
    if (p->data == NULL || (p->data_type != OSSL_PARAM_UTF8_STRING &&
                            p->data_type != OSSL_PARAM_INTEGER &&
                            p->data_type != OSSL_PARAM_UNSIGNED_INTEGER)) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++) {
        if (strcmp(lasting[i], p->key) == 0) {
            return lasting[i];
        }
    }
    return NULL;
}

static const struct fact *find(const struct facts *fs, const OSSL_PARAM *p)
{
    int n = fs != NULL ? __atomic_load_n(&fs->n, __ATOMIC_ACQUIRE) : 0;
    const char *name = n != 0 ? question(p) : NULL;

    for (int i = 0; i < n && name != NULL; i++) {
        const struct fact *f = fs->fact[i];

        if (f->name == name && f->type == p->data_type &&
            f->room == p->data_size) {
            return f;
        }
    }
    return NULL;
}

int facts_answer(const struct facts *fs, OSSL_PARAM params[])
{
    const struct fact *f;

    for (const OSSL_PARAM *p = params; p->key != NULL; p++) {
        if (find(fs, p) == NULL) {
            return 0;
        }
    }
    for (OSSL_PARAM *p = params; p->key != NULL; p++) {
        f = find(fs, p);
        p->return_size = f->answered;
        memcpy(p->data, f->data, f->len);
    }
    return 1;
}

/* How much of the asker's room an answer has filled. */
static size_t filled(const OSSL_PARAM *p)
{
    size_t len = p->return_size;

    if (len == OSSL_PARAM_UNMODIFIED) {
        return 0;
    }
    if (p->data_type == OSSL_PARAM_UTF8_STRING && len < p->data_size) {
        len++; /* the NUL */
    }
    return len;
}

static void keep_one(struct facts *fs, const OSSL_PARAM *p)
{
    const char *name = question(p);
    size_t len = name != NULL ? filled(p) : 0;
    struct fact *f;

    if (name == NULL || len > FACT_DATA || len > p->data_size ||
        (f = calloc(1, sizeof(*f))) == NULL) {
        return;
    }
    f->name = name;
    f->type = p->data_type;
    f->room = p->data_size;
    f->answered = p->return_size;
    f->len = len;
    memcpy(f->data, p->data, len);
    pthread_mutex_lock(&prov.lock);
    if (fs->n < FACTS_MAX && find(fs, p) == NULL) {
        fs->fact[fs->n] = f;
        __atomic_store_n(&fs->n, fs->n + 1, __ATOMIC_RELEASE);
        f = NULL;
    }
    pthread_mutex_unlock(&prov.lock);
    free(f);
}

void facts_keep(struct facts *fs, const OSSL_PARAM params[])
{
    for (const OSSL_PARAM *p = params; fs != NULL && p->key != NULL; p++) {
        keep_one(fs, p);
    }
}

void facts_forget(struct facts *fs)
{
    for (int i = 0; i < fs->n; i++) {
        free(fs->fact[i]);
    }
    fs->n = 0;
}
