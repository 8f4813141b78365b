#include "scan_forms.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

void write_key(const char *path, EVP_PKEY *pkey, const char *pass)
{
    FILE *f = fopen(path, "w");

    if (f == NULL ||
        PEM_write_PKCS8PrivateKey(
            f, pkey, pass == NULL ? NULL : EVP_aes_256_cbc(), pass,
            pass == NULL ? 0 : (int)strlen(pass), NULL, NULL) != 1 ||
        fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static void read_pem(struct forms *f)
{
    FILE *file = fopen(f->key, "r");

    if (file == NULL || fread(f->pem, 1, sizeof(f->pem) - 1, file) == 0) {
        perror(f->key);
        exit(1);
    }
    fclose(file);
}

static void make_numbers(struct forms *f)
{
    BIGNUM *p = NULL;
    BIGNUM *d = NULL;
    unsigned char bytes[256];
    unsigned char *at = f->pkcs1;
    const unsigned char *start;

    EVP_PKEY_get_bn_param(f->pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, &p);
    EVP_PKEY_get_bn_param(f->pkey, OSSL_PKEY_PARAM_RSA_D, &d);
    BN_bn2binpad(p, f->p, sizeof(f->p));
    BN_bn2lebinpad(p, f->p_little, sizeof(f->p_little));
    f->pkcs1_len = (size_t)i2d_PrivateKey(f->pkey, &at);
    start = memmem(f->pkcs1, f->pkcs1_len, bytes, (size_t)BN_bn2bin(d, bytes));
    f->pkcs1_public = (size_t)(start - f->pkcs1);
    BN_clear_free(p);
    BN_clear_free(d);
}

void forms_make(struct forms *f, const char *dir)
{
    snprintf(f->key, sizeof(f->key), "%s/key.pem", dir);
    snprintf(f->encrypted, sizeof(f->encrypted), "%s/encrypted.pem", dir);
    snprintf(f->config, sizeof(f->config), "%s/bad.cnf", dir);
    snprintf(f->right, sizeof(f->right), "%s/right", dir);
    snprintf(f->wrong, sizeof(f->wrong), "%s/wrong", dir);
    snprintf(f->cert_config, sizeof(f->cert_config), "%s/req.cnf", dir);
    snprintf(f->cert, sizeof(f->cert), "%s/cert.pem", dir);
    f->pkey = EVP_RSA_gen(2048);
    write_key(f->key, f->pkey, NULL);
    write_key(f->encrypted, f->pkey, "right");
    write_file(f->right, "right\n");
    write_file(f->wrong, "wrong\n");
    write_file(f->cert_config, "[req]\ndistinguished_name = dn\n[dn]\n");
    write_file(f->config, "openssl_conf = o\n[o]\nproviders = p\n"
                          "alg_section = a\n[p]\nnull = n\n"
                          "[n]\nactivate = 1\n"
                          "[a]\ndefault_properties = no=such\n");
    read_pem(f);
    make_numbers(f);
}

void forms_free(struct forms *f)
{
    EVP_PKEY_free(f->pkey);
}
