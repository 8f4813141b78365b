/*
 * layout.h - offsets and constants that C and the gate's assembly share.
 *
 * The reserved range, from low to high addresses:
 *
 *   base                                                              end
 *   | slot N-1 | ... | slot 0 | control | alive | marks | heap ... |
 *   | groups ... | table | list |
 *
 * A slot is a stack with pages that are never mapped below it and its control
 * block on top. Slots are made downwards as more threads are inside at once,
 * the heap is committed upwards, so slot 0, control and heap are contiguous.
 * Behind the heap come the page groups of the inside, the inside's view of the
 * table of virtual keys, and a page with the list of what fork copies.
 */
#ifndef MPKCORE_LAYOUT_H
#define MPKCORE_LAYOUT_H

#define MPK_PAGE 4096
#define MPK_SLOTS 64
/*
 * The core's own: for boot, for fork, and to make a stack when all others are
 * taken. And how many there are at first.
 */
#define MPK_CORE_SLOT 0
#define MPK_FIRST_SLOTS 2
#define MPK_SLOT_SHIFT 17
#define MPK_SLOT_SIZE (1 << MPK_SLOT_SHIFT)
/* What is never mapped below a stack: more than any function's frame has. */
#ifdef MPK_SANITIZED /* whose reports take more stack than all else */
#define MPK_SLOT_GUARD MPK_PAGE
#else
#define MPK_SLOT_GUARD (17 * MPK_PAGE)
#endif
/* The control block is this far below the top of its slot. */
#define MPK_SLOT_CTRL 8192

/* struct mpk_ro */
#define MPK_RO_MASK 0
#define MPK_RO_CPU 4
#define MPK_RO_ALIVE 8
#define MPK_RO_SLOT0 16
#define MPK_RO_BASE 24
#define MPK_RO_END 32
#define MPK_RO_MODULE 40
#define MPK_RO_MODULE_END 48
#define MPK_RO_MARKS 56

/* ... and those of rights.S, away from the ones above. */
#define MPK_RO_CLOSED 512
#define MPK_RO_COOKIE 520

/* struct vk_row and struct vk_pin, for hit.S */
#define MPK_ROW_VKEY 0
#define MPK_ROW_HIT 8
#define MPK_PIN_COUNT 0
#define MPK_PIN_USES 4
#define MPK_PIN_BEFORE 8

/* struct mpk_slot */
#define MPK_SLOT_BUSY 0
#define MPK_SLOT_RSP 8
#define MPK_SLOT_LIGHT_RSP 16
#define MPK_SLOT_MARK 24
#define MPK_SLOT_CHILD_MARK 32

/* The page with the marks: those of a child behind the others. */
#define MPK_CHILD_MARKS (8 * MPK_SLOTS)

/* With the slot's number: stay on the caller's stack. */
#define MPK_GATE_LIGHT 0x100
/*
 * What a light entry may use of the caller's stack, and what is wiped of it: a
 * cipher's 1240 bytes (test/unit/light_stack_test.c), and below them the frame
 * of a signal, which has 3.5 KiB with AVX-512 and protection keys.
 */
#define MPK_LIGHT_STACK 5120
/*
 * The upper part of it, which is written without a look; 12 vectors of 32 bytes
 * for each 28 that the rest has (gate.S).
 */
#define MPK_LIGHT_USED 1536
/* The result when that stack is not outside the domain: -EFAULT. */
#define MPK_LIGHT_REFUSED -14

/* Values of the word on the alive page; a kernel-wiped page reads DEAD. */
#define MPK_STATE_DEAD 0
#define MPK_STATE_OPEN 1
#define MPK_STATE_FORKING 2

/* Status that the gate returns beside the result. */
#define MPK_GATE_OK 0
#define MPK_GATE_BUSY 1
#define MPK_GATE_FORKING 2
#define MPK_GATE_DEAD 3
#define MPK_GATE_OWN 4 /* the slot is this thread's, interrupted: -EDEADLK */
#define MPK_OWN_REFUSED -35

/* Entries up to this one may run while the state is not OPEN. */
#define MPK_LAST_CORE_ENTRY 1

#define MPK_CPU_AVX 1
#define MPK_CPU_AVX512 2
#define MPK_CPU_AVX2 4 /* and a look at stale memory is no error (core.c) */

#endif
