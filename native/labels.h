/* Looking up and renumbering labels. */
#ifndef CELLFLEET_LABELS_H
#define CELLFLEET_LABELS_H

#include "common.h"

uint32_t largest_label(const uint32_t *labels, size_t size);

/* first[k] = index of the first pixel of label k + 1, for k < count; -1 where there is none. */
void first_pixels(const uint32_t *labels, size_t size, size_t count, int64_t *first);

/* out[i] = numbers[labels[i]]; 0 for labels of `count` and more. */
void relabel(const uint32_t *labels, size_t size, const uint32_t *numbers, size_t count, uint32_t *out);

#endif
