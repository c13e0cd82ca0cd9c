/* The deep watershed: two heads in, a label image out. */
#ifndef CELLFLEET_WATERSHED_H
#define CELLFLEET_WATERSHED_H

#include "objects.h"
#include "smooth.h"

/* Names and units as in cellfleet.spec.postprocess.DeepWatershed. */
typedef struct {
    double maxima_threshold, maxima_smooth, interior_threshold, interior_smooth;
    size_t radius, pixel_expansion;
    size_t smallest_object, largest_hole; /* px */
} WatershedSpec;

/* A whole image, or a block of one. */
typedef struct {
    Head maxima, interior;
    size_t height, width;
    Known known;
} Block;

/* `objects->labels` is given and has height * width elements; the rest is allocated. */
cf_status deep_watershed(const Block *block, const WatershedSpec *spec, Objects *objects);

#endif
