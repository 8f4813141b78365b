/* load.c - requests for a store, and who serves them. */
#include "load.h"

#include "../stats.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (LOAD_VALUE + 2 * STORE_LINE)
#define MAX_WORKERS 16
#define MAX_CONNECTIONS 64
#define CLIENTS 2

/* ---- a request and its answer -------------------------------------------- */

static size_t request_set(uint32_t key, char *out)
{
    size_t n = (size_t)snprintf(out, STORE_LINE, "set key-%08x 0 0 %d\r\n", key,
                                LOAD_VALUE);

    memset(out + n, 'a' + (int)(key % 26), LOAD_VALUE);
    memcpy(out + n, &key, sizeof(key));
    memcpy(out + n + LOAD_VALUE, "\r\n", 2);
    return n + LOAD_VALUE + 2;
}

static size_t request_get(uint32_t key, char *out)
{
    return (size_t)snprintf(out, STORE_LINE, "get key-%08x\r\n", key);
}

/* The first request's |key| is remembered for the answer. */
static size_t request(const struct load *l, uint64_t *random, uint32_t *key,
                      char *out)
{
    uint64_t r = stats_random(random);

    *key = (uint32_t)((r >> 16) % l->keys);
    return r % 10 == 0 ? request_set(*key, out) : request_get(*key, out);
}

static size_t answer_len(uint32_t key)
{
    char head[STORE_LINE];

    return (size_t)snprintf(head, sizeof(head), "VALUE key-%08x 0 %d\r\n", key,
                            LOAD_VALUE) +
           LOAD_VALUE + strlen("\r\nEND\r\n");
}

/* How much of the answer is still to come; -1 for a wrong one. */
static long missing(const char *answer, size_t len, uint32_t key)
{
    static const char stored[] = "STORED\r\n";
    size_t want = answer_len(key), head = want - LOAD_VALUE - 7;

    if (len < sizeof(stored) - 1) {
        return (long)(sizeof(stored) - 1 - len);
    }
    if (memcmp(answer, stored, sizeof(stored) - 1) == 0) {
        return 0;
    }
    if (memcmp(answer, "VALUE key-", 10) != 0) {
        return -1;
    }
    if (len < want) {
        return (long)(want - len);
    }
    return memcmp(answer + head, &key, sizeof(key)) == 0 &&
                   answer[head + LOAD_VALUE - 1] == 'a' + (int)(key % 26)
               ? 0
               : -1;
}

static size_t serve(const struct load *l, const char *in, size_t len, char *out)
{
    struct guard g = l->guard;
    size_t n;

    g.open(&g);
    n = store_serve(l->store, in, len, out, BUFFER);
    g.close(&g);
    return n;
}

bool load_fill(const struct load *l)
{
    char in[BUFFER], out[BUFFER];

    for (uint32_t key = 0; key < l->keys; key++) {
        size_t n = request_set(key, in);

        n = store_serve(l->store, in, n, out, sizeof(out));
        if (missing(out, n, key) != 0) {
            return false;
        }
    }
    return store_evictions(l->store) == 0;
}

/* ---- direct -------------------------------------------------------------- */

struct runner {
    const struct load *l;
    uint64_t random, until;
    double cpu_ns;
    uint64_t done;
    bool failed;
};

static void one_direct(struct runner *r)
{
    char in[BUFFER], out[BUFFER];
    uint32_t key;
    size_t n = request(r->l, &r->random, &key, in);

    n = serve(r->l, in, n, out);
    r->failed |= missing(out, n, key) != 0;
    r->done++;
}

static void *run_direct(void *arg)
{
    struct runner *r = arg;
    uint64_t from = stats_wall_ns();
    int at_once;

    one_direct(r); /* what a thread does once is not measured */
    r->done = 0;
    /* A clock may cost more than a request. */
    at_once = stats_wall_ns() - from < 200000 ? 64 : 1;
    from = stats_cpu_ns();
    do {
        for (int i = 0; i < at_once; i++) {
            one_direct(r);
        }
    } while (!r->failed && stats_wall_ns() < r->until);
    r->cpu_ns = (double)(stats_cpu_ns() - from);
    return NULL;
}

static uint64_t seed(unsigned i)
{
    static _Atomic uint64_t n;

    return (atomic_fetch_add(&n, 1) + i + 1) * 0x9e3779b97f4a7c15ULL | 1;
}

double load_direct(const struct load *l, double ms)
{
    struct runner r[MAX_WORKERS];
    pthread_t t[MAX_WORKERS];
    uint64_t until = stats_wall_ns() + (uint64_t)(ms * 1e6), done = 0;
    double cpu = 0;
    bool failed = false;

    for (unsigned i = 0; i < l->workers; i++) {
        r[i] = (struct runner){.l = l, .until = until, .random = seed(i)};
        if (pthread_create(&t[i], NULL, run_direct, &r[i]) != 0) {
            exit(1);
        }
    }
    for (unsigned i = 0; i < l->workers; i++) {
        pthread_join(t[i], NULL);
        cpu += r[i].cpu_ns;
        done += r[i].done;
        failed |= r[i].failed;
    }
    return failed ? -1 : cpu / (double)done;
}

