/*
 * mpkctl handle-key: 32 random bytes in the form that the provider's setting
 * "handle-key-file" wants.
 */
#include "handle_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "flags.h"
#include "mpkctl.h"

#include "../provider/rights.h"

#define KEY_LEN 32
#define BEGIN "-----BEGIN MPK HANDLE KEY-----\n"
#define END "\n-----END MPK HANDLE KEY-----\n"

/* 32 bytes in base64. */
#define BASE64_LEN 44
#define BEGIN_LEN (sizeof(BEGIN) - 1)
#define END_LEN (sizeof(END) - 1)
#define FILE_LEN (BEGIN_LEN + BASE64_LEN + END_LEN)

static const char usage_text[] =
    "usage: mpkctl handle-key [--force] FILE\n"
    "\n"
    "Writes a new random key for the setting \"handle-key-file\" of the full\n"
    "profile. It is needed where TLS ticket keys outlive the process, or are\n"
    "shared by several machines: all of them need the same file. Whoever "
    "reads\n"
    "it can read the secrets behind all handles.\n"
    "\n"
    "  --force  replace the key that is there, with its owner; its sessions "
    "end\n"
    "\n"
    "Exit status: 0 written, 2 error.\n";

static bool well_formed(const char *text, size_t len)
{
    unsigned char raw[BASE64_LEN / 4 * 3];
    bool ok = len == FILE_LEN && memcmp(text, BEGIN, BEGIN_LEN) == 0 &&
              memcmp(text + BEGIN_LEN + BASE64_LEN, END, END_LEN) == 0 &&
              text[BEGIN_LEN + BASE64_LEN - 1] == '=' &&
              text[BEGIN_LEN + BASE64_LEN - 2] != '=' &&
              EVP_DecodeBlock(raw, (const unsigned char *)text + BEGIN_LEN,
                              BASE64_LEN) == (int)sizeof(raw);

    OPENSSL_cleanse(raw, sizeof(raw));
    return ok;
}

int handle_key_check(const char *path, const char **why)
{
    struct stat st;
    char *text = NULL;
    size_t len = 0;
    int err;

    if (stat(path, &st) != 0) {
        *why = errno == ENOENT ? "there is no such file; make it with mpkctl "
                                 "handle-key"
                               : "cannot be looked at";
        return -1;
    }
    if (!S_ISREG(st.st_mode)) { /* nor is a pipe's writer waited for */
        *why = "is not a regular file";
        return -1;
    }
    if (rights_of_others(&st)) {
        *why = "others than its owner can use it: chmod 600";
        return -1;
    }
    err = file_load(path, FILE_LEN, &text, &len);
    if (err != 0 || !well_formed(text, len)) {
        *why = err != 0 && err != -EFBIG
                   ? "cannot be read by this user"
                   : "is no handle key; make one with mpkctl handle-key";
        err = -1;
    }
    file_free(text, len);
    return err == 0 ? 0 : -1;
}

static int make_text(char text[FILE_LEN])
{
    unsigned char key[KEY_LEN];
    unsigned char base64[BASE64_LEN + 1];

    if (RAND_priv_bytes(key, sizeof(key)) <= 0) {
        mpkctl_error("no random numbers");
        return -1;
    }
    EVP_EncodeBlock(base64, key, sizeof(key));
    memcpy(text, BEGIN, BEGIN_LEN);
    memcpy(text + BEGIN_LEN, base64, BASE64_LEN);
    memcpy(text + BEGIN_LEN + BASE64_LEN, END, END_LEN);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(base64, sizeof(base64));
    return 0;
}

static int write_all(int fd, const char *text, size_t len)
{
    ssize_t n;

    for (size_t at = 0; at < len; at += (size_t)n) {
        n = write(fd, text + at, len - at);
        if (n < 0) {
            return -errno;
        }
    }
    return fsync(fd) == 0 ? 0 : -errno;
}

/*
 * Under another name first: a server that starts meanwhile reads the old key or
 * the new one, never half of one. link() does not replace what is there.
 */
static int put_in_place(const char *temporary, const char *path, bool force)
{
    int err;

    if (force) {
        return rename(temporary, path) == 0 ? 0 : -errno;
    }
    err = link(temporary, path) == 0 ? 0 : -errno;
    unlink(temporary);
    return err;
}

/*
 * A service that reads its key as itself can read the next one, too. The group
 * never has rights, so who is not in it may go without.
 */
static int give_to_owner(int fd, const struct stat *old)
{
    if (fchown(fd, old->st_uid, old->st_gid) != 0 && old->st_uid != geteuid()) {
        return -errno;
    }
    return fchmod(fd, old->st_mode & S_IRWXU) == 0 ? 0 : -errno;
}

/* |old| is what the key replaces, or NULL. */
static int fill(int fd, const struct stat *old, const char text[FILE_LEN])
{
    int err = old == NULL ? 0 : give_to_owner(fd, old);

    return err == 0 ? write_all(fd, text, FILE_LEN) : err;
}

static int write_key(const char *path, bool force, const struct stat *old,
                     const char text[FILE_LEN])
{
    size_t cap = strlen(path) + sizeof(".XXXXXX");
    char *temporary = malloc(cap);
    int fd;
    int err;

    if (temporary == NULL) {
        return -ENOMEM;
    }
    snprintf(temporary, cap, "%s.XXXXXX", path);
    fd = mkostemp(temporary, O_CLOEXEC); /* with mode 0600 */
    err = fd < 0 ? -errno : fill(fd, old, text);
    if (fd >= 0) {
        close(fd);
        if (err == 0) {
            err = put_in_place(temporary, path, force);
        }
        if (err != 0) {
            unlink(temporary);
        }
    }
    free(temporary);
    return err;
}

/* Nothing else than a key that was made here: a slip would be the end of a
 * private key, or of a device. */
static bool may_replace(const char *path, const struct stat *st)
{
    char *text = NULL;
    size_t len = 0;
    bool ok;

    ok = S_ISREG(st->st_mode) && file_load(path, FILE_LEN, &text, &len) == 0 &&
         well_formed(text, len);
    file_free(text, len);
    if (!ok) {
        mpkctl_error("%s is no handle key and is not replaced; remove it first",
                     path);
    }
    return ok;
}

static int make_key(const char *path, bool force, const struct stat *old)
{
    char text[FILE_LEN];
    int err = make_text(text);

    if (err != 0) {
        return MPKCTL_ERROR;
    }
    err = write_key(path, force, old, text);
    OPENSSL_cleanse(text, sizeof(text));
    if (err == -EEXIST) {
        mpkctl_error("%s is there already: sessions of its key would end; "
                     "--force replaces it",
                     path);
    } else if (err != 0) {
        mpkctl_error("cannot write %s: %s", path, strerror(-err));
    }
    return err == 0 ? MPKCTL_OK : MPKCTL_ERROR;
}

int mpkctl_handle_key(int argc, char **argv)
{
    struct stat st;
    const struct stat *old = NULL;
    bool force;
    int first = flags_parse(argc, argv, "force", &force, 1, usage_text);

    if (first <= 0) {
        return first == 0 ? MPKCTL_OK : MPKCTL_ERROR;
    }
    /* If this fails, nothing is there, or writing will say what is wrong. */
    if (force && lstat(argv[first], &st) == 0) {
        if (!may_replace(argv[first], &st)) {
            return MPKCTL_ERROR;
        }
        old = &st;
    }
    /* Random numbers as libcrypto makes them, whatever is configured. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    return make_key(argv[first], force, old);
}
