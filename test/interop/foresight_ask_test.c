/*
 * The key schedule with what is foreseen of it: how often the gate is gone
 * through, that what waits outside is what a call of its own gives, and that a
 * question that was changed goes inside.
 *
 * Seen to fail: take() without the comparison of the question, and without
 * forget(); derive_rest that does nothing.
 */
#include "interop.h"
#include "kdf_ask.h"

#include <openssl/rand.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIGEST "SHA2-256"
#define SIZE 32
#define ROUNDS 8

static unsigned char hash[SIZE], early[SIZE], stage[SIZE], master[SIZE];

/* One expansion: what it gives, and whether it went inside. */
static long long ask(const void *secret, const char *label,
                     struct ask_bytes data, void *out, size_t len)
{
    long long before = interop_crossings("MPK");

    CHECK(ask_expand(NULL, DIGEST, secret, label, data, out, len));
    return interop_crossings("MPK") - before;
}

/*
 * What should have been foreseen. Handles decide where an answer waits, so that
 * now and then two want one place, and the one that came first goes inside
 * after all.
 */
static struct {
    unsigned asked, missed;
} foreseen;

static void check_foreseen(long long crossed)
{
    CHECK(crossed == 0 || crossed == 1);
    foreseen.asked++;
    foreseen.missed += crossed != 0;
}

/* A new connection, up to its master secret. The early secret is everybody's.
 */
static void connect_anew(void)
{
    unsigned char psk[SIZE];

    RAND_bytes(hash, sizeof(hash));
    RAND_bytes(psk, sizeof(psk));
    CHECK(ask_extract(NULL, DIGEST, NULL, BYTES(psk, SIZE), early));
    CHECK(ask_extract(NULL, DIGEST, early, NONE, stage));
    CHECK(ask_extract(NULL, DIGEST, stage, NONE, master));
}

static void test_a_pair_and_its_leaves_come_with_one_crossing(void)
{
    unsigned char s[SIZE], c[SIZE], out[SIZE];

    connect_anew();
    /* That a key is asked for is what makes keys worth a guess. */
    CHECK_INT(ask(stage, "s hs traffic", BYTES(hash, SIZE), s, SIZE), 1);
    ask(s, "key", NONE, out, 16);
    connect_anew();
    CHECK_INT(ask(stage, "s hs traffic", BYTES(hash, SIZE), s, SIZE), 1);
    check_foreseen(ask(s, "key", NONE, out, 16));
    check_foreseen(ask(s, "iv", NONE, out, 12));
    check_foreseen(ask(s, "finished", NONE, out, SIZE));
    check_foreseen(ask(stage, "c hs traffic", BYTES(hash, SIZE), c, SIZE));
    check_foreseen(ask(c, "key", NONE, out, 16));
    check_foreseen(ask(c, "iv", NONE, out, 12));
    check_foreseen(ask(c, "finished", NONE, out, SIZE));
    CHECK_INT(ask(master, "c ap traffic", BYTES(hash, SIZE), c, SIZE), 1);
    check_foreseen(ask(master, "s ap traffic", BYTES(hash, SIZE), s, SIZE));
    check_foreseen(ask(master, "exp master", BYTES(hash, SIZE), out, SIZE));
}

/* Handles of one secret are equal, so that this is the whole truth of it. */
static void test_what_was_foreseen_is_what_a_call_gives(void)
{
    static const struct {
        const char *label;
        size_t len;
    } leaves[] = {{"iv", 12}, {"finished", SIZE}};
    unsigned char s[SIZE], a[SIZE], b[SIZE];

    connect_anew();
    ask(stage, "c hs traffic", BYTES(hash, SIZE), a, SIZE);
    check_foreseen(ask(stage, "s hs traffic", BYTES(hash, SIZE), s, SIZE));
    CHECK_INT(ask(stage, "s hs traffic", BYTES(hash, SIZE), b, SIZE), 1);
    CHECK_MEM(s, SIZE, b, SIZE);
    for (int i = 0; i < 2; i++) {
        connect_anew();
        ask(stage, "s hs traffic", BYTES(hash, SIZE), s, SIZE);
        check_foreseen(ask(s, leaves[i].label, NONE, a, leaves[i].len));
        CHECK_INT(ask(s, leaves[i].label, NONE, b, leaves[i].len), 1);
        CHECK_MEM(a, leaves[i].len, b, leaves[i].len);
    }
}

