/* machine.c - what every CSV says of where it was made. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The value of a line of /proc/cpuinfo. */
static void cpuinfo(const char *key, char *out, size_t room)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[8192];

    snprintf(out, room, "unknown");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        char *colon = strchr(line, ':');

        if (colon != NULL && strncmp(line, key, strlen(key)) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(out, room, "%s", colon + 2);
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

void machine_write(FILE *f)
{
    char model[128], flags[8192];
    struct utsname u = {0};

    cpuinfo("model name", model, sizeof(model));
    cpuinfo("flags", flags, sizeof(flags));
    uname(&u);
    fprintf(f, "# machine: %s, %ld CPUs, protection keys: %s\n", model,
            sysconf(_SC_NPROCESSORS_ONLN),
            strstr(flags, " ospke") != NULL ? "yes" : "no");
    fprintf(f, "# kernel: %s %s\n", u.sysname, u.release);
}

void machine_write_load(FILE *f, const char *when)
{
    double load = 0;

    if (getloadavg(&load, 1) == 1) {
        fprintf(f, "# load average at the %s: %.1f\n", when, load);
    }
}

void csv_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text != '\0'; text++) {
        fputc(*text == '"' ? '\'' : *text, f);
    }
    fputc('"', f);
}
