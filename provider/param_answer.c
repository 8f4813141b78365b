/* param_answer.c - answers in OSSL_PARAM arrays, outside. */
#include "param_answer.h"

#include "prov.h"

static OSSL_PARAM *asked(OSSL_PARAM params[], const char *name)
{
    return (OSSL_PARAM *)prov_param(params, name);
}

/* Whether |value| can be told in |size| bytes. */
static int fits(uint64_t value, size_t size, int has_sign)
{
    size_t bits = size * 8 - (has_sign != 0);

    return size != 0 && (bits >= 64 || value >> bits == 0);
}

/* |size| is what the asker is expected to bring. */
static int answer_number(OSSL_PARAM *p, uint64_t value, size_t size)
{
    size_t len;

    if (p == NULL) {
        return 1;
    }
    if (p->data_type != OSSL_PARAM_INTEGER &&
        p->data_type != OSSL_PARAM_UNSIGNED_INTEGER) {
        p->return_size = 0;
        return 0;
    }
    p->return_size = size;
    if (p->data == NULL) {
        return 1;
    }
    if (!fits(value, p->data_size, p->data_type == OSSL_PARAM_INTEGER)) {
        return 0;
    }
    len = p->data_size < sizeof(value) ? p->data_size : sizeof(value);
    memset(p->data, 0, p->data_size);
    memcpy(p->data, &value, len); /* the processor has the low byte first */
    p->return_size = p->data_size;
    return 1;
}

int answer_int(OSSL_PARAM params[], const char *name, int value)
{
    return answer_number(asked(params, name), (uint64_t)value, sizeof(value));
}

int answer_size(OSSL_PARAM params[], const char *name, uint64_t value)
{
    return answer_number(asked(params, name), value, sizeof(value));
}

static int answer_bytes(OSSL_PARAM *p, const void *value, size_t len)
{
    p->return_size = len;
    if (p->data == NULL) {
        return 1;
    }
    if (p->data_size < len) {
        return 0;
    }
    memcpy(p->data, value, len);
    return 1;
}

int answer_text(OSSL_PARAM params[], const char *name, const char *text)
{
    OSSL_PARAM *p = asked(params, name);
    size_t len = strlen(text);

    if (p == NULL) {
        return 1;
    }
    if (p->data_type == OSSL_PARAM_UTF8_PTR) {
        p->return_size = len;
        if (p->data != NULL) {
            *(const char **)p->data = text;
        }
        return 1;
    }
    if (p->data_type != OSSL_PARAM_UTF8_STRING || !answer_bytes(p, text, len)) {
        return 0;
    }
    if (p->data != NULL && p->data_size > len) {
        ((char *)p->data)[len] = '\0';
    }
    return 1;
}

int answer_octets(OSSL_PARAM params[], const char *name, const void *value,
                  size_t len)
{
    OSSL_PARAM *p = asked(params, name);

    return p == NULL || (p->data_type == OSSL_PARAM_OCTET_STRING &&
                         answer_bytes(p, value, len));
}

int answer_natural(OSSL_PARAM params[], const char *name,
                   const unsigned char *value, size_t len)
{
    OSSL_PARAM *p = asked(params, name);

    while (len > 1 && value[len - 1] == 0) {
        len--;
    }
    if (p == NULL) {
        return 1;
    }
    if (p->data_type != OSSL_PARAM_UNSIGNED_INTEGER) {
        return 0;
    }
    if (!answer_bytes(p, value, len)) {
        return 0;
    }
    if (p->data != NULL) {
        memset((char *)p->data + len, 0, p->data_size - len);
        p->return_size = p->data_size;
    }
    return 1;
}
