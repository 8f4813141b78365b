/*
 * libFuzzer target: every entry of the gate, called as who can write any memory
 * of the process would call it. An input is a sequence of calls, in any order,
 * on handles that are right, of another kind, stale or made up, with arguments
 * as a proxy gives them, or spoiled: pointers into the domain, across its ends,
 * nowhere; lengths that wrap; parameters of any kind.
 *
 * Nothing that touches the domain may be accepted, no more may be written than
 * there was said to be room for, no secret that is known here may be written at
 * all, nothing may be left when all handles of an input have ended, and nothing
 * may take long. The module is loaded with
 * backend none, from the path in MPK_FUZZ_MODULE; its heap is poison.c's. What
 * is not there outside, and not in the domain, is not passed: to read it is the
 * caller's end, by SIGSEGV.
 */
#include "../attack/module.h"
#include "entries.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int64_t (*enter)(uint32_t op, void *frame);
static size_t (*live)(void);

static int64_t call(uint32_t op, void *frame)
{
    int64_t ret;

    race_over(op, frame);
    ret = enter(op, frame);
    race_over(op, NULL);
    return ret;
}

/* ---- keys --------------------------------------------------------------- */

/* Once for all inputs: it takes longest. They work on copies. */
static uint64_t handles[CHOICES];

static void keys_load(void)
{
    for (size_t i = 0; i < CHOICES; i++) {
        struct mpkprov_frame f = {.in = choices[i].form[PEM].text,
                                  .in_len = (size_t)choices[i].form[PEM].len,
                                  .what = 1};

        REQUIRE(call(OP_key_decode, &f) == 1);
        handles[i] = f.handle;
    }
}

/* ---- objects of an input ------------------------------------------------- */

#define HANDLES 64
static struct {
    enum kind kind;
    uint64_t handle;
} made[HANDLES];
static size_t n_made;
static uint64_t copies[CHOICES];

static void note(enum kind kind, uint64_t handle)
{
    if (handle == 0) {
        return;
    }
    for (size_t i = 0; i < n_made; i++) {
        if (made[i].handle == handle) {
            return;
        }
    }
    /* No more are made in one input: see run. */
    REQUIRE(n_made < HANDLES);
    made[n_made].kind = kind;
    made[n_made++].handle = handle;
}

/* Most of an input's keys are of one type. */
static uint32_t favourite;

static uint64_t key_of(size_t i)
{
    struct mpkprov_frame f = {.handle = handles[i], .what = 0x87};

    if (copies[i] == 0 && n_made < HANDLES / 2 && call(OP_key_dup, &f) == 1) {
        copies[i] = f.handle2;
        note(KEY, f.handle2);
    }
    return copies[i];
}

static uint64_t a_key(void)
{
    return key_of(one_in(4) ? pick(CHOICES) : favourite);
}

uint64_t a_key_for(enum ctx_class cls)
{
    size_t i = favourite;

    while (!(choices[i].can & CAN(cls))) {
        i = (i + 1) % CHOICES;
    }
    return key_of(i);
}

int32_t a_key_type(void)
{
    return choices[favourite].type;
}

const OSSL_PARAM *a_key_data(void)
{
    return choices[favourite].numbers;
}

uint64_t latest(enum kind kind)
{
    for (size_t i = n_made; i > 0; i--) {
        if (made[i - 1].kind == kind) {
            return made[i - 1].handle;
        }
    }
    return 0;
}

uint64_t some(enum kind kind)
{
    /* Backwards, as a rule from the last one. */
    size_t first = n_made != 0 && one_in(3) ? pick((uint32_t)n_made) : 0;

    if (one_in(40)) {
        return one_in(2) ? pick64() : 0;
    }
    if (kind == KEY && !one_in(4)) {
        return a_key();
    }
    /* Of another kind, or ended, too. */
    for (size_t i = 0; i < n_made; i++) {
        size_t k = n_made - 1 - (first + i) % n_made;

        if (made[k].kind == kind || one_in(30)) {
            return one_in(60) ? made[k].handle + ((uint64_t)1 << pick(64))
                              : made[k].handle;
        }
    }
    return 0;
}

/* Whatever kind it is, since one may be taken for another. */
static void end_all(void)
{
    static const struct {
        uint32_t op;
        int32_t what;
    } ends[] = {{OP_ctx_free, 2},
                {OP_ctx_free, 3},
                {OP_cipher_free, 0},
                {OP_group_free, 0},
                {OP_key_free, 0}};

    for (size_t e = 0; e < sizeof(ends) / sizeof(ends[0]); e++) {
        for (size_t i = 0; i < n_made; i++) {
            struct mpkprov_frame f = {.handle = made[i].handle,
                                      .what = ends[e].what};

            call(ends[e].op, &f);
        }
    }
    n_made = 0;
    memset(copies, 0, sizeof(copies));
}

