/* needles.c - see needles.h. */
#include "needles.h"

#include <string.h>
#include <unistd.h>

#define MAX_WINDOWS 4096
#define MAX_WORDS 2048
#define MASK64 (NEEDLE_MASK * 0x0101010101010101ULL)
#define MASK16 (NEEDLE_MASK * 0x0101U)

static unsigned char window[MAX_WINDOWS][NEEDLE_LEN]; /* masked */
static size_t n_windows;
static uint64_t word[MAX_WORDS]; /* masked */
static size_t n_words;
/* The first two bytes of each window, masked. */
static unsigned char starts[65536 / 8];

void needles_forget(void)
{
    n_windows = 0;
    n_words = 0;
    memset(starts, 0, sizeof(starts));
}

static void add_window(const unsigned char *p)
{
    uint16_t start;

    if (n_windows < MAX_WINDOWS) {
        memcpy(window[n_windows++], p, NEEDLE_LEN);
        memcpy(&start, p, sizeof(start));
        starts[start >> 3] |= (unsigned char)(1 << (start & 7));
    }
}

void needles_add(const unsigned char *masked, size_t len, bool number)
{
    unsigned char reversed[NEEDLE_MAX];

    for (size_t at = 0; at + NEEDLE_LEN <= len; at += 8) {
        add_window(masked + at);
    }
    if (!number || len > sizeof(reversed)) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        reversed[i] = masked[len - 1 - i];
    }
    for (size_t at = 0; at + NEEDLE_LEN <= len; at += 8) {
        add_window(reversed + at);
    }
    for (size_t at = 0; at + 8 <= len && n_words < MAX_WORDS; at += 8) {
        memcpy(&word[n_words++], masked + at, 8);
    }
}

bool needles_send(int fd, const unsigned char *secret, size_t len)
{
    unsigned char masked[2 + NEEDLE_MAX];

    if (len > NEEDLE_MAX) {
        return false;
    }
    masked[0] = (unsigned char)(len >> 8);
    masked[1] = (unsigned char)len;
    for (size_t i = 0; i < len; i++) {
        masked[2 + i] = secret[i] ^ NEEDLE_MASK;
    }
    return write(fd, masked, len + 2) == (ssize_t)(len + 2);
}

/* True when |len| bytes came; a pipe may give them in parts. */
static bool read_all(int fd, unsigned char *to, size_t len)
{
    while (len > 0) {
        ssize_t got = read(fd, to, len);

        if (got <= 0) {
            return false;
        }
        to += got;
        len -= (size_t)got;
    }
    return true;
}

int needles_receive(int fd, bool number)
{
    unsigned char head[2], masked[NEEDLE_MAX];
    int n = 0;

    while (read_all(fd, head, 2)) {
        size_t len = (size_t)head[0] << 8 | head[1];

        if (len > sizeof(masked) || !read_all(fd, masked, len)) {
            return -1;
        }
        needles_add(masked, len, number);
        n++;
    }
    return n;
}

static bool is_window(const unsigned char *p)
{
    for (size_t w = 0; w < n_windows; w++) {
        size_t i = 0;

        while (i < NEEDLE_LEN && (p[i] ^ NEEDLE_MASK) == window[w][i]) {
            i++;
        }
        if (i == NEEDLE_LEN) {
            return true;
        }
    }
    return false;
}

const unsigned char *needles_find(const void *start, size_t len)
{
    const unsigned char *p = start;
    uint16_t v;

    for (size_t at = 0; at + NEEDLE_LEN <= len; at++) {
        memcpy(&v, p + at, sizeof(v));
        v ^= MASK16;
        if ((starts[v >> 3] & (1 << (v & 7))) != 0 && is_window(p + at)) {
            return p + at;
        }
    }
    return NULL;
}

size_t needles_words(const void *start, size_t len)
{
    const unsigned char *p = start;
    size_t found = 0;

    for (size_t at = 0; at + 8 <= len; at += 8) {
        uint64_t v;

        memcpy(&v, p + at, 8);
        v ^= MASK64;
        for (size_t w = 0; w < n_words; w++) {
            found += v == word[w];
        }
    }
    return found;
}
