#include "kernels/ref/real.h"

status_t REAL(select_token_plan)(const op_description_t *description, op_plan_t **plan_out,
                                 op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 && description->attributes.tokens > 0);
    REQUIRE(description->in[0].rows == description->out.rows * description->attributes.tokens);
    REQUIRE(description->in[0].cols == description->out.cols);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

/* How many tokens of a row count, and the last of them. */
static int64_t chosen_count(const op_attributes_t *a, const op_call_t *call, int shard, int64_t row,
                            int64_t *last_out) {
    int64_t count = 0;
    *last_out = a->tokens - 1;
    for (int64_t t = 0; t < a->tokens; t++) {
        if (mask_valid(call->mask, shard, row * a->tokens + t)) {
            count++;
            *last_out = t;
        }
    }
    return a->token_rule == TOKEN_MEAN && count > 0 ? count : 1;
}

static bool is_chosen(const op_call_t *call, int shard, int64_t index, int64_t last_index,
                      int64_t count) {
    return index == last_index || (count > 1 && mask_valid(call->mask, shard, index));
}

void REAL(select_token_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t tokens = d->attributes.tokens, cols = d->out.cols, last;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            real_t *y = row_of(call->out, s, r);
            int64_t count = chosen_count(&d->attributes, call, s, r, &last);
            if (count == 1) {
                copy_row(y, row_of(call->in[0], s, r * tokens + last), cols);
                continue;
            }
            memset(y, 0, (size_t)cols * sizeof(real_t));
            for (int64_t t = r * tokens; t <= r * tokens + last; t++) {
                const real_t *x = row_of(call->in[0], s, t);
                for (int64_t c = 0; c < cols && mask_valid(call->mask, s, t); c++) {
                    y[c] += x[c];
                }
            }
            for (int64_t c = 0; c < cols; c++) {
                y[c] /= (real_t)count;
            }
        }
    }
}

void REAL(select_token_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t tokens = d->attributes.tokens, last;
    if (call->d_in[0].data == NULL) {
        return;
    }
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            const real_t *dy = row_of(call->d_out, s, r);
            int64_t count = chosen_count(&d->attributes, call, s, r, &last);
            for (int64_t t = r * tokens; t < (r + 1) * tokens; t++) {
                real_t *dx = row_of(call->d_in[0], s, t);
                bool chosen = is_chosen(call, s, t, r * tokens + last, count);
                for (int64_t c = 0; c < d->out.cols; c++) {
                    dx[c] = chosen ? dy[c] / (real_t)count : 0;
                }
            }
        }
    }
}
