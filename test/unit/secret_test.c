/* Handles: they open to what was sealed, and to nothing else. */
#include "claims.h"
#include "fake_inside.h"
#include "secret.h"
#include "tls_kdf.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TYPES 10 /* enum secret_type */

/* ---- secrets ------------------------------------------------------------- */

static void test_a_handle_opens_to_its_secret(void)
{
    for (int type = 1; type <= TYPES; type++) {
        for (size_t len = SECRET_MIN; len <= SECRET_READY + 20; len++) {
            unsigned char secret[100], p[100];

            RAND_bytes(secret, sizeof(secret));
            memcpy(p, secret, sizeof(p));
            secret_seal((enum secret_type)type, p, len);
            CHECK(memcmp(p, secret, 16) != 0);
            CHECK(memcmp(p + len, secret + len, sizeof(p) - len) == 0);
            secret_open((enum secret_type)type, p, len);
            CHECK(memcmp(p, secret, sizeof(p)) == 0);
        }
    }
}

static void test_equal_secrets_of_a_type_have_equal_handles(void)
{
    unsigned char handle[TYPES + 1][48] = {{0}}, again[48] = {0};

    for (int type = 1; type <= TYPES; type++) {
        secret_seal((enum secret_type)type, handle[type], 48);
        for (int other = 1; other < type; other++) {
            CHECK(memcmp(handle[type], handle[other], 48) != 0);
        }
    }
    secret_seal(SECRET_STAGE, again, 48);
    CHECK(memcmp(again, handle[SECRET_STAGE], 48) == 0);
}

static void test_a_handle_of_another_type_or_length_is_noise(void)
{
    unsigned char secret[48] = {1, 2, 3}, p[48];

    for (int type = 1; type <= TYPES; type++) {
        memcpy(p, secret, sizeof(p));
        secret_seal(SECRET_TRAFFIC, p, sizeof(p));
        secret_open((enum secret_type)type, p, sizeof(p));
        CHECK((memcmp(p, secret, sizeof(p)) == 0) == (type == SECRET_TRAFFIC));
    }
    memcpy(p, secret, sizeof(p));
    secret_seal(SECRET_TRAFFIC, p, 48);
    secret_open(SECRET_TRAFFIC, p, 32);
    CHECK(memcmp(p, secret, 16) != 0 && memcmp(p + 16, secret + 16, 16) != 0);
}

static void seal_too_little(void)
{
    unsigned char p[16] = {0};

    secret_seal(SECRET_STAGE, p, SECRET_MIN - 1);
}

static void open_too_little(void)
{
    unsigned char p[16] = {0};

    secret_open(SECRET_STAGE, p, SECRET_MIN - 1);
}

/* ---- pre-master secrets -------------------------------------------------- */

static void test_premaster_handles_know_themselves(void)
{
    static const size_t lengths[] = {1,  16,  32,   48,           56,
                                     66, 255, 1024, PREMASTER_MAX};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        unsigned char pms[PREMASTER_MAX], p[PREMASTER_MAX + PREMASTER_MORE];
        unsigned char out[PREMASTER_MAX + PREMASTER_MORE + 1];
        size_t n = lengths[i], len = 0;

        RAND_bytes(pms, sizeof(pms));
        premaster_seal(p, pms, n);
        CHECK(premaster_open(out, &len, p, n + PREMASTER_MORE) == 1);
        CHECK(len == n && memcmp(out, pms, n) == 0);
        CHECK(premaster_open(p, &len, p, n + PREMASTER_MORE) == 1);
        CHECK(memcmp(p, pms, n) == 0);
        CHECK(premaster_open(out, &len, pms, n) == 0);
        CHECK(premaster_open(out, &len, p, n) == 0);
        premaster_seal(p, pms, n);
        CHECK(premaster_open(out, &len, p, n + PREMASTER_MORE - 1) == 0);
        memcpy(out, p, n + PREMASTER_MORE);
        out[n + PREMASTER_MORE] = 0;
        CHECK(premaster_open(out, &len, out, n + PREMASTER_MORE + 1) == 0);
    }
}

