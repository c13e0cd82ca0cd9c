/* Marker watershed: every pixel of the basins is reached from a seed along the highest path. */
#ifndef CELLFLEET_FLOOD_H
#define CELLFLEET_FLOOD_H

#include "saddles.h"
#include "seeds.h"

/* Bit of `basins->basin` that says: not a basin but the label of this pixel's seed. */
#define CF_LABELLED 0x80000000u

/* `basins` are those of order.first above the floor, 4-connected. On return basins->basin[p] is CF_LABELLED | k + 1
 * where the certain seed k reached p, CF_LABELLED | seeds->certain + 1 where another seed did, CF_LABELLED where none
 * did, 0 below the floor. Seeds below the floor reach nothing. */
cf_status flood(const Grid *grid, Order order, const Seeds *seeds, Basins *basins);

#endif
