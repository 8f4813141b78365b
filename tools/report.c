#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *report_fate(const struct mapping *m)
{
    static const char *const words[] = {
        [MAPPING_SEARCHED] = "searched",
        [MAPPING_KEYED] = "protection key",
        [MAPPING_PROT_NONE] = "PROT_NONE",
        [MAPPING_SPECIAL] = "of the kernel",
        [MAPPING_DEVICE] = "device, not readable",
    };

    if (m->fate == MAPPING_SEARCHED && m->unread > 0) {
        return m->unread == m->end - m->start ? "not readable"
                                              : "not readable in part";
    }
    return words[m->fate];
}

static enum pattern_form form_of(const struct pattern_piece *piece,
                                 const struct match *match)
{
    return match->in_der ? FORM_DER : piece->form;
}

static int compare_rows(const void *left, const void *right)
{
    const struct report_row *a = left;
    const struct report_row *b = right;

    if (a->piece->subject != b->piece->subject) {
        return a->piece->subject < b->piece->subject ? -1 : 1;
    }
    if (strcmp(a->piece->component, b->piece->component) != 0) {
        /* Pieces lie in one array, in the order components are listed. */
        return a->piece < b->piece ? -1 : 1;
    }
    if (a->form != b->form) {
        return a->form < b->form ? -1 : 1;
    }
    if (strcmp(a->mapping, b->mapping) != 0) {
        return strcmp(a->mapping, b->mapping);
    }
    return a->first < b->first ? -1 : a->first > b->first;
}

static bool same_row(const struct report_row *a, const struct report_row *b)
{
    return a->piece->subject == b->piece->subject && a->form == b->form &&
           strcmp(a->piece->component, b->piece->component) == 0 &&
           strcmp(a->mapping, b->mapping) == 0;
}

static void fill_row(struct report_row *row, const struct report *r,
                     const struct report_pass *pass, const struct match *match)
{
    const struct mapping *m = mapping_find(&pass->mappings, match->addr);

    row->piece = &r->set->pieces[match->piece];
    row->form = form_of(row->piece, match);
    row->mapping = m == NULL ? "[unknown]" : m->name;
    row->first = match->addr;
    row->full = match->full;
    row->partial = !match->full;
}

static size_t matches_of(const struct report *r)
{
    size_t len = 0;

    for (size_t i = 0; i < r->passes_len; i++) {
        len += r->passes[i].matches_len;
    }
    return len;
}

/* One row per match first, then those that say the same are added up. */
static size_t make_rows(const struct report *r, struct report_row *rows)
{
    const struct report_pass *pass;
    size_t len = 0;
    size_t kept = 0;

    for (size_t p = 0; p < r->passes_len; p++) {
        pass = &r->passes[p];
        for (size_t i = 0; i < pass->matches_len; i++) {
            fill_row(&rows[len++], r, pass, &pass->matches[i]);
        }
    }
    if (len == 0) {
        return 0;
    }
    qsort(rows, len, sizeof(*rows), compare_rows);
    for (size_t i = 1; i < len; i++) {
        if (same_row(&rows[kept], &rows[i])) {
            rows[kept].full += rows[i].full;
            rows[kept].partial += rows[i].partial;
        } else {
            rows[++kept] = rows[i];
        }
    }
    return kept + 1;
}

static const struct mapping_list *last_mappings(const struct report *r)
{
    return &r->passes[r->passes_len - 1].mappings;
}

/* /proc/PID/mem faults there; code of the process, without a key to keep it
 * from that, does not. */
static uint64_t open_in(const struct mapping *m)
{
    return m->fate == MAPPING_SEARCHED && strncmp(m->name, "secretmem", 9) == 0
               ? m->unread
               : 0;
}

uint64_t report_open_in(const struct mapping_list *list)
{
    uint64_t n = 0;

    for (size_t i = 0; i < list->len; i++) {
        n += open_in(&list->at[i]);
    }
    return n;
}

uint64_t report_open(const struct report *r)
{
    return report_open_in(last_mappings(r));
}

static void add_mappings(const struct report *r, struct report_totals *t)
{
    const struct mapping_list *list = last_mappings(r);
    const struct mapping *m;

    for (size_t i = 0; i < list->len; i++) {
        m = &list->at[i];
        t->keyed += m->fate == MAPPING_KEYED ? m->end - m->start : 0;
        t->prot_none += m->fate == MAPPING_PROT_NONE ? m->end - m->start : 0;
        t->unread += m->unread;
        if (r->pid == 0) {
            t->not_dumped += m->end - m->start - m->file_len;
        }
    }
}

