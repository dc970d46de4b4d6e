/* count_allocations.c - linked with the whole program as `jmt_counted`: counts, in all threads, the
 * calls that allocate or free between the end of step FIRST and the end of step LAST, and prints
 * them once.
 *
 * Our own objects call through the linker's --wrap (tests/CMakeLists.txt) and are counted as ours;
 * everybody else, libraries included, meets the definitions of malloc and its kin below. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/trainer.h"

enum { FIRST = 3, LAST = 10 };

static atomic_bool counting;
static atomic_llong ours, all;

static void count(atomic_llong *counter) {
    if (atomic_load(&counting)) {
        atomic_fetch_add(counter, 1);
    }
}

/* --- everybody's ----------------------------------------------------------------------------- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);

void *malloc(size_t bytes) {
    count(&all);
    return __libc_malloc(bytes);
}
void *calloc(size_t number, size_t bytes) {
    count(&all);
    return __libc_calloc(number, bytes);
}
void *realloc(void *memory, size_t bytes) {
    count(&all);
    return __libc_realloc(memory, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes) {
    count(&all);
    return __libc_memalign(alignment, bytes);
}
int posix_memalign(void **memory_out, size_t alignment, size_t bytes) {
    count(&all);
    *memory_out = __libc_memalign(alignment, bytes);
    return *memory_out == NULL;
}
void free(void *memory) {
    count(&all);
    __libc_free(memory);
}

/* --- ours ------------------------------------------------------------------------------------ */

/* Each calls the definition that the library would have called, so ours are among all. */
#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters {                                                                \
        count(&ours);                                                                              \
        return __real_##name arguments;                                                            \
    }

WRAP(void *, malloc, (size_t bytes), (bytes))
WRAP(void *, calloc, (size_t number, size_t bytes), (number, bytes))
WRAP(void *, realloc, (void *memory, size_t bytes), (memory, bytes))
WRAP(void *, aligned_alloc, (size_t alignment, size_t bytes), (alignment, bytes))
WRAP(int, posix_memalign, (void **out, size_t alignment, size_t bytes), (out, alignment, bytes))
void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory) {
    count(&ours);
    __real_free(memory);
}
/* Allocations that C library calls make for us. */
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t bytes), (text, bytes))
WRAP(int, vasprintf, (char **out, const char *format, va_list list), (out, format, list))
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode))
WRAP(FILE *, open_memstream, (char **text, size_t *bytes), (text, bytes))

/* --- the window ------------------------------------------------------------------------------ */

status_t __real_trainer_step(trainer_t *trainer, bool stop, step_result_t *result_out);
status_t __wrap_trainer_step(trainer_t *trainer, bool stop, step_result_t *result_out);
status_t __wrap_trainer_step(trainer_t *trainer, bool stop, step_result_t *result_out) {
    status_t status = __real_trainer_step(trainer, stop, result_out);
    if (trainer->progress.step == FIRST) {
        atomic_store(&counting, true);
        if (getenv("COUNT_ONE_TOO_MANY") != NULL) { /* the test's own test: must be noticed */
            __wrap_free(__wrap_malloc(1));
        }
    }
    if (trainer->progress.step == LAST && atomic_exchange(&counting, false)) {
        fprintf(stderr, "allocations: ours %lld, libraries %lld\n", (long long)ours,
                (long long)(all - ours));
    }
    return status;
}
