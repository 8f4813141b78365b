/*
 * libFuzzer target: the core-file parser and the smaps parser, both of which
 * read what somebody else wrote. Build with -fsanitize=fuzzer,address; the
 * corpus is test/fuzz/corpus/corefile.
 */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "corefile.h"
#include "procmem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What the rest of mpkctl scan relies on. */
static void require_sane(const struct mapping_list *list, uint64_t file_size)
{
    const struct mapping *m;

    for (size_t i = 0; i < list->len; i++) {
        m = &list->at[i];
        if (m->end < m->start || m->file_len > m->end - m->start ||
            m->file_off > file_size || m->file_len > file_size - m->file_off) {
            __builtin_trap();
        }
    }
}

static void parse_core(const uint8_t *data, size_t len)
{
    struct mapping_list list = {0};
    const char *why;
    int fd = memfd_create("core", MFD_CLOEXEC);

    if (fd >= 0 && write(fd, data, len) == (ssize_t)len &&
        corefile_open(&list, fd, &why) == 0) {
        require_sane(&list, len);
        (void)mapping_find(&list, list.at[0].start);
    }
    mapping_free(&list);
    close(fd);
}

static void parse_smaps(const uint8_t *data, size_t len)
{
    struct mapping_list list = {0};

    (void)procmem_parse(&list, (const char *)data, len);
    require_sane(&list, UINT64_MAX); /* an offset is in any file */
    mapping_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    parse_core(data, len);
    parse_smaps(data, len);
    return 0;
}
