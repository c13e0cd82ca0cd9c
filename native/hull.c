/* Convex hull from the extremes of an object's rows, in whole numbers.
 *
 * Coordinates are doubled, so that edge midpoints are integers: pixel (y, x) brings (2y, 2x ± 1) and (2y ± 1, 2x).
 * The left side of the hull is the monotone chain (Andrew 1979) over at most one point per doubled row; the right side
 * is the left side of the mirror image. No rounding takes place.
 */
#include "hull.h"

/* Does the chain a → b → c turn so that b is not needed? */
static int redundant(HullPoint a, HullPoint b, HullPoint c) {
    return (b.x - a.x) * (c.y - a.y) >= (c.x - a.x) * (b.y - a.y);
}

static size_t push(HullPoint *chain, size_t count, HullPoint point) {
    if (count && chain[count - 1].y == point.y) {
        if (chain[count - 1].x <= point.x) return count;
        count--;
    }
    while (count >= 2 && redundant(chain[count - 2], chain[count - 1], point)) count--;
    chain[count] = point;
    return count + 1;
}

static int64_t ceil_divide(int64_t a, int64_t b) { return a / b + (a % b > 0); }

/* column[y]: the first pixel centre inside the chain, for every row of the object. */
static void read_columns(const HullPoint *chain, size_t height, int64_t *column) {
    size_t k = 0;
    for (size_t y = 0; y < height; y++) {
        const int64_t row = 2 * (int64_t)y;
        while (chain[k + 1].y < row) k++;
        const HullPoint a = chain[k], b = chain[k + 1];
        const int64_t rise = b.y - a.y;
        column[y] = ceil_divide(a.x * rise + (b.x - a.x) * (row - a.y), 2 * rise);
    }
}

static void left_side(const Extent *rows, size_t height, int mirrored, HullPoint *chain, int64_t *column) {
    size_t count = 0;
    for (size_t i = 0; i < height; i++) {
        if (rows[i].right < rows[i].left) continue;
        const int64_t y = 2 * (int64_t)i, x = 2 * (mirrored ? -rows[i].right : rows[i].left);
        const HullPoint above = {y - 1, x}, beside = {y, x - 1}, below = {y + 1, x};
        count = push(chain, count, above);
        count = push(chain, count, beside);
        count = push(chain, count, below);
    }
    read_columns(chain, height, column);
}

int64_t hull_area(const Extent *rows, size_t height, HullPoint *scratch, int64_t *column) {
    int64_t area = 0;
    left_side(rows, height, 0, scratch, column);
    for (size_t y = 0; y < height; y++) area -= column[y] - 1;
    left_side(rows, height, 1, scratch, column);
    for (size_t y = 0; y < height; y++) area -= column[y];
    return area;
}
