#include "hex.h"

#include <errno.h>

int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hex_is_all(const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && hex_digit(text[n]) >= 0) {
        n++;
    }
    return n == len;
}

int hex_decode(uint8_t *out, size_t cap, const char *text, size_t text_len)
{
    int high;
    int low;

    if (!hex_is_all(text, text_len) || text_len % 2 != 0) {
        return -EINVAL;
    }
    if (text_len / 2 > cap) {
        return -E2BIG;
    }
    for (size_t i = 0; i < text_len / 2; i++) {
        high = hex_digit(text[2 * i]);
        low = hex_digit(text[2 * i + 1]);
        out[i] = (uint8_t)(high << 4 | low);
    }
    return (int)(text_len / 2);
}

void hex_encode(char *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}
