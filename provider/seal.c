/* seal.c - a private key's PEM block, sealed and opened. */
#include "seal.h"
#include "keyload.h"
#include "pem.h"
#include "wide.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <pthread.h>
#include <string.h>

/* ---- labels -------------------------------------------------------------- */

#define KEY_WORD "KEY"
#define SEALED_WORD "MPK"
#define WORD_LEN 3
#define KEY_END "PRIVATE KEY"
#define SEALED_END "PRIVATE MPK"
#define END_LEN (sizeof(KEY_END) - 1)

/* The case of a letter, which labels keep. */
#define LOWER 0x20

static int ends_in(const char *p, size_t len, const char *end)
{
    return len >= END_LEN && strncasecmp(p + len - END_LEN, end, END_LEN) == 0;
}

/* Writes |word| over the last letters of the |len| at |p|. */
static void change_word(char *p, size_t len, const char *word)
{
    for (size_t i = 0; i < WORD_LEN; i++) {
        char *c = p + len - WORD_LEN + i;

        *c = (char)(word[i] | (*c & LOWER));
    }
}

int seal_is_label(const char *label, size_t len, char *plain)
{
    if (len > SEAL_LABEL_MAX || !ends_in(label, len, SEALED_END)) {
        return 0;
    }
    memcpy(plain, label, len);
    change_word(plain, len, KEY_WORD);
    return 1;
}

/* ---- inside: the text of one block --------------------------------------- */

#define DASHES_LEN (sizeof(PEM_DASHES) - 1)

/* A block: all of its text, its two label lines, up to the dashes behind the
 * label, and what is between them. */
struct block {
    char *text, *first, *last;
    size_t text_len;
    size_t first_len, last_len;
    char *body;
    size_t body_len;
};

/* The length of the line at |p| up to its label's end; 0 if it has no label. */
static size_t label_line(const char *p, size_t len)
{
    const char *nl = memchr(p, '\n', len);
    size_t n = pem_stripped(p, nl != NULL ? (size_t)(nl - p) : len);

    return n > DASHES_LEN &&
                   memcmp(p + n - DASHES_LEN, PEM_DASHES, DASHES_LEN) == 0
               ? n - DASHES_LEN
               : 0;
}

/* The block's last line, which need not begin behind a line's end: for
 * libcrypto a long line is several. NULL if there is none. */
static char *last_line(char *p, size_t len)
{
    char *stop = p + len, *last = NULL;

    while ((p = memmem(p, (size_t)(stop - p), PEM_END, sizeof(PEM_END) - 1)) !=
           NULL) {
        last = p++;
    }
    return last;
}

/* Takes apart the block that is all of the |len| bytes at |p|; 0 if its first
 * line is none that begins one. */
static int take_apart(char *p, size_t len, struct block *b)
{
    char *nl = memchr(p, '\n', len), *end;
    size_t left;

    b->text = p;
    b->text_len = len;
    b->first = p;
    b->first_len = label_line(p, len);
    if (nl == NULL || b->first_len == 0) {
        return 0;
    }
    b->body = nl + 1;
    left = len - (size_t)(b->body - p);
    end = last_line(b->body, left);
    b->body_len = end != NULL ? (size_t)(end - b->body) : left;
    b->last = b->body + b->body_len;
    b->last_len = label_line(b->last, left - b->body_len);
    return 1;
}

static int is_key(const struct block *b, const char *end)
{
    return ends_in(b->first, b->first_len, end);
}

/* The last line's too, if it is the same: what does not fit stays so. */
static void change_labels(const struct block *b, const char *from,
                          const char *word)
{
    change_word(b->first, b->first_len, word);
    if (ends_in(b->last, b->last_len, from)) {
        change_word(b->last, b->last_len, word);
    }
}

/* ---- inside: digits ------------------------------------------------------ */

/* Takes the digits among the |len| bytes at |p| out to |d|; returns how many
 * there are. */
static size_t digits_out(const char *p, size_t len, unsigned char *d)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        int digit = pem_digit(p[i]);

        if (digit >= 0) {
            d[n++] = (unsigned char)digit;
        }
    }
    return n;
}

static void digits_back(char *p, size_t len, const unsigned char *d)
{
    for (size_t i = 0; i < len; i++) {
        if (pem_digit(p[i]) >= 0) {
            p[i] = pem_digits[*d++];
        }
    }
}

/* Four digits are three bytes. */
static void pack(unsigned char *out, const unsigned char *d, size_t n)
{
    for (; n > 0; n -= 4, d += 4) {
        *out++ = (unsigned char)(d[0] << 2 | d[1] >> 4);
        *out++ = (unsigned char)(d[1] << 4 | d[2] >> 2);
        *out++ = (unsigned char)(d[2] << 6 | d[3]);
    }
}

static void unpack(unsigned char *d, const unsigned char *in, size_t n)
{
    for (; n > 0; n -= 4, in += 3) {
        *d++ = in[0] >> 2;
        *d++ = (in[0] << 4 | in[1] >> 4) & 63;
        *d++ = (in[1] << 2 | in[2] >> 6) & 63;
        *d++ = in[2] & 63;
    }
}

/* ---- inside: the cipher -------------------------------------------------- */

enum direction { SEAL, OPEN };

