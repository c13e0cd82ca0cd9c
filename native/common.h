/* Words that all native sources share: compiler portability, the padded pixel grid, the total order of pixels.
 *
 * Nothing below module.c knows Python: these files compile into any C11 program.
 */
#ifndef CELLFLEET_COMMON_H
#define CELLFLEET_COMMON_H

#include <stddef.h>
#include <stdint.h>

#define CF_RESTRICT __restrict

#if defined(_MSC_VER)
#define CF_INLINE static __forceinline
#else
#define CF_INLINE static inline __attribute__((always_inline))
#endif

/* The wheel is built for the oldest x86-64. Hot row loops get a second copy for AVX2, chosen when the library is
 * loaded. AVX2 alone brings no fused multiply-add, so both copies give the same bits. Needs ifunc: glibc only. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(CF_NO_CLONES)
#define CF_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CF_CLONES
#endif

typedef enum { CF_OK = 0, CF_NO_MEMORY = -1, CF_OUTSIDE = -2 } cf_status;

/* A field with a border of one pixel on every side, so that no neighbour needs a bounds check.
 * Pixel (y, x) stands at index (y + 1) * stride + x + 1; index 0 is never a pixel and serves as "none".
 * The order of indices is the raster order of the image. */
typedef struct {
    size_t height, width; /* of the image, without the border */
    size_t stride;        /* width + 2 */
    size_t size;          /* (height + 2) * stride: at most CF_MAX_PIXELS, so that indices fit uint32_t */
} Grid;

#define CF_MAX_PIXELS ((size_t)4294967294u)

CF_INLINE size_t grid_row(const Grid *grid, size_t y) { return (y + 1) * grid->stride + 1; }

/* The total order that makes every field free of ties: the value in the first field, then in the second, then the
 * earlier pixel in raster order. */
typedef struct {
    const float *first, *second;
} Order;

CF_INLINE int higher(Order order, uint32_t p, uint32_t q) {
    if (order.first[p] != order.first[q]) return order.first[p] > order.first[q];
    if (order.second[p] != order.second[q]) return order.second[p] > order.second[q];
    return p < q;
}

/* Directions are numbered in raster order of the neighbour, so that "the first of equals" is the earliest pixel. */
enum { CF_CENTRE = 4, CF_NONE = 9, CF_DIRECTIONS = 10 };

CF_INLINE void direction_offsets(const Grid *grid, ptrdiff_t offsets[CF_DIRECTIONS]) {
    for (int d = 0; d < 9; d++) offsets[d] = (d / 3 - 1) * (ptrdiff_t)grid->stride + (d % 3 - 1);
    offsets[CF_NONE] = 0;
}

#endif
