/* Steepest ascent in two passes: a vectorised one that looks at neighbours, a scalar one that follows pointers.
 *
 * The second pass is linear: a walk ends at the first pixel whose basin is known, and every pixel it crossed is then
 * known too, so each pixel is crossed twice at most.
 */
#include "basins.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    float first, second;
    int32_t direction;
} Highest;

/* Rivals come in raster order: only a strictly higher one wins, so the earliest of equals stays. */
CF_INLINE void challenge(Highest *best, float first, float second, int32_t direction) {
    const int32_t wins = (first > best->first) | ((first == best->first) & (second > best->second));
    best->first = wins ? first : best->first;
    best->second = wins ? second : best->second;
    best->direction = wins ? direction : best->direction;
}

CF_CLONES
static void ascend_four(const float *first, const float *second, ptrdiff_t stride, float floor, size_t width,
                        uint8_t *CF_RESTRICT direction) {
    const float *f_up = first - stride, *f_down = first + stride, *s_up = second - stride, *s_down = second + stride;
    for (size_t x = 0; x < width; x++) {
        Highest best = {f_up[x], s_up[x], 1};
        challenge(&best, (first - 1)[x], (second - 1)[x], 3);
        challenge(&best, first[x], second[x], CF_CENTRE);
        challenge(&best, (first + 1)[x], (second + 1)[x], 5);
        challenge(&best, f_down[x], s_down[x], 7);
        direction[x] = (uint8_t)(first[x] > floor ? best.direction : CF_NONE);
    }
}

CF_CLONES
static void ascend_eight(const float *first, const float *second, ptrdiff_t stride, float floor, size_t width,
                         uint8_t *CF_RESTRICT direction) {
    const float *f_up = first - stride, *f_down = first + stride, *s_up = second - stride, *s_down = second + stride;
    for (size_t x = 0; x < width; x++) {
        Highest best = {(f_up - 1)[x], (s_up - 1)[x], 0};
        challenge(&best, f_up[x], s_up[x], 1);
        challenge(&best, (f_up + 1)[x], (s_up + 1)[x], 2);
        challenge(&best, (first - 1)[x], (second - 1)[x], 3);
        challenge(&best, first[x], second[x], CF_CENTRE);
        challenge(&best, (first + 1)[x], (second + 1)[x], 5);
        challenge(&best, (f_down - 1)[x], (s_down - 1)[x], 6);
        challenge(&best, f_down[x], s_down[x], 7);
        challenge(&best, (f_down + 1)[x], (s_down + 1)[x], 8);
        direction[x] = (uint8_t)(first[x] > floor ? best.direction : CF_NONE);
    }
}

CF_CLONES
static uint32_t count_peaks(const uint8_t *direction, size_t width) {
    uint32_t count = 0;
    for (size_t x = 0; x < width; x++) count += direction[x] == CF_CENTRE;
    return count;
}

static uint32_t find_directions(const Grid *grid, Order order, float floor, Connectivity connectivity,
                                uint8_t *direction) {
    uint32_t peaks = 0;
    memset(direction, CF_NONE, grid->size);
    for (size_t y = 0; y < grid->height; y++) {
        const size_t row = grid_row(grid, y);
        (connectivity == CF_FOUR ? ascend_four : ascend_eight)(order.first + row, order.second + row,
                                                                (ptrdiff_t)grid->stride, floor, grid->width,
                                                                direction + row);
        peaks += count_peaks(direction + row, grid->width);
    }
    return peaks;
}

static void follow(const ptrdiff_t *offsets, size_t p, Basins *basins) {
    const uint8_t *direction = basins->direction;
    uint32_t *basin = basins->basin;
    size_t q = p;
    while (!basin[q] && direction[q] != CF_CENTRE) q += (size_t)offsets[direction[q]];
    if (!basin[q]) {
        basins->count++;
        basins->peak[basins->count] = (uint32_t)q;
        basin[q] = basins->count;
    }
    const uint32_t found = basin[q];
    for (q = p; basin[q] != found; q += (size_t)offsets[direction[q]]) basin[q] = found;
}

cf_status find_basins(const Grid *grid, Order order, float floor, Connectivity connectivity, Basins *basins) {
    const size_t peaks = find_directions(grid, order, floor, connectivity, basins->direction);
    basins->count = 0;
    basins->peak = malloc((peaks + 1) * sizeof *basins->peak);
    if (!basins->peak) return CF_NO_MEMORY;

    ptrdiff_t offsets[CF_DIRECTIONS];
    direction_offsets(grid, offsets);
    memset(basins->basin, 0, grid->size * sizeof *basins->basin);
    for (size_t y = 0; y < grid->height; y++) {
        const size_t row = grid_row(grid, y);
        for (size_t p = row; p < row + grid->width; p++)
            if (basins->direction[p] != CF_NONE && !basins->basin[p]) follow(offsets, p, basins);
    }
    return CF_OK;
}
