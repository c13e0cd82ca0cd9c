/* A search from the first pixel of each background region that could be a hole; open background is told apart early. */
#include "holes.h"

#include <stdlib.h>
#include <string.h>

/* Marks on background pixels while holes are searched; no label is as large. */
#define OPEN 0x80000000u    /* its background component is known to be no hole */
#define VISITED 0x80000001u /* belongs to the hole that is being looked at */

typedef struct {
    uint32_t *labels;
    size_t height, width, largest;
    size_t *pixels; /* of the hole, `largest` at most */
    size_t count;
    uint32_t owner; /* the one object around it; CF_UNKNOWN until one is met */
    int unsure;     /* CF_UNKNOWN is around it, too */
    uint8_t *marks; /* a row, filled up to a multiple of 8 */
} HoleSearch;

/* May `value` stand beside a hole whose owner is, as far as one knows, `owner`? */
CF_INLINE int may_surround(uint32_t value, uint32_t owner) {
    return value == owner || value == CF_UNKNOWN || (owner == CF_UNKNOWN && value != 0);
}

/* Returns 0 when the neighbour shows that this is no hole, whatever the unknown may be. */
static int take_neighbour(HoleSearch *search, size_t start, size_t q) {
    const uint32_t value = search->labels[q];
    if (value == VISITED) return 1;
    if (value != 0) {
        if (value == CF_UNKNOWN) search->unsure = 1;
        if (value == OPEN || !may_surround(value, search->owner)) return 0;
        if (search->owner == CF_UNKNOWN) search->owner = value;
        return 1;
    }
    /* Background before the start would have been searched, and filled, from its own first pixel. */
    if (q < start || search->count == search->largest) return 0;
    search->labels[q] = VISITED;
    search->pixels[search->count++] = q;
    return 1;
}

static int may_be_hole(HoleSearch *search, size_t start) {
    const size_t width = search->width;
    search->count = 0;
    search->owner = CF_UNKNOWN;
    search->unsure = 0;
    take_neighbour(search, start, start);
    for (size_t i = 0; i < search->count; i++) {
        const size_t p = search->pixels[i], y = p / width, x = p % width;
        if (y == 0 || x == 0 || y + 1 == search->height || x + 1 == width) return 0;
        if (!take_neighbour(search, start, p - width) || !take_neighbour(search, start, p - 1) ||
            !take_neighbour(search, start, p + 1) || !take_neighbour(search, start, p + width))
            return 0;
    }
    return 1;
}

/* marks[x] = may a hole begin here? Its first pixel has its owner, or the unknown, above and to the left. */
CF_CLONES
static void mark_corners(const uint32_t *row, const uint32_t *above, size_t width, uint8_t *CF_RESTRICT marks) {
    for (size_t x = 1; x < width; x++) {
        const uint32_t up = above[x], left = row[x - 1];
        const int alike = (up == left) | (up == CF_UNKNOWN) | (left == CF_UNKNOWN);
        marks[x] = (uint8_t)((row[x] == 0) & (up != 0) & (left != 0) & alike);
    }
}

/* The first row of a hole ends soon, at its owner, and lies below it. Tells open background apart quickly. */
static int begins_hole(const HoleSearch *search, size_t p) {
    const uint32_t *here = search->labels + p, *above = here - search->width;
    const uint32_t owner = here[-1] == CF_UNKNOWN ? above[0] : here[-1];
    const size_t rest = search->width - p % search->width;
    size_t n = 0;
    while (n < rest && n < search->largest && here[n] == 0 && may_surround(above[n], owner)) n++;
    return n < rest && may_surround(here[n], owner);
}

static void search_hole(HoleSearch *search, size_t p) {
    uint32_t filling = OPEN;
    if (may_be_hole(search, p)) filling = search->unsure ? CF_UNKNOWN : search->owner;
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
    for (size_t p = 0; p < size; p++) labels[p] = labels[p] == OPEN ? 0 : labels[p];
}

cf_status fill_holes(size_t height, size_t width, size_t largest, uint32_t *labels) {
    const size_t pixels = height * width;
    HoleSearch search = {.labels = labels, .height = height, .width = width};
    search.largest = largest < pixels ? largest : pixels;
    if (search.largest == 0) return CF_OK;
    search.pixels = malloc(search.largest * sizeof *search.pixels);
    search.marks = calloc((width + 7) / 8, 8);
    const cf_status status = search.pixels && search.marks ? CF_OK : CF_NO_MEMORY;
    if (status == CF_OK) {
        scan_holes(&search);
        clear_marks(labels, pixels);
    }
    free(search.marks);
    free(search.pixels);
    return status;
}
