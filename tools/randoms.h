/*
 * The server randoms of TLS 1.2 connections. A key log lacks them, and without
 * them there are no record keys. libssl keeps both randoms side by side, so
 * they are looked for next to the client's in the target's memory.
 */
#ifndef MPK_TOOLS_RANDOMS_H
#define MPK_TOOLS_RANDOMS_H

#include "secrets.h"
#include "target.h"

/*
 * randoms_find looks through |t| for the client randoms of |log|'s TLS 1.2
 * connections, and adds to |s| the record keys that each pair of randoms makes
 * that could be one. Returns 0, -ENOMEM or -EIO, or -1 after an error message.
 */
int randoms_find(struct secrets *s, const struct target *t,
                 const struct keylog *log);

#endif
