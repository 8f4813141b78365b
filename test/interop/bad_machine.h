/*
 * bad_machine.h - what bad_machine_test and its children share: a child is the
 * same program, with --child.
 */
#ifndef MPK_TEST_BAD_MACHINE_H
#define MPK_TEST_BAD_MACHINE_H

#include "handicaps.h"

#include <stdbool.h>
#include <stddef.h>

enum outcome { WORKS, REFUSED, ENDS };

enum needs { NOTHING, PKU = 1, SECRETMEM = 2, NO_SANITIZER = 4 };

struct scenario {
    const char *label;
    const char *keys, *tls; /* lines of the two sections; NULL: no section */
    bool (*handicap)(void);
    enum outcome outcome;
    const char *says; /* on standard error; NULL: nothing of ours */
    unsigned needs;
    bool late; /* the handicap comes once a key is there */
};
extern const struct scenario bad_machine_scenarios[];
extern const size_t bad_machine_n_scenarios;

/* In place of a scenario's number; below LIMITED_CHILD, with so many KiB. */
#define FULL_CHILD (-2)
#define RSA_CHILD (-3)
#define GROUPS_CHILD (-4)
#define CIPHERS_CHILD (-5)
#define DAEMON_CHILD (-6)
#define CLOSED_CHILD (-7)
#define LIMITED_CHILD (-8)

/* slurp returns the first 8 KiB of a file, to be freed; "" if it is not to be
 * read. */
char *slurp(const char *path);
/*
 * bad_machine_child is the child's main: |argv| has, from argv[3] on, "full" or
 * another word, the key's path, the certificate's, and a third one that depends
 * on |number|. |s| is the scenario, if the number is one's.
 */
int bad_machine_child(int number, const struct scenario *s, char **argv);

#endif
