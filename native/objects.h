/* From the labels of seeds to the objects of a label image. */
#ifndef CELLFLEET_OBJECTS_H
#define CELLFLEET_OBJECTS_H

#include "seeds.h"

typedef struct {
    uint32_t *labels;  /* height * width: 0 = background, 1 … count, CF_UNKNOWN */
    uint32_t *seed;    /* of label k + 1, an index into `labels` */
    uint8_t *complete; /* of label k + 1: it has no pixel in the image that is not labelled here */
    uint32_t count;
} Objects;

/* Fill `objects->labels` and allocate the rest: objects of fewer than `smallest` pixels dropped, the others numbered
 * from 1 in raster order of their first pixel, then holes of at most `largest_hole` pixels filled. `labelled` is what
 * flood() made of `seeds`. */
cf_status collect_objects(const Grid *grid, const Known *known, const uint32_t *labelled, const Seeds *seeds,
                          size_t smallest, size_t largest_hole, Objects *objects);

#endif
