/* Multi-head attention, from scores to result in one kernel: a block takes the queries of one group
 * and head, or as many of them as their scores fit into shared memory. The probabilities kept for
 * the backward are 0 where a key is masked, so the backward needs no mask.
 *
 * Products between rows are made by runs of lanes, a chunk of the columns each; sums over keys or
 * queries by a thread for each chunk of the result. */
#include "kernels/cuda/kernel.cuh"

namespace {

enum { THREADS = 128, WARPS = THREADS / 32, SCORES_MOST = 10000 }; /* floats of shared memory */

struct heads_t {
    bool causal;
    int groups, heads, queries, keys, cols; /* cols: of one head */
    int tile;                               /* queries of a block */
    int lanes;                              /* of a warp for one product of rows */
    int step;                               /* from one row of a group to the next */
    float scale;
};

template <class T> struct attention_call {
    heads_t h;
    view<T> q, k, v, out;
    view<T> d_out, dq, dk, dv;
    mask_t mask;
    float *saved; /* NULL: not kept */
    int64_t saved_stride;
    float *d_scores; /* [shards, groups, heads, queries, keys]; where a block has not all queries */
    int shard_begin;
};

struct plan_attention {
    op_plan_t base; /* first */
    heads_t h;
};

/* Of a block. */
struct place_t {
    int shard, group, head, first, count; /* queries */
};

__device__ __forceinline__ place_t place_of(const heads_t &h, int shard_begin) {
    const int index = static_cast<int>(blockIdx.y);
    place_t at;
    at.shard = shard_begin + static_cast<int>(blockIdx.z);
    at.group = index / h.heads;
    at.head = index % h.heads;
    at.first = static_cast<int>(blockIdx.x) * h.tile;
    at.count = min(h.tile, h.queries - at.first);
    return at;
}

/* Row `row` of the block's group, of `length` rows. */
__device__ __forceinline__ int64_t row_number(const heads_t &h, const place_t &at, int length,
                                              int row) {
    const int64_t first = h.step == 1 ? static_cast<int64_t>(at.group) * length : at.group;
    return first + static_cast<int64_t>(row) * h.step;
}

template <class T>
__device__ __forceinline__ T *row_at(const view<T> &m, const heads_t &h, const place_t &at,
                                     int length, int row) {
    return m.at(at.shard, row_number(h, at, length, row)) + at.head * h.cols;
}

/* Keys that a query sees, of those that come first. */
__device__ __forceinline__ int seen_by(const heads_t &h, int query) {
    return h.causal ? query + 1 : h.keys;
}

/* score[i][j] = the product of row i of `left` (queries of the block) and row j of `right` (keys).
 */
template <class T, bool WIDE>
__device__ void row_products(const heads_t &h, const place_t &at, const view<T> &left,
                             const view<T> &right, float *score) {
    const int lane = static_cast<int>(threadIdx.x) % h.lanes;
    const int runs = THREADS / h.lanes, total = at.count * h.keys;
    /* All lanes of a warp go round equally often. */
    for (int first = 0; first < total; first += runs) {
        const int pair = first + static_cast<int>(threadIdx.x) / h.lanes;
        const int i = pair / h.keys, j = pair % h.keys;
        float sum = 0.0f;
        if (pair < total && j < seen_by(h, at.first + i)) {
            const T *a = row_at(left, h, at, h.queries, at.first + i);
            const T *b = row_at(right, h, at, h.keys, j);
            for (int col = lane * CHUNK<T>; col < h.cols; col += h.lanes * CHUNK<T>) {
                float x[CHUNK<T>], y[CHUNK<T>];
                load<T, WIDE>(a + col, h.cols - col, x);
                load<T, WIDE>(b + col, h.cols - col, y);
#pragma unroll
                for (int k = 0; k < CHUNK<T>; k++) {
                    sum += x[k] * y[k];
                }
            }
        }
        for (int by = h.lanes / 2; by > 0; by /= 2) {
            sum += __shfl_xor_sync(~0u, sum, by);
        }
        if (lane == 0 && pair < total) {
            score[pair] = sum;
        }
    }
}

/* Scores to probabilities, a warp for each query. */
template <class T>
__device__ void softmax_rows(const attention_call<T> &a, const place_t &at, float *score) {
    const heads_t &h = a.h;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int i = static_cast<int>(threadIdx.x) / 32; i < at.count; i += WARPS) {
        float *row = score + i * h.keys;
        const int seen = seen_by(h, at.first + i);
        float top = -INFINITY;
        bool any = false;
        for (int j = lane; j < seen; j += 32) {
            if (valid(a.mask, at.shard, row_number(h, at, h.keys, j))) {
                any = true;
                top = fmaxf(top, row[j] * h.scale);
            }
        }
        any = __any_sync(~0u, any) != 0;
        top = warp_all(top, larger());
        float sum = 0.0f;
        for (int j = lane; j < h.keys; j += 32) {
            const bool use = j < seen && valid(a.mask, at.shard, row_number(h, at, h.keys, j));
            row[j] = use ? expf(row[j] * h.scale - top) : 0.0f;
            sum += row[j];
        }
        const float inverse = any ? 1.0f / warp_sum(sum) : 0.0f;
        for (int j = lane; j < h.keys; j += 32) {
            row[j] *= inverse;
        }
    }
}

