#include "encoded.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/encoder.h>
#include <stdlib.h>
#include <string.h>

/* A window of DER counts when this many of its bytes are private. */
#define PRIVATE_MIN 12
#define FRAME (PATTERN_WINDOW - PRIVATE_MIN)

/* A full line of PEM: 48 bytes make 64 characters. */
#define LINE_BYTES 48
#define LINE_CHARS 64

/* A DER encoding and, byte by byte, whether it is private. */
struct encoding {
    uint8_t *der;
    uint8_t *is_private;
    size_t len;
};

static int encoding_new(struct encoding *e, size_t len)
{
    e->len = len;
    e->der = calloc(1, len + 1);
    e->is_private = calloc(1, len + 1);
    return e->der == NULL || e->is_private == NULL ? -ENOMEM : 0;
}

static void encoding_free(struct encoding *e)
{
    if (e->der != NULL) {
        OPENSSL_cleanse(e->der, e->len);
    }
    free(e->der);
    free(e->is_private);
    memset(e, 0, sizeof(*e));
}

static bool is_number(const struct pattern_piece *piece, unsigned int subject)
{
    return piece->subject == subject &&
           (piece->form == FORM_BIG_ENDIAN || piece->form == FORM_RAW);
}

/*
 * The private bytes of any encoding, whatever its syntax, are those of the
 * private numbers; what is left is public or says nothing.
 */
static void mark_private(const struct pattern_set *set, unsigned int subject,
                         struct encoding *e)
{
    const struct pattern_piece *piece;
    const uint8_t *at;

    for (size_t i = 0; i < set->pieces_len; i++) {
        piece = &set->pieces[i];
        if (!is_number(piece, subject)) {
            continue;
        }
        at = memmem(e->der, e->len, piece->bytes, piece->len);
        if (at != NULL) {
            memset(e->is_private + (at - e->der), 1, piece->len);
        }
    }
}

/* The two windows that straddle the ends of the number |piece| in |e|. */
static int add_framing(struct pattern_set *set, size_t piece,
                       const struct encoding *e)
{
    size_t len = set->pieces[piece].len;
    const uint8_t *at = memmem(e->der, e->len, set->pieces[piece].bytes, len);
    int err = 0;

    if (at == NULL) {
        return 0;
    }
    if (at - e->der >= FRAME) {
        err = pattern_window_add(set, piece, -FRAME, at - FRAME, true);
    }
    if (err == 0 && (size_t)(at - e->der) + len + FRAME <= e->len) {
        err = pattern_window_add(set, piece, (int32_t)(len - PRIVATE_MIN),
                                 at + len - PRIVATE_MIN, true);
    }
    return err;
}

static int add_der(struct pattern_set *set, unsigned int subject,
                   const struct encoding *e)
{
    size_t pieces = set->pieces_len;
    int err = 0;

    for (size_t i = 0; err == 0 && i < pieces; i++) {
        if (is_number(&set->pieces[i], subject)) {
            err = add_framing(set, i, e);
        }
    }
    return err;
}

/* Are all the bytes that the characters from |index| on stand for private? */
static bool chars_private(const struct encoding *e, size_t index)
{
    size_t first = index * 6 / 8;
    size_t last = ((index + PATTERN_WINDOW) * 6 - 1) / 8;
    size_t count = 0;

    for (size_t i = first; i <= last && i < e->len; i++) {
        count += e->is_private[i];
    }
    return count >= PRIVATE_MIN;
}

static bool line_known(const struct pattern_set *set, unsigned int subject,
                       const uint8_t *line, size_t len)
{
    for (size_t i = 0; i < set->pieces_len; i++) {
        if (set->pieces[i].subject == subject && set->pieces[i].len == len &&
            memcmp(set->pieces[i].bytes, line, len) == 0) {
            return true;
        }
    }
    return false;
}

/*
 * One line of PEM, whose first character is number |index| of the encoding. A
 * line is a piece of its own, so that what ends it (LF, CRLF, nothing after
 * decoding in place) makes no difference.
 */
static int add_line(struct pattern_set *set, unsigned int subject,
                    enum pattern_form form, const struct encoding *e,
                    const uint8_t *line, size_t len, size_t index)
{
    int64_t piece = -1;
    int err = 0;

    if (line_known(set, subject, line, len)) {
        return 0;
    }
    for (size_t off = 0; err == 0 && off + PATTERN_WINDOW <= len;
         off += PATTERN_WINDOW) {
        if (!chars_private(e, index + off)) {
            continue;
        }
        if (piece < 0) {
            piece = pattern_piece_add(set, subject, form, "PEM", line, len);
        }
        err = piece < 0 ? (int)piece
                        : pattern_window_add(set, (size_t)piece, (int32_t)off,
                                             line + off, false);
    }
    return err;
}

