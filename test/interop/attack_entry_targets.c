#include "attack_entry_targets.h"

#include "../../mpkcore/state.h"
#include "../attack/module.h"
#include "attack_entry.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

struct target targets[TARGETS];
bool below_is_ours;
char *readable;

/* What is read or written across an edge begins in good memory, and a name
 * there has no end before the edge. */
static bool map_neighbour(char *page)
{
    if (mmap(page, 4096, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
             0) != page) {
        return false;
    }
    memset(page, 'x', 4096);
    return true;
}

void find_targets(void)
{
    struct mpk_info i;
    char *heap_block;

    CHECK_INT(info(&i), 0);
    heap_block = (char *)(uintptr_t)i.base + (size_t)MPK_SLOTS * MPK_SLOT_SIZE +
                 MPK_CONTROL_SIZE + 3 * MPK_PAGE;
    below_is_ours = map_neighbour((char *)(uintptr_t)i.base - 4096);
    if (!below_is_ours) { /* seen with a sanitizer's memory there */
        interop_skip("names across the lower edge: the page below the domain "
                     "is not the test's to fill");
    }
    map_neighbour((char *)(uintptr_t)i.base + i.size);
    /* Behind what the core keeps there, and below the pages of fork's:
     * nobody writes there. Of a free block the heap would wipe the traces. */
    readable = heap_block - 2 * 4096 - 64;
    targets[0] = (struct target){"the core's own data", readable, 64, false};
    targets[8] = (struct target){"the heap", heap_block + 65536, 64, false};
    if (i.backend != MPK_BACKEND_NONE) {
        readable = NULL;
    }
    targets[1] = (struct target){"the lowest stack", (char *)(uintptr_t)i.base,
                                 64, false};
    targets[2] = (struct target){"across the lower edge",
                                 (char *)(uintptr_t)i.base - 8, 64, false};
    targets[3] =
        (struct target){"across the upper edge",
                        (char *)(uintptr_t)i.base + i.size - 8, 64, false};
    targets[4] = (struct target){
        "over all of it", (char *)(uintptr_t)i.base - 8, SIZE_MAX / 4, false};
    targets[5] =
        (struct target){"a sum that wraps", (char *)room, SIZE_MAX, false};
    targets[6] = (struct target){"the top of all addresses",
                                 (char *)(UINTPTR_MAX - 15), 64, true};
    targets[7] = (struct target){"null", NULL, 64, false};
    /* The domain's where there are keys, and else what anybody has. */
    targets[9] =
        i.backend == MPK_BACKEND_MPK
            ? (struct target){"the module's data",
                              module_find_symbol("mpkprov_inner"), 64, false}
            : targets[8];
}
