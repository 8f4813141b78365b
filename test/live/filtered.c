/*
 * filtered runs a command in whose process system call NUMBER is one that ends
 * it, as a unit with SystemCallFilter= has many:
 *
 *   filtered NUMBER COMMAND [ARG...]
 *
 * Exit status: the command's; 127, with a message, when it cannot be run so.
 */
#include "../unit/fail_syscall.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    char *end;
    unsigned long number = argc > 2 ? strtoul(argv[1], &end, 10) : 0;

    if (argc < 3 || *end != '\0') {
        fprintf(stderr, "usage: filtered NUMBER COMMAND [ARG...]\n");
        return 127;
    }
    if (!end_by_syscall((unsigned)number)) {
        perror("filtered: a filter of system calls");
        return 127;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 127;
}