/* Rows of `to` from row `first` on: to[i] = sum over j of factor[i * step_i + j * step_j] from[j].
 */
template <class T, bool WIDE>
__device__ void mix(const heads_t &h, const place_t &at, const float *factor, int step_i,
                    int step_j, const view<T> &from, int from_length, int from_first,
                    int from_count, const view<T> &to, int to_length, int to_first, int to_count) {
    const int chunks = (h.cols + CHUNK<T> - 1) / CHUNK<T>;
    for (int item = static_cast<int>(threadIdx.x); item < to_count * chunks; item += THREADS) {
        const int i = item / chunks, col = item % chunks * CHUNK<T>;
        float sum[CHUNK<T>] = {0};
        for (int j = 0; j < from_count; j++) {
            const float by = factor[i * step_i + j * step_j];
            float x[CHUNK<T>];
            load<T, WIDE>(row_at(from, h, at, from_length, from_first + j) + col, h.cols - col, x);
#pragma unroll
            for (int k = 0; k < CHUNK<T>; k++) {
                sum[k] += by * x[k];
            }
        }
        store<T, WIDE>(row_at(to, h, at, to_length, to_first + i) + col, h.cols - col, sum);
    }
}

/* Where the probabilities (or their gradients) of a block's queries lie, in an array of all. */
template <class T>
__device__ __forceinline__ float *block_rows(const attention_call<T> &a, const place_t &at,
                                             float *all, int64_t shard_stride, int shard) {
    const int64_t head = static_cast<int64_t>(at.group) * a.h.heads + at.head;
    return all + shard * shard_stride + (head * a.h.queries + at.first) * a.h.keys;
}

template <class T, bool WIDE>
__global__ void __launch_bounds__(THREADS) attention_forward(attention_call<T> a) {
    DYNAMIC_SHARED(float, score);
    const heads_t &h = a.h;
    const place_t at = place_of(h, a.shard_begin);
    row_products<T, WIDE>(h, at, a.q, a.k, score);
    __syncthreads();
    softmax_rows(a, at, score);
    __syncthreads();
    if (a.saved != nullptr) {
        float *kept = block_rows(a, at, a.saved, a.saved_stride, at.shard);
        for (int i = static_cast<int>(threadIdx.x); i < at.count * h.keys; i += THREADS) {
            kept[i] = score[i];
        }
    }
    mix<T, WIDE>(h, at, score, h.keys, 1, a.v, h.keys, 0, h.keys, a.out, h.queries, at.first,
                 at.count);
}

/* The gradient of the scaled scores in place of dP = dO V': P (dP - sum(dP P)) / sqrt(cols). */
template <class T>
__device__ void score_gradients(const attention_call<T> &a, const place_t &at, const float *kept,
                                float *d_score) {
    const heads_t &h = a.h;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int i = static_cast<int>(threadIdx.x) / 32; i < at.count; i += WARPS) {
        float *row = d_score + i * h.keys;
        const float *p = kept + i * h.keys;
        float along = 0.0f;
        for (int j = lane; j < h.keys; j += 32) {
            along += row[j] * p[j];
        }
        along = warp_sum(along);
        for (int j = lane; j < h.keys; j += 32) {
            row[j] = p[j] * (row[j] - along) * h.scale;
        }
    }
}

