/* real_case.h - tests on data sets as they are, which not everybody has. */
#ifndef JMT_REAL_CASE_H
#define JMT_REAL_CASE_H

#include <stdint.h>

/* Skips the test where there is no such folder. */
void skip_without(const char *source);

/* The number at "a/b/c" of the description that jmt inspect --json gives. */
typedef struct want {
    const char *path;
    int64_t number;
} want_t;
void check_facts(const char *path, const want_t *want, int count);

#endif
