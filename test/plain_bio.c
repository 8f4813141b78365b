/* plain_bio.c - see plain_bio.h. */
#include "plain_bio.h"

#include <stdlib.h>
#include <string.h>

struct plain {
    const char *text;
    size_t at, len;
    bool counts;
};

static int give(struct plain *p, char *to, size_t len)
{
    memcpy(to, p->text + p->at, len);
    p->at += len;
    return (int)len;
}

static int plain_read(BIO *bio, char *to, int room)
{
    struct plain *p = BIO_get_data(bio);
    size_t left = p->len - p->at;

    return give(p, to, left < (size_t)room ? left : (size_t)room);
}

static int plain_gets(BIO *bio, char *to, int room)
{
    struct plain *p = BIO_get_data(bio);
    size_t left = p->len - p->at, n = left;
    const char *nl = memchr(p->text + p->at, '\n', left);

    if (nl != NULL) {
        n = (size_t)(nl + 1 - (p->text + p->at));
    }
    n = n < (size_t)room ? n : (size_t)room - 1;
    to[n] = '\0';
    return give(p, to, n);
}

static long plain_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    const struct plain *p = BIO_get_data(bio);

    (void)num;
    (void)ptr;
    switch (cmd) {
    case BIO_CTRL_EOF:
        return p->at == p->len;
    case BIO_C_FILE_TELL:
        return p->counts ? (long)p->at : 0;
    default:
        return 0;
    }
}

static int plain_destroy(BIO *bio)
{
    free(BIO_get_data(bio));
    return 1;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *m =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "plain");

    if (m != NULL) {
        BIO_meth_set_read(m, plain_read);
        BIO_meth_set_gets(m, plain_gets);
        BIO_meth_set_ctrl(m, plain_ctrl);
        BIO_meth_set_destroy(m, plain_destroy);
    }
    return m;
}

BIO *plain_bio_new(const void *text, size_t len, bool counts)
{
    static BIO_METHOD *method;
    struct plain *p = malloc(sizeof(*p));
    BIO *bio;

    method = method != NULL ? method : make_method();
    bio = method != NULL && p != NULL ? BIO_new(method) : NULL;
    if (bio == NULL) {
        free(p);
        return NULL;
    }
    *p = (struct plain){.text = text, .len = len, .counts = counts};
    BIO_set_data(bio, p);
    BIO_set_init(bio, 1);
    return bio;
}
