/*
 * kind.h - keys that behave alike.
 *
 * What has worked with one key (recipe.h) and what it has said (fact.h) holds
 * for each other one of its kind: of the same type, size and group, with a
 * private part. A server with a thousand certificates so learns once, and not
 * at the first handshake of each.
 */
#ifndef MPKPROV_KIND_H
#define MPKPROV_KIND_H

struct prov_key;

/*
 * kind_join makes |key|, which has just been loaded, share what is known of its
 * kind. It asks the inside once. A key of a type with restrictions or
 * parameters of its own (RSA-PSS, DSA, DH, explicit curves) stays alone, as
 * does any that cannot be asked: that is no error.
 */
void kind_join(struct prov_key *key);

#endif
