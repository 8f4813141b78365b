/* victim.c - an application with a private key. */
#include "attack.h"
#include "needles.h"

#include "../../mpkcore/state.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct victim victim;

const char *victim_path(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof(path), "%s/%s", victim.dir, name);
    return path;
}

bool victim_sign(void)
{
    unsigned char sig[512];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok =
        EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, victim.key) == 1 &&
        EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"msg", 3) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

_Noreturn void victim_sign_for_ever(void)
{
    for (;;) {
        victim_sign();
    }
}

_Noreturn void victim_read_target(void)
{
    cell(needles_find(victim.target, NEEDLE_LEN) != NULL
             ? "**key read**"
             : "something else read");
}

static void take_needles(const char *name, bool number)
{
    int fd = open(victim_path(name), O_RDONLY | O_CLOEXEC);

    if (fd < 0 || needles_receive(fd, number) < 6) {
        trouble(name);
    }
    close(fd);
}

void victim_seek_text(void)
{
    take_needles("needles.text", false);
}

static void load_from(BIO *bio)
{
    take_needles("needles", true);
    victim.key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    if (victim.key == NULL || !victim_sign()) {
        trouble("the key cannot be used");
    }
    if (victim.column == MPK) {
        outcome_key(module_pkey());
    }
}

void victim_load(void)
{
    BIO *bio = BIO_new_file(victim_path("key.pem"), "r");

    load_from(bio);
    BIO_free(bio);
}

void victim_come_and_go(void)
{
    BIO *bio = BIO_new_file(victim_path("key.pem"), "r");

    load_from(bio);
    EVP_PKEY_free(victim.key);
    BIO_free(bio);
}

/* ---- cheating ------------------------------------------------------------ */

void *module_symbol(const char *name)
{
    void *p = module_find_symbol(name);

    if (p == NULL) {
        trouble(name);
    }
    return p;
}

struct heap {
    unsigned char *start;
    size_t len;
};

static struct heap domain_heap(void)
{
    const struct mpk_ro *ro = module_symbol("mpk_ro");
    struct mpk_out *out = module_symbol("mpk_out");
    char *end = atomic_load(&out->heap_end);

    return (struct heap){(unsigned char *)ro->heap, (size_t)(end - ro->heap)};
}

static void open_domain(const struct heap *h, bool open)
{
    int rights = open ? 0 : PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE;
    int err = victim.column == MPK
                  ? pkey_set(module_pkey(), (unsigned)rights)
                  : mprotect(h->start, h->len, open ? PROT_READ : PROT_NONE);

    if (err != 0) {
        trouble("the domain cannot be opened for the test itself");
    }
}

void victim_find(void)
{
    const unsigned char *at;

    if (victim.column == STOCK) {
        at = search_all(NULL);
    } else {
        struct heap h = domain_heap();

        open_domain(&h, true);
        at = needles_find(h.start, h.len);
        open_domain(&h, false);
    }
    if (at == NULL) {
        trouble("the key's own address is not found");
    }
    victim.target = (unsigned char *)(uintptr_t)at;
}

void victim_ready(void)
{
    victim_load();
    victim_find();
}

bool victim_intact(void)
{
    struct heap h;
    bool intact;

    if (victim.column == STOCK) {
        return needles_find(victim.target, NEEDLE_LEN) != NULL;
    }
    h = domain_heap();
    open_domain(&h, true);
    intact = needles_find(victim.target, NEEDLE_LEN) != NULL;
    open_domain(&h, false);
    return intact;
}
