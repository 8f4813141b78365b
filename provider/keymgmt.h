/* keymgmt.h - what keymgmt.c takes from the files beside it. */
#ifndef MPKPROV_KEYMGMT_H
#define MPKPROV_KEYMGMT_H

#include "ops.h"

#include <openssl/core_dispatch.h>

/* Lists of parameters: what a key answers, takes, and is imported from or
 * exported to, with or without the private part. */
const OSSL_PARAM *key_gettable_of(enum key_type type);
const OSSL_PARAM *key_settable_of(enum key_type type);
const OSSL_PARAM *key_types_of(enum key_type type, int private);

/* keygen.c */
void *gen_open_proxy(void *provctx, enum key_type type, int selection,
                     const OSSL_PARAM params[]);
OSSL_FUNC_keymgmt_gen_set_template_fn gen_template_proxy;
OSSL_FUNC_keymgmt_gen_set_params_fn gen_set_proxy;
OSSL_FUNC_keymgmt_gen_fn gen_run_proxy;
OSSL_FUNC_keymgmt_gen_cleanup_fn gen_free_proxy;
const OSSL_PARAM *gen_settable(enum key_type type);

#endif
