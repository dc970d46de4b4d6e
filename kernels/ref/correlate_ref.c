/* How the columns of two matrices go together over the rows of each group. */
#include "kernels/ref/real.h"

status_t REAL(correlate_plan)(const op_description_t *description, op_plan_t **plan_out,
                              op_needs_t *needs_out) {
    REAL(correlate_check)(description);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

static void scale_rows(matrix_t x, int shard, int64_t begin, int64_t rows, real_t scale) {
    for (int64_t r = begin; r < begin + rows; r++) {
        real_t *row = row_of(x, shard, r);
        for (int64_t c = 0; c < x.cols; c++) {
            row[c] *= scale;
        }
    }
}

void REAL(correlate_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    matrix_t a = call->in[0], b = call->in[1], out = call->out;
    int64_t groups = d->attributes.groups, rows = a.rows / groups;
    real_t scale = 1 / real_sqrt((real_t)a.cols);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t g = 0; g < groups; g++) {
            REAL(matmul)
            (a.cols, b.cols, rows, row_of(a, s, g * rows), 1, a.row_stride, row_of(b, s, g * rows),
             b.row_stride, row_of(out, s, g * a.cols), out.row_stride);
            scale_rows(out, s, g * a.cols, a.cols, scale);
        }
    }
}

/* d_a = b d_out' / sqrt(columns), d_b = a d_out / sqrt(columns). */
static void group_backward(const op_call_t *call, int s, int64_t g, int64_t rows) {
    matrix_t a = call->in[0], b = call->in[1], d_out = call->d_out;
    matrix_t d_a = call->d_in[0], d_b = call->d_in[1];
    real_t scale = 1 / real_sqrt((real_t)a.cols);
    int64_t first = g * rows, first_out = g * a.cols;
    for (int64_t r = first; r < first + rows && d_a.data != NULL; r++) {
        for (int64_t c = 0; c < a.cols; c++) {
            const real_t *dy = row_of(d_out, s, first_out + c);
            row_of(d_a, s, r)[c] = (real_t)lanes_dot(row_of(b, s, r), dy, b.cols) * scale;
        }
    }
    if (d_b.data != NULL) {
        REAL(matmul)
        (rows, b.cols, a.cols, row_of(a, s, first), a.row_stride, 1, row_of(d_out, s, first_out),
         d_out.row_stride, row_of(d_b, s, first), d_b.row_stride);
        scale_rows(d_b, s, first, rows, scale);
    }
}

void REAL(correlate_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    int64_t groups = plan->description.attributes.groups;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t g = 0; g < groups; g++) {
            group_backward(call, s, g, plan->description.in[0].rows / groups);
        }
    }
}
