/* Prominent peaks of a field: the h-maxima transform without reconstruction. */
#ifndef CELLFLEET_SEEDS_H
#define CELLFLEET_SEEDS_H

#include "basins.h"

typedef struct {
    uint32_t *pixel;
    uint32_t count;
} Seeds;

typedef struct {
    double h;       /* a seed rises this much above the highest pass to a higher peak */
    size_t radius;  /* passes may hop this far, px */
    float interior; /* and its value in order.second lies above this */
} SeedSpec;

/* `peaks` are those of order.first above 0, 8-connected; peaks->direction is used up. Allocates seeds->pixel. */
cf_status find_seeds(const Grid *grid, Order order, const Basins *peaks, const SeedSpec *spec, Seeds *seeds);

#endif
