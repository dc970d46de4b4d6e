/* How the columns of two matrices go together over the rows of each group. */
#include "kernels/cpu/parts.h"
#include "kernels/cpu/product_vector.h"
#include "kernels/cpu/vector.h"

static int64_t rows_of_group(const op_plan_t *plan) {
    return plan->description.in[0].rows / plan->description.attributes.groups;
}

/* A part's gradient of the first input, of one group. */
static int64_t part_count(const op_plan_t *plan) {
    return rows_of_group(plan) * align_up(plan->description.in[0].cols, WIDTH);
}

status_t REAL(correlate_plan)(const op_description_t *description, op_plan_t **plan_out,
                              op_needs_t *needs_out) {
    REAL(correlate_check)(description);
    *plan_out = REAL(plan_open)(description);
    int64_t parts = description->d_out.rows > 0 ? parts_most() : 0;
    *needs_out = (op_needs_t){.workspace_count = parts * part_count(*plan_out)};
    return STATUS_OK;
}

static int64_t all_groups(const op_plan_t *plan, const op_call_t *call) {
    return (call->shard_end - call->shard_begin) * plan->description.attributes.groups;
}

static int64_t work_of(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    return all_groups(plan, call) * rows_of_group(plan) * d->in[0].cols * d->in[1].cols;
}

/* to = from * scale, row by row; they may be one. */
static void scaled(matrix_t to, int64_t shard, int64_t begin, int64_t rows, const float *from,
                   int64_t from_row, float scale) {
    for (int64_t r = 0; r < rows; r++) {
        float *row = row_of(to, shard, begin + r);
        for (int64_t c = 0; c < to.cols; c++) {
            row[c] = from[r * from_row + c] * scale;
        }
    }
}

static float scale_of(const op_call_t *call) { return 1 / sqrtf((float)call->in[0].cols); }

static void groups_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                           int part) {
    (void)part;
    matrix_t a = call->in[0], b = call->in[1], out = call->out;
    int64_t groups = plan->description.attributes.groups, rows = rows_of_group(plan);
    for (int64_t i = begin; i < end; i++) {
        int64_t s = call->shard_begin + i / groups, g = i % groups;
        float *to = row_of(out, s, g * a.cols);
        REAL(product)
        (a.cols, b.cols, rows, row_of(a, s, g * rows), 1, a.row_stride, row_of(b, s, g * rows),
         b.row_stride, to, out.row_stride);
        scaled(out, s, g * a.cols, a.cols, to, out.row_stride, scale_of(call));
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
    float *one = (float *)call->workspace + part * part_count(plan);
    for (int64_t i = begin; i < end; i++) {
        int64_t s = call->shard_begin + i / groups, first = i % groups * rows;
        const float *dy = row_of(d_out, s, i % groups * a.cols);
        if (d_a.data != NULL) {
            REAL(dot_products)
            (rows, a.cols, b.cols, row_of(b, s, first), b.row_stride, dy, d_out.row_stride, one,
             padded);
            scaled(d_a, s, first, rows, one, padded, scale_of(call));
        }
        if (d_b.data != NULL) {
            float *to = row_of(d_b, s, first);
            REAL(product)
            (rows, b.cols, a.cols, row_of(a, s, first), a.row_stride, 1, dy, d_out.row_stride, to,
             d_b.row_stride);
            scaled(d_b, s, first, rows, to, d_b.row_stride, scale_of(call));
        }
    }
}

void REAL(correlate_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    parts_run(groups_backward, plan, call, all_groups(plan, call), 2 * work_of(plan, call));
}
