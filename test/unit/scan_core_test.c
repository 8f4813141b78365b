/*
 * scan_core_test MPKCTL VICTIM: what "mpkctl scan --core" makes of core files,
 * whole, cut short and damaged, and what the smaps parser makes of text.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "corefile.h"
#include "procmem.h"
#include "scan_forms.h"
#include "scan_run.h"

#define SEGMENT 4096
#define BASE UINT64_C(0x10000)

/* A core of two segments, one of them a file's, as the kernel writes it. */
struct core_image {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[3];
    Elf64_Nhdr nh;
    char owner[8];
    uint64_t count;
    uint64_t page_size;
    uint64_t start;
    uint64_t end;
    uint64_t offset;
    char path[16];
    unsigned char memory[2][SEGMENT];
} __attribute__((packed));

static struct outcome got;

static void make_image(struct core_image *c)
{
    memset(c, 0, sizeof(*c));
    memcpy(c->eh.e_ident, ELFMAG, SELFMAG);
    c->eh.e_ident[EI_CLASS] = ELFCLASS64;
    c->eh.e_ident[EI_DATA] = ELFDATA2LSB;
    c->eh.e_ident[EI_VERSION] = EV_CURRENT;
    c->eh.e_type = ET_CORE;
    c->eh.e_machine = EM_X86_64;
    c->eh.e_phoff = offsetof(struct core_image, ph);
    c->eh.e_phentsize = sizeof(Elf64_Phdr);
    c->eh.e_phnum = 3;
    c->ph[0].p_type = PT_NOTE;
    c->ph[0].p_offset = offsetof(struct core_image, nh);
    c->ph[0].p_filesz =
        offsetof(struct core_image, memory) - offsetof(struct core_image, nh);
    c->nh.n_namesz = 5;
    c->nh.n_descsz = 40 + sizeof(c->path);
    c->nh.n_type = NT_FILE;
    memcpy(c->owner, "CORE", 5);
    c->count = 1;
    c->page_size = 4096;
    c->start = BASE;
    c->end = BASE + SEGMENT;
    memcpy(c->path, "/opt/lib/a.so", 14);
    for (size_t i = 0; i < 2; i++) {
        c->ph[1 + i].p_type = PT_LOAD;
        c->ph[1 + i].p_offset =
            offsetof(struct core_image, memory) + i * SEGMENT;
        c->ph[1 + i].p_vaddr = BASE + i * 2 * SEGMENT;
        c->ph[1 + i].p_filesz = SEGMENT;
        c->ph[1 + i].p_memsz = SEGMENT;
    }
}

