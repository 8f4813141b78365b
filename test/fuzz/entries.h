/*
 * entries.h - what the parts of entries_fuzz share: the input, read as a
 * sequence of choices; memory that an entry is given; arguments of entries.
 */
#ifndef MPK_TEST_FUZZ_ENTRIES_H
#define MPK_TEST_FUZZ_ENTRIES_H

#include "../../provider/cipher.h"
#include "../../provider/ops.h"

#include <openssl/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ROOM ((size_t)65536)

#define REQUIRE(ok)                                                            \
    do {                                                                       \
        if (!(ok)) {                                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #ok);           \
            __builtin_trap();                                                  \
        }                                                                      \
    } while (0)

/* ---- choices (entries_input.c) ------------------------------------------- */

void input_start(const uint8_t *data, size_t len);
/* Whether there is more; at the end each choice is 0. */
bool input_goes_on(void);
/* A number below |n|, which is not 0. */
uint32_t pick(uint32_t n);
bool one_in(uint32_t n);
uint64_t pick64(void);

/* ---- memory (entries_input.c) -------------------------------------------- */

/* Loads the module of MPK_FUZZ_MODULE, with all it has, or ends. Its settings
 * are MPK_FUZZ_BACKEND (none) and MPK_FUZZ_ISOLATION (shared). */
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
/* A copy that stays, with as much memory behind it as a room has in a race. */
void *lasting(const void *from, size_t len);
/* An address that is refused for |len| bytes, whatever lies there: of the
 * domain, across its begin or end, around the end of all addresses; or NULL. */
void *bad_pointer(size_t len);
/* A length of data, up to ROOM. */
size_t a_length(void);
/* One that is never right: from any room it touches the domain, or wraps. */
size_t bad_length(void);

/* ---- another thread (entries_race.c) ------------------------------------- */

/* Whether MPK_FUZZ_RACE is set: all that a call is given changes while it runs.
 * Rooms have memory behind them then, and an input does not do the same each
 * time. */
bool race_wanted(void);
void race_start(void);
/* What a call is about to be given; NULL behind it. */
void race_over(uint32_t op, void *frame);
/* What the next derivation asks for, or NULL. */
struct kdf_request;
struct kdf_request *race_request(void);
void race_asks(struct kdf_request *r);

/* ---- secrets (entries_oracle.c) ------------------------------------------ */

/* What must not be found outside; a number is one of any order of bytes. */
void oracle_add(const void *secret, size_t len, const char *name);
void oracle_add_number(const unsigned char *secret, size_t len,
                       const char *name);
/* What was added so far is looked for in all inputs; the rest is forgotten. */
void oracle_keep(void);
void oracle_forget(void);
/* Ends the process if one is there. */
void oracle_look(const void *from, size_t len, const char *where);

/* ---- the other side (entries_own.c) -------------------------------------- */

/* A group of which we have a key; |number| is the module's for it. */
#define OWN 9
extern struct own {
    const char *type, *group;
    int32_t number;
    size_t secret_len;
    size_t ciphertext_len; /* of a KEM, or 0 */
    EVP_PKEY *key;
    unsigned char *public;
    size_t public_len;
} own[OWN];
bool own_start(void);
/* One whose key there is: the OpenSSL outside may not know a KEM. */
const struct own *own_pick(void);
/* The secret of our key and the one at |public|; its length, or 0. */
size_t own_exchange(const struct own *o, const unsigned char *public,
                    unsigned char *secret, size_t len);
/* Of a KEM: for the key at |public|, and with ours; the secret's length, or 0.
 */
size_t own_encapsulate(const struct own *o, const unsigned char *public,
                       unsigned char *ciphertext, unsigned char *secret,
                       size_t len);
size_t own_decapsulate(const struct own *o, const unsigned char *ciphertext,
                       unsigned char *secret, size_t len);
/* HKDF as TLS 1.3 has it, of no more than one block, and TLS 1.2's PRF. */
void own_extract(const EVP_MD *md, const unsigned char *salt, size_t salt_len,
                 const unsigned char *key, size_t len, unsigned char *out);
void own_expand(const EVP_MD *md, const unsigned char *secret,
                const char *label, const unsigned char *data, size_t data_len,
                unsigned char *out, size_t len);
void own_prf(const EVP_MD *md, const unsigned char *secret, size_t len,
             const char *label, const unsigned char *seed, size_t seed_len,
             unsigned char *out, size_t out_len);

/* ---- key files (entries_keys.c) ------------------------------------------ */

/* Ways in which a key is written; of some types there are not all. */
enum form { PEM, PEM_ENCRYPTED, PEM_OLD, DER, DER_ENCRYPTED, DER_OLD, MS, PVK };
#define IN_PEM (PEM_OLD + 1)
#define FORMS (PVK + 1)
#define CAN(cls) (1U << (cls))
#define CHOICES (MPKPROV_HAS_3_5 ? 14 : 11)
#define CHOICES_OF_3_0 11
extern struct choice {
    const char *name, *group;
    int32_t type;
    uint32_t can; /* classes of contexts */
    struct {
        char *text;
        long len;
    } form[FORMS];
    OSSL_PARAM *numbers;
} choices[CHOICES];
bool key_texts_make(void);
/* The same for one of those that OpenSSL 3.5 has inside (entries_later.c). */
bool later_key_make(struct choice *c);
/* A key file of a type, with its length; of any form, or in PEM. */
const char *a_key_text(bool in_pem, size_t *len);

/* ---- calls (entries_fuzz.c) ---------------------------------------------- */

int64_t do_frame(uint32_t op, struct mpkprov_frame *f);
void do_record(uint32_t op);

/* Calls that belong together (entries_story.c). Those of |which|, up to
 * STORIES_OF_KEYS, are about private keys (entries_sign.c). */
void story(void);
/* With a key for encapsulation, and with a group of it (entries_kem.c); the
 * module is on both sides. The number of such a group. */
void story_of_kem(void);
int32_t a_kem_group(void);
#define STORIES_OF_KEYS 3
void story_of_keys(uint32_t which);
#define OBJECT_IS_CTX 2 /* for ctx_free */

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
/* Derivations that follow a call. */
void a_follow(struct mpkprov_frame *f);
/* The latest cipher context is set up for records of TLS 1.2. */
void held_of_tls12(void);
/* Changes some of |f| into what nobody should say. */
void spoil(struct mpkprov_frame *f);

#endif
