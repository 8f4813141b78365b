/*
 * wiped.h - what a subject has in its memory too briefly for a look: the
 * program stands in front of libcrypto, and what is wiped there is kept, in a
 * mapping of its own, until the next request.
 */
#ifndef MPK_TEST_SCAN_WIPED_H
#define MPK_TEST_SCAN_WIPED_H

#define WIPED_NAME "scan-wiped" /* of the memory file */

/* wiped_start keeps from now on. It ends this program on failure. */
void wiped_start(void);

/* wiped_forget empties the mapping. */
void wiped_forget(void);

#endif
