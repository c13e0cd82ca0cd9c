/* Any region of a resized plane, from just the source pixels that it depends on. */
#ifndef CELLFLEET_RESAMPLE_H
#define CELLFLEET_RESAMPLE_H

#include "common.h"
#include "pixels.h"

/* One axis: the whole resize, what is at hand of the source, and what is wanted of the target, px. */
typedef struct {
    size_t source, target;  /* lengths, at least 1 */
    size_t from, held;      /* source pixels from … from + held - 1 are given */
    size_t start, count;    /* target pixels start … start + count - 1 are wanted */
} Axis;

/* `pixels` has y->held * x->held elements, `out` y->count * x->count. The bits of a target pixel depend on no more than
 * y and x, the lengths, and the source pixels under its taps. CF_OUTSIDE where some of those are not given. */
cf_status resample(const void *pixels, PixelType type, const Axis *y, const Axis *x, float *out);

#endif
