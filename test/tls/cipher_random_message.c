/* cipher_random_message.c - messages and records that are right, or nearly. */
#include "cipher_random.h"

#include <string.h>

static void begin(struct pair *p, bool encrypt, int tag_len)
{
    STEP(p, "beginning of a message");
    pair_bytes(p->iv, sizeof(p->iv));
    BOTH(p, EVP_CipherInit_ex(s->ctx, s->cipher, NULL, NULL, NULL, encrypt));
    p->counts = false;
    BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL));
    if (is_mode(p, EVP_CIPH_CCM_MODE)) {
        BOTH(p,
             EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, tag_len, NULL));
    }
    new_key(p);
    BOTH(p, EVP_CipherInit_ex(s->ctx, NULL, NULL, s->key, NULL, -1));
    p->encrypt = encrypt;
    p->has_iv = true;
    p->spent = false;
}

/* Nonce, header in parts, data in parts. */
static void feed(struct pair *p, bool encrypt, const unsigned char *in, int len,
                 const unsigned char *tag, int tag_len)
{
    int at = 0, n, ccm = is_mode(p, EVP_CIPH_CCM_MODE);

    STEP(p, "%s %d bytes", encrypt ? "encrypting" : "decrypting", len);
    BOTH(p, EVP_CipherInit_ex(s->ctx, NULL, NULL, NULL, p->iv, encrypt));
    if (!encrypt) {
        BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, tag_len,
                                    (void *)tag));
    }
    if (ccm) {
        BOTH(p, EVP_CipherUpdate(s->ctx, NULL, &s->len, NULL, len));
    }
    for (size_t a = 0; a < p->aad_len; a += (size_t)n) {
        n = ccm ? (int)p->aad_len
                : 1 + (int)pair_random((uint32_t)(p->aad_len - a));
        BOTH(p, EVP_CipherUpdate(s->ctx, NULL, &s->len, p->aad + a, n));
    }
    do {
        n = ccm || len == 0 ? len : 1 + (int)pair_random((uint32_t)(len - at));
        BOTH(p, EVP_CipherUpdate(s->ctx, s->out + at, &s->len, in + at, n));
        at += n;
    } while (at < len);
    BOTH(p, EVP_CipherFinal_ex(s->ctx, s->out + len, &s->len));
}

void step_message(struct pair *p)
{
    unsigned char in[256], text[256], tag[16];
    int len = (int)pair_random(sizeof(in)),
        tag_len = 4 + 2 * (int)pair_random(7);

    pair_bytes(in, sizeof(in));
    pair_bytes(p->aad, sizeof(p->aad));
    p->aad_len = pair_random(sizeof(p->aad));
    fresh_output(p);
    begin(p, true, tag_len);
    feed(p, true, in, len, NULL, 0);
    memcpy(text, p->side[STOCK].out, sizeof(text));
    STEP(p, "tag of %d bytes", tag_len);
    BOTH(p,
         EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, tag_len, s->out));
    memcpy(tag, p->side[STOCK].out, sizeof(tag));
    if (pair_random(4) == 0) {
        tag[pair_random((uint32_t)tag_len)] ^= 1;
    }
    /* The same message under another key, now and then. */
    if (pair_random(4) == 0) {
        begin(p, false, tag_len);
    }
    fresh_output(p);
    feed(p, false, text, len, tag, tag_len);
    p->encrypt = false;
}

/* The tag that a record of TLS 1.3 has, made by the other side. */
static void right_tag(struct pair *p, const unsigned char aad[5],
                      unsigned char *text, int len, unsigned char tag[16])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n, ok;

    ok = EVP_EncryptInit_ex(ctx, p->side[STOCK].cipher, NULL, NULL, NULL) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL) &&
         (!is_mode(p, EVP_CIPH_CCM_MODE) ||
          EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, NULL)) &&
         EVP_EncryptInit_ex(ctx, NULL, NULL, p->key[STOCK], p->iv) &&
         (!is_mode(p, EVP_CIPH_CCM_MODE) ||
          EVP_EncryptUpdate(ctx, NULL, &n, NULL, len)) &&
         EVP_EncryptUpdate(ctx, NULL, &n, aad, 5) &&
         EVP_EncryptUpdate(ctx, text, &n, text, len) &&
         EVP_EncryptFinal_ex(ctx, text + n, &n) &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag);
    EVP_CIPHER_CTX_free(ctx);
    if (!ok) {
        different(p, "the record to be");
    }
}

/* As libssl does it, in place, for one direction of a connection. */
static void one_record(struct pair *p, bool encrypt, bool wrong)
{
    unsigned char in[300], tag[16];
    int len = 1 + (int)pair_random(sizeof(in) - 1);
    unsigned char aad[5] = {23, 3, 3, (unsigned char)((len + 16) >> 8),
                            (unsigned char)(len + 16)};

    pair_bytes(p->iv, sizeof(p->iv));
    pair_bytes(in, sizeof(in));
    if (!encrypt) {
        right_tag(p, aad, in, len, tag);
        tag[3] ^= wrong;
    }
    fresh_output(p);
    for (int i = 0; i < SIDES; i++) {
        memcpy(p->side[i].out, in, (size_t)len);
    }
    STEP(p, "%s record of %d bytes", encrypt ? "send" : "receive", len);
    BOTH(p, EVP_CipherInit_ex(s->ctx, NULL, NULL, NULL, p->iv, encrypt));
    if (!encrypt) {
        BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag));
    }
    if (is_mode(p, EVP_CIPH_CCM_MODE)) {
        BOTH(p, EVP_CipherUpdate(s->ctx, NULL, &s->len, NULL, len));
    }
    BOTH(p, EVP_CipherUpdate(s->ctx, NULL, &s->len, aad, 5));
    if (wrong && p->sealed && !is_mode(p, EVP_CIPH_CCM_MODE)) {
        /* Ours gives nothing away before the tag was right. */
        for (int i = 0; i < SIDES; i++) {
            struct side *s = &p->side[i];

            if (EVP_CipherUpdate(s->ctx, s->out, &s->len, s->out, len) != 1) {
                different(p, "update");
            }
        }
        for (int i = 0; i < len; i++) {
            if (p->side[OURS].out[i] != 0) {
                different(p, "what should be zeros");
            }
        }
        fresh_output(p);
    } else {
        BOTH(p, EVP_CipherUpdate(s->ctx, s->out, &s->len, s->out, len));
    }
    BOTH(p, EVP_CipherFinal_ex(s->ctx, s->out + len, &s->len));
    if (p->side[STOCK].ret != !wrong && !is_mode(p, EVP_CIPH_CCM_MODE)) {
        different(p, "verdict");
    }
    if (encrypt) {
        BOTH(p, EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, 16,
                                    s->out + len));
    }
}

void step_tls13(struct pair *p)
{
    bool encrypt = pair_random(2);
    int n = 1 + (int)pair_random(5);

    begin(p, encrypt, 16);
    while (n-- > 0) {
        one_record(p, encrypt, !encrypt && pair_random(6) == 0);
    }
    p->spent = true;
}