/* It would be written to where a secret has less room. */
static void test_a_premaster_is_not_longer_than_any(void)
{
    static unsigned char p[PREMASTER_MAX + 1 + PREMASTER_MORE];
    unsigned char q[sizeof(p)];
    size_t len;

    secret_seal(SECRET_PREMASTER, p, sizeof(p));
    CHECK(premaster_open(q, &len, p, sizeof(p)) == 0);
    memset(p, 0, sizeof(p));
    secret_seal(SECRET_PREMASTER, p, sizeof(p) - 1);
    CHECK(premaster_open(q, &len, p, sizeof(p) - 1) == 1);
}

static void test_a_premaster_says_what_it_is_for(void)
{
    unsigned char pms[32] = {7}, p[48], q[48], out[48];
    size_t len = 0;

    premaster_seal(p, pms, sizeof(pms));
    premaster_seal_tls12(q, pms, sizeof(pms));
    CHECK(memcmp(p, q, sizeof(p)) != 0);
    CHECK(premaster_open(out, &len, q, sizeof(q)) == PREMASTER_TLS12);
    CHECK(len == sizeof(pms) && memcmp(out, pms, sizeof(pms)) == 0);
    /* A byte that says neither. */
    memcpy(p, pms, sizeof(pms));
    memset(p + sizeof(pms), 0, PREMASTER_MORE);
    p[sizeof(p) - 1] = 2;
    secret_seal(SECRET_PREMASTER, p, sizeof(p));
    CHECK(premaster_open(out, &len, p, sizeof(p)) == 0);
}

static int all_zero(const unsigned char *p, size_t len)
{
    unsigned char sum = 0;

    while (len-- > 0) {
        sum |= *p++;
    }
    return sum == 0;
}

