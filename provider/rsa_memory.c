/*
 * rsa_memory.c - RSA keys that memory ran out under. Inside only.
 *
 * libcrypto renews the blinding of an RSA key every 32 times. Where it gets no
 * memory meanwhile it says nothing, and goes on with a factor that does not
 * undo the other one (BN_BLINDING_create_param): that result and the next 31
 * are wrong, for every thread that has the key. So whenever the heap refuses
 * libcrypto something (inner.c), what RSA is computing just then is an error,
 * and each RSA key is made anew before it is used again.
 */
#include "inside.h"

#define RAN_OUT "memory ran out while RSA was at work"

static int is_rsa(const struct object *o)
{
    return o->type == KEY_RSA || o->type == KEY_RSA_PSS;
}

static int is_sound(const struct object *o)
{
    return !is_rsa(o) || o->epoch == handle_epoch();
}

int rsa_sound(struct mpkprov_frame *f, const struct object *o)
{
    if (is_sound(o)) {
        return 1;
    }
    forget_errors();
    return fail(f, MPKPROV_R_MEMORY, RAN_OUT);
}

/* Makes the key |handle| anew if it may not be as it was; 1, or 0 with an
 * error. Nobody else may be at work with it: that passes. */
static int mend(struct mpkprov_frame *f, uint64_t handle)
{
    struct object *key = handle_pin(handle, OBJECT_KEY, 1);
    int ok;

    if (key == NULL) {
        return fail(f, MPKPROV_R_MEMORY, RAN_OUT);
    }
    ok = is_sound(key) || key_renew(f, key);
    handle_unpin(key);
    return ok;
}

struct object *rsa_pin_key(struct mpkprov_frame *f, uint64_t handle)
{
    struct object *key = handle_pin(handle, OBJECT_KEY, 0);

    if (key != NULL && !is_sound(key)) {
        handle_unpin(key);
        if (!mend(f, handle)) {
            return NULL;
        }
        key = handle_pin(handle, OBJECT_KEY, 0);
    }
    if (key == NULL) {
        fail(f, MPKPROV_R_HANDLE, "not a key");
    } else if (!rsa_sound(f, key)) {
        handle_unpin(key);
        key = NULL;
    }
    return key;
}
