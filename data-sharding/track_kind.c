#include "data-sharding/track_kind.h"

#include <string.h>

#include "kernels/base/bytes.h"

static const char *const names[] = {"features", "pixels",    "log_mel",
                                    "signal",   "embedding", "vggish_mel"};

const char *track_kind_name(track_kind_t kind) {
    REQUIRE((int)kind >= 0 && (int)kind < ARRAY_LEN(names));
    return names[kind];
}

bool track_kind_find(const char *name, track_kind_t *kind_out) {
    for (int i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *kind_out = (track_kind_t)i;
            return true;
        }
    }
    return false;
}