static void test_a_changed_premaster_handle_is_none(void)
{
    unsigned char pms[32] = {7}, p[48], out[48];
    size_t len;

    premaster_seal(p, pms, sizeof(pms));
    for (size_t bit = 0; bit < 8 * sizeof(p); bit++) {
        p[bit / 8] ^= (unsigned char)(1 << bit % 8);
        memset(out, 0xee, sizeof(out));
        CHECK(premaster_open(out, &len, p, sizeof(p)) == 0);
        CHECK(all_zero(out, sizeof(out)));
        p[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    CHECK(premaster_open(out, &len, p, sizeof(p)) == 1);
}

static void test_rsa_premasters(void)
{
    static const unsigned char version[][2] = {
        {3, 1},
        {3, 2},
        {3, 3},
        {0xfe, 0xff},
        {0xfe, 0xfd},
        /* The client would have liked TLS 1.3, or what comes after it. */
        {3, 4},
        {3, 5},
        {3, 15}};
    unsigned char pms[48], p[48];

    for (size_t i = 0; i < sizeof(version) / 2; i++) {
        RAND_bytes(pms, sizeof(pms));
        memcpy(pms, version[i], 2);
        memcpy(p, pms, sizeof(p));
        CHECK(rsa_premaster_open(p) == 0);
        CHECK(memcmp(p, pms, sizeof(p)) == 0);
        rsa_premaster_seal(p, 0);
        CHECK(p[0] != 3 && p[0] != 0xfe);
        CHECK(memcmp(p + 2, pms + 2, 16) != 0);
        CHECK(rsa_premaster_open(p) == 1);
        CHECK(memcmp(p, pms, sizeof(p)) == 0);
        /* What comes of a ciphertext that does not decrypt looks alike. */
        memset(p, 0x5a, 2);
        rsa_premaster_seal(p, (unsigned)version[i][0] << 8 | version[i][1]);
        CHECK(p[0] == (version[i][0] ^ 0x80) && p[1] == version[i][1]);
        CHECK(rsa_premaster_open(p) == 1);
        CHECK(memcmp(p, pms, sizeof(p)) == 0);
    }
    /* A version that nobody knows, or may be another. */
    for (unsigned told = 0; told <= 0x7777; told += 0x7777) {
        memset(pms, 0x5a, sizeof(pms));
        memcpy(p, pms, sizeof(p));
        rsa_premaster_seal(p, told);
        CHECK(rsa_premaster_open(p) == 1);
        CHECK(p[0] == 3 && p[1] == 3 && memcmp(p + 2, pms + 2, 46) == 0);
    }
}

/* Whether what stands in |padded| comes out, and if not, that it is the same
 * each time and another with other versions. */
static int unpads(const unsigned char *padded, size_t len, unsigned version,
                  unsigned other)
{
    unsigned char p[48], again[48], not_its[48];

    rsa_premaster_unpad(p, padded, len, version, other);
    rsa_premaster_unpad(again, padded, len, version, other);
    rsa_premaster_unpad(not_its, padded, len, 0x7777, 0);
    CHECK(memcmp(p, again, sizeof(p)) == 0);
    CHECK(memcmp(p + 2, not_its + 2, 46) != 0);
    return memcmp(p, padded + len - 48, 48) == 0;
}

static void test_padding_of_rsa(void)
{
    static const size_t lens[] = {RSA_PREMASTER_LEAST, 128, 256, 512};
    unsigned char padded[512];

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        size_t len = lens[i], end = len - 49;

        memset(padded, 0x11, sizeof(padded));
        padded[0] = padded[end] = 0;
        padded[1] = 2;
        padded[end + 1] = padded[end + 2] = 3;
        CHECK(unpads(padded, len, 0x0303, 0));
        CHECK(unpads(padded, len, 0x0304, 0x0303));
        CHECK(!unpads(padded, len, 0x0304, 0));
        CHECK(!unpads(padded, len, 0x0403, 0x0302));
        for (size_t at = 0; at < end + 3; at++) {
            unsigned char was = padded[at];

            padded[at] = was != 0 ? 0 : 1;
            CHECK(!unpads(padded, len, 0x0303, 0));
            padded[at] = was;
        }
        padded[end + 1] = padded[end + 2] = 0; /* no other version */
        CHECK(!unpads(padded, len, 0x0303, 0));
    }
}

/* ---- keys ---------------------------------------------------------------- */

/* In a call of its own. */
static int give_key(unsigned char *p, size_t len)
{
    struct keys_given call = {0};

    return key_give(&call, p, len, KEY_OF_TLS13);
}

static void test_a_key_is_taken_once(void)
{
    for (size_t len = 16; len <= 32; len += 16) {
        unsigned char key[32] = {0}, handle[32], p[32];

        key[0] = (unsigned char)len;
        memcpy(handle, key, sizeof(key));
        give_key(handle, len);
        CHECK(memcmp(handle, key, len) != 0);
        memcpy(p, handle, sizeof(p));
        CHECK(key_take(p, len ^ 48) == KEY_GONE);
        CHECK(memcmp(p, handle, sizeof(p)) == 0);
        CHECK(key_take(p, len) == KEY_OF_TLS13);
        CHECK(memcmp(p, key, len) == 0);
        CHECK(key_take(p, len) == KEY_RAW); /* as it is */
        CHECK(memcmp(p, key, len) == 0);
        memcpy(p, handle, sizeof(p));
        CHECK(key_take(p, len) == KEY_GONE);
        CHECK(memcmp(p, handle, sizeof(p)) == 0);
        give_key(key, len); /* and again: the same handle */
        CHECK(memcmp(key, handle, len) == 0);
        CHECK(key_take(key, len) == KEY_OF_TLS13);
    }
}

/* A key that happened to begin so would be refused. */
static void test_other_keys_have_another_beginning(void)
{
    for (int i = 0; i < 1000; i++) {
        unsigned char key[32], handle[32];
        int at = 8 + i % 24; /* behind the beginning, in each word */

        RAND_bytes(key, sizeof(key));
        memcpy(handle, key, sizeof(handle));
        CHECK(key_take(key, 16) == KEY_RAW && key_take(key, 32) == KEY_RAW);
        give_key(handle, 32);
        CHECK(key_take(key, 32) == KEY_RAW);
        handle[0] ^= 1;
        CHECK(key_take(handle, 32) == KEY_RAW);
        handle[0] ^= 1;
        handle[at] ^= 1;
        CHECK(key_take(handle, 32) == KEY_GONE);
        handle[at] ^= 1;
        CHECK(key_take(handle, 32) == KEY_OF_TLS13);
    }
}

/* As after a change of the pointer, while it was on the caller's stack. */
static void take_to_outside(void)
{
    unsigned char handle[32] = {9};

    give_key(handle, sizeof(handle));
    fake_inside_outside = handle;
    key_take(handle, sizeof(handle));
}

static void give_a_key_of_no_cipher(void)
{
    unsigned char key[32] = {9};

    give_key(key, 24);
}

static void give_too_many_in_a_call(void)
{
    struct keys_given call = {0};
    unsigned char key[32];

    for (unsigned i = 0; i <= KEYS_PER_CALL; i++) {
        memset(key, (int)i, sizeof(key));
        key_give(&call, key, sizeof(key), KEY_OF_TLS13);
    }
}

static int takes(const unsigned char *handle, size_t len)
{
    unsigned char p[32];
    int n = 0;

    do {
        memcpy(p, handle, len);
    } while (key_take(p, len) > KEY_RAW && ++n);
    return n;
}

static void test_a_handle_is_there_twice_at_most(void)
{
    static const unsigned char key[32] = {7};
    struct keys_given call = {0};
    unsigned char handle[32];

    for (int i = 0; i < 8; i++) {
        memcpy(handle, key, sizeof(key));
        key_give(&call, handle, sizeof(handle), KEY_OF_TLS12);
    }
    CHECK(takes(handle, sizeof(handle)) == 1);
    for (int i = 0; i < 8; i++) {
        memcpy(handle, key, sizeof(key));
        give_key(handle, sizeof(handle));
    }
    CHECK(takes(handle, sizeof(handle)) == 2);
}

static int give_one(unsigned char handle[32])
{
    static int given;

    memset(handle, 0xee, 32);
    memcpy(handle, &given, sizeof(given));
    given++;
    return give_key(handle, 32);
}

/* Gives keys that no other call gives, |n| of them, and returns how many it was
 * told are there. All of these are. */
static int give_and_take(int n)
{
    static unsigned char handle[4096][32];
    static int ok[4096];
    int there = 0;

    for (int i = 0; i < n; i++) {
        ok[i] = give_one(handle[i]);
    }
    for (int i = 0; i < n; i++) {
        CHECK(key_take(handle[i], 32) == (ok[i] ? KEY_OF_TLS13 : KEY_GONE));
        there += ok[i];
    }
    return there;
}

/* As late as it would with memory. */
static void test_what_nobody_takes_gives_way_without_memory_too(void)
{
    unsigned char first[32], handle[32];
    int there = 0;

    CHECK(give_one(first));
    for (int i = 0; i < 8000; i++) {
        there += give_one(handle);
    }
    CHECK(there > 500 && there < 1024);
    for (int i = 0; i < 8000; i++) {
        there += give_one(handle);
    }
    CHECK(there > 1024);
    CHECK(key_take(first, 32) == KEY_GONE);
}

/* The first keys of the process. */
static void test_the_set_grows_with_what_waits(void)
{
    struct keys_given call = {0};
    unsigned char key[32] = {11}, again[32] = {11};

    fake_inside_full = 1;
    CHECK(give_and_take(1) == 0);
    CHECK(key_give(&call, key, sizeof(key), KEY_OF_TLS13) == 0);
    fake_inside_full = fake_inside_asked = 0;
    /* It was not given, so that the same call can give it. */
    CHECK(key_give(&call, again, sizeof(again), KEY_OF_TLS13) == 1);
    CHECK(key_take(again, sizeof(again)) == KEY_OF_TLS13);
    for (int i = 0; i < 2000; i++) {
        CHECK(give_and_take(1) == 1);
    }
    CHECK(fake_inside_asked == 1);
    /* Not all of so many have room in one part, and no more can be had. */
    fake_inside_full = 1;
    CHECK(give_and_take(1000) > 700);
    CHECK(give_and_take(1000) < 1000);
    test_what_nobody_takes_gives_way_without_memory_too();
    fake_inside_full = fake_inside_asked = 0;
    CHECK(give_and_take(1000) == 1000);
    CHECK(fake_inside_asked > 1 && fake_inside_asked < 7);
}

#define FLOOD 60000

static void test_the_oldest_handles_give_way(void)
{
    static unsigned char handle[FLOOD][32];
    int old = 0, young = 0;

    for (int i = 0; i < FLOOD; i++) {
        memcpy(handle[i], &i, sizeof(i));
        give_key(handle[i], 32);
    }
    for (int i = 0; i < 300; i++) {
        old += key_take(handle[i], 32) == KEY_GONE;
        young += key_take(handle[FLOOD - 1 - i], 32) == KEY_OF_TLS13;
    }
    CHECK(old == 300);
    CHECK(young == 300);
}

#define THREADS 4
#define CONTENDED 500
#define ROUNDS 50
static unsigned char contended[CONTENDED][16];
static int won[THREADS];
static pthread_barrier_t all_there;

static void give_all(int round)
{
    for (int i = 0; i < CONTENDED; i++) {
        memset(contended[i], 0, sizeof(contended[i]));
        memcpy(contended[i], &i, sizeof(i));
        contended[i][8] = (unsigned char)round;
        give_key(contended[i], sizeof(contended[i]));
    }
}

static void *take_all(void *arg)
{
    int *n = arg;

    for (int round = 0; round < ROUNDS; round++) {
        if (n == &won[0]) {
            give_all(round);
        }
        pthread_barrier_wait(&all_there);
        for (int i = 0; i < CONTENDED; i++) {
            unsigned char p[16];

            memcpy(p, contended[i], sizeof(p));
            *n += key_take(p, sizeof(p)) == KEY_OF_TLS13;
        }
        pthread_barrier_wait(&all_there);
    }
    return NULL;
}

static void test_of_many_threads_one_gets_a_key(void)
{
    pthread_t thread[THREADS];
    int all = 0;

    pthread_barrier_init(&all_there, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&thread[i], NULL, take_all, &won[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        all += won[i];
    }
    CHECK(all == ROUNDS * CONTENDED);
}

/* ---- the handle key's file ----------------------------------------------- */

static const char *path_of_file(void)
{
    static char path[] = "/tmp/mpk-handle-key-XXXXXX";
    static int made;

    if (!made) {
        close(mkstemp(path));
        made = 1;
    }
    return path;
}

static const char *write_file(const char *text, mode_t mode)
{
    const char *path = path_of_file();
    FILE *f;

    chmod(path, 0600);
    f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
    return path;
}

#define GOOD                                                                   \
    "-----BEGIN MPK HANDLE KEY-----\n"                                         \
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"                           \
    "-----END MPK HANDLE KEY-----\n"

static int boot(const char *text, mode_t mode, struct mpkprov_frame *f)
{
    memset(f, 0, sizeof(*f));
    return secret_boot(f, write_file(text, mode));
}

/* Which handles share a bucket hangs on the key: from here on the same ones, so
 * that how many have room is not for chance to say. */
static void take_a_known_key(void)
{
    struct mpkprov_frame f;

    CHECK(boot(GOOD, 0600, &f) == 1);
    unlink(write_file("", 0600));
}

static void sealed_zeros(unsigned char out[32])
{
    memset(out, 0, 32);
    secret_seal(SECRET_PSK, out, 32);
}

static void test_handle_key_files(void)
{
    static const char *const damaged[] = {
        "x",
        "-----BEGIN MPK HANDLE KEY-----\n",
        "-----BEGIN MPK HANDLE KEY-----\n"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh\n"
        "-----END MPK HANDLE KEY-----\n",
        "-----BEGIN MPK HANDLE KEY-----\n"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8h\n"
        "-----END MPK HANDLE KEY-----\n",
        "-----BEGIN MPK HANDLE KEY-----\n"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n"
        "-----END MPK HANDLE KEY-----\n",
        "-----BEGIN MPK HANDLE KEY-----\n"
        "AAECAwQFBgcICQoLDA0ODx!REhMUFRYXGBkaGxwdHh8=\n"
        "-----END MPK HANDLE KEY-----\n",
        "-----BEGIN MPK HANDLE KEY-----\n"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh==\n"
        "-----END MPK HANDLE KEY-----\n",
        "-----BEGIN MPK HANDLE KEY-----\n"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A\n"
        "-----END MPK HANDLE KEY-----\n",
        "-----BEGIN MPK Handle KEY-----\n"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
        "-----END MPK HANDLE KEY-----\n",
        "-----BEGIN MPK HANDLE KEY-----\n"
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
        "-----END MPK Handle KEY-----\n",
        GOOD "more\n"};
    unsigned char a[32], b[32], c[32];
    struct mpkprov_frame f;

    CHECK(boot(GOOD, 0600, &f) == 1);
    sealed_zeros(a);
    CHECK(boot(GOOD, 0400, &f) == 1);
    sealed_zeros(b);
    CHECK(memcmp(a, b, 32) == 0);
    memset(&f, 0, sizeof(f));
    CHECK(secret_boot(&f, NULL) == 1);
    sealed_zeros(b);
    CHECK(secret_boot(&f, NULL) == 1);
    sealed_zeros(c);
    CHECK(memcmp(a, b, 32) != 0 && memcmp(b, c, 32) != 0);
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        CHECK(boot(damaged[i], 0600, &f) == 0);
        CHECK(f.error.reason == MPKPROV_R_FILE);
    }
    /* Root's, with mode 0440, is what a service gets by LoadCredential=. */
    CHECK(boot(GOOD, 0440, &f) == (geteuid() == 0 && getegid() == 0));
    CHECK(boot(GOOD, 0444, &f) == 0);
    CHECK(boot(GOOD, 0640, &f) == 0);
    CHECK(strstr(f.error.text, "chmod 600") != NULL);
    CHECK(boot(GOOD, 0604, &f) == 0);
    CHECK(secret_boot(&f, "/nowhere/at/all") == 0);
    CHECK(strstr(f.error.text, "no such file") != NULL);
    unlink(write_file("", 0600));
}

/* While it is read: what it is opened with, and how long it has become. */
static int closes_on_exec, grows;

static void look_at_file(void)
{
    const char *path = path_of_file();
    char link[32], target[64];

    for (int fd = 0; fd < 64; fd++) {
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strcmp(target, path) == 0) {
            closes_on_exec = fcntl(fd, F_GETFD) == FD_CLOEXEC;
        }
    }
    if (grows) {
        FILE *f = fopen(path, "a");

        fputs("===", f);
        fclose(f);
    }
}

