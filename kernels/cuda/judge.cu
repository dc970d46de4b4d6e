/* What becomes of a step, by one block. */
#include "kernels/cuda/kernel.cuh"

namespace {

enum { THREADS = 1024 };
enum { SUM_N, SUM_X, SUM_Y, SUM_XX, SUM_YY, SUM_XY, SUM_SQUARES }; /* of ccc */
enum { SUM_LOSS = 1, SUM_WEIGHT = 2 };                             /* of the others */

struct loss_rule {
    loss_kind_t kind;
    bool unbiased;
    double weight, mse_weight;
};

struct judge {
    int loss_count, rank_count;
    loss_rule losses[LOSSES_MAX];
    const double *totals, *partials, *words;
    const int64_t *order, *failed_at;
    double *ordered;
    int64_t partial_count;
    double clip_norm;
    step_now_t *now;
};

/* As loss_value. */
__device__ double loss_of(const loss_rule &rule, const double *sums) {
    const double n = sums[SUM_N];
    if (n < (rule.kind == LOSS_CCC ? 2.0 : 1.0)) {
        return 0.0;
    }
    if (rule.kind != LOSS_CCC) {
        return sums[SUM_LOSS] / (rule.kind == LOSS_CROSS_ENTROPY ? sums[SUM_WEIGHT] : n);
    }
    const double degrees = rule.unbiased ? n - 1.0 : n;
    const double mean_x = sums[SUM_X] / n, mean_y = sums[SUM_Y] / n, apart = mean_x - mean_y;
    const double s_xx = (sums[SUM_XX] - n * mean_x * mean_x) / degrees;
    const double s_yy = (sums[SUM_YY] - n * mean_y * mean_y) / degrees;
    const double s_xy = (sums[SUM_XY] - n * mean_x * mean_y) / degrees;
    const double ccc = 2.0 * s_xy / (s_xx + s_yy + apart * apart + 1e-8);
    return 1.0 - ccc + rule.mse_weight * sums[SUM_SQUARES] / n;
}

/* The canonical tree over all spans is left in ordered[0]. */
__device__ void sum_ordered(const judge &a) {
    for (int64_t i = threadIdx.x; i < a.partial_count; i += THREADS) {
        a.ordered[i] = a.partials[a.order[i]];
    }
    __syncthreads();
    for (int64_t apart = 1; apart < a.partial_count; apart *= 2) {
        const int64_t step = 2 * apart * THREADS;
        for (int64_t i = 2 * apart * threadIdx.x; i + apart < a.partial_count; i += step) {
            a.ordered[i] += a.ordered[i + apart];
        }
        __syncthreads();
    }
}

__global__ void __launch_bounds__(THREADS) judge_step(judge a) {
    sum_ordered(a);
    if (threadIdx.x != 0) {
        return;
    }
    double loss = 0.0;
    for (int i = 0; i < a.loss_count; i++) {
        loss += a.losses[i].weight * loss_of(a.losses[i], a.totals + i * LOSS_SUMS);
    }
    const double norm = sqrt(a.partial_count > 0 ? a.ordered[0] : 0.0);
    bool applies = isfinite(loss) && isfinite(norm);
    for (int r = 0; r < a.rank_count; r++) {
        applies = applies && a.words[a.failed_at[r]] == 0.0;
    }
    a.now->loss = loss;
    a.now->norm = norm;
    a.now->gradient_scale = a.clip_norm > 0.0 && norm > a.clip_norm ? a.clip_norm / norm : 1.0;
    a.now->applies = applies ? 1 : 0;
}

} // namespace

extern "C" void judge_cuda(const judge_call_t *call) {
    REQUIRE(call->loss_count <= LOSSES_MAX);
    judge a = {};
    a.loss_count = call->loss_count;
    a.rank_count = call->rank_count;
    for (int i = 0; i < call->loss_count; i++) {
        const loss_call_t *loss = &call->losses[i];
        a.losses[i] = {loss->kind, loss->unbiased, loss->weight, loss->mse_weight};
    }
    a.totals = call->totals;
    a.partials = call->partials;
    a.words = call->words;
    a.order = call->order;
    a.failed_at = call->failed_at;
    a.ordered = call->ordered;
    a.partial_count = call->partial_count;
    a.clip_norm = call->clip_norm;
    a.now = call->now;
    LAUNCH(judge_step, 1, THREADS, 0, cuda_context_of(call->device)->stream, a);
    CUDA_REQUIRE(cudaGetLastError());
}
