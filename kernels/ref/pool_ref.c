/* Pooling over a grid. Columns lie side by side, so that each tap is a loop over a row. */
#include "kernels/ref/real.h"
#include "kernels/ref/window.h"

/* What a window reads of one axis: begin, begin + step ... */
typedef struct span {
    int64_t begin, count, step;
} span_t;

static span_t span_of(const op_axis_t *axis, int64_t o, bool adaptive) {
    if (adaptive) {
        int64_t begin = o * axis->in / axis->out;
        return (span_t){begin, div_up((o + 1) * axis->in, axis->out) - begin, 1};
    }
    return (span_t){o * axis->stride - axis->before, axis->size, axis->dilation};
}

typedef struct places {
    span_t span[OP_AXES];
    int64_t origin; /* the grid's first row */
    int64_t taps;
} places_t;

static places_t places_of(const op_description_t *d, int64_t row) {
    const op_attributes_t *a = &d->attributes;
    places_t places = {.taps = 1};
    for (int i = OP_AXES - 1; i >= 0; i--) {
        const op_axis_t *axis = &a->axis[i];
        places.span[i] = span_of(axis, row % axis->out, a->pool_rule == POOL_ADAPTIVE);
        places.taps *= places.span[i].count;
        row /= axis->out;
    }
    places.origin = row * window_in(a->axis);
    return places;
}

/* The row that a tap reads; -1: it is outside, or masked out. */
static int64_t source_of(const op_description_t *d, const op_call_t *call, const places_t *places,
                         int shard, int64_t tap) {
    int64_t source = places->origin, step = 1;
    for (int i = OP_AXES - 1; i >= 0; i--) {
        const span_t *span = &places->span[i];
        int64_t at = span->begin + tap % span->count * span->step;
        if (at < 0 || at >= d->attributes.axis[i].in) {
            return -1;
        }
        source += at * step;
        step *= d->attributes.axis[i].in;
        tap /= span->count;
    }
    return mask_valid(call->mask, shard, source) ? source : -1;
}

status_t REAL(pool_plan)(const op_description_t *description, op_plan_t **plan_out,
                         op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    pool_rule_t rule = description->attributes.pool_rule;
    REQUIRE(description->input_count == 1 && in->cols == out->cols);
    REQUIRE(rule == POOL_ADAPTIVE ? window_rows_fit(description) : window_fits(description));
    *needs_out = (op_needs_t){.saved_count = rule == POOL_MAX ? out->rows * out->cols : 0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

/* Where each column's largest element was found: a tap's number, -1 for none. */
static real_t *found_of(const op_description_t *d, const op_call_t *call, int shard, int64_t row) {
    return (real_t *)call->saved + shard * call->saved_shard_stride + row * d->out.cols;
}

/* --- forward --------------------------------------------------------------------------------- */

static void take_larger(const real_t *restrict x, int64_t cols, real_t tap, real_t *restrict y,
                        real_t *restrict found) {
    for (int64_t c = 0; c < cols; c++) {
        bool larger = x[c] > y[c] || x[c] != x[c]; /* a NaN has to be seen by all_finite() */
        y[c] = larger ? x[c] : y[c];
        found[c] = larger ? tap : found[c];
    }
}

static void largest(const op_description_t *d, const op_call_t *call, int shard, int64_t row) {
    places_t places = places_of(d, row);
    real_t *y = row_of(call->out, shard, row), *found = found_of(d, call, shard, row);
    bool any = false;
    for (int64_t tap = 0; tap < places.taps; tap++) {
        int64_t source = source_of(d, call, &places, shard, tap);
        if (source < 0) {
            continue;
        }
        const real_t *x = row_of(call->in[0], shard, source);
        if (any) {
            take_larger(x, d->out.cols, (real_t)tap, y, found);
            continue;
        }
        any = true;
        for (int64_t c = 0; c < d->out.cols; c++) {
            y[c] = x[c];
            found[c] = (real_t)tap;
        }
    }
    for (int64_t c = 0; c < d->out.cols && !any; c++) {
        y[c] = 0;
        found[c] = -1;
    }
}

/* What the sum is divided by; 0: there is nothing. */
static int64_t divisor_of(const op_description_t *d, const op_call_t *call, const places_t *places,
                          int shard) {
    int64_t inside = 0;
    for (int64_t tap = 0; tap < places->taps; tap++) {
        inside += source_of(d, call, places, shard, tap) >= 0;
    }
    return d->attributes.pool_rule == POOL_AVERAGE && inside > 0 ? places->taps : inside;
}

static void average(const op_description_t *d, const op_call_t *call, int shard, int64_t row) {
    places_t places = places_of(d, row);
    real_t *restrict y = row_of(call->out, shard, row);
    real_t divisor = (real_t)max_i64(divisor_of(d, call, &places, shard), 1);
    memset(y, 0, (size_t)d->out.cols * sizeof(real_t));
    for (int64_t tap = 0; tap < places.taps; tap++) {
        int64_t source = source_of(d, call, &places, shard, tap);
        if (source >= 0) {
            const real_t *restrict x = row_of(call->in[0], shard, source);
            for (int64_t c = 0; c < d->out.cols; c++) {
                y[c] += x[c];
            }
        }
    }
    for (int64_t c = 0; c < d->out.cols; c++) {
        y[c] /= divisor;
    }
}

void REAL(pool_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            if (d->attributes.pool_rule == POOL_MAX) {
                largest(d, call, s, r);
            } else {
                average(d, call, s, r);
            }
        }
    }
}

/* --- backward -------------------------------------------------------------------------------- */

static void largest_backward(const op_description_t *d, const op_call_t *call, int shard,
                             int64_t row) {
    places_t places = places_of(d, row);
    const real_t *restrict dy = row_of(call->d_out, shard, row);
    const real_t *restrict found = found_of(d, call, shard, row);
    for (int64_t tap = 0; tap < places.taps; tap++) {
        int64_t source = source_of(d, call, &places, shard, tap);
        if (source >= 0) {
            real_t *restrict dx = row_of(call->d_in[0], shard, source), number = (real_t)tap;
            for (int64_t c = 0; c < d->out.cols; c++) {
                real_t gradient = dy[c]; /* read whether used or not: no branch */
                dx[c] += found[c] == number ? gradient : 0;
            }
        }
    }
}

static void average_backward(const op_description_t *d, const op_call_t *call, int shard,
                             int64_t row) {
    places_t places = places_of(d, row);
    const real_t *restrict dy = row_of(call->d_out, shard, row);
    real_t divisor = (real_t)max_i64(divisor_of(d, call, &places, shard), 1);
    for (int64_t tap = 0; tap < places.taps; tap++) {
        int64_t source = source_of(d, call, &places, shard, tap);
        if (source >= 0) {
            real_t *restrict dx = row_of(call->d_in[0], shard, source);
            for (int64_t c = 0; c < d->out.cols; c++) {
                dx[c] += dy[c] / divisor;
            }
        }
    }
}

void REAL(pool_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        for (int64_t r = 0; r < d->in[0].rows; r++) {
            memset(row_of(call->d_in[0], s, r), 0, (size_t)d->in[0].cols * sizeof(real_t));
        }
        for (int64_t r = 0; r < d->out.rows; r++) {
            if (d->attributes.pool_rule == POOL_MAX) {
                largest_backward(d, call, s, r);
            } else {
                average_backward(d, call, s, r);
            }
        }
    }
}
