#ifndef MPK_BENCH_INTERRUPT_H
#define MPK_BENCH_INTERRUPT_H

/*
 * A benchmark that is told to end (SIGHUP, SIGINT, SIGTERM) has private keys
 * in a directory, which has to go first.
 */

#include <stdbool.h>

/* interrupt_catch makes those signals no more than a note. */
void interrupt_catch(void);

bool interrupted(void);

/* interrupt_end ends the process by the signal that was noted, if any was. */
void interrupt_end(void);

#endif
