/* Convolution over time as it is defined: every output row is the normed weight times the rows that
 * its taps reach. */
#include "kernels/ref/weight_norm.h"

/* The workspace: the weight [out, in, taps], then one row [in, taps]. */
static int64_t row_width(const op_description_t *d) { return d->in[0].cols * d->attributes.taps; }

static real_t *row_space(const op_description_t *d, const op_call_t *call) {
    return (real_t *)call->workspace + d->out.cols * row_width(d);
}

status_t REAL(temporal_conv_plan)(const op_description_t *description, op_plan_t **plan_out,
                                  op_needs_t *needs_out) {
    const op_attributes_t *a = &description->attributes;
    REQUIRE(description->input_count == 1 && description->in[0].rows == description->out.rows);
    REQUIRE(a->period > 0 && description->out.rows % a->period == 0);
    REQUIRE(a->taps > 0 && a->dilation > 0 && a->before >= 0);
    *needs_out =
        (op_needs_t){.workspace_count = (description->out.cols + 1) * row_width(description)};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

static void norm_weight(const op_description_t *d, const op_call_t *call) {
    const real_t *v = call->weight[0], *g = call->weight[1];
    real_t *w = call->workspace;
    int64_t width = row_width(d);
    for (int64_t o = 0; o < d->out.cols; o++) {
        real_t scale = weight_norm_scale(v + o * width, g[o], width);
        for (int64_t i = 0; i < width; i++) {
            w[o * width + i] = scale * v[o * width + i];
        }
    }
}

/* The row that tap j of row r reads, -1 if that counts as 0. */
static int64_t source_of(const op_description_t *d, const op_call_t *call, int shard, int64_t r,
                         int64_t j) {
    const op_attributes_t *a = &d->attributes;
    int64_t shift = j * a->dilation - a->before, step = r % a->period + shift;
    bool inside = step >= 0 && step < a->period;
    return inside && mask_valid(call->mask, shard, r + shift) ? r + shift : -1;
}

static const real_t *gather(const op_description_t *d, const op_call_t *call, int shard,
                            int64_t r) {
    real_t *row = row_space(d, call);
    int64_t taps = d->attributes.taps;
    for (int64_t j = 0; j < taps; j++) {
        int64_t source = source_of(d, call, shard, r, j);
        for (int64_t i = 0; i < d->in[0].cols; i++) {
            row[i * taps + j] = source < 0 ? 0 : row_of(call->in[0], shard, source)[i];
        }
    }
    return row;
}

void REAL(temporal_conv_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    const real_t *bias = call->weight[2], *w = call->workspace;
    norm_weight(d, call);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            const real_t *x = gather(d, call, s, r);
            real_t *y = row_of(call->out, s, r);
            for (int64_t o = 0; o < d->out.cols; o++) {
                y[o] = bias[o] + (real_t)lanes_dot(w + o * row_width(d), x, row_width(d));
            }
        }
    }
}

/* What row r gives to the rows it has read. */
static void row_backward(const op_description_t *d, const op_call_t *call, int shard, int64_t r) {
    const real_t *dy = row_of(call->d_out, shard, r), *w = call->workspace;
    real_t *dx = row_space(d, call);
    int64_t taps = d->attributes.taps;
    memset(dx, 0, (size_t)row_width(d) * sizeof(real_t));
    for (int64_t o = 0; o < d->out.cols; o++) {
        add_scaled(dx, dy[o], w + o * row_width(d), row_width(d));
    }
    for (int64_t j = 0; j < taps; j++) {
        int64_t source = source_of(d, call, shard, r, j);
        for (int64_t i = 0; i < d->in[0].cols && source >= 0; i++) {
            row_of(call->d_in[0], shard, source)[i] += dx[i * taps + j];
        }
    }
}

void REAL(temporal_conv_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    if (call->d_in[0].data == NULL) {
        return;
    }
    norm_weight(d, call);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            memset(row_of(call->d_in[0], s, r), 0, (size_t)d->in[0].cols * sizeof(real_t));
        }
        for (int64_t r = 0; r < d->out.rows; r++) {
            row_backward(d, call, s, r);
        }
    }
}

void REAL(temporal_conv_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    int64_t out = d->out.cols, width = row_width(d);
    real_t *d_w = call->d_weight[0], *d_bias = call->d_weight[2];
    memset(d_w, 0, (size_t)(out * width) * sizeof(real_t));
    memset(d_bias, 0, (size_t)out * sizeof(real_t));
    for (int64_t r = 0; r < d->out.rows; r++) {
        const real_t *dy = row_of(call->d_out, call->shard_begin, r);
        const real_t *x = gather(d, call, call->shard_begin, r);
        add_scaled(d_bias, 1, dy, out);
        for (int64_t o = 0; o < out; o++) {
            add_scaled(d_w + o * width, dy[o], x, width);
        }
    }
    weight_norm_gradient(out, width, call->weight[0], call->weight[1], d_w, call->d_weight[1]);
}
