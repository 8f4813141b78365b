/*
 * handicaps.h - what a machine can lack, for the process that asks for it,
 * before it has done anything. False: not on this machine.
 */
#ifndef MPK_TEST_HANDICAPS_H
#define MPK_TEST_HANDICAPS_H

#include <stdbool.h>
#include <stddef.h>

bool no_pkey_alloc(void);
bool pkey_alloc_not_allowed(void);
bool pkey_alloc_says_invalid(void);
bool pkey_alloc_says_no_space(void);
bool all_keys_are_taken(void);
bool one_key_is_left(void);
bool no_secretmem(void);
bool secretmem_not_allowed(void);
bool madvise_not_allowed(void);
bool getrandom_not_allowed(void);
bool little_locked_memory(void);
bool locked_memory(size_t bytes);
/* Not even root may read what is nobody's or another process's. */
bool no_capability(void);
bool one_descriptor(void);
/* For who has all that he needs but what the heap will grow by. */
bool no_descriptor(void);
bool some_address_space(void);
bool little_address_space(void);
/* The process has all mappings that it may have but one; and has them no more.
 */
bool one_mapping(void);
void many_mappings(void);
bool no_child_handler(void);
bool no_lock_handler(void);
/* For libcrypto's names of algorithms, of which it then has none. */
bool no_memory_for_names(void);

#endif
