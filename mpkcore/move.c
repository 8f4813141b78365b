/*
 * move.c - in place of libc's memcpy, memmove and memset, for a library that
 * lives inside, by the linker's --wrap.
 *
 * How libc's copy depends on numbers in its data: from which length on they use
 * other instructions. With two of them changed, a copy of 65 to 159 bytes
 * writes up to 95 bytes more behind its end and 63 before its start, and
 * returns. If what follows the source is the attacker's, as it is with a
 * message that is hashed where it lies, so is what is written inside.
 */
#include "internal.h"

#include <mpkcore/core.h>

#include <emmintrin.h>
#include <stdint.h>
#include <string.h>

void *__wrap_memcpy(void *to, const void *from, size_t len);
void *__wrap_memmove(void *to, const void *from, size_t len);
void *__wrap_memset(void *to, int c, size_t len);
void *__wrap___memcpy_chk(void *to, const void *from, size_t len, size_t room);
void *__wrap___memmove_chk(void *to, const void *from, size_t len, size_t room);
void *__wrap___memset_chk(void *to, int c, size_t len, size_t room);

/* ---- copying ------------------------------------------------------------ */

struct block {
    __m128i part[4];
};

static inline __m128i get16(const char *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline void put16(char *to, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)to, v);
}

static inline struct block get64(const char *from)
{
    return (struct block){
        {get16(from), get16(from + 16), get16(from + 32), get16(from + 48)}};
}

static inline void put64(char *to, struct block b)
{
    put16(to, b.part[0]);
    put16(to + 16, b.part[1]);
    put16(to + 32, b.part[2]);
    put16(to + 48, b.part[3]);
}

/* Both ends are read before either is written: they may overlap, each other
 * too. */
#define MOVE_ENDS(type, to, from, len)                                         \
    do {                                                                       \
        type first_, last_;                                                    \
        __builtin_memcpy(&first_, from, sizeof(type));                         \
        __builtin_memcpy(&last_, (from) + (len) - sizeof(type), sizeof(type)); \
        __builtin_memcpy(to, &first_, sizeof(type));                           \
        __builtin_memcpy((to) + (len) - sizeof(type), &last_, sizeof(type));   \
    } while (0)

/* Of less than 64 bytes. */
static inline void move_few(char *to, const char *from, size_t len)
{
    if (len >= 32) {
        const __m128i a = get16(from), b = get16(from + 16);
        const __m128i y = get16(from + len - 32), z = get16(from + len - 16);

        put16(to, a);
        put16(to + 16, b);
        put16(to + len - 32, y);
        put16(to + len - 16, z);
    } else if (len >= 16) {
        MOVE_ENDS(__m128i, to, from, len);
    } else if (len >= 8) {
        MOVE_ENDS(uint64_t, to, from, len);
    } else if (len >= 4) {
        MOVE_ENDS(uint32_t, to, from, len);
    } else if (len >= 2) {
        MOVE_ENDS(uint16_t, to, from, len);
    } else if (len == 1) {
        *to = *from;
    }
}

/*
 * The end that is written last is read first. cpu_keep_writes keeps the
 * compiler from making a call of memmove of it.
 */
static void *move(void *dst, const void *src, size_t len)
{
    const char *from = src;
    char *to = dst;

    if (len < 64) {
        move_few(to, from, len);
    } else if ((uintptr_t)to - (uintptr_t)from >= len) {
        const struct block last = get64(from + len - 64);

        for (size_t at = 0; at < len - 64; at += 64) {
            put64(to + at, get64(from + at));
            cpu_keep_writes(to);
        }
        put64(to + len - 64, last);
    } else {
        const struct block first = get64(from);

        for (size_t left = len; left > 64; left -= 64) {
            put64(to + left - 64, get64(from + left - 64));
            cpu_keep_writes(to);
        }
        put64(to, first);
    }
    return dst;
}

void *__wrap_memcpy(void *to, const void *from, size_t len)
{
    return move(to, from, len);
}

void *__wrap_memmove(void *to, const void *from, size_t len)
{
    return move(to, from, len);
}

/* ---- setting ------------------------------------------------------------ */

#define SET_ENDS(type, to, v, len)                                             \
    do {                                                                       \
        const type v_ = (type)(v);                                             \
        __builtin_memcpy(to, &v_, sizeof(type));                               \
        __builtin_memcpy((to) + (len) - sizeof(type), &v_, sizeof(type));      \
    } while (0)

/* Less than 16 bytes. */
static inline void set_few(char *to, unsigned char c, size_t len)
{
    const uint64_t v = c * 0x0101010101010101ULL;

    if (len >= 8) {
        SET_ENDS(uint64_t, to, v, len);
    } else if (len >= 4) {
        SET_ENDS(uint32_t, to, v, len);
    } else if (len >= 2) {
        SET_ENDS(uint16_t, to, v, len);
    } else if (len == 1) {
        *to = (char)c;
    }
}

void *__wrap_memset(void *dst, int c, size_t len)
{
    const __m128i v = _mm_set1_epi8((char)c);
    char *to = dst;

    if (len < 16) {
        set_few(to, (unsigned char)c, len);
        return dst;
    }
    for (size_t at = 0; at < len - 16; at += 16) {
        put16(to + at, v);
        cpu_keep_writes(to);
    }
    put16(to + len - 16, v);
    return dst;
}

/* ---- with a look at the room (_FORTIFY_SOURCE) -------------------------- */

static inline void check_room(size_t len, size_t room)
{
    if (len > room) {
        mpk_fatal("a variable is too small for what is copied to it");
    }
}

void *__wrap___memcpy_chk(void *to, const void *from, size_t len, size_t room)
{
    check_room(len, room);
    return move(to, from, len);
}

void *__wrap___memmove_chk(void *to, const void *from, size_t len, size_t room)
{
    check_room(len, room);
    return move(to, from, len);
}

void *__wrap___memset_chk(void *to, int c, size_t len, size_t room)
{
    check_room(len, room);
    return __wrap_memset(to, c, len);
}
