/* smooth → peaks and seeds of the maxima head → basins and flood of the interior head → objects.
 *
 * Ties in one field are broken by the other, then by raster order: a flat top of the interior drains along the maxima
 * head to its own seed, and of a flat seed the pixel deepest inside the object stands for it.
 */
#include "watershed.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "flood.h"
#include "memory.h"

typedef struct {
    Grid grid;
    Known known;
    float *maxima, *interior;
    Basins basins; /* peaks of the maxima, then, in the same memory, basins of the interior */
} Work;

static cf_status prepare_fields(Work *work, const Block *block, const WatershedSpec *spec) {
    const Grid *grid = &work->grid;
    if (smooth_head(grid, block->maxima, spec->maxima_smooth, work->maxima) != CF_OK) return CF_NO_MEMORY;
    if (smooth_head(grid, block->interior, spec->interior_smooth, work->interior) != CF_OK) return CF_NO_MEMORY;
    if (dilate_field(grid, spec->pixel_expansion, work->interior) != CF_OK) return CF_NO_MEMORY;
    fill_outside(grid, &work->known, work->maxima);
    fill_outside(grid, &work->known, work->interior);
    return CF_OK;
}

static cf_status search_seeds(Work *work, const WatershedSpec *spec, Seeds *seeds) {
    const Order order = {work->maxima, work->interior};
    const float floor = (float)spec->interior_threshold;
    const SeedSpec wanted = {spec->maxima_threshold, spec->radius, floor};
    cf_status status = find_peaks(&work->grid, order, 0.0f, CF_EIGHT, &work->basins);
    if (status == CF_OK) status = find_seeds(&work->grid, &work->known, order, &work->basins, &wanted, seeds);
    if (status == CF_OK) status = add_entrances(&work->grid, &work->known, work->interior, floor, seeds);
    free(work->basins.peak);
    work->basins.peak = NULL;
    return status;
}

static cf_status flood_interior(Work *work, const WatershedSpec *spec, const Seeds *seeds) {
    const Order order = {work->interior, work->maxima};
    const float floor = (float)spec->interior_threshold;
    cf_status status = find_peaks(&work->grid, order, floor, CF_FOUR, &work->basins);
    if (status == CF_OK) status = find_basins(&work->grid, &work->basins);
    if (status == CF_OK) status = flood(&work->grid, order, seeds, &work->basins);
    free(work->basins.peak);
    work->basins.peak = NULL;
    return status;
}

static cf_status run(Work *work, const Block *block, const WatershedSpec *spec, Objects *objects) {
    Seeds seeds = {NULL, 0, 0};
    cf_status status = prepare_fields(work, block, spec);
    if (status == CF_OK) status = search_seeds(work, spec, &seeds);
    if (status == CF_OK) status = flood_interior(work, spec, &seeds);
    if (status == CF_OK)
        status = collect_objects(&work->grid, &work->known, work->basins.basin, &seeds, spec->smallest_object,
                                 spec->largest_hole, objects);
    free(seeds.pixel);
    return status;
}

cf_status deep_watershed(const Block *block, const WatershedSpec *spec, Objects *objects) {
    const size_t height = block->height, width = block->width;
    const Known *known = &block->known;
    objects->seed = NULL;
    objects->complete = NULL;
    objects->count = 0;
    if (known->top >= known->bottom || known->left >= known->right) {
        memset(objects->labels, UCHAR_MAX, height * width * sizeof *objects->labels); /* CF_UNKNOWN */
        return CF_OK;
    }
    Work work = {.grid = {height, width, width + 2, (height + 2) * (width + 2)}, .known = *known};
    const size_t size = work.grid.size;
    float *memory = new_field(size, 2 * sizeof(float) + sizeof(uint32_t) + sizeof(uint8_t));
    if (!memory) return CF_NO_MEMORY;
    work.maxima = memory;
    work.interior = memory + size;
    work.basins.basin = (uint32_t *)(memory + 2 * size);
    work.basins.direction = (uint8_t *)(memory + 3 * size);
    const cf_status status = run(&work, block, spec, objects);
    free(memory);
    return status;
}