static _Atomic(struct hctr2 *) cipher; /* NULL until a file is sealed */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static struct hctr2 *new_cipher(struct mpkprov_frame *f)
{
    unsigned char key[WIDE_KEY];
    struct hctr2 *h = NULL;

    if (RAND_priv_bytes(key, sizeof(key)) == 1) {
        h = wide_new(f, key);
    } else {
        fail_inner(f, "a random key for files");
    }
    OPENSSL_cleanse(key, sizeof(key));
    return h;
}

/* There is one in a process; a child of fork has its parent's. */
static struct hctr2 *cipher_for(struct mpkprov_frame *f)
{
    struct hctr2 *h = cipher;

    if (h == NULL) {
        pthread_mutex_lock(&making);
        h = cipher;
        if (h == NULL) {
            cipher = h = new_cipher(f);
        }
        pthread_mutex_unlock(&making);
    }
    return h;
}

/* The last byte is a version. */
static const unsigned char version[16] = {'m', 'p', 'k', ' ', 's', 'e',
                                          'a', 'l', 'e', 'd', ' ', 'f',
                                          'i', 'l', 'e', 1};

/*
 * The tweak: all of a block but its digits, with its labels as they were. Who
 * could put a line's end, a zero byte or another label where he likes would
 * choose which digits of a key are parsed, and as what; and errors tell what
 * was found.
 */
static unsigned char *tweak_of(const struct block *b, size_t *len)
{
    unsigned char *tweak;

    *len = sizeof(version) + b->text_len;
    tweak = mpk_heap_alloc(*len);
    if (tweak != NULL) {
        char *body = (char *)tweak + sizeof(version) + (b->body - b->text);

        memcpy(tweak, version, sizeof(version));
        memcpy(tweak + sizeof(version), b->text, b->text_len);
        for (size_t i = 0; i < b->body_len; i++) {
            if (pem_digit(body[i]) >= 0) {
                body[i] = pem_digits[0];
            }
        }
    }
    return tweak;
}

/* Runs the cipher on |n| digits, a multiple of 4; |room| is for their bytes. */
static void run(const struct hctr2 *h, enum direction way,
                const unsigned char state[HCTR2_BLOCK], unsigned char *d,
                size_t n, unsigned char *room)
{
    size_t len = n / 4 * 3;

    pack(room, d, n);
    if (way == SEAL) {
        hctr2_encrypt(h, state, room, len);
    } else {
        hctr2_decrypt(h, state, room, len);
    }
    unpack(d, room, n);
}

/*
 * Up to three digits are over, so it is done twice: without them, and then
 * without the first few.
 */
static void run_twice(const struct hctr2 *h, enum direction way,
                      const unsigned char *tweak, size_t tweak_len,
                      unsigned char *d, size_t n, unsigned char *room)
{
    size_t whole = n / 4 * 4, over = n - whole;
    unsigned char state[HCTR2_BLOCK];

    hctr2_tweak(h, state, tweak, tweak_len, whole / 4 * 3);
    run(h, way, state, way == SEAL ? d : d + over, whole, room);
    run(h, way, state, way == SEAL ? d + over : d, whole, room);
}

/* Fewer are too few for the cipher, and for any key. */
#define DIGITS_MIN 24

static int has_digits(const struct block *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->body_len && n < DIGITS_MIN; i++) {
        n += pem_digit(b->body[i]) >= 0;
    }
    return n == DIGITS_MIN;
}

/* |b| has digits enough, and its labels are those of a key. 1, or 0 with an
 * error. */
static int run_block(struct mpkprov_frame *f, enum direction way,
                     const struct block *b)
{
    unsigned char *d = mpk_heap_alloc(2 * b->body_len);
    size_t tweak_len;
    unsigned char *tweak = tweak_of(b, &tweak_len);
    const struct hctr2 *h = cipher_for(f);
    int ok = 0;

    if (d == NULL || tweak == NULL) {
        fail(f, MPKPROV_R_MEMORY, NULL);
    } else if (h != NULL) {
        run_twice(h, way, tweak, tweak_len, d,
                  digits_out(b->body, b->body_len, d), d + b->body_len);
        digits_back(b->body, b->body_len, d);
        ok = 1;
    }
    mpk_heap_free(tweak);
    mpk_heap_free(d);
    return ok;
}

enum seal_opened seal_open(struct mpkprov_frame *f, unsigned char *p,
                           size_t len)
{
    struct block b;

    if (!take_apart((char *)p, len, &b) || !is_key(&b, SEALED_END)) {
        return SEAL_NONE;
    }
    if (!has_digits(&b)) {
        fail(f, MPKPROV_R_BAD_KEY, "it was not sealed by this process");
        return SEAL_FAILED;
    }
    change_labels(&b, SEALED_END, KEY_WORD);
    if (!run_block(f, OPEN, &b)) {
        return SEAL_FAILED;
    }
    return SEAL_OPENED;
}

/* Uses: in = text of one block, out = room for as much: the same, sealed if
 * there is a private key in it. */
int64_t key_seal_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    size_t len = f->in_len;
    struct block b;
    char *p;
    int ok = 1;

    if (len > KEYLOAD_MAX) {
        return fail(f, MPKPROV_R_OPERATION, KEYLOAD_TOO_LARGE);
    }
    p = take(f, f->in, len);
    if (p == NULL) {
        return 0;
    }
    if (take_apart(p, len, &b) && is_key(&b, KEY_END) && has_digits(&b)) {
        ok = run_block(f, SEAL, &b);
        change_labels(&b, KEY_END, SEALED_WORD);
    }
    ok = ok && give(f, p, len);
    mpk_heap_free(p);
    forget_errors();
    return ok;
}
