/* secret.c - handles of the secrets of a connection. */
#include "secret.h"

#include <string.h>

int secret_boot(struct mpkprov_frame *f, const char *path)
{
    (void)path;
    return fail(f, MPKPROV_R_OPERATION, "session secrets are not there yet");
}
