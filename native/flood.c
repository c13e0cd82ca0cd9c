/* Meyer's flooding without a queue.
 *
 * The flood of a priority queue reaches basin M over its *entry*: the highest of all passes and seed pixels over which
 * a reached place touches M. Whatever in M lies above the entry is then filled at once and takes the entry's label.
 * So the flood sees the field `risen`: risen(p) = the lower of p and the entry of p's basin; and every pixel takes the
 * label of the 4-neighbour that is highest in the risen field. Three steps follow:
 *   1. entries, by Kruskal over saddles from high to low, seeds being saddles to the outside (basin 0);
 *   2. directions, which were found on the plain field, are turned where the risen field differs;
 *   3. labels, per basin where no direction was turned, along the directions elsewhere.
 * The result equals the priority flood pixel by pixel under the total order of common.h.
 */
#include "flood.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const Grid *grid;
    Order order;
    Basins *basins;
    uint32_t *parent;  /* per basin: union-find among basins that share an entry */
    uint32_t *entry;   /* per basin: pixel of the entry; 0 where nothing reaches it */
    uint32_t *reached; /* roots of components in the order in which they were entered */
    uint32_t *link;    /* per item of `reached`: the pixel whose label the entry takes, unless it is a seed */
    uint32_t count;    /* of `reached` */
    uint32_t *label;   /* per root, then per basin, with the bit CF_LABELLED */
    uint8_t *turned;   /* per basin: some of its directions or labels deviate */
    ptrdiff_t offsets[CF_DIRECTIONS];
    Saddles saddles;
} Flood;

static cf_status add_saddle(void *context, uint32_t p, uint32_t q) {
    Flood *f = context;
    const uint32_t *basin = f->basins->basin;
    return saddles_add(&f->saddles, basin[p], basin[q], higher(f->order, p, q) ? q : p);
}

static cf_status collect_saddles(Flood *f, const Seeds *seeds) {
    const uint32_t *basin = f->basins->basin;
    if (visit_edges(f->grid, basin, add_saddle, f) != CF_OK) return CF_NO_MEMORY;
    for (uint32_t k = 0; k < seeds->count; k++) {
        const uint32_t pixel = seeds->pixel[k];
        if (basin[pixel] && saddles_add(&f->saddles, 0, basin[pixel], pixel) != CF_OK) return CF_NO_MEMORY;
    }
    return saddles_finish(&f->saddles);
}

static void enter(Flood *f, uint32_t root, uint32_t pixel) {
    f->entry[root] = pixel;
    f->reached[f->count++] = root;
}

/* Components without a seed join; one that meets a reached one is entered there; two reached ones stay apart. */
static void find_entries(Flood *f) {
    f->entry[0] = 1; /* any pixel but 0: the outside counts as reached */
    for (size_t i = 0; i < f->saddles.count; i++) {
        const Saddle saddle = f->saddles.items[i];
        const uint32_t a = find_root(f->parent, saddle.a), b = find_root(f->parent, saddle.b);
        if (a == b || (f->entry[a] && f->entry[b])) continue;
        if (!f->entry[a] && !f->entry[b])
            f->parent[b] = a;
        else
            enter(f, f->entry[a] ? b : a, saddle.pixel);
    }
    for (uint32_t b = 1; b <= f->basins->count; b++) f->entry[b] = f->entry[find_root(f->parent, b)];
}

/* The pixel whose height p has in the risen field; 0 where the flood does not come. */
static uint32_t risen(const Flood *f, uint32_t p) {
    const uint32_t entry = f->entry[f->basins->basin[p]];
    return entry && higher(f->order, p, entry) ? entry : entry ? p : 0;
}

static int highest_risen(const Flood *f, uint32_t p) {
    static const int NEIGHBOURS[4] = {1, 3, 5, 7};
    int best = CF_NONE;
    uint32_t height = 0;
    for (int i = 0; i < 4; i++) {
        const uint32_t q = (uint32_t)((ptrdiff_t)p + f->offsets[NEIGHBOURS[i]]);
        const uint32_t rise = f->basins->basin[q] ? risen(f, q) : 0;
        if (rise && (best == CF_NONE || higher(f->order, rise, height))) {
            best = NEIGHBOURS[i];
            height = rise;
        }
    }
    return best;
}

/* Only a pixel below its basin's entry, beside a pixel of another basin above that entry, can have been led astray:
 * within a basin the plain and the risen field rise the same way. */
static cf_status turn_direction(void *context, uint32_t p, uint32_t q) {
    Flood *f = context;
    const uint32_t low = higher(f->order, p, q) ? q : p, high = low == p ? q : p;
    const uint32_t basin = f->basins->basin[low], entry = f->entry[basin];
    if (!entry || !higher(f->order, entry, low) || !higher(f->order, high, entry)) return CF_OK;
    const int direction = highest_risen(f, low);
    if (f->basins->basin[(ptrdiff_t)low + f->offsets[direction]] != basin) {
        f->basins->direction[low] = (uint8_t)direction;
        f->turned[basin] = 1;
    }
    return CF_OK;
}

