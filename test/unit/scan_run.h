/*
 * What the tests of "mpkctl scan" share: claims, victims, and runs of the
 * command.
 */
#ifndef MPK_TEST_SCAN_RUN_H
#define MPK_TEST_SCAN_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* CHECK counts and reports a claim that does not hold, and goes on. */
#define CHECK(claim) check((claim), #claim, __func__, __LINE__)

/* The outcome of one run of mpkctl. */
struct outcome {
    int status; /* -1: killed by a signal */
    long full;  /* the totals of --json, -1 if there are none */
    long partial;
    long keyed; /* bytes that were not searched, and why */
    long prot_none;
    long not_readable;
    char out[65536];
    char err[4096];
};

extern int failed_checks;
extern const char *mpkctl_path;
extern const char *victim_path;

void check(bool holds, const char *claim, const char *function, int line);

/*
 * start runs |argv| with |input| of |len| bytes as standard input and waits
 * until it prints |ready|. Returns its process id, or -77 if it ended with
 * status 77, -1 if it did otherwise.
 */
pid_t start(const char *const argv[], const void *input, size_t len,
            const char *ready);

/* victim_start starts scan_victim holding |bytes| at |place|; as start. */
pid_t victim_start(const char *place, const void *bytes, size_t len);

/* stop kills and reaps |pid|. */
void stop(pid_t pid);

/* run runs |argv| to its end and fills |out|; as user |uid| unless it is 0. */
void run(struct outcome *out, const char *const argv[], uid_t uid);

/* scan runs "mpkctl scan --json --pid |pid| --key |key|". */
void scan(struct outcome *out, pid_t pid, const char *key);

/* scan_held is scan of a victim that holds |bytes| at |place|; 77: skipped. */
int scan_held(struct outcome *out, const char *place, const void *bytes,
              size_t len, const char *key);

#endif
