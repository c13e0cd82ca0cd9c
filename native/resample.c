/* Linear interpolation whose support grows when the image shrinks, as Pillow's BILINEAR.
 *
 * Taps are Pillow's (src/libImaging/Resample.c, precompute_coeffs), found in double from the coordinates of the whole
 * image, so that a region's taps are those of the whole. Sums are made in double, rows first, in the order of the taps,
 * and rounded to float once: a constant image stays the same constant.
 */
#include "resample.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    size_t *first;   /* per wanted pixel: its first source pixel, counted from the first that is held */
    size_t *count;   /* and the number of its taps */
    double *weights; /* `most` per wanted pixel */
    size_t most;
} Taps;

static double triangle(double distance) { return fabs(distance) < 1 ? 1 - fabs(distance) : 0; }

/* Normalised weights of the taps first … first + count - 1 around `centre`. */
static void set_weights(double centre, double stretch, size_t first, size_t count, double *weights) {
    double sum = 0;
    for (size_t k = 0; k < count; k++) {
        weights[k] = triangle(((double)(first + k) - centre + 0.5) / stretch);
        sum += weights[k];
    }
    for (size_t k = 0; k < count; k++) weights[k] /= sum;
}

static cf_status set_taps(const Axis *axis, Taps *taps) {
    const double scale = (double)axis->source / (double)axis->target, support = scale > 1 ? scale : 1;
    for (size_t i = 0; i < axis->count; i++) {
        const double centre = ((double)(axis->start + i) + 0.5) * scale;
        const double begin = centre - support + 0.5, end = centre + support + 0.5;
        const size_t first = begin > 0 ? (size_t)begin : 0;
        const size_t last = end < (double)axis->source ? (size_t)end : axis->source;
        if (first < axis->from || last > axis->from + axis->held) return CF_OUTSIDE;
        taps->first[i] = first - axis->from;
        taps->count[i] = last - first;
        set_weights(centre, support, first, last - first, taps->weights + i * taps->most);
    }
    return CF_OK;
}

static void free_taps(Taps *taps) {
    free(taps->weights);
    free(taps->count);
    free(taps->first);
}

static cf_status new_taps(const Axis *axis, Taps *taps) {
    /* An interval of twice the support holds that many pixels, and one more at either end. */
    const size_t support = (axis->source + axis->target - 1) / axis->target;
    taps->most = 2 * support + 2;
    taps->first = malloc((axis->count + 1) * sizeof *taps->first);
    taps->count = malloc((axis->count + 1) * sizeof *taps->count);
    taps->weights = malloc((axis->count * taps->most + 1) * sizeof *taps->weights);
    return taps->first && taps->count && taps->weights ? set_taps(axis, taps) : CF_NO_MEMORY;
}

/* sum[x] += weight * pixel x of a row that begins at `offset`; the first row begins the sum. */
typedef void (*AddRow)(const void *pixels, size_t offset, double weight, size_t width, int begins, double *sum);

#define DEFINE_ADD_ROW(NAME, TYPE)                                                                                \
    CF_CLONES                                                                                                     \
    static void NAME(const void *pixels, size_t offset, double weight, size_t width, int begins,                  \
                     double *CF_RESTRICT sum) {                                                                   \
        const TYPE *CF_RESTRICT row = (const TYPE *)pixels + offset;                                              \
        if (begins)                                                                                               \
            for (size_t x = 0; x < width; x++) sum[x] = weight * (double)row[x];                                  \
        else                                                                                                      \
            for (size_t x = 0; x < width; x++) sum[x] += weight * (double)row[x];                                 \
    }

DEFINE_ADD_ROW(add_u8, uint8_t)
DEFINE_ADD_ROW(add_i8, int8_t)
DEFINE_ADD_ROW(add_u16, uint16_t)
DEFINE_ADD_ROW(add_i16, int16_t)
DEFINE_ADD_ROW(add_u32, uint32_t)
DEFINE_ADD_ROW(add_i32, int32_t)
DEFINE_ADD_ROW(add_f32, float)
DEFINE_ADD_ROW(add_f64, double)

/* `sum` begins at the first held column. */
static void sum_across(const Taps *taps, size_t count, const double *sum, float *out) {
    for (size_t i = 0; i < count; i++) {
        const double *weights = taps->weights + i * taps->most, *values = sum + taps->first[i];
        double total = weights[0] * values[0];
        for (size_t k = 1; k < taps->count[i]; k++) total += weights[k] * values[k];
        out[i] = (float)total;
    }
}

static void resample_rows(const void *pixels, AddRow add_row, const Axis *y, const Axis *x, const Taps *down,
                          const Taps *across, double *sum, float *out) {
    const size_t left = across->first[0], right = across->first[x->count - 1] + across->count[x->count - 1];
    for (size_t i = 0; i < y->count; i++) {
        for (size_t k = 0; k < down->count[i]; k++)
            add_row(pixels, (down->first[i] + k) * x->held + left, down->weights[i * down->most + k], right - left,
                    k == 0, sum + left);
        sum_across(across, x->count, sum, out + i * x->count);
    }
}

cf_status resample(const void *pixels, PixelType type, const Axis *y, const Axis *x, float *out) {
    static const AddRow ADD_ROW[] = {add_u8, add_i8, add_u16, add_i16, add_u32, add_i32, add_f32, add_f64};
    if (y->count == 0 || x->count == 0) return CF_OK;
    Taps down = {NULL, NULL, NULL, 0}, across = {NULL, NULL, NULL, 0};
    double *sum = malloc((x->held + 1) * sizeof *sum);
    cf_status status = sum ? new_taps(y, &down) : CF_NO_MEMORY;
    if (status == CF_OK) status = new_taps(x, &across);
    if (status == CF_OK) resample_rows(pixels, ADD_ROW[type], y, x, &down, &across, sum, out);
    free_taps(&across);
    free_taps(&down);
    free(sum);
    return status;
}
