/* The deep watershed: two heads in, a label image out. */
#ifndef CELLFLEET_WATERSHED_H
#define CELLFLEET_WATERSHED_H

#include "seeds.h"
#include "smooth.h"

/* Names and units as in cellfleet.spec.postprocess.DeepWatershed. */
typedef struct {
    double maxima_threshold, maxima_smooth, interior_threshold, interior_smooth;
    size_t radius, pixel_expansion;
    size_t smallest_object, largest_hole; /* px */
} WatershedSpec;

/* `labels` has height * width elements; seeds->pixel is allocated: the seed of label k + 1 as an index into labels. */
cf_status deep_watershed(Head maxima, Head interior, size_t height, size_t width, const WatershedSpec *spec,
                         uint32_t *labels, Seeds *seeds);

#endif
