/* group.c, whose locks group_blocks_test.c hears of. */
#include "../../mpkcore/lock.h"

#include "group_spied.h"

#define lock_take spied_lock_take

#include "../../mpkcore/group.c"
