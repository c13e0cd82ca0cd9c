/* One pass each. */
#include "labels.h"

CF_CLONES
uint32_t largest_label(const uint32_t *labels, size_t size) {
    uint32_t largest = 0;
    for (size_t i = 0; i < size; i++) largest = labels[i] > largest ? labels[i] : largest;
    return largest;
}

void first_pixels(const uint32_t *labels, size_t size, size_t count, int64_t *first) {
    for (size_t k = 0; k < count; k++) first[k] = -1;
    uint32_t last = 0; /* neighbours mostly have the same label */
    for (size_t i = 0; i < size; i++) {
        const uint32_t label = labels[i];
        if (label == last) continue;
        last = label;
        if (label != 0 && label <= count && first[label - 1] < 0) first[label - 1] = (int64_t)i;
    }
}

void relabel(const uint32_t *labels, size_t size, const uint32_t *numbers, size_t count, uint32_t *out) {
    for (size_t i = 0; i < size; i++) out[i] = labels[i] < count ? numbers[labels[i]] : 0;
}
