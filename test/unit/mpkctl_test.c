/*
 * mpkctl_test: parts of mpkctl by themselves: a whole file in memory, strings
 * in JSON, and what "mpkctl keylog" writes and leaves behind.
 *
 * Seen to fail: test_a_file_is_loaded_whole with room for what fstat says and
 * no more; test_json_keeps_utf8 with each byte a character; test_nothing_of_a_
 * revealed_key_log_is_left with a wipe up to the first 0, and without the one
 * of standard output's buffer; test_a_full_disk_is_an_error without the look at
 * what could not be written.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "hex.h"
#include "json.h"
#include "matcher.h"
#include "mpkctl.h"
#include "procmem.h"
#include "scan_run.h"

#define RANDOM                                                                 \
    "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7"
#define HANDLE                                                                 \
    "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"
#define SECRET                                                                 \
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
#define MASTER SECRET "a11af9f05531f856ad47116b45a95032"
#define PIPED ((size_t)3 << 20)

static char revealed[64], app[64], out[64];

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    CHECK(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void read_text(const char *path, char *text, size_t cap)
{
    size_t len = 0;

    CHECK(file_read(path, (uint8_t *)text, cap - 1, &len) == 0);
    text[len] = '\0';
}

/* ---- files --------------------------------------------------------------- */

static pid_t start_writer(int fd)
{
    static char block[4096];
    pid_t pid = fork();

    memset(block, 'x', sizeof(block));
    for (size_t at = 0; pid == 0 && at < PIPED; at += sizeof(block)) {
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block)) {
            _exit(1);
        }
    }
    if (pid == 0) {
        _exit(0);
    }
    return pid;
}

