#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first try where nothing says how much there is. */
#define ROOM_UNKNOWN ((size_t)1 << 20)

static int read_all(int fd, uint8_t *buf, size_t cap, size_t *len)
{
    ssize_t n;

    for (*len = 0; *len < cap; *len += (size_t)n) {
        n = read(fd, buf + *len, cap - *len);
        if (n == 0) {
            break;
        }
        if (n < 0) {
            return -errno;
        }
    }
    return 0;
}

int file_read(const char *path, uint8_t *buf, size_t cap, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int err;

    if (fd < 0) {
        return -errno;
    }
    err = read_all(fd, buf, cap, len);
    close(fd);
    return err;
}

/* Room for what a file has now and the end after it; others say nothing. */
static size_t first_room(int fd, size_t max)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0) {
        return max < ROOM_UNKNOWN ? max + 1 : ROOM_UNKNOWN;
    }
    return (size_t)st.st_size > max ? max + 1 : (size_t)st.st_size + 1;
}

void file_free(char *text, size_t len)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, len);
    }
    free(text);
}

/* Gives |*text|, |len| bytes, |room| and a 0; realloc leaves copies. */
static int grow(char **text, size_t len, size_t room)
{
    char *fresh = malloc(room + 1);

    if (fresh == NULL) {
        return -ENOMEM;
    }
    if (len > 0) {
        memcpy(fresh, *text, len);
    }
    file_free(*text, len);
    *text = fresh;
    return 0;
}

int fd_load(int fd, size_t max, char **text, size_t *len)
{
    size_t room = first_room(fd, max);
    size_t n;
    bool full = true;
    int err = 0;

    *text = NULL;
    *len = 0;
    while (err == 0 && full && *len <= max) {
        err = grow(text, *len, room);
        if (err == 0) {
            err = read_all(fd, (uint8_t *)*text + *len, room - *len, &n);
            *len += n;
        }
        full = *len == room;
        room = room > max / 2 ? max + 1 : 2 * room;
    }
    if (err == 0 && *len > max) {
        err = -EFBIG;
    }
    if (err != 0) {
        file_free(*text, *len);
        *text = NULL;
        return err;
    }
    (*text)[*len] = '\0';
    return 0;
}

int file_load(const char *path, size_t max, char **text, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int err;

    *text = NULL;
    *len = 0;
    if (fd < 0) {
        return -errno;
    }
    err = fd_load(fd, max, text, len);
    close(fd);
    return err;
}