static void test_a_file_that_is_being_written(void)
{
    struct mpkprov_frame f;

    fake_inside_asking = look_at_file;
    CHECK(boot(GOOD, 0600, &f) == 1);
    CHECK(closes_on_exec);
    grows = 1;
    CHECK(boot("-----BEGIN MPK HANDLE KEY-----\n", 0600, &f) == 0);
    CHECK(strstr(f.error.text, "being written") != NULL);
    fake_inside_asking = NULL;
    unlink(write_file("", 0600));
}

/* Nor is a pipe read that somebody has filled. */
static void test_only_files_are_read(void)
{
    struct mpkprov_frame f = {0};
    int fd;

    unlink(write_file("", 0600));
    CHECK(mkfifo(path_of_file(), 0600) == 0);
    alarm(20); /* it would be waited for */
    CHECK(secret_boot(&f, path_of_file()) == 0);
    alarm(0);
    CHECK(strstr(f.error.text, "not a regular file") != NULL);
    fd = open(path_of_file(), O_RDWR);
    CHECK(write(fd, GOOD, strlen(GOOD)) == (ssize_t)strlen(GOOD));
    CHECK(secret_boot(&f, path_of_file()) == 0);
    CHECK(strstr(f.error.text, "not a regular file") != NULL);
    close(fd);
    unlink(path_of_file());
}

