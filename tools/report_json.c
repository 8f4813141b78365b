#include <inttypes.h>
#include <stdio.h>

#include "json.h"
#include "report.h"

static void print_target(const struct report *r)
{
    printf("  \"target\": {");
    if (r->pid != 0) {
        printf("\"pid\": %d, \"name\": ", r->pid);
    } else {
        printf("\"core\": ");
    }
    json_string(r->name);
    printf("},\n");
}

static void print_row(const struct report_row *row)
{
    printf("        {\"component\": ");
    json_string(row->piece->component);
    printf(", \"form\": ");
    json_string(pattern_form_name(row->form));
    printf(", \"mapping\": ");
    json_string(row->mapping);
    printf(", \"full\": %" PRIu64 ", \"partial\": %" PRIu64
           ", \"first_address\": \"0x%" PRIx64 "\"}",
           row->full, row->partial, row->first);
}

/* Prints the rows of |subject| from |at| on; returns what follows them. */
static size_t print_found(const struct report_row *rows, size_t at, size_t len,
                          size_t subject)
{
    size_t first = at;

    printf("\"found\": [");
    for (; at < len && rows[at].piece->subject == subject; at++) {
        printf("%s\n", at == first ? "" : ",");
        print_row(&rows[at]);
    }
    printf("%s]\n    }", at == first ? "" : "\n      ");
    return at;
}

static size_t print_keys(const struct report *r, const struct report_row *rows,
                         size_t len)
{
    size_t at = 0;

    printf("  \"keys\": [");
    for (size_t key = 0; key < r->keys_len; key++) {
        printf("%s\n    {\n      \"file\": ", key == 0 ? "" : ",");
        json_string(r->keys[key].path);
        printf(",\n      \"type\": ");
        json_string(EVP_PKEY_get0_type_name(r->keys[key].pkey));
        printf(",\n      \"bits\": %d,\n      ",
               EVP_PKEY_get_bits(r->keys[key].pkey));
        at = print_found(rows, at, len, key);
    }
    printf("%s],\n", r->keys_len == 0 ? "" : "\n  ");
    return at;
}

static void print_secrets(const struct report *r, const struct report_row *rows,
                          size_t at, size_t len)
{
    const struct secret *s;
    size_t subject;
    size_t first = at;

    printf("  \"secrets_searched\": %zu,\n  \"secrets\": [", r->secrets->len);
    while (at < len) {
        subject = rows[at].piece->subject;
        s = &r->secrets->at[subject - r->secrets->first];
        printf("%s\n    {\n      \"label\": ", at == first ? "" : ",");
        json_string(s->label);
        if (s->file != NULL) {
            printf(",\n      \"file\": ");
            json_string(s->file);
        }
        if (s->line != 0) {
            printf(",\n      \"line\": %lu", s->line);
        }
        printf(",\n      ");
        at = print_found(rows, at, len, subject);
    }
    printf("%s],\n", at == first ? "" : "\n  ");
}

/* The separator before the next element of a list. */
static const char *before_next;

static void print_sentence(const char *text)
{
    printf("%s\n    ", before_next);
    json_string(text);
    before_next = ",";
}

static void print_not_derived(const struct report *r)
{
    printf("  \"not_looked_for\": [");
    before_next = "";
    report_not_derived(r, print_sentence);
    printf("%s],\n", *before_next == '\0' ? "" : "\n  ");
}

/* What shows that it is the right process, and was not seen either. */
static void print_unseen(const struct report *r, const struct report_row *rows,
                         size_t len)
{
    const char *before = "";

    printf("  \"not_seen\": {\"client_randoms\": %zu, \"of\": %zu, "
           "\"public_parts\": [",
           report_unseen_connections(r, rows, len),
           presence_connections(r->presence));
    for (size_t key = 0; key < r->keys_len; key++) {
        if (report_unseen(r, rows, len, key)) {
            printf("%s", before);
            json_string(r->keys[key].path);
            before = ", ";
        }
    }
    printf("]},\n");
}

static void print_mappings(const struct report *r)
{
    const struct mapping_list *list = &r->passes[r->passes_len - 1].mappings;
    const struct mapping *m;

    printf("  \"mappings\": [");
    for (size_t i = 0; i < list->len; i++) {
        m = &list->at[i];
        printf("%s\n    {\"start\": \"0x%" PRIx64 "\", \"end\": \"0x%" PRIx64
               "\", \"name\": ",
               i == 0 ? "" : ",", m->start, m->end);
        json_string(m->name);
        printf(", \"protection_key\": %" PRIu32 ", \"fate\": ", m->pkey);
        json_string(report_fate(m));
        printf(", \"not_readable\": %" PRIu64 "}", m->unread);
    }
    printf("\n  ],\n");
}

void report_json(const struct report *r, const struct report_row *rows,
                 size_t rows_len, const struct report_totals *t)
{
    printf("{\n");
    print_target(r);
    print_secrets(r, rows, print_keys(r, rows, rows_len), rows_len);
    print_not_derived(r);
    print_unseen(r, rows, rows_len);
    if (r->verbose) {
        print_mappings(r);
    }
    printf("  \"searched_bytes\": %" PRIu64 ",\n", r->searched);
    printf("  \"not_searched_bytes\": {\"protection_key\": %" PRIu64
           ", \"prot_none\": %" PRIu64 ", \"not_readable\": %" PRIu64
           ", \"not_dumped\": %" PRIu64 ", \"open_secretmem\": %" PRIu64 "},\n",
           t->keyed, t->prot_none, t->unread, t->not_dumped, t->open);
    printf("  \"searches\": {\"done\": %zu, \"with_findings\": %" PRIu64 "},\n",
           r->passes_len, t->passes_found);
    printf("  \"seconds\": %.3f,\n", r->seconds);
    printf("  \"total\": {\"full\": %" PRIu64 ", \"partial\": %" PRIu64 "}\n",
           t->full, t->partial);
    printf("}\n");
}
