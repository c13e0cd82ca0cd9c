/* Moments, boxes, perimeters, hulls and intensities.
 *
 * A label image is read as runs: stretches of one label in one row. Sums over a run have closed forms, so shapes cost
 * little more than reading the labels. Coordinates count from the object's first pixel, which keeps sums small and
 * exact, and the same wherever the label image was cut out.
 */
#include "measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hull.h"

/* The next run at or after x: sets `from` and returns its end, or 0 at the end of the row. Background is skipped. */
CF_INLINE size_t next_run(const uint32_t *row, size_t width, size_t x, size_t *from) {
    while (x < width && row[x] == 0) x++;
    if (x == width) return 0;
    *from = x;
    const uint32_t label = row[x];
    while (x < width && row[x] == label) x++;
    return x;
}

typedef struct {
    size_t y, x; /* first pixel in raster order */
    size_t x_min, x_max, y_last;
    double area, sum_y, sum_x, sum_yy, sum_xx, sum_yx;
} Moments;

static void add_run(Moments *m, size_t y, size_t from, size_t to) {
    if (m->area == 0) {
        m->y = y;
        m->x = m->x_min = from;
        m->x_max = to;
    }
    if (from < m->x_min) m->x_min = from;
    if (to > m->x_max) m->x_max = to;
    m->y_last = y;
    const double n = (double)(to - from), dy = (double)(y - m->y), dx = (double)from - (double)m->x;
    const double sum_x = n * dx + n * (n - 1) / 2;
    m->area += n;
    m->sum_y += n * dy;
    m->sum_x += sum_x;
    m->sum_yy += n * dy * dy;
    m->sum_xx += n * dx * dx + dx * n * (n - 1) + (n - 1) * n * (2 * n - 1) / 6;
    m->sum_yx += dy * sum_x;
}

static void collect_moments(const LabelImage *image, Moments *moments) {
    for (size_t y = 0; y < image->height; y++) {
        const uint32_t *row = image->labels + y * image->width;
        size_t from = 0, to = 0;
        while ((to = next_run(row, image->width, to, &from)) != 0) add_run(&moments[row[from] - 1], y, from, to);
    }
}

static void write_moments(const LabelImage *image, const Moments *m, double *row) {
    memset(row, 0, SHAPE_COLUMNS * sizeof *row);
    if (m->area == 0) return;
    row[SHAPE_AREA] = m->area;
    row[SHAPE_Y] = (double)(image->y + m->y) + m->sum_y / m->area;
    row[SHAPE_X] = (double)(image->x + m->x) + m->sum_x / m->area;
    row[SHAPE_Y_MIN] = (double)(image->y + m->y);
    row[SHAPE_X_MIN] = (double)(image->x + m->x_min);
    row[SHAPE_Y_MAX] = (double)(image->y + m->y_last + 1);
    row[SHAPE_X_MAX] = (double)(image->x + m->x_max);
    /* Differences of whole numbers: exact zeros stay zero, which the orientation of symmetric objects hangs on. */
    const double n = m->area, square = n * n;
    row[SHAPE_VAR_YY] = (n * m->sum_yy - m->sum_y * m->sum_y) / square;
    row[SHAPE_VAR_XX] = (n * m->sum_xx - m->sum_x * m->sum_x) / square;
    row[SHAPE_VAR_YX] = (n * m->sum_yx - m->sum_y * m->sum_x) / square;
}

/* ---- perimeter -------------------------------------------------------------------------------------------------- */

/* Benkrid and Crookes' estimator as in skimage.measure.perimeter: a boundary pixel's share depends on how many of its
 * side neighbours (2 each) and corner neighbours (10 each) are boundary pixels of the same object. */
static void set_weights(double weights[50]) {
    static const int STRAIGHT[] = {5, 7, 15, 17, 25, 27};
    memset(weights, 0, 50 * sizeof *weights);
    for (size_t i = 0; i < sizeof STRAIGHT / sizeof *STRAIGHT; i++) weights[STRAIGHT[i]] = 1;
    weights[21] = weights[33] = sqrt(2.0);
    weights[13] = weights[23] = (1 + sqrt(2.0)) / 2;
}

/* Rows of three labels and three boundaries at a time, each with a zero on either side. */
typedef struct {
    uint32_t *labels[3], *boundary[3];
    size_t width;
} Window;

