/* Collecting, thinning and sorting saddles. */
#include "saddles.h"

#include <stdlib.h>
#include <string.h>

void saddles_start(Saddles *saddles, Order order) {
    memset(saddles, 0, sizeof *saddles);
    saddles->order = order;
}

void saddles_free(Saddles *saddles) {
    free(saddles->items);
    saddles->items = NULL;
}

static cf_status append(Saddles *saddles, Saddle saddle) {
    if (saddles->count == saddles->capacity) {
        const size_t capacity = saddles->capacity ? 2 * saddles->capacity : 4096;
        Saddle *items = realloc(saddles->items, capacity * sizeof *items);
        if (!items) return CF_NO_MEMORY;
        saddles->items = items;
        saddles->capacity = capacity;
    }
    saddles->items[saddles->count++] = saddle;
    return CF_OK;
}

cf_status saddles_add(Saddles *saddles, uint32_t a, uint32_t b, uint32_t pixel) {
    if (a > b) {
        const uint32_t swap = a;
        a = b;
        b = swap;
    }
    const uint32_t hash = (a * 0x9E3779B1u) ^ (b * 0x85EBCA6Bu);
    Saddle *slot = &saddles->cache[hash >> 22];
    if (slot->a == a && slot->b == b) {
        if (higher(saddles->order, pixel, slot->pixel)) slot->pixel = pixel;
        return CF_OK;
    }
    const Saddle evicted = *slot;
    slot->a = a;
    slot->b = b;
    slot->pixel = pixel;
    return evicted.pixel ? append(saddles, evicted) : CF_OK;
}

typedef struct {
    uint32_t key;
    Saddle saddle;
} Keyed;

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* One stable counting pass; returns 0 when all items share the digit and nothing had to move. */
static int sort_digit(const Keyed *from, Keyed *to, size_t count, int shift) {
    size_t start[DIGITS] = {0};
    for (size_t i = 0; i < count; i++) start[(from[i].key >> shift) % DIGITS]++;
    if (start[(from[0].key >> shift) % DIGITS] == count) return 0;
    size_t sum = 0;
    for (size_t d = 0; d < DIGITS; d++) {
        const size_t here = start[d];
        start[d] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++) to[start[(from[i].key >> shift) % DIGITS]++] = from[i];
    return 1;
}

/* Stable; returns which of the two buffers holds the result. */
static Keyed *sort_keys(Keyed *items, Keyed *spare, size_t count) {
    for (int shift = 0; shift < 32; shift += DIGIT_BITS) {
        if (sort_digit(items, spare, count, shift)) {
            Keyed *swap = items;
            items = spare;
            spare = swap;
        }
    }
    return items;
}

/* Falls as the value rises; IEEE floats compare like integers once the negative ones are mirrored. */
static uint32_t falling_key(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

/* Least significant criterion first: raster order, then the second field, then the first. */
static void sort_saddles(Saddles *saddles, Keyed *items, Keyed *spare) {
    const size_t count = saddles->count;
    Keyed *const buffers[2] = {items, spare};
    for (size_t i = 0; i < count; i++) {
        items[i].saddle = saddles->items[i];
        items[i].key = items[i].saddle.pixel;
    }
    const float *fields[2] = {saddles->order.second, saddles->order.first};
    for (int level = 0; level < 3; level++) {
        if (level > 0)
            for (size_t i = 0; i < count; i++) items[i].key = falling_key(fields[level - 1][items[i].saddle.pixel]);
        items = sort_keys(items, items == buffers[0] ? buffers[1] : buffers[0], count);
    }
    for (size_t i = 0; i < count; i++) saddles->items[i] = items[i].saddle;
}

cf_status saddles_finish(Saddles *saddles) {
    for (size_t i = 0; i < CF_SADDLE_CACHE; i++)
        if (saddles->cache[i].pixel && append(saddles, saddles->cache[i]) != CF_OK) return CF_NO_MEMORY;
    if (saddles->count < 2) return CF_OK;
    Keyed *items = malloc(saddles->count * sizeof *items);
    Keyed *spare = malloc(saddles->count * sizeof *spare);
    const cf_status status = items && spare ? CF_OK : CF_NO_MEMORY;
    if (status == CF_OK) sort_saddles(saddles, items, spare);
    free(items);
    free(spare);
    return status;
}

typedef struct {
    const Grid *grid;
    const uint32_t *basin;
    EdgeVisitor visit;
    void *context;
    uint8_t *marks;    /* a row, filled up to a multiple of 8 */
    uint32_t *columns; /* as many, and one */
} EdgeScan;

enum { RIGHT = 1, DOWN = 2 };

/* Does the step right, or down, lead from a basin to another? Each unordered pair of neighbours is seen once. */
CF_CLONES
static void mark_row(const uint32_t *here, const uint32_t *below, size_t width, uint8_t *CF_RESTRICT marks) {
    for (size_t x = 0; x < width; x++) {
        const uint32_t basin = here[x], right = here[x + 1], down = below[x];
        const uint32_t bits = (uint32_t)((right != basin) & (right != 0)) * RIGHT +
                              (uint32_t)((down != basin) & (down != 0)) * DOWN;
        marks[x] = (uint8_t)(basin != 0 ? bits : 0);
    }
}

/* Columns of marked pixels; without branches where there are any, because where they stand cannot be predicted. */
static size_t list_marked(const uint8_t *marks, size_t width, uint32_t *columns) {
    size_t count = 0;
    for (size_t x = 0; x < width; x += 8) {
        uint64_t eight; /* most pixels lie inside a basin: skip them eight at a time */
        memcpy(&eight, marks + x, 8);
        if (!eight) continue;
        for (size_t i = x; i < x + 8; i++) {
            columns[count] = (uint32_t)i;
            count += marks[i] != 0;
        }
    }
    return count;
}

static cf_status visit_row(const EdgeScan *scan, size_t y) {
    const size_t stride = scan->grid->stride, row = grid_row(scan->grid, y);
    mark_row(scan->basin + row, scan->basin + row + stride, scan->grid->width, scan->marks);
    const size_t count = list_marked(scan->marks, scan->grid->width, scan->columns);
    for (size_t i = 0; i < count; i++) {
        const uint8_t marks = scan->marks[scan->columns[i]];
        const uint32_t p = (uint32_t)(row + scan->columns[i]);
        if (marks & RIGHT && scan->visit(scan->context, p, p + 1) != CF_OK) return CF_NO_MEMORY;
        if (marks & DOWN && scan->visit(scan->context, p, (uint32_t)(p + stride)) != CF_OK) return CF_NO_MEMORY;
    }
    return CF_OK;
}

cf_status visit_edges(const Grid *grid, const uint32_t *basin, EdgeVisitor visit, void *context) {
    EdgeScan scan = {.grid = grid, .basin = basin, .visit = visit, .context = context};
    scan.marks = calloc((grid->width + 7) / 8, 8);
    scan.columns = malloc((grid->width + 8) * sizeof *scan.columns);
    cf_status status = scan.marks && scan.columns ? CF_OK : CF_NO_MEMORY;
    for (size_t y = 0; y < grid->height && status == CF_OK; y++) status = visit_row(&scan, y);
    free(scan.columns);
    free(scan.marks);
    return status;
}

uint32_t *new_forest(uint32_t count) {
    uint32_t *parent = malloc(((size_t)count + 1) * sizeof *parent);
    if (parent)
        for (uint32_t i = 0; i <= count; i++) parent[i] = i;
    return parent;
}
