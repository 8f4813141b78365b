/*
 * Prints how fast this machine's TSC is, in kHz: what the guest's kernel would
 * measure while it boots, and gets wrong on a busy machine. Its reading and the
 * clock's are taken side by side, the closest pair of some.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
    uint64_t tsc, ns;
};

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static struct moment now(void)
{
    struct moment best = {0, 0};
    uint64_t closest = UINT64_MAX;

    for (int i = 0; i < 1000; i++) {
        uint64_t before = __rdtsc(), ns = clock_ns(), after = __rdtsc();

        if (after - before < closest) {
            closest = after - before;
            best.tsc = before + closest / 2;
            best.ns = ns;
        }
    }
    return best;
}

int main(void)
{
    const struct timespec pause = {0, 300000000};
    struct moment first = now(), last;

    nanosleep(&pause, NULL);
    last = now();
    printf("%llu\n", (unsigned long long)((last.tsc - first.tsc) * 1000000U /
                                          (last.ns - first.ns)));
    return 0;
}
