/*
 * sanitize.h - what the sanitizers of gcc and clang have to be told. All of it
 * is nothing in a build without them.
 */
#ifndef MPKCORE_SANITIZE_H
#define MPKCORE_SANITIZE_H

#if defined(__SANITIZE_THREAD__)
#define MPK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MPK_TSAN 1
#endif
#endif

/*
 * The thread sanitizer does not see that the gate's assembly takes a slot,
 * reads the state, and gives the slot back.
 */
#ifdef MPK_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define GATE_ACQUIRE(p) __tsan_acquire((void *)(p))
#define GATE_RELEASE(p) __tsan_release((void *)(p))
#else
#define GATE_ACQUIRE(p) ((void)(p))
#define GATE_RELEASE(p) ((void)(p))
#endif

/* For code that reads all of the domain, the parts between a stack's variables
 * and the words that others are changing included. */
#define MPK_NO_SANITIZE                                                        \
    __attribute__((no_sanitize("address"), no_sanitize("thread")))

#endif
