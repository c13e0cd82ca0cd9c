/* Small background regions inside one object become part of it. */
#ifndef CELLFLEET_HOLES_H
#define CELLFLEET_HOLES_H

#include "known.h"

/* Fill background regions (4-connected) of at most `largest` pixels that one object alone surrounds, away from the
 * image's border. A region that CF_UNKNOWN could make one, or keep from being one, becomes CF_UNKNOWN. */
cf_status fill_holes(size_t height, size_t width, size_t largest, uint32_t *labels);

#endif
