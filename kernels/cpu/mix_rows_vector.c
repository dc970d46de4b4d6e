/* Weights over the rows of each group: groups are dealt to threads; of the weights' gradient, its
 * rows are. */
#include "kernels/cpu/parts.h"
#include "kernels/cpu/product_vector.h"
#include "kernels/cpu/vector.h"

typedef struct sizes {
    int64_t groups, rows, from, cols; /* rows made, from so many, of each group */
    int64_t padded;                   /* from, up to a whole vector */
} sizes_t;

static sizes_t sizes_of(const op_plan_t *plan) {
    const op_description_t *d = &plan->description;
    int64_t groups = d->attributes.groups, from = d->in[0].rows / groups;
    return (sizes_t){groups, d->out.rows / groups, from, d->out.cols, align_up(from, WIDTH)};
}

/* The workspace holds one group's gradient of the weights. */
status_t REAL(mix_rows_plan)(const op_description_t *description, op_plan_t **plan_out,
                             op_needs_t *needs_out) {
    REAL(mix_rows_check)(description);
    *plan_out = REAL(plan_open)(description);
    sizes_t n = sizes_of(*plan_out);
    *needs_out =
        (op_needs_t){.workspace_count = description->d_out.rows > 0 ? n.rows * n.padded : 0};
    return STATUS_OK;
}

static int64_t all_groups(const op_call_t *call, sizes_t n) {
    return (call->shard_end - call->shard_begin) * n.groups;
}

static int64_t work_of(const op_call_t *call, sizes_t n) {
    return all_groups(call, n) * n.rows * n.from * n.cols;
}

static void groups_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                           int part) {
    (void)part;
    sizes_t n = sizes_of(plan);
    for (int64_t i = begin; i < end; i++) {
        int64_t s = call->shard_begin + i / n.groups, g = i % n.groups;
        REAL(product)
        (n.rows, n.cols, n.from, call->weight[0], n.from, 1, row_of(call->in[0], s, g * n.from),
         call->in[0].row_stride, row_of(call->out, s, g * n.rows), call->out.row_stride);
    }
}

void REAL(mix_rows_forward)(const op_plan_t *plan, const op_call_t *call) {
    sizes_t n = sizes_of(plan);
    parts_run(groups_forward, plan, call, all_groups(call, n), work_of(call, n));
}

static void groups_backward(const op_plan_t *plan, const op_call_t *call, int64_t begin,
                            int64_t end, int part) {
    (void)part;
    sizes_t n = sizes_of(plan);
    for (int64_t i = begin; i < end; i++) {
        int64_t s = call->shard_begin + i / n.groups, g = i % n.groups;
        REAL(product)
        (n.from, n.cols, n.rows, call->weight[0], 1, n.from, row_of(call->d_out, s, g * n.rows),
         call->d_out.row_stride, row_of(call->d_in[0], s, g * n.from), call->d_in[0].row_stride);
    }
}

void REAL(mix_rows_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    sizes_t n = sizes_of(plan);
    if (call->d_in[0].data != NULL) {
        parts_run(groups_backward, plan, call, all_groups(call, n), work_of(call, n));
    }
}

/* Rows [begin, end) of the weights' gradient, group after group. */
static void rows_of_weights(const op_plan_t *plan, const op_call_t *call, int64_t begin,
                            int64_t end, int part) {
    (void)part;
    sizes_t n = sizes_of(plan);
    int s = call->shard_begin;
    float *one = (float *)call->workspace + begin * n.padded;
    for (int64_t g = 0; g < n.groups; g++) {
        REAL(dot_products)
        (end - begin, n.from, n.cols, row_of(call->d_out, s, g * n.rows + begin),
         call->d_out.row_stride, row_of(call->in[0], s, g * n.from), call->in[0].row_stride, one,
         n.padded);
        for (int64_t r = begin; r < end; r++) {
            float *total = (float *)call->d_weight[0] + r * n.from;
            const float *term = one + (r - begin) * n.padded;
            for (int64_t c = 0; c < n.from; c++) {
                total[c] = g == 0 ? term[c] : total[c] + term[c];
            }
        }
    }
}

void REAL(mix_rows_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    sizes_t n = sizes_of(plan);
    REQUIRE(call->shard_end == call->shard_begin + 1);
    parts_run(rows_of_weights, plan, call, n.rows, work_of(call, n));
}
