/* Products of the simulated cuBLASLt and convolutions of the simulated cuDNN against plain
 * loops. */
#include "blas_case.h"
#include "device_case.h"
#include "dnn_case.h"

static cudaStream_t stream;

/* --- products ------------------------------------------------------------------------------- */

enum { M = 13, N = 17, K = 19, BATCH = 3 };

static int64_t at_a(const product_case_t *p, int b, int i, int k) {
    return (int64_t)b * M * K + (p->transpose_a ? k + i * K : i + k * M);
}

static int64_t at_b(const product_case_t *p, int b, int k, int j) {
    return (int64_t)b * K * N + (p->transpose_b ? j + k * N : k + j * K);
}

/* d: what is there before, and after. */
static void multiply(const product_case_t *p, const float *a, const float *b, float *d) {
    for (int n = 0; n < p->batch; n++) {
        for (int j = 0; j < N; j++) {
            for (int i = 0; i < M; i++) {
                double sum = 0;
                for (int k = 0; k < K; k++) {
                    sum += (double)a[at_a(p, n, i, k)] * b[at_b(p, n, k, j)];
                }
                float *out = &d[n * M * N + i + j * M];
                *out = (float)(sum + (p->beta != 0 ? p->beta * *out : 0));
            }
        }
    }
}

static product_case_t product_new(float *a, float *b, float *d) {
    return (product_case_t){.rows = M,
                            .columns = N,
                            .inner = K,
                            .in = CUDA_R_32F,
                            .out = CUDA_R_32F,
                            .epilogue = CUBLASLT_EPILOGUE_DEFAULT,
                            .batch = BATCH,
                            .alignment = 16,
                            .a = a,
                            .b = b,
                            .d = d,
                            .work = device_bytes(4096),
                            .work_bytes = 4096};
}

static void products_transposed(void **state) {
    (void)state;
    for (int t = 0; t < 4; t++) {
        float *a = noise(BATCH * M * K), *b = noise(BATCH * K * N), *d = noise(BATCH * M * N);
        product_case_t p =
            product_new(up(a, BATCH * M * K), up(b, BATCH * K * N), up(d, BATCH * M * N));
        p.transpose_a = t % 2 == 1;
        p.transpose_b = t / 2 == 1;
        p.beta = t == 3 ? 0.5f : 0;
        multiply(&p, a, b, d);
        assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_SUCCESS);
        check_near(down(p.d, BATCH * M * N), d, BATCH * M * N, 1e-5);
        case_free();
    }
}

static void products_of_bf16(void **state) {
    (void)state;
    float *a = noise(M * K), *b = noise(K * N), *d = host_array(M * N);
    product_case_t p = product_new(up_bf16(a, M * K), up_bf16(b, K * N), NULL);
    p.batch = 1;
    p.in = CUDA_R_16BF;
    for (int i = 0; i < M * K; i++) {
        a[i] = from_bf16(to_bf16(a[i]));
    }
    for (int i = 0; i < K * N; i++) {
        b[i] = from_bf16(to_bf16(b[i]));
    }
    multiply(&p, a, b, d);
    p.d = zeros(M * N);
    assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_SUCCESS);
    check_near(down(p.d, M * N), d, M * N, 1e-5);
    p.out = CUDA_R_16BF;
    p.d = zeros(M * N / 2 + 1);
    assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_SUCCESS);
    check_near(down_bf16(p.d, M * N), d, M * N, 3e-2);
    case_free();
}

/* The tensor cores read ten bits behind the point: the result shows that, and is near. */
static void products_of_tf32(void **state) {
    (void)state;
    float *a = noise(M * K), *b = noise(K * N), *d = host_array(M * N), worst = 0;
    product_case_t p = product_new(up(a, M * K), up(b, K * N), zeros(M * N));
    p.batch = 1;
    p.tf32 = true;
    multiply(&p, a, b, d);
    assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_SUCCESS);
    float *got = down(p.d, M * N);
    check_near(got, d, M * N, 1e-2);
    for (int i = 0; i < M * N; i++) {
        worst = fmaxf(worst, fabsf(got[i] - d[i]));
    }
    assert_true(worst > 1e-5f);
    case_free();
}

static void epilogues_of_forward(void **state) {
    (void)state;
    const cublasLtEpilogue_t all[] = {CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU,
                                      CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_RELU_AUX_BIAS};
    for (int e = 0; e < ARRAY_LEN(all); e++) {
        float *a = noise(M * K), *b = noise(K * N), *bias = noise(M), *d = host_array(M * N);
        product_case_t p = product_new(up(a, M * K), up(b, K * N), zeros(M * N));
        p.batch = 1;
        p.epilogue = all[e];
        multiply(&p, a, b, d);
        if ((all[e] & CUBLASLT_EPILOGUE_BIAS) != 0) {
            p.bias = up(bias, M);
        }
        if (all[e] == CUBLASLT_EPILOGUE_RELU_AUX_BIAS) {
            p.aux = device_bytes(N * 128 / 8);
        }
        assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_SUCCESS);
        for (int i = 0; i < M * N; i++) {
            d[i] += p.bias != NULL ? bias[i % M] : 0;
            d[i] = all[e] != CUBLASLT_EPILOGUE_BIAS && d[i] < 0 ? 0 : d[i];
        }
        check_near(down(p.d, M * N), d, M * N, 1e-5);
        case_free();
    }
}

