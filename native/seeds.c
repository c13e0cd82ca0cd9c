/* h-maxima by looking around. A peak is a seed unless a path leads to a higher pixel without falling h below the peak.
 *
 * Paths step between pixels at most `radius` apart (at least to the 8 neighbours), as the disk footprint of
 * deepcell_toolbox's h-maxima does. From each peak, the pixels less than h below it are explored, the highest peak
 * first. Meeting a pixel that an earlier peak explored is as good as meeting that peak: it was reached without falling
 * even as low as this one may. So no pixel is explored twice, and the search is linear.
 *
 * In a block, a search that saw beyond what is known and met nothing higher leaves it open whether the peak is a seed.
 */
#include "seeds.h"

#include <stdlib.h>
#include <string.h>

#include "saddles.h"

/* Does a peak of this height outlast a pass of that height? */
CF_INLINE int persistent(float peak, float pass, double h) { return (double)peak - (double)pass >= h && peak > pass; }

enum { UNSEEN = 0, SEEN_NOW = 1, SEEN_EARLIER = 2 };
typedef enum { ALONE, UNSURE, SURPASSED, FAILED } Outcome;

typedef struct {
    const Grid *grid;
    Order order;
    const SeedSpec *spec;
    Known safe;        /* pixels whose hops end in what is known */
    int astray;        /* a pixel explored from the present peak is not one of them */
    uint8_t *seen;     /* per pixel */
    size_t *reach;     /* reach[d]: columns that a hop over d rows may cross */
    size_t rows;       /* that a hop may cross */
    uint32_t *pixels;  /* explored from the present peak */
    size_t count, capacity;
} SeedSearch;

static cf_status take(SeedSearch *search, uint32_t pixel) {
    if (search->count == search->capacity) {
        const size_t capacity = search->capacity ? 2 * search->capacity : 1024;
        uint32_t *pixels = realloc(search->pixels, capacity * sizeof *pixels);
        if (!pixels) return CF_NO_MEMORY;
        search->pixels = pixels;
        search->capacity = capacity;
    }
    search->seen[pixel] = SEEN_NOW;
    search->pixels[search->count++] = pixel;
    return CF_OK;
}

/* Take the pixels from … to that do not fall h below the peak, unless one of them surpasses it. */
static Outcome explore_row(SeedSearch *search, uint32_t peak, size_t from, size_t to) {
    const float *field = search->order.first, height = field[peak];
    for (size_t q = from; q <= to; q++) {
        if (persistent(height, field[q], search->spec->h) || search->seen[q] == SEEN_NOW) continue;
        if (search->seen[q] == SEEN_EARLIER || higher(search->order, (uint32_t)q, peak)) return SURPASSED;
        if (take(search, (uint32_t)q) != CF_OK) return FAILED;
    }
    return ALONE;
}

static Outcome explore_around(SeedSearch *search, uint32_t peak, uint32_t pixel) {
    const Grid *grid = search->grid;
    const size_t y = pixel / grid->stride - 1, x = pixel % grid->stride - 1;
    if (!is_inside(&search->safe, y, x)) search->astray = 1;
    const size_t last = y + search->rows < grid->height ? y + search->rows : grid->height - 1;
    for (size_t row = y > search->rows ? y - search->rows : 0; row <= last; row++) {
        const size_t reach = search->reach[row > y ? row - y : y - row], start = grid_row(grid, row);
        const size_t left = x > reach ? x - reach : 0;
        const size_t right = x + reach < grid->width ? x + reach : grid->width - 1;
        const Outcome outcome = explore_row(search, peak, start + left, start + right);
        if (outcome != ALONE) return outcome;
    }
    return ALONE;
}

static Outcome explore(SeedSearch *search, uint32_t peak) {
    search->count = 0;
    search->astray = 0;
    Outcome outcome = search->seen[peak] == SEEN_EARLIER ? SURPASSED : ALONE;
    if (outcome == ALONE && take(search, peak) != CF_OK) return FAILED;
    for (size_t i = 0; i < search->count && outcome == ALONE; i++)
        outcome = explore_around(search, peak, search->pixels[i]);
    for (size_t i = 0; i < search->count; i++) search->seen[search->pixels[i]] = SEEN_EARLIER;
    return outcome == ALONE && search->astray ? UNSURE : outcome;
}

