#ifndef MPK_TEST_INTEROP_ATTACK_ENTRY_H
#define MPK_TEST_INTEROP_ATTACK_ENTRY_H

/*
 * What the tests of the gate's entries share: the gate, things inside, and a
 * frame for each entry that works.
 */

#include "interop.h"

#include <mpkcore/core.h>

/* The tests and the provider have a type of this name each. */
#define key_type prov_key_type
#include "../../provider/ops.h"
#include "../../provider/reason.h"
#include "../../provider/tls_group.h"
#undef key_type

/* attack_start makes all of this ready; false where there is no gate.
 * attack_finish returns what main is to. */
bool attack_start(void);
int attack_finish(void);

/* The gate itself, and what the core says of the domain. */
extern int64_t (*call)(uint32_t op, void *frame);
extern int (*info)(struct mpk_info *info);

/* Keys as PEM, RSA's file, and handles of both. */
extern char *p256, *rsa, *rsa_path;
extern uint64_t p256_handle, rsa_handle;

/* For a frame's pointers; P-256 by name; the two sets of a signature of TLS
 * with RSA-PSS. */
extern unsigned char room[8192], room2[8192], message[1024];
extern OSSL_PARAM number_param[2], group_param[2];
extern OSSL_PARAM padding_param[2], salt_param[2];

/* What a child was at, for when it dies. */
extern struct progress {
    char at[160];
} * progress;

/* The variants, as the operations' own files number them. */
enum { SIG_SIGN, SIG_VERIFY, SIG_RECOVER, SIG_DIGEST_SIGN, SIG_DIGEST_VERIFY };

/* load returns a key's handle, made one that |op| makes without a key, context
 * that of a context that |op| has made ready for |key|, signer one that signs
 * with P-256. */
uint64_t load(const char *text);
uint64_t made(enum mpkprov_op op, enum prov_key_type type, int what);
uint64_t context(enum mpkprov_op op, uint64_t key, int what, const char *name);
uint64_t signer(void);

/* What a row uses of its frame. */
enum {
    IN = 1,
    IN2 = 2,
    OUT = 4,
    OUT2 = 8,
    PARAMS = 16,
    NAME = 32,
    ONE_HANDLE = 64, /* |handle| is of a kind that others are not */
};

enum { ROW_TLS_EC = OP_kem_run + 1, ROW_TLS_PSS };

extern const struct row {
    const char *name;
    void (*prepare)(struct mpkprov_frame *f);
    unsigned uses; /* and so has to refuse when it points into the domain */
    uint32_t op;
} rows[];
#define N_ROWS (ROW_TLS_PSS + 1)
void a_key_to_ask(struct mpkprov_frame *f);
void a_running_generation(struct mpkprov_frame *f);

/* Frames whose every pointer is good, the second of a row. */
struct mpkprov_frame frame_of_rooms(void);
struct mpkprov_frame good_frame(const struct row *row);

/* child_ends_well waits for |pid|, which says what it is at. */
void child_ends_well(pid_t pid);

/* try_op is |call|, and says what it is at. */
int64_t try_op(uint32_t op, const char *what, struct mpkprov_frame *f);

/* test_in_a_child calls |body| in a process of its own, which a missing check
 * may end. */
void test_in_a_child(void (*body)(void));

/* Frames whose pointers are good, with numbers that are not
 * (attack_entry_asked.c, attack_entry_groups.c). */
void test_what_is_asked_for(void);
void test_what_is_asked_of_groups(void);

#endif