/* What the group may read is root's, with root's group. */
static void test_of_the_group_only_roots(void)
{
    struct mpkprov_frame f = {0};

    if (geteuid() != 0) {
        return;
    }
    for (uid_t uid = 0; uid < 2; uid++) {
        for (gid_t gid = 0; gid < 2; gid++) {
            if (chown(write_file(GOOD, 0440), uid, gid) == 0) {
                CHECK(secret_boot(&f, path_of_file()) ==
                      (uid == 0 && gid == 0));
            }
        }
    }
    unlink(path_of_file());
}

/* A length that no other handles have has a tweak of its own, whatever stands
 * behind those that are made ready. */
static void test_long_handles_stay_what_they_are(void)
{
    static const unsigned char want[8] = {0x97, 0x75, 0xdb, 0x9f,
                                          0xe1, 0x70, 0x43, 0xc8};
    unsigned char got[SECRET_READY + 16] = {0};

    take_a_known_key();
    secret_seal(SECRET_PREMASTER, got, sizeof(got));
    CHECK(memcmp(got, want, sizeof(want)) == 0);
}

/*
 * The handle of 32 zeros as a PSK under the key file above, from another
 * implementation of all that is involved. It never changes: that would end
 * the sessions of everybody who keeps handles.
 */
static void test_handles_stay_what_they_are(void)
{
    static const unsigned char want[32] = {
        0xe5, 0x8a, 0x43, 0x80, 0x4d, 0xb7, 0x39, 0x78, 0xb9, 0xb1, 0x98,
        0x85, 0x80, 0xbf, 0xf6, 0xac, 0xa6, 0x0d, 0x68, 0xc7, 0x1a, 0xe8,
        0xd7, 0xa0, 0xb1, 0xa4, 0x96, 0x97, 0x22, 0xa9, 0x53, 0x47};
    unsigned char got[32];

    take_a_known_key();
    sealed_zeros(got);
    CHECK(memcmp(got, want, sizeof(want)) == 0);
}

