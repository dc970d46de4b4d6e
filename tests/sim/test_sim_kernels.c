/* The same host program for the GPU and the simulator: kernels against plain C. */
#include "sample_kernels.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int passed, failed;
static void expect(const char *what, double error, double limit) {
    int ok = error <= limit;
    printf("%-28s max error %.2e %s\n", what, error, ok ? "ok" : "FAILED");
    ok ? passed++ : failed++;
}
static float uniform(void) { return (float)rand() / (float)RAND_MAX * 2 - 1; }
static float *up(const float *h, long n) {
    float *d;
    cudaMalloc((void **)&d, n * sizeof *d);
    cudaMemcpy(d, h, n * sizeof *d, cudaMemcpyHostToDevice);
    return d;
}
static float *down(const float *d, long n) {
    float *h = malloc(n * sizeof *h);
    cudaMemcpy(h, d, n * sizeof *h, cudaMemcpyDeviceToHost);
    return h;
}
static float *noise(long n) {
    float *p = malloc(n * sizeof *p);
    for (long i = 0; i < n; i++)
        p[i] = uniform();
    return p;
}
static float *zeros(long n) {
    float *d;
    cudaMalloc((void **)&d, n * sizeof *d);
    cudaMemset(d, 0, n * sizeof *d);
    cudaDeviceSynchronize(); /* other streams do not wait for it */
    return d;
}
static double worst(const float *a, const float *b, long n) {
    double w = 0;
    for (long i = 0; i < n; i++)
        w = fabs(a[i] - b[i]) > w || isnan(a[i]) ? (isnan(a[i]) ? INFINITY : fabs(a[i] - b[i])) : w;
    return w;
}
static uint16_t to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}
static float from_bf16(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static void layernorm(cudaStream_t s) {
    enum { R = 7, C = 300 };
    float *x = noise(R * C), *w = noise(C), *b = noise(C), *dy = noise(R * C);
    float y[R * C], dx[R * C], dw[C] = {0}, db[C] = {0};
    for (int r = 0; r < R; r++) {
        double m = 0, v = 0, a = 0, c = 0;
        for (int i = 0; i < C; i++)
            m += x[r * C + i] / (double)C;
        for (int i = 0; i < C; i++)
            v += pow(x[r * C + i] - m, 2) / C;
        double k = 1 / sqrt(v + 1e-5);
        for (int i = 0; i < C; i++) {
            double n = (x[r * C + i] - m) * k, g = dy[r * C + i] * w[i];
            y[r * C + i] = (float)(n * w[i] + b[i]);
            dw[i] += (float)(dy[r * C + i] * n);
            db[i] += dy[r * C + i];
            a += g / C;
            c += g * n / C;
        }
        for (int i = 0; i < C; i++)
            dx[r * C + i] = (float)(k * (dy[r * C + i] * w[i] - a - (x[r * C + i] - m) * k * c));
    }
    float *X = up(x, R * C), *W = up(w, C), *B = up(b, C), *DY = up(dy, R * C), *Y = zeros(R * C),
          *M = zeros(R), *K = zeros(R);
    float *DX = zeros(R * C), *DW = zeros(C), *DB = zeros(C);
    layernorm_forward(s, Y, M, K, X, W, B, R, C);
    layernorm_backward(s, DX, DW, DB, DY, X, W, M, K, R, C);
    cudaStreamSynchronize(s);
    expect("layernorm forward", worst(down(Y, R * C), y, R * C), 1e-4);
    expect("layernorm backward dx", worst(down(DX, R * C), dx, R * C), 1e-4);
    expect("layernorm backward dw", worst(down(DW, C), dw, C), 1e-4);
    expect("layernorm backward db", worst(down(DB, C), db, C), 1e-4);
}
static void attention(cudaStream_t s) {
    enum { H = 2, T = 37, D = 32, N = H * T * D };
    uint16_t q[3][N], out[N];
    void *d[4];
    float ref[N], got[N];
    for (int k = 0; k < 4; k++)
        cudaMalloc(&d[k], sizeof out);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < N; i++)
            q[k][i] = to_bf16(uniform());
        cudaMemcpy(d[k], q[k], sizeof q[k], cudaMemcpyHostToDevice);
    }
    for (int h = 0; h < H; h++)
        for (int t = 0; t < T; t++) {
            double p[T], sum = 0;
            for (int j = 0; j < T; j++) {
                double a = 0;
                for (int i = 0; i < D; i++)
                    a += (double)from_bf16(q[0][(h * T + t) * D + i]) *
                         from_bf16(q[1][(h * T + j) * D + i]);
                sum += p[j] = exp(a / sqrt(D));
            }
            for (int i = 0; i < D; i++) {
                double a = 0;
                for (int j = 0; j < T; j++)
                    a += p[j] / sum * from_bf16(q[2][(h * T + j) * D + i]);
                ref[(h * T + t) * D + i] = (float)a;
            }
        }
    attention_forward(s, d[3], d[0], d[1], d[2], H, T, D);
    cudaStreamSynchronize(s);
    cudaMemcpy(out, d[3], sizeof out, cudaMemcpyDeviceToHost);
    for (int i = 0; i < N; i++)
        got[i] = from_bf16(out[i]);
    expect("attention forward (bf16)", worst(got, ref, N), 5e-3);
}
static void optimizer(cudaStream_t s) {
    enum { N = 1000 };
    float *p = noise(N), *g = noise(N), *P = up(p, N), *G = up(g, N), *M = zeros(N), *V = zeros(N),
          *H = zeros(N / 2);
    for (int i = 0; i < N; i++)
        p[i] -= 1e-2f * (g[i] / (fabsf(g[i]) + 1e-8f) + 0.1f * p[i]);
    adamw(s, P, H, M, V, G, N, 1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 1);
    cudaStreamSynchronize(s);
    expect("adamw, first step", worst(down(P, N), p, N), 1e-5);
}
static double ccc_of(const float *x, const float *y, int n) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < n; i++)
        mx += x[i] / (double)n, my += y[i] / (double)n;
    for (int i = 0; i < n; i++)
        xx += pow(x[i] - mx, 2) / n, yy += pow(y[i] - my, 2) / n,
            xy += (x[i] - mx) * (y[i] - my) / n;
    return 1 - 2 * xy / (xx + yy + (mx - my) * (mx - my));
}
static void concordance(cudaStream_t s) {
    enum { N = 777 };
    float *x = noise(N), *y = noise(N), *X = up(x, N), *Y = up(y, N), *L = zeros(1), *G = zeros(N);
    for (int i = 0; i < N; i++)
        x[i] = 0.5f * x[i] + 0.3f * y[i] + 0.1f;
    cudaMemcpy(X, x, sizeof *x * N, cudaMemcpyHostToDevice);
    ccc_loss(s, L, G, X, Y, N);
    cudaStreamSynchronize(s);
    float loss = (float)ccc_of(x, y, N), grad[N], h = 1e-2f;
    for (int i = 0; i < N; i++) {
        float old = x[i];
        x[i] = old + h;
        double a = ccc_of(x, y, N);
        x[i] = old - h;
        grad[i] = (float)((a - ccc_of(x, y, N)) / (2 * h));
        x[i] = old;
    }
    expect("ccc loss", worst(down(L, 1), &loss, 1), 1e-5);
    expect("ccc gradient", worst(down(G, N), grad, N), 1e-5);
}
int main(void) {
    cudaStream_t s;
    cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking);
    layernorm(s);
    attention(s);
    optimizer(s);
    concordance(s);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