/* WHOLE: the block has all queries of its group and head, and goes on to keys and values. */
template <class T, bool WIDE, bool WHOLE>
__global__ void __launch_bounds__(THREADS) attention_backward(attention_call<T> a) {
    DYNAMIC_SHARED(float, d_score);
    const heads_t &h = a.h;
    const place_t at = place_of(h, a.shard_begin);
    const float *kept = block_rows(a, at, a.saved, a.saved_stride, at.shard);
    row_products<T, WIDE>(h, at, a.d_out, a.v, d_score);
    __syncthreads();
    score_gradients(a, at, kept, d_score);
    __syncthreads();
    if (a.dq.data != nullptr) {
        mix<T, WIDE>(h, at, d_score, h.keys, 1, a.k, h.keys, 0, h.keys, a.dq, h.queries, at.first,
                     at.count);
    }
    if (WHOLE && a.dk.data != nullptr) {
        mix<T, WIDE>(h, at, d_score, 1, h.keys, a.q, h.queries, 0, h.queries, a.dk, h.keys, 0,
                     h.keys);
    }
    if (WHOLE && a.dv.data != nullptr) {
        mix<T, WIDE>(h, at, kept, 1, h.keys, a.d_out, h.queries, 0, h.queries, a.dv, h.keys, 0,
                     h.keys);
    }
    if (!WHOLE) {
        const int64_t shard_stride = static_cast<int64_t>(h.groups) * h.heads * h.queries * h.keys;
        float *all = block_rows(a, at, a.d_scores, shard_stride, static_cast<int>(blockIdx.z));
        for (int i = static_cast<int>(threadIdx.x); i < at.count * h.keys; i += THREADS) {
            all[i] = d_score[i];
        }
    }
}

/* What is left of the backward where a block had not all queries: `tile` keys for each block. */
template <class T, bool WIDE>
__global__ void __launch_bounds__(THREADS) attention_keys(attention_call<T> a) {
    const heads_t &h = a.h;
    place_t at = place_of(h, a.shard_begin);
    const int first = static_cast<int>(blockIdx.x) * h.tile, count = min(h.tile, h.keys - first);
    at.first = 0;
    at.count = h.queries;
    const int64_t shard_stride = static_cast<int64_t>(h.groups) * h.heads * h.queries * h.keys;
    const float *d_score =
        block_rows(a, at, a.d_scores, shard_stride, static_cast<int>(blockIdx.z));
    const float *kept = block_rows(a, at, a.saved, a.saved_stride, at.shard);
    if (a.dk.data != nullptr) {
        mix<T, WIDE>(h, at, d_score + first, 1, h.keys, a.q, h.queries, 0, h.queries, a.dk, h.keys,
                     first, count);
    }
    if (a.dv.data != nullptr) {
        mix<T, WIDE>(h, at, kept + first, 1, h.keys, a.d_out, h.queries, 0, h.queries, a.dv, h.keys,
                     first, count);
    }
}

/* --- planning -------------------------------------------------------------------------------- */

void check(const op_description_t *d) {
    const op_attributes_t *a = &d->attributes;
    REQUIRE(d->input_count == 3 && a->heads > 0 && d->out.cols % a->heads == 0);
    REQUIRE(d->out.rows == a->groups * a->query_len && d->in[0].rows == d->out.rows);
    REQUIRE(d->in[1].rows == a->groups * a->key_len && d->in[2].rows == d->in[1].rows);
    REQUIRE(!a->causal || a->query_len == a->key_len);
}

/* Fewer queries for a block where one would have them all and there are few blocks is no gain: a
 * block of 6 queries is over within microseconds. */
heads_t heads_of(const op_description_t *d, int chunk) {
    const op_attributes_t *a = &d->attributes;
    heads_t h = {};
    h.causal = a->causal;
    h.groups = static_cast<int>(a->groups);
    h.heads = static_cast<int>(a->heads);
    h.queries = static_cast<int>(a->query_len);
    h.keys = static_cast<int>(a->key_len);
    h.cols = static_cast<int>(d->out.cols / a->heads);
    enum { TILE_MOST = 32 };
    h.tile = static_cast<int>(min_i64(min_i64(TILE_MOST, h.queries), SCORES_MOST / h.keys));
    h.lanes = row_threads(div_up(h.cols, chunk), 32);
    h.step = static_cast<int>(a->across ? a->groups : 1);
    h.scale = 1.0f / sqrtf(static_cast<float>(h.cols));
    return h;
}

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_attributes_t *a = &description->attributes;
    check(description);
    if (a->key_len > SCORES_MOST || a->groups * a->heads > 65535) {
        return status_fail(STATUS_UNAVAILABLE,
                           "backend cuda attends to at most %d keys in at most 65535 groups and "
                           "heads, not to %lld in %lld; use backend: cpu",
                           SCORES_MOST, static_cast<long long>(a->key_len),
                           static_cast<long long>(a->groups * a->heads));
    }
    plan_attention *plan =
        static_cast<plan_attention *>(cuda_plan_open(description, sizeof(plan_attention)));
    plan->h = heads_of(description, CHUNK<T>);
    const bool backward = description->d_out.rows > 0;
    const int64_t scores = a->groups * a->heads * a->query_len * a->key_len;
    *needs_out = op_needs_t{};
    needs_out->saved_count = backward ? scores : 0;
    if (backward && plan->h.tile < plan->h.queries) {
        needs_out->workspace_count = scores * plan_shards(description);
    }
    *plan_out = &plan->base;
    return STATUS_OK;
}

