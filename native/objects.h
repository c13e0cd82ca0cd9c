/* From the labels of seeds to the objects of a label image. */
#ifndef CELLFLEET_OBJECTS_H
#define CELLFLEET_OBJECTS_H

#include "seeds.h"

/* Fill `labels` (height * width): objects of fewer than `smallest` pixels dropped, the others numbered from 1 in raster
 * order of their first pixel, then holes of at most `largest_hole` pixels filled. seeds->pixel[k] becomes the seed of
 * label k + 1 as an index into `labels`, and seeds->count the number of labels. `labelled` is flood()'s result. */
cf_status collect_objects(const Grid *grid, const uint32_t *labelled, size_t smallest, size_t largest_hole,
                          Seeds *seeds, uint32_t *labels);

#endif