/* RELU_AUX keeps what DRELU takes; the biases' gradients are sums. */
static void epilogues_of_backward(void **state) {
    (void)state;
    float *a = noise(M * K), *b = noise(K * N), *d = host_array(M * N), *db = host_array(M);
    product_case_t p = product_new(up(a, M * K), up(b, K * N), zeros(M * N));
    p.batch = 1;
    p.aux = device_bytes(N * 128 / 8);
    p.epilogue = CUBLASLT_EPILOGUE_RELU_AUX;
    multiply(&p, a, b, d);
    assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_SUCCESS);
    p.epilogue = CUBLASLT_EPILOGUE_DRELU_BGRAD;
    p.bias = zeros(M);
    assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_SUCCESS);
    for (int i = 0; i < M * N; i++) {
        d[i] = d[i] > 0 ? d[i] : 0;
        db[i % M] += d[i];
    }
    check_near(down(p.d, M * N), d, M * N, 1e-5);
    check_near(down(p.bias, M), db, M, 1e-5);
    case_free();
}

static void gradients_of_biases(void **state) {
    (void)state;
    for (int by_b = 0; by_b < 2; by_b++) {
        float *a = noise(M * K), *b = noise(K * N), *sums = host_array(N);
        product_case_t p = product_new(up(a, M * K), up(b, K * N), zeros(M * N));
        int count = by_b ? N : M;
        p.batch = 1;
        p.transpose_b = true;
        p.epilogue = by_b ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_BGRADA;
        p.bias = zeros(N);
        assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_SUCCESS);
        for (int i = 0; i < count; i++) {
            for (int k = 0; k < K; k++) {
                sums[i] += by_b ? b[at_b(&p, 0, k, i)] : a[at_a(&p, 0, i, k)];
            }
        }
        check_near(down(p.bias, count), sums, count, 1e-5);
        case_free();
    }
}

static void misfits_have_no_algorithm(void **state) {
    (void)state;
    product_case_t p = product_new(zeros(M * K), zeros(K * N), zeros(M * N));
    p.batch = 1;
    p.out = CUDA_R_16BF;
    assert_int_equal(product_run(&p, stream), CUBLAS_STATUS_NOT_SUPPORTED);
    case_free();
}

/* --- convolutions --------------------------------------------------------------------------- */

typedef struct sizes {
    int64_t x, w, y, in[3], filter[3], out[3], taps;
} sizes_t;

static sizes_t sizes_of(const conv_shape_t *s) {
    sizes_t z = {.x = s->n * s->c, .w = s->k * s->c / s->groups, .y = s->n * s->k, .taps = 1};
    for (int i = 0; i < 3; i++) {
        z.in[i] = i < s->spatial ? s->in[i] : 1;
        z.filter[i] = i < s->spatial ? s->filter[i] : 1;
        z.out[i] = i < s->spatial ? conv_out(s, i) : 1;
        z.x *= z.in[i];
        z.w *= z.filter[i];
        z.y *= z.out[i];
        z.taps *= z.filter[i];
    }
    return z;
}

static void split(int64_t i, const int64_t *of, int64_t *out) {
    for (int d = 2; d >= 0; d--) {
        out[d] = i % of[d];
        i /= of[d];
    }
}

/* The input point of output point o and filter point f; -1: beside it. */
static int64_t meets(const conv_shape_t *s, const sizes_t *z, int64_t output, int64_t tap) {
    int64_t o[3], f[3], at = 0;
    split(output, z->out, o);
    split(tap, z->filter, f);
    for (int i = 0; i < 3; i++) {
        int64_t p = i < s->spatial ? o[i] * s->stride[i] - s->pad[i] + f[i] * s->dilation[i] : 0;
        if (p < 0 || p >= z->in[i]) {
            return -1;
        }
        at = at * z->in[i] + p;
    }
    return at;
}

static void convolve(const conv_shape_t *s, const float *x, const float *w, const float *dy,
                     float *y, float *dx, float *dw) {
    sizes_t z = sizes_of(s);
    int64_t points_in = z.x / s->n / s->c, points_out = z.y / s->n / s->k;
    int64_t group_c = s->c / s->groups, group_k = s->k / s->groups;
    for (int64_t i = 0; i < s->n * points_out * z.taps; i++) {
        int64_t tap = i % z.taps, o = i / z.taps % points_out, n = i / z.taps / points_out;
        int64_t p = meets(s, &z, o, tap);
        for (int64_t k = 0; k < s->k && p >= 0; k++) {
            for (int64_t c = 0; c < group_c; c++) {
                int64_t at_x = (n * points_in + p) * s->c + k / group_k * group_c + c;
                int64_t at_w = (k * z.taps + tap) * group_c + c;
                int64_t at_y = (n * points_out + o) * s->k + k;
                y[at_y] += x[at_x] * w[at_w];
                dx[at_x] += dy[at_y] * w[at_w];
                dw[at_w] += dy[at_y] * x[at_x];
            }
        }
    }
}

