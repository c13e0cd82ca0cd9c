/* Shape and intensity of every object of a label image, in a few passes over its runs. */
#ifndef CELLFLEET_MEASURE_H
#define CELLFLEET_MEASURE_H

#include "common.h"
#include "pixels.h"

typedef struct {
    const uint32_t *labels; /* height * width, every value at most `count` */
    size_t height, width;
    size_t count;
    size_t y, x; /* place of the first pixel in the whole image */
} LabelImage;

/* Columns of a row of shape results; centroid and moments in pixels, variances about the centroid. A row depends on the
 * object's own pixels and their places in the whole image alone. */
enum {
    SHAPE_AREA,
    SHAPE_Y,
    SHAPE_X,
    SHAPE_Y_MIN,
    SHAPE_X_MIN,
    SHAPE_Y_MAX, /* half open */
    SHAPE_X_MAX,
    SHAPE_VAR_YY,
    SHAPE_VAR_XX,
    SHAPE_VAR_YX,
    SHAPE_PERIMETER,
    SHAPE_HULL_AREA,
    SHAPE_COLUMNS
};

enum { INTENSITY_MEAN, INTENSITY_STD, INTENSITY_MIN, INTENSITY_MAX, INTENSITY_SUM, INTENSITY_COLUMNS };

/* `rows` has count * SHAPE_COLUMNS values; row k is label k + 1; an absent label has area 0 and nothing else. */
cf_status measure_shapes(const LabelImage *image, double *rows);

/* `rows` has count * INTENSITY_COLUMNS values. NaN pixels are left out; an object without any other has NaN. */
cf_status measure_intensity(const LabelImage *image, const void *pixels, PixelType type, double *rows);

#endif
