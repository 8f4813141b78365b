#include "json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The length of the character at |c| in UTF-8 (RFC 3629), 0: there is none. */
static size_t utf8_len(const unsigned char *c)
{
    unsigned char low = *c == 0xe0 ? 0xa0 : *c == 0xf0 ? 0x90 : 0x80;
    unsigned char high = *c == 0xed ? 0x9f : *c == 0xf4 ? 0x8f : 0xbf;
    size_t len = *c < 0x80    ? 1
                 : *c < 0xc2  ? 0
                 : *c < 0xe0  ? 2
                 : *c < 0xf0  ? 3
                 : *c <= 0xf4 ? 4
                              : 0;

    for (size_t i = 1; i < len; i++) {
        if (c[i] < low || c[i] > high) {
            return 0; /* the text's end too */
        }
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

static bool is_control(unsigned int character)
{
    return character < ' ' || (character >= 0x7f && character < 0xa0);
}

void json_string(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t len;

    putchar('"');
    for (; *c != '\0'; c += len == 0 ? 1 : len) {
        len = utf8_len(c);
        if (len == 0 || (len == 1 && is_control(*c))) {
            printf("\\u%04x", *c);
        } else if (len == 2 && *c == 0xc2 && is_control(c[1])) {
            printf("\\u%04x", c[1]);
        } else if (*c == '"' || *c == '\\') {
            printf("\\%c", *c);
        } else {
            fwrite(c, 1, len, stdout);
        }
    }
    putchar('"');
}
