/*
 * bad_machine_child.c - the processes of bad_machine_test: each uses keys on
 * the machine that it is given, and prints what became of that.
 */
#include "bad_machine.h"
#include "ends.h"
#include "interop.h"
#include "load_forms.h"

#include "../attack/module.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/provider.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static EVP_PKEY *read_key(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)FORM_PASSPHRASE);

    BIO_free(bio);
    return key;
}

/* By a function that is told the type, and so asks for no other. */
static EVP_PKEY *read_typed(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    char *label = NULL, *header = NULL;
    unsigned char *der = NULL;
    EVP_PKEY *key = NULL;
    long len = 0;

    if (PEM_read_bio(bio, &label, &header, &der, &len)) {
        const unsigned char *p = der;

        key = d2i_PrivateKey(EVP_PKEY_EC, NULL, &p, len);
    }
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(bio);
    return key;
}

/* From a file with a certificate, which is read by the same BIO; NULL unless
 * both are there. */
static EVP_PKEY *read_bundle(const char *path)
{
    BIO *bio = BIO_new_file(path, "r");
    EVP_PKEY *key =
        bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    X509 *cert = NULL;

    if (key != NULL && BIO_reset(bio) == 0) {
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    }
    if (cert == NULL) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    X509_free(cert);
    BIO_free(bio);
    return key;
}

static bool key_works(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[256];
    size_t len = sizeof(sig);
    bool ok =
        key != NULL &&
        EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"x", 1) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

/* Both ends are of this process; the client's secrets are protected too. */
static bool connects(EVP_PKEY *key, X509 *cert)
{
    SSL_CTX *server = SSL_CTX_new(TLS_server_method());
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    BIO *a = NULL, *b = NULL;
    SSL *s, *c;
    bool ok;

    if (server == NULL || client == NULL ||
        SSL_CTX_use_certificate(server, cert) != 1 ||
        SSL_CTX_use_PrivateKey(server, key) != 1) {
        return false;
    }
    s = SSL_new(server);
    c = SSL_new(client);
    BIO_new_bio_pair(&a, 0, &b, 0);
    SSL_set_bio(s, a, a);
    SSL_set_bio(c, b, b);
    SSL_set_accept_state(s);
    SSL_set_connect_state(c);
    ok = ends_shake_hands(c, s);
    SSL_free(s);
    SSL_free(c);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return ok;
}

char *slurp(const char *path)
{
    char *text = interop_new(8192);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, 8191);

    text[n > 0 ? n : 0] = '\0';
    close(fd);
    return text;
}

/* Until the heap has had to grow, or could not. The keys stay. */
static void grow(const char *pem)
{
    size_t before, now, blocks;

    module_usage(&before, &blocks);
    for (int i = 0; i < 20000; i++) {
        EVP_PKEY *key = read_key(pem);

        module_usage(&now, &blocks);
        if (now > before) {
            printf("grown=yes\n");
            return;
        }
        if (!key_works(key)) {
            printf("grown=refused, held=%s\n", interop_provider_of(key));
            return;
        }
        if (strcmp(interop_provider_of(key), "mpk") != 0) {
            printf("held=%s\n", interop_provider_of(key));
            return;
        }
    }
    printf("grown=no\n");
}

/* What is kept on purpose would be called a leak, and without a descriptor
 * LeakSanitizer cannot look. */
static int end_of_child(void)
{
#ifdef MPK_SANITIZED
    fflush(NULL);
    _exit(0);
#endif
    return 0;
}

static int child_main(const struct scenario *s, const char *key_path,
                      const char *cert_path, const char *bundle_path, bool full)
{
    char *pem = slurp(key_path), *cert_text = slurp(cert_path);
    size_t bytes, blocks;
    EVP_PKEY *key, *typed;
    X509 *cert;
    BIO *bio;

    if (s != NULL && s->handicap != NULL && !s->late && !s->handicap()) {
        puts("skip");
        return 0;
    }
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    if (s != NULL && s->late) {
        module_usage(&bytes, &blocks); /* which opens a file the first time */
    }
    key = read_key(pem);
    printf("held=%s\nsigns=%d\n", interop_provider_of(key), key_works(key));
    typed = read_typed(pem);
    printf("held=%s\n", interop_provider_of(typed));
    EVP_PKEY_free(typed);
    typed = read_bundle(bundle_path);
    printf("bundle=%d\nheld=%s\n", typed != NULL, interop_provider_of(typed));
    EVP_PKEY_free(typed);
    if (s != NULL && s->late) {
        if (!s->handicap()) {
            puts("skip");
            return 0;
        }
        grow(pem);
    }
    bio = BIO_new_mem_buf(cert_text, -1);
    cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (full) {
        printf("connects=%d\n", key != NULL && connects(key, cert));
    }
    ERR_print_errors_fp(stderr);
    return end_of_child();
}

