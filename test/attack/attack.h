/*
 * attack.h - one row of the table of attacks, and what a row's program may use.
 *
 * A row's function runs in a process of its own, freshly executed, as an
 * application that has an RSA-2048 key from a PEM file. It ends with cell(),
 * which says what became of the attack, or it dies.
 */
#ifndef MPK_TEST_ATTACK_H
#define MPK_TEST_ATTACK_H

#include "module.h"

#include <openssl/types.h>

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum column { STOCK, MPROTECT, MPK, COLUMNS };

enum profile {
    KEYS,      /* memory = auto */
    SECRETMEM, /* the keys profile with that memory */
    ANONYMOUS,
    FULL,
    DOMAIN_STACK, /* the full profile with that record-stack */
    KEEP_RSEQ,    /* the keys profile with that rseq */
};

struct attack {
    const char *id;
    const char *title;
    const char *tries;
    enum profile profile;
    void (*run)(void);
    /* What must become of it; NULL where it makes no sense. Where it depends
     * on the CPU there are two texts with a bar between them. */
    const char *want[COLUMNS];
    /* That of stock when it is OpenSSL 3.5 or later and behaves otherwise; the
     * table is about 3.0. */
    const char *stock_35;
    const char *ia32cap; /* OPENSSL_ia32cap: what of the CPU is not used */
    const char *stock_ia32cap; /* that of stock alone, which has to show it */
    bool dumps_core;  /* the process ends with a core dump to be searched */
    bool needs_seals; /* of mappings, by a kernel that has them */
};

/* One list for each file of attacks; the last one has no id. */
extern const struct attack memory_attacks[], kernel_attacks[], jump_attacks[],
    remains_attacks[], object_attacks[], export_attacks[], tls_attacks[],
    pages_attacks[], locale_attacks[], rseq_attacks[];

/* ---- victim.c: the application ------------------------------------------- */

struct victim {
    enum column column;
    const char *dir; /* key.pem, cert.pem, needles */
    EVP_PKEY *key;
    /* A part of the private number in its place, once victim_find knows it. */
    unsigned char *target;
};

extern struct victim victim;

/* victim_load takes the key from key.pem and signs with it once. */
void victim_load(void);

/* victim_come_and_go does the same and frees the key again; then it closes the
 * file, so that nothing is allocated over what is left. */
void victim_come_and_go(void);

/* victim_seek_text adds the text of key.pem to what is looked for. */
void victim_seek_text(void);

/* victim_sign signs a message. False when that fails. */
bool victim_sign(void);

/* victim_sign_for_ever is for a thread. */
_Noreturn void victim_sign_for_ever(void);

/* victim_read_target ends the program with a cell that says whether the key's
 * address, which victim_find has found, could be read. */
_Noreturn void victim_read_target(void);

/* victim_path is a path in |victim.dir|, valid until the next call. */
const char *victim_path(const char *name);

/*
 * victim_find cheats: it opens the domain by means that an attacker does not
 * have, looks for the key, and closes the domain again, so that what follows
 * aims at the right place. victim_ready is load and find.
 */
void victim_find(void);
void victim_ready(void);

/* victim_intact cheats as well, and says whether the key is as it was. */
bool victim_intact(void);

/* ---- outcome.c: what became of it ---------------------------------------- */

/* cell ends the program; the text is the table's. */
_Noreturn void cell(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* refused is cell() with the words of the first error in OpenSSL's queue, if
 * there is one. */
_Noreturn void refused(void);

/* trouble ends the program because the attack could not be tried. */
_Noreturn void trouble(const char *what);

/* attack_again runs the attack from its beginning, in place of this program
 * (attack_table.c). */
_Noreturn void attack_again(void);

/* outcome_start makes |fd| the way to the driver and reports faults. */
void outcome_start(int fd);

/* outcome_thread gives this thread a stack to report a fault on. */
void outcome_thread(void);

/* outcome_key says which key the domain has. */
void outcome_key(int key);

/* dies ends the program as a fault that was survived would have. */
_Noreturn void dies(void);

/* SURVIVES(statement): true when no fault ended it; dies() can tell it. */
extern _Thread_local volatile bool surviving;
extern _Thread_local sigjmp_buf survive_to;
#define SURVIVES(statement)                                                    \
    (sigsetjmp(survive_to, 1) == 0                                             \
         ? (surviving = true, (statement), surviving = false, true)            \
         : (surviving = false))

/* ---- search.c: all memory ------------------------------------------------ */

struct mapping {
    unsigned char *start;
    size_t len;
    char rights[5];
    char name[64];
};

/* search_all looks at all memory that can be read, and returns where a needle
 * is, or NULL. It stores the mapping's name in |name|, which may be NULL. */
const unsigned char *search_all(const char **name);

/* search_maps calls |each| for every mapping until it returns true. */
void search_maps(bool (*each)(const struct mapping *m, void *arg), void *arg);

/* ---- frame.c: signals ---------------------------------------------------- */

/*
 * frames_watch has a signal come every millisecond of CPU time, and its
 * handler, on a stack of its own, look for words of a number in the registers
 * that its third argument has. frames_words is how many it has found;
 * frames_go_on says whether there is to be another look: there is none yet, and
 * few signals have come so far.
 */
void frames_watch(void);
bool frames_go_on(void);
size_t frames_words(void);

/* ---- module.c, and ------------------------------------------------------- */

/* module_symbol ends the program when the module has no |name|. */
void *module_symbol(const char *name);

#endif
