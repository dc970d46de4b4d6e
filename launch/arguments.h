/* arguments.h - a command line as positional words and declared options. Help is printed from the
 * same declarations. */
#ifndef JMT_ARGUMENTS_H
#define JMT_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/status.h"

enum { OPTION_VALUES_MAX = 64, OPTIONS_MAX = 16, POSITIONALS_MAX = 1024 };

typedef struct option {
    const char *name;  /* "--run" */
    const char *value; /* "DIR"; NULL: a flag; "[K]": the value may be absent */
    const char *help;
} option_t;

typedef struct arguments {
    const option_t *options; /* ends with name NULL */
    const char *positional[POSITIONALS_MAX];
    int positional_count;
    const char *values[OPTIONS_MAX][OPTION_VALUES_MAX];
    int counts[OPTIONS_MAX];
} arguments_t;

/* Options may stand anywhere and as --name=value; with `rest`, everything from the first positional
 * on is positional. STATUS_INPUT names the nearest option. */
status_t arguments_parse(int argc, char **argv, const option_t *options, int positional_min,
                         int positional_max, bool rest, arguments_t *arguments_out) MUST_CHECK;

bool arguments_has(const arguments_t *arguments, const char *name);
const char *arguments_value(const arguments_t *arguments,
                            const char *name); /* last; NULL: absent */
const char *const *arguments_values(const arguments_t *arguments, const char *name, int *count_out);
/* A whole number in [min, max]; `otherwise` if absent. */
status_t arguments_integer(const arguments_t *arguments, const char *name, int64_t min, int64_t max,
                           int64_t otherwise, int64_t *value_out) MUST_CHECK;

#endif
