/*
 * sanitize.h - what the sanitizers of gcc and clang have to be told. All of it
 * is nothing in a build without them.
 */
#ifndef MPKCORE_SANITIZE_H
#define MPKCORE_SANITIZE_H

#include <stddef.h>

#if defined(__SANITIZE_THREAD__)
#define MPK_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define MPK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MPK_TSAN 1
#elif __has_feature(address_sanitizer)
#define MPK_ASAN 1
#endif
#endif

/*
 * The thread sanitizer does not see that the gate's assembly takes a slot,
 * reads the state, and gives the slot back.
 */
#ifdef MPK_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
void AnnotateBenignRaceSized(const char *file, int line,
                             const volatile void *addr, size_t len,
                             const char *why);
#define GATE_ACQUIRE(p) __tsan_acquire((void *)(p))
#define GATE_RELEASE(p) __tsan_release((void *)(p))
/* What threads are to write to at once. */
#define RACED_ON_PURPOSE(p, len)                                               \
    AnnotateBenignRaceSized(__FILE__, __LINE__, p, len, #p)
#else
#define GATE_ACQUIRE(p) ((void)(p))
#define GATE_RELEASE(p) ((void)(p))
#define RACED_ON_PURPOSE(p, len) ((void)(p), (void)(len))
#endif

/*
 * The address sanitizer takes the frames that a cancelled thread has left,
 * below the one that says so, for live ones, and what is put there later for an
 * overflow. (__asan_handle_no_return itself puts something there.)
 */
#ifdef MPK_ASAN
void __asan_unpoison_memory_region(const volatile void *addr, size_t len);
#define FRAMES_ABANDONED(len)                                                  \
    __asan_unpoison_memory_region((char *)__builtin_frame_address(0) - (len),  \
                                  len)
#else
#define FRAMES_ABANDONED(len) ((void)(len))
#endif

/* For code that reads all of the domain, the parts between a stack's variables
 * and the words that others are changing included. */
#define MPK_NO_SANITIZE                                                        \
    __attribute__((no_sanitize("address"), no_sanitize("thread")))

#endif
