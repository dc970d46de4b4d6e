/* config_check_parity.c - rules about what published code does by mistake: each needs what it works
 * on, so that none stands in a configuration without effect. */
#include <stdlib.h>
#include <string.h>

#include "configs/config_fields.h"
#include "configs/config_origin.h"
#include "kernels/base/bytes.h"

static const target_config_t *value_target(const config_t *config) {
    for (int t = 0; t < config->target_count; t++) {
        if (words_have("ccc mse", config->targets[t].loss)) {
            return &config->targets[t];
        }
    }
    return NULL;
}

static status_t check_unlabelled(const config_t *config, const config_origins_t *origins,
                                 const char *name) {
    const char *key = "parity.unlabelled_as_right";
    if (!config->parity.unlabelled_as_right) {
        return STATUS_OK;
    }
    if (config->target_count > 0 && value_target(config) == NULL) {
        return origins_fail(origins, name, STATUS_INPUT, key, NULL,
                            text_format("%s is for targets with loss ccc or mse, and there is "
                                        "none; remove it",
                                        key));
    }
    if (!config->evaluation.every_window) {
        return origins_fail(origins, name, STATUS_INPUT, key, "evaluation.every_window",
                            text_format("%s counts all steps, also of windows without a label; set "
                                        "evaluation.every_window: true",
                                        key));
    }
    for (int t = 0; t < config->target_count; t++) {
        const target_config_t *target = &config->targets[t];
        if (strcmp(target->steps, "last") == 0) {
            char *steps = text_format("targets.%s.steps", target->name);
            status_t status =
                origins_fail(origins, name, STATUS_INPUT, key, steps,
                             text_format("%s would count what %s last leaves out; leave one of "
                                         "them out",
                                         key, steps));
            free(steps);
            return status;
        }
    }
    return STATUS_OK;
}

static status_t check_over_samples(const config_t *config, const config_origins_t *origins,
                                   const char *name) {
    const char *key = "parity.attention_over_samples", *other = NULL;
    char *what = NULL;
    if (!config->parity.attention_over_samples) {
        return STATUS_OK;
    }
    if (!words_have("jmt jmt_no_joint mt", config->model.name)) {
        other = "model.name";
        what = text_format("%s is about the encoders of jmt, jmt_no_joint and mt; remove it", key);
    } else if (config->model.causal) {
        other = "model.causal";
        what =
            text_format("%s has no order that model.causal could keep; leave one of them out", key);
    }
    return other == NULL ? STATUS_OK : origins_fail(origins, name, STATUS_INPUT, key, other, what);
}

status_t config_check_parity(const config_t *config, const config_origins_t *origins,
                             const char *name) {
    TRY(check_unlabelled(config, origins, name));
    return check_over_samples(config, origins, name);
}
