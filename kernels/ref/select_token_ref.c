#include "kernels/ref/real.h"

status_t REAL(select_token_plan)(const op_description_t *description, op_plan_t **plan_out,
                                 op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1 && description->attributes.tokens > 0);
    REQUIRE(description->in[0].rows == description->out.rows * description->attributes.tokens);
    bool concat = description->attributes.token_rule == TOKEN_CONCAT;
    int64_t side_by_side = concat ? description->attributes.tokens : 1;
    REQUIRE(description->in[0].cols * side_by_side == description->out.cols);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

/* The tokens of a row that count: the valid ones, or the last where none is. */
typedef struct counted {
    const uint8_t *valid; /* NULL: all */
    int64_t tokens, count, last;
    bool any;
} counted_t;

static counted_t counted_of(const op_attributes_t *a, const op_call_t *call, int shard,
                            int64_t row) {
    counted_t counted = {.tokens = a->tokens, .last = a->tokens - 1};
    if (call->mask.data != NULL) {
        counted.valid = call->mask.data + shard * call->mask.shard_stride + row * a->tokens;
    }
    for (int64_t t = 0; t < a->tokens; t++) {
        if (counted.valid == NULL || counted.valid[t] != 0) {
            counted.count++;
            counted.last = t;
            counted.any = true;
        }
    }
    counted.count += !counted.any;
    return counted;
}

static bool counts(const counted_t *counted, int64_t token) {
    return counted->any ? counted->valid == NULL || counted->valid[token] != 0
                        : token == counted->last;
}

/* Mean, sum or largest, into y. */
static void combine(token_rule_t rule, const counted_t *counted, const op_call_t *call, int shard,
                    int64_t row, int64_t cols) {
    real_t *y = row_of(call->out, shard, row);
    bool first = true;
    for (int64_t t = 0; t < counted->tokens; t++) {
        const real_t *x = row_of(call->in[0], shard, row * counted->tokens + t);
        if (!counts(counted, t)) {
            continue;
        }
        for (int64_t c = 0; c < cols; c++) {
            if (rule == TOKEN_MAX) {
                y[c] = first || !(x[c] <= y[c]) ? x[c] : y[c]; /* a NaN passes */
            } else {
                y[c] = first ? x[c] : y[c] + x[c];
            }
        }
        first = false;
    }
    for (int64_t c = 0; c < cols && rule == TOKEN_MEAN; c++) {
        y[c] /= (real_t)counted->count;
    }
}

static void copy_or_clear(bool copy, real_t *to, const real_t *from, int64_t cols) {
    if (copy) {
        copy_row(to, from, cols);
    } else {
        memset(to, 0, (size_t)cols * sizeof(real_t));
    }
}

void REAL(select_token_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    token_rule_t rule = d->attributes.token_rule;
    int64_t cols = d->in[0].cols, tokens = d->attributes.tokens;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            counted_t counted = counted_of(&d->attributes, call, s, r);
            if (rule == TOKEN_LAST) {
                copy_row(row_of(call->out, s, r), row_of(call->in[0], s, r * tokens + counted.last),
                         cols);
            } else if (rule == TOKEN_CONCAT) {
                for (int64_t t = 0; t < tokens; t++) {
                    copy_or_clear(counted.any && counts(&counted, t),
                                  row_of(call->out, s, r) + t * cols,
                                  row_of(call->in[0], s, r * tokens + t), cols);
                }
            } else {
                combine(rule, &counted, call, s, r, cols);
            }
        }
    }
}

/* Each column's gradient goes to the first token that has the largest element. A strip of columns
 * at a time, so that the tokens are read row by row. */
static void to_largest(const counted_t *counted, const op_call_t *call, int shard, int64_t row,
                       int64_t cols) {
    enum { STRIP = 64 };
    for (int64_t first = 0; first < cols; first += STRIP) {
        int64_t width = min_i64(STRIP, cols - first);
        const real_t *y = row_of(call->out, shard, row) + first;
        const real_t *dy = row_of(call->d_out, shard, row) + first;
        real_t left[STRIP]; /* 1: not given yet */
        for (int64_t c = 0; c < width; c++) {
            left[c] = 1;
        }
        for (int64_t t = 0; t < counted->tokens; t++) {
            int64_t token = row * counted->tokens + t;
            const real_t *x = row_of(call->in[0], shard, token) + first;
            real_t *dx = row_of(call->d_in[0], shard, token) + first;
            real_t use = counts(counted, t) ? 1 : 0;
            for (int64_t c = 0; c < width; c++) {
                real_t gradient = dy[c], mine = x[c] == y[c] ? left[c] * use : 0;
                dx[c] = mine != 0 ? gradient : 0;
                left[c] -= mine;
            }
        }
    }
}

/* Rows without gaps between them are cleared as one. */
static void clear_rows(matrix_t dx, int shard, int64_t begin, int64_t end, int64_t cols) {
    bool whole = dx.row_stride == cols;
    int64_t step = whole ? end - begin : 1;
    for (int64_t r = begin; r < end; r += step) {
        memset(row_of(dx, shard, r), 0, (size_t)(step * cols) * sizeof(real_t));
    }
}

static void to_last(const op_call_t *call, int shard, int64_t row, int64_t tokens, int64_t last,
                    int64_t cols) {
    int64_t first = row * tokens;
    clear_rows(call->d_in[0], shard, first, first + last, cols);
    copy_row(row_of(call->d_in[0], shard, first + last), row_of(call->d_out, shard, row), cols);
    clear_rows(call->d_in[0], shard, first + last + 1, first + tokens, cols);
}

static void to_token(const counted_t *counted, token_rule_t rule, real_t *dx, const real_t *dy,
                     int64_t t, int64_t cols) {
    bool concat = rule == TOKEN_CONCAT;
    bool mine = counts(counted, t) && (!concat || counted->any);
    copy_or_clear(mine, dx, concat ? dy + t * cols : dy, cols);
    for (int64_t c = 0; c < cols && rule == TOKEN_MEAN; c++) {
        dx[c] /= (real_t)counted->count;
    }
}

void REAL(select_token_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    token_rule_t rule = d->attributes.token_rule;
    int64_t cols = d->in[0].cols, tokens = d->attributes.tokens;
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            counted_t counted = counted_of(&d->attributes, call, s, r);
            if (rule == TOKEN_MAX) {
                to_largest(&counted, call, s, r, cols);
                continue;
            }
            if (rule == TOKEN_LAST) {
                to_last(call, s, r, tokens, counted.last, cols);
                continue;
            }
            for (int64_t t = 0; t < tokens; t++) {
                to_token(&counted, rule, row_of(call->d_in[0], s, r * tokens + t),
                         row_of(call->d_out, s, r), t, cols);
            }
        }
    }
}
