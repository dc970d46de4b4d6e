/* Terms side by side: a vector of each is read before that of the result is written, since the
 * result may be any of the terms. The same bits as the reference. */
#include "kernels/cpu/vector.h"

INLINE void sum_terms(const float *const *term, const int count, float *out, int64_t cols) {
    const float *own[OP_INPUTS_MAX];
    own[0] = term[0];
    for (int i = 1; i < count; i++) {
        own[i] = term[i];
    }
    int64_t c = 0;
#pragma GCC unroll 4
    for (; c + WIDTH <= cols; c += WIDTH) {
        vec_t total = load(own[0] + c);
        for (int i = 1; i < count; i++) {
            total += load(own[i] + c);
        }
        store(out + c, total);
    }
    if (c < cols) {
        vec_t total = load_part(own[0] + c, cols - c);
        for (int i = 1; i < count; i++) {
            total += load_part(own[i] + c, cols - c);
        }
        store_part(out + c, total, cols - c);
    }
}

/* The usual counts as constants, so that the compiler unrolls. */
static void sum_run(const float *const *term, int count, float *out, int64_t cols) {
    if (count == 2) {
        sum_terms(term, 2, out, cols);
    } else if (count == 3) {
        sum_terms(term, 3, out, cols);
    } else if (count == 4) {
        sum_terms(term, 4, out, cols);
    } else {
        sum_terms(term, count, out, cols);
    }
}

/* Rows without gaps between them are one long row. */
static bool without_gaps(const op_call_t *call, int count, int64_t cols) {
    bool whole = call->out.row_stride == cols;
    for (int i = 0; i < count; i++) {
        whole = whole && call->in[i].row_stride == cols;
    }
    return whole;
}

void REAL(sum_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    bool whole = without_gaps(call, d->input_count, d->out.cols);
    int64_t rows = whole ? 1 : d->out.rows, cols = whole ? d->out.rows * d->out.cols : d->out.cols;
    int count = d->input_count;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        const float *term[OP_INPUTS_MAX];
        for (int i = 0; i < count; i++) {
            term[i] = row_of(call->in[i], s, 0);
        }
        for (int64_t r = 0; r < rows; r++) {
            sum_run(term, count, row_of(call->out, s, r), cols);
            for (int i = 0; i < count; i++) {
                term[i] += call->in[i].row_stride;
            }
        }
    }
}

void REAL(sum_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    for (int i = 0; i < d->input_count; i++) {
        for (int s = call->shard_begin; s < call->shard_end && call->d_in[i].data != NULL; s++) {
            for (int64_t r = 0; r < d->out.rows; r++) {
                copy_row(row_of(call->d_in[i], s, r), row_of(call->d_out, s, r), d->out.cols);
            }
        }
    }
}
