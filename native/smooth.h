/* From a head as it arrives (uint8 or float32, no border) to a smoothed float32 field on the padded grid. */
#ifndef CELLFLEET_SMOOTH_H
#define CELLFLEET_SMOOTH_H

#include "common.h"

typedef struct {
    const void *pixels; /* height * width, C order */
    int is_float;       /* float32, else uint8 that stands for value / 255 */
} Head;

/* Fill `field` (grid.size floats). The border becomes minus infinity, so that it is never anyone's highest neighbour. */
cf_status smooth_head(const Grid *grid, Head head, double sigma, float *field);

/* Grey dilation by a square of 2 * reach + 1 pixels, in place. */
cf_status dilate_field(const Grid *grid, size_t reach, float *field);

#endif