static int add_pem(struct pattern_set *set, unsigned int subject,
                   enum pattern_form form, const struct encoding *e)
{
    unsigned char line[LINE_CHARS + 1];
    size_t take;
    size_t len;
    int err = 0;

    for (size_t at = 0; err == 0 && at < e->len; at += take) {
        take = e->len - at < LINE_BYTES ? e->len - at : LINE_BYTES;
        (void)EVP_EncodeBlock(line, e->der + at, (int)take);
        len = (take * 4 + 2) / 3; /* without the padding */
        err = add_line(set, subject, form, e, line, len, at / 3 * 4);
    }
    OPENSSL_cleanse(line, sizeof(line));
    return err;
}

/* The key as libcrypto would write it in |structure|, if it can. */
static int add_reencoded(struct pattern_set *set, unsigned int subject,
                         EVP_PKEY *pkey, const char *structure,
                         enum pattern_form form)
{
    OSSL_ENCODER_CTX *ctx = OSSL_ENCODER_CTX_new_for_pkey(
        pkey, EVP_PKEY_KEYPAIR, "DER", structure, NULL);
    unsigned char *der = NULL;
    size_t len = 0;
    struct encoding e = {0};
    int err = 0;

    if (ctx != NULL && OSSL_ENCODER_CTX_get_num_encoders(ctx) > 0 &&
        OSSL_ENCODER_to_data(ctx, &der, &len)) {
        err = encoding_new(&e, len);
        if (err == 0) {
            memcpy(e.der, der, len);
            mark_private(set, subject, &e);
            err = add_der(set, subject, &e);
        }
        if (err == 0) {
            err = add_pem(set, subject, form, &e);
        }
        encoding_free(&e);
    }
    OPENSSL_clear_free(der, len);
    OSSL_ENCODER_CTX_free(ctx);
    return err;
}

static int base64_value(uint8_t c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* Decodes what is base64 in |text| and passes over the rest. */
static size_t decode_base64(uint8_t *out, const uint8_t *text, size_t len)
{
    uint32_t bits = 0;
    unsigned int held = 0;
    size_t out_len = 0;
    int value;

    for (size_t i = 0; i < len; i++) {
        value = base64_value(text[i]);
        if (value < 0) {
            continue;
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[out_len++] = (uint8_t)(bits >> held);
        }
    }
    return out_len;
}

static int add_text_lines(struct pattern_set *set, unsigned int subject,
                          const struct encoding *e, const uint8_t *text,
                          size_t len)
{
    size_t index = 0;
    size_t end;
    int err = 0;

    for (size_t at = 0; err == 0 && at < len; at = end + 1) {
        for (end = at; end < len && base64_value(text[end]) >= 0; end++) {
        }
        err = add_line(set, subject, FORM_PEM_FILE, e, text + at, end - at,
                       index);
        index += end - at;
    }
    return err;
}

/* The text between the BEGIN and END lines of one PEM block of the file. */
static int add_block(struct pattern_set *set, unsigned int subject,
                     const uint8_t *text, size_t len)
{
    struct encoding e = {0};
    int err = encoding_new(&e, len);

    if (err == 0) {
        e.len = decode_base64(e.der, text, len);
        mark_private(set, subject, &e);
        err = add_der(set, subject, &e);
    }
    if (err == 0) {
        err = add_text_lines(set, subject, &e, text, len);
    }
    e.len = len;
    encoding_free(&e);
    return err;
}

/*
 * Blocks that are not the key, or that are encrypted, hold none of its
 * numbers, so nothing of them becomes a pattern.
 */
static int add_file(struct pattern_set *set, unsigned int subject,
                    const struct keyfile *file)
{
    const char *at = (const char *)file->text;
    const char *body;
    const char *end;
    int err = 0;

    while (err == 0 && (at = strstr(at, "-----BEGIN ")) != NULL) {
        body = strchr(at, '\n');
        end = body == NULL ? NULL : strstr(body, "-----END ");
        if (end == NULL) {
            break;
        }
        err = add_block(set, subject, (const uint8_t *)body,
                        (size_t)(end - body));
        at = end;
    }
    return err;
}

int encoded_add_key(struct pattern_set *set, unsigned int subject,
                    const struct keyfile *file)
{
    int err = add_reencoded(set, subject, file->pkey, "PrivateKeyInfo",
                            FORM_PEM_PKCS8);

    if (err == 0) {
        err = add_reencoded(set, subject, file->pkey, "type-specific",
                            FORM_PEM_TRADITIONAL);
    }
    return err == 0 ? add_file(set, subject, file) : err;
}