/* --- calls ----------------------------------------------------------------------------------- */

template <class T> bool is_wide_head(const heads_t &h, const matrix_t &m) {
    return is_wide<T>(m) && h.cols % CHUNK<T> == 0;
}

template <class T>
attention_call<T> call_of(const op_plan_t *plan, const op_call_t *call, bool *wide_out) {
    attention_call<T> a = {};
    a.h = reinterpret_cast<const plan_attention *>(plan)->h;
    a.q = view_of<T>(call->in[0]);
    a.k = view_of<T>(call->in[1]);
    a.v = view_of<T>(call->in[2]);
    a.mask = call->mask;
    a.saved = plan->description.d_out.rows > 0 ? static_cast<float *>(call->saved) : nullptr;
    a.saved_stride = call->saved_shard_stride;
    a.shard_begin = call->shard_begin;
    *wide_out = is_wide_head<T>(a.h, call->in[0]) && is_wide_head<T>(a.h, call->in[1]) &&
                is_wide_head<T>(a.h, call->in[2]);
    return a;
}

dim3 grid_of(const heads_t &h, const op_call_t *call, int length) {
    return dim3(static_cast<unsigned>(div_up(length, h.tile)),
                static_cast<unsigned>(h.groups * h.heads),
                static_cast<unsigned>(call->shard_end - call->shard_begin));
}

size_t shared_bytes(const heads_t &h) {
    return static_cast<size_t>(h.tile) * static_cast<size_t>(h.keys) * sizeof(float);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    bool wide = false;
    attention_call<T> a = call_of<T>(plan, call, &wide);
    a.out = view_of<T>(call->out);
    const dim3 grid = grid_of(a.h, call, a.h.queries);
    if (wide && is_wide_head<T>(a.h, call->out)) {
        LAUNCH((attention_forward<T, true>), grid, THREADS, shared_bytes(a.h),
               plan->context->stream, a);
    } else {
        LAUNCH((attention_forward<T, false>), grid, THREADS, shared_bytes(a.h),
               plan->context->stream, a);
    }
    CUDA_REQUIRE(cudaGetLastError());
}

template <class T, bool WIDE>
void run_backward(const op_plan_t *plan, const op_call_t *call, const attention_call<T> &a) {
    const dim3 grid = grid_of(a.h, call, a.h.queries);
    cudaStream_t stream = plan->context->stream;
    if (a.h.tile >= a.h.queries) {
        LAUNCH((attention_backward<T, WIDE, true>), grid, THREADS, shared_bytes(a.h), stream, a);
    } else {
        LAUNCH((attention_backward<T, WIDE, false>), grid, THREADS, shared_bytes(a.h), stream, a);
        LAUNCH((attention_keys<T, WIDE>), grid_of(a.h, call, a.h.keys), THREADS, 0, stream, a);
    }
    CUDA_REQUIRE(cudaGetLastError());
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    bool wide = false;
    attention_call<T> a = call_of<T>(plan, call, &wide);
    a.d_out = view_of<T>(call->d_out);
    a.dq = view_of<T>(call->d_in[0]);
    a.dk = view_of<T>(call->d_in[1]);
    a.dv = view_of<T>(call->d_in[2]);
    a.d_scores = static_cast<float *>(call->workspace);
    wide = wide && is_wide_head<T>(a.h, call->d_out);
    for (int i = 0; i < 3; i++) {
        wide = wide && is_wide_head<T>(a.h, call->d_in[i]);
    }
    if (a.dq.data == nullptr && a.dk.data == nullptr && a.dv.data == nullptr) {
        return;
    }
    if (wide) {
        run_backward<T, true>(plan, call, a);
    } else {
        run_backward<T, false>(plan, call, a);
    }
}

} // namespace

CUDA_OP(attention)
