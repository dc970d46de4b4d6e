#include "trainer/loss.h"

#include <string.h>

loss_call_t loss_call_of(const config_t *config, int target) {
    const target_config_t *t = &config->targets[target];
    loss_call_t call = {.weight = t->weight, .unbiased = config->loss.ccc_unbiased};
    if (strcmp(t->loss, "ccc") == 0) {
        call.kind = LOSS_CCC;
    } else if (strcmp(t->loss, "mse") == 0) {
        call.kind = LOSS_MSE;
    } else {
        call.kind = LOSS_CROSS_ENTROPY;
    }
    return call;
}