/* boundary[x] = label of a boundary pixel (one with a side neighbour that is not of its object), else 0. */
CF_CLONES
static void find_boundary(const uint32_t *above, const uint32_t *row, const uint32_t *below, size_t width,
                          uint32_t *CF_RESTRICT boundary) {
    for (size_t x = 1; x <= width; x++) {
        const uint32_t label = row[x];
        const int inside =
            (row[x - 1] == label) & (row[x + 1] == label) & (above[x] == label) & (below[x] == label);
        boundary[x] = inside ? 0 : label;
    }
}

static void add_perimeter_row(const Window *window, const double weights[50], double *rows) {
    const uint32_t *above = window->boundary[0], *row = window->boundary[1], *below = window->boundary[2];
    for (size_t x = 1; x <= window->width; x++) {
        const uint32_t label = row[x];
        if (!label) continue;
        const int sides = (row[x - 1] == label) + (row[x + 1] == label) + (above[x] == label) + (below[x] == label);
        const int corners = (above[x - 1] == label) + (above[x + 1] == label) + (below[x - 1] == label) +
                            (below[x + 1] == label);
        rows[(size_t)(label - 1) * SHAPE_COLUMNS + SHAPE_PERIMETER] += weights[1 + 2 * sides + 10 * corners];
    }
}

static void rotate(uint32_t *rows[3]) {
    uint32_t *first = rows[0];
    rows[0] = rows[1];
    rows[1] = rows[2];
    rows[2] = first;
}

static void load_labels(const LabelImage *image, size_t y, uint32_t *row) {
    if (y < image->height)
        memcpy(row + 1, image->labels + y * image->width, image->width * sizeof *row);
    else
        memset(row + 1, 0, image->width * sizeof *row);
}

/* Labels run one row ahead of boundaries, boundaries one row ahead of the sum. */
static void add_perimeters(const LabelImage *image, Window *window, double *rows) {
    double weights[50];
    set_weights(weights);
    load_labels(image, 0, window->labels[2]);
    for (size_t y = 0; y <= image->height; y++) {
        rotate(window->labels);
        rotate(window->boundary);
        load_labels(image, y + 1, window->labels[2]);
        find_boundary(window->labels[0], window->labels[1], window->labels[2], image->width, window->boundary[2]);
        if (y > 0) add_perimeter_row(window, weights, rows);
    }
}

static cf_status measure_perimeters(const LabelImage *image, double *rows) {
    const size_t padded = image->width + 2;
    uint32_t *memory = calloc(6 * padded, sizeof *memory);
    if (!memory) return CF_NO_MEMORY;
    Window window = {.width = image->width};
    for (size_t i = 0; i < 3; i++) {
        window.labels[i] = memory + i * padded;
        window.boundary[i] = memory + (3 + i) * padded;
    }
    add_perimeters(image, &window, rows);
    free(memory);
    return CF_OK;
}

/* ---- convex hulls ----------------------------------------------------------------------------------------------- */

static size_t object_height(const double *row) { return (size_t)(row[SHAPE_Y_MAX] - row[SHAPE_Y_MIN]); }

/* Extents of all objects, one after another; those of label k + 1 begin at start[k]. */
static void collect_extents(const LabelImage *image, const double *rows, const size_t *start, Extent *extents) {
    for (size_t i = 0; i < start[image->count]; i++) {
        extents[i].left = INT64_MAX;
        extents[i].right = -1;
    }
    for (size_t y = 0; y < image->height; y++) {
        const uint32_t *row = image->labels + y * image->width;
        size_t from = 0, to = 0;
        while ((to = next_run(row, image->width, to, &from)) != 0) {
            const size_t k = row[from] - 1;
            const size_t first = (size_t)rows[k * SHAPE_COLUMNS + SHAPE_Y_MIN] - image->y;
            Extent *extent = &extents[start[k] + y - first];
            if ((int64_t)from < extent->left) extent->left = (int64_t)from;
            extent->right = (int64_t)to - 1;
        }
    }
}

static cf_status hulls_of_extents(const LabelImage *image, const size_t *start, const Extent *extents, double *rows) {
    HullPoint *scratch = malloc((2 * image->height + 1) * sizeof *scratch);
    int64_t *column = malloc(image->height * sizeof *column);
    const cf_status status = scratch && column ? CF_OK : CF_NO_MEMORY;
    for (size_t k = 0; k < image->count && status == CF_OK; k++)
        if (start[k + 1] > start[k])
            rows[k * SHAPE_COLUMNS + SHAPE_HULL_AREA] =
                (double)hull_area(extents + start[k], start[k + 1] - start[k], scratch, column);
    free(column);
    free(scratch);
    return status;
}

