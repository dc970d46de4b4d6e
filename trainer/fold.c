#include "trainer/fold.h"

#include <math.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/layers.h"

const void *trained_rows(const trained_t *trained, const kernels_t *kernels, const char *name,
                         int64_t begin, int64_t *width_out) {
    int found = -1;
    for (int p = 0; p < graph_parameter_count(trained->graph) && found < 0; p++) {
        found = strcmp(graph_parameter_info(trained->graph, p).name, name) == 0 ? p : -1;
    }
    REQUIRE(found >= 0);
    parameter_info_t info = graph_parameter_info(trained->graph, found);
    *width_out = info.count / info.rows;
    int64_t element = trained->offsets[found] + begin * *width_out;
    return (const char *)trained->weights + (size_t)element * dtype_state_bytes(kernels->dtype);
}

static void fold_product(const kernels_t *kernels, const trained_t *trained,
                         const parameter_info_t *info, void *weight) {
    int64_t left_width = 0, right_width = 0, plus_width = 0;
    const fold_t *f = info->fold;
    multiply_call_t call = {.m = info->rows, .n = info->count / info->rows, .k = f->inner};
    call.a = trained_rows(trained, kernels, f->left, f->left_begin, &left_width);
    call.a_row = f->transposed ? 1 : left_width;
    call.a_col = f->transposed ? left_width : 1;
    call.b = trained_rows(trained, kernels, f->right, f->right_begin, &right_width);
    call.b_row = right_width;
    call.plus = f->plus != NULL ? trained_rows(trained, kernels, f->plus, 0, &plus_width) : NULL;
    call.c = weight;
    kernels->multiply(NULL, &call);
}

/* Of the state, which is float or double. */
static dtype_t state_type(const kernels_t *kernels) {
    return dtype_state_bytes(kernels->dtype) == sizeof(double) ? DTYPE_F64 : DTYPE_F32;
}

static void fold_norm(const kernels_t *kernels, const trained_t *trained,
                      const parameter_info_t *info, void *weight) {
    static const char *const suffixes[] = {"weight", "bias", "running_mean", "running_var"};
    dtype_t type = state_type(kernels);
    const void *norm[ARRAY_LEN(suffixes)], *left = NULL;
    int64_t width = 1, one = 1;
    for (int i = 0; i < ARRAY_LEN(suffixes); i++) {
        name_t name = name_of("%s.%s", info->fold->norm, suffixes[i]);
        norm[i] = trained_rows(trained, kernels, name.text, 0, &one);
    }
    if (info->fold->left != NULL) {
        left = trained_rows(trained, kernels, info->fold->left, 0, &width);
    }
    for (int64_t r = 0; r < info->rows; r++) {
        double scale =
            dtype_get(type, norm[0], r) / sqrt(dtype_get(type, norm[3], r) + info->fold->epsilon);
        if (left == NULL) {
            dtype_set(type, weight, r,
                      dtype_get(type, norm[1], r) - dtype_get(type, norm[2], r) * scale);
            continue;
        }
        for (int64_t i = r * width; i < (r + 1) * width; i++) {
            dtype_set(type, weight, i, dtype_get(type, left, i) * scale);
        }
    }
}

void fold_parameter(const kernels_t *kernels, const trained_t *trained,
                    const parameter_info_t *info, void *weight) {
    if (info->fold->norm != NULL) {
        fold_norm(kernels, trained, info, weight);
    } else {
        fold_product(kernels, trained, info, weight);
    }
}

void fold_constants(const kernels_t *kernels, const graph_t *graph, const int64_t *offsets,
                    void *weights) {
    trained_t trained = {graph, offsets, weights};
    for (parameter_t p = 0; p < graph_parameter_count(graph); p++) {
        parameter_info_t info = graph_parameter_info(graph, p);
        size_t at = (size_t)offsets[p] * dtype_state_bytes(kernels->dtype);
        if (info.fold != NULL) {
            fold_parameter(kernels, &trained, &info, (char *)weights + at);
        }
    }
}
