/*
 * window.c - who can write a code cache while it is being changed?
 *
 * It does what a JIT does, under wx_preload.so: maps a part, writes code, makes
 * it executable, runs it, asks for the right to write again. Then, in this
 * window, another thread writes. With mprotect it can, with a key it faults.
 *
 * Usage: LD_PRELOAD=.../wx_preload.so window [itself]
 * "itself": no other thread, the JIT's own write after the window.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define LEN ((size_t)64 << 10)
#define ROOM ((size_t)8 << 20)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)

/* mov $42, %eax; ret */
static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};

static void *write_it(void *p)
{
    *(volatile unsigned char *)p = code[0];
    return NULL;
}

static int call(const void *p)
{
    int (*function)(void);

    memcpy(&function, &p, sizeof(function));
    return function();
}

static int fail(const char *what)
{
    fprintf(stderr, "window: %s\n", what);
    return 1;
}

/* As LuaJIT does it: somewhere with room around. */
static char *map(void)
{
    char *room = mmap(NULL, ROOM, PROT_NONE, ANON, -1, 0);

    if (room == MAP_FAILED) {
        return room;
    }
    munmap(room, ROOM);
    return mmap(room + ROOM / 2, LEN, RW, ANON, -1, 0);
}

int main(int argc, char **argv)
{
    pthread_t other;
    char *p = map();

    (void)argv;
    if (p == MAP_FAILED) {
        return fail("mmap");
    }
    memcpy(p, code, sizeof(code));
    if (mprotect(p, LEN, RX) != 0 || call(p) != 42) {
        return fail("the code does not run");
    }
    if (mprotect(p, LEN, RW) != 0) {
        return fail("no right to write");
    }
    memcpy(p, code, sizeof(code));
    p[1] = 43;
    if (argc == 1) {
        pthread_create(&other, NULL, write_it, p);
        pthread_join(other, NULL);
        fputs("another thread can write in the window\n", stderr);
    }
    if (mprotect(p, LEN, RX) != 0 || call(p) != 43) {
        return fail("the code does not run");
    }
    fputs("the window is closed\n", stderr);
    write_it(p);
    fputs("the code cache can be written\n", stderr);
    return 0;
}
