/*
 * freed.h - what others have freed of a key's text without wiping it.
 *
 * libcrypto, and libc for it, free blocks in which the text of a key was, as
 * they are. malloc gives the same blocks out again when it is asked for as many
 * bytes; so these ask, wipe, and give them back. That is no promise: somebody
 * else may have had a block meanwhile, and have filled half of it. Outside
 * only.
 */
#ifndef MPKPROV_FREED_H
#define MPKPROV_FREED_H

#include <stddef.h>

/* freed_wipe wipes what this thread has freed last of blocks of |size| bytes.
 * libcrypto's readers of PEM have lines in blocks of FREED_LINE. */
void freed_wipe(size_t size);
#define FREED_LINE 256

/*
 * A key that came as DER from memory has often come from a file: libcrypto has
 * read that for the program, by a stream whose buffer has it all, and which
 * the program closes when it has the key. freed_expect takes note of that for
 * this thread. freed_look, called whenever a key is used, wipes such a buffer,
 * the next few times.
 */
void freed_expect(void);
void freed_look(void);

#endif
