/*
 * entries_race.c - a thread that changes what a call is given while it runs:
 * members of the frame, elements of parameters, pieces of a derivation, bytes.
 * What it writes are addresses and lengths as the fuzzer gives them itself, so
 * that whatever mixture is read, nothing but the module can fault.
 */
#include "../../provider/cipher.h"
#include "../../provider/tls_kdf.h"
#include "entries.h"

#include <openssl/core.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint32_t op_now;
static void *_Atomic frame_now;
static _Atomic int busy; /* with a frame that may be on a stack */
static struct kdf_request *_Atomic request_now;
static void *bad[8];
static size_t bad_len[4];

struct kdf_request *race_request(void)
{
    return atomic_load(&request_now);
}

void race_asks(struct kdf_request *r)
{
    atomic_store(&request_now, r);
}

bool race_wanted(void)
{
    static int wanted = -1;

    if (wanted < 0) {
        wanted = getenv("MPK_FUZZ_RACE") != NULL;
    }
    return wanted;
}

/* ---- chance: the input is the other thread's ----------------------------- */

static uint32_t below(uint32_t n)
{
    static uint64_t state = 0x2545f4914f6cdd1d;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 16) % n);
}

/* Not where parameters are: their names have no memory behind them. */
static void *an_address(void)
{
    int i = (int)below(ROOMS);

    i = i == ROOM_PARAMS ? ROOM_IN : i;
    return below(3) == 0 ? bad[below(8)] : room(i, (size_t)1 << below(14));
}

static size_t a_size(void)
{
    static const uint16_t usual[] = {0,  1,  4,  8,  12,  16,  20,   32,
                                     33, 48, 64, 65, 256, 512, 4096, 65535};

    return below(8) == 0 ? bad_len[below(4)] : usual[below(16)];
}

/* ---- changes ------------------------------------------------------------- */

/* As another thread of an application's would: no more than that is promised.
 */
#define PUT(to, value) __atomic_store_n(&(to), (value), __ATOMIC_RELAXED)

static void change_params(void)
{
    OSSL_PARAM *p = room(ROOM_PARAMS, (1 + below(4)) * sizeof(*p));

    switch (below(4)) {
    case 0:
        PUT(p->data, an_address());
        break;
    case 1:
        PUT(p->data_size, a_size());
        break;
    case 2:
        PUT(p->data_type, 1 + below(7));
        break;
    default:
        PUT(p->return_size, a_size());
    }
}

static void change_piece(struct kdf_piece *p)
{
    if (below(2) == 0) {
        PUT(p->p, (const unsigned char *)an_address());
    } else {
        PUT(p->len, a_size());
    }
}

static void change_request(struct kdf_request *r)
{
    struct kdf_piece *pieces[] = {&r->key,     &r->salt,   &r->prefix,
                                  &r->label,   &r->data,   &r->seed[0],
                                  &r->seed[1], &r->seed[2]};

    switch (below(5)) {
    case 0:
        PUT(r->mode, (int32_t)below(3));
        break;
    case 1:
        PUT(r->digest, (int32_t)below(3));
        break;
    case 2:
        PUT(r->n_seeds, (int32_t)below(9));
        break;
    default:
        change_piece(pieces[below(8)]);
    }
}

static void change_next(void)
{
    struct kdf_next *n = room(ROOM_IN2, (1 + below(4)) * sizeof(*n));

    switch (below(3)) {
    case 0:
        PUT(n->out, (unsigned char *)an_address());
        break;
    case 1:
        PUT(n->out_len, a_size());
        break;
    default:
        change_piece(below(2) == 0 ? &n->key : &n->label);
    }
}

static void change_bytes(int i)
{
    unsigned char *p = room(i, (size_t)1 << below(13));

    PUT(*p, (unsigned char)below(256));
}

static void change_frame(struct mpkprov_frame *f)
{
    switch (below(8)) {
    case 0:
        PUT(f->in, (const void *)an_address());
        break;
    case 1:
        PUT(f->in_len, a_size());
        break;
    case 2:
        PUT(f->out, an_address());
        break;
    case 3:
        PUT(f->out_len, a_size());
        break;
    case 4:
        PUT(f->what, (int32_t)below(6));
        break;
    case 5:
        PUT(f->out2_len, a_size());
        break;
    default:
        PUT(f->type, (int32_t)below(12));
    }
}

static bool has_pointers(uint32_t op)
{
    return op == OP_kdf_derive || op == OP_sig_init || op == OP_sig_make ||
           (op >= OP_group_there && op <= OP_group_decapsulate);
}

static void change(uint32_t op, void *frame)
{
    struct kdf_request *r;

    switch (below(6)) {
    case 0:
        if (op < OP_cipher_record) {
            change_frame(frame);
        }
        break;
    case 1:
        change_params();
        break;
    case 2:
        r = race_request();
        if (op == OP_kdf_derive && r != NULL) {
            change_request(r);
        } else {
            change_bytes(ROOM_OUT);
        }
        break;
    case 3:
        if (!has_pointers(op)) {
            change_bytes(ROOM_IN2);
        } else if (op != OP_sig_init && op != OP_sig_make) {
            change_next();
        }
        break;
    case 4:
        change_bytes(ROOM_IN);
        break;
    default:
        change_bytes(ROOM_VALUES + (int)below(VALUES));
    }
}

/* ---- the thread ---------------------------------------------------------- */

static void *run(void *unused)
{
    (void)unused;
    for (;;) {
        void *frame;

        atomic_store(&busy, 1);
        frame = atomic_load(&frame_now);
        if (frame != NULL) {
            change(atomic_load(&op_now), frame);
        }
        atomic_store(&busy, 0);
    }
    return NULL;
}

void race_over(uint32_t op, void *frame)
{
    if (race_wanted()) {
        atomic_store(&op_now, op);
        atomic_store(&frame_now, frame);
        while (frame == NULL && atomic_load(&busy)) {
        }
    }
}

void race_start(void)
{
    static const uint8_t choices[] = {1, 3, 2, 9, 3, 5, 4, 5, 4, 200};
    pthread_t thread;

    if (!race_wanted()) {
        return;
    }
    input_start(choices, sizeof(choices));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        bad[i] = bad_pointer(8);
    }
    for (size_t i = 0; i < sizeof(bad_len) / sizeof(bad_len[0]); i++) {
        bad_len[i] = bad_length();
    }
    if (pthread_create(&thread, NULL, run, NULL) != 0) {
        __builtin_trap();
    }
}
