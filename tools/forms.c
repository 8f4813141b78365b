#include "forms.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
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

/* |before| bytes of something else stand in front, modulo 3: the digits that
 * have bits of these are left out, as are those of what follows. */
static int add_base64_behind(struct pattern_set *set, unsigned int subject,
                             const char *component, const uint8_t *bytes,
                             size_t len, size_t before)
{
    size_t first = (before * 8 + 5) / 6, end = (before + len) * 8 / 6;
    size_t room = (before + len + 2) / 3 * 4 + 1;
    uint8_t *whole = calloc(1, before + len);
    uint8_t *text = malloc(room);
    int err = -ENOMEM;

    if (whole != NULL && text != NULL) {
        memcpy(whole + before, bytes, len);
        EVP_EncodeBlock(text, whole, (int)(before + len));
        err = pattern_bytes_add(set, subject, FORM_BASE64, component,
                                text + first, end - first);
        OPENSSL_cleanse(whole, before + len);
        OPENSSL_cleanse(text, room);
    }
    free(whole);
    free(text);
    return err;
}

/* As it is in a session that somebody has printed. Where a line ends in the
 * middle, what is on either side is found. */
static int add_base64(struct pattern_set *set, unsigned int subject,
                      const char *component, const uint8_t *bytes, size_t len)
{
    int err = 0;

    for (size_t before = 0; before < 3 && err == 0; before++) {
        err = add_base64_behind(set, subject, component, bytes, len, before);
    }
    return err;
}

int forms_add_secret(struct pattern_set *set, unsigned int subject,
                     const char *component, const uint8_t *bytes, size_t len)
{
    int err = pattern_bytes_add(set, subject, FORM_RAW, component, bytes, len);

    if (err == 0) {
        err = add_hex(set, subject, component, bytes, len);
    }
    return err == 0 ? add_base64(set, subject, component, bytes, len) : err;
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
