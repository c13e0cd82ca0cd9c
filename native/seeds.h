/* Prominent peaks of a field: the h-maxima transform without reconstruction. */
#ifndef CELLFLEET_SEEDS_H
#define CELLFLEET_SEEDS_H

#include "saddles.h"

typedef struct {
    uint32_t *pixel; /* in the order of basins */
    uint32_t count;
} Seeds;

typedef struct {
    double h;       /* a seed rises this much above the highest pass to a higher peak */
    size_t radius;  /* passes may hop this far, px */
    float interior; /* and its value in order.second lies above this */
} SeedSpec;

/* The level below which no pixel of order.first can decide about a seed: at least 0. */
float relevant_floor(Order order, const Basins *basins, const SeedSpec *spec);

/* `basins` are those of order.first above relevant_floor(), 8-connected. Allocates seeds->pixel. */
cf_status find_seeds(const Grid *grid, Order order, const Basins *basins, const SeedSpec *spec, Seeds *seeds);

#endif