/* A disk, but never less than the 8 neighbours. */
static cf_status set_reach(SeedSearch *search) {
    const size_t radius = search->spec->radius;
    search->rows = radius > 1 ? radius : 1;
    search->reach = malloc((search->rows + 1) * sizeof *search->reach);
    if (!search->reach) return CF_NO_MEMORY;
    for (size_t down = 0; down <= search->rows; down++) {
        size_t reach = down <= 1 ? 1 : 0;
        while ((reach + 1) * (reach + 1) + down * down <= radius * radius) reach++;
        search->reach[down] = reach;
    }
    return CF_OK;
}

/* Nothing lies below 0: a peak lower than h is never a seed. A peak outside the interior reaches nothing. */
static int eligible(Order order, const SeedSpec *spec, uint32_t peak) {
    return persistent(order.first[peak], 0.0f, spec->h) && order.second[peak] > spec->interior;
}

static cf_status list_candidates(Order order, const Basins *peaks, const SeedSpec *spec, Saddles *candidates) {
    saddles_start(candidates, order);
    for (uint32_t b = 1; b <= peaks->count; b++)
        if (eligible(order, spec, peaks->peak[b]) && saddles_add(candidates, 0, b, peaks->peak[b]) != CF_OK)
            return CF_NO_MEMORY;
    return saddles_finish(candidates);
}

/* Certain seeds fill the list from its front, the others from its back; then the gap between them is closed. */
static cf_status decide(SeedSearch *search, const Saddles *candidates, Seeds *seeds) {
    size_t certain = 0, others = candidates->count;
    for (size_t i = 0; i < candidates->count; i++) {
        const uint32_t peak = candidates->items[i].pixel;
        const Outcome outcome = explore(search, peak);
        if (outcome == FAILED) return CF_NO_MEMORY;
        if (outcome == ALONE) seeds->pixel[certain++] = peak;
        if (outcome == UNSURE) seeds->pixel[--others] = peak;
    }
    memmove(seeds->pixel + certain, seeds->pixel + others, (candidates->count - others) * sizeof *seeds->pixel);
    seeds->certain = (uint32_t)certain;
    seeds->count = (uint32_t)(certain + candidates->count - others);
    return CF_OK;
}

static cf_status run(SeedSearch *search, const Known *known, const Basins *peaks, Saddles *candidates, Seeds *seeds) {
    if (list_candidates(search->order, peaks, search->spec, candidates) != CF_OK) return CF_NO_MEMORY;
    seeds->pixel = malloc((candidates->count + 1) * sizeof *seeds->pixel);
    if (!seeds->pixel || set_reach(search) != CF_OK) return CF_NO_MEMORY;
    search->safe = known_around(known, search->grid, search->rows);
    memset(search->seen, UNSEEN, search->grid->size);
    return decide(search, candidates, seeds);
}

cf_status find_seeds(const Grid *grid, const Known *known, Order order, const Basins *peaks, const SeedSpec *spec,
                     Seeds *seeds) {
    SeedSearch search = {.grid = grid, .order = order, .spec = spec, .seen = peaks->direction};
    Saddles *candidates = malloc(sizeof *candidates);
    if (!candidates) return CF_NO_MEMORY;
    const cf_status status = run(&search, known, peaks, candidates, seeds);
    saddles_free(candidates);
    free(candidates);
    free(search.reach);
    free(search.pixels);
    return status;
}

cf_status add_entrances(const Grid *grid, const Known *known, const float *field, float floor, Seeds *seeds) {
    const Known inner = known_around(known, grid, 1);
    const size_t ring = 2 * (known->bottom - known->top + known->right - known->left);
    uint32_t *pixel = realloc(seeds->pixel, (seeds->count + ring + 1) * sizeof *pixel);
    if (!pixel) return CF_NO_MEMORY;
    seeds->pixel = pixel;
    for (size_t y = known->top; y < known->bottom; y++) {
        for (size_t x = known->left; x < known->right; x++) {
            if (is_inside(&inner, y, x)) x = inner.right;
            const size_t p = grid_row(grid, y) + x;
            if (x < known->right && field[p] > floor) seeds->pixel[seeds->count++] = (uint32_t)p;
        }
    }
    return CF_OK;
}
