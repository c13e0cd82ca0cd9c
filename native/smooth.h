/* From a head as it arrives (uint8 or float32, no border) to a smoothed float32 field on the padded grid. */
#ifndef CELLFLEET_SMOOTH_H
#define CELLFLEET_SMOOTH_H

#include "known.h"

typedef struct {
    const void *pixels; /* height * width, C order */
    int is_float;       /* float32, else uint8 that stands for value / 255 */
} Head;

/* Fill the pixels of `field` (grid.size floats). */
cf_status smooth_head(const Grid *grid, Head head, double sigma, float *field);

/* Grey dilation by a square of 2 * reach + 1 pixels, in place. */
cf_status dilate_field(const Grid *grid, size_t reach, float *field);

/* The border, and what is not known, become minus infinity: never above a floor nor anyone's highest neighbour. */
void fill_outside(const Grid *grid, const Known *known, float *field);

#endif
