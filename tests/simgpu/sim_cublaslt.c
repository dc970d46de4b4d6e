/* cuBLASLt as far as a trainer uses it: descriptors, one heuristic, and what it refuses. */
#include <stdlib.h>

#include "sim_matmul.h"

enum { RELU_BITS = 128, WORK_BYTES = 256, ALIGNMENT = 256 };
enum { ANY_SCHEME = CUBLASLT_REDUCTION_SCHEME_MASK };
static const int64_t AUX_BITS = 128; /* leading dimension of the bits of RELU_AUX */

/* What an algorithm was chosen for; bytes, next: from matrix to matrix of a batch. */
typedef struct choice {
    uint32_t a_alignment, b_alignment, c_alignment, d_alignment;
    uint32_t a_next, b_next, c_next, d_next;
    uint64_t work_bytes; /* of that product; 0: needs none */
    uint32_t schemes;    /* by which parts of a sum may be added */
    bool one_alone;      /* makes no batch */
} choice_t;

_Static_assert(sizeof(sim_layout_t) <= sizeof(cublasLtMatrixLayoutOpaque_t), "a layout must fit");
_Static_assert(sizeof(sim_matmul_form_t) <= sizeof(cublasLtMatmulDescOpaque_t), "it must fit");
_Static_assert(sizeof(choice_t) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "it must fit");
_Static_assert(sizeof(choice_t) <= sizeof(cublasLtMatmulAlgo_t), "an algorithm must fit");

static sim_number_t number_of(int type) {
    switch (type) {
    case CUDA_R_32F:
        return SIM_F32;
    case CUDA_R_16BF:
        return SIM_BF16;
    default:
        return SIM_NO_NUMBER;
    }
}

/* --- matrices ------------------------------------------------------------------------------- */

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t ld) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    *(sim_layout_t *)*out =
        (sim_layout_t){number_of(type), 1, CUBLASLT_ORDER_COL, rows, columns, ld, 0};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    free(layout);
    return CUBLAS_STATUS_SUCCESS;
}

