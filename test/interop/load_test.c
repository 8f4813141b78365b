/*
 * Every kind of private key, in every form, by every public function: the
 * provider under test holds it, and it is the key that was in the file.
 */

#include "interop.h"
#include "load_ways.h"
#include "ops.h"

#include <openssl/pem.h>
#include <stdio.h>

static void test_key_is_the_one_in_the_file(EVP_PKEY *key,
                                            const struct key_type *type)
{
    EVP_PKEY *ref = key_reference(type);

    CHECK_HELD(key);
    CHECK(EVP_PKEY_is_a(key, type->name));
    CHECK_INT(EVP_PKEY_get_base_id(key), EVP_PKEY_get_base_id(ref));
    CHECK_INT(EVP_PKEY_get_bits(key), EVP_PKEY_get_bits(ref));
    CHECK_INT(EVP_PKEY_get_size(key), EVP_PKEY_get_size(ref));
    CHECK_INT(key_eq(key, ref), 1);
    CHECK_INT(key_eq(ref, key), 1);
    if (type->can & KEY_SIGNS) {
        check_signs(key, type);
    }
    if (type->can & KEY_ENCAPSULATES) {
        CHECK(decapsulates(key, ref));
    }
}

/*
 * A BIO that cannot tell its position (a socket, a pipe, a filter) makes
 * libcrypto give up its decoders at the third block and read the key with its
 * legacy code: no provider holds that key.
 */
static bool default_leaves_to_legacy(const struct form *form,
                                     const struct way *way)
{
    return !interop_protected() && (form->is & FORM_THIRD) &&
           way == way_find("PEM_read_bio_PrivateKey(filter)");
}

/* The file store reports a block it was not to look for, then finds the key. */
static bool default_leaves_an_error(const struct form *form,
                                    const struct way *way)
{
    return (form->is & FORM_PARAMETERS) &&
           way == way_find("OSSL_STORE expecting a key");
}

static void test_load(const struct key_type *type, const struct form *form,
                      const struct way *way, const struct file *file)
{
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    EVP_PKEY *key;

    interop_subject("%s, %s, %s", type->label, form->label, way->label);
    key = way->load(file, type, &asker);
    if (default_leaves_to_legacy(form, way)) {
        interop_skip("%s, %s, %s: a legacy key", type->label, form->label,
                     way->label);
        CHECK_STR(interop_provider_of(key), "legacy");
    } else if (CHECK(key != NULL)) {
        if (default_leaves_an_error(form, way)) {
            ERR_clear_error();
        }
        CHECK_QUEUE_EMPTY();
        CHECK_INT(asker.calls, form->is & FORM_ENCRYPTED ? 1 : 0);
        test_key_is_the_one_in_the_file(key, type);
        CHECK_QUEUE_EMPTY();
    }
    EVP_PKEY_free(key);
}

static void test_wrong_passphrase(const struct key_type *type,
                                  const struct form *form,
                                  const struct way *way,
                                  const struct file *file)
{
    struct asker asker = {"wrong", 0, 0};
    EVP_PKEY *key;

    interop_subject("%s, %s, %s, wrong passphrase", type->label, form->label,
                    way->label);
    key = way->load(file, type, &asker);
    CHECK(key == NULL);
    CHECK_QUEUE_FILLED();
    CHECK_INT(asker.calls, 1);
    EVP_PKEY_free(key);
}

/*
 * A protected key whose passphrase was not given is an object that refuses:
 * an error would make libcrypto ask again for its old code, and load the key
 * in the clear.
 */
static void check_refuses(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK_HELD(key);
    CHECK(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) <= 0);
    CHECK(EVP_PKEY_get_bits(key) <= 0);
    EVP_MD_CTX_free(ctx);
}

static void test_no_passphrase(const struct key_type *type,
                               const struct form *form, const struct way *way,
                               const struct file *file)
{
    struct asker asker = {"unused", -1, 0};
    EVP_PKEY *key;

    interop_subject("%s, %s, %s, no passphrase", type->label, form->label,
                    way->label);
    key = way->load(file, type, &asker);
    if (interop_protected() && key != NULL) {
        check_refuses(key);
        ERR_clear_error();
    } else {
        CHECK(key == NULL);
        CHECK_QUEUE_FILLED();
    }
    CHECK(asker.calls >= 1 && asker.calls <= way->asks);
    EVP_PKEY_free(key);
}

/* |turn| differs from type to type and from form to form, and with it the ways
 * that are left out. */
static void test_form(const struct key_type *type, const struct form *form,
                      size_t turn)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const struct way *way;
    struct file file;
    char *data;

    interop_subject("%s, %s", type->label, form->label);
    if (!CHECK(form->write(bio, type))) {
        BIO_free(bio);
        return;
    }
    file.len = (size_t)BIO_get_mem_data(bio, &data);
    file.data = (unsigned char *)data;
    file.path = interop_file("key", data, file.len);
    for (size_t i = 0; (way = way_at(i)) != NULL; i++) {
        if (!way->takes(form, type) || !interop_in_turn(turn + i)) {
            continue;
        }
        test_load(type, form, way, &file);
        if (form->is & FORM_ENCRYPTED) {
            test_wrong_passphrase(type, form, way, &file);
            test_no_passphrase(type, form, way, &file);
        }
    }
    BIO_free(bio);
}

int main(void)
{
    const struct key_type *type;
    const struct form *form;

    interop_start();
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        for (size_t j = 0; (form = form_at(j)) != NULL; j++) {
            if (form->exists(type)) {
                test_form(type, form, i + j);
            }
        }
    }
    return interop_finish();
}
