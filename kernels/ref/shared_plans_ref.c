/* Plans of operations that have code of their own for vectors (kernels/cpu/X_vector.c) and need the
 * same either way; the workspace is what the plain loops use. And what is checked of those whose
 * workspaces differ. */
#include "kernels/ref/real.h"

static bool inputs_are_like(const op_description_t *description, const op_shape_t *shape) {
    bool like = true;
    for (int i = 0; i < description->input_count; i++) {
        const op_shape_t *in = &description->in[i];
        like = like && in->rows == shape->rows && in->cols == shape->cols;
    }
    return like;
}

status_t REAL(add_layernorm_plan)(const op_description_t *description, op_plan_t **plan_out,
                                  op_needs_t *needs_out) {
    const op_shape_t *out = &description->out;
    REQUIRE(description->input_count == 1 || description->input_count == 2);
    REQUIRE(inputs_are_like(description, out));
    *needs_out = (op_needs_t){.saved_count = 2 * out->rows, .workspace_count = 2 * out->cols};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

status_t REAL(dropout_plan)(const op_description_t *description, op_plan_t **plan_out,
                            op_needs_t *needs_out) {
    double p = description->attributes.probability;
    REQUIRE(description->input_count == 1 && p >= 0.0 && p <= 1.0);
    REQUIRE(description->out.rows % rows_per_draw(description) == 0);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

status_t REAL(l2_normalize_plan)(const op_description_t *description, op_plan_t **plan_out,
                                 op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

status_t REAL(softmax_gate_plan)(const op_description_t *description, op_plan_t **plan_out,
                                 op_needs_t *needs_out) {
    const op_shape_t *x = &description->in[0], *score = &description->in[1];
    REQUIRE(description->input_count == 2 && x->rows == score->rows);
    REQUIRE(score->cols > 0 && x->cols % score->cols == 0 && x->cols == description->out.cols);
    *needs_out =
        (op_needs_t){.saved_count = score->rows * score->cols, .workspace_count = score->cols};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

status_t REAL(sum_plan)(const op_description_t *description, op_plan_t **plan_out,
                        op_needs_t *needs_out) {
    REQUIRE(description->input_count >= 1 && description->input_count <= OP_INPUTS_MAX);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

status_t REAL(tanh_plan)(const op_description_t *description, op_plan_t **plan_out,
                         op_needs_t *needs_out) {
    REQUIRE(description->input_count == 1);
    *needs_out = (op_needs_t){0};
    *plan_out = REAL(plan_open)(description);
    return STATUS_OK;
}

void REAL(attention_check)(const op_description_t *description) {
    const op_attributes_t *a = &description->attributes;
    REQUIRE(description->input_count == 3);
    REQUIRE(a->heads > 0 && description->out.cols % a->heads == 0);
    REQUIRE(description->out.rows == a->groups * a->query_len);
    REQUIRE(!a->causal || a->query_len == a->key_len);
    REQUIRE(description->in[0].rows == a->groups * a->query_len);
    REQUIRE(description->in[1].rows == a->groups * a->key_len);
    REQUIRE(description->in[2].rows == a->groups * a->key_len);
    for (int i = 0; i < 3; i++) {
        REQUIRE(description->in[i].cols == description->out.cols);
    }
}

void REAL(mix_rows_check)(const op_description_t *description) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    int64_t groups = description->attributes.groups;
    REQUIRE(description->input_count == 1 && groups > 0);
    REQUIRE(in->rows % groups == 0 && out->rows % groups == 0 && in->cols == out->cols);
}

void REAL(correlate_check)(const op_description_t *description) {
    const op_shape_t *a = &description->in[0], *b = &description->in[1], *out = &description->out;
    int64_t groups = description->attributes.groups;
    REQUIRE(description->input_count == 2 && groups > 0);
    REQUIRE(a->rows == b->rows && a->rows % groups == 0);
    REQUIRE(out->rows == groups * a->cols && out->cols == b->cols);
}
