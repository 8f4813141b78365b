/*
 * foresight_bounds_test.c - lengths in what is asked of the KDFs, signed and
 * exchanged: foresight reads and writes no further than these say, and what it
 * gives was derived.
 *
 * Each piece is the end of a page that nobody may touch the next one of, or
 * the beginning of one where it would be read backwards.
 */
#include "foresight_place.h"
#include "prov.h"
#include "tls.h"

#include "claims.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- what foresight.c needs ---------------------------------------------- */

struct prov_outside prov;

int keylog_is_on(void)
{
    return 0;
}

int mpk_is_outside(const void *p, size_t len)
{
    (void)p;
    (void)len;
    return 1;
}

/* ---- pieces -------------------------------------------------------------- */

#define PAGE 4096
#define SIZE 32 /* of SHA-256 */
#define LABEL(text)                                                            \
    ((struct kdf_piece){(const unsigned char *)(text), strlen(text)})

static unsigned char *page; /* with one at either side that ends who reads it */

/* |len| bytes, behind which nothing can be read. */
static unsigned char *before_the_end(size_t len)
{
    return page + PAGE - len;
}

static unsigned char secret[SIZE], hash[SIZE], result[SIZE];

static struct kdf_request expansion(const char *label)
{
    return (struct kdf_request){.which = KDF_TLS13,
                                .mode = KDF_EXPAND,
                                .digest = PRF_SHA256,
                                .key = {secret, SIZE},
                                .prefix = LABEL("tls13 "),
                                .label = LABEL(label),
                                .data = {hash, SIZE}};
}

static struct kdf_request extract(void)
{
    return (struct kdf_request){.which = KDF_TLS13,
                                .mode = KDF_EXTRACT,
                                .digest = PRF_SHA256,
                                .prefix = LABEL("tls13 "),
                                .label = LABEL("derived")};
}

static void forget_all(void)
{
    memset(&prov.foresight, 0, sizeof(prov.foresight));
    prov.foresight.keys = prov.foresight.tickets = 100;
    prov.foresight.key_len[PRF_SHA256] = 16;
}

static uint32_t planned(const struct kdf_request *r, size_t out_len)
{
    static struct foresight_plan plan;

    foresight_plan(&plan, r, result, out_len);
    return plan.n;
}

static int is_anywhere(const void *bytes, size_t len)
{
    return memmem(&prov.foresight, sizeof(prov.foresight), bytes, len) != NULL;
}

/* ---- claims -------------------------------------------------------------- */

/* Secrets of TLS 1.3, and what they are derived over, are as long as a hash. */
static void test_what_has_another_length_foresees_nothing(void)
{
    struct kdf_request r = expansion("s hs traffic");

    forget_all();
    CHECK(planned(&r, SIZE) == 7);
    CHECK(planned(&r, SIZE - 1) == 0 && planned(&r, SIZE + 1) == 0);
    r.key.len--;
    CHECK(planned(&r, SIZE) == 0);
    r = expansion("s hs traffic");
    r.data.len--;
    CHECK(planned(&r, SIZE) == 0);
    r = expansion("s hs traffic");
    prov.foresight.key_len[PRF_SHA256] = 17;
    CHECK(planned(&r, SIZE) == 3);
    CHECK(foresight_fits(&(struct kdf_next){.out_len = FORESIGHT_OUT}));
    CHECK(!foresight_fits(&(struct kdf_next){.out_len = FORESIGHT_OUT + 1}));
}

/* The one without a key, a salt or data is the same for all. */
static void test_only_the_early_secret_is_known(void)
{
    unsigned char early[64], out[64] = {0};
    struct kdf_request r = extract();

    memset(early, 0xee, sizeof(early));
    forget_all();
    CHECK(!foresight_answer(&r, out, SIZE));
    foresight_notice(&r, early, SIZE);
    CHECK(foresight_answer(&r, out, SIZE) && out[SIZE - 1] == 0xee);
    memset(out, 0, sizeof(out));
    CHECK(!foresight_answer(&r, out, SIZE - 1));
    CHECK(!foresight_answer(&r, out, sizeof(out)));
    r.data = (struct kdf_piece){hash, SIZE};
    CHECK(!foresight_answer(&r, out, SIZE));
    r = extract();
    r.salt = (struct kdf_piece){secret, SIZE};
    CHECK(!foresight_answer(&r, out, SIZE));
    r = extract();
    r.key = (struct kdf_piece){secret, SIZE};
    CHECK(!foresight_answer(&r, out, SIZE));
    CHECK(out[0] == 0);
}

