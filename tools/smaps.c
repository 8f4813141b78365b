/*
 * The parser for /proc/PID/smaps. A mapping is one line as in /proc/PID/maps
 * and then one line "Field:  value" for each property.
 */
#include <errno.h>
#include <string.h>

#include "hex.h"
#include "procmem.h"

/* The rest of a line that is taken apart from the left. */
struct cursor {
    const char *at;
    const char *end;
};

static bool take_number(struct cursor *c, unsigned int base, uint64_t *value)
{
    const char *from = c->at;
    int d;

    *value = 0;
    for (; c->at < c->end; c->at++) {
        d = hex_digit(*c->at);
        if (d < 0 || (unsigned int)d >= base ||
            __builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, (unsigned int)d, value)) {
            break;
        }
    }
    return c->at > from;
}

static bool take_char(struct cursor *c, char want)
{
    if (c->at == c->end || *c->at != want) {
        return false;
    }
    c->at++;
    return true;
}

static void skip_spaces(struct cursor *c)
{
    while (take_char(c, ' ')) {
    }
}

static void skip_word(struct cursor *c)
{
    while (c->at < c->end && *c->at != ' ') {
        c->at++;
    }
}

static bool take_word(struct cursor *c, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0) {
        return false;
    }
    c->at += len;
    return true;
}

static bool is_special(const struct mapping *m)
{
    return strncmp(m->name, "[vvar", 5) == 0 ||
           strcmp(m->name, "[vsyscall]") == 0;
}

/*
 * On x86 a page that can be written or executed can be read as well, whatever
 * its 'r' says; only "---" keeps a wild read out. (Execute-only memory has a
 * protection key where the CPU has them.)
 */
static enum mapping_fate fate_of_perms(const char *perms)
{
    return memcmp(perms, "---", 3) == 0 ? MAPPING_PROT_NONE : MAPPING_SEARCHED;
}

/* "start-end perms offset dev inode   path"; false for any other line. */
static bool take_mapping(struct cursor c, struct mapping *m)
{
    uint64_t inode;

    memset(m, 0, sizeof(*m));
    if (!take_number(&c, 16, &m->start) || !take_char(&c, '-') ||
        !take_number(&c, 16, &m->end) || !take_char(&c, ' ') ||
        c.end - c.at < 5 || m->start >= m->end) {
        return false;
    }
    m->fate = fate_of_perms(c.at);
    m->writable = c.at[1] == 'w';
    m->shared = c.at[3] == 's';
    skip_word(&c);
    skip_spaces(&c);
    if (!take_number(&c, 16, &m->file_off)) {
        return false;
    }
    skip_spaces(&c);
    skip_word(&c); /* device */
    skip_spaces(&c);
    if (!take_number(&c, 10, &inode)) {
        return false;
    }
    skip_spaces(&c);
    /* The first segment of System V's shared memory is number 0, too. */
    m->anonymous = inode == 0 && !m->shared;
    mapping_set_name(m, c.at, (size_t)(c.end - c.at));
    if (m->anonymous && is_special(m)) { /* a file can be called so */
        m->fate = MAPPING_SPECIAL;
    }
    return true;
}

static void take_vm_flags(struct cursor c, struct mapping *m)
{
    while (c.at < c.end) {
        skip_spaces(&c);
        if ((take_word(&c, "io") || take_word(&c, "pf")) &&
            m->fate == MAPPING_SEARCHED) {
            m->fate = MAPPING_DEVICE;
        }
        skip_word(&c);
    }
}

static void take_field(struct cursor c, struct mapping *m)
{
    uint64_t value;

    if (take_word(&c, "Rss:") || take_word(&c, "Swap:")) {
        skip_spaces(&c);
        if (take_number(&c, 10, &value) && value < UINT64_MAX >> 12) {
            m->populated += value << 10;
        }
    } else if (take_word(&c, "ProtectionKey:")) {
        skip_spaces(&c);
        if (take_number(&c, 10, &value) && value != 0) {
            m->pkey = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
            /* PROT_NONE is the stronger of the two. */
            if (m->fate == MAPPING_SEARCHED) {
                m->fate = MAPPING_KEYED;
            }
        }
    } else if (take_word(&c, "VmFlags:")) {
        take_vm_flags(c, m);
    }
}

int procmem_parse(struct mapping_list *list, const char *text, size_t len)
{
    const char *end = text + len;
    struct mapping parsed;
    struct mapping *m = NULL;
    struct cursor line;

    for (const char *at = text; at < end; at = line.end + 1) {
        line.at = at;
        line.end = memchr(at, '\n', (size_t)(end - at));
        if (line.end == NULL) {
            line.end = end;
        }
        if (take_mapping(line, &parsed)) {
            m = mapping_add(list);
            if (m == NULL) {
                return -ENOMEM;
            }
            *m = parsed;
        } else if (m != NULL) {
            take_field(line, m);
        }
    }
    return 0;
}