/* Whether what has failed says that it did so for lack of memory. */
static int works_or_says_why(int ret)
{
    const char *data = "";
    int flags;

    ERR_peek_last_error_all(NULL, NULL, NULL, &data, &flags);
    ret = ret == 1 || strstr(data, "out of domain memory") != NULL;
    ERR_clear_error();
    return ret;
}

/* No key has signed yet when the heap is full; the contexts that fill it go. */
static int full_child_main(const char *path)
{
    static EVP_MD_CTX *ctx[20000];
    static EVP_PKEY *held[20000];
    static unsigned char room[1 << 19];
    char *pem = slurp(path);
    EVP_PKEY *key = read_key(pem), *same = read_key(pem);
    OSSL_PARAM get[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, room, sizeof(room)),
        OSSL_PARAM_END};
    size_t n = 0;

    printf("held=%s\n", interop_provider_of(key));
    no_descriptor();
    while (n < sizeof(held) / sizeof(held[0]) &&
           (held[n] = EVP_PKEY_dup(key)) != NULL) {
        n++;
    }
    n = 0;
    do {
        ctx[n] = EVP_MD_CTX_new();
    } while (EVP_DigestSignInit(ctx[n], NULL, EVP_sha512(), NULL, key) == 1 &&
             EVP_DigestSignUpdate(ctx[n], "x", 1) == 1 &&
             ++n < sizeof(ctx) / sizeof(ctx[0]));
    printf("full=%d\n", !key_works(key));
    ERR_clear_error();
    printf("said=%d", works_or_says_why(EVP_PKEY_eq(key, same)));
    printf("%d\n", works_or_says_why(EVP_PKEY_get_params(key, get)));
    for (size_t i = 0; i < sizeof(ctx) / sizeof(ctx[0]); i++) {
        EVP_MD_CTX_free(ctx[i]);
        EVP_PKEY_free(held[i]);
    }
    printf("signs=%d\n", key_works(key) && EVP_PKEY_eq(key, same) == 1);
    EVP_PKEY_free(same);
    return end_of_child();
}

/* Signs with SHA-256; 1, 0, or -1 for a signature that stock does not take. */
static int signs_well(EVP_PKEY *key, OSSL_LIB_CTX *stock, EVP_PKEY *same)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *check = EVP_MD_CTX_new();
    const unsigned char *x = (const unsigned char *)"x";
    unsigned char sig[256];
    size_t len = sizeof(sig);
    int ret = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, sig, &len, x, 1) == 1;

    if (ret == 1 && (EVP_DigestVerifyInit_ex(check, NULL, "SHA256", stock, NULL,
                                             same, NULL) != 1 ||
                     EVP_DigestVerify(check, sig, len, x, 1) != 1)) {
        ret = -1;
    }
    EVP_MD_CTX_free(check);
    EVP_MD_CTX_free(ctx);
    return ret;
}

static EVP_PKEY *read_stock(OSSL_LIB_CTX *stock, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, stock, NULL);

    BIO_free(bio);
    return key;
}

#define ROUNDS 1500
#define HELD_MAX 20000
#define GONE_MAX 48

/*
 * What holds the heap: copies of keys, and contexts of three digests. Until
 * there is room for no more; then some go, as a signature needs more or less
 * with one OpenSSL inside or another.
 */
static EVP_PKEY *copy[HELD_MAX];
static EVP_MD_CTX *begun[HELD_MAX];
static size_t copies, contexts;

