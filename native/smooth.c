/* Separable Gaussian and grey dilation, row by row.
 *
 * The kernel is that of scipy.ndimage.gaussian_filter (truncated at 4 sigma) with the border pixel repeated (mode
 * "nearest", the default of skimage.filters.gaussian). Taps are added in symmetric pairs, so a mirrored image gives
 * mirrored bits. Horizontally smoothed rows live in a ring just long enough for the vertical pass: the field itself
 * is written once and never read.
 */
#include "smooth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define LARGEST 1e30f

static void load_bytes(const uint8_t *CF_RESTRICT source, size_t width, const float unit[256], float *CF_RESTRICT row) {
    for (size_t x = 0; x < width; x++) row[x] = unit[source[x]];
}

/* What is not finite, or so large that sums could overflow, becomes 0: a NaN has no place in the order of pixels, and
 * steepest ascent would never end. Adding 0 turns -0 into 0, which that order relies on, too. */
CF_CLONES
static void load_floats(const float *CF_RESTRICT source, size_t width, float *CF_RESTRICT row) {
    for (size_t x = 0; x < width; x++) {
        const float value = source[x];
        row[x] = (fabsf(value) <= LARGEST ? value : 0.0f) + 0.0f;
    }
}

static void load_row(Head head, size_t y, size_t width, const float unit[256], float *row) {
    if (head.is_float)
        load_floats((const float *)head.pixels + y * width, width, row);
    else
        load_bytes((const uint8_t *)head.pixels + y * width, width, unit, row);
}

/* taps[k] is the weight at distance k. */
static float *gaussian_taps(double sigma, size_t radius) {
    float *taps = malloc((radius + 1) * sizeof *taps);
    if (!taps) return NULL;
    double sum = 0;
    for (size_t k = 0; k <= radius; k++) sum += (k ? 2 : 1) * exp(-0.5 * (double)(k * k) / (sigma * sigma));
    for (size_t k = 0; k <= radius; k++) taps[k] = (float)(exp(-0.5 * (double)(k * k) / (sigma * sigma)) / sum);
    return taps;
}

CF_CLONES
static void scale_row(const float *CF_RESTRICT row, float tap, size_t width, float *CF_RESTRICT sum) {
    for (size_t x = 0; x < width; x++) sum[x] = tap * row[x];
}

/* Two pairs of taps at once: half the trips of `sum` through the cache. */
CF_CLONES
static void add_two_pairs(const float *a, const float *b, float tap, const float *c, const float *d, float next_tap,
                          size_t width, float *CF_RESTRICT sum) {
    for (size_t x = 0; x < width; x++) sum[x] = (sum[x] + tap * (a[x] + b[x])) + next_tap * (c[x] + d[x]);
}

CF_CLONES
static void add_pair(const float *a, const float *b, float tap, size_t width, float *CF_RESTRICT sum) {
    for (size_t x = 0; x < width; x++) sum[x] += tap * (a[x] + b[x]);
}

typedef struct {
    const float *taps;
    size_t radius;
    float *extended; /* one row with `radius` repeated pixels on either side */
    float *ring;     /* 2 * radius + 1 horizontally smoothed rows */
    size_t rows;     /* of the ring */
} Smoother;

static void smooth_across(const Smoother *s, size_t width, float *out) {
    float *row = s->extended + s->radius;
    for (size_t k = 1; k <= s->radius; k++) {
        row[-(ptrdiff_t)k] = row[0];
        row[width - 1 + k] = row[width - 1];
    }
    scale_row(row, s->taps[0], width, out);
    size_t k = 1;
    for (; k + 1 <= s->radius; k += 2)
        add_two_pairs(row - k, row + k, s->taps[k], row - k - 1, row + k + 1, s->taps[k + 1], width, out);
    if (k <= s->radius) add_pair(row - k, row + k, s->taps[k], width, out);
}

/* The ring's row for image row y, which may lie beyond the border. */
static const float *ring_row(const Smoother *s, const Grid *grid, ptrdiff_t y) {
    const ptrdiff_t last = (ptrdiff_t)grid->height - 1;
    const size_t inside = (size_t)(y < 0 ? 0 : y > last ? last : y);
    return s->ring + (inside % s->rows) * grid->width;
}

