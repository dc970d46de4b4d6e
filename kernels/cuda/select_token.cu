#include "kernels/cuda/kernel.cuh"

namespace {

/* The tokens of a row that count: the valid ones, or the last where none is. */
struct counted_t {
    int64_t tokens, count, last;
    bool any;
};

__device__ __forceinline__ counted_t counted_of(const mask_t &mask, int shard, int64_t row,
                                                int64_t tokens) {
    counted_t counted = {tokens, 0, tokens - 1, false};
    for (int64_t t = 0; t < tokens; t++) {
        if (valid(mask, shard, row * tokens + t)) {
            counted.count++;
            counted.last = t;
            counted.any = true;
        }
    }
    counted.count += counted.any ? 0 : 1;
    return counted;
}

/* Whether token t of the row counts. */
__device__ __forceinline__ bool counts(const counted_t &counted, const mask_t &mask, int shard,
                                       int64_t row, int64_t t) {
    return counted.any ? valid(mask, shard, row * counted.tokens + t) : t == counted.last;
}

/* col: of the input; what is side by side in the output is a run for each token. */
template <class T> struct select_token_op {
    view<T> in, out;
    mask_t mask;
    int64_t tokens, cols;
    token_rule_t rule;

    template <bool WIDE>
    __device__ __forceinline__ void side_by_side(const counted_t &counted, int shard, int64_t row,
                                                 int64_t col, int64_t left) const {
        for (int64_t t = 0; t < tokens; t++) {
            float x[CHUNK<T>] = {0};
            if (counted.any && counts(counted, mask, shard, row, t)) {
                load<T, WIDE>(in.at(shard, row * tokens + t) + col, left, x);
            }
            store<T, WIDE>(out.at(shard, row) + t * cols + col, left, x);
        }
    }

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        const counted_t counted = counted_of(mask, shard, row, tokens);
        if (rule == TOKEN_CONCAT) {
            side_by_side<WIDE>(counted, shard, row, col, left);
            return;
        }
        float y[CHUNK<T>] = {0}, x[CHUNK<T>];
        bool first = true;
        for (int64_t t = rule == TOKEN_LAST ? counted.last : 0; t <= counted.last; t++) {
            if (rule != TOKEN_LAST && !counts(counted, mask, shard, row, t)) {
                continue;
            }
            load<T, WIDE>(in.at(shard, row * tokens + t) + col, left, x);
            for (int k = 0; k < CHUNK<T>; k++) {
                if (rule == TOKEN_MAX) {
                    y[k] = first || !(x[k] <= y[k]) ? x[k] : y[k]; /* a NaN passes */
                } else {
                    y[k] = first ? x[k] : y[k] + x[k];
                }
            }
            first = false;
        }
        for (int k = 0; k < CHUNK<T> && rule == TOKEN_MEAN; k++) {
            y[k] /= static_cast<float>(counted.count);
        }
        store<T, WIDE>(out.at(shard, row) + col, left, y);
    }
};

template <class T> struct select_token_backward_op {
    view<T> in, out, d_out, d_in;
    mask_t mask;
    int64_t tokens, cols;
    token_rule_t rule;

    /* Each column's gradient goes to the first token that has the largest element. */
    template <bool WIDE>
    __device__ __forceinline__ void to_largest(const counted_t &counted, int shard, int64_t row,
                                               int64_t col, int64_t left) const {
        float y[CHUNK<T>], dy[CHUNK<T>], x[CHUNK<T>];
        load<T, WIDE>(out.at(shard, row) + col, left, y);
        load<T, WIDE>(d_out.at(shard, row) + col, left, dy);
        for (int64_t t = 0; t < tokens; t++) {
            const bool use = counts(counted, mask, shard, row, t);
            load<T, WIDE>(in.at(shard, row * tokens + t) + col, left, x);
            for (int k = 0; k < CHUNK<T>; k++) {
                const bool mine = use && x[k] == y[k];
                x[k] = mine ? dy[k] : 0.0f;
                dy[k] = mine ? 0.0f : dy[k];
            }
            store<T, WIDE>(d_in.at(shard, row * tokens + t) + col, left, x);
        }
    }

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        const counted_t counted = counted_of(mask, shard, row, tokens);
        if (rule == TOKEN_MAX) {
            to_largest<WIDE>(counted, shard, row, col, left);
            return;
        }
        for (int64_t t = 0; t < tokens; t++) {
            const bool concat = rule == TOKEN_CONCAT;
            const bool mine = rule == TOKEN_LAST ? t == counted.last
                                                 : counts(counted, mask, shard, row, t) &&
                                                       (!concat || counted.any);
            float dx[CHUNK<T>] = {0};
            if (mine) {
                load<T, WIDE>(d_out.at(shard, row) + (concat ? t * cols : 0) + col, left, dx);
            }
            for (int k = 0; k < CHUNK<T> && rule == TOKEN_MEAN; k++) {
                dx[k] /= static_cast<float>(counted.count);
            }
            store<T, WIDE>(d_in.at(shard, row * tokens + t) + col, left, dx);
        }
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_attributes_t *a = &description->attributes;
    REQUIRE(description->input_count == 1 && a->tokens > 0);
    REQUIRE(description->in[0].rows == description->out.rows * a->tokens);
    const int64_t side_by_side = a->token_rule == TOKEN_CONCAT ? a->tokens : 1;
    REQUIRE(description->in[0].cols * side_by_side == description->out.cols);
    return plain_plan(description, plan_out, needs_out);
}

/* Runs of the output begin at multiples of 16 bytes. */
template <class T> bool runs_are_wide(const op_description_t *d) {
    return d->attributes.token_rule != TOKEN_CONCAT || d->in[0].cols % CHUNK<T> == 0;
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const int64_t cols = d->in[0].cols;
    const select_token_op<T> op = {
        view_of<T>(call->in[0]), view_of<T>(call->out), call->mask, d->attributes.tokens, cols,
        d->attributes.token_rule};
    const bool wide = is_wide<T>(call->in[0]) && is_wide<T>(call->out) && runs_are_wide<T>(d);
    launch_rows<T>(plan, call, op, wide, d->out.rows, cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    if (call->d_in[0].data == nullptr) {
        return;
    }
    const int64_t cols = d->in[0].cols;
    const select_token_backward_op<T> op = {view_of<T>(call->in[0]),
                                            view_of<T>(call->out),
                                            view_of<T>(call->d_out),
                                            view_of<T>(call->d_in[0]),
                                            call->mask,
                                            d->attributes.tokens,
                                            cols,
                                            d->attributes.token_rule};
    bool wide = is_wide<T>(call->d_out) && is_wide<T>(call->d_in[0]) && runs_are_wide<T>(d);
    if (d->attributes.token_rule == TOKEN_MAX) {
        wide = wide && is_wide<T>(call->in[0]) && is_wide<T>(call->out);
    }
    launch_rows<T>(plan, call, op, wide, d->out.rows, cols);
}

} // namespace

CUDA_OP(select_token)
