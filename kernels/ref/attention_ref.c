/* Multi-head attention (jmt.md 1.6.2, 1.10), one (group, head) after the other. The probabilities
 * kept for the backward are 0 where a key is masked, so the backward needs no mask. */
#include "kernels/ref/real.h"

typedef struct head {
    bool causal;
    int64_t queries, keys, cols; /* cols: of one head */
    int64_t group, first_col;
    int64_t step;        /* from one row of the group to the next */
    real_t *probability; /* [queries, keys] */
} head_t;

status_t REAL(attention_plan)(const op_description_t *description, op_plan_t **plan_out,
                              op_needs_t *needs_out) {
    const op_attributes_t *a = &description->attributes;
    REAL(attention_check)(description);
    int64_t head_cols = description->out.cols / a->heads;
    *needs_out = (op_needs_t){
        .saved_count = a->groups * a->heads * a->query_len * a->key_len,
        .workspace_count = a->key_len * head_cols + a->query_len * a->key_len,
    };
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

static head_t head_at(const op_plan_t *plan, const op_call_t *call, int shard, int64_t index) {
    const op_attributes_t *a = &plan->description.attributes;
    int64_t cols = plan->description.out.cols / a->heads;
    return (head_t){
        .causal = a->causal,
        .queries = a->query_len,
        .keys = a->key_len,
        .cols = cols,
        .group = index / a->heads,
        .first_col = index % a->heads * cols,
        .step = a->across ? a->groups : 1,
        .probability = (real_t *)call->saved + shard * call->saved_shard_stride +
                       index * a->query_len * a->key_len,
    };
}

/* Row i of a group of `length` is first_row + i * step. */
static int64_t first_row(const head_t *h, int64_t length) {
    return h->step == 1 ? h->group * length : h->group;
}

static real_t *block(matrix_t matrix, int shard, const head_t *h, int64_t length) {
    return row_of(matrix, shard, first_row(h, length)) + h->first_col;
}

static int64_t stride(matrix_t matrix, const head_t *h) { return matrix.row_stride * h->step; }

/* In place: scores to probabilities. */
static void softmax_row(real_t *x, const uint8_t *valid, int64_t step, int64_t count,
                        real_t scale) {
    real_t top = -INFINITY;
    int64_t valid_count = 0;
    for (int64_t j = 0; j < count; j++) {
        x[j] *= scale;
        bool use = valid == NULL || valid[j * step] != 0;
        valid_count += use;
        top = use && x[j] > top ? x[j] : top;
    }
    if (valid_count == 0) {
        memset(x, 0, (size_t)count * sizeof(real_t));
        return;
    }
    for (int64_t j = 0; j < count; j++) {
        x[j] = valid == NULL || valid[j * step] != 0 ? real_exp(x[j] - top) : 0;
    }
    real_t inverse = (real_t)(1.0 / lanes_sum(x, count));
    for (int64_t j = 0; j < count; j++) {
        x[j] *= inverse;
    }
}

static void head_forward(const head_t *h, const op_call_t *call, int shard) {
    matrix_t q = call->in[0], k = call->in[1], v = call->in[2], out = call->out;
    real_t *k_transposed = call->workspace;
    REAL(transpose)(h->keys, h->cols, block(k, shard, h, h->keys), stride(k, h), k_transposed);
    REAL(matmul)
    (h->queries, h->keys, h->cols, block(q, shard, h, h->queries), stride(q, h), 1, k_transposed,
     h->keys, h->probability, h->keys);
    const uint8_t *valid = call->mask.data;
    if (valid != NULL) {
        valid += shard * call->mask.shard_stride + first_row(h, h->keys);
    }
    real_t scale = 1 / real_sqrt((real_t)h->cols);
    for (int64_t i = 0; i < h->queries; i++) {
        int64_t seen = h->causal ? i + 1 : h->keys;
        real_t *row = h->probability + i * h->keys;
        softmax_row(row, valid, h->step, seen, scale);
        memset(row + seen, 0, (size_t)(h->keys - seen) * sizeof(real_t));
    }
    REAL(matmul)
    (h->queries, h->cols, h->keys, h->probability, h->keys, 1, block(v, shard, h, h->keys),
     stride(v, h), block(out, shard, h, h->queries), stride(out, h));
}

void REAL(attention_forward)(const op_plan_t *plan, const op_call_t *call) {
    const op_attributes_t *a = &plan->description.attributes;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t i = 0; i < a->groups * a->heads; i++) {
            head_t head = head_at(plan, call, s, i);
            head_forward(&head, call, s);
        }
    }
}

/* The gradient of the scaled scores: P * (dP - sum(dP * P)) / sqrt(cols), dP = dO V'. */
static real_t *score_gradient(const head_t *h, const op_call_t *call, int shard) {
    matrix_t v = call->in[2], d_out = call->d_out;
    real_t *v_transposed = call->workspace;
    real_t *d_score = v_transposed + h->keys * h->cols;
    REAL(transpose)(h->keys, h->cols, block(v, shard, h, h->keys), stride(v, h), v_transposed);
    REAL(matmul)
    (h->queries, h->keys, h->cols, block(d_out, shard, h, h->queries), stride(d_out, h), 1,
     v_transposed, h->keys, d_score, h->keys);
    real_t scale = 1 / real_sqrt((real_t)h->cols);
    for (int64_t i = 0; i < h->queries; i++) {
        real_t *d_row = d_score + i * h->keys;
        const real_t *row = h->probability + i * h->keys;
        real_t mean = (real_t)lanes_dot(d_row, row, h->keys);
        for (int64_t j = 0; j < h->keys; j++) {
            d_row[j] = row[j] * (d_row[j] - mean) * scale;
        }
    }
    return d_score;
}

static void head_backward(const head_t *h, const op_call_t *call, int shard) {
    matrix_t q = call->in[0], k = call->in[1], d_out = call->d_out;
    matrix_t dq = call->d_in[0], dk = call->d_in[1], dv = call->d_in[2];
    if (dv.data != NULL) {
        REAL(matmul)
        (h->keys, h->cols, h->queries, h->probability, 1, h->keys,
         block(d_out, shard, h, h->queries), stride(d_out, h), block(dv, shard, h, h->keys),
         stride(dv, h));
    }
    if (dq.data == NULL && dk.data == NULL) {
        return;
    }
    const real_t *d_score = score_gradient(h, call, shard);
    if (dq.data != NULL) {
        REAL(matmul)
        (h->queries, h->cols, h->keys, d_score, h->keys, 1, block(k, shard, h, h->keys),
         stride(k, h), block(dq, shard, h, h->queries), stride(dq, h));
    }
    if (dk.data != NULL) {
        REAL(matmul)
        (h->keys, h->cols, h->queries, d_score, 1, h->keys, block(q, shard, h, h->queries),
         stride(q, h), block(dk, shard, h, h->keys), stride(dk, h));
    }
}

void REAL(attention_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const op_attributes_t *a = &plan->description.attributes;
    for (int s = call->shard_begin; s < call->shard_end; s++) {
        for (int64_t i = 0; i < a->groups * a->heads; i++) {
            head_t head = head_at(plan, call, s, i);
            head_backward(&head, call, s);
        }
    }
}
