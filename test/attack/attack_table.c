/*
 * attack_table - runs attacks and says what became of them:
 *
 *   attack_table MODULE COLUMN [-o FILE] [ID...]    stock, mprotect or mpk
 *   attack_table table STOCK MPROTECT MPK           Markdown from three FILEs
 *   attack_table check STOCK MPROTECT MPK DOCUMENT  is that what it says?
 *   attack_table --run ID COLUMN DIR FD             one attack; by itself only
 *
 * Each attack is a fresh execution of this program, with the configuration of
 * its column. Exit status: 1 when something came out otherwise than it must,
 * 77 when the machine has no protection keys and COLUMN is mpk.
 */
#include "attack.h"
#include "material.h"
#include "needles.h"

#include "../../mpkcore/x86_64/cpu.h"

#include <openssl/crypto.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const column_name[COLUMNS] = {"stock", "mprotect", "mpk"};

static const struct attack *const all[] = {
    memory_attacks, kernel_attacks, remains_attacks, object_attacks,
    export_attacks, tls_attacks,    jump_attacks,    pages_attacks,
    locale_attacks, rseq_attacks};
#define N_LISTS (sizeof(all) / sizeof(all[0]))

#define EACH_ATTACK(a)                                                         \
    for (size_t list_ = 0; list_ < N_LISTS; list_++)                           \
        for (const struct attack *a = all[list_]; a->id != NULL; a++)

/* ---- one attack ---------------------------------------------------------- */

/* What a child wrote: "cell TEXT" or "fault SIGNAL CODE KEY". */
static void translate(const char *line, int domain_key, char *text, size_t room)
{
    int signo, code, key;
    const char *why = "";

    if (strncmp(line, "cell ", 5) == 0) {
        snprintf(text, room, "%s", line + 5);
    } else if (sscanf(line, "fault %d %d %d", &signo, &code, &key) == 3) {
        if (signo == SIGSEGV) {
            why = code == SEGV_ACCERR   ? ", no access"
                  : code == SEGV_MAPERR ? ", not mapped"
                  : code != SEGV_PKUERR ? ", another code"
                  : key == domain_key   ? ", the domain's key"
                                        : ", another key";
        }
        snprintf(text, room, "dies: SIG%s%s", sigabbrev_np(signo), why);
    }
}

static void end_of(int status, char *text, size_t room)
{
    if (WIFSIGNALED(status)) {
        snprintf(text, room, "dies: SIG%s, at once",
                 sigabbrev_np(WTERMSIG(status)));
    } else {
        snprintf(text, room, "cannot be tried (status %d)",
                 WEXITSTATUS(status));
    }
}

static _Noreturn void execute(const struct attack *a, enum column column,
                              const struct material *m, int fd)
{
    const char *cap = column == STOCK && a->stock_ia32cap != NULL
                          ? a->stock_ia32cap
                          : a->ia32cap;
    char number[16];

    snprintf(number, sizeof(number), "%d", fd);
    setenv("OPENSSL_CONF", material_conf(m, column, a->profile), 1);
    if (cap != NULL) {
        setenv("OPENSSL_ia32cap", cap, 1);
    }
    execl("/proc/self/exe", "attack_table", "--run", a->id, column_name[column],
          m->dir, number, (char *)NULL);
    _exit(127);
}

/* What became of |a|, as the table says it. */
static void attempt(const struct attack *a, enum column column,
                    const struct material *m, char *text, size_t room)
{
    char line[512] = "";
    int fds[2], status = 0, key = -1;
    ssize_t got;
    size_t len = 0;
    pid_t pid;

    if (a->profile == SECRETMEM && !material_has_secretmem()) {
        snprintf(text, room, "not run: no secretmem here");
        return;
    }
    if (a->needs_seals && !material_has_seals()) {
        snprintf(text, room, "not run: no mseal here");
        return;
    }
    if (pipe(fds) != 0 || (pid = fork()) < 0) {
        perror("attack_table");
        exit(1);
    }
    if (pid == 0) {
        close(fds[0]);
        execute(a, column, m, fds[1]);
    }
    close(fds[1]);
    while ((got = read(fds[0], line + len, sizeof(line) - 1 - len)) > 0) {
        len += (size_t)got;
    }
    close(fds[0]);
    waitpid(pid, &status, 0);
    end_of(status, text, room);
    if (a->dumps_core && WIFSIGNALED(status)) {
        material_search_core(m, text, room);
    } else if (len > 0 && sscanf(line, "key %d\n", &key) == 1) {
        translate(strchr(line, '\n') + 1, key, text, room);
    }
}

