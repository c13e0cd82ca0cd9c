/* smooth → peaks and seeds of the maxima head → basins and flood of the interior head → objects.
 *
 * Ties in one field are broken by the other, then by raster order: a flat top of the interior drains along the maxima
 * head to its own seed, and of a flat seed the pixel deepest inside the object stands for it.
 */
#include "watershed.h"

#include <stdlib.h>

#include "flood.h"
#include "memory.h"
#include "objects.h"

typedef struct {
    Grid grid;
    float *maxima, *interior;
    Basins basins; /* peaks of the maxima, then, in the same memory, basins of the interior */
} Work;

static cf_status prepare_fields(Work *work, Head maxima, Head interior, const WatershedSpec *spec) {
    if (smooth_head(&work->grid, maxima, spec->maxima_smooth, work->maxima) != CF_OK) return CF_NO_MEMORY;
    if (smooth_head(&work->grid, interior, spec->interior_smooth, work->interior) != CF_OK) return CF_NO_MEMORY;
    return dilate_field(&work->grid, spec->pixel_expansion, work->interior);
}

static cf_status search_seeds(Work *work, const WatershedSpec *spec, Seeds *seeds) {
    const Order order = {work->maxima, work->interior};
    const SeedSpec wanted = {spec->maxima_threshold, spec->radius, (float)spec->interior_threshold};
    cf_status status = find_peaks(&work->grid, order, 0.0f, CF_EIGHT, &work->basins);
    if (status == CF_OK) status = find_seeds(&work->grid, order, &work->basins, &wanted, seeds);
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

static cf_status run(Work *work, Head maxima, Head interior, const WatershedSpec *spec, uint32_t *labels,
                     Seeds *seeds) {
    cf_status status = prepare_fields(work, maxima, interior, spec);
    if (status == CF_OK) status = search_seeds(work, spec, seeds);
    if (status == CF_OK) status = flood_interior(work, spec, seeds);
    if (status == CF_OK)
        status = collect_objects(&work->grid, work->basins.basin, spec->smallest_object, spec->largest_hole, seeds,
                                 labels);
    return status;
}

cf_status deep_watershed(Head maxima, Head interior, size_t height, size_t width, const WatershedSpec *spec,
                         uint32_t *labels, Seeds *seeds) {
    seeds->pixel = NULL;
    seeds->count = 0;
    if (height == 0 || width == 0) return CF_OK;
    Work work = {.grid = {height, width, width + 2, (height + 2) * (width + 2)}};
    const size_t size = work.grid.size;
    float *memory = new_field(size, 2 * sizeof(float) + sizeof(uint32_t) + sizeof(uint8_t));
    if (!memory) return CF_NO_MEMORY;
    work.maxima = memory;
    work.interior = memory + size;
    work.basins.basin = (uint32_t *)(memory + 2 * size);
    work.basins.direction = (uint8_t *)(memory + 3 * size);
    const cf_status status = run(&work, maxima, interior, spec, labels, seeds);
    free(memory);
    return status;
}
