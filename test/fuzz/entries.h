/*
 * entries.h - what the parts of entries_fuzz share: the input, read as a
 * sequence of choices; memory that an entry is given; arguments of entries.
 */
#ifndef MPK_TEST_FUZZ_ENTRIES_H
#define MPK_TEST_FUZZ_ENTRIES_H

#include "../../provider/cipher.h"
#include "../../provider/ops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROOM ((size_t)65536)

/* ---- choices (entries_input.c) ------------------------------------------- */

void input_start(const uint8_t *data, size_t len);
/* Whether there is more; at the end each choice is 0. */
bool input_goes_on(void);
/* A number below |n|, which is not 0. */
uint32_t pick(uint32_t n);
bool one_in(uint32_t n);
uint64_t pick64(void);

/* ---- memory (entries_input.c) -------------------------------------------- */

/* Loads the module of MPK_FUZZ_MODULE, with all it has, or ends. */
void module_load(void);

/* Makes the rooms, and notes where the domain is. */
bool rooms_make(void);
/* The last |len| bytes before a page that faults, of room |i| of ROOMS. */
enum {
    ROOM_IN,
    ROOM_IN2,
    ROOM_OUT,
    ROOM_OUT2,
    ROOM_PARAMS,
    ROOM_NAMES,
    ROOM_VALUES
};
#define VALUES 8
#define ROOMS (ROOM_VALUES + VALUES)
void *room(int i, size_t len);
bool is_in_room(const void *p);
/* An address that is refused for |len| bytes, whatever lies there: of the
 * domain, across its begin or end, around the end of all addresses; or NULL. */
void *bad_pointer(size_t len);
/* A length of data, up to ROOM. */
size_t a_length(void);
/* One that is never right: from any room it touches the domain, or wraps. */
size_t bad_length(void);

/* ---- objects (entries_fuzz.c) -------------------------------------------- */

enum kind { KEY, CTX, GEN, EPHEMERAL, CIPHER, KINDS };

/* The handle of one of |kind|, mostly. */
uint64_t some(enum kind kind);
/* A key that contexts of |cls| can be made for. */
uint64_t a_key_for(enum ctx_class cls);
/* The last one that was made of |kind|. */
uint64_t latest(enum kind kind);
/* The type that most keys of this input have, and numbers of such a key. */
int32_t a_key_type(void);
const OSSL_PARAM *a_key_data(void);
/* What an entry gave out lately, such as a secret's handle or a signature. */
const unsigned char *given(size_t *len);

/* ---- arguments (entries_args.c) ------------------------------------------ */

/* Parameters, right ones or not. */
const OSSL_PARAM *a_list(void);
const OSSL_PARAM *a_key_list(void);
/* A frame for |op|. */
struct mpkprov_frame a_frame(uint32_t op);
struct cipher_record a_record(void);
/* A key file of a type, with its length. */
const char *a_key_text(size_t *len);
bool key_texts_make(void);
/* Changes some of |f| into what nobody should say. */
void spoil(struct mpkprov_frame *f);

#endif
