/* The products of cuBLASLt: sums over k in order, in float; then the epilogue. */
#include <stdlib.h>

#include "sim_matmul.h"

enum { RELU_BITS = 128 };

static size_t span_bytes(const sim_layout_t *layout) {
    return (size_t)(layout->ld * ((int64_t)layout->columns - 1) + (int64_t)layout->rows) *
           sim_number_size(layout->type);
}

static void touch(const sim_layout_t *layout, const void *data, int kind) {
    size_t stride = (size_t)layout->stride * sim_number_size(layout->type);
    for (int i = 0; i < (layout->stride == 0 ? 1 : layout->batch); i++) {
        sim_touch((const char *)data + (size_t)i * stride, span_bytes(layout), kind,
                  "cublasLtMatmul");
    }
}

/* Matrix `index` of the batch as float [outer][inner]: inner runs over rows unless transposed. */
static float *packed(const sim_layout_t *layout, const void *data, int index, bool transposed,
                     bool tf32) {
    size_t outer = transposed ? layout->rows : layout->columns;
    size_t inner = transposed ? layout->columns : layout->rows;
    float *out = malloc(outer * inner * sizeof *out);
    if (out == NULL) {
        sim_report(NULL, "no memory for a product");
    }
    for (size_t o = 0; o < outer; o++) {
        for (size_t i = 0; i < inner; i++) {
            size_t at = (size_t)(index * layout->stride) +
                        (transposed ? o + i * (size_t)layout->ld : o * (size_t)layout->ld + i);
            float x = (float)sim_number_load(layout->type, data, at);
            out[o * inner + i] = tf32 && layout->type == SIM_F32 ? sim_float_tf32(x) : x;
        }
    }
    return out;
}

/* d[column][row], of a[k][row] and b[column][k]; sums begin with number `first`. */
static void multiply(float *restrict d, const float *restrict a, const float *restrict b,
                     size_t rows, size_t columns, size_t inner, size_t first) {
    memset(d, 0, rows * columns * sizeof *d);
    for (size_t j = 0; j < columns; j++) {
        for (size_t n = 0; n < inner; n++) {
            size_t k = first + n < inner ? first + n : first + n - inner;
            float factor = b[j * inner + k];
            for (size_t i = 0; i < rows; i++) {
                d[j * rows + i] += a[k * rows + i] * factor;
            }
        }
    }
}

/* --- epilogues ------------------------------------------------------------------------------ */

static unsigned char *bit_at(const sim_matmul_t *m, int index, size_t i, size_t j, int *bit_out) {
    int64_t bit = index * m->form.aux_stride + (int64_t)j * m->form.aux_ld + (int64_t)i;
    *bit_out = (int)(bit % 8);
    return (unsigned char *)m->form.aux + bit / 8;
}

static float finished(const sim_matmul_t *m, int index, size_t i, size_t j, float x) {
    const sim_matmul_form_t *form = &m->form;
    int bit;
    x *= m->alpha;
    if (m->beta != 0) {
        size_t at = (size_t)(index * m->c.stride + (int64_t)j * m->c.ld) + i;
        x += m->beta * (float)sim_number_load(m->c.type, m->c_data, at);
    }
    if ((form->epilogue & CUBLASLT_EPILOGUE_BIAS) != 0) {
        x += (float)sim_number_load(form->bias_type, form->bias,
                                    (size_t)(index * form->bias_stride) + i);
    }
    if (form->epilogue == CUBLASLT_EPILOGUE_DRELU ||
        form->epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD) {
        const unsigned char *byte = bit_at(m, index, i, j, &bit);
        return (*byte >> bit & 1) != 0 ? x : 0;
    }
    if ((form->epilogue & CUBLASLT_EPILOGUE_RELU) != 0) {
        if ((form->epilogue & RELU_BITS) != 0) {
            unsigned char *byte = bit_at(m, index, i, j, &bit);
            *byte = (unsigned char)((*byte & ~(1 << bit)) | (x > 0) << bit);
        }
        x = x > 0 || x != x ? x : 0;
    }
    return x;
}

