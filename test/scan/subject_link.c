/* subject_link.c - see subject_link.h. */
#include "subject_link.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_FILES 8

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static _Noreturn void run(int fd, const char *program, char *role,
                          const char *conf, char **files)
{
    char number[16], *argv[3 + MAX_FILES + 1] = {"scan_subject", role, number};

    snprintf(number, sizeof(number), "%d", fd);
    for (size_t i = 0; i < MAX_FILES && files[i] != NULL; i++) {
        argv[3 + i] = files[i];
    }
    setenv("OPENSSL_CONF", conf, 1);
    execv(program, argv);
    die(program);
}

void link_start(struct subject_link *s, const char *program, char *role,
                const char *conf, char **files)
{
    int fd[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd) != 0) {
        die("socketpair");
    }
    s->pid = fork();
    if (s->pid == 0) {
        close(fd[0]);
        run(fd[1], program, role, conf, files);
    }
    close(fd[1]);
    s->fd = fd[0];
}

static _Noreturn void subject_is_gone(const struct subject_link *s)
{
    int status = 0;

    waitpid(s->pid, &status, 0);
    fprintf(stderr, "%s is gone, with status %#x\n", s->name, status);
    exit(1);
}

bool link_ask(struct subject_link *s, enum request what, const void *data,
              size_t len)
{
    struct ask ask = {.what = what, .len = (uint32_t)len};
    struct iovec out[2] = {{&ask, sizeof(ask)}, {(void *)data, len}};
    struct iovec in[2] = {{&s->answer, sizeof(s->answer)},
                          {s->data, sizeof(s->data) - 1}};
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};

    if (sendmsg(s->fd, &message, MSG_NOSIGNAL) < 0) {
        subject_is_gone(s);
    }
    message.msg_iov = in;
    if (recvmsg(s->fd, &message, 0) < (ssize_t)sizeof(s->answer)) {
        subject_is_gone(s);
    }
    s->data[s->answer.len] = '\0';
    return s->answer.ok;
}

void link_stop(struct subject_link *s)
{
    close(s->fd);
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
}
