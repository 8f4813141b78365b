/* rights.h - who may use a file with a secret; for the module and mpkctl. */
#ifndef MPKPROV_RIGHTS_H
#define MPKPROV_RIGHTS_H

#include <sys/stat.h>

/* What is said of it. */
#define RIGHTS_OF_OTHERS "others than its owner have rights to it: chmod 600"

/*
 * rights_of_others tells whether others than the owner may do anything with the
 * file. What systemd gives a service by LoadCredential= is root's, with mode
 * 0400, and the service may read it by an access list, whose mask stands in
 * place of the group's rights then: it shows 0440.
 */
static inline int rights_of_others(const struct stat *st)
{
    mode_t rights = st->st_mode & ALLPERMS;

    return (rights & (S_IRWXG | S_IRWXO)) != 0 &&
           !(rights == (S_IRUSR | S_IRGRP) && st->st_uid == 0 &&
             st->st_gid == 0);
}

#endif