static void copy_attribute(void *to, size_t size, const void *value, size_t n, const char *what,
                           int name, const void *pc) {
    if (size != n) {
        sim_report(pc, "cublasLt: %s attribute %d is given %zu bytes, not %zu", what, name, n,
                   size);
    }
    memcpy(to, value, n);
}
#define SET(member) copy_attribute(&(member), sizeof(member), value, n, what, (int)name, SIM_PC)

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t of,
                                                cublasLtMatrixLayoutAttribute_t name,
                                                const void *value, size_t n) {
    sim_layout_t *layout = (sim_layout_t *)of;
    const char *what = "layout";
    switch (name) {
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
        SET(layout->rows);
        break;
    case CUBLASLT_MATRIX_LAYOUT_COLS:
        SET(layout->columns);
        break;
    case CUBLASLT_MATRIX_LAYOUT_LD:
        SET(layout->ld);
        break;
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
        SET(layout->order);
        break;
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
        SET(layout->batch);
        break;
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
        SET(layout->stride);
        break;
    default:
        sim_report(SIM_PC, "cublasLt: layout attribute %d is not simulated", (int)name);
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* --- products ------------------------------------------------------------------------------- */

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
    if (scale != CUDA_R_32F ||
        (compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    *(sim_matmul_form_t *)*out =
        (sim_matmul_form_t){.epilogue = CUBLASLT_EPILOGUE_DEFAULT,
                            .bias_type = SIM_NO_NUMBER,
                            .tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t form) {
    free(form);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t of,
                                              cublasLtMatmulDescAttributes_t name,
                                              const void *value, size_t n) {
    sim_matmul_form_t *form = (sim_matmul_form_t *)of;
    const char *what = "matmul";
    int32_t type = -1;
    switch (name) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        SET(form->transpose_a);
        break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
        SET(form->transpose_b);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        SET(form->epilogue);
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        SET(form->bias);
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
        SET(form->bias_stride);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        SET(form->aux);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        SET(form->aux_ld);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE:
        SET(form->aux_stride);
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        SET(type);
        form->bias_type = number_of(type);
        break;
    default:
        sim_report(SIM_PC, "cublasLt: matmul attribute %d is not simulated", (int)name);
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* --- what is refused ------------------------------------------------------------------------ */

static const char *wrong_shape(const sim_matmul_t *m) {
    const sim_matmul_form_t *form = &m->form;
    uint64_t a_rows = form->transpose_a ? m->a.columns : m->a.rows;
    uint64_t a_columns = form->transpose_a ? m->a.rows : m->a.columns;
    uint64_t b_rows = form->transpose_b ? m->b.columns : m->b.rows;
    uint64_t b_columns = form->transpose_b ? m->b.rows : m->b.columns;
    if (a_rows != m->d.rows || b_columns != m->d.columns || a_columns != b_rows ||
        m->c.rows != m->d.rows || m->c.columns != m->d.columns) {
        return "the shapes do not fit";
    }
    const sim_layout_t *all[] = {&m->a, &m->b, &m->c, &m->d};
    for (int i = 0; i < 4; i++) {
        if (all[i]->type == SIM_NO_NUMBER || all[i]->order != CUBLASLT_ORDER_COL) {
            return "a matrix has a type or an order that is not simulated";
        }
        if (all[i]->rows == 0 || all[i]->columns == 0 || all[i]->ld < (int64_t)all[i]->rows) {
            return "a matrix is empty, or its leading dimension is less than its rows";
        }
        if (all[i]->batch != m->d.batch) {
            return "the batch counts differ";
        }
    }
    if (m->a.type != m->b.type || m->c.type != m->d.type ||
        (m->d.type != m->a.type && m->d.type != SIM_F32)) {
        return "the library has no product of these types";
    }
    return NULL;
}

static const char *wrong_epilogue(const sim_matmul_t *m) {
    const sim_matmul_form_t *form = &m->form;
    bool aux = (form->epilogue & RELU_BITS) != 0;
    switch (form->epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_AUX:
    case CUBLASLT_EPILOGUE_DRELU:
        break;
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DRELU_BGRAD:
    case CUBLASLT_EPILOGUE_BGRADA:
    case CUBLASLT_EPILOGUE_BGRADB:
        if (form->bias == NULL) {
            return "the epilogue needs a bias, and there is none";
        }
        if (form->bias_type != m->d.type) {
            return "the bias is not of the type of the result";
        }
        break;
    default:
        return "this epilogue is not simulated";
    }
    if (aux && (form->aux == NULL || form->aux_ld % AUX_BITS != 0 ||
                form->aux_stride % AUX_BITS != 0 || form->aux_ld < (int64_t)m->d.rows)) {
        return "the bits of RELU_AUX need a pointer and a leading dimension of a multiple of 128 "
               "that is not less than the rows";
    }
    return NULL;
}

/* Pinned memory would do, too, at the speed of the bus. */
static bool is_elsewhere(const void *p) { return !sim_is_device(p) && !sim_is_pinned(p); }

static size_t step_of(const sim_layout_t *layout) {
    return layout->batch > 1 ? (size_t)layout->stride * sim_number_size(layout->type) : 0;
}

/* As the layout says, where it has a batch; else as the first matrix. */
static uint32_t next_alignment(const sim_layout_t *layout, uint32_t bytes) {
    while (bytes > 1 && step_of(layout) % bytes != 0) {
        bytes /= 2;
    }
    return bytes;
}

static bool is_less_aligned(const void *data, const sim_layout_t *layout, uint32_t bytes,
                            uint32_t next) {
    return (uintptr_t)data % bytes != 0 || step_of(layout) % next != 0;
}

/* Larger products, and more of them, ask for more; one matrix takes more than a batch of as many
 * results, so that both have to be asked about. */
static uint64_t work_of(const sim_matmul_t *m) {
    uint64_t bytes = (m->d.batch > 1 ? 4 : 5) * WORK_BYTES;
    for (uint64_t left = m->d.rows * m->d.columns * (uint64_t)m->d.batch; left > 1; left /= 2) {
        bytes += WORK_BYTES;
    }
    return bytes;
}

/* As those of the results, which they are added to. */
static bool bias_is_less_aligned(const sim_matmul_t *m, const choice_t *choice) {
    return (m->form.epilogue & CUBLASLT_EPILOGUE_BIAS) != 0 &&
           (uintptr_t)m->form.bias % choice->d_alignment != 0;
}

static const char *wrong_choice(const sim_matmul_t *m, const choice_t *choice) {
    if (choice->one_alone && m->d.batch > 1) {
        return "the algorithm makes no batch of products";
    }
    if (bias_is_less_aligned(m, choice)) {
        return "the bias is less aligned than the algorithm was chosen for";
    }
    if (is_less_aligned(m->a_data, &m->a, choice->a_alignment, choice->a_next) ||
        is_less_aligned(m->b_data, &m->b, choice->b_alignment, choice->b_next) ||
        (m->beta != 0 && is_less_aligned(m->c_data, &m->c, choice->c_alignment, choice->c_next)) ||
        is_less_aligned(m->d_data, &m->d, choice->d_alignment, choice->d_next)) {
        return "a pointer is less aligned than the algorithm was chosen for";
    }
    return choice->work_bytes > 0 && m->work_bytes < work_of(m)
               ? "the workspace is less than the algorithm needs for these products"
               : NULL;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t form, const void *alpha,
                              const void *a_data, cublasLtMatrixLayout_t a, const void *b_data,
                              cublasLtMatrixLayout_t b, const void *beta, const void *c_data,
                              cublasLtMatrixLayout_t c, void *d_data, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algorithm, void *work, size_t work_bytes,
                              cudaStream_t stream) {
    (void)handle;
    sim_matmul_t *m = sim_op_new(sizeof *m, "cublasLtMatmul", sim_matmul_run, NULL);
    m->form = *(const sim_matmul_form_t *)form;
    m->a = *(const sim_layout_t *)a;
    m->b = *(const sim_layout_t *)b;
    m->c = *(const sim_layout_t *)c;
    m->d = *(const sim_layout_t *)d;
    m->a_data = a_data;
    m->b_data = b_data;
    m->c_data = c_data;
    m->d_data = d_data;
    m->work = work;
    m->work_bytes = work_bytes;
    m->alpha = *(const float *)alpha;
    m->beta = *(const float *)beta;
    if (m->form.bias_type == SIM_NO_NUMBER) {
        m->form.bias_type = m->d.type;
    }
    const char *wrong = wrong_shape(m);
    wrong = wrong != NULL ? wrong : wrong_epilogue(m);
    if (wrong == NULL && (is_elsewhere(a_data) || is_elsewhere(b_data) || is_elsewhere(d_data))) {
        wrong = "a matrix is not in device memory";
    }
    if (wrong == NULL && algorithm != NULL) {
        choice_t choice;
        memcpy(&choice, algorithm, sizeof choice);
        wrong = wrong_choice(m, &choice);
        m->any_order = (choice.schemes & CUBLASLT_REDUCTION_SCHEME_INPLACE) != 0;
    }
    if (wrong != NULL) {
        sim_report(SIM_PC, "cublasLtMatmul: %s", wrong);
    }
    return sim_enqueue(stream, m) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                 : CUBLAS_STATUS_EXECUTION_FAILED;
}

/* --- handles, preferences, the heuristic ---------------------------------------------------- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out) {
    int device;
    if (cudaGetDevice(&device) != cudaSuccess || sim_fails(__func__)) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    *out = malloc(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void) {
    return CUBLAS_VER_MAJOR * 10000 + CUBLAS_VER_MINOR * 100 + CUBLAS_VER_PATCH;
}

const char *cublasLtGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_SUCCESS         ? "CUBLAS_STATUS_SUCCESS"
           : status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                                   : "another cuBLAS error";
}

const char *cublasLtGetStatusName(cublasStatus_t status) { return cublasLtGetStatusString(status); }

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    *(choice_t *)*out = (choice_t){.a_alignment = ALIGNMENT,
                                   .b_alignment = ALIGNMENT,
                                   .c_alignment = ALIGNMENT,
                                   .d_alignment = ALIGNMENT,
                                   .schemes = ANY_SCHEME};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    free(preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void *value, size_t n) {
    choice_t *choice = (choice_t *)preference;
    const char *what = "preference";
    switch (name) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        SET(choice->work_bytes);
        break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        SET(choice->a_alignment);
        break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        SET(choice->b_alignment);
        break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        SET(choice->c_alignment);
        break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        SET(choice->d_alignment);
        break;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        SET(choice->schemes);
        break;
    default:
        sim_report(SIM_PC, "cublasLt: preference %d is not simulated", (int)name);
    }
    return CUBLAS_STATUS_SUCCESS;
}

static sim_matmul_t matmul_of(cublasLtMatmulDesc_t form, cublasLtMatrixLayout_t a,
                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                              cublasLtMatrixLayout_t d) {
    return (sim_matmul_t){.form = *(const sim_matmul_form_t *)form,
                          .a = *(const sim_layout_t *)a,
                          .b = *(const sim_layout_t *)b,
                          .c = *(const sim_layout_t *)c,
                          .d = *(const sim_layout_t *)d};
}

/* What is proposed first for one product makes no batch, as may be. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t form,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int *count_out) {
    (void)handle;
    sim_matmul_t m = matmul_of(form, a, b, c, d);
    choice_t choice = *(const choice_t *)preference;
    *count_out = 0;
    if (wanted < 1 || wrong_shape(&m) != NULL || sim_fails(__func__)) {
        return wanted < 1 ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_NOT_SUPPORTED;
    }
    choice.a_next = next_alignment(&m.a, choice.a_alignment);
    choice.b_next = next_alignment(&m.b, choice.b_alignment);
    choice.c_next = next_alignment(&m.c, choice.c_alignment);
    choice.d_next = next_alignment(&m.d, choice.d_alignment);
    choice.work_bytes = choice.work_bytes < work_of(&m) ? 0 : work_of(&m);
    choice.one_alone = m.d.batch == 1;
    for (int i = 0; i < (wanted > 1 ? 2 : 1); i++) {
        memset(&results[i], 0, sizeof results[i]);
        memcpy(&results[i].algo, &choice, sizeof choice);
        results[i].workspaceSize = choice.work_bytes;
        choice.one_alone = false;
        *count_out = i + 1;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t form,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *result) {
    (void)handle;
    sim_matmul_t m = matmul_of(form, a, b, c, d);
    choice_t choice;
    memcpy(&choice, algorithm, sizeof choice);
    if (wrong_shape(&m) != NULL || (choice.one_alone && m.d.batch > 1)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    memset(result, 0, sizeof *result);
    result->algo = *algorithm;
    result->workspaceSize = choice.work_bytes > 0 ? work_of(&m) : 0;
    return CUBLAS_STATUS_SUCCESS;
}
