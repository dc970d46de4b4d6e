/* The mask is drawn again in the backward: nothing is kept. The words are those of
 * kernels/base/rng.h. */
#include "kernels/cuda/copy_rows.cuh"

namespace {

struct words_t {
    uint32_t word[4];
};

__device__ __forceinline__ words_t draw(uint64_t seed, uint64_t upper, uint64_t index) {
    uint32_t c0 = static_cast<uint32_t>(index), c1 = static_cast<uint32_t>(index >> 32);
    uint32_t c2 = static_cast<uint32_t>(upper), c3 = static_cast<uint32_t>(upper >> 32);
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t product0 = static_cast<uint64_t>(0xD2511F53u) * c0;
        const uint64_t product1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
        c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
        c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
        c1 = static_cast<uint32_t>(product1);
        c3 = static_cast<uint32_t>(product0);
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return words_t{{c0, c1, c2, c3}};
}

template <class T> struct dropout_op {
    view<T> from, to;
    uint64_t seed, node_hash, step;
    const step_now_t *there; /* NULL: step */
    int64_t first_row;       /* of shard 0, in the global batch */
    int64_t rows, cols, period;
    uint32_t least; /* of the 24 bits of an element that stays */
    float scale;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        const int64_t global_row = first_row + shard * rows + row;
        const uint64_t first = static_cast<uint64_t>(global_row / period * cols + col);
        const uint64_t now = there != nullptr ? there->step : step;
        const uint64_t upper = node_hash + now * 0x9E3779B97F4A7C15u; /* half of the counter */
        float x[CHUNK<T>];
        load<T, WIDE>(from.at(shard, row) + col, left, x);
        /* The blocks that a chunk reaches: one more where it does not begin with one. */
        const int skipped = static_cast<int>(first % 4);
#pragma unroll
        for (int b = 0; b <= CHUNK<T> / 4; b++) {
            if (b * 4 >= CHUNK<T> + skipped) {
                break;
            }
            const words_t words = draw(seed, upper, first / 4 + static_cast<uint64_t>(b));
#pragma unroll
            for (int k = 0; k < CHUNK<T>; k++) {
                const int at = k + skipped - 4 * b;
                const uint32_t word = at == 0   ? words.word[0]
                                      : at == 1 ? words.word[1]
                                      : at == 2 ? words.word[2]
                                                : words.word[3];
                if (at >= 0 && at < 4) {
                    x[k] = word >> 8 >= least ? x[k] * scale : 0.0f;
                }
            }
        }
        store<T, WIDE>(to.at(shard, row) + col, left, x);
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const double p = description->attributes.probability;
    const int64_t period = max_i64(description->attributes.period, 1);
    REQUIRE(description->input_count == 1 && p >= 0.0 && p <= 1.0);
    REQUIRE(description->out.rows % period == 0);
    return plain_plan(description, plan_out, needs_out);
}

template <class T>
void drop(const op_plan_t *plan, const op_call_t *call, const matrix_t &from, const matrix_t &to) {
    const op_description_t *d = &plan->description;
    const step_scalars_t *now = call->scalars;
    const double p = d->attributes.probability;
    const bool drops = now->training && !now->drops_nothing && p > 0.0;
    if (!drops) {
        launch_copy_rows<T>(plan, call, from, &to, 1, mask_t{}, d->out.rows, d->out.cols);
        return;
    }
    dropout_op<T> op = {};
    op.from = view_of<T>(from);
    op.to = view_of<T>(to);
    op.seed = now->seed;
    op.node_hash = d->attributes.node_hash;
    op.step = now->step;
    op.there = now->now;
    op.first_row = now->shard_first * d->out.rows;
    op.rows = d->out.rows;
    op.cols = d->out.cols;
    op.period = max_i64(d->attributes.period, 1);
    op.least = static_cast<uint32_t>(ceil(p * 16777216.0));
    op.scale = p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f;
    launch_rows<T>(plan, call, op, is_wide<T>(from) && is_wide<T>(to), d->out.rows, d->out.cols);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    drop<T>(plan, call, call->in[0], call->out);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    if (call->d_in[0].data != nullptr) {
        drop<T>(plan, call, call->d_out, call->d_in[0]);
    }
}

} // namespace

CUDA_OP(dropout)