/* The sums that a bias gets: of rows of a, columns of b, or rows of the result. */
static void store_bias_gradient(const sim_matmul_t *m, int index, const float *a, const float *b,
                                const float *d, size_t inner) {
    uint32_t epilogue = m->form.epilogue;
    size_t rows = m->d.rows, columns = m->d.columns;
    bool by_b = epilogue == CUBLASLT_EPILOGUE_BGRADB;
    for (size_t i = 0; i < (by_b ? columns : rows); i++) {
        float sum = 0;
        for (size_t k = 0; k < (epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD ? columns : inner); k++) {
            sum += by_b                                   ? b[i * inner + k]
                   : epilogue == CUBLASLT_EPILOGUE_BGRADA ? a[k * rows + i]
                                                          : d[k * rows + i];
        }
        sim_number_store(m->form.bias_type, m->form.bias, (size_t)(index * m->form.bias_stride) + i,
                         sum);
    }
}

static bool gives_bias(const sim_matmul_t *m) {
    return m->form.epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD ||
           m->form.epilogue == CUBLASLT_EPILOGUE_BGRADA ||
           m->form.epilogue == CUBLASLT_EPILOGUE_BGRADB;
}

static void run_one(const sim_matmul_t *m, int index) {
    size_t rows = m->d.rows, columns = m->d.columns;
    size_t inner = m->form.transpose_a ? m->a.rows : m->a.columns;
    float *a = packed(&m->a, m->a_data, index, m->form.transpose_a, m->form.tf32);
    float *b = packed(&m->b, m->b_data, index, m->form.transpose_b, m->form.tf32);
    float *d = malloc(rows * columns * sizeof *d);
    if (d == NULL) {
        sim_report(NULL, "no memory for a product");
    }
    multiply(d, a, b, rows, columns, inner, m->any_order ? sim_random((uint32_t)inner) : 0);
    for (size_t j = 0; j < columns; j++) {
        for (size_t i = 0; i < rows; i++) {
            d[j * rows + i] = finished(m, index, i, j, d[j * rows + i]);
        }
    }
    for (size_t j = 0; j < columns; j++) { /* only now: it may be where c is */
        for (size_t i = 0; i < rows; i++) {
            size_t at = (size_t)(index * m->d.stride + (int64_t)j * m->d.ld) + i;
            sim_number_store(m->d.type, m->d_data, at, d[j * rows + i]);
        }
    }
    if (gives_bias(m)) {
        store_bias_gradient(m, index, a, b, d, inner);
    }
    free(a);
    free(b);
    free(d);
}

/* --- the operation -------------------------------------------------------------------------- */

static void touch_epilogue(const sim_matmul_t *m, bool before) {
    const sim_matmul_form_t *form = &m->form;
    size_t bias_count = form->epilogue == CUBLASLT_EPILOGUE_BGRADB ? m->d.columns : m->d.rows;
    size_t bias_size = sim_number_size(form->bias_type);
    bool has_bias = (form->epilogue & CUBLASLT_EPILOGUE_BIAS) != 0;
    bool reads_bits = form->epilogue == CUBLASLT_EPILOGUE_DRELU ||
                      form->epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD;
    for (int i = 0; i < m->d.batch; i++) {
        if (before ? has_bias : gives_bias(m)) {
            sim_touch((char *)form->bias + (size_t)(i * form->bias_stride) * bias_size,
                      bias_count * bias_size, before ? SIM_READ : SIM_WRITE, "cublasLtMatmul bias");
        }
        if ((form->epilogue & RELU_BITS) != 0 && before == reads_bits) {
            int64_t bits = form->aux_ld * ((int64_t)m->d.columns - 1) + (int64_t)m->d.rows;
            sim_touch((char *)form->aux + i * form->aux_stride / 8, (size_t)(bits + 7) / 8,
                      before ? SIM_READ : SIM_WRITE, "cublasLtMatmul bits of RELU_AUX");
        }
    }
}

bool sim_matmul_run(sim_op_t *op) {
    const sim_matmul_t *m = (const sim_matmul_t *)op;
    touch(&m->a, m->a_data, SIM_READ);
    touch(&m->b, m->b_data, SIM_READ);
    if (m->beta != 0) {
        touch(&m->c, m->c_data, SIM_READ);
    }
    touch_epilogue(m, true);
    if (m->work_bytes > 0) {
        sim_touch(m->work, m->work_bytes, SIM_WRITE, "cublasLtMatmul workspace");
        sim_poison(m->work, m->work_bytes); /* what was there is gone */
    }
    touch(&m->d, m->d_data, SIM_WRITE); /* before it is written: it may reach beyond its block */
    touch_epilogue(m, false);
    for (int i = 0; i < m->d.batch; i++) {
        run_one(m, i);
    }
    return true;
}
