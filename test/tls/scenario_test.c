/*
 * scenario_test.c - what goes well goes well with session secrets inside, and
 * what fails fails in the same way.
 *
 *   scenario_test [SEED [COUNT]]
 *
 * Each scenario is played with both ends stock and with both ends under test;
 * the transcripts have to be the same. A seed repeats all but keys and random
 * numbers. Where these may have decided (a signature's length moves what is
 * behind it), both are played some more times.
 */
#include "scenario.h"

#include "../interop/interop.h"
#include "../interop/keys.h"
#include "pair.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 5

static char *play(const struct scenario *s, OSSL_LIB_CTX *libctx,
                  struct scenario_counts *counts)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    scenario_run(s, libctx, to, counts);
    fclose(to);
    return text;
}

/* Whether one of the first is one of the second. */
static bool meet(char *a[TRIES], char *b[TRIES], int n)
{
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            if (strcmp(a[i], b[j]) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void compare(const struct scenario *s, struct scenario_counts *counts)
{
    struct scenario_counts again = {0};
    char *stock[TRIES], *ours[TRIES];
    int n = 0;
    bool same = false;

    while (!same && n < TRIES) {
        stock[n] = play(s, interop_ref(), n == 0 ? counts : &again);
        ours[n] = play(s, NULL, &again);
        n++;
        same = meet(stock, ours, n);
    }
    if (!same) {
        scenario_print(s, stdout);
        printf("--- stock\n%s--- under test\n%s---\n", stock[0], ours[0]);
    }
    CHECK(same);
    while (n-- > 0) {
        free(stock[n]);
        free(ours[n]);
    }
}

/* A generator that makes nothing happen would find no difference. */
static void check_counts(const struct scenario_counts *c, unsigned long n)
{
    printf("%lu scenarios: %lu handshakes, %lu failures, %lu resumptions, %lu "
           "faults, %lu renegotiations, %lu certificates of clients, %lu "
           "updates of keys\n",
           n, c->handshakes, c->failures, c->resumptions, c->faults,
           c->renegotiations, c->certificates, c->updates);
    if (n >= 200) {
        CHECK(c->handshakes > n / 4 && c->failures > n / 10);
        CHECK(c->resumptions > n / 20 && c->faults > n / 10);
        CHECK(c->renegotiations > n / 100 && c->updates > n / 50);
        CHECK(c->certificates > n / 50);
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = pair_seed_from(argc, argv);
    unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 0) : 400, played = 0;
    struct scenario_counts counts = {0};
    struct scenario s;

    interop_start();
    for (unsigned long i = 0; i < n && interop_failures() < 3; i++) {
        if (!interop_in_turn(i)) {
            continue;
        }
        played++;
        scenario_draw(&s, seed + i);
        interop_subject("scenario %" PRIu64, s.seed);
        compare(&s, &counts);
    }
    if (interop_failures() == 0) {
        check_counts(&counts, played);
    }
    scenario_forget();
    return interop_finish();
}
