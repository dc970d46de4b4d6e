/* How the columns of two matrices go together over the rows of each group. */
#include "kernels/cpu/parts.h"
#include "kernels/cpu/product_vector.h"
#include "kernels/cpu/vector.h"

static int64_t rows_of_group(const op_plan_t *plan) {
    return plan->description.in[0].rows / plan->description.attributes.groups;
}

/* Of a part, the size of the first input of one group: its gradient, before it is scaled, or itself
 * scaled. */
static int64_t part_count(const op_plan_t *plan) {
    return rows_of_group(plan) * align_up(plan->description.in[0].cols, WIDTH);
}

status_t REAL(correlate_plan)(const op_description_t *description, op_plan_t **plan_out,
                              op_needs_t *needs_out) {
    REAL(correlate_check)(description);
    *plan_out = REAL(plan_open)(description);
    *needs_out = (op_needs_t){.workspace_count = parts_most() * part_count(*plan_out)};
    return STATUS_OK;
}

static int64_t all_groups(const op_plan_t *plan, const op_call_t *call) {
    return (call->shard_end - call->shard_begin) * plan->description.attributes.groups;
}

static int64_t work_of(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    return all_groups(plan, call) * rows_of_group(plan) * d->in[0].cols * d->in[1].cols;
}

static void scaled(int64_t rows, int64_t cols, const float *from, int64_t from_row, float scale,
                   float *to, int64_t to_row) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) {
            to[r * to_row + c] = from[r * from_row + c] * scale;
        }
    }
}

static float scale_of(const op_call_t *call) { return 1 / sqrtf((float)call->in[0].cols); }

/* Some rows of the result at a time, so that all their columns are near while they are written. */
static void groups_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                           int part) {
    enum { BLOCK_ROWS = 64 };
    matrix_t a = call->in[0], b = call->in[1], out = call->out;
    int64_t groups = plan->description.attributes.groups, rows = rows_of_group(plan);
    int64_t padded = align_up(a.cols, WIDTH);
    float *left = (float *)call->workspace + part * part_count(plan);
    for (int64_t i = begin; i < end; i++) {
        int64_t s = call->shard_begin + i / groups, g = i % groups;
        scaled(rows, a.cols, row_of(a, s, g * rows), a.row_stride, scale_of(call), left, padded);
        for (int64_t c = 0; c < a.cols; c += BLOCK_ROWS) {
            REAL(product)
            (min_i64(BLOCK_ROWS, a.cols - c), b.cols, rows, left + c, 1, padded,
             row_of(b, s, g * rows), b.row_stride, row_of(out, s, g * a.cols + c), out.row_stride);
        }
    }
}

void REAL(correlate_forward)(const op_plan_t *plan, const op_call_t *call) {
    parts_run(groups_forward, plan, call, all_groups(plan, call), work_of(plan, call));
}

/* d_a = b d_out' / sqrt(columns), d_b = a d_out / sqrt(columns). */
static void groups_backward(const op_plan_t *plan, const op_call_t *call, int64_t begin,
                            int64_t end, int part) {
    matrix_t a = call->in[0], b = call->in[1], d_out = call->d_out;
    matrix_t d_a = call->d_in[0], d_b = call->d_in[1];
    int64_t groups = plan->description.attributes.groups, rows = rows_of_group(plan);
    int64_t padded = align_up(a.cols, WIDTH);
    float *one = (float *)call->workspace + part * part_count(plan), scale = scale_of(call);
    for (int64_t i = begin; i < end; i++) {
        int64_t s = call->shard_begin + i / groups, first = i % groups * rows;
        const float *dy = row_of(d_out, s, i % groups * a.cols);
        if (d_a.data != NULL) {
            REAL(dot_products)
            (rows, a.cols, b.cols, row_of(b, s, first), b.row_stride, dy, d_out.row_stride, one,
             padded);
            scaled(rows, a.cols, one, padded, scale, row_of(d_a, s, first), d_a.row_stride);
        }
        if (d_b.data != NULL) {
            float *to = row_of(d_b, s, first);
            REAL(product)
            (rows, b.cols, a.cols, row_of(a, s, first), a.row_stride, 1, dy, d_out.row_stride, to,
             d_b.row_stride);
            scaled(rows, b.cols, to, d_b.row_stride, scale, to, d_b.row_stride);
        }
    }
}

void REAL(correlate_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    parts_run(groups_backward, plan, call, all_groups(plan, call), 2 * work_of(plan, call));
}