/* ---- what entries give out ----------------------------------------------- */

#define GIVEN 8
static unsigned char given_data[GIVEN][18000]; /* a signature of SLH-DSA */
static size_t given_len[GIVEN], n_given;

const unsigned char *given(size_t *len)
{
    size_t i = one_in(3) ? pick(GIVEN) : (n_given + GIVEN - 1) % GIVEN;

    *len = given_len[i];
    return given_data[i];
}

static void keep_given(const void *p, size_t len)
{
    size_t i = n_given++ % GIVEN;

    if (p != NULL && len != 0 && len <= sizeof(given_data[i])) {
        memcpy(given_data[i], p, len);
        given_len[i] = len;
    }
}

/* Puts back for later calls what is at |p|, of room |i|. */
static void keep_room(int i, const void *p, const void *was, size_t len)
{
    const char *end = (const char *)room(i, ROOM) + ROOM;

    if (p == was && (const char *)p >= end - ROOM && (const char *)p < end &&
        len <= (size_t)(end - (const char *)p)) {
        keep_given(p, len);
    }
}

/* ---- calls --------------------------------------------------------------- */

/* The kinds of what |op| makes, of handle and of handle2. */
static void note_made(uint32_t op, const struct mpkprov_frame *f)
{
    switch (op) {
    case OP_key_new:
    case OP_key_decode:
    case OP_key_file:
        note(KEY, f->handle);
        break;
    case OP_key_dup:
    case OP_gen_run:
        note(KEY, f->handle2);
        break;
    case OP_gen_open:
        note(GEN, f->handle);
        break;
    case OP_group_gen:
        note(EPHEMERAL, f->handle);
        break;
    case OP_ctx_dup:
        note(CTX, f->handle2);
        break;
    case OP_cipher_dup:
        note(CIPHER, f->handle2);
        break;
    case OP_sig_init:
    case OP_sig_make:
    case OP_enc_init:
    case OP_kex_init:
    case OP_kem_init:
        note(CTX, f->handle);
        break;
    default:
        if (op >= OP_cipher_init) {
            note(CIPHER, f->handle);
        }
    }
}

static const char *const op_names[] = {
#define X(name) [OP_##name] = #name,
    MPKPROV_OPS(X) MPKPROV_LIGHT_OPS(X) MPKPROV_RECORD_OPS(X)
#undef X
};
#define N_OPS (sizeof(op_names) / sizeof(op_names[0]))

static bool verbose;
/* Of an RSA key that has not all its numbers the inner OpenSSL leaves some
 * behind. */
static bool may_leave;
static unsigned long calls_of[N_OPS], good_of[N_OPS];

static void count(uint32_t op, int64_t ret, const char *why)
{
    may_leave = may_leave || op == OP_key_import;
    calls_of[op]++;
    good_of[op] += ret > 0;
    if (verbose) {
        fprintf(stderr, "%-18s %lld, %zu blocks: %s\n", op_names[op],
                (long long)ret, live(), why);
    }
}

/* Where an entry may have written, and how far a look is worth its time. */
#define LOOK ((size_t)4096)

static size_t looked(size_t room_of_it, size_t least)
{
    return room_of_it > ROOM ? ROOM : room_of_it > least ? room_of_it : least;
}

static void look(const struct mpkprov_frame *f,
                 const struct mpkprov_frame *before)
{
    size_t len = looked(before->out_len, LOOK);
    size_t len2 = looked(before->out2_len, 2 * LOOK);

    oracle_look(room(ROOM_OUT, len), len, "at out");
    oracle_look(room(ROOM_OUT2, len2), len2, "at out2");
    oracle_look(f, sizeof(*f), "in the frame");
    for (int i = 0; f->params != NULL && i < VALUES; i++) {
        oracle_look(room(ROOM_VALUES + i, 512), 512, "in a parameter");
    }
}

void do_record(uint32_t op)
{
    struct cipher_record r = a_record();
    int64_t ret = call(op, &r);

    count(op, ret, r.done ? "done" : "");
    oracle_look(room(ROOM_OUT, LOOK), LOOK, "in a record");
    oracle_look(r.tag, sizeof(r.tag), "in a tag");
    if (ret == 1 && r.done) {
        keep_room(ROOM_OUT, r.out, r.out, r.out_len);
    }
}

