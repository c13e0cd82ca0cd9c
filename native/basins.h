/* Every pixel above a floor belongs to the basin of the peak that steepest ascent leads to. */
#ifndef CELLFLEET_BASINS_H
#define CELLFLEET_BASINS_H

#include "common.h"

typedef enum { CF_FOUR = 4, CF_EIGHT = 8 } Connectivity;

typedef struct {
    uint8_t *direction; /* grid.size: towards the highest neighbour; CF_CENTRE at a peak; CF_NONE below the floor */
    uint32_t *basin;    /* grid.size: 1 … count; 0 below the floor and on the border */
    uint32_t *peak;     /* count + 1: pixel of each basin's peak; peak[0] is unused */
    uint32_t count;
} Basins;

/* Fill `direction` (given by the caller) for pixels with first > floor, and allocate `peak`, in raster order. */
cf_status find_peaks(const Grid *grid, Order order, float floor, Connectivity connectivity, Basins *basins);

/* Follow the directions: fill `basin` (given by the caller). */
cf_status find_basins(const Grid *grid, Basins *basins);

#endif