static char **own_argv;

_Noreturn void attack_again(void)
{
    execv("/proc/self/exe", own_argv);
    trouble("this program, once more");
}

static int run_child(char **argv)
{
    unsigned left = alarm(300);

    if (left != 0) { /* it runs again */
        alarm(left);
    }
    own_argv = argv;
    victim.dir = argv[4];
    while (strcmp(column_name[victim.column], argv[3]) != 0) {
        victim.column++;
    }
    outcome_start(atoi(argv[5]));
    EACH_ATTACK(a)
    {
        if (strcmp(a->id, argv[2]) == 0) {
            a->run();
            return 0;
        }
    }
    return 2;
}

/* ---- one column ---------------------------------------------------------- */

static bool is_asked_for(const char *id, char **ids)
{
    if (*ids == NULL) {
        return true;
    }
    while (*ids != NULL && strcmp(*ids, id) != 0) {
        ids++;
    }
    return *ids != NULL;
}

/* Whether |text| is |want|, or one of the two in it. */
static bool is_wanted(const char *text, const char *want)
{
    const char *bar = strchr(want, '|');
    size_t first = bar != NULL ? (size_t)(bar - want) : strlen(want);

    return (strlen(text) == first && strncmp(text, want, first) == 0) ||
           (bar != NULL && strcmp(text, bar + 1) == 0);
}

/* What stock leaves behind differs from then on. */
static bool is_35(void)
{
    return OpenSSL_version_num() >= 0x30500000UL;
}

static const char *wanted(const struct attack *a, enum column column)
{
    return column == STOCK && a->stock_35 != NULL && is_35() ? a->stock_35
                                                             : a->want[column];
}

static bool was_run(const char *text)
{
    return strncmp(text, "not run", 7) != 0;
}

static int run_column(enum column column, const struct material *m, FILE *out,
                      char **ids)
{
    int wrong = 0;

    EACH_ATTACK(a)
    {
        const char *want = wanted(a, column);
        char text[256] = "\xe2\x80\x93"; /* a dash */
        bool good = true;

        if (!is_asked_for(a->id, ids)) {
            continue;
        }
        if (want != NULL) {
            attempt(a, column, m, text, sizeof(text));
            good = is_wanted(text, want) || !was_run(text);
            printf("%s %s: %s\n", good ? "ok  " : "FAIL", a->id, text);
        }
        if (!good) {
            printf("     must be: %s\n", want);
            wrong++;
        }
        if (out != NULL) {
            fprintf(out, "%s\t%s\n", a->id, text);
        }
    }
    return wrong != 0;
}

