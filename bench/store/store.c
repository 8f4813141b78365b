/* store.c - hash table and slabs. */
#include "store.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#define CLASSES 42
#define SMALLEST 96
#define BUCKET_BYTES 512 /* of slabs, for each bucket */
#define MAX_KEY 250

struct item {
    struct item *next; /* in its bucket, or among the free ones */
    uint32_t value_len, flags;
    uint8_t key_len;
    uint8_t cls;
    uint8_t linked;
    uint8_t recent; /* asked for since the hand passed */
    char data[];    /* key, then value */
};

struct size_class {
    size_t size;
    struct item *free;
    /* The hand goes round the slabs of the class and evicts. */
    size_t hand;
};

struct store {
    pthread_mutex_t lock;
    struct size_class cls[CLASSES];
    size_t n_classes;
    char *slabs;
    size_t n_slabs, used;
    size_t evictions;
    uint64_t buckets; /* a power of 2 */
    /* The class of each slab. */
    uint8_t *slab_class;
    struct item **bucket;
};

/* ---- making -------------------------------------------------------------- */

static size_t buckets_for(size_t slabs_len)
{
    size_t n = 1024;

    while (n < slabs_len / BUCKET_BYTES) {
        n *= 2;
    }
    return n;
}

size_t store_index_len(size_t slabs_len)
{
    size_t len = sizeof(struct store) + slabs_len / STORE_SLAB + 64 +
                 buckets_for(slabs_len) * sizeof(struct item *);

    return (len + 4095) & ~(size_t)4095;
}

static void make_classes(struct store *s)
{
    size_t size = SMALLEST;

    while (s->n_classes < CLASSES - 1 && size < STORE_SLAB / 2) {
        s->cls[s->n_classes++].size = size;
        size = (size * 5 / 4 + 7) & ~(size_t)7;
    }
    s->cls[s->n_classes++].size = STORE_SLAB;
}

struct store *store_new(void *index, void *slabs, size_t slabs_len)
{
    struct store *s = index;
    char *rest = (char *)(s + 1);

    pthread_mutex_init(&s->lock, NULL);
    s->slabs = slabs;
    s->n_slabs = slabs_len / STORE_SLAB;
    s->buckets = buckets_for(slabs_len);
    s->bucket = (struct item **)rest;
    s->slab_class = (uint8_t *)(s->bucket + s->buckets);
    make_classes(s);
    return s;
}

/* ---- items --------------------------------------------------------------- */

static uint64_t hash(const char *key, size_t len)
{
    uint64_t h = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)key[i]) * 0x100000001b3ULL;
    }
    return h ^ h >> 29;
}

static struct item **find(struct store *s, const char *key, size_t len)
{
    struct item **at = &s->bucket[hash(key, len) & (s->buckets - 1)];

    while (*at != NULL &&
           ((*at)->key_len != len || memcmp((*at)->data, key, len) != 0)) {
        at = &(*at)->next;
    }
    return at;
}

static void release(struct store *s, struct item *i)
{
    struct size_class *c = &s->cls[i->cls];

    i->linked = 0;
    i->next = c->free;
    c->free = i;
}

static struct size_class *class_for(struct store *s, size_t len)
{
    for (size_t i = 0; i < s->n_classes; i++) {
        if (s->cls[i].size >= len) {
            return &s->cls[i];
        }
    }
    return NULL;
}

/* A slab that no class has becomes |c|'s. */
static bool add_slab(struct store *s, struct size_class *c)
{
    char *slab = s->slabs + s->used * STORE_SLAB;
    uint8_t cls = (uint8_t)(c - s->cls);

    if (s->used == s->n_slabs) {
        return false;
    }
    s->slab_class[s->used++] = cls;
    for (size_t at = 0; at + c->size <= STORE_SLAB; at += c->size) {
        struct item *i = (struct item *)(slab + at);

        i->cls = cls;
        release(s, i);
    }
    return true;
}

/* The next item of the class that the hand meets. */
static struct item *next_item(struct store *s, struct size_class *c)
{
    size_t per_slab = STORE_SLAB / c->size;
    size_t slab = c->hand / per_slab, at = c->hand % per_slab;

    while (s->slab_class[slab % s->used] != c - s->cls) {
        slab++;
        at = 0;
    }
    slab %= s->used;
    c->hand = slab * per_slab + at + 1;
    return (struct item *)(s->slabs + slab * STORE_SLAB + at * c->size);
}

/* Second chance: an item that was asked for lately is passed once. */
static void evict(struct store *s, struct size_class *c)
{
    struct item *i = next_item(s, c);

    while (!i->linked || i->recent) {
        i->recent = 0;
        i = next_item(s, c);
    }
    *find(s, i->data, i->key_len) = i->next;
    release(s, i);
    s->evictions++;
}

static bool has_slab(const struct store *s, const struct size_class *c)
{
    return memchr(s->slab_class, (int)(c - s->cls), s->used) != NULL;
}