static bool hold_one(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx;
    const EVP_MD *md[] = {EVP_sha256(), EVP_sha512(), EVP_sha3_256()};
    int which = rand() % 4;

    if (which == 3) {
        EVP_PKEY *made = copies < HELD_MAX ? EVP_PKEY_dup(key) : NULL;

        if (made != NULL) {
            copy[copies++] = made;
        }
        return made != NULL;
    }
    ctx = EVP_MD_CTX_new();
    if (contexts == HELD_MAX ||
        EVP_DigestSignInit(ctx, NULL, md[which], NULL, key) != 1 ||
        EVP_DigestSignUpdate(ctx, "x", 1) != 1) {
        EVP_MD_CTX_free(ctx);
        return false;
    }
    begun[contexts++] = ctx;
    return true;
}

static void let_go_of(int n)
{
    for (; n > 0; n--) {
        if (rand() % 2 != 0 && copies > 0) {
            size_t i = (size_t)rand() % copies;

            EVP_PKEY_free(copy[i]);
            copy[i] = copy[--copies];
        } else if (contexts > 0) {
            size_t i = (size_t)rand() % contexts;

            EVP_MD_CTX_free(begun[i]);
            begun[i] = begun[--contexts];
        }
    }
}

/* A context that is made ready once. What it signs is always the same. */
static EVP_PKEY_CTX *keep_ready(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    return EVP_PKEY_sign_init(ctx) == 1 ? ctx : NULL;
}

/* As signs_well; the first is the one that all others are compared with. */
static int kept_signs_well(EVP_PKEY_CTX *kept)
{
    static unsigned char first[256];
    static size_t first_len;
    unsigned char sig[256];
    size_t len = sizeof(sig);

    if (EVP_PKEY_sign(kept, sig, &len, (const unsigned char *)"x", 1) != 1) {
        return 0;
    }
    if (first_len == 0) {
        memcpy(first, sig, len);
        first_len = len;
    }
    return len == first_len && memcmp(sig, first, len) == 0 ? 1 : -1;
}

static int rsa_child_main(const char *path, const char *other_path)
{
    OSSL_LIB_CTX *stock = OSSL_LIB_CTX_new();
    char *pem = slurp(path);
    EVP_PKEY *key = read_key(pem), *other = read_key(slurp(other_path));
    EVP_PKEY_CTX *kept = keep_ready(key);
    EVP_PKEY *same;
    int count[3] = {0, 0, 0};

    OSSL_PROVIDER_load(stock, "default");
    same = read_stock(stock, pem);
    printf("held=%s\nkept=%d\n", interop_provider_of(key),
           kept_signs_well(kept));
    no_descriptor();
    srand(1);
    for (int i = 0; i < ROUNDS; i++) {
        while (hold_one(rand() % 2 != 0 ? key : other)) {
        }
        let_go_of(rand() % GONE_MAX);
        for (int n = 0; n < 3; n++) {
            count[signs_well(key, stock, same) + 1]++;
        }
        count[0] += kept_signs_well(kept) < 0;
        ERR_clear_error();
    }
    printf("signed=%d\nfailed=%d\nwrong=%d\n", count[2] > 0, count[1] > 0,
           count[0]);
    while (copies + contexts > 0) {
        let_go_of(1);
    }
    printf("kept=%d\n", kept_signs_well(kept));
    return end_of_child();
}

/* More than there are protection keys. */
#define GROUPS 20

/* Keys end, and others come, while no page can be given other rights; later
 * nothing of them is left. */
static bool end_when_full(const char *pem)
{
    EVP_PKEY *key[GROUPS];
    size_t n = 0;

    while (n < GROUPS && key_works(key[n] = read_key(pem))) {
        n++;
    }
    if (n < GROUPS || !one_mapping()) {
        return false;
    }
    while (n > 0) {
        EVP_PKEY_free(key[--n]);
        EVP_PKEY_free(read_key(pem));
    }
    many_mappings();
    ERR_clear_error();
    key[0] = read_key(pem);
    n = key_works(key[0]);
    EVP_PKEY_free(key[0]);
    return n == 1;
}

