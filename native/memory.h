/* Memory for whole fields. */
#ifndef CELLFLEET_MEMORY_H
#define CELLFLEET_MEMORY_H

#include <stddef.h>

/* Like malloc, to be released with free. Large fields ask Linux for huge pages: touching a field for the first time in
 * pages of 4 KiB costs more than a pass over it. */
void *new_field(size_t count, size_t item_size);

#endif
