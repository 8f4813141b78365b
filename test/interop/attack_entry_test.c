/*
 * attack_entry_test.c - every entry of the gate, every pointer of its frame,
 * aimed where the inside must not follow it: into the domain, across its
 * edges, nowhere; with lengths that wrap; with handles that are forged, stale
 * or of another kind.
 *
 * A frame is the application's memory, so all that is in one is an attacker's
 * to choose. The operations are walked by MPKPROV_OPS: one without a row here
 * is an error. The gate is called directly, past the provider's outside half.
 *
 * Seen to fail: mpk_is_outside that always says yes; take() without its check;
 * params_enter without the check of a parameter's data; a handle whose kind or
 * generation is not compared.
 */
#include "attack_entry.h"
#include "attack_entry_targets.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void aim(struct mpkprov_frame *f, unsigned member,
                const struct target *t)
{
    switch (member) {
    case IN:
        f->in = t->p;
        f->in_len = t->len;
        break;
    case IN2:
        f->in2 = t->p;
        f->in2_len = t->len;
        break;
    case OUT:
        f->out = t->p;
        f->out_len = t->len < 8192 ? 8192 : t->len;
        break;
    case OUT2:
        f->out2 = t->p;
        f->out2_len = t->len < 8192 ? 8192 : t->len;
        break;
    case PARAMS:
        f->params = (const OSSL_PARAM *)t->p;
        break;
    case NAME:
        f->name = t->p;
        break;
    }
}

static const char *member_name(unsigned member)
{
    static const char *const names[] = {"in",   "in2",    "out",
                                        "out2", "params", "name"};

    return names[__builtin_ctz(member)];
}

/*
 * Where a pointer is given without a length, there is none to wrap. A name at
 * an address where nothing is mapped, and which is not the domain's, ends the
 * process, as it does in any library.
 */
static bool means_something(unsigned member, const struct target *t)
{
    return member <= OUT2 ||
           (t->len == 64 &&
            (member == PARAMS ||
             (!t->unmapped && (below_is_ours || t != &targets[2]))));
}

/* ---- the attacks --------------------------------------------------------- */

static void try_pointer(uint32_t row, unsigned member, const struct target *t)
{
    struct mpkprov_frame f = good_frame(&rows[row]);
    unsigned char before[64];
    int64_t ret;

    snprintf(progress->at, sizeof(progress->at), "%s: %s at %s", rows[row].name,
             member_name(member), t->name);
    interop_subject("%s", progress->at);
    aim(&f, member, t);
    if (readable != NULL) {
        memcpy(before, readable, sizeof(before));
    }
    ret = call(rows[row].op, &f);
    /* Null is a way to say "none" or "only the length"; it must not kill. An
     * output that all fits is no matter how much room is claimed. */
    if ((rows[row].uses & member) != 0 && t->p != NULL &&
        !(t->p == (char *)room && member >= OUT)) {
        CHECK(ret <= 0);
    }
    if (readable != NULL) {
        CHECK_MEM(readable, sizeof(before), before, sizeof(before));
    }
}

/* A good array whose parameter points where it must not. */
static void try_param(uint32_t row, const struct target *t, int which)
{
    struct mpkprov_frame f = good_frame(&rows[row]);
    OSSL_PARAM params[2];
    unsigned char before[64];
    int64_t ret;

    snprintf(progress->at, sizeof(progress->at), "%s: a parameter's %s at %s",
             rows[row].name, which == 0 ? "data" : "name", t->name);
    interop_subject("%s", progress->at);
    memcpy(params, f.params, sizeof(params));
    if (which == 0) {
        params[0].data = t->p;
        params[0].data_size = t->len;
    } else {
        params[0].key = t->p;
    }
    f.params = params;
    if (readable != NULL) {
        memcpy(before, readable, sizeof(before));
    }
    ret = call(rows[row].op, &f);
    if (t->p != NULL && t->p != (char *)room) {
        CHECK(ret <= 0);
    }
    if (readable != NULL) {
        CHECK_MEM(readable, sizeof(before), before, sizeof(before));
    }
}