static int groups_child_main(const char *path)
{
    char *pem = slurp(path);
    long long before;

    /* What is there after the first time stays, and the pages for groups that
     * may come with the second. */
    if (!end_when_full(pem) || !end_when_full(pem)) {
        puts("skip");
        return 0;
    }
    before = interop_blocks("mpk");
    printf("works=%d\n", end_when_full(pem));
    printf("more=%lld\n", interop_blocks("mpk") - before);
    return end_of_child();
}

/* Whether a process that had no memory for all of its ciphers when it read its
 * first encrypted key, since only |left| keys had gone, reads one later. */
static int reads_encrypted_later(const char *plain, const char *encrypted,
                                 size_t left)
{
    EVP_PKEY *key = read_key(plain);
    bool ok = key_works(key);

    while (copies < HELD_MAX && (copy[copies] = EVP_PKEY_dup(key)) != NULL) {
        copies++;
        if (copies == 300) { /* room for the ciphers, when they have gone */
            no_descriptor();
        }
    }
    for (; left > 0 && copies > 0; left--) {
        EVP_PKEY_free(copy[--copies]);
    }
    EVP_PKEY_free(read_key(encrypted));
    while (copies > 0) {
        EVP_PKEY_free(copy[--copies]);
    }
    EVP_PKEY_free(key);
    key = read_key(encrypted);
    ok = ok && key_works(key);
    EVP_PKEY_free(key);
    return ok;
}

/* A program that closes all descriptors, and has its own files there then. */
static int daemon_child_main(const char *path, const char *cert_path)
{
    EVP_PKEY *key = read_key(slurp(path));
    BIO *bio = BIO_new_file(cert_path, "r");
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int fd[16];
    off_t written = 0;

    printf("connects=%d\n", connects(key, cert));
    BIO_free(bio);
    for (int i = STDERR_FILENO + 1; i < 64; i++) {
        close(i);
    }
    for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
        fd[i] = memfd_create("own", 0);
    }
    printf("connects=%d\n", connects(key, cert));
    for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++) {
        written += lseek(fd[i], 0, SEEK_CUR);
    }
    printf("written=%lld\n", (long long)written);
    return end_of_child();
}

/* A program without standard input, where its next file will be. */
static int closed_child_main(const char *path, const char *cert_path)
{
    char *pem = slurp(path);
    BIO *bio;
    X509 *cert;

    close(STDIN_FILENO);
    printf("signs=%d\n", key_works(read_key(pem)));
    bio = BIO_new_file(cert_path, "r");
    cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    printf("connects=%d\n", connects(read_key(pem), cert));
    printf("closed=%d\n", fcntl(STDIN_FILENO, F_GETFD) < 0);
    return end_of_child();
}

static int ciphers_child_main(const char *path)
{
    char *plain = slurp(path);
    const char *encrypted = strstr(plain + 1, "-----BEGIN");
    int good = 0, status;

    for (size_t left = 0; left < 200; left += 10) {
        pid_t pid = fork();

        if (pid == 0) {
            _exit(reads_encrypted_later(plain, encrypted, left));
        }
        good += waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
                WEXITSTATUS(status) == 1;
    }
    printf("good=%d\n", good);
    return end_of_child();
}

static int limited_child_main(size_t kib, const char *path)
{
    char *pem = slurp(path);
    EVP_PKEY *key;

    if (!locked_memory(kib << 10)) {
        puts("skip");
        return 0;
    }
    key = read_key(pem);
    printf("held=%s\nsigns=%d\n", interop_provider_of(key), key_works(key));
    return end_of_child();
}

int bad_machine_child(int number, const struct scenario *s, char **argv)
{
    switch (number) {
    case FULL_CHILD:
        return full_child_main(argv[4]);
    case RSA_CHILD:
        return rsa_child_main(argv[4], argv[6]);
    case GROUPS_CHILD:
        return groups_child_main(argv[4]);
    case CIPHERS_CHILD:
        return ciphers_child_main(argv[4]);
    case DAEMON_CHILD:
        return daemon_child_main(argv[4], argv[5]);
    case CLOSED_CHILD:
        return closed_child_main(argv[4], argv[5]);
    default:
        return number < LIMITED_CHILD
                   ? limited_child_main((size_t)(LIMITED_CHILD - number),
                                        argv[4])
                   : child_main(s, argv[4], argv[5], argv[6],
                                strcmp(argv[3], "full") == 0);
    }
}
