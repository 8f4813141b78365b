/*
 * Bytes written as hexadecimal digits.
 */
#ifndef MPK_TOOLS_HEX_H
#define MPK_TOOLS_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* hex_digit returns the value of a digit, or -1. */
int hex_digit(char c);

/* hex_is_all tells whether all |len| characters of |text| are digits. */
bool hex_is_all(const char *text, size_t len);

/*
 * hex_decode turns the |text_len| digits |text| into bytes. Returns how many
 * were written to |out|, -EINVAL when a character is no digit or one is left
 * over, or -E2BIG when they are more than |cap|.
 */
int hex_decode(uint8_t *out, size_t cap, const char *text, size_t text_len);

/*
 * hex_encode writes |len| bytes as lower-case digits, and no 0, to |out|, which
 * has room for 2 * |len|.
 */
void hex_encode(char *out, const uint8_t *bytes, size_t len);

#endif