static void smooth_down(const Smoother *s, const Grid *grid, size_t y, float *out) {
    const ptrdiff_t row = (ptrdiff_t)y, radius = (ptrdiff_t)s->radius;
    scale_row(ring_row(s, grid, row), s->taps[0], grid->width, out);
    ptrdiff_t k = 1;
    for (; k + 1 <= radius; k += 2)
        add_two_pairs(ring_row(s, grid, row - k), ring_row(s, grid, row + k), s->taps[k],
                      ring_row(s, grid, row - k - 1), ring_row(s, grid, row + k + 1), s->taps[k + 1], grid->width,
                      out);
    if (k <= radius) add_pair(ring_row(s, grid, row - k), ring_row(s, grid, row + k), s->taps[k], grid->width, out);
}

static void smooth_rows(const Smoother *s, const Grid *grid, Head head, const float unit[256], float *field) {
    size_t ready = 0;
    for (size_t y = 0; y < grid->height; y++) {
        for (; ready < grid->height && ready <= y + s->radius; ready++) {
            load_row(head, ready, grid->width, unit, s->extended + s->radius);
            smooth_across(s, grid->width, s->ring + (ready % s->rows) * grid->width);
        }
        smooth_down(s, grid, y, field + grid_row(grid, y));
    }
}

cf_status smooth_head(const Grid *grid, Head head, double sigma, float *field) {
    float unit[256];
    for (int v = 0; v < 256; v++) unit[v] = (float)v / 255.0f;
    const size_t radius = (size_t)(4.0 * sigma + 0.5);
    if (radius == 0) {
        for (size_t y = 0; y < grid->height; y++) load_row(head, y, grid->width, unit, field + grid_row(grid, y));
        return CF_OK;
    }
    /* Rows beyond the image repeat its first or last row: the ring never needs more rows than the image has. */
    size_t rows = 2 * radius + 1;
    if (rows > grid->height) rows = grid->height;
    float *taps = gaussian_taps(sigma, radius);
    float *extended = malloc((grid->width + 2 * radius) * sizeof *extended);
    float *ring = malloc(rows * grid->width * sizeof *ring);
    const cf_status status = taps && extended && ring ? CF_OK : CF_NO_MEMORY;
    if (status == CF_OK) {
        const Smoother smoother = {taps, radius, extended, ring, rows};
        smooth_rows(&smoother, grid, head, unit, field);
    }
    free(ring);
    free(extended);
    free(taps);
    return status;
}

CF_CLONES
static void raise_row(const float *CF_RESTRICT other, size_t width, float *CF_RESTRICT row) {
    for (size_t x = 0; x < width; x++) row[x] = other[x] > row[x] ? other[x] : row[x];
}

static void dilate_across(const Grid *grid, size_t reach, float *scratch, float *field) {
    for (size_t y = 0; y < grid->height; y++) {
        float *row = field + grid_row(grid, y);
        memcpy(scratch, row, grid->width * sizeof *row);
        for (size_t k = 1; k <= reach && k < grid->width; k++) {
            raise_row(scratch + k, grid->width - k, row);
            raise_row(scratch, grid->width - k, row + k);
        }
    }
}

static void dilate_down(const Grid *grid, size_t reach, const float *source, float *field) {
    for (size_t y = 0; y < grid->height; y++) {
        float *row = field + grid_row(grid, y);
        for (size_t k = 1; k <= reach; k++) {
            if (y >= k) raise_row(source + grid_row(grid, y - k), grid->width, row);
            if (y + k < grid->height) raise_row(source + grid_row(grid, y + k), grid->width, row);
        }
    }
}

cf_status dilate_field(const Grid *grid, size_t reach, float *field) {
    if (reach == 0) return CF_OK;
    float *copy = new_field(grid->size, sizeof *copy);
    if (!copy) return CF_NO_MEMORY;
    dilate_across(grid, reach, copy, field);
    memcpy(copy, field, grid->size * sizeof *copy);
    dilate_down(grid, reach, copy, field);
    free(copy);
    return CF_OK;
}

static void fill_minus_infinity(float *field, size_t from, size_t to) {
    for (size_t p = from; p < to; p++) field[p] = -INFINITY;
}

void fill_outside(const Grid *grid, const Known *known, float *field) {
    size_t from = 0; /* first pixel after what is known of the rows so far */
    for (size_t y = known->top; y < known->bottom; y++) {
        fill_minus_infinity(field, from, grid_row(grid, y) + known->left);
        from = grid_row(grid, y) + known->right;
    }
    fill_minus_infinity(field, from, grid->size);
}