static void test_a_changed_question_goes_inside(void)
{
    unsigned char s[SIZE], good[SIZE], forged[SIZE];

    connect_anew();
    ask(stage, "c hs traffic", BYTES(hash, SIZE), good, SIZE);
    stage[SIZE - 1] ^= 1;
    CHECK_INT(ask(stage, "s hs traffic", BYTES(hash, SIZE), forged, SIZE), 1);
    stage[SIZE - 1] ^= 1;
    check_foreseen(ask(stage, "s hs traffic", BYTES(hash, SIZE), s, SIZE));
    CHECK(memcmp(s, forged, SIZE) != 0);
    /* One of another type: as the early secret's, there is no such derivation
     * of it that was foreseen. */
    CHECK_INT(ask(s, "traffic upd", NONE, forged, SIZE), 1);
    CHECK(!ask_expand(NULL, DIGEST, s, "iv", BYTES(hash, SIZE), forged, 12));
    CHECK(!ask_expand(NULL, DIGEST, s, "iv", NONE, forged, 13));
}

/* Twice the same answer, from two copies of one place: what a call gives in
 * both processes. A key that was foreseen is one use in each. */
static void test_a_child_gets_what_a_call_gives(void)
{
    unsigned char s[SIZE], here[SIZE], there[SIZE];
    int status = -1;
    pid_t pid;

    connect_anew();
    ask(stage, "c hs traffic", BYTES(hash, SIZE), here, SIZE);
    pid = fork();
    if (pid == 0) {
        ask(stage, "s hs traffic", BYTES(hash, SIZE), s, SIZE);
        CHECK(ask(stage, "s hs traffic", BYTES(hash, SIZE), there, SIZE) == 1);
        _exit(memcmp(s, there, SIZE) != 0);
    }
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
    check_foreseen(ask(stage, "s hs traffic", BYTES(hash, SIZE), s, SIZE));
}

/* ---- TLS 1.2 ------------------------------------------------------------- */

#define MASTER 48
#define BLOCK 40

static unsigned char premaster[128], master12[MASTER], randoms[2][SIZE];

static long long ask12(struct ask_bytes secret, const char *label,
                       const void *a, const void *b, void *out, size_t len)
{
    const struct ask_bytes seed[] = {BYTES(label, strlen(label)),
                                     BYTES(a, SIZE), BYTES(b, SIZE)};
    long long before = interop_crossings("MPK");

    CHECK(ask_tls1(NULL, DIGEST, secret, seed, b != NULL ? 3 : 2, out, len));
    return interop_crossings("MPK") - before;
}
#define OF_MASTER BYTES(master12, MASTER)

/* Of a length that a group over numbers has: nobody else has made it. */
static void connect_tls12(int extended)
{
    RAND_bytes(premaster, sizeof(premaster));
    RAND_bytes(randoms[0], SIZE);
    RAND_bytes(randoms[1], SIZE);
    RAND_bytes(hash, SIZE);
    if (extended) {
        CHECK_INT(ask12(BYTES(premaster, sizeof(premaster)),
                        "extended master secret", hash, NULL, master12, MASTER),
                  1);
    } else {
        CHECK_INT(ask12(BYTES(premaster, sizeof(premaster)), "master secret",
                        randoms[0], randoms[1], master12, MASTER),
                  1);
    }
}

static void test_what_tls12_foresees_is_what_a_call_gives(void)
{
    unsigned char a[BLOCK], b[BLOCK];

    connect_tls12(0);
    ask12(OF_MASTER, "key expansion", randoms[1], randoms[0], a, BLOCK);
    ask12(OF_MASTER, "client finished", hash, NULL, a, 12);
    connect_tls12(0);
    check_foreseen(
        ask12(OF_MASTER, "key expansion", randoms[1], randoms[0], a, BLOCK));
    CHECK_INT(
        ask12(OF_MASTER, "key expansion", randoms[1], randoms[0], b, BLOCK), 1);
    CHECK_MEM(a, BLOCK, b, BLOCK);
    CHECK_INT(
        ask12(OF_MASTER, "key expansion", randoms[0], randoms[1], b, BLOCK), 1);
    CHECK(memcmp(a, b, BLOCK) != 0);
    connect_tls12(1);
    check_foreseen(ask12(OF_MASTER, "client finished", hash, NULL, a, 12));
    CHECK_INT(ask12(OF_MASTER, "client finished", hash, NULL, b, 12), 1);
    CHECK_MEM(a, 12, b, 12);
    CHECK_INT(ask12(OF_MASTER, "server finished", hash, NULL, b, 12), 1);
    CHECK(memcmp(a, b, 12) != 0);
}

int main(void)
{
    interop_start();
    if (!interop_protected()) {
        interop_skip("foresight: nothing is protected");
        return interop_finish();
    }
    for (int i = 0; i < ROUNDS; i++) {
        test_a_pair_and_its_leaves_come_with_one_crossing();
        test_what_was_foreseen_is_what_a_call_gives();
        test_a_changed_question_goes_inside();
        test_a_child_gets_what_a_call_gives();
        test_what_tls12_foresees_is_what_a_call_gives();
    }
    /* Of seven that wait in 1024 places, one in fifty finds its taken. */
    CHECK(foreseen.missed * 10 < foreseen.asked);
    return interop_finish();
}
