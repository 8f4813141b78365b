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

    if (a->piece->key != b->piece->key) {
        return a->piece->key < b->piece->key ? -1 : 1;
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
    return a->piece->key == b->piece->key && a->form == b->form &&
           strcmp(a->piece->component, b->piece->component) == 0 &&
           strcmp(a->mapping, b->mapping) == 0;
}

static void fill_row(struct report_row *row, const struct report *r,
                     const struct match *match)
{
    const struct mapping *m = mapping_find(r->mappings, match->addr);

    row->piece = &r->set->pieces[match->piece];
    row->form = form_of(row->piece, match);
    row->mapping = m == NULL ? "[unknown]" : m->name;
    row->first = match->addr;
    row->full = match->full;
    row->partial = !match->full;
}

/* One row per match first, then those that say the same are added up. */
static size_t make_rows(const struct report *r, struct report_row *rows)
{
    size_t kept = 0;

    if (r->matches_len == 0) {
        return 0;
    }
    for (size_t i = 0; i < r->matches_len; i++) {
        fill_row(&rows[i], r, &r->matches[i]);
    }
    qsort(rows, r->matches_len, sizeof(*rows), compare_rows);
    for (size_t i = 1; i < r->matches_len; i++) {
        if (same_row(&rows[kept], &rows[i])) {
            rows[kept].full += rows[i].full;
            rows[kept].partial += rows[i].partial;
        } else {
            rows[++kept] = rows[i];
        }
    }
    return kept + 1;
}

static void add_up(const struct report *r, struct report_totals *t)
{
    const struct mapping *m;

    for (size_t i = 0; i < r->matches_len; i++) {
        t->full += r->matches[i].full;
        t->partial += !r->matches[i].full;
    }
    for (size_t i = 0; i < r->mappings->len; i++) {
        m = &r->mappings->at[i];
        t->keyed += m->fate == MAPPING_KEYED ? m->end - m->start : 0;
        t->prot_none += m->fate == MAPPING_PROT_NONE ? m->end - m->start : 0;
        t->unread += m->unread;
        if (r->pid == 0) {
            t->not_dumped += m->end - m->start - m->file_len;
        }
    }
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

static void print_rows(const struct report *r, const struct report_row *rows,
                       size_t len)
{
    const EVP_PKEY *pkey;
    size_t at = 0;

    for (size_t key = 0; key < r->keys_len; key++) {
        pkey = r->keys[key].pkey;
        printf("\nkey %s (%s, %d bits)\n", r->keys[key].path,
               EVP_PKEY_get0_type_name(pkey), EVP_PKEY_get_bits(pkey));
        if (at == len || rows[at].piece->key != key) {
            puts("  nothing found");
            continue;
        }
        printf("  %-9s  %-16s  %6s  %7s  %s\n", "component", "form", "full",
               "partial", "where");
        for (; at < len && rows[at].piece->key == key; at++) {
            printf("  %-9s  %-16s  %6" PRIu64 "  %7" PRIu64 "  %s\n",
                   rows[at].piece->component, pattern_form_name(rows[at].form),
                   rows[at].full, rows[at].partial, rows[at].mapping);
        }
    }
}

static void print_copies(const struct report *r)
{
    const struct pattern_piece *piece;
    const struct mapping *m;

    puts("\ncopies:");
    for (size_t i = 0; i < r->matches_len; i++) {
        piece = &r->set->pieces[r->matches[i].piece];
        m = mapping_find(r->mappings, r->matches[i].addr);
        printf("  0x%012" PRIx64 "  %s  %s %s  %u of %u windows  %s\n",
               r->matches[i].addr, r->keys[piece->key].path, piece->component,
               pattern_form_name(form_of(piece, &r->matches[i])),
               r->matches[i].windows, piece->windows,
               m == NULL ? "[unknown]" : m->name);
    }
}

static void print_mappings(const struct report *r)
{
    const struct mapping *m;
    char size[32];

    puts("\nmappings:");
    for (size_t i = 0; i < r->mappings->len; i++) {
        m = &r->mappings->at[i];
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

static void print_totals(const struct report *r, const struct report_totals *t)
{
    putchar('\n');
    print_skipped(t->keyed, "under a protection key: a wild read faults");
    print_skipped(t->prot_none, "without access (PROT_NONE): a wild read "
                                "faults");
    print_skipped(t->unread, "that mpkctl cannot read (secretmem, a device, "
                             "or gone meanwhile)");
    print_skipped(t->not_dumped, "that the core file leaves out");
    if (t->full + t->partial == 0) {
        puts("total: nothing found");
    } else {
        printf("total: %" PRIu64 " full and %" PRIu64 " partial copies of "
               "private parts%s\n",
               t->full, t->partial,
               r->pid != 0 ? ", open to any wild read" : "");
    }
}

int report_print(const struct report *r, bool json)
{
    struct report_totals totals = {0};
    struct report_row *rows = calloc(r->matches_len + 1, sizeof(*rows));
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
        print_rows(r, rows, len);
        if (r->verbose) {
            print_copies(r);
            print_mappings(r);
        }
        print_totals(r, &totals);
    }
    free(rows);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : -EIO;
}
