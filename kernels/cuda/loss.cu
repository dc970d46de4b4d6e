/* The two halves of every loss; sums and gradients are formed in double. A block for each shard
 * adds its rows: runs of them by thread, then the threads in a fixed tree. */
#include "kernels/cuda/kernel.cuh"

namespace {

enum { WARPS = 8, THREADS = 32 * WARPS };
enum { SUM_N, SUM_X, SUM_Y, SUM_XX, SUM_YY, SUM_XY, SUM_SQUARES }; /* of ccc */
enum { SUM_LOSS = 1, SUM_WEIGHT = 2 };                             /* of the others */

struct loss_rows {
    loss_kind_t kind;
    bool weighs;
    double class_weight[LOSS_CLASSES_MAX]; /* if it weighs */
    double label_smoothing;
    const float *target; /* [shards, rows] */
    int64_t rows;
    int classes; /* columns of x */
    int shard_begin;
};

__device__ __forceinline__ double weight_of(const loss_rows &a, int c) {
    return a.weighs ? a.class_weight[c] : 1.0;
}

/* Part of class c in the smoothed, weighted label. */
__device__ __forceinline__ double label_share(const loss_rows &a, int c, int label) {
    const double smooth = a.label_smoothing / static_cast<double>(a.classes);
    return (smooth + (c == label ? 1.0 - a.label_smoothing : 0.0)) * weight_of(a, c);
}

template <class T> __device__ __forceinline__ double number(const T *x, int c) {
    return static_cast<double>(widen(x[c]));
}

template <class T> __device__ double log_sum_exp(const T *x, int count) {
    double top = number(x, 0), total = 0.0;
    for (int c = 1; c < count; c++) {
        top = fmax(top, number(x, c));
    }
    for (int c = 0; c < count; c++) {
        total += exp(number(x, c) - top);
    }
    return top + log(total);
}

/* log(1 + exp(z)) without overflow. */
__device__ __forceinline__ double softplus(double z) { return fmax(z, 0.0) + log1p(exp(-fabs(z))); }

template <class T>
__device__ void add_row(const loss_rows &a, const T *x, float target, double *sums) {
    const double first = number(x, 0), y = static_cast<double>(target);
    sums[SUM_N] += 1.0;
    if (a.kind == LOSS_CCC) {
        sums[SUM_X] += first;
        sums[SUM_Y] += y;
        sums[SUM_XX] += first * first;
        sums[SUM_YY] += y * y;
        sums[SUM_XY] += first * y;
        sums[SUM_SQUARES] += (first - y) * (first - y);
    } else if (a.kind == LOSS_MSE) {
        sums[SUM_LOSS] += (first - y) * (first - y);
    } else if (a.kind == LOSS_BINARY) {
        sums[SUM_LOSS] += weight_of(a, 0) * y * softplus(-first) + (1.0 - y) * softplus(first);
    } else {
        const double all = log_sum_exp(x, a.classes);
        const int label = static_cast<int>(target);
        sums[SUM_WEIGHT] += weight_of(a, label);
        for (int c = 0; c < a.classes; c++) {
            const double share = label_share(a, c, label);
            sums[SUM_LOSS] += share == 0.0 ? 0.0 : share * (all - number(x, c));
        }
    }
}

template <class T>
__global__ void __launch_bounds__(THREADS, 2)
    sum_losses(loss_rows a, view<T> x, double *sums_out, int64_t sums_stride) {
    __shared__ double part[WARPS][LOSS_SUMS];
    const int shard = a.shard_begin + static_cast<int>(blockIdx.x);
    double sums[LOSS_SUMS] = {0};
    for (int64_t r = threadIdx.x; r < a.rows; r += THREADS) {
        const float target = a.target[shard * a.rows + r];
        if (!isnan(target)) {
            add_row(a, x.at(shard, r), target, sums);
        }
    }
    for (int k = 0; k < LOSS_SUMS; k++) {
        const double sum = warp_sum(sums[k]);
        if (threadIdx.x % 32 == 0) {
            part[threadIdx.x / 32][k] = sum;
        }
    }
    __syncthreads();
    if (threadIdx.x < LOSS_SUMS) {
        double sum = 0.0;
        for (int w = 0; w < WARPS; w++) {
            sum += part[w][threadIdx.x];
        }
        sums_out[shard * sums_stride + threadIdx.x] = sum;
    }
}

/* What is known before the sums; what the gradient of every row takes from them; of ccc (jmt.md
 * 2.1). */
struct loss_rule {
    bool unbiased;
    double weight, mse_weight, weights; /* weights: of all classes */
};

struct loss_totals {
    bool empty;
    double weight, n, weights;
    double factor; /* cross_entropy: weight over the sum of weights */
    double mse_weight, degrees, mean_x, mean_y, value, denominator;
};

/* As ccc_from_sums (kernels/ref/ccc.h). */
__device__ loss_totals totals_of(loss_kind_t kind, const loss_rule &rule, const double *sums) {
    loss_totals t = {};
    t.weight = rule.weight;
    t.weights = rule.weights;
    t.n = sums[SUM_N];
    t.empty = t.n < (kind == LOSS_CCC ? 2.0 : 1.0);
    if (kind == LOSS_CROSS_ENTROPY) {
        t.factor = t.empty ? 0.0 : rule.weight / sums[SUM_WEIGHT];
    }
    if (kind != LOSS_CCC || t.empty) {
        return t;
    }
    t.mse_weight = rule.mse_weight;
    t.degrees = rule.unbiased ? t.n - 1.0 : t.n;
    t.mean_x = sums[SUM_X] / t.n;
    t.mean_y = sums[SUM_Y] / t.n;
    const double s_xx = (sums[SUM_XX] - t.n * t.mean_x * t.mean_x) / t.degrees;
    const double s_yy = (sums[SUM_YY] - t.n * t.mean_y * t.mean_y) / t.degrees;
    const double s_xy = (sums[SUM_XY] - t.n * t.mean_x * t.mean_y) / t.degrees;
    const double apart = t.mean_x - t.mean_y;
    t.denominator = s_xx + s_yy + apart * apart + 1e-8;
    t.value = 2.0 * s_xy / t.denominator;
    return t;
}

__device__ __forceinline__ double ccc_slope(const loss_totals &t, double x, double y) {
    const double numerator = 2.0 * (y - t.mean_y) / t.degrees;
    const double denominator = 2.0 * (x - t.mean_x) / t.degrees + 2.0 * (t.mean_x - t.mean_y) / t.n;
    return (t.value * denominator - numerator) / t.denominator;
}

__device__ __forceinline__ double binary_slope(const loss_rows &a, double x, double y) {
    const double small = exp(-fabs(x)), near = 1.0 / (1.0 + small), far = small / (1.0 + small);
    const double p = x >= 0.0 ? near : far, rest = x >= 0.0 ? far : near;
    return (1.0 - y) * p - weight_of(a, 0) * y * rest;
}

/* d/dx_c of sum_k share_k (log sum exp x - x_k) = softmax(x)_c sum_k share_k - share_c. */
template <class T>
__device__ void cross_entropy_row(const loss_rows &a, const loss_totals &t, const T *x, int label,
                                  T *dx) {
    const double all = log_sum_exp(x, a.classes);
    const double shares = (1.0 - a.label_smoothing) * weight_of(a, label) +
                          a.label_smoothing / static_cast<double>(a.classes) * t.weights;
    for (int c = 0; c < a.classes; c++) {
        const double slope = exp(number(x, c) - all) * shares - label_share(a, c, label);
        narrow(dx + c, static_cast<float>(t.factor * slope));
    }
}

template <class T>
__global__ void __launch_bounds__(BLOCK_THREADS, 2)
    loss_gradients(loss_rows a, loss_rule rule, const double *total, view<T> in, view<T> d_in) {
    __shared__ loss_totals t;
    if (threadIdx.x == 0) {
        t = totals_of(a.kind, rule, total);
    }
    __syncthreads();
    const int64_t r = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int shard = a.shard_begin + static_cast<int>(blockIdx.y);
    if (r >= a.rows) {
        return;
    }
    const float target = a.target[shard * a.rows + r];
    T *dx = d_in.at(shard, r);
    if (t.empty || isnan(target)) {
        for (int c = 0; c < a.classes; c++) {
            narrow(dx + c, 0.0f);
        }
        return;
    }
    const T *row = in.at(shard, r);
    if (a.kind == LOSS_CROSS_ENTROPY) {
        cross_entropy_row(a, t, row, static_cast<int>(target), dx);
        return;
    }
    const double x = number(row, 0), y = static_cast<double>(target);
    double slope = 0.0;
    if (a.kind == LOSS_CCC) {
        slope = ccc_slope(t, x, y) + t.mse_weight * (2.0 * (x - y) / t.n);
    } else if (a.kind == LOSS_MSE) {
        slope = 2.0 * (x - y) / t.n;
    } else {
        slope = binary_slope(a, x, y) / t.n;
    }
    narrow(dx, static_cast<float>(t.weight * slope));
}

loss_rows rows_of(const loss_call_t *call) {
    REQUIRE(call->x.cols <= LOSS_CLASSES_MAX);
    REQUIRE(call->kind == LOSS_CROSS_ENTROPY || call->x.cols == 1);
    loss_rows a = {};
    a.kind = call->kind;
    a.weighs = call->class_weights != nullptr;
    for (int64_t c = 0; a.weighs && c < call->x.cols; c++) {
        a.class_weight[c] = call->class_weights[c];
    }
    a.label_smoothing = call->label_smoothing;
    a.target = static_cast<const float *>(call->target);
    a.rows = call->x.rows;
    a.classes = static_cast<int>(call->x.cols);
    a.shard_begin = call->shard_begin;
    return a;
}

loss_rule rule_of(const loss_call_t *call) {
    loss_rule rule = {};
    rule.unbiased = call->unbiased;
    rule.weight = call->weight;
    rule.mse_weight = call->mse_weight;
    for (int64_t c = 0; c < call->x.cols; c++) {
        rule.weights += call->class_weights == nullptr ? 1.0 : call->class_weights[c];
    }
    return rule;
}

template <class T> void loss_sums(const loss_call_t *call, double *sums) {
    const int shards = call->shard_end - call->shard_begin;
    if (shards > 0) {
        LAUNCH((sum_losses<T>), static_cast<unsigned>(shards), THREADS, 0,
               cuda_context_of(call->device)->stream, rows_of(call), view_of<T>(call->x), sums,
               call->sums_stride);
        CUDA_REQUIRE(cudaGetLastError());
    }
}

template <class T> void loss_gradient(const loss_call_t *call, const double *total) {
    const int shards = call->shard_end - call->shard_begin;
    if (shards <= 0 || call->x.rows == 0) {
        return;
    }
    const dim3 grid(static_cast<unsigned>(div_up(call->x.rows, BLOCK_THREADS)),
                    static_cast<unsigned>(shards));
    LAUNCH((loss_gradients<T>), grid, BLOCK_THREADS, 0, cuda_context_of(call->device)->stream,
           rows_of(call), rule_of(call), total, view_of<T>(call->x), view_of<T>(call->d_x));
    CUDA_REQUIRE(cudaGetLastError());
}

} // namespace

extern "C" void loss_sums_cuda_f32(const loss_call_t *call, double *sums) {
    loss_sums<float>(call, sums);
}

extern "C" void loss_sums_cuda_bf16(const loss_call_t *call, double *sums) {
    loss_sums<bf16>(call, sums);
}

extern "C" void loss_gradient_cuda_f32(const loss_call_t *call, const double total[LOSS_SUMS]) {
    loss_gradient<float>(call, total);
}

extern "C" void loss_gradient_cuda_bf16(const loss_call_t *call, const double total[LOSS_SUMS]) {
    loss_gradient<bf16>(call, total);
}
