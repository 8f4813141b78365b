#include "forms.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "schedule.h"

static int add_hex(struct pattern_set *set, unsigned int subject,
                   const char *component, const uint8_t *bytes, size_t len)
{
    char *text = malloc(2 * len);
    int err;

    if (text == NULL) {
        return -ENOMEM;
    }
    hex_encode(text, bytes, len);
    err = pattern_bytes_add(set, subject, FORM_HEX, component,
                            (const uint8_t *)text, 2 * len);
    OPENSSL_cleanse(text, 2 * len);
    free(text);
    return err;
}

int forms_add_secret(struct pattern_set *set, unsigned int subject,
                     const char *component, const uint8_t *bytes, size_t len)
{
    int err = pattern_bytes_add(set, subject, FORM_RAW, component, bytes, len);

    return err == 0 ? add_hex(set, subject, component, bytes, len) : err;
}

int forms_add_number(struct pattern_set *set, unsigned int subject,
                     const char *component, const uint8_t *bytes, size_t len)
{
    int err = forms_add_secret(set, subject, component, bytes, len);
    uint8_t *reversed = malloc(len);

    if (err != 0 || reversed == NULL) {
        free(reversed);
        return -ENOMEM;
    }
    memcpy(reversed, bytes, len);
    pattern_reverse(reversed, len);
    err = pattern_bytes_add(set, subject, FORM_REVERSED, component, reversed,
                            len);
    OPENSSL_cleanse(reversed, len);
    free(reversed);
    return err;
}

int forms_add_aes(struct pattern_set *set, unsigned int subject,
                  const char *component, const uint8_t *key, size_t len)
{
    int err = pattern_bytes_add(set, subject, FORM_RAW, component, key, len);

    return err == 0 ? schedule_add(set, subject, component, key, len) : err;
}
