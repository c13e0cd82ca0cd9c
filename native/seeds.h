/* Prominent peaks of a field: the h-maxima transform without reconstruction. */
#ifndef CELLFLEET_SEEDS_H
#define CELLFLEET_SEEDS_H

#include "basins.h"
#include "known.h"

/* The first `certain` are seeds in the whole image, too; of the others nothing is known but that the flood may begin
 * there. Only those may stand in the list twice. */
typedef struct {
    uint32_t *pixel;
    uint32_t certain, count;
} Seeds;

typedef struct {
    double h;       /* a seed rises this much above the highest pass to a higher peak */
    size_t radius;  /* passes may hop this far, px */
    float interior; /* and its value in order.second lies above this */
} SeedSpec;

/* `peaks` are those of order.first above 0, 8-connected; peaks->direction is used up. Allocates seeds->pixel. */
cf_status find_seeds(const Grid *grid, const Known *known, Order order, const Basins *peaks, const SeedSpec *spec,
                     Seeds *seeds);

/* Add every pixel above `floor` over which a flood may enter from where the image goes on. */
cf_status add_entrances(const Grid *grid, const Known *known, const float *field, float floor, Seeds *seeds);

#endif