static void try_handles(uint32_t row)
{
    uint64_t stale = load(p256);
    struct mpkprov_frame gone = {.handle = stale};
    uint64_t other_kind = rows[row].prepare == a_running_generation ||
                                  strncmp(rows[row].name, "key_", 4) == 0
                              ? signer()
                              : rsa_handle;
    const uint64_t forged[] = {
        0,     1ULL << 63, UINT64_MAX,           UINT32_MAX,
        stale, other_kind, p256_handle + 1000000};

    call(OP_key_free, &gone);
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        struct mpkprov_frame f = good_frame(&rows[row]);

        snprintf(progress->at, sizeof(progress->at), "%s: handle %#llx",
                 rows[row].name, (unsigned long long)forged[i]);
        interop_subject("%s", progress->at);
        f.handle = forged[i];
        CHECK(call(rows[row].op, &f) <= 0);
    }
}

/* One operation, in a process of its own, with all that it can be given. */
static _Noreturn void attack(uint32_t row)
{
    struct mpkprov_frame f = good_frame(&rows[row]);
    unsigned long wrong = interop_failures();

    interop_subject("%s: a frame that is good", rows[row].name);
    snprintf(progress->at, sizeof(progress->at), "%s: good", rows[row].name);
    /* One that fails by itself would refuse an attack for a wrong reason. */
    if (row != OP_inner_boot && row != OP_sig_check && row != OP_key_set &&
        row != OP_gen_template) {
        CHECK(call(rows[row].op, &f) == 1);
    }
    for (unsigned member = IN; member <= NAME; member <<= 1) {
        for (int t = 0; t < TARGETS; t++) {
            if (means_something(member, &targets[t])) {
                try_pointer(row, member, &targets[t]);
            }
        }
    }
    for (int t = 0; (rows[row].uses & PARAMS) != 0 && t < TARGETS; t++) {
        try_param(row, &targets[t], 0);
        if (means_something(NAME, &targets[t])) {
            try_param(row, &targets[t], 1);
        }
    }
    if ((rows[row].uses & ONE_HANDLE) != 0) {
        try_handles(row);
    }
    _exit(interop_failures() != wrong);
}

/*
 * Operations on session secrets have frames of their own and tests of their
 * own (test/tls); here they are given every bad pointer and may answer what
 * they like, as long as nothing inside changes and nobody dies.
 */
static _Noreturn void attack_blindly(uint32_t op, const char *name)
{
    unsigned long wrong = interop_failures();
    unsigned char before[64];

    for (unsigned member = IN; member <= NAME; member <<= 1) {
        for (int t = 0; t < TARGETS; t++) {
            struct mpkprov_frame f = frame_of_rooms();

            if (!means_something(member, &targets[t])) {
                continue;
            }
            snprintf(progress->at, sizeof(progress->at), "%s: %s at %s", name,
                     member_name(member), targets[t].name);
            interop_subject("%s", progress->at);
            aim(&f, member, &targets[t]);
            if (readable != NULL) {
                memcpy(before, readable, sizeof(before));
            }
            call(op, &f);
            if (readable != NULL) {
                CHECK_MEM(readable, sizeof(before), before, sizeof(before));
            }
        }
    }
    _exit(interop_failures() != wrong);
}

static void test_operation_blindly(uint32_t op, const char *name)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        attack_blindly(op, name);
    }
    child_ends_well(pid);
}

/* Zeros as a key of group |type|; they are one of ML-KEM. Encapsulation with it
 * is done at once, and its results are to go inside. What is asked for by
 * itself goes to where there is room only. */
