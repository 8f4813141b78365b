/* tls_boot.c - session secrets are switched on. */
#include "secret.h"
#include "tls.h"
#include "tls_kdf.h"

#include <stdio.h>
#include <string.h>

/* ---- inside -------------------------------------------------------------- */

static int on;

int secrets_on(void)
{
    return __atomic_load_n(&on, __ATOMIC_ACQUIRE);
}

/* Uses: in, in_len = path of a handle key file, or NULL; what = bits of
 * enum kdf_flags. */
int64_t tls_boot_stub(void *frame)
{
    static int begun;
    struct mpkprov_frame *f = frame;
    char *path = NULL;
    int ok;

    if (__atomic_exchange_n(&begun, 1, __ATOMIC_SEQ_CST)) {
        return fail(f, MPKPROV_R_OPERATION, "session secrets are on already");
    }
    if (f->in != NULL && f->in_len == 0) {
        return fail(f, MPKPROV_R_PARAMETER, "a handle key file without a name");
    }
    if (f->in != NULL) {
        path = take(f, f->in, f->in_len);
        if (path == NULL) {
            return 0;
        }
        path[f->in_len - 1] = '\0';
    }
    ok = secret_boot(f, path);
    if (ok) {
        kdf_boot(f);
        group_boot();
        ok = cipher_boot(f);
    }
    mpk_heap_free(path);
    __atomic_store_n(&on, ok, __ATOMIC_RELEASE);
    return ok;
}

/* ---- outside ------------------------------------------------------------- */

/* Called with prov.lock, once in a process; 1, or 0 with |why|. */
int tls_boot(const struct tls_settings *s, char *why, size_t room)
{
    struct mpkprov_frame f = {0};

    if (!keylog_open(s->keylog, why, room)) {
        return 0;
    }
    if (s->handle_key_file[0] != '\0') {
        f.in = s->handle_key_file;
        f.in_len = strlen(s->handle_key_file) + 1;
    }
    f.what = (keylog_is_on() ? KDF_REVEAL : 0) |
             (s->cbc == CBC_REFUSE ? KDF_NO_CBC : 0) |
             (s->pms == PMS_REFUSE ? KDF_NO_RAW : 0) |
             (s->x448 == X448_LEAVE ? KDF_LEAVE_X448 : 0);
    if (mpk_call(OP_tls_boot, &f) == 1) {
        keylog_say(s->keylog);
        return 1;
    }
    keylog_close();
    snprintf(why, room, "session secrets: %.*s", MPKPROV_ERROR_TEXT - 1,
             f.error.text);
    return 0;
}
