/*
 * life_second_test KEY LIBRARY: a second libcrypto in the process, that the
 * same configuration tells to load the module. The first one's keys stay where
 * they were and come where they came; the second is told that it is not served.
 *
 * Seen to fail: where the second one's functions take the place of the first's,
 * all that comes after it.
 */
#include "life.h"

#include <openssl/err.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What it says goes to standard error, which is a file meanwhile. */
static const char *ask_the_second(const char *library, const char *path,
                                  char *said, size_t room)
{
    const char *(*holder)(const char *);
    void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    FILE *f = tmpfile();
    int keep = dup(2);
    const char *name = NULL;
    size_t len;

    if (lib == NULL) {
        printf("%s\n", dlerror());
        exit(1);
    }
    *(void **)&holder = dlsym(lib, "second_holder");
    dup2(fileno(f), 2);
    name = holder(path);
    dup2(keep, 2);
    rewind(f);
    len = fread(said, 1, room - 1, f);
    said[len] = '\0';
    fclose(f);
    close(keep);
    return name;
}

int main(int argc, char **argv)
{
    EVP_PKEY *before, *after;
    const char *name;
    char said[2000], *pem;

    if (argc != 3) {
        return 2;
    }
    interop_start();
    pem = life_pem("P-256");
    before = life_read(NULL, pem);
    CHECK_HELD(before);
    name = ask_the_second(argv[2], argv[1], said, sizeof(said));
    CHECK(name != NULL && strcmp(name, "default") == 0);
    CHECK(strstr(said, "second libcrypto") != NULL);
    CHECK(life_signs(NULL, before));
    after = life_read(NULL, pem);
    CHECK_HELD(after);
    CHECK(life_signs(NULL, after));
    ERR_clear_error();
    CHECK(i2d_PrivateKey(after, NULL) <= 0);
    CHECK(interop_queue_says("protected"));
    EVP_PKEY_free(before);
    EVP_PKEY_free(after);
    free(pem);
    return interop_finish();
}
