#include "configs/backbone_info.h"

#include <string.h>

#include "kernels/base/status.h"

#define ROW_(name, step, reads) {BACKBONE_##name, #name, step, reads},
static const backbone_info_t rows[] = {BACKBONE_LIST(ROW_)};

const backbone_info_t *backbone_info(const char *name) {
    for (int i = 0; i < BACKBONE_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

const backbone_info_t *backbone_first(bool (*of)(const backbone_info_t *info)) {
    int i = 0;
    while (i < BACKBONE_COUNT && !of(&rows[i])) {
        i++;
    }
    REQUIRE(i < BACKBONE_COUNT);
    return &rows[i];
}

bool backbone_sees(const backbone_info_t *info) {
    return info->step == STEP_CLIP || info->step == STEP_PICTURE;
}

bool backbone_hears(const backbone_info_t *info) {
    return info->step == STEP_MEL || info->step == STEP_PATCH;
}

bool backbone_feels(const backbone_info_t *info) { return info->step == STEP_SIGNAL; }
