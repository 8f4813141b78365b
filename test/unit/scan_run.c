#include "scan_run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int failed_checks;
const char *mpkctl_path;
const char *victim_path;

void check(bool holds, const char *claim, const char *function, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: does not hold: %s\n", function, line, claim);
        failed_checks++;
    }
}

static void fatal(const char *what)
{
    perror(what);
    exit(1);
}

static void exec_child(const char *const argv[], const int fds[3], uid_t uid)
{
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            dup2(fds[i], i);
        }
    }
    if (uid != 0 && setresuid(uid, uid, uid) != 0) {
        _exit(126);
    }
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static pid_t spawn(const char *const argv[], const int fds[3], uid_t uid)
{
    pid_t pid = fork();

    if (pid < 0) {
        fatal("fork");
    }
    if (pid == 0) {
        exec_child(argv, fds, uid);
    }
    return pid;
}

static void make_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) != 0) {
        fatal("pipe2");
    }
}

/* Reads |fd| until |until| has come (NULL: to the end); was it seen? */
static bool read_text(int fd, char *buf, size_t cap, const char *until)
{
    size_t len = 0;
    ssize_t n;

    buf[0] = '\0';
    while (len + 1 < cap && (n = read(fd, buf + len, cap - 1 - len)) > 0) {
        len += (size_t)n;
        buf[len] = '\0';
        if (until != NULL && strstr(buf, until) != NULL) {
            return true;
        }
    }
    return until == NULL;
}

pid_t start(const char *const argv[], const void *input, size_t len,
            const char *ready)
{
    char text[4096];
    int in[2];
    int out[2];
    int status;
    pid_t pid;
    bool seen;

    make_pipe(in);
    make_pipe(out);
    pid = spawn(argv, (const int[3]){in[0], out[1], -1}, 0);
    close(in[0]);
    close(out[1]);
    if (write(in[1], input, len) != (ssize_t)len) {
        len = 0; /* it ended already; its status says why */
    }
    close(in[1]);
    seen = read_text(out[0], text, sizeof(text), ready);
    close(out[0]);
    if (seen) {
        return pid;
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 77 ? -77 : -1;
}

pid_t victim_start(const char *place, const void *bytes, size_t len)
{
    const char *const argv[] = {victim_path, place, NULL};

    return start(argv, bytes, len, "ready");
}

void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* The number after |name| in the JSON |text|, from |section| on. */
static long number_of(const char *text, const char *section, const char *name)
{
    const char *at = strstr(text, section);

    at = at == NULL ? NULL : strstr(at, name);
    return at == NULL ? -1 : strtol(at + strlen(name), NULL, 10);
}

void run(struct outcome *out, const char *const argv[], uid_t uid)
{
    int stdout_pipe[2];
    FILE *err = tmpfile();
    int status;
    size_t len;
    pid_t pid;

    if (err == NULL) {
        fatal("tmpfile");
    }
    memset(out, 0, sizeof(*out));
    make_pipe(stdout_pipe);
    pid = spawn(argv, (const int[3]){-1, stdout_pipe[1], fileno(err)}, uid);
    close(stdout_pipe[1]);
    read_text(stdout_pipe[0], out->out, sizeof(out->out), NULL);
    close(stdout_pipe[0]);
    waitpid(pid, &status, 0);
    rewind(err);
    len = fread(out->err, 1, sizeof(out->err) - 1, err);
    out->err[len] = '\0';
    fclose(err);
    out->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    out->full = number_of(out->out, "\"total\"", "\"full\": ");
    out->partial = number_of(out->out, "\"total\"", "\"partial\": ");
    out->keyed = number_of(out->out, "\"not_searched", "\"protection_key\": ");
    out->prot_none = number_of(out->out, "\"not_searched", "\"prot_none\": ");
    out->not_readable =
        number_of(out->out, "\"not_searched", "\"not_readable\": ");
}

void scan(struct outcome *out, pid_t pid, const char *key)
{
    char text[32];
    const char *const argv[] = {mpkctl_path, "scan",  "--json", "--pid",
                                text,        "--key", key,      NULL};

    snprintf(text, sizeof(text), "%d", (int)pid);
    run(out, argv, 0);
}

int scan_held(struct outcome *out, const char *place, const void *bytes,
              size_t len, const char *key)
{
    pid_t pid = victim_start(place, bytes, len);

    memset(out, 0, sizeof(*out));
    if (pid == -77) {
        printf("skipped here: %s\n", place);
        return 77;
    }
    CHECK(pid > 0);
    if (pid > 0) {
        scan(out, pid, key);
        stop(pid);
    }
    return 0;
}
