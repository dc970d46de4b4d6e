/* bytes.h - counts are int64_t elements, sizes are size_t bytes; this is where one becomes the
 * other. */
#ifndef JMT_BASE_BYTES_H
#define JMT_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "kernels/base/status.h"

#define ARRAY_LEN(array) ((int)(sizeof(array) / sizeof((array)[0])))

static inline int64_t align_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}
static inline int64_t div_up(int64_t value, int64_t divisor) {
    return (value + divisor - 1) / divisor;
}
static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Start of part `index` when `count` things are dealt in contiguous runs to `parts`. */
static inline int64_t share_begin(int64_t count, int64_t parts, int64_t index) {
    return count * index / parts;
}

/* Zeroed memory for count elements; the program ends with a message if there is none: no caller of
 * these could do better. Freed with free(). */
void *alloc_zero(int64_t count, size_t element_bytes);
void *alloc_aligned(size_t bytes); /* 64-byte aligned, zeroed, at least one byte */
/* Wishes for large pages under a block that is about to be used first: what is walked through row
 * by row, far apart, would look up many small ones. */
void memory_large_pages(void *memory, size_t bytes);
char *text_copy(const char *text);
char *text_format(const char *format, ...) PRINTF_LIKE(1, 2); /* caller frees */

/* Grows *items to hold one more than count (doubling). */
void *array_grow(void *items, int64_t count, size_t element_bytes);

#endif
