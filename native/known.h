/* Which part of a block is known, and why what is found there holds for the whole image.
 *
 * A block is a piece of a larger image, done alone. Its labels are those of the whole image, or UNKNOWN; a whole image
 * is the block of which everything is known, and takes the same path. The argument, step by step:
 *
 * Fields. Smoothing and dilation look a fixed distance around. Farther than that from a side where the image goes on
 * the smoothed fields have the bits of the whole image's: that rectangle is known. Beyond it fields are minus infinity,
 * so that no step takes part in them.
 *
 * Seeds (seeds.c). A path inside the known rectangle to a higher pixel stays there whatever lies around: a peak that is
 * surpassed is no seed. A peak that nothing surpasses is a seed if all its hops ended inside the rectangle; else it
 * *may* be one. So the seeds of the image that lie inside are among these two kinds.
 *
 * Flood (flood.c). Sources of the label "unknown" are, beside the seeds that may be, all foreground pixels of the
 * rectangle's outermost ring on the sides where the image goes on. Let r be the risen field of the whole image and r' the
 * one of this flood.
 *   - r' >= r: of a highest path in the image from a seed to p, take what follows its last pixel outside. It begins at a
 *     ring pixel, which is a source, or at a seed, which is one too, and it is nowhere lower than the whole path.
 *   - A pixel p that gets the label of a certain seed here has r = r' and that label in the image. By induction from
 *     high to low: p is that seed, or not a source and hence not on the ring, so all its neighbours are known. Its
 *     highest neighbour q in r' has the label, so r(q) = r'(q), and no other neighbour n is higher in the image:
 *     r(n) <= r'(n) <= r'(q) = r(q). So p takes the label of q in the image, too. (Where q is no higher than p in r',
 *     both are filled over the same entry e, which is known from above to have r(e) = r'(e) and the label.)
 *   - A pixel that nothing reaches here has no r', so no r: it is background.
 * The order of pixels is that of the whole image, because raster order within a rectangle is.
 *
 * Objects (objects.c). An object is complete if no pixel beside it is unknown: were there more of it in the image, it
 * would go on in a pixel beside what is here, whose label is known to be another. Complete and small is dropped;
 * small so far becomes unknown; large enough stays, complete or not.
 *
 * Holes (holes.c). Background that is shown to be open (the image's border, two objects, too many pixels) stays open
 * however much is added to it. Background that meets the unknown before that may or may not be a hole: it becomes
 * unknown, and so the object around it is not complete.
 */
#ifndef CELLFLEET_KNOWN_H
#define CELLFLEET_KNOWN_H

#include "common.h"

/* Label of pixels whose truth may depend on what lies outside the block. */
#define CF_UNKNOWN UINT32_MAX

/* The known rectangle of a block, half open. Where it ends with the block, the image ends, too. */
typedef struct {
    size_t top, left, bottom, right;
} Known;

CF_INLINE int all_known(const Known *known, const Grid *grid) {
    return known->top == 0 && known->left == 0 && known->bottom == grid->height && known->right == grid->width;
}

/* The pixels from which a step of `reach` rows and columns ends in the known rectangle or beyond the image. */
CF_INLINE Known known_around(const Known *known, const Grid *grid, size_t reach) {
    const Known inner = {
        known->top > 0 ? known->top + reach : 0,
        known->left > 0 ? known->left + reach : 0,
        known->bottom < grid->height ? (known->bottom > reach ? known->bottom - reach : 0) : grid->height,
        known->right < grid->width ? (known->right > reach ? known->right - reach : 0) : grid->width,
    };
    return inner;
}

CF_INLINE int is_inside(const Known *known, size_t y, size_t x) {
    return y >= known->top && y < known->bottom && x >= known->left && x < known->right;
}

#endif
