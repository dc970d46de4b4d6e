/* Weights over the features of a row, or over equal parts of it: a block for each row. Those kept
 * for the backward are 0 where a part is masked, so the backward needs no mask. */
#include "kernels/cuda/kernel.cuh"

namespace {

enum { WARPS = 4, THREADS = 32 * WARPS, PARTS_MOST = 12000 };

template <class T> struct gate_rows {
    view<T> x, score, out, d_out, d_x, d_score;
    mask_t mask;
    float *saved;
    int64_t saved_stride, parts, width;

    __device__ __forceinline__ float *weights(int shard, int64_t row) const {
        return saved + shard * saved_stride + row * parts;
    }
};

template <class T>
__global__ void __launch_bounds__(THREADS) gate_forward(gate_rows<T> a, int shard_begin) {
    DYNAMIC_SHARED(float, w);
    __shared__ float scratch[WARPS];
    const int64_t row = blockIdx.x;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    const T *score = a.score.at(shard, row), *x = a.x.at(shard, row);
    float top = -INFINITY;
    for (int64_t p = threadIdx.x; p < a.parts; p += THREADS) {
        const bool use = valid(a.mask, shard, row * a.parts + p);
        top = use ? fmaxf(top, widen(score[p])) : top;
    }
    top = block_all<WARPS>(top, scratch, larger());
    float sum = 0.0f;
    for (int64_t p = threadIdx.x; p < a.parts; p += THREADS) {
        const bool use = valid(a.mask, shard, row * a.parts + p);
        w[p] = use ? expf(widen(score[p]) - top) : 0.0f;
        sum += w[p];
    }
    sum = block_all<WARPS>(sum, scratch, added());
    const float inverse = top == -INFINITY && sum == 0.0f ? 0.0f : 1.0f / sum;
    float *kept = a.weights(shard, row);
    for (int64_t p = threadIdx.x; p < a.parts; p += THREADS) {
        w[p] *= inverse;
        kept[p] = w[p];
    }
    __syncthreads();
    T *y = a.out.at(shard, row);
    for (int64_t c = threadIdx.x; c < a.parts * a.width; c += THREADS) {
        narrow(y + c, widen(x[c]) * w[c / a.width]);
    }
}

/* The gradient of a part's weight: by one thread, or by a warp where parts are wide. */
template <class T>
__device__ __forceinline__ void weight_gradients(const gate_rows<T> &a, const T *x, const T *dy,
                                                 float *dw) {
    if (a.width < 32) {
        for (int64_t p = threadIdx.x; p < a.parts; p += THREADS) {
            float sum = 0.0f;
            for (int64_t c = p * a.width; c < (p + 1) * a.width; c++) {
                sum += widen(x[c]) * widen(dy[c]);
            }
            dw[p] = sum;
        }
        return;
    }
    for (int64_t p = threadIdx.x / 32; p < a.parts; p += WARPS) {
        float sum = 0.0f;
        for (int64_t c = p * a.width + threadIdx.x % 32; c < (p + 1) * a.width; c += 32) {
            sum += widen(x[c]) * widen(dy[c]);
        }
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) {
            dw[p] = sum;
        }
    }
}

template <class T>
__global__ void __launch_bounds__(THREADS) gate_backward(gate_rows<T> a, int shard_begin) {
    DYNAMIC_SHARED(float, dw);
    __shared__ float scratch[WARPS];
    const int64_t row = blockIdx.x;
    const int shard = shard_begin + static_cast<int>(blockIdx.y);
    const T *x = a.x.at(shard, row), *dy = a.d_out.at(shard, row);
    const float *w = a.weights(shard, row);
    if (a.d_score.data != nullptr) {
        weight_gradients(a, x, dy, dw);
        __syncthreads();
        float along = 0.0f;
        for (int64_t p = threadIdx.x; p < a.parts; p += THREADS) {
            along += dw[p] * w[p];
        }
        const float mean = block_all<WARPS>(along, scratch, added());
        T *d_score = a.d_score.at(shard, row);
        for (int64_t p = threadIdx.x; p < a.parts; p += THREADS) {
            narrow(d_score + p, w[p] * (dw[p] - mean));
        }
    }
    if (a.d_x.data != nullptr) {
        T *d_x = a.d_x.at(shard, row);
        for (int64_t c = threadIdx.x; c < a.parts * a.width; c += THREADS) {
            narrow(d_x + c, widen(dy[c]) * w[c / a.width]);
        }
    }
}

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *x = &description->in[0], *score = &description->in[1];
    REQUIRE(description->input_count == 2 && x->rows == score->rows);
    REQUIRE(score->cols > 0 && x->cols % score->cols == 0 && x->cols == description->out.cols);
    if (score->cols > PARTS_MOST) {
        return status_fail(STATUS_UNAVAILABLE,
                           "backend cuda gates at most %d columns of a row, not %lld; use "
                           "backend: cpu",
                           PARTS_MOST, static_cast<long long>(score->cols));
    }
    TRY(plain_plan(description, plan_out, needs_out));
    needs_out->saved_count = score->rows * score->cols;
    return STATUS_OK;
}

template <class T> gate_rows<T> rows_of(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    gate_rows<T> a = {};
    a.x = view_of<T>(call->in[0]);
    a.score = view_of<T>(call->in[1]);
    a.out = view_of<T>(call->out);
    a.d_out = view_of<T>(call->d_out);
    a.d_x = view_of<T>(call->d_in[0]);
    a.d_score = view_of<T>(call->d_in[1]);
    a.mask = call->mask;
    a.saved = static_cast<float *>(call->saved);
    a.saved_stride = call->saved_shard_stride;
    a.parts = d->in[1].cols;
    a.width = d->out.cols / a.parts;
    return a;
}

template <class T>
void run(void (*kernel)(gate_rows<T>, int), const op_plan_t *plan, const op_call_t *call) {
    const gate_rows<T> a = rows_of<T>(plan, call);
    const dim3 grid(static_cast<unsigned>(plan->description.out.rows),
                    static_cast<unsigned>(call->shard_end - call->shard_begin));
    LAUNCH(kernel, grid, THREADS, static_cast<size_t>(a.parts) * sizeof(float),
           plan->context->stream, a, call->shard_begin);
    CUDA_REQUIRE(cudaGetLastError());
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    run<T>(gate_forward<T>, plan, call);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    if (call->d_in[0].data != nullptr || call->d_in[1].data != nullptr) {
        run<T>(gate_backward<T>, plan, call);
    }
}

} // namespace

CUDA_OP(softmax_gate)