static void load_piped(size_t max, int expected)
{
    int ends[2], err;
    char *text;
    size_t len;
    pid_t pid;

    CHECK(pipe(ends) == 0);
    pid = start_writer(ends[1]);
    close(ends[1]);
    err = fd_load(ends[0], max, &text, &len);
    close(ends[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK(err == expected);
    CHECK(err != 0 || (len == PIPED && strspn(text, "x") == PIPED));
    free(text);
}

/* A pipe does not say how much it has, and a file of /proc says 0. */
static void test_a_file_is_loaded_whole(void)
{
    char *text;
    size_t len;

    load_piped(PIPED, 0);
    load_piped(2 * PIPED, 0);
    load_piped(PIPED - 1, -EFBIG);
    CHECK(file_load("/proc/self/smaps", PIPED, &text, &len) == 0);
    CHECK(len > 1000 && text[len - 1] == '\n' && strlen(text) == len);
    free(text);
}

/* ---- JSON ---------------------------------------------------------------- */

static void check_json(const char *text, const char *expected)
{
    char got[256];
    int fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int before = dup(STDOUT_FILENO);

    fflush(stdout);
    CHECK(fd >= 0 && before >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
    json_string(text);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    close(fd);
    read_text(out, got, sizeof(got));
    if (strcmp(got, expected) != 0) {
        fprintf(stderr, "expected %s, got %s\n", expected, got);
    }
    CHECK(strcmp(got, expected) == 0);
}

static void test_json_keeps_utf8(void)
{
    check_json("schl\xc3\xbcssel.pem", "\"schl\xc3\xbcssel.pem\"");
    check_json("\xe2\x82\xac \xf0\x9f\x94\x91 \xf4\x8f\xbf\xbf",
               "\"\xe2\x82\xac \xf0\x9f\x94\x91 \xf4\x8f\xbf\xbf\"");
}

static void test_json_escapes_what_is_none(void)
{
    check_json("a\"b\\c\n\x7f", "\"a\\\"b\\\\c\\u000a\\u007f\"");
    check_json("schl\xfcssel", "\"schl\\u00fcssel\"");
    check_json("\xc3", "\"\\u00c3\"");                       /* cut off */
    check_json("\xe2\x82", "\"\\u00e2\\u0082\"");            /* cut off */
    check_json("\xc0\xaf", "\"\\u00c0\\u00af\"");            /* too long */
    check_json("\xe0\x9f\xbf", "\"\\u00e0\\u009f\\u00bf\""); /* too long */
    check_json("\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\""); /* surrogate */
    check_json("\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\"");
    check_json("\xc2\x9b", "\"\\u009b\""); /* some terminals obey it */
}

/* ---- a process that becomes another one ---------------------------------- */

static int starts_program = -1, has_started = -1;

/* In a child: executes another program when it is told to. */
static void be_two_programs(void)
{
    char byte;

    if (read(starts_program, &byte, 1) == 1) {
        execlp("sleep", "sleep", "100", (char *)NULL);
    }
    _exit(1);
}

/* In place of libc's, for all of this program: between the two files of /proc
 * that a search opens first the process becomes another one. */
int open(const char *path, int flags, ...)
{
    static int opened;
    va_list args;
    mode_t mode;
    char byte;

    va_start(args, flags);
    mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (starts_program >= 0 && ++opened == 2) {
        CHECK(write(starts_program, "x", 1) == 1);
        CHECK(read(has_started, &byte, 1) == 0);
        starts_program = -1;
    }
    return openat(AT_FDCWD, path, flags, mode);
}

/* The memory is the one's, and the list of mappings the other's. */
static void test_a_process_that_executes_meanwhile_is_an_error(void)
{
    struct pattern_set set = {0};
    struct mapping_list list = {0};
    struct matcher *matcher = NULL;
    uint64_t searched = 0;
    int go[2], gone[2];
    pid_t pid;

    CHECK(matcher_new(&matcher, &set) == 0);
    CHECK(pipe(go) == 0 && pipe2(gone, O_CLOEXEC) == 0);
    pid = fork();
    if (pid == 0) {
        starts_program = go[0];
        be_two_programs();
    }
    close(gone[1]);
    starts_program = go[1];
    has_started = gone[0];
    CHECK(procmem_search(&list, matcher, pid, &searched) == -1);
    CHECK(starts_program == -1);
    stop(pid);
    close(go[0]);
    close(go[1]);
    close(gone[0]);
    mapping_free(&list);
    matcher_free(matcher);
}

/* ---- the key log --------------------------------------------------------- */

/* A child runs the command, says how it ended, and stays. */
static pid_t reveal(const char *to, int *status, void (*prepare)(void))
{
    char name[] = "keylog", option[] = "--reveal";
    char *argv[] = {name, option, revealed, app, NULL};
    int ends[2], fd;
    pid_t pid;

    CHECK(pipe(ends) == 0);
    pid = fork();
    if (pid == 0) {
        fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, STDOUT_FILENO);
        prepare();
        *status = mpkctl_keylog(4, argv);
        if (write(ends[1], status, sizeof(*status)) > 0) {
            pause();
        }
        _exit(1);
    }
    close(ends[1]);
    *status = -1;
    CHECK(read(ends[0], status, sizeof(*status)) > 0);
    close(ends[0]);
    return pid;
}

static void nothing(void)
{
}

/* Nobody else has ever had the secret in memory, not even the parent. */
static void write_random_secret(void)
{
    static const char line[] = "HANDLE " HANDLE " ";
    uint8_t secret[33];
    char hex[66];
    int fd = open(revealed, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (getentropy(secret, sizeof(secret)) != 0) {
        _exit(1);
    }
    hex_encode(hex, secret, sizeof(secret));
    hex[64] = '\n';
    if (write(fd, line, sizeof(line) - 1) < 0 || write(fd, hex, 65) != 65) {
        _exit(1);
    }
    close(fd);
    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(hex, sizeof(hex));
}

static void test_nothing_of_a_revealed_key_log_is_left(void)
{
    char pid_text[32], named[80] = "x=", text[512];
    const char *const argv[] = {mpkctl_path, "scan",     "--json", "--pid",
                                pid_text,    "--secret", named,    NULL};
    static struct outcome got;
    int status;
    pid_t pid;

    write_text(app, "SERVER_TRAFFIC_SECRET_0 " RANDOM " " HANDLE "\n");
    pid = reveal(out, &status, write_random_secret);
    CHECK(status == MPKCTL_OK);
    read_text(out, text, sizeof(text));
    CHECK(strncmp(text, "SERVER_TRAFFIC_SECRET_0 " RANDOM " ", 89) == 0);
    CHECK(strlen(text) == 89 + 65);
    memcpy(named + 2, text + 89, 64);
    snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
    run(&got, argv, 0);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
    stop(pid);
}

static void test_lines_that_are_not_known_are_counted(void)
{
    char text[512];
    int status;

    write_text(revealed, "HANDLE " HANDLE " " SECRET "\n"
                         "CLIENT_RANDOM " RANDOM " " MASTER "\n"
                         "HANDLE " RANDOM);
    write_text(app, "# comment\n\n"
                    "EXPORTER_SECRET " RANDOM " " HANDLE "\r\n"
                    "CLIENT_RANDOM " RANDOM " " HANDLE "\n"
                    "EXPORTER_SECRET " RANDOM " " SECRET "\n"
                    "cut off");
    stop(reveal(out, &status, nothing));
    CHECK(status == MPKCTL_FOUND);
    read_text(out, text, sizeof(text));
    CHECK(strcmp(text, "EXPORTER_SECRET " RANDOM " " SECRET "\n"
                       "CLIENT_RANDOM " RANDOM " " MASTER "\n") == 0);
}

/* As a full disk leaves them: cut off, and the next one in the same line. */
static void test_lines_that_are_cut_off_reveal_nothing(void)
{
    char text[512];
    int status;

    write_text(revealed, "HANDLE " HANDLE " a11af9f0HANDLE " RANDOM "\n"
                         "HANDLE " RANDOM " a11af9f05531f856\n"
                         "CLIENT_RANDOM " RANDOM " " SECRET "\n"
                         "HANDLE " SECRET " a11af9f0CLIENT_RANDOM\n");
    write_text(app, "EXPORTER_SECRET " RANDOM " " HANDLE "\n"
                    "EXPORTER_SECRET " RANDOM " " RANDOM "\n"
                    "CLIENT_RANDOM " RANDOM " " HANDLE "\n"
                    "EXPORTER_SECRET " RANDOM " " SECRET "\n");
    stop(reveal(out, &status, nothing));
    CHECK(status == MPKCTL_FOUND);
    read_text(out, text, sizeof(text));
    CHECK(strcmp(text, "") == 0);
}

static void test_a_full_disk_is_an_error(void)
{
    int status;

    write_text(revealed, "HANDLE " HANDLE " " SECRET "\n");
    write_text(app, "EXPORTER_SECRET " RANDOM " " HANDLE "\n");
    stop(reveal("/dev/full", &status, nothing));
    CHECK(status == MPKCTL_ERROR);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/mpkctl-test-XXXXXX";

    if (argc != 3 || mkdtemp(dir) == NULL) {
        fputs("usage: mpkctl_test MPKCTL VICTIM\n", stderr);
        return 1;
    }
    mpkctl_path = argv[1];
    snprintf(revealed, sizeof(revealed), "%s/revealed", dir);
    snprintf(app, sizeof(app), "%s/app", dir);
    snprintf(out, sizeof(out), "%s/out", dir);
    test_a_file_is_loaded_whole();
    test_json_keeps_utf8();
    test_json_escapes_what_is_none();
    test_a_process_that_executes_meanwhile_is_an_error();
    test_nothing_of_a_revealed_key_log_is_left();
    test_lines_that_are_not_known_are_counted();
    test_lines_that_are_cut_off_reveal_nothing();
    test_a_full_disk_is_an_error();
    unlink(revealed);
    unlink(app);
    unlink(out);
    rmdir(dir);
    return failed_checks == 0 ? 0 : 1;
}
