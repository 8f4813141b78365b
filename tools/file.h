/*
 * A whole file in memory. Not by stdio: its buffer would keep a copy that
 * nobody wipes.
 */
#ifndef MPK_TOOLS_FILE_H
#define MPK_TOOLS_FILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * file_read reads at most |cap| bytes of the file |path| into |buf| and stores
 * their number in |*len|. Returns 0 or -errno.
 */
int file_read(const char *path, uint8_t *buf, size_t cap, size_t *len);

/*
 * file_load reads all of the file |path|, at most |max| bytes, into |*text|,
 * with a 0 behind it, for file_free. Returns 0, -EFBIG, -ENOMEM or -errno.
 */
int file_load(const char *path, size_t max, char **text, size_t *len);

/*
 * fd_load does so with what |fd| has from where it stands, a pipe or a file of
 * /proc included, and leaves it open.
 */
int fd_load(int fd, size_t max, char **text, size_t *len);

/* file_free wipes and frees |text|, which may be NULL. */
void file_free(char *text, size_t len);

#endif
