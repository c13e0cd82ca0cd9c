/* h-maxima by persistence. A peak survives unless a path leads to a higher peak without falling h below it.
 *
 * Paths step between pixels at most `radius` apart (at least to the 8 neighbours), as the disk footprint of
 * deepcell_toolbox's h-maxima does. Every pixel is joined to its peak by a path that only rises, so it is enough to
 * know the passes between basins, and of these only the ones that could end a peak. Going through them from high to
 * low (Kruskal) with union-find, each component keeps its highest peak.
 */
#include "seeds.h"

#include <stdlib.h>

/* Does a peak of this height outlast a pass of that height? */
CF_INLINE int persistent(float peak, float pass, double h) { return (double)peak - (double)pass >= h && peak > pass; }

typedef struct {
    const Grid *grid;
    Order order;
    const Basins *basins;
    double h;
    size_t radius;
    Saddles saddles;
} SeedSearch;

/* A pass so low that the lower of its own two peaks outlasts it cannot end any peak: drop it here. */
static cf_status add_pass(void *context, uint32_t p, uint32_t q) {
    SeedSearch *search = context;
    const float *field = search->order.first;
    const uint32_t a = search->basins->basin[p], b = search->basins->basin[q];
    const float peak_a = field[search->basins->peak[a]], peak_b = field[search->basins->peak[b]];
    const uint32_t lower = higher(search->order, p, q) ? q : p;
    if (persistent(peak_a < peak_b ? peak_a : peak_b, field[lower], search->h)) return CF_OK;
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
    const size_t radius = search->radius;
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
            if (b == 0 || persistent(field[basins->peak[b]], field[row + x], search->h)) continue;
            if (hop_from(search, y, x) != CF_OK) return CF_NO_MEMORY;
        }
    }
    return CF_OK;
}

static cf_status collect_passes(SeedSearch *search) {
    const int hop_two = search->radius == 2;
    if (visit_edges(search->grid, search->basins->basin, CF_EIGHT, hop_two, add_pass, search) != CF_OK)
        return CF_NO_MEMORY;
    if (search->radius > 2 && add_hops(search) != CF_OK) return CF_NO_MEMORY;
    return saddles_finish(&search->saddles);
}

/* Each tree's root is the component's highest peak. Components whose lower peak outlasts the pass stay apart: no
 * lower pass can end either of them through the other. */
static void join_passes(const SeedSearch *search, uint32_t *parent) {
    const float *field = search->order.first;
    const uint32_t *peak = search->basins->peak;
    for (size_t i = 0; i < search->saddles.count; i++) {
        const Saddle pass = search->saddles.items[i];
        const uint32_t a = find_root(parent, pass.a), b = find_root(parent, pass.b);
        if (a == b) continue;
        const int a_wins = higher(search->order, peak[a], peak[b]);
        const uint32_t winner = a_wins ? a : b, loser = a_wins ? b : a;
        if (!persistent(field[peak[loser]], field[pass.pixel], search->h)) parent[loser] = winner;
    }
}

/* Nothing lies below 0: a peak lower than h is never a seed. */
static cf_status keep_roots(const SeedSearch *search, const uint32_t *parent, Seeds *seeds) {
    const Basins *basins = search->basins;
    const float *field = search->order.first;
    uint32_t count = 0;
    for (uint32_t i = 1; i <= basins->count; i++)
        count += parent[i] == i && persistent(field[basins->peak[i]], 0.0f, search->h);
    seeds->pixel = malloc(((size_t)count + 1) * sizeof *seeds->pixel);
    if (!seeds->pixel) return CF_NO_MEMORY;
    seeds->count = 0;
    for (uint32_t i = 1; i <= basins->count; i++)
        if (parent[i] == i && persistent(field[basins->peak[i]], 0.0f, search->h))
            seeds->pixel[seeds->count++] = basins->peak[i];
    return CF_OK;
}

cf_status find_seeds(const Grid *grid, Order order, const Basins *basins, double h, size_t radius, Seeds *seeds) {
    SeedSearch *search = malloc(sizeof *search);
    uint32_t *parent = new_forest(basins->count);
    cf_status status = CF_NO_MEMORY;
    if (search && parent) {
        search->grid = grid;
        search->order = order;
        search->basins = basins;
        search->h = h;
        search->radius = radius;
        saddles_start(&search->saddles, order);
        status = collect_passes(search);
        if (status == CF_OK) {
            join_passes(search, parent);
            status = keep_roots(search, parent, seeds);
        }
        saddles_free(&search->saddles);
    }
    free(parent);
    free(search);
    return status;
}
