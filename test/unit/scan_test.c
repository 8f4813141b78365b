/*
 * scan_test MPKCTL VICTIM: what "mpkctl scan" must find in a live process, and
 * what it must not.
 */
#include <fcntl.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scan_forms.h"
#include "scan_run.h"

#define NOBODY 65534

static struct outcome got;

static void test_number_in_heap_is_found_big_endian(const struct forms *f)
{
    scan_held(&got, "heap", f->p, sizeof(f->p), f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
    CHECK(strstr(got.out, "\"component\": \"p\", \"form\": \"big-endian\"") !=
          NULL);
}

static void test_number_in_heap_is_found_little_endian(const struct forms *f)
{
    scan_held(&got, "heap", f->p_little, sizeof(f->p_little), f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
    CHECK(strstr(got.out, "\"form\": \"little-endian\"") != NULL);
}

/* By libcrypto's own arithmetic: 1 becomes R, and R becomes R^2. */
static void
test_what_montgomery_keeps_of_a_factor_is_found(const struct forms *f)
{
    BN_CTX *ctx = BN_CTX_new();
    BN_MONT_CTX *mont = BN_MONT_CTX_new();
    BIGNUM *p = BN_bin2bn(f->p, sizeof(f->p), NULL);
    BIGNUM *square = BN_new();
    unsigned char bytes[sizeof(f->p)];

    CHECK(BN_MONT_CTX_set(mont, p, ctx) && BN_one(square) &&
          BN_to_montgomery(square, square, mont, ctx) &&
          BN_to_montgomery(square, square, mont, ctx) &&
          BN_bn2lebinpad(square, bytes, sizeof(bytes)) == sizeof(bytes));
    scan_held(&got, "heap", bytes, sizeof(bytes), f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
    CHECK(strstr(got.out, "\"component\": \"R^2 mod p\"") != NULL);
    BN_clear_free(square);
    BN_clear_free(p);
    BN_MONT_CTX_free(mont);
    BN_CTX_free(ctx);
}

static void test_pem_text_is_found(const struct forms *f)
{
    scan_held(&got, "heap", f->pem, strlen(f->pem), f->key);
    CHECK(got.status == 1 && got.full >= 15 && got.partial == 0);
    CHECK(strstr(got.out, "\"form\": \"PKCS#8 line\"") != NULL);
}

static void test_traditional_der_is_found_as_der(const struct forms *f)
{
    scan_held(&got, "heap", f->pkcs1, f->pkcs1_len, f->key);
    CHECK(got.status == 1 && got.full == 6 && got.partial == 0);
    CHECK(strstr(got.out, "\"form\": \"DER\"") != NULL);
    CHECK(strstr(got.out, "\"form\": \"big-endian\"") == NULL);
}

static void test_remainder_is_found_as_partial(const struct forms *f)
{
    scan_held(&got, "heap-remainder", f->p, sizeof(f->p), f->key);
    CHECK(got.status == 1 && got.full == 0 && got.partial == 1);
}

/* Sixteen bytes are enough, wherever in the number they are. */
static void
test_a_piece_from_anywhere_is_found_as_partial(const struct forms *f)
{
    scan_held(&got, "heap", f->p + 1, 30, f->key);
    CHECK(got.status == 1 && got.full == 0 && got.partial == 1);
    scan_held(&got, "heap", f->p_little + 8, 16, f->key);
    CHECK(got.status == 1 && got.full == 0 && got.partial == 1);
}

static void test_freed_heap_is_found_as_partial(const struct forms *f)
{
    scan_held(&got, "heap-freed", f->p_little, sizeof(f->p_little), f->key);
    CHECK(got.status == 1 && got.full == 0 && got.partial == 1);
}

static void test_copy_across_a_block_edge_is_found(const struct forms *f)
{
    scan_held(&got, "block-edge", f->p, sizeof(f->p), f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
}

static void test_copy_across_a_mapping_edge_is_found(const struct forms *f)
{
    scan_held(&got, "mapping-edge", f->p, sizeof(f->p), f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
}

static void test_wiped_number_is_not_found(const struct forms *f)
{
    scan_held(&got, "heap-wiped", f->p, sizeof(f->p), f->key);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
}

static void test_memory_without_access_is_not_searched(const struct forms *f)
{
    scan_held(&got, "no-access", f->p, sizeof(f->p), f->key);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
    CHECK(got.prot_none >= 65536);
}

static void
test_memory_under_a_closed_key_is_not_searched(const struct forms *f)
{
    if (scan_held(&got, "pkey", f->p, sizeof(f->p), f->key) != 77) {
        CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
        CHECK(got.keyed == 65536);
    }
}

static void test_secretmem_is_reported_as_not_readable(const struct forms *f)
{
    if (scan_held(&got, "secretmem", f->p, sizeof(f->p), f->key) != 77) {
        CHECK(got.status == 2 && got.full == 0 && got.partial == 0);
        CHECK(got.not_readable >= 65536);
    }
}

static void test_secretmem_is_looked_at_when_it_is_shut(const struct forms *f)
{
    pid_t pid = victim_start("secretmem-at-times", f->p, sizeof(f->p));

    if (pid < 0) {
        CHECK(pid == -77);
        return;
    }
    for (int i = 0; i < 8; i++) {
        scan(&got, pid, f->key);
        CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
    }
    stop(pid);
}

/* In KiB; -1 if it cannot be read. */
static long shared_memory_of(pid_t pid)
{
    char path[64];
    char line[256];
    long size = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        (void)sscanf(line, "RssShmem: %ld", &size);
    }
    if (f != NULL) {
        fclose(f);
    }
    return size;
}

/* What tells where the holes are may not be for us. */
static bool may_open_map_files(void)
{
    const size_t size = 4096;
    char path[64];
    void *at = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fd;

    snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
             (unsigned long)at, (unsigned long)at + size);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    munmap(at, size);
    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

/* Seen to fail with a search that reads it from end to end: 65,536 KiB. */
static void test_holes_in_shared_memory_are_not_filled(const struct forms *f)
{
    pid_t pid = victim_start("sparse", f->p, sizeof(f->p));
    long before = shared_memory_of(pid);

    CHECK(pid > 0);
    if (pid < 0) {
        return;
    }
    scan(&got, pid, f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
    if (may_open_map_files()) {
        CHECK(before >= 0 && shared_memory_of(pid) == before);
    } else {
        puts("skipped here: /proc/PID/map_files cannot be opened");
    }
    stop(pid);
}

/* Its number is 0, as the inode of memory without a file. */
static void test_first_shared_segment_is_searched(const struct forms *f)
{
    if (scan_held(&got, "first-segment", f->p, sizeof(f->p), f->key) != 77) {
        CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
    }
}

static void test_file_called_like_the_kernels_is_searched(const struct forms *f)
{
    scan_held(&got, "file-like-vvar", f->p, sizeof(f->p), f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
}

static bool is_zombie(pid_t pid)
{
    char path[64];
    char state = '?';
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (f != NULL) {
        (void)fscanf(f, "%*d (%*[^)]) %c", &state);
        fclose(f);
    }
    return state == 'Z';
}

/* Which has no memory by its own number. */
static void
test_another_thread_is_named_when_main_has_ended(const struct forms *f)
{
    pid_t pid = victim_start("second-thread", f->p, sizeof(f->p));
    const char *named;

    CHECK(pid > 0);
    for (int i = 0; i < 1000 && !is_zombie(pid); i++) {
        usleep(10000);
    }
    scan(&got, pid, f->key);
    CHECK(got.status == 2);
    named = strstr(got.err, "use --pid ");
    CHECK(named != NULL);
    if (named != NULL) {
        scan(&got, (pid_t)strtol(named + 10, NULL, 10), f->key);
        CHECK(got.status == 1 && got.full == 1);
    }
    stop(pid);
}

static void test_public_key_is_not_found(const struct forms *f)
{
    unsigned char spki[1024];
    unsigned char *at = spki;
    int len = i2d_PUBKEY(f->pkey, &at);

    scan_held(&got, "heap", spki, (size_t)len, f->key);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
}

/* The modulus takes up the first lines of a private key's PEM. */
static void test_public_start_of_private_pem_is_not_found(const struct forms *f)
{
    unsigned char text[2048];
    int len = EVP_EncodeBlock(text, f->pkcs1, (int)f->pkcs1_public);

    scan_held(&got, "heap", f->pkcs1, f->pkcs1_public, f->key);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
    scan_held(&got, "heap", text, (size_t)len, f->key);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
    scan_held(&got, "heap", f->pem, 27 + 5 * 65, f->key);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
}

/* Every other kind of key: its PEM holds it, its public key does not. */
static void check_kind(const char *kind, EVP_PKEY *pkey, const char *path)
{
    const char *const as_pem[] = {"cat", path, NULL};
    char pem[16384];
    unsigned char bytes[16384];
    unsigned char *at = bytes;
    int before = failed_checks;
    int len;

    write_key(path, pkey, NULL);
    len = i2d_PrivateKey(pkey, &at);
    scan_held(&got, "heap", bytes, (size_t)len, path);
    CHECK(got.status == 1 && got.full >= 1 && got.partial == 0);
    run(&got, as_pem, 0);
    snprintf(pem, sizeof(pem), "%.16000s", got.out);
    scan_held(&got, "heap", pem, strlen(pem), path);
    CHECK(got.status == 1 && got.full >= 1 && got.partial == 0);
    CHECK(strstr(got.out, "traditional line") == NULL);
    at = bytes;
    len = i2d_PUBKEY(pkey, &at);
    scan_held(&got, "heap", bytes, (size_t)len, path);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
    if (failed_checks != before) {
        fprintf(stderr, "  the kind of key was %s\n", kind);
    }
    EVP_PKEY_free(pkey);
}

static void test_every_kind_of_key_is_found_in_der_and_pem(const char *dir)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    static const char *const raw[] = {
        "ED25519",
        "ED448",
        "X25519",
        "X448",
#if OPENSSL_VERSION_PREREQ(3, 5)
        "ML-DSA-44",
        "ML-DSA-65",
        "ML-DSA-87",
        "ML-KEM-512",
        "ML-KEM-768",
        "ML-KEM-1024",
        "SLH-DSA-SHA2-128f",
        "SLH-DSA-SHAKE-192s",
        "SLH-DSA-SHA2-256f",
#endif
    };
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/kind.pem", dir);
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        check_kind(curves[i], EVP_EC_gen(curves[i]), path);
    }
    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        check_kind(raw[i], EVP_PKEY_Q_keygen(NULL, NULL, raw[i]), path);
    }
}

static void test_stock_s_server_shows_its_key(const struct forms *f)
{
    const char *const req[] = {"openssl", "req",          "-new", "-x509",
                               "-config", f->cert_config, "-key", f->key,
                               "-subj",   "/CN=x",        "-out", f->cert,
                               NULL};
    const char *const server[] = {"openssl", "s_server", "-accept", "0", "-key",
                                  f->key,    "-cert",    f->cert,   NULL};
    pid_t pid = -1;

    run(&got, req, 0);
    if (got.status == 0) {
        pid = start(server, "", 0, "ACCEPT");
    }
    if (pid < 0) {
        puts("skipped here: openssl s_server does not start");
        return;
    }
    scan(&got, pid, f->key);
    stop(pid);
    CHECK(got.status == 1 && got.full >= 5);
    CHECK(strstr(got.out, "\"component\": \"d\"") != NULL);
}

static void test_json_is_json(const struct forms *f)
{
    char path[PATH_MAX + 8];
    const char *const check_json[] = {"python3", "-m", "json.tool", path, NULL};

    snprintf(path, sizeof(path), "%s.json", f->key);
    scan_held(&got, "heap", f->pem, strlen(f->pem), f->key);
    write_file(path, got.out);
    run(&got, check_json, 0);
    if (got.status == 127) {
        puts("skipped here: no python3 to check the JSON with");
    } else {
        CHECK(got.status == 0);
    }
}

static void scan_self(const char *key, const char *passin)
{
    char pid[32];
    const char *const argv[] = {mpkctl_path, "scan",     "--pid", pid, "--key",
                                key,         "--passin", passin,  NULL};

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    run(&got, argv, 0);
}

static void test_encrypted_key_needs_its_passphrase(const struct forms *f)
{
    char passin[PATH_MAX + 8];

    snprintf(passin, sizeof(passin), "file:%s", f->right);
    scan_self(f->encrypted, passin);
    CHECK(got.status == 1); /* this test has the key in its own memory */
    snprintf(passin, sizeof(passin), "file:%s", f->wrong);
    scan_self(f->encrypted, passin);
    CHECK(got.status == 2 && strstr(got.err, "wrong passphrase") != NULL);
    scan_self(f->encrypted, "file:/nonexistent");
    CHECK(got.status == 2 && strstr(got.err, "passphrase file") != NULL);
}

static void test_configuration_is_ignored(const struct forms *f)
{
    setenv("OPENSSL_CONF", f->config, 1);
    test_number_in_heap_is_found_big_endian(f);
    test_encrypted_key_needs_its_passphrase(f);
    unsetenv("OPENSSL_CONF");
}

#define PEM_OF(base64)                                                         \
    "-----BEGIN PRIVATE KEY-----\n" base64 "\n-----END PRIVATE KEY-----\n"

/* PKCS#8 of a type that nobody has (2.999.1), and of Ed25519 without a key. */
static void test_a_key_of_an_unknown_type_is_named(const struct forms *f)
{
    char path[PATH_MAX + 8];

    snprintf(path, sizeof(path), "%s.type", f->key);
    write_file(path, PEM_OF("MA0CAQAwBQYDiDcBBAEA"));
    scan(&got, getpid(), path);
    CHECK(got.status == 2 &&
          strstr(got.err, "a key of type 2.999.1, which OpenSSL ") != NULL);
    write_file(path, PEM_OF("MA0CAQAwBQYDK2VwBAEA"));
    scan(&got, getpid(), path);
    CHECK(got.status == 2 && strstr(got.err, "no private key in") != NULL);
}

static void test_errors_exit_with_2_and_one_line(const struct forms *f)
{
    const char *const usage[] = {mpkctl_path, "scan", NULL};
    const char *const command[] = {mpkctl_path, "nonsense", NULL};
    char *newline;

    scan(&got, 0x3fffffff, f->key);
    CHECK(got.status == 2 && strstr(got.err, "no process") != NULL);
    newline = strchr(got.err, '\n');
    CHECK(newline != NULL && newline[1] == '\0');
    scan(&got, getpid(), "/nonexistent");
    CHECK(got.status == 2 && strstr(got.err, "cannot read the key") != NULL);
    scan(&got, getpid(), f->config);
    CHECK(got.status == 2 && strstr(got.err, "no private key") != NULL);
    run(&got, usage, 0);
    CHECK(got.status == 2);
    run(&got, command, 0);
    CHECK(got.status == 2);
}

/* The second would be looked for nowhere. */
static void test_a_file_with_two_keys_is_refused(const struct forms *f,
                                                 const char *dir)
{
    char path[PATH_MAX], both[PATH_MAX];
    const char *const cat[] = {"cat", f->key, path, NULL};
    EVP_PKEY *other = EVP_EC_gen("P-256");

    snprintf(path, sizeof(path), "%s/second.pem", dir);
    snprintf(both, sizeof(both), "%s/both.pem", dir);
    write_key(path, other, NULL);
    EVP_PKEY_free(other);
    run(&got, cat, 0);
    write_file(both, got.out);
    scan(&got, getpid(), both);
    CHECK(got.status == 2 &&
          strstr(got.err, "has more than one private key") != NULL);
}

static void test_foreign_process_is_refused(const struct forms *f)
{
    const char *const argv[] = {mpkctl_path, "scan", "--pid", "1",
                                "--key",     f->key, NULL};

    if (geteuid() == 0 && chmod(f->key, 0644) != 0) {
        return;
    }
    run(&got, argv, geteuid() == 0 ? NOBODY : 0);
    if (got.status == 127 || got.status == 126) {
        puts("skipped here: another user cannot run mpkctl");
        return;
    }
    CHECK(got.status == 2 && strstr(got.err, "no permission") != NULL);
}

static void run_all(const struct forms *f, const char *dir)
{
    /* An emulated machine is for the sake of its protection keys, and slow. */
    if (getenv("MPK_VM") != NULL) {
        test_memory_without_access_is_not_searched(f);
        test_memory_under_a_closed_key_is_not_searched(f);
        test_secretmem_is_reported_as_not_readable(f);
        return;
    }
    test_number_in_heap_is_found_big_endian(f);
    test_number_in_heap_is_found_little_endian(f);
    test_what_montgomery_keeps_of_a_factor_is_found(f);
    test_pem_text_is_found(f);
    test_traditional_der_is_found_as_der(f);
    test_remainder_is_found_as_partial(f);
    test_a_piece_from_anywhere_is_found_as_partial(f);
    test_freed_heap_is_found_as_partial(f);
    test_copy_across_a_block_edge_is_found(f);
    test_copy_across_a_mapping_edge_is_found(f);
    test_wiped_number_is_not_found(f);
    test_memory_without_access_is_not_searched(f);
    test_memory_under_a_closed_key_is_not_searched(f);
    test_secretmem_is_reported_as_not_readable(f);
    test_secretmem_is_looked_at_when_it_is_shut(f);
    test_holes_in_shared_memory_are_not_filled(f);
    test_first_shared_segment_is_searched(f);
    test_file_called_like_the_kernels_is_searched(f);
    test_another_thread_is_named_when_main_has_ended(f);
    test_public_key_is_not_found(f);
    test_public_start_of_private_pem_is_not_found(f);
    test_every_kind_of_key_is_found_in_der_and_pem(dir);
    test_stock_s_server_shows_its_key(f);
    test_json_is_json(f);
    test_encrypted_key_needs_its_passphrase(f);
    test_configuration_is_ignored(f);
    test_errors_exit_with_2_and_one_line(f);
    test_a_key_of_an_unknown_type_is_named(f);
    test_a_file_with_two_keys_is_refused(f, dir);
    test_foreign_process_is_refused(f);
}

int main(int argc, char **argv)
{
    static struct forms forms;
    char dir[] = "/tmp/mpk-scan-test-XXXXXX";
    const char *const rm[] = {"rm", "-rf", dir, NULL};

    if (argc != 3 || mkdtemp(dir) == NULL) {
        fputs("usage: scan_test MPKCTL VICTIM\n", stderr);
        return 1;
    }
    chmod(dir, 0755);
    mpkctl_path = argv[1];
    victim_path = argv[2];
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    forms_make(&forms, dir);
    run_all(&forms, dir);
    forms_free(&forms);
    run(&got, rm, 0);
    return failed_checks == 0 ? 0 : 1;
}