static cf_status measure_hulls(const LabelImage *image, double *rows) {
    size_t *start = malloc((image->count + 1) * sizeof *start);
    if (!start) return CF_NO_MEMORY;
    start[0] = 0;
    for (size_t k = 0; k < image->count; k++) start[k + 1] = start[k] + object_height(rows + k * SHAPE_COLUMNS);
    Extent *extents = malloc((start[image->count] + 1) * sizeof *extents);
    cf_status status = CF_NO_MEMORY;
    if (extents) {
        collect_extents(image, rows, start, extents);
        status = hulls_of_extents(image, start, extents, rows);
    }
    free(extents);
    free(start);
    return status;
}

cf_status measure_shapes(const LabelImage *image, double *rows) {
    if (image->count == 0) return CF_OK;
    Moments *moments = calloc(image->count, sizeof *moments);
    if (!moments) return CF_NO_MEMORY;
    collect_moments(image, moments);
    for (size_t k = 0; k < image->count; k++) write_moments(image, &moments[k], rows + k * SHAPE_COLUMNS);
    free(moments);
    if (measure_perimeters(image, rows) != CF_OK) return CF_NO_MEMORY;
    return measure_hulls(image, rows);
}

/* ---- intensity -------------------------------------------------------------------------------------------------- */

/* Sums of differences from the object's first value: large offsets with little spread lose no digits. */
typedef struct {
    double count, origin, sum, squares, low, high;
} Intensity;

CF_INLINE void add_value(Intensity *s, double value) {
    if (value != value) return;
    if (s->count == 0) s->origin = s->low = s->high = value;
    const double difference = value - s->origin;
    s->count += 1;
    s->sum += difference;
    s->squares += difference * difference;
    s->low = value < s->low ? value : s->low;
    s->high = value > s->high ? value : s->high;
}

#define DEFINE_COLLECT(NAME, TYPE)                                                                                \
    static void NAME(const LabelImage *image, const void *pixels, Intensity *sums) {                              \
        for (size_t y = 0; y < image->height; y++) {                                                              \
            const uint32_t *row = image->labels + y * image->width;                                               \
            const TYPE *values = (const TYPE *)pixels + y * image->width;                                         \
            size_t from = 0, to = 0;                                                                              \
            while ((to = next_run(row, image->width, to, &from)) != 0) {                                          \
                Intensity s = sums[row[from] - 1];                                                                \
                for (size_t x = from; x < to; x++) add_value(&s, (double)values[x]);                              \
                sums[row[from] - 1] = s;                                                                          \
            }                                                                                                     \
        }                                                                                                         \
    }

DEFINE_COLLECT(collect_u8, uint8_t)
DEFINE_COLLECT(collect_i8, int8_t)
DEFINE_COLLECT(collect_u16, uint16_t)
DEFINE_COLLECT(collect_i16, int16_t)
DEFINE_COLLECT(collect_u32, uint32_t)
DEFINE_COLLECT(collect_i32, int32_t)
DEFINE_COLLECT(collect_f32, float)
DEFINE_COLLECT(collect_f64, double)

static void write_intensity(const Intensity *s, double *row) {
    if (s->count == 0) {
        for (int i = 0; i < INTENSITY_COLUMNS; i++) row[i] = NAN;
        return;
    }
    const double mean = s->sum / s->count, variance = s->squares / s->count - mean * mean;
    row[INTENSITY_MEAN] = s->origin + mean;
    row[INTENSITY_STD] = variance < 0 ? 0 : sqrt(variance);
    row[INTENSITY_MIN] = s->low;
    row[INTENSITY_MAX] = s->high;
    row[INTENSITY_SUM] = s->origin * s->count + s->sum;
}

cf_status measure_intensity(const LabelImage *image, const void *pixels, PixelType type, double *rows) {
    static void (*const COLLECT[])(const LabelImage *, const void *, Intensity *) = {
        collect_u8, collect_i8, collect_u16, collect_i16, collect_u32, collect_i32, collect_f32, collect_f64,
    };
    if (image->count == 0) return CF_OK;
    Intensity *sums = calloc(image->count, sizeof *sums);
    if (!sums) return CF_NO_MEMORY;
    COLLECT[type](image, pixels, sums);
    for (size_t k = 0; k < image->count; k++) write_intensity(&sums[k], rows + k * INTENSITY_COLUMNS);
    free(sums);
    return CF_OK;
}