/* ---- for a reader -------------------------------------------------------- */

static void print_cost(void)
{
    struct timespec a, b;
    unsigned char p[64] = {0};

    for (size_t len = 16; len <= 64; len += 16) {
        double best = 1e9;

        for (int round = 0; round < 50; round++) {
            double ns;

            clock_gettime(CLOCK_MONOTONIC, &a);
            for (int i = 0; i < 200; i++) {
                secret_seal(SECRET_STAGE, p, len);
            }
            clock_gettime(CLOCK_MONOTONIC, &b);
            ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 +
                  (double)(b.tv_nsec - a.tv_nsec)) /
                 200;
            best = ns < best ? ns : best;
        }
        printf("sealing %zu bytes: %.0f ns\n", len, best);
    }
}

int main(void)
{
    struct mpkprov_frame f = {0};

    fake_inside_start();
    CHECK(secret_boot(&f, NULL) == 1);
    test_a_handle_opens_to_its_secret();
    test_equal_secrets_of_a_type_have_equal_handles();
    test_a_handle_of_another_type_or_length_is_noise();
    CHECK(fake_inside_fatal(seal_too_little));
    CHECK(fake_inside_fatal(open_too_little));
    test_premaster_handles_know_themselves();
    test_a_premaster_is_not_longer_than_any();
    test_a_premaster_says_what_it_is_for();
    test_a_changed_premaster_handle_is_none();
    test_rsa_premasters();
    test_padding_of_rsa();
    take_a_known_key();
    test_the_set_grows_with_what_waits();
    test_a_key_is_taken_once();
    test_other_keys_have_another_beginning();
    test_a_handle_is_there_twice_at_most();
    CHECK(fake_inside_fatal(take_to_outside));
    CHECK(fake_inside_fatal(give_a_key_of_no_cipher));
    CHECK(fake_inside_fatal(give_too_many_in_a_call));
    test_the_oldest_handles_give_way();
    test_of_many_threads_one_gets_a_key();
    test_handle_key_files();
    test_a_file_that_is_being_written();
    test_only_files_are_read();
    test_of_the_group_only_roots();
    test_handles_stay_what_they_are();
    test_long_handles_stay_what_they_are();
    print_cost();
    return claims_end();
}
