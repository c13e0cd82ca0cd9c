/* Small objects, numbering, completeness. */
#include "objects.h"

#include <stdlib.h>
#include <string.h>

#include "flood.h"
#include "holes.h"

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

/* marks[x] = is one of pixel x and its neighbours to the right and below unknown, and another not? */
CF_CLONES
static void mark_rims(const uint32_t *row, const uint32_t *below, size_t width, uint32_t unknown,
                      uint8_t *CF_RESTRICT marks) {
    for (size_t x = 0; x < width; x++) marks[x] = (row[x] == unknown) ^ (below[x] == unknown);
    for (size_t x = 0; x + 1 < width; x++) marks[x] |= (row[x] == unknown) ^ (row[x + 1] == unknown);
}

static void note_pair(uint32_t a, uint32_t b, uint32_t unknown, uint8_t *beside) {
    if (a == unknown) beside[b & ~CF_LABELLED] = 1;
    if (b == unknown) beside[a & ~CF_LABELLED] = 1;
}

static void note_row(const uint32_t *row, const uint32_t *below, size_t width, uint32_t unknown,
                     const uint8_t *marks, uint8_t *beside) {
    for (size_t x = 0; x < width; x += 8) {
        uint64_t eight; /* rims are rare: skip eight at a time */
        memcpy(&eight, marks + x, 8);
        for (size_t i = x; eight && i < x + 8; i++) {
            if (!marks[i]) continue;
            if (row[i] != below[i]) note_pair(row[i], below[i], unknown, beside);
            if (i + 1 < width && row[i] != row[i + 1]) note_pair(row[i], row[i + 1], unknown, beside);
        }
    }
}

/* beside[k] = 1 for every label k that has a pixel beside one of the label `unknown`. `labels` points to the block's
 * first pixel; its values may bear CF_LABELLED. */
static cf_status find_beside(const Known *known, const uint32_t *labels, size_t stride, uint32_t unknown,
                             uint8_t *beside) {
    const size_t width = known->right - known->left;
    uint8_t *marks = calloc((width + 7) / 8, 8); /* a row, filled up to a multiple of 8 */
    if (!marks) return CF_NO_MEMORY;
    for (size_t y = known->top; y < known->bottom; y++) {
        const uint32_t *row = labels + y * stride + known->left, *below = y + 1 < known->bottom ? row + stride : row;
        mark_rims(row, below, width, unknown, marks);
        note_row(row, below, width, unknown, marks, beside);
    }
    free(marks);
    return CF_OK;
}

/* Turn areas into final labels: 0 for what is dropped, CF_UNKNOWN for what may have to be dropped, and for the label
 * `unknown` itself. Returns the number of objects. */
static uint32_t number_objects(const uint32_t *order, uint32_t count, size_t smallest, uint32_t unknown,
                               const uint8_t *beside, uint32_t *area) {
    uint32_t objects = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t label = order[i];
        if (label == unknown)
            area[label] = CF_UNKNOWN;
        else if (area[label] >= smallest)
            area[label] = ++objects;
        else
            area[label] = beside[label] ? CF_UNKNOWN : 0;
    }
    area[0] = 0;
    return objects;
}

CF_CLONES
static void write_row(const uint32_t *labelled, const uint32_t *number, size_t width, uint32_t *CF_RESTRICT labels) {
    for (size_t x = 0; x < width; x++) labels[x] = number[labelled[x] & ~CF_LABELLED];
}

static void fill_unknown(uint32_t *labels, size_t from, size_t to) {
    for (size_t p = from; p < to; p++) labels[p] = CF_UNKNOWN;
}

static void write_labels(const Grid *grid, const Known *known, const uint32_t *labelled, const uint32_t *number,
                         uint32_t *labels) {
    size_t from = 0; /* first pixel after what is known of the rows so far */
    for (size_t y = known->top; y < known->bottom; y++) {
        const size_t row = y * grid->width;
        fill_unknown(labels, from, row + known->left);
        write_row(labelled + grid_row(grid, y) + known->left, number, known->right - known->left,
                  labels + row + known->left);
        from = row + known->right;
    }
    fill_unknown(labels, from, grid->height * grid->width);
}

static uint32_t image_index(const Grid *grid, uint32_t pixel) {
    const size_t y = pixel / grid->stride - 1, x = pixel % grid->stride - 1;
    return (uint32_t)(y * grid->width + x);
}

static cf_status list_seeds(const Grid *grid, const Seeds *seeds, const uint32_t *number, Objects *objects) {
    objects->seed = malloc(((size_t)objects->count + 1) * sizeof *objects->seed);
    if (!objects->seed) return CF_NO_MEMORY;
    for (uint32_t k = 0; k < seeds->certain; k++) {
        const uint32_t label = number[k + 1];
        if (label && label != CF_UNKNOWN) objects->seed[label - 1] = image_index(grid, seeds->pixel[k]);
    }
    return CF_OK;
}

/* Judged at the very end, so that a hole that may or may not be filled keeps its object from being complete. */
static cf_status judge_completeness(const Grid *grid, const Known *known, Objects *objects) {
    uint8_t *beside = calloc((size_t)objects->count + 1, 1);
    objects->complete = malloc((size_t)objects->count + 1);
    cf_status status = beside && objects->complete ? CF_OK : CF_NO_MEMORY;
    if (status == CF_OK && !all_known(known, grid))
        status = find_beside(known, objects->labels, grid->width, CF_UNKNOWN, beside);
    for (uint32_t k = 0; k < objects->count && status == CF_OK; k++) objects->complete[k] = !beside[k + 1];
    free(beside);
    return status;
}

typedef struct {
    uint32_t *number; /* of a label of `labelled`: first its area, then its final label */
    uint32_t *order;
    uint8_t *beside;
} Tables;

static cf_status collect(const Grid *grid, const Known *known, const uint32_t *labelled, const Seeds *seeds,
                         size_t smallest, const Tables *tables, Objects *objects) {
    const uint32_t unknown = seeds->certain + 1;
    const uint32_t found = survey(grid, labelled, tables->number, tables->order);
    if (!all_known(known, grid) && find_beside(known, labelled + grid_row(grid, 0), grid->stride,
                                               CF_LABELLED | unknown, tables->beside) != CF_OK)
        return CF_NO_MEMORY;
    objects->count = number_objects(tables->order, found, smallest, unknown, tables->beside, tables->number);
    write_labels(grid, known, labelled, tables->number, objects->labels);
    return list_seeds(grid, seeds, tables->number, objects);
}

cf_status collect_objects(const Grid *grid, const Known *known, const uint32_t *labelled, const Seeds *seeds,
                          size_t smallest, size_t largest_hole, Objects *objects) {
    const size_t slots = (size_t)seeds->certain + 2;
    const Tables tables = {calloc(slots, sizeof(uint32_t)), malloc(slots * sizeof(uint32_t)), calloc(slots, 1)};
    cf_status status = tables.number && tables.order && tables.beside ? CF_OK : CF_NO_MEMORY;
    if (status == CF_OK) status = collect(grid, known, labelled, seeds, smallest, &tables, objects);
    free(tables.beside);
    free(tables.order);
    free(tables.number);
    if (status == CF_OK) status = fill_holes(grid->height, grid->width, largest_hole, objects->labels);
    return status == CF_OK ? judge_completeness(grid, known, objects) : status;
}
