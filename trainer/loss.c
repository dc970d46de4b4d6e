#include "trainer/loss.h"

#include <string.h>

loss_call_t loss_call_of(const config_t *config, const target_fit_t *fit, int target) {
    const target_config_t *t = &config->targets[target];
    loss_call_t call = {.weight = t->weight,
                        .unbiased = config->loss.ccc_unbiased,
                        .mse_weight = t->mse_weight,
                        .label_smoothing = t->label_smoothing,
                        .class_weights = fit->weighted[target] ? fit->class_weights[target] : NULL};
    if (strcmp(t->loss, "ccc") == 0) {
        call.kind = LOSS_CCC;
    } else if (strcmp(t->loss, "mse") == 0) {
        call.kind = LOSS_MSE;
    } else if (strcmp(t->loss, "binary_cross_entropy") == 0) {
        call.kind = LOSS_BINARY;
    } else {
        call.kind = LOSS_CROSS_ENTROPY;
    }
    return call;
}
