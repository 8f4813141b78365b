/*
 * doctor_owner.c - who can write what decides about protection: a file and the
 * folders above it. Whoever can may as well switch it off. So may who chooses
 * the folder that a name without one is looked for in.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

/* Root, and the user and group that this runs as, may. */
static bool others_write(const struct stat *st)
{
    if (st->st_uid != 0 && st->st_uid != geteuid()) {
        return true;
    }
    /* In such a folder nobody replaces what is another's. */
    if (S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX)) {
        return false;
    }
    return (st->st_mode & S_IWOTH) ||
           ((st->st_mode & S_IWGRP) && st->st_gid != 0 &&
            st->st_gid != getegid());
}

void doctor_owner(struct doctor *d, const char *what, const char *path)
{
    char at[PATH_MAX];
    struct stat st;
    char *slash;

    if (path[0] != '/') {
        doctor_say(d, VERDICT_NOTE, "relative path",
                   "%s, %s, is looked for from the folder that a program runs "
                   "in: write the whole path",
                   what, path);
    }
    if (realpath(path, at) == NULL) {
        return; /* which is reported elsewhere */
    }
    while (stat(at, &st) == 0) {
        if (others_write(&st)) {
            doctor_say(d, VERDICT_NOTE, "who can write",
                       "%s can be changed by others than root and this user "
                       "(%u): %s is user %u's, mode %03o",
                       what, (unsigned int)geteuid(), at,
                       (unsigned int)st.st_uid, st.st_mode & 07777);
            return;
        }
        slash = strrchr(at, '/');
        if (at[1] == '\0') {
            return;
        }
        slash[slash == at] = '\0';
    }
}
