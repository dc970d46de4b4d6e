#include "configs/corruption_kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "kernels/base/bytes.h"

static const char *const names[CORRUPTION_COUNT] = {"none",    "noise", "drop",
                                                    "missing", "muted", "shift"};

const char *corruption_name(corruption_kind_t kind) { return names[kind]; }

bool corruption_find(const char *name, corruption_kind_t *kind_out) {
    for (int i = CORRUPTION_NONE + 1; i < CORRUPTION_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *kind_out = (corruption_kind_t)i;
            return true;
        }
    }
    return false;
}

bool corruption_takes(corruption_kind_t kind, double level) {
    switch (kind) {
    case CORRUPTION_NOISE:
        return fabs(level) <= 200.0;
    case CORRUPTION_DROP:
    case CORRUPTION_MISSING:
    case CORRUPTION_MUTED:
        return level >= 0.0 && level <= 1.0;
    case CORRUPTION_SHIFT:
        return fabs(level) <= 1e6 && level == floor(level);
    default:
        return false;
    }
}

status_t corruption_parse(const char *text, corruption_kind_t *kind_out, double *level_out) {
    const char *colon = strchr(text, ':');
    char *name = text_format("%.*s", (int)(colon != NULL ? colon - text : 0), text), *end = NULL;
    bool known = corruption_find(name, kind_out);
    free(name);
    *level_out = colon != NULL ? strtod(colon + 1, &end) : 0.0;
    if (!known || end == colon + 1 || *end != '\0' || !corruption_takes(*kind_out, *level_out)) {
        char buffer[SHOWN_BYTES];
        return status_fail(STATUS_INPUT,
                           "'%s' is no way to make input worse; write noise:DB, drop:PROBABILITY, "
                           "missing:PROBABILITY, muted:PROBABILITY or shift:STEPS",
                           shown(text, buffer));
    }
    return STATUS_OK;
}
