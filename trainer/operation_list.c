#include "trainer/operation_list.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

static bool same_attributes(const op_attributes_t *a, const op_attributes_t *b) {
    return a->activation == b->activation && a->groups == b->groups && a->heads == b->heads &&
           a->query_len == b->query_len && a->key_len == b->key_len && a->causal == b->causal &&
           a->across == b->across && a->period == b->period && a->taps == b->taps &&
           a->dilation == b->dilation && a->before == b->before && a->tokens == b->tokens &&
           a->token_rule == b->token_rule &&
           a->probability == b->probability; /* not node_hash: only a key of random numbers */
}

static bool same(const op_description_t *a, const op_description_t *b) {
    return a->kind == b->kind && a->input_count == b->input_count &&
           same_attributes(&a->attributes, &b->attributes) &&
           memcmp(a->in, b->in, sizeof a->in) == 0 &&
           memcmp(a->d_in, b->d_in, sizeof a->d_in) == 0 &&
           memcmp(&a->out, &b->out, sizeof a->out) == 0 &&
           memcmp(&a->d_out, &b->d_out, sizeof a->d_out) == 0;
}

static void add(operation_list_t *list, const op_description_t *description, int uses) {
    for (int i = 0; i < list->count && uses > 0; i++) {
        if (same(&list->items[i].description, description)) {
            list->items[i].uses += uses;
            return;
        }
    }
    list->items = array_grow(list->items, list->count, sizeof *list->items);
    list->items[list->count++] = (operation_t){*description, uses};
}

/* Of [rows, cols], in the form in which models use the kind. */
static void describe_unused(op_kind_t kind, int64_t rows, int64_t cols, int64_t length,
                            op_description_t *d) {
    op_shape_t shape = {rows, cols, cols};
    *d = (op_description_t){.kind = kind, .input_count = 1, .out = shape};
    op_attributes_t *a = &d->attributes;
    a->period = length;
    if (kind == OP_attention) {
        *a = (op_attributes_t){
            .groups = rows / length, .heads = 1, .query_len = length, .key_len = length};
        d->input_count = 3;
    } else if (kind == OP_temporal_conv) {
        a->taps = 3, a->dilation = 1, a->before = 1;
    } else if (kind == OP_batch_norm) {
        a->norm_rule = NORM_SHARD, a->epsilon = 1e-5;
    } else if (kind == OP_conv || kind == OP_pool) { /* over the steps */
        a->groups = 1;
        for (int i = 0; i < OP_AXES; i++) {
            a->axis[i] = (op_axis_t){.in = 1, .out = 1, .size = 1, .stride = 1, .dilation = 1};
        }
        a->axis[OP_AXES - 1] = (op_axis_t){length, length, 3, 1, 1, 1};
    } else if (kind == OP_dropout) {
        a->probability = 0.1, a->period = 0;
    } else if (kind == OP_concat) {
        d->input_count = 2;
        d->out.cols = d->out.row_stride = 2 * cols;
    } else if (kind == OP_select_token) {
        a->tokens = length;
        d->out.rows = rows / length;
    } else if (kind == OP_mix_rows) {
        a->groups = rows / length;
    } else if (kind == OP_correlate) { /* as many rows for each step as columns */
        a->groups = rows / length;
        d->input_count = 2;
        d->out.rows = a->groups * cols;
    } else if (kind == OP_sum || kind == OP_softmax_gate || kind == OP_add_layernorm ||
               kind == OP_leaky_relu) {
        d->input_count = 2;
    }
    d->d_out = d->out;
    for (int i = 0; i < d->input_count; i++) {
        d->in[i] = d->d_in[i] = shape;
    }
}

void operation_list_open(const executor_t *executor, int64_t rows, int64_t cols, int64_t length,
                         operation_list_t *list_out) {
    op_description_t *description = alloc_zero(1, sizeof *description);
    bool used[OP_COUNT] = {false};
    *list_out = (operation_list_t){0};
    for (int i = 0; i < executor_operation_count(executor); i++) {
        if (executor_operation(executor, i, description)) {
            used[description->kind] = true;
            add(list_out, description, 1);
        }
    }
    for (int kind = 0; kind < OP_COUNT; kind++) {
        if (!used[kind]) {
            describe_unused((op_kind_t)kind, rows, cols, length, description);
            add(list_out, description, 0);
        }
    }
    free(description);
}

void operation_list_free(operation_list_t *list) {
    free(list->items);
    *list = (operation_list_t){0};
}
