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

static void find_directions(const Grid *grid, Order order, float floor, Connectivity connectivity,
                            uint8_t *direction) {
    const ptrdiff_t stride = (ptrdiff_t)grid->stride;
    memset(direction, CF_NONE, grid->size);
    for (size_t y = 0; y < grid->height; y++) {
        const size_t row = grid_row(grid, y);
        if (connectivity == CF_FOUR)
            ascend_four(order.first + row, order.second + row, stride, floor, grid->width, direction + row);
        else
            ascend_eight(order.first + row, order.second + row, stride, floor, grid->width, direction + row);
    }
}

static cf_status list_peaks(const Grid *grid, Basins *basins) {
    const uint8_t *p = basins->direction, *end = p + grid->size;
    size_t capacity = 0;
    while ((p = memchr(p, CF_CENTRE, (size_t)(end - p))) != NULL) {
        if ((size_t)basins->count + 1 >= capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            uint32_t *peak = realloc(basins->peak, capacity * sizeof *peak);
            if (!peak) return CF_NO_MEMORY;
            basins->peak = peak;
        }
        basins->peak[++basins->count] = (uint32_t)(p++ - basins->direction);
    }
    return CF_OK;
}

cf_status find_peaks(const Grid *grid, Order order, float floor, Connectivity connectivity, Basins *basins) {
    basins->count = 0;
    basins->peak = NULL;
    find_directions(grid, order, floor, connectivity, basins->direction);
    return list_peaks(grid, basins);
}

typedef struct {
    const Grid *grid;
    const uint8_t *direction;
    uint32_t *basin;
    ptrdiff_t offsets[CF_DIRECTIONS];
    uint32_t *waiting; /* pixels of a row whose next pixel uphill has no basin yet */
} Ascent;

/* Everyone in the row learns what the next pixel uphill knows. There are no branches: what it knows cannot be
 * predicted, and a wrong guess costs as much as ten pixels. */
static size_t ask_uphill(const Ascent *a, size_t row) {
    uint32_t *basin = a->basin;
    size_t count = 0;
    for (size_t p = row; p < row + a->grid->width; p++) {
        const uint8_t direction = a->direction[p];
        const uint32_t known = basin[(ptrdiff_t)p + a->offsets[direction]];
        basin[p] = known;
        a->waiting[count] = (uint32_t)p;
        count += (direction != CF_NONE) & (known == 0);
    }
    return count;
}

/* Take the basin of the first pixel uphill that has one, for p and for every pixel in between. */
static void follow(const Ascent *a, size_t p) {
    size_t q = p;
    while (!a->basin[q]) q += (size_t)a->offsets[a->direction[q]];
    const uint32_t found = a->basin[q];
    for (; p != q; p += (size_t)a->offsets[a->direction[p]]) a->basin[p] = found;
}

cf_status find_basins(const Grid *grid, Basins *basins) {
    Ascent ascent = {.grid = grid, .direction = basins->direction, .basin = basins->basin};
    ascent.waiting = malloc((grid->width + 1) * sizeof *ascent.waiting);
    if (!ascent.waiting) return CF_NO_MEMORY;
    direction_offsets(grid, ascent.offsets);
    memset(basins->basin, 0, grid->size * sizeof *basins->basin);
    for (uint32_t b = 1; b <= basins->count; b++) basins->basin[basins->peak[b]] = b;
    for (size_t y = 0; y < grid->height; y++) {
        const size_t count = ask_uphill(&ascent, grid_row(grid, y));
        for (size_t i = 0; i < count; i++) follow(&ascent, ascent.waiting[i]);
    }
    free(ascent.waiting);
    return CF_OK;
}
