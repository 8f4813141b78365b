/*
 * recipe.h - how a context for signing was made, and what has worked before.
 *
 * libssl makes two contexts for each handshake, one of them to look at, and
 * sets each parameter in a call of its own. What has worked once for a key
 * works again. So the calls that make a context are written down outside, and
 * when the same ones have succeeded with this key before, they wait and go in
 * together with the signature. All of it runs inside as if each call had
 * crossed by itself, with the same checks. It runs later, that is all.
 */
#ifndef MPKPROV_RECIPE_H
#define MPKPROV_RECIPE_H

#include "fact.h"
#include "ops.h"

#include <openssl/params.h>

#define RECIPE_PARAMS 12 /* with the end of each set */
#define RECIPE_DATA 224  /* names and values of the parameters */

struct recipe {
    int valid; /* all that was done to the context is in here */
    int what;  /* the variant of init */
    int named;
    char name[32]; /* of the digest */
    OSSL_PARAM p[RECIPE_PARAMS];
    size_t n;
    const OSSL_PARAM *set[MPKPROV_SETS]; /* in |p|, one for each call */
    size_t n_sets;
    unsigned char data[RECIPE_DATA];
    size_t used;
    const OSSL_PARAM *settable; /* of a known recipe; NULL: not asked yet */
};

/* recipe_start begins anew; the recipe is not valid if the name is too long. */
void recipe_start(struct recipe *r, int what, const char *name);

/*
 * recipe_add appends a copy of |params|. 1, or 0 with the recipe unchanged:
 * then they are too many, or of a kind that is not kept.
 */
int recipe_add(struct recipe *r, const OSSL_PARAM *params);

/* recipe_copy makes |to| the same as |from|. */
void recipe_copy(struct recipe *to, const struct recipe *from);

/*
 * The recipes that have worked for a key, and what it has said of itself;
 * shared by it, its contexts, and the other keys of its kind (kind.h).
 */
struct known;

/* known_new returns an empty list, NULL without memory: then all is new. */
struct known *known_new(void);
struct known *known_ref(struct known *k);
void known_release(struct known *k);
/* known_is_empty is true of NULL, too. */
int known_is_empty(const struct known *k);

/* known_find returns the recipe that is the same as |r|, or NULL. */
struct recipe *known_find(struct known *k, const struct recipe *r);
/* known_add remembers a valid recipe, as long as there is room. */
void known_add(struct known *k, const struct recipe *r);

/* known_facts is NULL if |k| is. */
struct facts *known_facts(struct known *k);

#endif