/* To look for a prime takes half a minute. */
static bool is_slow_to_make(int32_t type)
{
#if MPKPROV_HAS_3_5
    if (type >= KEY_SLH_DSA_SHA2_128S && type <= KEY_SLH_DSA_SHAKE_256F &&
        type != KEY_SLH_DSA_SHA2_128F) {
        return true;
    }
#endif
    return type == KEY_DH || type == KEY_DHX || type == KEY_DSA;
}

int64_t do_frame(uint32_t op, struct mpkprov_frame *f)
{
    struct mpkprov_frame before = *f;
    int64_t ret;

    /* No more are made in one input. */
    if (n_made >= HANDLES - 2) {
        return 0;
    }
    if (op == OP_gen_open && is_slow_to_make(f->type)) {
        f->type = KEY_ED25519;
    }
    ret = call(op, f);
    count(op, ret, f->error.text);
    note_made(op, f);
    look(f, &before);
    if (ret > 0) {
        keep_room(ROOM_OUT, f->out, before.out, f->out_len);
        keep_room(ROOM_OUT2, f->out2, before.out2, f->out2_len);
    }
    return ret;
}

static void try_frame(uint32_t op)
{
    static struct mpkprov_frame f;

    f = a_frame(op);
    while (one_in(12)) {
        spoil(&f);
    }
    do_frame(op, &f);
}

/* No such entry, or no such frame. */
static void try_nothing(void)
{
    struct mpkprov_frame f = {.handle = 0};
    uint32_t op = (uint32_t)N_OPS + pick(256);

    REQUIRE(enter(one_in(2) ? op : op | 1U << 24, &f) == -ENOSYS);
    op = OP_key_new + pick((uint32_t)N_OPS - OP_key_new);
    REQUIRE(enter(op, bad_pointer(96)) == -EFAULT);
}

/* Any, or one of those that have to do with the last one. */
static uint32_t next_op(uint32_t last)
{
    static const struct {
        uint32_t first, last;
    } families[] = {{OP_key_new, OP_key_set},
                    {OP_sig_init, OP_sig_check},
                    {OP_enc_init, OP_enc_run},
                    {OP_kex_init, OP_kex_derive},
                    {OP_kem_init, OP_kem_run},
                    {OP_gen_open, OP_gen_run},
                    {OP_group_gen, OP_group_decapsulate},
                    {OP_cipher_init, OP_cipher_dup},
                    {OP_cipher_start, OP_cipher_record_deep}};

    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (last >= families[i].first && last <= families[i].last &&
            !one_in(3)) {
            return families[i].first +
                   pick(families[i].last - families[i].first + 1);
        }
    }
    return OP_inner_boot + pick((uint32_t)N_OPS - OP_inner_boot);
}

static void run(const uint8_t *data, size_t len)
{
    uint32_t op = OP_inner_boot;

    input_start(data, len);
    oracle_forget();
    favourite = pick(CHOICES);
    memset(given_len, 0, sizeof(given_len));
    n_given = 0;
    for (int i = 0; i < 64 && input_goes_on() && n_made < HANDLES - 2; i++) {
        op = next_op(op);
        if (one_in(12)) {
            story();
        } else if (op == OP_inner_boot) {
            try_nothing();
        } else if (op >= OP_cipher_record) {
            do_record(op);
        } else {
            try_frame(op);
        }
    }
    end_all();
}

/* What is made once, and kept, is not made again: but what grows with each run
 * of one input is lost. */
static void require_nothing_left(const uint8_t *data, size_t len)
{
    size_t before, after = live();

    for (int i = 0; i < 6; i++) {
        before = after;
        run(data, len);
        after = live();
        if (after <= before || may_leave) {
            return;
        }
    }
    fprintf(stderr, "an input leaves %zu blocks\n", after - before);
    __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t before = live();

    may_leave = race_wanted();
    run(data, len);
    if (live() > before && !may_leave) {
        require_nothing_left(data, len);
    }
    return 0;
}

/* ---- start --------------------------------------------------------------- */

static void say_counts(void)
{
    for (size_t i = OP_key_new; i < N_OPS; i++) {
        fprintf(stderr, "%-18s %8lu calls, %8lu good\n", op_names[i],
                calls_of[i], good_of[i]);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    module_load();
    enter = (int64_t(*)(uint32_t, void *))module_find_symbol("mpk_call");
    live = (size_t(*)(void))module_find_symbol("mpk_fuzz_live");
    REQUIRE(enter != NULL && live != NULL);
    REQUIRE(rooms_make());
    REQUIRE(key_texts_make());
    keys_load();
    REQUIRE(own_start());
    oracle_keep();
    race_start();
    verbose = getenv("MPK_FUZZ_VERBOSE") != NULL;
    if (getenv("MPK_FUZZ_COUNTS") != NULL) {
        atexit(say_counts);
    }
    return 0;
}
