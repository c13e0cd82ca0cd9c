/* Small objects, numbering, holes. */
#include "objects.h"

#include <stdlib.h>
#include <string.h>

#include "flood.h"

/* Area of every label, and the labels in the order of their first pixels; returns how many there are. */
static uint32_t survey(const Grid *grid, const uint32_t *labelled, uint32_t *area, uint32_t *order) {
    uint32_t count = 0;
    for (size_t y = 0; y < grid->height; y++) {
        const uint32_t *row = labelled + grid_row(grid, y);
        for (size_t x = 0; x < grid->width;) {
            const size_t from = x;
            const uint32_t value = row[x], label = value & ~CF_LABELLED;
            while (++x < grid->width && row[x] == value) {
            }
            if (label && area[label] == 0) order[count++] = label;
            area[label] += (uint32_t)(x - from);
        }
    }
    return count;
}

/* Turn areas into final labels, 0 for what is dropped; returns the number of objects. */
static uint32_t number_objects(const uint32_t *order, uint32_t count, size_t smallest, uint32_t *area) {
    uint32_t objects = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t label = order[i];
        area[label] = area[label] >= smallest ? ++objects : 0;
    }
    area[0] = 0;
    return objects;
}

CF_CLONES
static void write_row(const uint32_t *labelled, const uint32_t *number, size_t width, uint32_t *CF_RESTRICT labels) {
    for (size_t x = 0; x < width; x++) labels[x] = number[labelled[x] & ~CF_LABELLED];
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
        if (label) pixel[label - 1] = image_index(grid, seeds->pixel[k]);
    }
    free(seeds->pixel);
    seeds->pixel = pixel;
    seeds->count = count;
    return CF_OK;
}

/* Marks on background pixels while holes are searched. */
#define OPEN (CF_LABELLED | 0u)    /* its background component is known to be no hole */
#define VISITED (CF_LABELLED | 1u) /* belongs to the hole that is being looked at */

typedef struct {
    uint32_t *labels;
    size_t height, width, largest;
    size_t *pixels; /* of the hole, `largest` at most */
    size_t count;
    uint8_t *marks; /* a row, filled up to a multiple of 8 */
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

/* marks[x] = may a hole begin here? Its first pixel has its owner above and to the left. */
CF_CLONES
static void mark_corners(const uint32_t *row, const uint32_t *above, size_t width, uint8_t *CF_RESTRICT marks) {
    for (size_t x = 1; x < width; x++) marks[x] = (row[x] == 0) & (row[x - 1] == above[x]) & (above[x] != 0);
}

/* The first row of a hole ends soon, at its owner, and lies below it. Tells open background apart quickly. */
static int begins_hole(const HoleSearch *search, size_t p) {
    const uint32_t *here = search->labels + p, *above = here - search->width, owner = here[-1];
    const size_t rest = search->width - p % search->width;
    size_t n = 0;
    while (n < rest && n < search->largest && here[n] == 0 && above[n] == owner) n++;
    return n < rest && here[n] == owner;
}

static void search_hole(HoleSearch *search, size_t p) {
    const uint32_t owner = search->labels[p - 1];
    const uint32_t filling = is_hole(search, p, owner) ? owner : OPEN;
    for (size_t i = 0; i < search->count; i++) search->labels[search->pixels[i]] = filling;
}

/* Pixels of what proved to be no hole are marked, so that they are not searched again: the search is linear. */
static void scan_holes(HoleSearch *search) {
    const size_t width = search->width;
    for (size_t y = 1; y < search->height; y++) {
        uint32_t *row = search->labels + y * width;
        mark_corners(row, row - width, width, search->marks);
        for (size_t x = 0; x < width; x += 8) {
            uint64_t eight; /* corners are rare: skip eight at a time */
            memcpy(&eight, search->marks + x, 8);
            for (size_t i = x; eight && i < x + 8; i++)
                if (search->marks[i] && row[i] == 0 && begins_hole(search, y * width + i))
                    search_hole(search, y * width + i);
        }
    }
}

CF_CLONES
static void clear_marks(uint32_t *labels, size_t size) {
    for (size_t p = 0; p < size; p++) labels[p] &= labels[p] & CF_LABELLED ? 0 : UINT32_MAX;
}

static cf_status fill_holes(const Grid *grid, size_t largest, uint32_t *labels) {
    const size_t pixels = grid->height * grid->width;
    HoleSearch search = {.labels = labels, .height = grid->height, .width = grid->width};
    search.largest = largest < pixels ? largest : pixels;
    if (search.largest == 0) return CF_OK;
    search.pixels = malloc(search.largest * sizeof *search.pixels);
    search.marks = calloc((grid->width + 7) / 8, 8);
    const cf_status status = search.pixels && search.marks ? CF_OK : CF_NO_MEMORY;
    if (status == CF_OK) {
        scan_holes(&search);
        clear_marks(labels, pixels);
    }
    free(search.marks);
    free(search.pixels);
    return status;
}

cf_status collect_objects(const Grid *grid, const uint32_t *labelled, size_t smallest, size_t largest_hole,
                          Seeds *seeds, uint32_t *labels) {
    uint32_t *number = calloc((size_t)seeds->count + 1, sizeof *number);
    uint32_t *order = malloc(((size_t)seeds->count + 1) * sizeof *order);
    cf_status status = number && order ? CF_OK : CF_NO_MEMORY;
    if (status == CF_OK) {
        const uint32_t found = survey(grid, labelled, number, order);
        const uint32_t count = number_objects(order, found, smallest, number);
        for (size_t y = 0; y < grid->height; y++)
            write_row(labelled + grid_row(grid, y), number, grid->width, labels + y * grid->width);
        status = reorder_seeds(grid, number, count, seeds);
    }
    free(order);
    free(number);
    return status == CF_OK ? fill_holes(grid, largest_hole, labels) : status;
}
