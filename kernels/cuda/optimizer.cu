/* The update of all spans in one launch, a block for each. */
#include "kernels/cuda/kernel.cuh"

namespace {

struct update {
    float rate, decay, momentum, scale;
    float keep; /* adamw: what weight decay leaves of a weight */
    float beta1, rest1, beta2, rest2, epsilon, c1, c2;
    double shards;
    float *weight, *m, *v;
    const float *gradient;
    const optimizer_span_t *spans;
    bool first, decoupled;
    const step_now_t *now;
};

/* The step's own numbers; false: it changes nothing. */
__device__ __forceinline__ bool begin(update *u) {
    const step_now_t *now = u->now;
    if (now == nullptr) {
        return true;
    }
    u->rate = static_cast<float>(now->learning_rate);
    u->keep = u->decoupled ? static_cast<float>(now->keep) : 1.0f;
    u->scale = static_cast<float>(now->gradient_scale);
    u->c1 = static_cast<float>(now->correction1);
    u->c2 = static_cast<float>(now->correction2);
    u->first = now->update_index == 1;
    return now->applies != 0;
}

typedef enum { RULE_SGD, RULE_MOMENTUM, RULE_NESTEROV, RULE_ADAM } rule_t;

/* Spans are runs of elements that lie anywhere: equal numbers give equal bits. */
template <rule_t RULE>
__device__ __forceinline__ void update_one(const update &u, bool first, int64_t at, int64_t state) {
    if (RULE == RULE_ADAM) {
        const float w = u.weight[at] * u.keep, g = u.gradient[at] * u.scale + u.decay * w;
        const float m = u.beta1 * u.m[state] + u.rest1 * g;
        const float v = u.beta2 * u.v[state] + u.rest2 * g * g;
        u.m[state] = m;
        u.v[state] = v;
        u.weight[at] = w - u.rate * (m / u.c1) / (sqrtf(v / u.c2) + u.epsilon);
        return;
    }
    const float w = u.weight[at], g = u.gradient[at] * u.scale + u.decay * w;
    if (RULE == RULE_SGD) {
        u.weight[at] = w - u.rate * g;
        return;
    }
    const float m = first ? g : u.momentum * u.m[state] + g;
    u.m[state] = m;
    u.weight[at] = w - u.rate * (RULE == RULE_NESTEROV ? g + u.momentum * m : m);
}

enum { BLOCKS = 6 }; /* on a multiprocessor: for 8, nvcc spills AdamW's numbers on sm_100 */

template <rule_t RULE>
__global__ void __launch_bounds__(BLOCK_THREADS, BLOCKS) update_spans(update u) {
    const optimizer_span_t span = u.spans[blockIdx.x];
    if (!begin(&u)) {
        return;
    }
    const bool first = u.first;
    for (int64_t i = threadIdx.x; i < span.count; i += BLOCK_THREADS) {
        const int64_t at = span.offset + i;
        if (span.role == SPAN_LEARNED) {
            update_one<RULE>(u, first, at, span.state + i);
        } else if (span.role == SPAN_RUNNING) {
            const double seen = static_cast<double>(u.gradient[at]) / u.shards;
            const double w = static_cast<double>(u.weight[at]);
            u.weight[at] = static_cast<float>(w + span.momentum * (seen - w));
        }
    }
}

/* A span's squares in a fixed tree; a block for each. */
__global__ void __launch_bounds__(BLOCK_THREADS)
    square_spans(const float *gradient, const optimizer_span_t *spans, double *partials) {
    __shared__ double part[BLOCK_THREADS / 32];
    const optimizer_span_t span = spans[blockIdx.x];
    const int64_t count = span.role == SPAN_LEARNED ? span.count : 0;
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += BLOCK_THREADS) {
        const double g = static_cast<double>(gradient[span.offset + i]);
        sum += g * g;
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) {
        part[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        sum = part[0];
        for (int w = 1; w < BLOCK_THREADS / 32; w++) {
            sum += part[w];
        }
        partials[blockIdx.x] = sum;
    }
}

update update_of(const optimizer_call_t *call) {
    const bool decoupled = call->kind == OPTIMIZER_ADAMW;
    update u = {};
    u.rate = static_cast<float>(call->learning_rate);
    u.decay = decoupled ? 0.0f : static_cast<float>(call->weight_decay);
    u.keep = decoupled ? static_cast<float>(1.0 - call->learning_rate * call->weight_decay) : 1.0f;
    u.momentum = static_cast<float>(call->momentum);
    u.scale = static_cast<float>(call->gradient_scale);
    u.beta1 = static_cast<float>(call->beta1);
    u.rest1 = static_cast<float>(1.0 - call->beta1);
    u.beta2 = static_cast<float>(call->beta2);
    u.rest2 = static_cast<float>(1.0 - call->beta2);
    u.epsilon = static_cast<float>(call->epsilon);
    u.c1 = static_cast<float>(1.0 - pow(call->beta1, static_cast<double>(call->update_index)));
    u.c2 = static_cast<float>(1.0 - pow(call->beta2, static_cast<double>(call->update_index)));
    u.shards = static_cast<double>(call->shards);
    u.weight = static_cast<float *>(call->weight);
    u.gradient = static_cast<const float *>(call->gradient);
    u.m = static_cast<float *>(call->m);
    u.v = static_cast<float *>(call->v);
    u.spans = call->spans;
    u.first = call->update_index == 1;
    u.decoupled = decoupled;
    u.now = call->now;
    return u;
}

} // namespace

extern "C" void optimizer_update_cuda(const optimizer_call_t *call) {
    REQUIRE(call->now != nullptr || call->update_index >= 1);
    const unsigned blocks = static_cast<unsigned>(call->span_count);
    const update u = update_of(call);
    cudaStream_t stream = cuda_context_of(call->device)->stream;
    if (blocks == 0) {
        return;
    }
    if (call->kind != OPTIMIZER_SGD) {
        LAUNCH((update_spans<RULE_ADAM>), blocks, BLOCK_THREADS, 0, stream, u);
    } else if (call->momentum == 0.0) {
        LAUNCH((update_spans<RULE_SGD>), blocks, BLOCK_THREADS, 0, stream, u);
    } else if (call->nesterov) {
        LAUNCH((update_spans<RULE_NESTEROV>), blocks, BLOCK_THREADS, 0, stream, u);
    } else {
        LAUNCH((update_spans<RULE_MOMENTUM>), blocks, BLOCK_THREADS, 0, stream, u);
    }
    CUDA_REQUIRE(cudaGetLastError());
}

extern "C" void sum_squares_spans_cuda(const device_t *device, const void *gradient,
                                       const optimizer_span_t *spans, int64_t span_count,
                                       double *partials) {
    if (span_count > 0) {
        LAUNCH(square_spans, static_cast<unsigned>(span_count), BLOCK_THREADS, 0,
               cuda_context_of(device)->stream, static_cast<const float *>(gradient), spans,
               partials);
        CUDA_REQUIRE(cudaGetLastError());
    }
}
