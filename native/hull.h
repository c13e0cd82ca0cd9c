/* Area of convex hulls as scikit-image defines it. */
#ifndef CELLFLEET_HULL_H
#define CELLFLEET_HULL_H

#include "common.h"

/* Leftmost and rightmost column of an object in one row; right < left where the row is empty. */
typedef struct {
    int64_t left, right;
} Extent;

typedef struct {
    int64_t y, x;
} HullPoint;

/* Pixels whose centre lies in, or on, the convex hull of the midpoints of the object's pixel edges. `scratch` has room
 * for 2 * height + 1 points; `column` for `height` numbers. */
int64_t hull_area(const Extent *rows, size_t height, HullPoint *scratch, int64_t *column);

#endif