/* ---- sockets: the server ------------------------------------------------- */

static struct {
    const struct load *l; /* what the workers serve; changed between batches */
    pthread_t worker[MAX_WORKERS];
    int poll[MAX_WORKERS];
    int client[MAX_CONNECTIONS], server[MAX_CONNECTIONS];
} net;

/* Reads on until |len| bytes are there. */
static bool receive(int fd, char *buf, size_t *have, size_t len)
{
    while (*have < len) {
        ssize_t n = recv(fd, buf + *have, BUFFER - *have, 0);

        if (n <= 0) {
            return false;
        }
        *have += (size_t)n;
    }
    return true;
}

static bool serve_one(int fd)
{
    char in[BUFFER], out[BUFFER];
    size_t have = 0, n;

    do {
        if (!receive(fd, in, &have, have + 1)) {
            return false;
        }
        n = store_wants(in, have);
    } while (n == 0);
    if (n > sizeof(in) || !receive(fd, in, &have, n)) {
        return false;
    }
    n = serve(net.l, in, have, out);
    return send(fd, out, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static void *work(void *arg)
{
    int poll = *(const int *)arg;
    struct epoll_event ev[8];

    for (;;) {
        int n = epoll_wait(poll, ev, 8, -1);

        for (int i = 0; i < n; i++) {
            if (!serve_one(ev[i].data.fd)) {
                return NULL;
            }
        }
    }
}

static void connect_all(const struct load *l)
{
    int pair[2];

    for (unsigned i = 0; i < l->workers; i++) {
        net.poll[i] = epoll_create1(EPOLL_CLOEXEC);
    }
    for (unsigned i = 0; i < l->connections; i++) {
        struct epoll_event ev = {.events = EPOLLIN};

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
            perror("socketpair");
            exit(1);
        }
        net.client[i] = pair[0];
        net.server[i] = ev.data.fd = pair[1];
        epoll_ctl(net.poll[i % l->workers], EPOLL_CTL_ADD, pair[1], &ev);
    }
    for (unsigned i = 0; i < l->workers; i++) {
        if (pthread_create(&net.worker[i], NULL, work, &net.poll[i]) != 0) {
            exit(1);
        }
    }
}

static double workers_cpu(const struct load *l)
{
    double sum = 0;

    for (unsigned i = 0; i < l->workers; i++) {
        struct timespec t = {0};
        clockid_t id;

        pthread_getcpuclockid(net.worker[i], &id);
        clock_gettime(id, &t);
        sum += (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
    }
    return sum;
}

/* ---- sockets: the clients ------------------------------------------------ */

struct client {
    struct runner r;
    unsigned first;
};

/* A request on each of the client's connections, then the answers. */
static void round_trip(struct client *c)
{
    uint32_t key[MAX_CONNECTIONS];
    char buf[BUFFER];

    for (unsigned i = c->first; i < c->r.l->connections; i += CLIENTS) {
        size_t n = request(c->r.l, &c->r.random, &key[i], buf);

        c->r.failed |= send(net.client[i], buf, n, MSG_NOSIGNAL) != (ssize_t)n;
    }
    for (unsigned i = c->first; i < c->r.l->connections; i += CLIENTS) {
        size_t have = 0;
        long more = 1;

        while (more > 0 &&
               receive(net.client[i], buf, &have, have + (size_t)more)) {
            more = missing(buf, have, key[i]);
        }
        c->r.failed |= more != 0;
        c->r.done++;
    }
}

static void *run_client(void *arg)
{
    struct client *c = arg;

    do {
        round_trip(c);
    } while (!c->r.failed && stats_wall_ns() < c->r.until);
    return NULL;
}

double load_sockets(const struct load *l, double ms)
{
    uint64_t until = stats_wall_ns() + (uint64_t)(ms * 1e6), done = 0;
    struct client c[CLIENTS];
    pthread_t t[CLIENTS];
    bool failed = false;
    double cpu;

    net.l = l;
    if (net.client[0] == 0) {
        connect_all(l);
    }
    cpu = workers_cpu(l);
    for (unsigned i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){{.l = l, .until = until, .random = seed(i)}, i};
        if (pthread_create(&t[i], NULL, run_client, &c[i]) != 0) {
            exit(1);
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(t[i], NULL);
        done += c[i].r.done;
        failed |= c[i].r.failed;
    }
    return failed ? -1 : (workers_cpu(l) - cpu) / (double)done;
}
