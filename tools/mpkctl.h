/*
 * What the subcommands of mpkctl share: the exit statuses, which scripts rely
 * on, and the one way to complain.
 */
#ifndef MPK_TOOLS_MPKCTL_H
#define MPK_TOOLS_MPKCTL_H

enum mpkctl_status {
    MPKCTL_OK = 0,    /* nothing to report */
    MPKCTL_FOUND = 1, /* the command found what it looks for */
    MPKCTL_ERROR = 2, /* it could not look, or not everywhere it had to */
};

/* mpkctl_error prints one line "mpkctl: ..." on standard error. */
void mpkctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The subcommands; |argv|[0] is the subcommand's name. */
int mpkctl_scan(int argc, char **argv);
int mpkctl_keylog(int argc, char **argv);
int mpkctl_doctor(int argc, char **argv);
int mpkctl_handle_key(int argc, char **argv);
int mpkctl_reference(int argc, char **argv);

#endif
