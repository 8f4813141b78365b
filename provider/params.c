/*
 * params.c - OSSL_PARAM arrays that cross the gate.
 *
 * The caller's array can change while it is read, so each element is copied
 * once, and only the copy is looked at.
 */
#include "inside.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/proverr.h>

#include <string.h>

static int allowed(const char *const *allow, const char *name)
{
    if (allow == NULL) {
        return 1;
    }
    for (; *allow != NULL; allow++) {
        if (strcmp(*allow, name) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Copies a name of less than PARAMS_NAME bytes; 1, 0 too long, -1 bad. */
static int enter_name(char name[PARAMS_NAME], const char *outer)
{
    for (size_t i = 0; i < PARAMS_NAME; i++) {
        if (mpk_copy_in(&name[i], outer + i, 1) != 0) {
            return -1;
        }
        if (name[i] == '\0') {
            return 1;
        }
    }
    return 0;
}

/*
 * What an OpenSSL that was built for tests of random numbers lets a caller say.
 * With "kat" an ECDSA context keeps its last nonce; when that is set back, it
 * signs everything with that one, and two signatures give the key. To the
 * inside these are names that nobody knows, as in any other build.
 */
static int is_for_tests(const char *name)
{
    return strcmp(name, OSSL_SIGNATURE_PARAM_KAT) == 0 ||
           strcmp(name, "test-entropy") == 0;
}

/*
 * Where the inner OpenSSL takes a digest by name (SM2's encryption does) it
 * takes an engine as well. One that it does not know is a file, any, which it
 * would load, and whose constructors would run, inside. 4.0 has no engines,
 * and its headers no name for this.
 */
static int is_engine(const char *name)
{
    if (strcmp(name, "engine") != 0) {
        return 0;
    }
    ERR_raise(ERR_LIB_PROV, ERR_R_UNSUPPORTED);
    return 1;
}

/*
 * Of a digest without a length of its own (SHAKE), how long the result is. What
 * makes a signature of it has room for EVP_MAX_MD_SIZE, on the stack, and does
 * not look (until OpenSSL 3.4, which takes no such digest): more would be
 * written over return addresses, inside. So has what makes DSA's q, and fills
 * up with zeros what a digest does not reach. |p| is a copy.
 */
static int is_too_long(const OSSL_PARAM *p, const char *name)
{
    size_t n, most = strcmp(name, OSSL_DIGEST_PARAM_XOFLEN) == 0
                         ? EVP_MAX_MD_SIZE
                     : strcmp(name, OSSL_PKEY_PARAM_FFC_QBITS) == 0
                         ? 8 * EVP_MAX_MD_SIZE
                         : SIZE_MAX;

    if (most == SIZE_MAX || !OSSL_PARAM_get_size_t(p, &n) || n <= most) {
        return 0;
    }
    ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_DIGEST_LENGTH);
    return 1;
}

static int asks_too_much(const OSSL_PARAM *p)
{
    static const char *const bits[] = {OSSL_PKEY_PARAM_RSA_BITS,
                                       OSSL_PKEY_PARAM_FFC_PBITS};
    size_t n;

    for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
        if (strcmp(p->key, bits[i]) == 0) {
            return OSSL_PARAM_get_size_t(p, &n) &&
                   n > OPENSSL_RSA_MAX_MODULUS_BITS;
        }
    }
    return (p->data_type == OSSL_PARAM_UNSIGNED_INTEGER ||
            p->data_type == OSSL_PARAM_INTEGER) &&
           p->data_size > PARAMS_NUMBER_MAX;
}

/*
 * The inner OpenSSL computes with a private key's numbers however long they
 * are, and looks for one of a new key below any order, also when there is none.
 */
int params_may_end(const OSSL_PARAM *p)
{
    for (; p->key != NULL; p++) {
        unsigned long n;

        if (asks_too_much(p)) {
            ERR_raise(ERR_LIB_RSA, RSA_R_MODULUS_TOO_LARGE);
            return 0;
        }
        if (strcmp(p->key, OSSL_PKEY_PARAM_EC_ORDER) == 0 &&
            OSSL_PARAM_get_ulong(p, &n) && n <= 1) {
            ERR_raise(ERR_LIB_EC, EC_R_INVALID_GROUP_ORDER);
            return 0;
        }
    }
    return 1;
}

/* What is_too_long is about, where q is made, or made again to compare, of a
 * seed. */
static int is_hash_too_short(const struct params_in *ps)
{
    const OSSL_PARAM *q = OSSL_PARAM_locate_const(ps->p, OSSL_PKEY_PARAM_FFC_Q);

    if (q == NULL || q->data_size <= EVP_MAX_MD_SIZE ||
        OSSL_PARAM_locate_const(ps->p, OSSL_PKEY_PARAM_FFC_SEED) == NULL) {
        return 0;
    }
    ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_DIGEST_LENGTH);
    return 1;
}