static void write_image(const char *path, const struct core_image *c)
{
    FILE *f = fopen(path, "w");

    if (f == NULL || fwrite(c, sizeof(*c), 1, f) != 1 || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static void scan_core(const char *core, const char *key)
{
    const char *const argv[] = {mpkctl_path, "scan",  "--json", "--core",
                                core,        "--key", key,      NULL};

    run(&got, argv, 0);
}

static void test_key_in_core_is_found_with_its_file(const struct forms *f,
                                                    const char *core)
{
    static struct core_image c;

    make_image(&c);
    write_image(core, &c);
    scan_core(core, f->key);
    CHECK(got.status == 0 && got.full == 0 && got.partial == 0);
    memcpy(c.memory[0] + 100, f->p, sizeof(f->p));
    memcpy(c.memory[1] + 200, f->p_little, sizeof(f->p_little) - 20);
    write_image(core, &c);
    scan_core(core, f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 1);
    CHECK(strstr(got.out, "\"form\": \"big-endian\", \"mapping\": \"a.so\"") !=
          NULL);
    CHECK(strstr(got.out,
                 "\"form\": \"little-endian\", \"mapping\": \"[anon]\"") !=
          NULL);
}

/* Follows the one above: |core| is whole. */
static void test_truncated_core_is_one_clear_error(const struct forms *f,
                                                   const char *core)
{
    static const size_t lengths[] = {0, 1, 63, 64, 100, 231, 232, 300, 4000};
    char *newline;

    for (size_t i = sizeof(lengths) / sizeof(lengths[0]); i-- > 0;) {
        CHECK(truncate(core, (off_t)lengths[i]) == 0);
        scan_core(core, f->key);
        CHECK(got.status == 2 && got.out[0] == '\0');
        CHECK(strstr(got.err, "truncated") != NULL || lengths[i] == 0);
        newline = strchr(got.err, '\n');
        CHECK(newline != NULL && newline[1] == '\0');
    }
}

static int open_image(const void *image, size_t len)
{
    struct mapping_list list = {0};
    const char *why = NULL;
    int fd = memfd_create("core", MFD_CLOEXEC);
    int err;

    if (fd < 0 || write(fd, image, len) != (ssize_t)len) {
        perror("memfd_create");
        exit(1);
    }
    err = corefile_open(&list, fd, &why);
    CHECK(why != NULL && (err == 0) == (why[0] == '\0'));
    mapping_free(&list);
    close(fd);
    return err;
}

static void test_core_cut_anywhere_is_an_error(void)
{
    static struct core_image c;

    make_image(&c);
    CHECK(open_image(&c, sizeof(c)) == 0);
    for (size_t len = 0; len < sizeof(c); len++) {
        CHECK(open_image(&c, len) == -EINVAL);
    }
}

static void test_impossible_segments_are_an_error(void)
{
    static struct core_image c;

    make_image(&c);
    c.ph[1].p_offset = UINT64_MAX - 100;
    CHECK(open_image(&c, sizeof(c)) == -EINVAL);
    make_image(&c);
    c.ph[1].p_memsz = UINT64_MAX;
    CHECK(open_image(&c, sizeof(c)) == -EINVAL);
    make_image(&c);
    c.ph[2].p_vaddr = c.ph[1].p_vaddr;
    CHECK(open_image(&c, sizeof(c)) == -EINVAL);
    make_image(&c);
    c.ph[1].p_filesz = UINT64_MAX;
    CHECK(open_image(&c, sizeof(c)) == -EINVAL);
    make_image(&c);
    c.eh.e_phnum = PN_XNUM;
    c.eh.e_shoff = UINT64_MAX - 3;
    CHECK(open_image(&c, sizeof(c)) == -EINVAL);
    make_image(&c);
    c.eh.e_type = ET_EXEC;
    CHECK(open_image(&c, sizeof(c)) == -EINVAL);
}

static void test_damaged_notes_only_cost_names(void)
{
    static struct core_image c;

    make_image(&c);
    c.count = UINT64_MAX;
    CHECK(open_image(&c, sizeof(c)) == 0);
    make_image(&c);
    c.nh.n_descsz = UINT32_MAX;
    CHECK(open_image(&c, sizeof(c)) == 0);
    make_image(&c);
    memset(c.path, 'x', sizeof(c.path));
    CHECK(open_image(&c, sizeof(c)) == 0);
}

/* The name of the core file that a dying process left in |dir|, if any. */
static bool find_core(char *path, size_t cap, const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    bool found = false;

    while (!found && d != NULL && (entry = readdir(d)) != NULL) {
        found = strncmp(entry->d_name, "core", 4) == 0;
        snprintf(path, cap, "%s/%s", dir, entry->d_name);
    }
    if (d != NULL) {
        closedir(d);
    }
    return found;
}

static void test_core_of_the_kernel_is_searched(const struct forms *f,
                                                const char *dir)
{
    char path[PATH_MAX];
    char back[PATH_MAX];
    char victim[PATH_MAX];
    const char *saved = victim_path;

    if (realpath(victim_path, victim) == NULL ||
        getcwd(back, PATH_MAX) == NULL || chdir(dir) != 0) {
        return;
    }
    victim_path = victim;
    CHECK(victim_start("core", f->p, sizeof(f->p)) == -1);
    victim_path = saved;
    CHECK(chdir(back) == 0);
    if (!find_core(path, sizeof(path), dir)) {
        puts("skipped here: the kernel writes core files elsewhere");
        return;
    }
    scan_core(path, f->key);
    CHECK(got.status == 1 && got.full == 1 && got.partial == 0);
}

static const char smaps_text[] =
    "1000-3000 rw-p 00000000 00:00 0                [heap]\n"
    "Rss:                   8 kB\n"
    "Swap:                  4 kB\n"
    "ProtectionKey:         0\n"
    "VmFlags: rd wr mr mw me ac \n"
    "3000-4000 rw-p 00000000 00:00 0 \n"
    "Rss:                   0 kB\n"
    "ProtectionKey:         3\n"
    "4000-6000 ---p 00001000 fe:00 12345            /usr/lib/x y.so\n"
    "ProtectionKey:         3\n"
    "6000-7000 r-xp 00001000 fe:00 12345            /usr/lib/x\x01.so\n"
    "7000-8000 r--p 00000000 00:00 0                [vvar]\n"
    "8000-9000 rw-s 00000000 00:00 77               /dev/card\n"
    "VmFlags: rd wr sh io pf dc\n"
    "9000-a000 -w-p 00000000 00:00 0 ";

static void test_smaps_is_read_line_by_line(void)
{
    struct mapping_list list = {0};
    const struct mapping *m;

    CHECK(procmem_parse(&list, smaps_text, sizeof(smaps_text) - 1) == 0);
    CHECK(list.len == 7);
    if (list.len == 7) {
        m = list.at;
        CHECK(m[0].start == 0x1000 && m[0].end == 0x3000);
        CHECK(m[0].fate == MAPPING_SEARCHED && m[0].populated == 12288);
        CHECK(m[0].anonymous && strcmp(m[0].name, "[heap]") == 0);
        CHECK(m[1].fate == MAPPING_KEYED && m[1].pkey == 3);
        CHECK(strcmp(m[1].name, "[anon]") == 0);
        CHECK(m[2].fate == MAPPING_PROT_NONE && !m[2].anonymous);
        CHECK(strcmp(m[2].name, "x y.so") == 0);
        CHECK(m[3].fate == MAPPING_SEARCHED && m[3].pkey == 0);
        CHECK(strcmp(m[3].name, "x?.so") == 0);
        CHECK(m[4].fate == MAPPING_SPECIAL);
        CHECK(m[5].fate == MAPPING_DEVICE);
        CHECK(m[6].fate == MAPPING_SEARCHED);
    }
    mapping_free(&list);
}

int main(int argc, char **argv)
{
    static struct forms f;
    char dir[] = "/tmp/mpk-scan-test-XXXXXX";
    char core[sizeof(dir) + 16];
    const char *const rm[] = {"rm", "-rf", dir, NULL};

    if (argc != 3 || mkdtemp(dir) == NULL) {
        fputs("usage: scan_core_test MPKCTL VICTIM\n", stderr);
        return 1;
    }
    mpkctl_path = argv[1];
    victim_path = argv[2];
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(core, sizeof(core), "%s/image", dir);
    forms_make(&f, dir);
    test_key_in_core_is_found_with_its_file(&f, core);
    test_truncated_core_is_one_clear_error(&f, core);
    test_core_cut_anywhere_is_an_error();
    test_impossible_segments_are_an_error();
    test_damaged_notes_only_cost_names();
    test_core_of_the_kernel_is_searched(&f, dir);
    test_smaps_is_read_line_by_line();
    forms_free(&f);
    run(&got, rm, 0);
    return failed_checks == 0 ? 0 : 1;
}
