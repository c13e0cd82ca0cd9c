/* Small objects, numbering, holes. */
#include "objects.h"

#include <stdlib.h>
#include <string.h>

#include "flood.h"

enum { UNSEEN = 0 };
static const uint32_t DROPPED = UINT32_MAX;

static void count_areas(const Grid *grid, const uint32_t *labelled, uint32_t *area) {
    for (size_t y = 0; y < grid->height; y++) {
        const uint32_t *row = labelled + grid_row(grid, y);
        for (size_t x = 0; x < grid->width;) {
            const size_t from = x;
            while (++x < grid->width && row[x] == row[from]) {
            }
            area[row[from] & ~CF_LABELLED] += (uint32_t)(x - from);
        }
    }
}

/* `number` holds per seed label: UNSEEN or DROPPED at first, the final label after the first pixel. */
static uint32_t number_objects(const Grid *grid, const uint32_t *labelled, uint32_t *number, uint32_t *labels) {
    uint32_t count = 0;
    for (size_t y = 0; y < grid->height; y++) {
        const uint32_t *row = labelled + grid_row(grid, y);
        uint32_t *out = labels + y * grid->width;
        for (size_t x = 0; x < grid->width; x++) {
            const uint32_t label = row[x] & ~CF_LABELLED;
            if (label && number[label] == UNSEEN) number[label] = ++count;
            out[x] = label && number[label] != DROPPED ? number[label] : 0;
        }
    }
    return count;
}

static uint32_t image_index(const Grid *grid, uint32_t pixel) {
    const size_t y = pixel / grid->stride - 1, x = pixel % grid->stride - 1;
    return (uint32_t)(y * grid->width + x);
}

static cf_status reorder_seeds(const Grid *grid, const uint32_t *number, uint32_t count, Seeds *seeds) {
    uint32_t *pixel = malloc(((size_t)count + 1) * sizeof *pixel);
    if (!pixel) return CF_NO_MEMORY;
    for (uint32_t k = 0; k < seeds->count; k++) {
        const uint32_t label = number[k + 1];
        if (label != UNSEEN && label != DROPPED) pixel[label - 1] = image_index(grid, seeds->pixel[k]);
    }
    free(seeds->pixel);
    seeds->pixel = pixel;
    seeds->count = count;
    return CF_OK;
}

/* Marks on background pixels, always at or after the scan's position; none is left when the scan has passed. */
#define OPEN (CF_LABELLED | 0u)    /* its background component is known to be no hole */
#define VISITED (CF_LABELLED | 1u) /* belongs to the hole that is being looked at */

typedef struct {
    uint32_t *labels;
    size_t height, width, largest;
    size_t *pixels; /* of the hole, `largest` at most */
    size_t count;
} HoleSearch;

/* Returns 0 when the neighbour shows that this is no hole of `owner`. */
static int take_neighbour(HoleSearch *search, size_t start, size_t q, uint32_t owner) {
    const uint32_t value = search->labels[q];
    if (value == owner || value == VISITED) return 1;
    /* Background before the start would have been searched, and filled, from its own first pixel. */
    if (value != 0 || q < start || search->count == search->largest) return 0;
    search->labels[q] = VISITED;
    search->pixels[search->count++] = q;
    return 1;
}

static int is_hole(HoleSearch *search, size_t start, uint32_t owner) {
    const size_t width = search->width;
    search->count = 0;
    take_neighbour(search, start, start, owner);
    for (size_t i = 0; i < search->count; i++) {
        const size_t p = search->pixels[i], y = p / width, x = p % width;
        if (y == 0 || x == 0 || y + 1 == search->height || x + 1 == width) return 0;
        if (!take_neighbour(search, start, p - width, owner) || !take_neighbour(search, start, p - 1, owner) ||
            !take_neighbour(search, start, p + 1, owner) || !take_neighbour(search, start, p + width, owner))
            return 0;
    }
    return 1;
}

/* A hole's first pixel has its owner above and to the left. Pixels of what proved to be no hole are marked, so that
 * they are not searched again: the search is linear. */
static void scan_holes(HoleSearch *search) {
    for (size_t y = 0; y < search->height; y++) {
        uint32_t *row = search->labels + y * search->width;
        for (size_t x = 0; x < search->width; x++) {
            if (row[x] & CF_LABELLED) row[x] = 0;
            else if (row[x] == 0 && y && x && row[x - 1] && row[x - 1] == *(row + x - search->width)) {
                const uint32_t owner = row[x - 1];
                const uint32_t filling = is_hole(search, y * search->width + x, owner) ? owner : OPEN;
                for (size_t i = 0; i < search->count; i++) search->labels[search->pixels[i]] = filling;
                if (row[x] == OPEN) row[x] = 0;
            }
        }
    }
}

static cf_status fill_holes(const Grid *grid, size_t largest, uint32_t *labels) {
    const size_t pixels = grid->height * grid->width;
    HoleSearch search = {labels, grid->height, grid->width, largest < pixels ? largest : pixels, NULL, 0};
    if (search.largest == 0) return CF_OK;
    search.pixels = malloc(search.largest * sizeof *search.pixels);
    if (!search.pixels) return CF_NO_MEMORY;
    scan_holes(&search);
    free(search.pixels);
    return CF_OK;
}

cf_status collect_objects(const Grid *grid, const uint32_t *labelled, size_t smallest, size_t largest_hole,
                          Seeds *seeds, uint32_t *labels) {
    uint32_t *number = calloc((size_t)seeds->count + 1, sizeof *number);
    if (!number) return CF_NO_MEMORY;
    if (smallest > 1) {
        count_areas(grid, labelled, number);
        for (uint32_t k = 1; k <= seeds->count; k++) number[k] = number[k] < smallest ? DROPPED : UNSEEN;
    }
    const uint32_t count = number_objects(grid, labelled, number, labels);
    cf_status status = reorder_seeds(grid, number, count, seeds);
    free(number);
    if (status == CF_OK) status = fill_holes(grid, largest_hole, labels);
    return status;
}