/* Whether |p| can be set without a value. Most of what is not there the inner
 * OpenSSL would read all the same; of CCM's tag it takes the length. */
static int may_be_null(const OSSL_PARAM *p, const char *name)
{
    return p->data_type == OSSL_PARAM_OCTET_STRING &&
           (p->data_size == 0 || strcmp(name, OSSL_CIPHER_PARAM_AEAD_TAG) == 0);
}

/* The inner OpenSSL writes a floating-point number, which nothing here is,
 * whether there is a place for it or not. */
static int may_be_asked_for_its_size(const OSSL_PARAM *p)
{
    return p->data_type != OSSL_PARAM_REAL;
}

/*
 * Room for a pointer, and none for anything else. The inner OpenSSL writes a
 * point of a curve wherever |data| is, of whatever type, if |data_size| says
 * that there is room: behind the pointer, and into it, so that what it leads to
 * would be the caller's choice.
 */
static int enter_pointer(OSSL_PARAM *p, const char *name)
{
    p->data = mpk_is_outside(p->data, sizeof(void *))
                  ? mpk_heap_alloc(sizeof(void *))
                  : NULL;
    if (p->data == NULL) {
        return 0;
    }
    memset(p->data, 0, sizeof(void *));
    /* Of ciphers alone, which look at the type, and first at the size. */
    if (strcmp(name, OSSL_CIPHER_PARAM_IV) != 0 &&
        strcmp(name, OSSL_CIPHER_PARAM_UPDATED_IV) != 0) {
        p->data_size = 0;
    }
    return 1;
}

/* Copies one element's value, or makes room for the answer. */
static int enter_value(OSSL_PARAM *p, const char *name, int to_get)
{
    void *data;

    if (p->data == NULL) {
        return to_get ? may_be_asked_for_its_size(p) : may_be_null(p, name);
    }
    if (param_is_reference(p)) {
        return enter_pointer(p, name);
    }
    /* Of a signed number without bytes the inner OpenSSL looks for the sign in
     * what lies before it; of one that is asked for, before its own variable.
     */
    if (p->data_type == OSSL_PARAM_INTEGER && p->data_size == 0) {
        return 0;
    }
    if (p->data_size > PARAMS_DATA_MAX ||
        !mpk_is_outside(p->data, p->data_size)) {
        return 0;
    }
    /* A string of no bytes still has an address, and one more for a NUL. */
    data = mpk_heap_alloc(p->data_size + 1);
    if (data == NULL) {
        return 0;
    }
    if (!to_get && mpk_copy_in(data, p->data, p->data_size) != 0) {
        mpk_heap_free(data);
        return 0;
    }
    p->data = data;
    return 1;
}

static int enter_one(struct params_in *ps, const OSSL_PARAM *outer, int to_get,
                     const char *const *allow)
{
    OSSL_PARAM *p = &ps->p[ps->n];
    int named = enter_name(ps->name[ps->n], p->key);

    if (named < 0) {
        return 0;
    }
    /* One that nobody knows is passed over, as providers do. */
    if (!named || (!to_get && is_for_tests(ps->name[ps->n])) ||
        !allowed(allow, ps->name[ps->n])) {
        return 1;
    }
    /* Most setters take no pointer to a value, and say so; to go on without
     * would be to do something else than was asked for. */
    if (!to_get && (param_is_reference(p) || is_engine(ps->name[ps->n]))) {
        return 0;
    }
    ps->outer[ps->n] = (OSSL_PARAM *)outer;
    ps->outer_data[ps->n] = p->data;
    if (!enter_value(p, ps->name[ps->n], to_get)) {
        return 0;
    }
    p->key = ps->name[ps->n];
    p->return_size = OSSL_PARAM_UNMODIFIED;
    ps->n++;
    return to_get || !is_too_long(p, p->key);
}

int params_enter(struct params_in *ps, const OSSL_PARAM *outer, int to_get,
                 const char *const *allow)
{
    size_t seen = 0;
    int ok = 1;

    /* Only what is used of the struct is touched: it is large. */
    ps->n = 0;
    while (ok && outer != NULL) {
        OSSL_PARAM *p = &ps->p[ps->n];

        if (mpk_copy_in(p, outer, sizeof(*p)) != 0) {
            ok = 0;
        } else if (p->key == NULL) {
            break;
        } else {
            ok = seen++ < PARAMS_MAX && enter_one(ps, outer, to_get, allow);
            outer++;
        }
    }
    memset(&ps->p[ps->n], 0, sizeof(ps->p[0]));
    return ok && (to_get || (params_may_end(ps->p) && !is_hash_too_short(ps)));
}

