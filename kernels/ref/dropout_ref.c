/* The mask is drawn again in the backward: nothing is kept. */
#include "kernels/base/rng.h"
#include "kernels/ref/real.h"

static void drop_row(real_t *to, const real_t *from, int64_t cols, double probability,
                     rng_key_t key, uint64_t first_element) {
    real_t scale = probability < 1.0 ? (real_t)(1.0 / (1.0 - probability)) : 0;
    uint32_t words[4];
    for (int64_t c = 0; c < cols; c++) {
        uint64_t element = first_element + (uint64_t)c;
        if (c == 0 || element % 4 == 0) {
            rng_block(key, element / 4, words);
        }
        double uniform = (double)(words[element % 4] >> 8) * 0x1p-24;
        to[c] = uniform >= probability ? from[c] * scale : 0;
    }
}

static void drop(const op_plan_t *plan, const op_call_t *call, matrix_t to, matrix_t from) {
    const op_shape_t *shape = &plan->description.out;
    const op_attributes_t *a = &plan->description.attributes;
    const step_scalars_t *now = call->scalars;
    rng_key_t key = {now->seed, a->node_hash, now->step};
    int64_t period = rows_per_draw(&plan->description);
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t r = 0; r < shape->rows; r++) {
            int64_t global_row = (now->shard_first + s) * shape->rows + r;
            if (now->training && !now->drops_nothing && a->probability > 0.0) {
                drop_row(row_of(to, s, r), row_of(from, s, r), shape->cols, a->probability, key,
                         (uint64_t)(global_row / period * shape->cols));
            } else {
                copy_row(row_of(to, s, r), row_of(from, s, r), shape->cols);
            }
        }
    }
}

void REAL(dropout_forward)(const op_plan_t *plan, const op_call_t *call) {
    drop(plan, call, call->out, call->in[0]);
}

void REAL(dropout_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    if (call->d_in[0].data != NULL) {
        drop(plan, call, call->d_in[0], call->d_out);
    }
}