static void run_conv(cudnnHandle_t handle, conv_kind_t kind, const conv_shape_t *s, void *x,
                     void *w, void *y, void *bias) {
    conv_t conv;
    assert_int_equal(conv_open(&conv, handle, kind, s), CUDNN_STATUS_SUCCESS);
    void *work = device_bytes((size_t)conv.work_bytes);
    assert_int_equal(conv_run(&conv, handle, x, w, y, bias, work), CUDNN_STATUS_SUCCESS);
    conv_close(&conv);
}

static const conv_shape_t shapes[] = {
    {1, 2, 4, 6, 1, {9}, {3}, {2}, {1}, {2}, CUDNN_DATA_FLOAT},
    {2, 2, 3, 4, 1, {7, 6}, {3, 3}, {1, 1}, {2, 1}, {1, 1}, CUDNN_DATA_FLOAT},
    {2, 1, 4, 4, 4, {5, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, CUDNN_DATA_FLOAT},
    {3, 2, 4, 6, 2, {3, 4, 5}, {3, 1, 2}, {1, 0, 1}, {1, 2, 2}, {1, 1, 1}, CUDNN_DATA_FLOAT},
};

static void convolutions(void **state) {
    (void)state;
    cudnnHandle_t handle;
    cudnnCreate(&handle);
    cudnnSetStream(handle, stream);
    for (int i = 0; i < ARRAY_LEN(shapes); i++) {
        const conv_shape_t *s = &shapes[i];
        sizes_t z = sizes_of(s);
        float *x = noise(z.x), *w = noise(z.w), *dy = noise(z.y), *bias = noise(s->k);
        float *y = host_array(z.y), *dx = host_array(z.x), *dw = host_array(z.w);
        convolve(s, x, w, dy, y, dx, dw);
        float *x_d = up(x, z.x), *w_d = up(w, z.w), *dy_d = up(dy, z.y), *y_d = zeros(z.y);
        float *dx_d = zeros(z.x), *dw_d = zeros(z.w), *relu_d = zeros(z.y);
        run_conv(handle, CONV_FORWARD, s, x_d, w_d, y_d, NULL);
        run_conv(handle, CONV_DATA, s, dx_d, w_d, dy_d, NULL);
        run_conv(handle, CONV_FILTER, s, x_d, dw_d, dy_d, NULL);
        run_conv(handle, CONV_BIAS_RELU, s, x_d, w_d, relu_d, up(bias, s->k));
        check_near(down(y_d, z.y), y, z.y, 1e-5);
        check_near(down(dx_d, z.x), dx, z.x, 1e-5);
        check_near(down(dw_d, z.w), dw, z.w, 1e-5);
        for (int64_t j = 0; j < z.y; j++) {
            y[j] = fmaxf(y[j] + bias[j % s->k], 0);
        }
        check_near(down(relu_d, z.y), y, z.y, 1e-5);
        case_free();
    }
    cudnnDestroy(handle);
}

static void convolutions_of_bf16(void **state) {
    (void)state;
    cudnnHandle_t handle;
    cudnnCreate(&handle);
    cudnnSetStream(handle, stream);
    conv_shape_t s = shapes[1];
    s.type = CUDNN_DATA_BFLOAT16;
    sizes_t z = sizes_of(&s);
    float *x = noise(z.x), *w = noise(z.w), *y = host_array(z.y);
    void *y_d = zeros(z.y);
    run_conv(handle, CONV_FORWARD, &s, up_bf16(x, z.x), up_bf16(w, z.w), y_d, NULL);
    convolve(&s, x, w, host_array(z.y), y, host_array(z.x), host_array(z.w));
    check_near(down_bf16(y_d, z.y), y, z.y, 0.1);
    case_free();
    cudnnDestroy(handle);
}

static void misfits_have_no_plan(void **state) {
    (void)state;
    cudnnHandle_t handle;
    conv_t conv;
    conv_shape_t s = shapes[1];
    cudnnCreate(&handle);
    s.c = 5;
    s.groups = 2; /* 5 channels in 2 groups */
    assert_int_equal(conv_open(&conv, handle, CONV_FORWARD, &s), CUDNN_STATUS_BAD_PARAM);
    conv_close(&conv);
    cudnnDestroy(handle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_transposed),       cmocka_unit_test(products_of_bf16),
        cmocka_unit_test(products_of_tf32),          cmocka_unit_test(epilogues_of_forward),
        cmocka_unit_test(epilogues_of_backward),     cmocka_unit_test(gradients_of_biases),
        cmocka_unit_test(misfits_have_no_algorithm), cmocka_unit_test(convolutions),
        cmocka_unit_test(convolutions_of_bf16),      cmocka_unit_test(misfits_have_no_plan),
    };
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    int failures = RUN_TESTS(tests);
    cudaStreamDestroy(stream);
    return failures;
}