/* Outside there is a copy of what the inner pointer leads to. */
static int answer_reference(const struct params_in *ps, size_t i,
                            char **scratch, size_t *room)
{
    const OSSL_PARAM *p = &ps->p[i];
    /* A string's NUL is not counted, but belongs to it. */
    size_t len = p->return_size + (p->data_type == OSSL_PARAM_UTF8_PTR);
    void *inner, *outer = NULL;

    memcpy(&inner, p->data, sizeof(inner));
    if (inner != NULL && p->return_size != 0) {
        if (len > *room || mpk_copy_out(*scratch, inner, len) != 0) {
            return 0;
        }
        outer = *scratch;
        *scratch += len;
        *room -= len;
    }
    return mpk_copy_out(ps->outer_data[i], &outer, sizeof(outer)) == 0;
}

static int answer_one(const struct params_in *ps, size_t i, char **scratch,
                      size_t *room)
{
    const OSSL_PARAM *p = &ps->p[i];
    size_t len = p->return_size;

    if (len == OSSL_PARAM_UNMODIFIED) {
        return 1;
    }
    if (param_is_reference(p) && p->data != NULL &&
        !answer_reference(ps, i, scratch, room)) {
        return 0;
    }
    if (mpk_copy_out(&ps->outer[i]->return_size, &len, sizeof(len)) != 0) {
        return 0;
    }
    if (p->data == NULL || param_is_reference(p)) {
        return 1;
    }
    if (p->data_type == OSSL_PARAM_UTF8_STRING && len < p->data_size) {
        len++;
    }
    if (len > p->data_size) {
        len = p->data_size;
    }
    return mpk_copy_out(ps->outer_data[i], p->data, len) == 0;
}

int params_answer(struct params_in *ps, void *scratch, size_t room)
{
    char *at = scratch;

    for (size_t i = 0; i < ps->n; i++) {
        if (!answer_one(ps, i, &at, &room)) {
            return 0;
        }
    }
    return 1;
}

void params_answer_room(struct params_in *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        const OSSL_PARAM *p = &ps->p[i];
        size_t len = p->return_size;

        if (len == OSSL_PARAM_UNMODIFIED || p->data == NULL ||
            (len != 0 && len <= p->data_size)) {
            continue;
        }
        if (mpk_copy_out(&ps->outer[i]->return_size, &len, sizeof(len)) != 0) {
            return;
        }
    }
}

void params_free(struct params_in *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        mpk_heap_free(ps->p[i].data);
    }
    ps->n = 0;
}

static size_t rounded(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

/*
 * The value of one element goes to |at|, which the element points to. Its name
 * stays where it is, since whoever copies an array copies no names: it is a
 * constant of this module, which is never unloaded. Member by member: between
 * two of them is what was on the stack where the element was made.
 */
static int flatten_one(OSSL_PARAM *to, const OSSL_PARAM *p, char *at)
{
    OSSL_PARAM q;

    memset(&q, 0, sizeof(q));
    q.key = p->key;
    q.data_type = p->data_type;
    q.data = p->data != NULL ? at : NULL;
    q.data_size = p->data_size;
    q.return_size = p->return_size;
    return mpk_is_outside(p->key, 1) &&
           (p->data == NULL || mpk_copy_out(at, p->data, p->data_size) == 0) &&
           mpk_copy_out(to, &q, sizeof(q)) == 0;
}

static size_t flat_size(const OSSL_PARAM *p)
{
    /* One more for the NUL behind a string. */
    return p->data != NULL ? rounded(p->data_size + 1) : 0;
}

size_t params_flatten(void *out, size_t room, const OSSL_PARAM *params)
{
    static const OSSL_PARAM end = OSSL_PARAM_END;
    size_t n = 0, need = 0;
    OSSL_PARAM *to = out;
    char *at;

    for (; params[n].key != NULL; n++) {
        if (param_is_reference(&params[n])) {
            return 0;
        }
        need += flat_size(&params[n]);
    }
    need += rounded((n + 1) * sizeof(*to));
    if (room < need) {
        return need;
    }
    if (!mpk_is_outside(out, need)) {
        return 0;
    }
    at = (char *)out + rounded((n + 1) * sizeof(*to));
    for (size_t i = 0; i < n; i++) {
        if (!flatten_one(&to[i], &params[i], at)) {
            return 0;
        }
        at += flat_size(&params[i]);
    }
    return mpk_copy_out(&to[n], &end, sizeof(end)) == 0 ? need : 0;
}
