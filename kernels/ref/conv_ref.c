/* Convolution as it is defined: every output row is the weight times the rows that its taps
 * reach. */
#include "kernels/ref/real.h"
#include "kernels/ref/window.h"

/* Of one group. */
typedef struct extents {
    int64_t in, out, taps, width;
} extents_t;

static extents_t extents_of(const op_description_t *d) {
    int64_t groups = d->attributes.groups, taps = window_taps(d->attributes.axis);
    int64_t in = d->in[0].cols / groups;
    return (extents_t){in, d->out.cols / groups, taps, in * taps};
}

/* The workspace: what one group reads [in, taps], then a row of gradients [out]. */
status_t REAL(conv_plan)(const op_description_t *description, op_plan_t **plan_out,
                         op_needs_t *needs_out) {
    int64_t groups = description->attributes.groups;
    REQUIRE(description->input_count == 1 && groups > 0 && window_fits(description));
    REQUIRE(description->in[0].cols % groups == 0 && description->out.cols % groups == 0);
    *needs_out =
        (op_needs_t){.workspace_count = extents_of(description).width + description->out.cols};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

static const real_t *gather(const op_description_t *d, const op_call_t *call, int shard, int64_t r,
                            int64_t group) {
    extents_t e = extents_of(d);
    real_t *row = call->workspace;
    for (int64_t j = 0; j < e.taps; j++) {
        int64_t source = window_source(d->attributes.axis, r, j);
        for (int64_t i = 0; i < e.in; i++) {
            row[i * e.taps + j] =
                source < 0 ? 0 : row_of(call->in[0], shard, source)[group * e.in + i];
        }
    }
    return row;
}

void REAL(conv_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    extents_t e = extents_of(d);
    const real_t *weight = call->weight[0], *bias = call->weight[1];
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < d->out.rows; r++) {
            real_t *y = row_of(call->out, s, r);
            for (int64_t o = 0; o < d->out.cols; o++) {
                if (o % e.out == 0) {
                    gather(d, call, s, r, o / e.out);
                }
                real_t sum = (real_t)lanes_dot(weight + o * e.width, call->workspace, e.width);
                sum += d->attributes.bias ? bias[o] : 0;
                y[o] = d->attributes.activation == ACTIVATION_RELU && sum <= 0 ? 0 : sum;
            }
        }
    }
}

/* A row's gradient before the activation. */
static const real_t *before_activation(const op_description_t *d, const op_call_t *call, int shard,
                                       int64_t r) {
    const real_t *y = row_of(call->out, shard, r), *dy = row_of(call->d_out, shard, r);
    real_t *dz = (real_t *)call->workspace + extents_of(d).width;
    for (int64_t o = 0; o < d->out.cols; o++) {
        dz[o] = d->attributes.activation == ACTIVATION_RELU && !(y[o] > 0) ? 0 : dy[o];
    }
    return dz;
}

/* What one group of row r gives to the rows it has read. */
static void group_backward(const op_description_t *d, const op_call_t *call, int shard, int64_t r,
                           int64_t group, const real_t *dz) {
    extents_t e = extents_of(d);
    real_t *dx = call->workspace;
    const real_t *weight = call->weight[0];
    memset(dx, 0, (size_t)e.width * sizeof(real_t));
    for (int64_t o = group * e.out; o < (group + 1) * e.out; o++) {
        add_scaled(dx, dz[o], weight + o * e.width, e.width);
    }
    for (int64_t j = 0; j < e.taps; j++) {
        int64_t source = window_source(d->attributes.axis, r, j);
        for (int64_t i = 0; i < e.in && source >= 0; i++) {
            row_of(call->d_in[0], shard, source)[group * e.in + i] += dx[i * e.taps + j];
        }
    }
}

void REAL(conv_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int s = call->shard_begin; s < call->shard_end && call->d_in[0].data != NULL; s++) {
        for (int64_t r = 0; r < d->in[0].rows; r++) {
            memset(row_of(call->d_in[0], s, r), 0, (size_t)d->in[0].cols * sizeof(real_t));
        }
        for (int64_t r = 0; r < d->out.rows; r++) {
            const real_t *dz = before_activation(d, call, s, r);
            for (int64_t group = 0; group < d->attributes.groups; group++) {
                group_backward(d, call, s, r, group, dz);
            }
        }
    }
}

void REAL(conv_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    extents_t e = extents_of(d);
    real_t *d_weight = call->d_weight[0], *d_bias = call->d_weight[1];
    memset(d_weight, 0, (size_t)(d->out.cols * e.width) * sizeof(real_t));
    if (d->attributes.bias) {
        memset(d_bias, 0, (size_t)d->out.cols * sizeof(real_t));
    }
    for (int64_t r = 0; r < d->out.rows; r++) {
        const real_t *dz = before_activation(d, call, call->shard_begin, r);
        for (int64_t o = 0; o < d->out.cols; o++) {
            if (o % e.out == 0) {
                gather(d, call, call->shard_begin, r, o / e.out);
            }
            add_scaled(d_weight + o * e.width, dz[o], call->workspace, e.width);
        }
        if (d->attributes.bias) {
            add_scaled(d_bias, 1, dz, d->out.cols);
        }
    }
}
