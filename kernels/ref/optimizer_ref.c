#include "kernels/ref/real.h"

static void sgd(const optimizer_call_t *call) {
    real_t *weight = call->weight, *m = call->m;
    const real_t *gradient = call->gradient;
    real_t rate = (real_t)call->learning_rate, decay = (real_t)call->weight_decay;
    real_t momentum = (real_t)call->momentum, scale = (real_t)call->gradient_scale;
    if (call->momentum == 0.0) {
        for (int64_t i = 0; i < call->count; i++) {
            weight[i] -= rate * (gradient[i] * scale + decay * weight[i]);
        }
        return;
    }
    bool first = call->update_index == 1;
    for (int64_t i = 0; i < call->count; i++) {
        real_t g = gradient[i] * scale + decay * weight[i];
        m[i] = first ? g : momentum * m[i] + g;
        weight[i] -= rate * (call->nesterov ? g + momentum * m[i] : m[i]);
    }
}

static void adam(const optimizer_call_t *call) {
    real_t *weight = call->weight, *m = call->m, *v = call->v;
    const real_t *gradient = call->gradient;
    bool decoupled = call->kind == OPTIMIZER_ADAMW;
    real_t rate = (real_t)call->learning_rate, scale = (real_t)call->gradient_scale;
    real_t decay = decoupled ? 0 : (real_t)call->weight_decay;
    real_t keep = decoupled ? (real_t)(1.0 - call->learning_rate * call->weight_decay) : 1;
    real_t beta1 = (real_t)call->beta1, rest1 = (real_t)(1.0 - call->beta1);
    real_t beta2 = (real_t)call->beta2, rest2 = (real_t)(1.0 - call->beta2);
    real_t epsilon = (real_t)call->epsilon;
    real_t c1 = (real_t)(1.0 - pow(call->beta1, (double)call->update_index));
    real_t c2 = (real_t)(1.0 - pow(call->beta2, (double)call->update_index));
    for (int64_t i = 0; i < call->count; i++) {
        real_t w = weight[i] * keep;
        real_t g = gradient[i] * scale + decay * w;
        m[i] = beta1 * m[i] + rest1 * g;
        v[i] = beta2 * v[i] + rest2 * g * g;
        weight[i] = w - rate * (m[i] / c1) / (real_sqrt(v[i] / c2) + epsilon);
    }
}

void REAL(optimizer_update)(const optimizer_call_t *call) {
    REQUIRE(call->update_index >= 1);
    if (call->kind == OPTIMIZER_SGD) {
        sgd(call);
    } else {
        adam(call);
    }
}
