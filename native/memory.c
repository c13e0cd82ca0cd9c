/* The one place that knows about an operating system. */
#if defined(__linux__)
#define _DEFAULT_SOURCE /* madvise */
#include <sys/mman.h>
#endif

#include "memory.h"

#include <stdint.h>
#include <stdlib.h>

void *new_field(size_t count, size_t item_size) {
    if (count > SIZE_MAX / 2 / item_size) return NULL;
    const size_t size = count * item_size;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    /* glibc keeps smaller blocks for the next call (M_MMAP_THRESHOLD ends at 32 MiB), which is better still. */
    const size_t huge = (size_t)2 << 20, kept = (size_t)32 << 20;
    if (size > kept) {
        const size_t rounded = (size + huge - 1) / huge * huge;
        void *field = aligned_alloc(huge, rounded);
        if (field) (void)madvise(field, rounded, MADV_HUGEPAGE); /* advice: without it the field is only slower */
        return field;
    }
#endif
    return malloc(size ? size : 1);
}
