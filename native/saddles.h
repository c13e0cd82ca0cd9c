/* Where basins touch: border edges, the highest saddle of each touching pair, saddles from high to low. */
#ifndef CELLFLEET_SADDLES_H
#define CELLFLEET_SADDLES_H

#include "basins.h"

/* Two touching basins and the lower pixel of the highest edge between them. Basin 0 stands for a seed: a basin
 * "touches" it at the seed's pixel. */
typedef struct {
    uint32_t a, b, pixel;
} Saddle;

enum { CF_SADDLE_CACHE = 1024 };

/* A growing list of saddles behind a small cache that drops most repetitions: edges of one border come one after
 * another. A pair may still stand in the list twice; Kruskal's algorithm does not mind. */
typedef struct {
    Saddle *items;
    size_t count, capacity;
    Order order;
    Saddle cache[CF_SADDLE_CACHE];
} Saddles;

void saddles_start(Saddles *saddles, Order order);
cf_status saddles_add(Saddles *saddles, uint32_t a, uint32_t b, uint32_t pixel);
/* Empty the cache into the list and sort it, highest pixel first. */
cf_status saddles_finish(Saddles *saddles);
void saddles_free(Saddles *saddles);

/* Called for both pixels of an edge between two different basins. */
typedef cf_status (*EdgeVisitor)(void *context, uint32_t p, uint32_t q);

/* Visit every edge between 4-neighbours of different basins. */
cf_status visit_edges(const Grid *grid, const uint32_t *basin, EdgeVisitor visit, void *context);

/* Union-find with path halving; `parent` has an entry per basin and for 0. */
CF_INLINE uint32_t find_root(uint32_t *parent, uint32_t i) {
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

/* parent[i] = i for 0 … count; NULL without memory. */
uint32_t *new_forest(uint32_t count);

#endif
