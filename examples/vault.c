/*
 * vault.c - a small store of secrets, each in a page group of its own.
 *
 * Usage: vault [mpk|mprotect|none]. Prints what each secret's length is, and
 * shows that one cannot be read without being opened.
 *
 * Build: cc vault.c $(pkg-config --cflags --libs mpkcore)
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS, with -std=c11 */
#include <mpkcore/mpk.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRETS 100

struct secret {
    mpk_vkey_t vkey;
    char *text;
};

static struct secret vault[SECRETS];

static int put(struct secret *s, const char *text)
{
    void *p = NULL;
    int err = mpk_mmap(&s->vkey, &p, 4096, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (err == 0) {
        err = mpk_begin(s->vkey, PROT_READ | PROT_WRITE);
    }
    if (err == 0) {
        s->text = p;
        strcpy(s->text, text);
        err = mpk_end(s->vkey);
    }
    return err;
}

static int length(const struct secret *s, size_t *len)
{
    int err = mpk_begin(s->vkey, PROT_READ);

    if (err == 0) {
        *len = strlen(s->text);
        err = mpk_end(s->vkey);
    }
    return err;
}

/* In a child, which ends of it. */
static int can_be_read(const struct secret *s)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(*(volatile char *)s->text != 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status);
}

/* Of its name, or of none. Returns 0, or -1 if it is not one. */
static int backend_of(const char *name, enum mpk_backend *backend)
{
    static const char *const names[] = {[MPK_BACKEND_MPK] = "mpk",
                                        [MPK_BACKEND_MPROTECT] = "mprotect",
                                        [MPK_BACKEND_NONE] = "none"};

    *backend = MPK_BACKEND_MPK;
    for (size_t i = 0; name != NULL && i < sizeof(names) / sizeof(names[0]);
         i++) {
        if (strcmp(name, names[i]) == 0) {
            *backend = (enum mpk_backend)i;
            return 0;
        }
    }
    return name == NULL ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct mpk_params params = {0};
    size_t len = 0, sum = 0;
    int err;

    if (argc > 2 || backend_of(argv[1], &params.backend) != 0) {
        fprintf(stderr, "usage: vault [mpk | mprotect | none]\n");
        return 2;
    }
    err = mpk_init(&params);
    if (err != 0) {
        fprintf(stderr, "vault: %s\n", mpk_core_strerror(err));
        return 1;
    }
    for (int i = 0; i < SECRETS; i++) {
        char text[32];

        snprintf(text, sizeof(text), "secret number %d", i);
        if (put(&vault[i], text) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < SECRETS; i++) {
        if (length(&vault[i], &len) != 0) {
            return 1;
        }
        sum += len;
    }
    printf("%d secrets, %zu characters, closed ones are %s\n", SECRETS, sum,
           can_be_read(&vault[7]) ? "readable" : "not readable");
    return 0;
}