static void look_at_peers_key(int type)
{
    static const size_t lens[] = {32, 800, 1184, 1216, 1249, 1568, 1665};

    memset(room2, 0, sizeof(room2));
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]) * TARGETS; i++) {
        const struct target *t = &targets[i % TARGETS];
        struct mpkprov_frame f = {.type = type,
                                  .in = room2,
                                  .in_len = lens[i / TARGETS],
                                  .out = room,
                                  .out_len = sizeof(room),
                                  .out2 = t->p};

        CHECK(call(OP_group_check, &f) == 1 || f.error.reason != 0);
        CHECK(f.handle2 == 0 || t->p == (char *)room);
        f.out_len = 31;
        f.out2 = room;
        CHECK(call(OP_group_encapsulate, &f) != 1 && f.error.reason != 0);
    }
}

/* A peer's key is looked at, and what that takes ends with it; also where
 * libssl never asks for the look (X25519, whose keys are made in another way).
 */
static void test_a_look_at_peers_keys_leaves_nothing(void)
{
    long long before = 0;

    interop_subject("group_check of every group");
    for (int round = 0; round < 3; round++) {
        if (round == 2) {
            before = interop_blocks("mpk");
        }
        for (int type = -1; type <= TLS_GROUPS_MAX; type++) {
            look_at_peers_key(type);
        }
    }
    CHECK_INT(interop_blocks("mpk") - before, 0);
}

static void test_operation(uint32_t op)
{
    pid_t pid;

    interop_subject("operation %u", op);
    if (!CHECK(op < N_ROWS && rows[op].prepare != NULL)) {
        return;
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        attack(op);
    }
    child_ends_well(pid);
}

/* Sets that are in the domain, and parameters of a set. */
static void test_sets(void)
{
    for (int t = 0; t < TARGETS; t++) {
        struct mpkprov_frame f = good_frame(&rows[ROW_TLS_PSS]);
        OSSL_PARAM bad[2] = {padding_param[0], padding_param[1]};
        const OSSL_PARAM *sets[] = {bad, salt_param};

        interop_subject("a set's parameter at %s", targets[t].name);
        bad[0].data = targets[t].p;
        bad[0].data_size = targets[t].len;
        f.in2 = sets;
        CHECK(targets[t].p == (char *)room || call(OP_sig_make, &f) <= 0);
        if (!means_something(NAME, &targets[t]) || targets[t].p == NULL) {
            continue;
        }
        interop_subject("a set at %s", targets[t].name);
        sets[0] = (const OSSL_PARAM *)targets[t].p;
        f = good_frame(&rows[ROW_TLS_PSS]);
        f.in2 = sets;
        CHECK(call(OP_sig_make, &f) <= 0);
        interop_subject("sets at %s", targets[t].name);
        f = good_frame(&rows[ROW_TLS_PSS]);
        f.in2 = targets[t].p;
        CHECK(call(OP_sig_make, &f) <= 0);
    }
}

/* What is said is that, though a signature was made; it may be shorter than the
 * room that the next try needs. */
static void test_the_pointer_is_named(uint32_t op)
{
    for (int i = 0; i < 16; i++) {
        struct mpkprov_frame f = good_frame(&rows[op]);

        interop_subject("%s: why", rows[op].name);
        f.out = targets[8].p;
        CHECK(call(rows[op].op, &f) <= 0);
        CHECK_INT(f.error.reason, MPKPROV_R_POINTER);
    }
}

int main(void)
{
    if (!attack_start()) {
        return attack_finish();
    }
#define X(name) test_operation(OP_##name);
    MPKPROV_KEY_OPS(X)
#undef X
    test_operation(ROW_TLS_EC);
    test_operation(ROW_TLS_PSS);
    test_sets();
    test_the_pointer_is_named(ROW_TLS_EC);
    test_the_pointer_is_named(ROW_TLS_PSS);
#define X(name) test_operation_blindly(OP_##name, #name);
    MPKPROV_KDF_OPS(X)
    MPKPROV_GROUP_OPS(X)
    MPKPROV_CIPHER_OPS(X)
    MPKPROV_RAND_OPS(X)
    MPKPROV_LIGHT_OPS(X)
#undef X
    test_a_look_at_peers_keys_leaves_nothing();
    return attack_finish();
}
