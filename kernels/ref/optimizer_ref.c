#include "kernels/ref/real.h"

static void sgd(const optimizer_call_t *call, const optimizer_span_t *span) {
    real_t *weight = (real_t *)call->weight + span->offset;
    const real_t *gradient = (const real_t *)call->gradient + span->offset;
    real_t rate = (real_t)call->learning_rate, decay = (real_t)call->weight_decay;
    real_t momentum = (real_t)call->momentum, scale = (real_t)call->gradient_scale;
    if (call->momentum == 0.0) {
        for (int64_t i = 0; i < span->count; i++) {
            weight[i] -= rate * (gradient[i] * scale + decay * weight[i]);
        }
        return;
    }
    real_t *m = (real_t *)call->m + span->state;
    bool first = call->update_index == 1;
    for (int64_t i = 0; i < span->count; i++) {
        real_t g = gradient[i] * scale + decay * weight[i];
        m[i] = first ? g : momentum * m[i] + g;
        weight[i] -= rate * (call->nesterov ? g + momentum * m[i] : m[i]);
    }
}

static void adam(const optimizer_call_t *call, const optimizer_span_t *span) {
    real_t *weight = (real_t *)call->weight + span->offset;
    real_t *m = (real_t *)call->m + span->state, *v = (real_t *)call->v + span->state;
    const real_t *gradient = (const real_t *)call->gradient + span->offset;
    bool decoupled = call->kind == OPTIMIZER_ADAMW;
    real_t rate = (real_t)call->learning_rate, scale = (real_t)call->gradient_scale;
    real_t decay = decoupled ? 0 : (real_t)call->weight_decay;
    real_t keep = decoupled ? (real_t)(1.0 - call->learning_rate * call->weight_decay) : 1;
    real_t beta1 = (real_t)call->beta1, rest1 = (real_t)(1.0 - call->beta1);
    real_t beta2 = (real_t)call->beta2, rest2 = (real_t)(1.0 - call->beta2);
    real_t epsilon = (real_t)call->epsilon;
    real_t c1 = (real_t)(1.0 - pow(call->beta1, (double)call->update_index));
    real_t c2 = (real_t)(1.0 - pow(call->beta2, (double)call->update_index));
    for (int64_t i = 0; i < span->count; i++) {
        real_t w = weight[i] * keep;
        real_t g = gradient[i] * scale + decay * w;
        m[i] = beta1 * m[i] + rest1 * g;
        v[i] = beta2 * v[i] + rest2 * g * g;
        weight[i] = w - rate * (m[i] / c1) / (real_sqrt(v[i] / c2) + epsilon);
    }
}

static void average(const optimizer_call_t *call, const optimizer_span_t *span) {
    real_t *weight = (real_t *)call->weight + span->offset;
    const real_t *sums = (const real_t *)call->gradient + span->offset;
    for (int64_t i = 0; i < span->count; i++) {
        double seen = (double)sums[i] / (double)call->shards, w = (double)weight[i];
        weight[i] = (real_t)(w + span->momentum * (seen - w));
    }
}

/* The step's own numbers. */
static optimizer_call_t at_this_step(const optimizer_call_t *call) {
    optimizer_call_t now = *call;
    if (call->now != NULL) {
        now.learning_rate = call->now->learning_rate;
        now.update_index = call->now->update_index;
        now.gradient_scale = call->now->gradient_scale;
        now.span_count = call->now->applies != 0 ? call->span_count : 0;
    }
    return now;
}

void REAL(optimizer_update)(const optimizer_call_t *given) {
    const optimizer_call_t now = at_this_step(given), *call = &now;
    REQUIRE(call->update_index >= 1);
    for (int64_t i = 0; i < call->span_count; i++) {
        const optimizer_span_t *span = &call->spans[i];
        if (span->role == SPAN_FIXED) {
            continue;
        }
        if (span->role == SPAN_RUNNING) {
            average(call, span);
        } else if (call->kind == OPTIMIZER_SGD) {
            sgd(call, span);
        } else {
            adam(call, span);
        }
    }
}
