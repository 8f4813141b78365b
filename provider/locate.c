/*
 * locate.c - finding a parameter by its name, faster.
 *
 * A cipher of OpenSSL 3.0 that is asked for a tag looks for eight names in a
 * list of one, with a call of strcmp for each: a tenth of what a short record
 * takes inside. Names mostly differ within a few letters, so they are compared
 * in place. The calls of the inner OpenSSL's objects come here by the linker's
 * --wrap; what is found is the same.
 */
#include <openssl/params.h>

OSSL_PARAM *__wrap_OSSL_PARAM_locate(OSSL_PARAM *p, const char *key);
const OSSL_PARAM *__wrap_OSSL_PARAM_locate_const(const OSSL_PARAM *p,
                                                 const char *key);

/* The linker keeps one copy of a string: what the inside itself asks for has
 * its name from there. Most others differ in the first letters. */
static inline int is_same(const char *a, const char *b)
{
    if (a == b) {
        return 1;
    }
    if (a[0] != b[0]) {
        return 0;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        if (a[i] != b[i]) {
            return 0;
        }
    }
    return 1;
}

static inline const OSSL_PARAM *find(const OSSL_PARAM *p, const char *key)
{
    if (p == NULL || key == NULL) {
        return NULL;
    }
    for (; p->key != NULL; p++) {
        if (is_same(p->key, key)) {
            return p;
        }
    }
    return NULL;
}

const OSSL_PARAM *__wrap_OSSL_PARAM_locate_const(const OSSL_PARAM *p,
                                                 const char *key)
{
    return find(p, key);
}

OSSL_PARAM *__wrap_OSSL_PARAM_locate(OSSL_PARAM *p, const char *key)
{
    return (OSSL_PARAM *)find(p, key);
}