static void link_entries(Flood *f) {
    for (uint32_t i = 0; i < f->count; i++) {
        const uint32_t entry = f->entry[f->reached[i]];
        f->link[i] = (uint32_t)((ptrdiff_t)entry + f->offsets[highest_risen(f, entry)]);
    }
}

/* A seed keeps its own label whatever flows past it. */
static void plant_seeds(Flood *f, const Seeds *seeds) {
    for (uint32_t k = 0; k < seeds->count; k++) {
        const uint32_t pixel = seeds->pixel[k], basin = f->basins->basin[pixel];
        if (!basin || basin & CF_LABELLED) continue;
        if (f->entry[basin] != pixel) f->turned[basin] = 1;
        f->basins->basin[pixel] = CF_LABELLED | ((k < seeds->certain ? k : seeds->certain) + 1);
    }
}

/* The label (with its CF_LABELLED bit) that pixel p leads to; kept along the way, so that walks add up to O(n). */
static uint32_t trace(const Flood *f, uint32_t p) {
    uint32_t *basin = f->basins->basin;
    const uint8_t *direction = f->basins->direction;
    uint32_t q = p;
    while (!(basin[q] & CF_LABELLED) && f->turned[basin[q]] && direction[q] != CF_CENTRE)
        q = (uint32_t)((ptrdiff_t)q + f->offsets[direction[q]]);
    const uint32_t label = basin[q] & CF_LABELLED ? basin[q] : f->label[find_root(f->parent, basin[q])];
    for (uint32_t w = p; w != q; w = (uint32_t)((ptrdiff_t)w + f->offsets[direction[w]])) basin[w] = label;
    return label;
}

/* Components in the order of their entries: what an entry links to lies higher, so its label is known. */
static void label_components(Flood *f) {
    for (uint32_t b = 0; b <= f->basins->count; b++) f->label[b] = CF_LABELLED;
    for (uint32_t i = 0; i < f->count; i++) {
        const uint32_t root = f->reached[i], own = f->basins->basin[f->entry[root]];
        f->label[root] = own & CF_LABELLED ? own : trace(f, f->link[i]);
    }
    for (uint32_t b = 1; b <= f->basins->count; b++) f->label[b] = f->label[find_root(f->parent, b)];
}

static void label_pixels(const Flood *f) {
    uint32_t *basin = f->basins->basin;
    for (size_t y = 0; y < f->grid->height; y++) {
        const size_t row = grid_row(f->grid, y);
        for (size_t p = row; p < row + f->grid->width; p++) {
            const uint32_t b = basin[p];
            if (b == 0 || b & CF_LABELLED) continue;
            basin[p] = f->turned[b] ? trace(f, (uint32_t)p) : f->label[b];
        }
    }
}

static cf_status run(Flood *f, const Seeds *seeds) {
    if (collect_saddles(f, seeds) != CF_OK) return CF_NO_MEMORY;
    find_entries(f);
    if (visit_edges(f->grid, f->basins->basin, turn_direction, f) != CF_OK) return CF_NO_MEMORY;
    link_entries(f);
    plant_seeds(f, seeds);
    label_components(f);
    label_pixels(f);
    return CF_OK;
}

static cf_status allocate(Flood *f) {
    const size_t slots = (size_t)f->basins->count + 1;
    f->parent = new_forest(f->basins->count);
    f->entry = calloc(slots, sizeof *f->entry);
    f->reached = malloc(slots * sizeof *f->reached);
    f->link = malloc(slots * sizeof *f->link);
    f->label = malloc(slots * sizeof *f->label);
    f->turned = calloc(slots, 1);
    return f->parent && f->entry && f->reached && f->link && f->label && f->turned ? CF_OK : CF_NO_MEMORY;
}

static void release(Flood *f) {
    saddles_free(&f->saddles);
    free(f->turned);
    free(f->label);
    free(f->link);
    free(f->reached);
    free(f->entry);
    free(f->parent);
    free(f);
}

cf_status flood(const Grid *grid, Order order, const Seeds *seeds, Basins *basins) {
    Flood *f = calloc(1, sizeof *f);
    if (!f) return CF_NO_MEMORY;
    f->grid = grid;
    f->order = order;
    f->basins = basins;
    direction_offsets(grid, f->offsets);
    saddles_start(&f->saddles, order);
    cf_status status = allocate(f);
    if (status == CF_OK) status = run(f, seeds);
    release(f);
    return status;
}
