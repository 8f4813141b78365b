#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Room for what the file has now and a little more: a key log grows. */
static size_t room_for(int fd, size_t max)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0 ||
        (size_t)st.st_size > max) {
        return max + 1;
    }
    return (size_t)st.st_size + 1;
}

int file_load(const char *path, size_t max, char **text, size_t *len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t room;
    int err;

    *text = NULL;
    *len = 0;
    if (fd < 0) {
        return -errno;
    }
    room = room_for(fd, max);
    *text = malloc(room + 1);
    err = *text == NULL ? -ENOMEM : read_all(fd, (uint8_t *)*text, room, len);
    close(fd);
    if (err == 0 && *len > max) {
        err = -EFBIG;
    }
    if (err != 0) {
        if (*text != NULL) {
            OPENSSL_cleanse(*text, *len);
        }
        free(*text);
        *text = NULL;
        return err;
    }
    (*text)[*len] = '\0';
    return 0;
}
