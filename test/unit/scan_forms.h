/*
 * A key in all the forms that the tests of "mpkctl scan" are about, and the
 * files around it.
 */
#ifndef MPK_TEST_SCAN_FORMS_H
#define MPK_TEST_SCAN_FORMS_H

#include <limits.h>
#include <openssl/evp.h>
#include <stddef.h>

/* One RSA key. */
struct forms {
    char key[PATH_MAX];       /* PEM file */
    char encrypted[PATH_MAX]; /* the same, passphrase "right" */
    char config[PATH_MAX];    /* an openssl.cnf that breaks libcrypto */
    char right[PATH_MAX];     /* passphrase files */
    char wrong[PATH_MAX];
    char cert_config[PATH_MAX];
    char cert[PATH_MAX];
    EVP_PKEY *pkey;
    unsigned char p[128]; /* big-endian */
    unsigned char p_little[128];
    unsigned char pkcs1[2048];
    size_t pkcs1_len;
    size_t pkcs1_public; /* up to where the private part begins */
    char pem[4096];
};

/* write_file and write_key end the test when they fail. */
void write_file(const char *path, const char *text);

/* write_key writes PKCS#8 PEM, encrypted when |pass| is not NULL. */
void write_key(const char *path, EVP_PKEY *pkey, const char *pass);

/* forms_make makes a key and its files in |dir|; forms_free forgets them. */
void forms_make(struct forms *f, const char *dir);
void forms_free(struct forms *f);

#endif
