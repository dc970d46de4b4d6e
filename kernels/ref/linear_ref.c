#include "kernels/ref/real.h"

status_t REAL(linear_plan)(const op_description_t *description, op_plan_t **plan_out,
                           op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    REQUIRE(description->input_count == 1 && in->rows == out->rows);
    REQUIRE(!description->attributes.transposed ||
            description->attributes.activation == ACTIVATION_NONE);
    *needs_out = (op_needs_t){.workspace_count = max_i64(in->cols, out->rows) * out->cols};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

/* The weight [rows, cols] as [cols, rows]. */
static const real_t *turned(const op_call_t *call, int64_t rows, int64_t cols) {
    real_t *to = call->workspace;
    REAL(transpose)(rows, cols, call->weight[0], cols, to);
    return to;
}

void REAL(linear_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    int64_t in_cols = d->in[0].cols, out_cols = d->out.cols;
    bool transposed = d->attributes.transposed;
    const real_t *bias = transposed ? NULL : call->weight[1];
    const real_t *weight = transposed ? call->weight[0] : turned(call, out_cols, in_cols);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        matrix_t in = call->in[0], out = call->out;
        REAL(matmul)
        (d->out.rows, out_cols, in_cols, row_of(in, s, 0), in.row_stride, 1, weight, out_cols,
         row_of(out, s, 0), out.row_stride);
        for (int64_t r = 0; r < d->out.rows && bias != NULL; r++) {
            real_t *y = row_of(out, s, r);
            for (int64_t c = 0; c < out_cols; c++) {
                real_t value = y[c] + bias[c];
                y[c] = d->attributes.activation == ACTIVATION_RELU && value <= 0 ? 0 : value;
            }
        }
    }
}

/* The gradient before the activation, and its row stride. */
static const real_t *before_activation(const op_description_t *d, const op_call_t *call, int shard,
                                       int64_t *row_stride_out) {
    if (d->attributes.activation == ACTIVATION_NONE) {
        *row_stride_out = call->d_out.row_stride;
        return row_of(call->d_out, shard, 0);
    }
    real_t *dz = call->workspace;
    for (int64_t r = 0; r < d->out.rows; r++) {
        const real_t *y = row_of(call->out, shard, r), *dy = row_of(call->d_out, shard, r);
        for (int64_t c = 0; c < d->out.cols; c++) {
            real_t gradient = dy[c]; /* read whether used or not: no branch */
            dz[r * d->out.cols + c] = y[c] > 0 ? gradient : 0;
        }
    }
    *row_stride_out = d->out.cols;
    return dz;
}

void REAL(linear_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    if (call->d_in[0].data == NULL) {
        return;
    }
    int64_t in_cols = d->in[0].cols, out_cols = d->out.cols;
    const real_t *weight =
        d->attributes.transposed ? turned(call, in_cols, out_cols) : call->weight[0];
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        int64_t stride;
        const real_t *dz = before_activation(d, call, s, &stride);
        REAL(matmul)
        (d->out.rows, in_cols, out_cols, dz, stride, 1, weight, in_cols,
         row_of(call->d_in[0], s, 0), call->d_in[0].row_stride);
    }
}

static void backward_transposed(const op_description_t *d, const op_call_t *call) {
    int64_t in_cols = d->in[0].cols, out_cols = d->out.cols;
    REAL(matmul)
    (in_cols, out_cols, d->out.rows, row_of(call->in[0], call->shard_begin, 0), 1,
     call->in[0].row_stride, row_of(call->d_out, call->shard_begin, 0), call->d_out.row_stride,
     call->d_weight[0], out_cols);
    memset(call->d_weight[1], 0, (size_t)in_cols * sizeof(real_t));
}

void REAL(linear_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    if (d->attributes.transposed) {
        backward_transposed(d, call);
        return;
    }
    int64_t stride, rows = d->out.rows, in_cols = d->in[0].cols, out_cols = d->out.cols;
    const real_t *dz = before_activation(d, call, call->shard_begin, &stride);
    REAL(matmul)
    (out_cols, in_cols, rows, dz, 1, stride, row_of(call->in[0], call->shard_begin, 0),
     call->in[0].row_stride, call->d_weight[0], in_cols);
    real_t *d_bias = call->d_weight[1];
    memset(d_bias, 0, (size_t)out_cols * sizeof(real_t));
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < out_cols; c++) {
            d_bias[c] += dz[r * stride + c];
        }
    }
}