/* There is room for a handle of the longest hash. */
static void test_a_hint_is_no_longer_than_its_place(void)
{
    unsigned char longer[PRF_SIZE_MAX + 16];
    struct kdf_request r = extract();

    r.key = (struct kdf_piece){secret, SIZE};
    memset(longer, 0xdd, sizeof(longer));
    forget_all();
    foresight_notice(&r, longer, sizeof(longer));
    CHECK(!is_anywhere(longer, 8));
    foresight_notice(&r, longer, PRF_SIZE_MAX);
    CHECK(is_anywhere(longer, PRF_SIZE_MAX));
}

/* The inside stops at what it refuses, and has said how many it has made. */
static void test_what_was_not_derived_is_no_answer(void)
{
    static struct foresight_plan plan;
    struct kdf_request r = expansion("s hs traffic"),
                       other = expansion("c hs traffic");
    unsigned char out[SIZE];
    size_t left = 0;

    for (int done = 0; done < 2; done++) {
        forget_all();
        foresight_plan(&plan, &r, result, SIZE);
        memset(plan.out, 0xa5, sizeof(plan.out));
        foresight_keep(&plan, (uint64_t)done);
        /* What is kept does not stay on the stack. */
        for (size_t i = 0; i < plan.n * sizeof(plan.out[0]); i++) {
            left += ((unsigned char *)plan.out)[i] != 0;
        }
        CHECK(left == 0);
        CHECK(foresight_answer(&other, out, SIZE) == done);
        CHECK(!is_anywhere("\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 8));
    }
}

static void test_what_is_signed_is_read_as_far_as_it_goes(void)
{
    forget_all();
    for (size_t len = 0; len <= 200; len++) {
        unsigned char *tbs = before_the_end(len);

        memset(page, 3, PAGE); /* a curve that is named */
        foresight_signed(tbs, len);
        memset(page, (int)(len - 68), PAGE);
        foresight_signed(tbs, len);
    }
}

static uint32_t planned12(const char *label, size_t key_len, size_t data_len,
                          size_t out_len)
{
    static unsigned char randoms[FORESIGHT_RANDOMS];
    struct kdf_request r = {.which = KDF_TLS1,
                            .mode = KDF_NO_MODE,
                            .digest = PRF_SHA256,
                            .key = {before_the_end(key_len), key_len},
                            .n_seeds = 2,
                            .seed = {LABEL(label), {randoms, data_len}}};

    prov.foresight.block_len[PRF_SHA256] = 88;
    prov.foresight.blocks = prov.foresight.finishes = 100;
    return planned(&r, out_len);
}

static void test_of_tls12_there_is_one_length_of_each(void)
{
    forget_all();
    CHECK(planned12("master secret", 48, 64, 48) == 1);
    CHECK(planned12("master secret", 48, 63, 48) == 0);
    CHECK(planned12("master secret", 48, 64, 47) == 0);
    CHECK(planned12("extended master secret", 48, SIZE, 48) == 1);
    CHECK(planned12("extended master secret", 48, SIZE - 1, 48) == 0);
    CHECK(planned12("extended master secret", 48, SIZE, 49) == 0);
}

/* Public keys are read from their end. */
static void test_what_is_exchanged_is_read_as_far_as_it_goes(void)
{
    static const unsigned char premaster[16] = {1, 1, 1, 1, 1, 1, 1, 1,
                                                1, 1, 1, 1, 1, 1, 1, 1};
    unsigned char tbs[64 + 4 + 32] = {[64] = 3, [67] = 32};

    forget_all();
    memset(page, 1, PAGE);
    for (size_t len = 0; len < 32; len++) {
        foresight_exchanged(page, len, premaster, sizeof(premaster));
    }
    for (size_t len = 0; len < 16; len++) {
        foresight_exchanged(page, 32, before_the_end(len), len);
    }
    /* The same thread's, whose randoms are known. */
    foresight_signed(tbs, sizeof(tbs));
    foresight_exchanged(tbs + 68, 32, premaster, sizeof(premaster));
    for (size_t len = 0; len < 16; len++) {
        CHECK(planned12("extended master secret", len, SIZE, 48) == 1);
    }
    CHECK(planned12("extended master secret", 16, SIZE, 48) == 2);
}

int main(void)
{
    page = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED ||
        mprotect(page += PAGE, PAGE, PROT_READ | PROT_WRITE) != 0) {
        return 1;
    }
    memset(secret, 7, sizeof(secret));
    memset(hash, 9, sizeof(hash));
    test_what_has_another_length_foresees_nothing();
    test_only_the_early_secret_is_known();
    test_a_hint_is_no_longer_than_its_place();
    test_what_was_not_derived_is_no_answer();
    test_what_is_signed_is_read_as_far_as_it_goes();
    test_of_tls12_there_is_one_length_of_each();
    test_what_is_exchanged_is_read_as_far_as_it_goes();
    return claims_end();
}
