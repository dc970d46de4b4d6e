/* gemm and conv of the trainer against plain loops. */
#include "sample_libraries.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
static int passed, failed;
static float *noise(long n) {
    float *p = malloc(n * 4);
    for (long i = 0; i < n; i++)
        p[i] = (float)rand() / RAND_MAX - 0.5f;
    return p;
}
static float *up(const float *h, long n) {
    float *d;
    cudaMalloc((void **)&d, n * 4);
    cudaMemcpy(d, h, n * 4, cudaMemcpyHostToDevice);
    return d;
}
static void expect(const char *what, const float *d, const float *want, long n) {
    float *got = malloc(n * 4);
    double w = 0;
    cudaMemcpy(got, d, n * 4, cudaMemcpyDeviceToHost);
    for (long i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= w))
            w = fabs(got[i] - want[i]);
    printf("%-24s max error %.1e %s\n", what, w, w < 1e-4 ? "ok" : "FAILED");
    w < 1e-4 ? passed++ : failed++;
    free(got);
}
int main(void) {
    cudaStream_t s;
    cublasLtHandle_t lt;
    cudnnHandle_t dnn;
    void *work;
    cudaStreamCreate(&s);
    cublasLtCreate(&lt);
    cudnnCreate(&dnn);
    cudnnSetStream(dnn, s);
    cudaMalloc(&work, 1 << 16);
    enum { M = 13, N = 17, K = 19 };
    for (int t = 0; t < 4; t++) {
        int ta = t & 1, tb = t >> 1;
        float *a = noise(M * K), *b = noise(K * N), *bias = noise(N), *c = calloc(M * N, 4),
              *C = up(c, M * N);
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                c[i * N + j] = bias[j];
                for (int k = 0; k < K; k++)
                    c[i * N + j] +=
                        (ta ? a[k * M + i] : a[i * K + k]) * (tb ? b[j * K + k] : b[k * N + j]);
            }
        if (gemm(lt, s, C, up(a, M * K), up(b, K * N), up(bias, N), M, N, K, ta, tb, CUDA_R_32F, 0,
                 work, 1 << 16))
            failed++;
        cudaStreamSynchronize(s);
        expect(ta ? tb ? "gemm tt" : "gemm tn" : tb ? "gemm nt" : "gemm nn", C, c, M * N);
    }
    struct conv_shape q = {2, 2, 3, 4, {7, 6}, {3, 3}, {1, 1}, {2, 1}, CUDNN_DATA_FLOAT};
    enum { H = 4, W = 6 };
    long nx = 2 * 7 * 6 * 3, nw = 4 * 3 * 3 * 3, ny = 2 * H * W * 4;
    float *x = noise(nx), *w = noise(nw), *dy = noise(ny), *y = calloc(ny, 4), *dx = calloc(nx, 4),
          *dw = calloc(nw, 4);
    for (int n = 0; n < 2; n++)
        for (int k = 0; k < 4; k++)
            for (int i = 0; i < H; i++)
                for (int j = 0; j < W; j++)
                    for (int r = 0; r < 3; r++)
                        for (int u = 0; u < 3; u++)
                            for (int c = 0; c < 3; c++) {
                                int a = i * 2 - 1 + r, b = j - 1 + u;
                                if (a < 0 || a >= 7 || b < 0 || b >= 6)
                                    continue;
                                long X = ((n * 7 + a) * 6 + b) * 3 + c,
                                     Wt = ((k * 3 + r) * 3 + u) * 3 + c,
                                     Y = ((n * H + i) * W + j) * 4 + k;
                                y[Y] += x[X] * w[Wt];
                                dx[X] += dy[Y] * w[Wt];
                                dw[Wt] += dy[Y] * x[X];
                            }
    float *X = up(x, nx), *Wd = up(w, nw), *Y = up(y, ny), *DY = up(dy, ny), *DX = up(x, nx),
          *DW = up(w, nw);
    struct conv f, d, g;
    if (conv_make(&f, dnn, CONV_FORWARD, &q) || conv_make(&d, dnn, CONV_DATA, &q) ||
        conv_make(&g, dnn, CONV_FILTER, &q))
        failed++;
    if (conv_run(&f, dnn, X, Wd, Y, work) || conv_run(&d, dnn, DX, Wd, DY, work) ||
        conv_run(&g, dnn, X, DW, DY, work))
        failed++;
    cudaStreamSynchronize(s);
    expect("convolution forward", Y, y, ny);
    expect("convolution data", DX, dx, nx);
    expect("convolution filter", DW, dw, nw);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
