#include "kernels/base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* Does not return; a pointer for the sake of conditional expressions. */
static void *out_of_memory(double bytes) { panic_memory(bytes); }

void *alloc_zero(int64_t count, size_t element_bytes) {
    REQUIRE(count >= 0);
    void *memory = calloc(count > 0 ? (size_t)count : 1, element_bytes);
    return memory != NULL ? memory : out_of_memory((double)count * (double)element_bytes);
}

void memory_large_pages(void *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    const size_t worth = (size_t)16 << 20, page = 4096;
    uintptr_t first = ((uintptr_t)memory + page - 1) / page * page;
    if (bytes >= worth) {
        /* The system may not have any. */
        (void)madvise((void *)first, (uintptr_t)memory + bytes - first, MADV_HUGEPAGE);
    }
#else
    (void)memory;
    (void)bytes;
#endif
}

void *alloc_aligned(size_t bytes) {
    size_t rounded = (bytes + 64) / 64 * 64;
    void *memory = aligned_alloc(64, rounded);
    if (memory == NULL) {
        out_of_memory((double)rounded);
    }
    memory_large_pages(memory, rounded);
    memset(memory, 0, rounded);
    return memory;
}

char *text_copy(const char *text) {
    char *copy = strdup(text);
    return copy != NULL ? copy : out_of_memory((double)strlen(text));
}

char *text_format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length >= 0 ? text : out_of_memory((double)strlen(format));
}

void *array_grow(void *items, int64_t count, size_t element_bytes) {
    if ((count & (count - 1)) != 0) {
        return items; /* full exactly when count is 0 or a power of two */
    }
    int64_t capacity = count == 0 ? 1 : 2 * count;
    void *grown = realloc(items, (size_t)capacity * element_bytes);
    return grown != NULL ? grown : out_of_memory((double)capacity * (double)element_bytes);
}
