#include "vkey.h"

struct mpk_ro mpk_ro;
struct mpk_out mpk_out = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
};
struct vk_ro vk_ro;
