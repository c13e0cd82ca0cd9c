/* Memory for whole fields. */
#ifndef CELLFLEET_MEMORY_H
#define CELLFLEET_MEMORY_H

#include <stddef.h>

/* Like malloc, to be released with free; asks Linux for huge pages, because first touching a megapixel field in pages
 * of 4 KiB costs as much as a pass over it. */
void *new_field(size_t count, size_t item_size);

#endif
