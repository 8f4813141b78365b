#include "fake_inside.h"

#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct inner mpkprov_inner;
int fake_inside_hostile;
const void *fake_inside_outside;
int fake_inside_full, fake_inside_asked;
void (*fake_inside_asking)(void);

void fake_inside_start(void)
{
    mpkprov_inner.provider = OSSL_PROVIDER_load(NULL, "default");
    if (mpkprov_inner.provider == NULL) {
        fputs("no default provider\n", stderr);
        exit(1);
    }
    mpkprov_inner.provctx =
        OSSL_PROVIDER_get0_provider_ctx(mpkprov_inner.provider);
}

static int names_have(const char *names, const char *name)
{
    size_t n = strlen(name);

    for (; names != NULL; names = strchr(names, ':')) {
        names += *names == ':';
        if (strncmp(names, name, n) == 0 &&
            (names[n] == ':' || names[n] == '\0')) {
            return 1;
        }
    }
    return 0;
}

int inner_look_up(int op, const char *name, struct inner_alg *alg)
{
    int no_cache;
    const OSSL_ALGORITHM *a =
        OSSL_PROVIDER_query_operation(mpkprov_inner.provider, op, &no_cache);

    for (; a != NULL && a->algorithm_names != NULL; a++) {
        if (names_have(a->algorithm_names, name)) {
            for (const OSSL_DISPATCH *d = a->implementation;
                 d->function_id != 0; d++) {
                alg->fn[d->function_id] = d->function;
            }
            return 1;
        }
    }
    return 0;
}

int fail_with(struct mpkprov_frame *f, int reason, const char *const *part)
{
    f->error.reason = reason;
    f->error.text[0] = '\0';
    for (; *part != NULL; part++) {
        strncat(f->error.text, *part,
                sizeof(f->error.text) - strlen(f->error.text) - 1);
    }
    return 0;
}

int fail(struct mpkprov_frame *f, int reason, const char *text)
{
    const char *const part[] = {text, NULL};

    return fail_with(f, reason, part);
}

int mpk_is_inside(const void *p, size_t len)
{
    (void)len;
    return p != fake_inside_outside;
}

void handle_free_ended(const struct mpkprov_frame *f, enum object_kind kind)
{
    (void)f;
    (void)kind;
}

int fail_inner(struct mpkprov_frame *f, const char *what)
{
    return fail(f, MPKPROV_R_OPERATION, what);
}

void *mpk_heap_alloc(size_t size)
{
    fake_inside_asked++;
    if (fake_inside_asking != NULL) {
        fake_inside_asking();
    }
    return fake_inside_full ? NULL : calloc(1, size != 0 ? size : 1);
}

void mpk_heap_free(void *p)
{
    free(p);
}

int mpk_copy_in(void *dst, const void *src, size_t len)
{
    if (len != 0) {
        memcpy(dst, src, len);
    }
    if (len != 0 && fake_inside_hostile) {
        memset((void *)src, 0xcc, len);
    }
    return 0;
}

int mpk_copy_out(void *dst, const void *src, size_t len)
{
    if (len != 0) {
        memcpy(dst, src, len);
    }
    return 0;
}

#define FATAL 42

void mpk_fatal(const char *text)
{
    (void)text;
    _exit(FATAL);
}

int fake_inside_fatal(void (*body)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        body();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == FATAL;
}
