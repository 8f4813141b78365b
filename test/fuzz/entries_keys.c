/* entries_keys.c - keys of each type, in each form of file; what is private of
 * them is looked for. */
#include "entries.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>

#include <string.h>

#define PASSPHRASE "pass"
/* From 3.2 on there is DHKEM (RFC 9180). */
#define CAN_DHKEM (MPKPROV_HAS_3_5 ? CAN(CTX_KEM) : 0)

struct choice choices[CHOICES] = {
#if MPKPROV_HAS_3_5
    [CHOICES_OF_3_0] = {.name = "ML-DSA-44",
                        .type = KEY_ML_DSA_44,
                        .can = CAN(CTX_SIG)},
    {.name = "ML-KEM-768", .type = KEY_ML_KEM_768, .can = CAN(CTX_KEM)},
    {.name = "SLH-DSA-SHA2-128f",
     .type = KEY_SLH_DSA_SHA2_128F,
     .can = CAN(CTX_SIG)},
#endif
    [0] = {.name = "RSA",
           .group = NULL,
           .type = KEY_RSA,
           .can = CAN(CTX_SIG) | CAN(CTX_ENC) | CAN(CTX_KEM)},
    {.name = "EC",
     .group = "P-256",
     .type = KEY_EC,
     .can = CAN(CTX_SIG) | CAN(CTX_KEX) | CAN_DHKEM},
    {.name = "RSA-PSS",
     .group = NULL,
     .type = KEY_RSA_PSS,
     .can = CAN(CTX_SIG)},
    {.name = "SM2",
     .group = NULL,
     .type = KEY_SM2,
     .can = CAN(CTX_SIG) | CAN(CTX_ENC)},
    {.name = "ED25519",
     .group = NULL,
     .type = KEY_ED25519,
     .can = CAN(CTX_SIG)},
    {.name = "ED448", .group = NULL, .type = KEY_ED448, .can = CAN(CTX_SIG)},
    {.name = "X25519",
     .group = NULL,
     .type = KEY_X25519,
     .can = CAN(CTX_KEX) | CAN_DHKEM},
    {.name = "X448",
     .group = NULL,
     .type = KEY_X448,
     .can = CAN(CTX_KEX) | CAN_DHKEM},
    {.name = "DH", .group = "ffdhe2048", .type = KEY_DH, .can = CAN(CTX_KEX)},
    {.name = "EC",
     .group = "P-384",
     .type = KEY_EC,
     .can = CAN(CTX_SIG) | CAN(CTX_KEX) | CAN_DHKEM},
    {.name = "DHX",
     .group = "dh_2048_256",
     .type = KEY_DHX,
     .can = CAN(CTX_KEX)}};

static EVP_PKEY *generate(const char *type, const char *group)
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(NULL, type, "provider=default");
    EVP_PKEY *key = NULL;

    REQUIRE(EVP_PKEY_keygen_init(ctx) == 1);
    REQUIRE(group == NULL || EVP_PKEY_CTX_set_group_name(ctx, group) == 1);
    REQUIRE(EVP_PKEY_generate(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* What is private of a key. */
static void look_for(const OSSL_PARAM *numbers)
{
    static const char *const private[] = {"priv", "d", "rsa-factor",
                                          "rsa-exponent", "rsa-coefficient"};

    for (; numbers->key != NULL; numbers++) {
        for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
            size_t len = strlen(private[i]);

            if (strncmp(numbers->key, private[i], len < 4 ? len + 1 : len) ==
                0) {
                oracle_add_number(numbers->data, numbers->data_size,
                                  "a private key's number");
            }
        }
    }
}

static int write_form(BIO *bio, const EVP_PKEY *key, enum form form)
{
    const EVP_CIPHER *c = EVP_aes_128_cbc();
    unsigned char word[] = PASSPHRASE;
    char *s = (char *)word;
    int n = (int)strlen(s);

    switch (form) {
    case PEM:
        return PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    case PEM_ENCRYPTED:
        return PEM_write_bio_PKCS8PrivateKey(bio, key, c, s, n, NULL, NULL);
    case PEM_OLD:
        return PEM_write_bio_PrivateKey_traditional(bio, key, c, word, n, NULL,
                                                    NULL);
    case DER:
        return i2d_PKCS8PrivateKeyInfo_bio(bio, key);
    case DER_ENCRYPTED:
        return i2d_PKCS8PrivateKey_bio(bio, key, c, s, n, NULL, NULL);
    case DER_OLD:
        return i2d_PrivateKey_bio(bio, key);
    case MS:
        return i2b_PrivateKey_bio(bio, key);
    default:
        return i2b_PVK_bio(bio, key, 0, NULL, NULL);
    }
}

static void texts_of(size_t i, const EVP_PKEY *key)
{
    for (int form = 0; form < FORMS; form++) {
        BIO *bio = BIO_new(BIO_s_mem());

        if (write_form(bio, key, (enum form)form) > 0) {
            choices[i].form[form].len =
                BIO_get_mem_data(bio, &choices[i].form[form].text);
        }
        ERR_clear_error();
    }
}

bool key_texts_make(void)
{
    for (size_t i = 0; i < CHOICES; i++) {
        EVP_PKEY *key;

        if (i >= CHOICES_OF_3_0) {
            if (!later_key_make(&choices[i])) {
                return false;
            }
            continue;
        }
        key = generate(choices[i].name, choices[i].group);

        texts_of(i, key);
        if (choices[i].form[PEM].len <= 0 ||
            !EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &choices[i].numbers)) {
            return false;
        }
        look_for(choices[i].numbers);
        for (OSSL_PARAM *p = choices[i].numbers; p->key != NULL; p++) {
            p->data = lasting(p->data, p->data_size);
        }
        EVP_PKEY_free(key);
    }
    return true;
}

const char *a_key_text(bool in_pem, size_t *len)
{
    static const char reference[] = "-----BEGIN MPK KEY REFERENCE-----\n"
                                    "bXBrOi9kZXYvbnVsbA==\n"
                                    "-----END MPK KEY REFERENCE-----\n";
    size_t i = pick(CHOICES),
           form = one_in(2) ? pick(in_pem ? IN_PEM : FORMS) : PEM;

    if (one_in(20)) {
        *len = strlen(reference);
        return reference;
    }
    form = choices[i].form[form].len > 0 ? form : PEM;
    *len = (size_t)choices[i].form[form].len;
    return choices[i].form[form].text;
}
