#ifndef MPK_BENCH_MACHINE_H
#define MPK_BENCH_MACHINE_H

#include <stdio.h>

/* Lines of comment: CPU and kernel; the load, |when|. */
void machine_write(FILE *f);
void machine_write_load(FILE *f, const char *when);

/* csv_quoted writes a field that may hold anything. */
void csv_quoted(FILE *f, const char *text);

#endif