static int column_main(char **argv)
{
    enum column column = STOCK;
    const char *module = argv[1];
    struct material m;
    FILE *out = NULL;
    int ret;

    while (column < COLUMNS && strcmp(argv[2], column_name[column]) != 0) {
        column++;
    }
    argv += 3;
    if (argv[0] != NULL && strcmp(argv[0], "-o") == 0 && argv[1] != NULL) {
        out = fopen(argv[1], "w");
        argv += 2;
    }
    if (column == COLUMNS) {
        fputs("no such column\n", stderr);
        return 2;
    }
    if (column == MPK && !cpu_has_ospke()) {
        puts("skipped: this CPU or kernel has no protection keys");
        return 77;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    material_make(&m, module);
    ret = run_column(column, &m, out, argv);
    material_remove(&m);
    if (out != NULL && fclose(out) != 0) {
        perror("attack_table");
        return 1;
    }
    return ret;
}

/* ---- the table ----------------------------------------------------------- */

/* The text of |id| in a column's file; the files have the rows in order. */
static const char *text_of(FILE *f, const char *id, char *line, size_t room)
{
    char *tab;

    if (f == NULL) {
        return "not run";
    }
    rewind(f);
    while (fgets(line, (int)room, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        tab = strchr(line, '\t');
        if (tab != NULL && strncmp(line, id, (size_t)(tab - line)) == 0 &&
            id[tab - line] == '\0') {
            return tab + 1;
        }
    }
    return "not run";
}

#define TABLE_HEAD                                                             \
    "| attack | what it tries | stock | mprotect | ours (mpk) |\n"             \
    "| --- | --- | --- | --- | --- |\n"

static int print_table(FILE *const f[COLUMNS])
{
    fputs(TABLE_HEAD, stdout);
    EACH_ATTACK(a)
    {
        char line[512];

        printf("| %s | %s |", a->title, a->tries);
        for (int c = 0; c < COLUMNS; c++) {
            printf(" %s |", text_of(f[c], a->id, line, sizeof(line)));
        }
        putchar('\n');
    }
    return 0;
}

/* The part of |document| that is the row of |a|, behind what it tries. */
static const char *row_in(const char *document, const struct attack *a)
{
    char start[512];
    const char *at;

    snprintf(start, sizeof(start), "\n| %s | %s |", a->title, a->tries);
    at = strstr(document, start);
    return at != NULL ? at + strlen(start) : NULL;
}

/* Whether the next cell of a row, at |*at|, has |text|. */
static bool next_cell_is(const char **at, const char *text)
{
    const char *end = strstr(*at, " |");
    bool same = end != NULL && (size_t)(end - *at) == strlen(text) + 1 &&
                strncmp(*at + 1, text, strlen(text)) == 0;

    *at = end != NULL ? end + 2 : "";
    return same;
}

/* What is in the document is what came out now, as far as it was run, and
 * where it does not depend on the CPU. */
static int check_row(const char *document, const struct attack *a,
                     FILE *const f[COLUMNS])
{
    const char *at = row_in(document, a);
    char line[512];
    int wrong = 0;

    if (at == NULL) {
        printf("no row \"%s\"\n", a->title);
        return 1;
    }
    for (int c = 0; c < COLUMNS; c++) {
        const char *text = text_of(f[c], a->id, line, sizeof(line));
        const char *want = wanted(a, (enum column)c);
        bool varies =
            want != a->want[c] || (want != NULL && strchr(want, '|') != NULL);

        if (!next_cell_is(&at, text) && was_run(text) && !varies) {
            printf("\"%s\", %s: now it is \"%s\"\n", a->title, column_name[c],
                   text);
            wrong = 1;
        }
    }
    return wrong;
}

static int check_table(const char *path, FILE *const f[COLUMNS])
{
    static char document[1 << 18];
    FILE *d = fopen(path, "r");
    int wrong = 0, rows = 0, lines = 0;
    const char *at;

    if (d == NULL || fread(document, 1, sizeof(document) - 1, d) == 0) {
        perror(path);
        return 1;
    }
    fclose(d);
    EACH_ATTACK(a)
    {
        wrong += check_row(document, a, f);
        rows++;
    }
    at = strstr(document, TABLE_HEAD);
    for (; at != NULL && *at == '|'; at++) {
        at = strchr(at, '\n');
        lines++;
    }
    if (lines != rows + 2) {
        printf("%d rows where there must be %d\n", lines - 2, rows);
        wrong++;
    }
    return wrong != 0;
}

/* A column that was not run has no file. */
static int documents_main(char **argv)
{
    FILE *f[COLUMNS];

    for (int c = 0; c < COLUMNS; c++) {
        f[c] = fopen(argv[2 + c], "r");
    }
    return strcmp(argv[1], "table") == 0 ? print_table(f)
                                         : check_table(argv[5], f);
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "--run") == 0) {
        return run_child(argv);
    }
    if ((argc == 5 && strcmp(argv[1], "table") == 0) ||
        (argc == 6 && strcmp(argv[1], "check") == 0)) {
        return documents_main(argv);
    }
    if (argc >= 3) {
        return column_main(argv);
    }
    fputs("usage: attack_table MODULE COLUMN [-o FILE] [ID...]\n"
          "       attack_table table STOCK MPROTECT MPK\n"
          "       attack_table check STOCK MPROTECT MPK DOCUMENT\n",
          stderr);
    return 2;
}
