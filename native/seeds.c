/* h-maxima by persistence. A peak survives unless a path leads to a higher peak without falling h below it.
 *
 * Paths step between pixels at most `radius` apart (at least to the 8 neighbours), as the disk footprint of
 * deepcell_toolbox's h-maxima does. Every pixel is joined to its peak by a path that only rises, so it is enough to
 * know the passes between basins, and of these only the ones that could end a peak. Going through them from high to
 * low (Kruskal) with union-find, each component keeps its highest peak.
 */
#include "seeds.h"

#include <math.h>
#include <stdlib.h>

/* Does a peak of this height outlast a pass of that height? */
CF_INLINE int persistent(float peak, float pass, double h) { return (double)peak - (double)pass >= h && peak > pass; }

typedef struct {
    const Grid *grid;
    Order order;
    const Basins *basins;
    const SeedSpec *spec;
    float *height; /* per basin: value of its peak */
    uint32_t *parent;
    Saddles saddles;
} SeedSearch;

/* A pass so low that the lower of its own two peaks outlasts it cannot end any peak: drop it here. */
static cf_status add_pass(void *context, uint32_t p, uint32_t q) {
    SeedSearch *search = context;
    const float *field = search->order.first;
    const uint32_t a = search->basins->basin[p], b = search->basins->basin[q];
    const float height_a = search->height[a], height_b = search->height[b];
    const uint32_t lower = field[p] > field[q] ? q : p; /* which of two equal ones does not matter */
    if (persistent(height_a < height_b ? height_a : height_b, field[lower], search->spec->h)) return CF_OK;
    return saddles_add(&search->saddles, a, b, lower);
}

/* Passes from pixel p to any other basin's pixel of row `y`, columns from … to. */
static cf_status hop_to_row(SeedSearch *search, uint32_t p, size_t y, size_t from, size_t to) {
    const uint32_t *basin = search->basins->basin;
    const size_t row = grid_row(search->grid, y);
    for (size_t q = row + from; q <= row + to; q++) {
        if (basin[q] == basin[p] || basin[q] == 0) continue;
        if (add_pass(search, p, (uint32_t)q) != CF_OK) return CF_NO_MEMORY;
    }
    return CF_OK;
}

static cf_status hop_from(SeedSearch *search, size_t y, size_t x) {
    const Grid *grid = search->grid;
    const size_t radius = search->spec->radius;
    const size_t first = y > radius ? y - radius : 0;
    const uint32_t p = (uint32_t)(grid_row(grid, y) + x);
    for (size_t to = first; to < grid->height && to <= y + radius; to++) {
        const size_t down = to > y ? to - y : y - to;
        size_t reach = 0;
        while ((reach + 1) * (reach + 1) + down * down <= radius * radius) reach++;
        const size_t left = x > reach ? x - reach : 0;
        const size_t right = x + reach < grid->width ? x + reach : grid->width - 1;
        if (hop_to_row(search, p, to, left, right) != CF_OK) return CF_NO_MEMORY;
    }
    return CF_OK;
}

/* Hops farther than the visited neighbours. A pass can only matter if it lies within h of the lower of its two peaks,
 * so it is found from a pixel within h of its own peak: few pixels have to look around. */
static cf_status add_hops(SeedSearch *search) {
    const float *field = search->order.first;
    const Basins *basins = search->basins;
    for (size_t y = 0; y < search->grid->height; y++) {
        const size_t row = grid_row(search->grid, y);
        for (size_t x = 0; x < search->grid->width; x++) {
            const uint32_t b = basins->basin[row + x];
            if (b == 0 || persistent(search->height[b], field[row + x], search->spec->h)) continue;
            if (hop_from(search, y, x) != CF_OK) return CF_NO_MEMORY;
        }
    }
    return CF_OK;
}

static cf_status collect_passes(SeedSearch *search) {
    const int hop_two = search->spec->radius == 2;
    if (visit_edges(search->grid, search->basins->basin, CF_EIGHT, hop_two, add_pass, search) != CF_OK)
        return CF_NO_MEMORY;
    if (search->spec->radius > 2 && add_hops(search) != CF_OK) return CF_NO_MEMORY;
    return saddles_finish(&search->saddles);
}

/* Each tree's root is the component's highest peak. Components whose lower peak outlasts the pass stay apart: no
 * lower pass can end either of them through the other. */
static void join_passes(SeedSearch *search) {
    uint32_t *parent = search->parent;
    for (size_t i = 0; i < search->saddles.count; i++) {
        const Saddle pass = search->saddles.items[i];
        const uint32_t a = find_root(parent, pass.a), b = find_root(parent, pass.b);
        if (a == b) continue;
        const int a_wins = higher(search->order, search->basins->peak[a], search->basins->peak[b]);
        const uint32_t winner = a_wins ? a : b, loser = a_wins ? b : a;
        if (!persistent(search->height[loser], search->order.first[pass.pixel], search->spec->h))
            parent[loser] = winner;
    }
}

/* Nothing lies below 0: a peak lower than h is never a seed. A peak outside the interior reaches nothing. */
static int eligible(Order order, const SeedSpec *spec, uint32_t peak) {
    return persistent(order.first[peak], 0.0f, spec->h) && order.second[peak] > spec->interior;
}

float relevant_floor(Order order, const Basins *basins, const SeedSpec *spec) {
    float lowest = INFINITY;
    for (uint32_t b = 1; b <= basins->count; b++) {
        const float height = order.first[basins->peak[b]];
        if (height < lowest && eligible(order, spec, basins->peak[b])) lowest = height;
    }
    if (lowest == INFINITY) return INFINITY;
    float floor = (float)(lowest - spec->h);
    while (floor > 0 && !persistent(lowest, floor, spec->h)) floor = nextafterf(floor, -1.0f);
    return floor > 0 ? floor : 0.0f;
}

static cf_status keep_roots(const SeedSearch *search, Seeds *seeds) {
    const Basins *basins = search->basins;
    seeds->pixel = malloc(((size_t)basins->count + 1) * sizeof *seeds->pixel);
    if (!seeds->pixel) return CF_NO_MEMORY;
    seeds->count = 0;
    for (uint32_t b = 1; b <= basins->count; b++)
        if (search->parent[b] == b && eligible(search->order, search->spec, basins->peak[b]))
            seeds->pixel[seeds->count++] = basins->peak[b];
    return CF_OK;
}

static cf_status run(SeedSearch *search, Seeds *seeds) {
    for (uint32_t b = 1; b <= search->basins->count; b++)
        search->height[b] = search->order.first[search->basins->peak[b]];
    if (collect_passes(search) != CF_OK) return CF_NO_MEMORY;
    join_passes(search);
    return keep_roots(search, seeds);
}

cf_status find_seeds(const Grid *grid, Order order, const Basins *basins, const SeedSpec *spec, Seeds *seeds) {
    SeedSearch *search = malloc(sizeof *search);
    if (!search) return CF_NO_MEMORY;
    search->grid = grid;
    search->order = order;
    search->basins = basins;
    search->spec = spec;
    search->height = malloc(((size_t)basins->count + 1) * sizeof *search->height);
    search->parent = new_forest(basins->count);
    saddles_start(&search->saddles, order);
    const cf_status status = search->height && search->parent ? run(search, seeds) : CF_NO_MEMORY;
    saddles_free(&search->saddles);
    free(search->parent);
    free(search->height);
    free(search);
    return status;
}