static void add_up(const struct report *r, struct report_totals *t)
{
    const struct report_pass *pass;

    for (size_t p = 0; p < r->passes_len; p++) {
        pass = &r->passes[p];
        t->passes_found += pass->matches_len > 0;
        for (size_t i = 0; i < pass->matches_len; i++) {
            t->full += pass->matches[i].full;
            t->partial += !pass->matches[i].full;
        }
    }
    add_mappings(r, t);
    t->open = report_open(r);
}

static const char *size_text(char *buf, size_t cap, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    snprintf(buf, cap, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return buf;
}

/* File names come from the command line: print them as they are typed. */
static void print_head(const struct report *r)
{
    char size[32];

    if (r->pid != 0) {
        printf("process %d (%s): ", r->pid, r->name);
    } else {
        printf("core file %s: ", r->name);
    }
    printf("%s searched in %.2f s\n",
           size_text(size, sizeof(size), r->searched), r->seconds);
}

static bool is_of(const struct report_row *row, size_t subject)
{
    return row->piece->subject == subject;
}

/* Prints the rows of |subject| from |at| on; returns what follows them. */
static size_t print_rows(const struct report_row *rows, size_t at, size_t len,
                         size_t subject)
{
    printf("  %-26s  %-27s  %6s  %7s  %s\n", "component", "form", "full",
           "partial", "where");
    for (; at < len && is_of(&rows[at], subject); at++) {
        printf("  %-26s  %-27s  %6" PRIu64 "  %7" PRIu64 "  %s\n",
               rows[at].piece->component, pattern_form_name(rows[at].form),
               rows[at].full, rows[at].partial, rows[at].mapping);
    }
    return at;
}

/* Returns the first row that is no key's. */
static size_t print_keys(const struct report *r, const struct report_row *rows,
                         size_t len)
{
    const EVP_PKEY *pkey;
    size_t at = 0;

    for (size_t key = 0; key < r->keys_len; key++) {
        pkey = r->keys[key].pkey;
        printf("\nkey %s (%s, %d bits)\n", r->keys[key].path,
               EVP_PKEY_get0_type_name(pkey), EVP_PKEY_get_bits(pkey));
        if (at == len || !is_of(&rows[at], key)) {
            puts("  nothing found");
        } else {
            at = print_rows(rows, at, len, key);
        }
    }
    return at;
}

/* Writes "FILE:LINE LABEL" of the secret |subject| to |buf|. */
static const char *secret_where(const struct report *r, unsigned int subject,
                                char *buf, size_t cap)
{
    const struct secret *s = &r->secrets->at[subject - r->secrets->first];

    if (s->file == NULL) {
        snprintf(buf, cap, "%s", s->label);
    } else if (s->line == 0) {
        snprintf(buf, cap, "%s %s", s->file, s->label);
    } else {
        snprintf(buf, cap, "%s:%lu %s", s->file, s->line, s->label);
    }
    return buf;
}

/* A key log can have thousands of lines: only those that are found. */
static void print_secrets(const struct report *r, const struct report_row *rows,
                          size_t at, size_t len)
{
    char name[512];
    unsigned int subject;
    size_t found = 0;

    while (at < len) {
        subject = rows[at].piece->subject;
        printf("\nsecret %s\n", secret_where(r, subject, name, sizeof(name)));
        at = print_rows(rows, at, len, subject);
        found++;
    }
    if (r->secrets->len > 0) {
        printf("\n%zu of %zu secrets found, in themselves or in what is "
               "derived from them\n",
               found, r->secrets->len);
    }
}

void report_not_derived(const struct report *r, void (*say)(const char *text))
{
    const struct secrets *s = r->secrets;
    char text[160];

    if (s->tls13_secrets > 0) {
        say("TLS 1.3 pre-master, early, handshake, master and resumption "
            "secrets: a key log lacks them; give them with --secret, and "
            "those of resumption with --session");
    }
    if (s->tls12 > 0) {
        say("TLS 1.2 pre-master secrets: a key log lacks them; give them with "
            "--secret");
    }
    if (s->tls12 > s->tls12_blocks) {
        snprintf(text, sizeof(text),
                 "record keys of %zu of %zu TLS 1.2 connections: no server "
                 "random beside the client's in this memory",
                 s->tls12 - s->tls12_blocks, s->tls12);
        say(text);
    }
}

static void say_not_derived(const char *text)
{
    printf("not looked for: %s\n", text);
}

static const char *subject_name(const struct report *r, unsigned int subject,
                                char *buf, size_t cap)
{
    return subject < r->keys_len ? r->keys[subject].path
                                 : secret_where(r, subject, buf, cap);
}

static void print_copy(const struct report *r, const struct report_pass *pass,
                       const struct match *match)
{
    const struct pattern_piece *piece = &r->set->pieces[match->piece];
    const struct mapping *m = mapping_find(&pass->mappings, match->addr);
    char name[512];

    printf("  0x%012" PRIx64 "  %s  %s %s  %u of %u windows  %s\n", match->addr,
           subject_name(r, piece->subject, name, sizeof(name)),
           piece->component, pattern_form_name(form_of(piece, match)),
           match->windows, piece->windows, m == NULL ? "[unknown]" : m->name);
}

static void print_copies(const struct report *r)
{
    for (size_t p = 0; p < r->passes_len; p++) {
        if (r->passes_len == 1) {
            puts("\ncopies:");
        } else {
            printf("\ncopies in search %zu:\n", p + 1);
        }
        for (size_t i = 0; i < r->passes[p].matches_len; i++) {
            print_copy(r, &r->passes[p], &r->passes[p].matches[i]);
        }
    }
}

static void print_mappings(const struct report *r)
{
    const struct mapping_list *list = last_mappings(r);
    const struct mapping *m;
    char size[32];

    puts("\nmappings:");
    for (size_t i = 0; i < list->len; i++) {
        m = &list->at[i];
        printf("  0x%012" PRIx64 "-0x%012" PRIx64 "  %10s  %s: %s", m->start,
               m->end, size_text(size, sizeof(size), m->end - m->start),
               m->name, report_fate(m));
        if (m->pkey != 0) {
            printf(" %" PRIu32, m->pkey);
        }
        putchar('\n');
    }
}

static void print_skipped(uint64_t bytes, const char *why)
{
    char size[32];

    if (bytes > 0) {
        printf("not searched: %s %s\n", size_text(size, sizeof(size), bytes),
               why);
    }
}

bool report_unseen(const struct report *r, const struct report_row *rows,
                   size_t rows_len, size_t key)
{
    for (size_t i = 0; i < rows_len; i++) {
        if (is_of(&rows[i], key)) {
            return false;
        }
    }
    return !presence_key_seen(r->presence, key);
}

size_t report_unseen_connections(const struct report *r,
                                 const struct report_row *rows, size_t rows_len)
{
    unsigned int subject;

    for (size_t i = 0; i < rows_len; i++) {
        subject = rows[i].piece->subject;
        if (subject >= r->secrets->first &&
            r->secrets->at[subject - r->secrets->first].line != 0) {
            return 0;
        }
    }
    return presence_connections_unseen(r->presence);
}

static void print_unseen(const struct report *r, const struct report_row *rows,
                         size_t len)
{
    size_t connections = report_unseen_connections(r, rows, len);
    size_t keys = 0;

    for (size_t key = 0; key < r->keys_len; key++) {
        if (report_unseen(r, rows, len, key)) {
            printf("%s%s",
                   keys++ == 0 ? "not seen either: the public part of " : ", ",
                   r->keys[key].path);
        }
    }
    if (keys > 0) {
        puts("; so this may be another process, or one that has no "
             "certificate of it");
    }
    if (connections > 0) {
        printf("not seen either: the client random of %zu of %zu connections; "
               "so this may be another process, or the connection has ended\n",
               connections, presence_connections(r->presence));
    }
}

static void print_totals(const struct report *r, const struct report_row *rows,
                         size_t len, const struct report_totals *t)
{
    putchar('\n');
    print_skipped(t->keyed, "under a protection key: a wild read faults");
    print_skipped(t->prot_none, "without access (PROT_NONE): a wild read "
                                "faults");
    print_skipped(t->open, "of secretmem that no protection key closes: a wild "
                           "read reaches it, and mpkctl does not");
    print_skipped(t->unread - t->open, "that mpkctl cannot read (a device, or "
                                       "gone meanwhile)");
    print_skipped(t->not_dumped, "that the core file leaves out");
    report_not_derived(r, say_not_derived);
    print_unseen(r, rows, len);
    if (r->passes_len > 1) {
        printf("%zu searches, %" PRIu64 " with something in them\n",
               r->passes_len, t->passes_found);
    }
    if (t->full + t->partial == 0) {
        printf("total: nothing found%s\n",
               t->open > 0 ? " in what could be searched" : "");
    } else {
        printf("total: %" PRIu64 " full and %" PRIu64 " partial copies of "
               "%s%s\n",
               t->full, t->partial,
               r->secrets->len == 0 ? "private parts" : "secrets",
               r->pid != 0 ? ", open to any wild read" : "");
    }
}

int report_print(const struct report *r, bool json)
{
    struct report_totals totals = {0};
    struct report_row *rows = calloc(matches_of(r) + 1, sizeof(*rows));
    size_t len;

    if (rows == NULL) {
        return -ENOMEM;
    }
    len = make_rows(r, rows);
    add_up(r, &totals);
    if (json) {
        report_json(r, rows, len, &totals);
    } else {
        print_head(r);
        print_secrets(r, rows, print_keys(r, rows, len), len);
        if (r->verbose) {
            print_copies(r);
            print_mappings(r);
        }
        print_totals(r, rows, len, &totals);
    }
    free(rows);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -EIO;
}
