/* doctor_module.c - the module's file: where it is, and whether it loads. */
#include <dlfcn.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"
#include "file.h"

#define LARGEST_MODULE ((size_t)256 << 20)

/*
 * As libcrypto does it: what is no absolute path is in OPENSSL_MODULES or the
 * directory that it was built with; without a setting it is the provider's name
 * with ".so".
 */
void doctor_module_path(char *out, size_t cap, const char *module,
                        const char *provider)
{
    const char *dir = secure_getenv("OPENSSL_MODULES");

    if (dir == NULL) {
        dir = OPENSSL_info(OPENSSL_INFO_MODULES_DIR);
    }
    if (module != NULL && module[0] == '/') {
        snprintf(out, cap, "%s", module);
    } else {
        snprintf(out, cap, "%s/%s%s", dir == NULL ? "" : dir,
                 module != NULL ? module : provider,
                 module != NULL ? "" : ".so");
    }
}

/* By its name, since it may be missing; else by what the provider is called.
 * Nothing has been loaded yet. */
bool doctor_module_is_ours(const char *path)
{
    const char *base = strrchr(path, '/');
    char *text = NULL;
    size_t len;
    bool ours = strcmp(base == NULL ? path : base + 1, "mpk.so") == 0;
    struct stat st;

    if (!ours && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
        file_load(path, LARGEST_MODULE, &text, &len) == 0) {
        ours = memmem(text, len, DOCTOR_TITLE, strlen(DOCTOR_TITLE)) != NULL;
    }
    free(text);
    return ours;
}

static void open_and_say(const char *path, int fd)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *why = "";

    if (module == NULL || dlsym(module, "OSSL_provider_init") == NULL) {
        why = dlerror();
    }
    if (write(fd, why, strlen(why)) < 0) {
        _exit(1);
    }
    _exit(0);
}

/* The linker tells by words only. */
static const char *remedy(const char *why)
{
    static const struct {
        int err;
        const char *text;
    } remedies[] = {
        {EACCES, "let the service's user read it, and enter all folders above"},
        {EMFILE, "raise the limit on open files (LimitNOFILE= in systemd)"},
        {ENOMEM, "raise the limit on addresses (LimitAS= in systemd)"},
    };

    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (strstr(why, strerror(remedies[i].err)) != NULL) {
            return remedies[i].text;
        }
    }
    return "install it there, or correct \"module =\"";
}

static const char *go_on_without(char *why, size_t cap)
{
    const char *what = remedy(why);
    size_t at = strlen(why);

    snprintf(why + at, cap - at,
             "; libcrypto goes on without it and with all secrets in the "
             "clear: %s",
             what);
    return why;
}

/* In a child: of a file that is cut off the linker uses what is not there. */
const char *doctor_module_fault(const char *path, char *why, size_t cap)
{
    int fds[2], status = 0;
    ssize_t n;
    pid_t pid;

    if (access(path, R_OK) != 0) {
        snprintf(why, cap, "%s: %s", path, strerror(errno));
        return go_on_without(why, cap);
    }
    pid = pipe(fds) != 0 ? -1 : fork();
    if (pid < 0) {
        return NULL; /* it will be seen when it is used */
    }
    if (pid == 0) {
        open_and_say(path, fds[1]);
    }
    close(fds[1]);
    n = read(fds[0], why, cap - 1);
    close(fds[0]);
    why[n > 0 ? n : 0] = '\0';
    if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status)) {
        snprintf(why, cap,
                 "%s: it is damaged, and ends every process that loads it "
                 "(%s): install it again",
                 path, strsignal(WTERMSIG(status)));
    } else if (why[0] != '\0') {
        go_on_without(why, cap);
    }
    return why[0] != '\0' ? why : NULL;
}
