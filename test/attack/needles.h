/*
 * needles.h - what an attacker looks for: 24 bytes in a row of a secret, in
 * either byte order, or a 64-bit word of it.
 *
 * The secrets are kept with every bit of MASK turned over, here and in files
 * and pipes, and are compared without turning them back in memory: a search
 * through the whole process must not find what it looks for in the searcher.
 */
#ifndef MPK_TEST_ATTACK_NEEDLES_H
#define MPK_TEST_ATTACK_NEEDLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEEDLE_MASK 0xa5
#define NEEDLE_LEN 24
#define NEEDLE_MAX 512 /* bytes of one secret */

/* needles_forget drops all secrets. */
void needles_forget(void);

/* needles_add takes a secret of |len| bytes, masked. |number|: it is one in
 * the order of memory, least byte first, and is looked for reversed too. */
void needles_add(const unsigned char *masked, size_t len, bool number);

/* needles_send writes |len| bytes at |secret|, masked; false on error. */
bool needles_send(int fd, const unsigned char *secret, size_t len);

/* needles_receive adds all that was sent until end of file and returns how
 * many secrets that were. */
int needles_receive(int fd, bool number);

/* needles_find returns where in |len| bytes at |p| the first one is, or NULL.
 */
const unsigned char *needles_find(const void *p, size_t len);

/* needles_words counts the aligned 64-bit words of |len| bytes at |p| that are
 * words of a number. */
size_t needles_words(const void *p, size_t len);

#endif
