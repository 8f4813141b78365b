/* entries_input.c - choices from the input, and memory for entries. */
#include "../attack/module.h"
#include "entries.h"

#include <openssl/provider.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const uint8_t *at, *end;

void input_start(const uint8_t *data, size_t len)
{
    at = data;
    end = data + len;
}

bool input_goes_on(void)
{
    return at < end;
}

static uint32_t byte(void)
{
    return at < end ? *at++ : 0;
}

uint32_t pick(uint32_t n)
{
    uint32_t value = byte();

    if (n > 256) {
        value |= byte() << 8;
    }
    return value % n;
}

/* At the end of the input the answer is no. */
bool one_in(uint32_t n)
{
    return pick(n) == n - 1;
}

uint64_t pick64(void)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = value << 8 | byte();
    }
    return value;
}

/* ---- memory -------------------------------------------------------------- */

/* Below the domain, so that what is too long for an address here touches it. */
#define ROOMS_AT ((char *)0x200000000000)
/* Behind a room, where addresses and lengths change while they are read: as
 * much as an entry would read at most. */
#define SLACK ((size_t)0x120000)
#define APART (ROOM + SLACK)

static char *page_behind[ROOMS];
static unsigned char *domain, *domain_end;

/* So that what begins before the domain and ends there is memory. */
static bool below_make(void)
{
    void *p = domain - ROOM;

    return mmap(p, ROOM, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p;
}

bool rooms_make(void)
{
    char *p = ROOMS_AT;

    for (int i = 0; i < ROOMS; i++, p += APART) {
        if (mmap(p, APART, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                 0) != p ||
            (!race_wanted() && mprotect(p + ROOM, SLACK, PROT_NONE) != 0)) {
            return false;
        }
        page_behind[i] = p + ROOM;
    }
    return module_domain(&domain, &domain_end) && (char *)domain > p &&
           below_make();
}

void *room(int i, size_t len)
{
    return page_behind[i] - (len < ROOM ? len : ROOM);
}

void *lasting(const void *from, size_t len)
{
    static char *next, *stop;

    if (next == NULL) {
        next = mmap(NULL, 4 * ROOM + SLACK, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        stop = next + 4 * ROOM;
    }
    if (next == MAP_FAILED || len > (size_t)(stop - next)) {
        abort();
    }
    memcpy(next, from, len);
    next += (len + 15) & ~(size_t)15;
    return next - ((len + 15) & ~(size_t)15);
}

bool is_in_room(const void *p)
{
    return (const char *)p >= ROOMS_AT &&
           (const char *)p < ROOMS_AT + ROOMS * APART;
}

void *bad_pointer(size_t len)
{
    size_t size = (size_t)(domain_end - domain);

    switch (pick(6)) {
    case 0:
        return NULL;
    case 1:
        return domain + pick(32);
    case 2:
        return domain_end - 1 - pick(32);
    case 3:
        return domain + pick64() % size;
    case 4: /* the last byte is the domain's first */
        return domain + 1 - (len > ROOM ? ROOM : len != 0 ? len : 1);
    default:
        return (void *)UINTPTR_MAX;
    }
}

size_t a_length(void)
{
    static const uint16_t usual[] = {
        0,  1,  2,  4,  5,  7,  8,  12, 13, 15, 16,  17,  20,  24,  28,  31,
        32, 33, 47, 48, 56, 57, 63, 64, 65, 97, 114, 128, 133, 255, 256, 512};

    return one_in(8) ? pick(ROOM + 1) : usual[pick(32)];
}

size_t bad_length(void)
{
    switch (pick(5)) {
    case 0:
        return SIZE_MAX - pick(32);
    case 1: /* to the domain's first byte, or less than all of it */
        return (size_t)(domain - (unsigned char *)ROOMS_AT) + 1;
    case 2:
        return SIZE_MAX / 2 + pick(32);
    case 3:
        return SIZE_MAX - (size_t)(uintptr_t)ROOMS_AT + pick(32);
    default:
        return SIZE_MAX / 16 + pick(32);
    }
}

/* ---- the module ---------------------------------------------------------- */

static const char *setting(const char *name, const char *usual)
{
    const char *value = getenv(name);

    return value != NULL ? value : usual;
}

void module_load(void)
{
    const char *module = getenv("MPK_FUZZ_MODULE");
    const char *backend = setting("MPK_FUZZ_BACKEND", "none");
    const char *isolation = setting("MPK_FUZZ_ISOLATION", "shared");
    char path[] = "/tmp/mpk-entries-fuzz-XXXXXX";
    int fd = mkstemp(path);

    if (fd < 0 || module == NULL ||
        dprintf(fd,
                "openssl_conf = init\n[init]\nproviders = list\n"
                "alg_section = algorithms\n[list]\nMPK = first\n"
                "default = dflt\nmpk = second\n[dflt]\nactivate = 1\n"
                "[first]\nmodule = %s\nrole = tls\nactivate = 1\n"
                "backend = %s\nmemory = anonymous\ntls-secrets = warn\n"
                "tls12-cbc = refuse\nkey-isolation = %s\n"
                "[second]\nmodule = %s\nrole = keys\nactivate = 1\nbackend = "
                "%s\nmemory = anonymous\nkey-isolation = %s\n"
                "[algorithms]\ndefault_properties = ?mpk.use=yes\n",
                module, backend, isolation, module, backend, isolation) < 0 ||
        setenv("OPENSSL_CONF", path, 1) != 0 ||
        !OSSL_PROVIDER_available(NULL, "mpk") ||
        !OSSL_PROVIDER_available(NULL, "MPK")) {
        fputs("the module in MPK_FUZZ_MODULE cannot be loaded\n", stderr);
        exit(1);
    }
    close(fd);
    unlink(path);
}
