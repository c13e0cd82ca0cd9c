/* Prominent peaks of a field: the h-maxima transform without reconstruction. */
#ifndef CELLFLEET_SEEDS_H
#define CELLFLEET_SEEDS_H

#include "saddles.h"

typedef struct {
    uint32_t *pixel; /* in the order of basins */
    uint32_t count;
} Seeds;

/* `basins` are those of order.first above 0, 8-connected. A peak is a seed if it rises `h` above the highest pass to
 * a higher peak, where passes may hop over up to `radius` pixels. Allocates seeds->pixel. */
cf_status find_seeds(const Grid *grid, Order order, const Basins *basins, double h, size_t radius, Seeds *seeds);

#endif
