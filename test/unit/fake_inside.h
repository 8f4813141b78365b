/*
 * fake_inside.h - what parts of the provider's inside need, without a domain:
 * malloc for its heap, the system's libcrypto for the inner one. So tests can
 * look at both sides of what the domain keeps apart.
 */
#ifndef MPK_TEST_FAKE_INSIDE_H
#define MPK_TEST_FAKE_INSIDE_H

#include "inside.h"

void fake_inside_start(void);

/* When set, what has been copied in is overwritten where it came from, as
 * another thread could do: whoever looks there again is found out. */
extern int fake_inside_hostile;

/* The one place that is outside. */
extern const void *fake_inside_outside;

/* The heap has nothing to give; how often it was asked. */
extern int fake_inside_full, fake_inside_asked;
/* What happens meanwhile, or NULL. */
extern void (*fake_inside_asking)(void);

/* Calls |body| in a child; true if it ended with mpk_fatal. */
int fake_inside_fatal(void (*body)(void));

#endif
