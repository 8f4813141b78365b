/*
 * mpkctl doctor: is this machine fit, and does the configuration in force
 * protect what it should?
 *
 * All of it runs in a child: a configuration that does not protect may end
 * every process that loads it, and the operator still wants to be told.
 */
#include "doctor.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "flags.h"
#include "json.h"
#include "libctx.h"
#include "mpkctl.h"

#define LINE_CAP 2048

static const char usage_text[] =
    "usage: mpkctl doctor [--json]\n"
    "\n"
    "Looks at this machine, and at the OpenSSL configuration that is in force\n"
    "here (OPENSSL_CONF or the default): one line for each, with what to do "
    "if\n"
    "it is not in order. Loads keys and makes handshakes with itself, of keys\n"
    "that it makes for the purpose.\n"
    "\n"
    "Exit status: 0 all in order, 1 something to do, 2 error.\n";

static const char *const words[] = {
    [VERDICT_OK] = "ok",
    [VERDICT_NOTE] = "note",
    [VERDICT_TODO] = "to do",
};

/* One line in a pipe: verdict, name, text, with tabs between. */
void doctor_say(struct doctor *d, enum verdict verdict, const char *name,
                const char *fmt, ...)
{
    char line[LINE_CAP];
    int at = snprintf(line, sizeof(line), "%d\t%s\t", (int)verdict, name);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line + at, sizeof(line) - (size_t)at - 1, fmt, ap);
    va_end(ap);
    for (char *c = line + at; *c != '\0'; c++) {
        *c = *c < ' ' ? ' ' : *c;
    }
    strcat(line, "\n");
    if (write(d->out, line, strlen(line)) < 0) {
        _exit(MPKCTL_ERROR);
    }
}

static const char *say_error(char *buf, size_t cap, unsigned long e,
                             const char *data, int flags)
{
    const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    bool more = (flags & ERR_TXT_STRING) && data != NULL && *data != '\0';

    snprintf(buf, cap, "%s%s%s", reason == NULL ? "no reason given" : reason,
             more ? ": " : "", more ? data : "");
    return buf;
}

/*
 * The module's, which names the cause: what libcrypto and libssl say after it
 * is what they cannot do without. Its "file" is the same whatever the provider
 * is called.
 */
const char *doctor_last_error(char *buf, size_t cap)
{
    const char *file = NULL, *data = NULL;
    int flags = 0;
    bool ours = false, its;
    unsigned long e;

    say_error(buf, cap, 0, NULL, 0);
    while ((e = ERR_get_error_all(&file, NULL, NULL, &data, &flags)) != 0) {
        its = file != NULL && strcmp(file, "mpk") == 0;
        if (its || !ours) {
            say_error(buf, cap, e, data, flags);
        }
        ours |= its;
    }
    return buf;
}

/* Standard error goes the same way, so that lines stay in their order. */
static int examine(int out)
{
    struct doctor d = {.out = out};

    if (dup2(out, STDERR_FILENO) < 0) {
        return MPKCTL_ERROR;
    }
    doctor_conf_read(&d);
    doctor_machine(&d);
    doctor_providers(&d); /* loads the configuration: before any other */
    if (libctx_new(&d.stock, &d.stock_provider) != 0) {
        return MPKCTL_ERROR;
    }
    doctor_keys(&d);
    doctor_tls(&d);
    for (size_t i = 0; i < DOCTOR_KEYS; i++) {
        EVP_PKEY_free(d.keys[i]);
    }
    libctx_free(d.stock, d.stock_provider);
    return MPKCTL_OK;
}

/* ---- the parent --------------------------------------------------------- */

struct printer {
    bool json;
    size_t len;
    size_t todo;
    /* The last two lines on standard error. */
    char words_before[LINE_CAP];
    char last_words[LINE_CAP];
};

static void print_item(struct printer *p, enum verdict verdict,
                       const char *name, const char *text)
{
    p->todo += verdict == VERDICT_TODO;
    if (p->json) {
        printf("%s\n    {\"name\": ", p->len == 0 ? "" : ",");
        json_string(name);
        printf(", \"verdict\": ");
        json_string(words[verdict]);
        printf(", \"text\": ");
        json_string(text);
        putchar('}');
    } else {
        printf("%-5s  %-34s  %s\n", words[verdict], name, text);
    }
    p->len++;
    fflush(stdout);
}

/* What the child, or the module in it, has to say. */
static void pass_on(struct printer *p, const char *line)
{
    fprintf(stderr, "%s\n", line);
    strcpy(p->words_before, p->last_words);
    snprintf(p->last_words, sizeof(p->last_words), "%s", line);
}

static void print_line(struct printer *p, char *line)
{
    char *name = strchr(line, '\t');
    char *text = name == NULL ? NULL : strchr(name + 1, '\t');

    line[strcspn(line, "\n")] = '\0';
    if (text != NULL && name == line + 1 && *line >= '0' && *line <= '2') {
        *text = '\0';
        print_item(p, (enum verdict)(*line - '0'), name + 1, text + 1);
    } else {
        pass_on(p, line);
    }
}

static void print_signal(struct printer *p, int number)
{
    char text[3 * LINE_CAP];

    snprintf(
        text, sizeof(text),
        "every process that uses it is ended by signal %d (%s)%s%s%s%s%s",
        number, strsignal(number),
        number == SIGSYS ? ": a filter (SystemCallFilter= in systemd, seccomp) "
                           "has to allow what docs/syscalls.md lists"
                         : "",
        p->last_words[0] == '\0' ? "" : "; its last words: ", p->words_before,
        p->words_before[0] == '\0' ? "" : "; ", p->last_words);
    print_item(p, VERDICT_TODO, "configuration", text);
}

/* Returns the child's status, or -1. */
static int read_findings(struct printer *p, int fd, pid_t pid)
{
    FILE *f = fdopen(fd, "r");
    char line[LINE_CAP];
    int status;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        print_line(p, line);
    }
    if (f != NULL) {
        fclose(f);
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    if (WIFSIGNALED(status)) {
        print_signal(p, WTERMSIG(status));
        return 0;
    }
    return WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int run(bool json)
{
    struct printer p = {.json = json};
    int fds[2];
    pid_t pid;
    int err;

    fflush(stdout);
    pid = pipe(fds) != 0 ? -1 : fork();
    if (pid < 0) {
        mpkctl_error("cannot start a process: %s", strerror(errno));
        return MPKCTL_ERROR;
    }
    if (pid == 0) {
        close(fds[0]);
        _exit(examine(fds[1]));
    }
    close(fds[1]);
    if (json) {
        printf("{\n  \"findings\": [");
    }
    err = read_findings(&p, fds[0], pid);
    if (json) {
        printf("\n  ],\n  \"to_do\": %zu\n}\n", p.todo);
    }
    if (err != 0) {
        mpkctl_error("the examination ended early");
        return MPKCTL_ERROR;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        mpkctl_error("cannot write: %s", strerror(errno));
        return MPKCTL_ERROR;
    }
    return p.todo == 0 ? MPKCTL_OK : MPKCTL_FOUND;
}

int mpkctl_doctor(int argc, char **argv)
{
    bool json;
    int first = flags_parse(argc, argv, "json", &json, 0, usage_text);

    if (first <= 0) {
        return first == 0 ? MPKCTL_OK : MPKCTL_ERROR;
    }
    return run(json);
}
