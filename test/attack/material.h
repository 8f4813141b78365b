/* material.h - a key and its certificate, what to look for, configurations. */
#ifndef MPK_TEST_ATTACK_MATERIAL_H
#define MPK_TEST_ATTACK_MATERIAL_H

#include "attack.h"

struct material {
    const char *module;
    char dir[64]; /* key.pem, cert.pem, needles, COLUMN-PROFILE.cnf */
};

/* material_make makes all of it in a new directory, or ends the program. */
void material_make(struct material *m, const char *module);
void material_remove(const struct material *m);

/* The configuration of a column, valid until the next call. */
const char *material_conf(const struct material *m, enum column column,
                          enum profile profile);

/* Whether this process could have secretmem. */
bool material_has_secretmem(void);
/* Whether the module can seal what is mapped. */
bool material_has_seals(void);

/* material_search_core looks for the key in the core file in |m->dir| and
 * removes it; |text| is what the table says. */
void material_search_core(const struct material *m, char *text, size_t room);

#endif