static struct item *item_take(struct store *s, size_t len)
{
    struct size_class *c = class_for(s, len);
    struct item *i;

    if (c == NULL) {
        return NULL;
    }
    if (c->free == NULL && !add_slab(s, c)) {
        if (!has_slab(s, c)) {
            return NULL;
        }
        evict(s, c);
    }
    i = c->free;
    c->free = i->next;
    return i;
}

/* ---- requests ------------------------------------------------------------ */

struct request {
    bool is_set;
    char key[MAX_KEY + 1];
    size_t key_len, value_len, head; /* head: up to the value */
    size_t flags;
};

/* The next word of a line goes to |word|; returns what is behind it. */
static const char *word(const char *at, const char *end, char *word,
                        size_t room)
{
    size_t n = 0;

    while (at < end && *at == ' ') {
        at++;
    }
    while (at < end && *at != ' ' && *at != '\r' && n + 1 < room) {
        word[n++] = *at++;
    }
    word[n] = '\0';
    return at;
}

static const char *number(const char *at, const char *end, size_t *n)
{
    char digits[20];

    at = word(at, end, digits, sizeof(digits));
    *n = 0;
    for (const char *d = digits; *d >= '0' && *d <= '9'; d++) {
        *n = *n * 10 + (size_t)(*d - '0');
    }
    return at;
}

static bool parse(struct request *r, const char *in, size_t len)
{
    const char *end = memchr(in, '\n', len), *at;
    char command[8];
    size_t ignored;

    if (end == NULL || (size_t)(end - in) >= STORE_LINE) {
        return false;
    }
    at = word(in, end, command, sizeof(command));
    at = word(at, end, r->key, sizeof(r->key));
    r->head = (size_t)(end - in) + 1;
    r->key_len = strlen(r->key);
    r->is_set = strcmp(command, "set") == 0;
    r->value_len = 0;
    if (r->is_set) {
        at = number(at, end, &r->flags);
        at = number(at, end, &ignored); /* when it expires */
        number(at, end, &r->value_len);
    }
    return r->key_len > 0 && r->value_len < STORE_SLAB &&
           (r->is_set || strcmp(command, "get") == 0);
}

size_t store_wants(const char *in, size_t len)
{
    struct request r;

    if (!parse(&r, in, len)) {
        return 0;
    }
    return r.is_set ? r.head + r.value_len + 2 : r.head;
}

static size_t put(char *out, size_t room, const char *text)
{
    size_t len = strlen(text);

    if (len > room) {
        return 0;
    }
    memcpy(out, text, len);
    return len;
}

/* A blank and |n|. */
static size_t put_number(char *out, size_t n)
{
    char digits[20];
    size_t len = 0, at = 0;

    do {
        digits[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    out[at++] = ' ';
    while (len > 0) {
        out[at++] = digits[--len];
    }
    return at;
}

static size_t get(struct store *s, const struct request *r, char *out,
                  size_t room)
{
    struct item *i = *find(s, r->key, r->key_len);
    size_t n;

    if (i == NULL || i->value_len + STORE_LINE > room) {
        return put(out, room, "END\r\n");
    }
    i->recent = 1;
    n = put(out, room, "VALUE ");
    n += put(out + n, room - n, r->key);
    n += put_number(out + n, i->flags);
    n += put_number(out + n, i->value_len);
    n += put(out + n, room - n, "\r\n");
    memcpy(out + n, i->data + i->key_len, i->value_len);
    n += i->value_len;
    return n + put(out + n, room - n, "\r\nEND\r\n");
}

static size_t set(struct store *s, const struct request *r, const char *value,
                  char *out, size_t room)
{
    struct item **old = find(s, r->key, r->key_len), *i = *old;

    if (i != NULL) {
        *old = i->next;
        release(s, i);
    }
    i = item_take(s, sizeof(*i) + r->key_len + r->value_len);
    if (i == NULL) {
        return put(out, room, "SERVER_ERROR out of memory\r\n");
    }
    i->key_len = (uint8_t)r->key_len;
    i->value_len = (uint32_t)r->value_len;
    i->flags = (uint32_t)r->flags;
    i->linked = i->recent = 1;
    memcpy(i->data, r->key, r->key_len);
    memcpy(i->data + r->key_len, value, r->value_len);
    old = &s->bucket[hash(r->key, r->key_len) & (s->buckets - 1)];
    i->next = *old;
    *old = i;
    return put(out, room, "STORED\r\n");
}

size_t store_serve(struct store *s, const char *in, size_t len, char *out,
                   size_t room)
{
    struct request r;
    size_t n;

    if (!parse(&r, in, len) || (r.is_set && r.head + r.value_len + 2 > len)) {
        return put(out, room, "ERROR\r\n");
    }
    pthread_mutex_lock(&s->lock);
    n = r.is_set ? set(s, &r, in + r.head, out, room) : get(s, &r, out, room);
    pthread_mutex_unlock(&s->lock);
    return n;
}

size_t store_evictions(const struct store *s)
{
    return s->evictions;
}
