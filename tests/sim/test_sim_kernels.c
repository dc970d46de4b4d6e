/* Kernels on the simulated GPU against plain C in double. */
#include "device_case.h"
#include "sample_kernels.h"

static cudaStream_t stream;

static void layernorm(void **state) {
    enum { R = 7, C = 300 };
    (void)state;
    float *x = noise(R * C), *w = noise(C), *b = noise(C), *dy = noise(R * C);
    float *y = host_array(R * C), *dx = host_array(R * C), *dw = host_array(C), *db = host_array(C);
    for (int r = 0; r < R; r++) {
        double m = 0, v = 0, a = 0, c = 0;
        for (int i = 0; i < C; i++) {
            m += x[r * C + i] / (double)C;
        }
        for (int i = 0; i < C; i++) {
            v += pow(x[r * C + i] - m, 2) / C;
        }
        double k = 1 / sqrt(v + 1e-5);
        for (int i = 0; i < C; i++) {
            double n = (x[r * C + i] - m) * k, g = (double)dy[r * C + i] * w[i];
            y[r * C + i] = (float)(n * w[i] + b[i]);
            dw[i] += (float)(dy[r * C + i] * n);
            db[i] += dy[r * C + i];
            a += g / C;
            c += g * n / C;
        }
        for (int i = 0; i < C; i++) {
            double n = (x[r * C + i] - m) * k;
            dx[r * C + i] = (float)(k * ((double)dy[r * C + i] * w[i] - a - n * c));
        }
    }
    float *x_d = up(x, R * C), *w_d = up(w, C), *mean = zeros(R), *rstd = zeros(R);
    float *y_d = zeros(R * C), *dx_d = zeros(R * C), *dw_d = zeros(C), *db_d = zeros(C);
    layernorm_forward(stream, y_d, mean, rstd, x_d, w_d, up(b, C), R, C);
    layernorm_backward(stream, dx_d, dw_d, db_d, up(dy, R * C), x_d, w_d, mean, rstd, R, C);
    check_near(down(y_d, R * C), y, R * C, 1e-4);
    check_near(down(dx_d, R * C), dx, R * C, 1e-4);
    check_near(down(dw_d, C), dw, C, 1e-4);
    check_near(down(db_d, C), db, C, 1e-4);
    case_free();
}

static void attention(void **state) {
    enum { H = 2, T = 37, D = 32, N = H * T * D };
    (void)state;
    float *in[3], *want = host_array(N);
    void *device[3];
    for (int k = 0; k < 3; k++) {
        in[k] = noise(N);
        device[k] = up_bf16(in[k], N);
        for (int i = 0; i < N; i++) {
            in[k][i] = from_bf16(to_bf16(in[k][i]));
        }
    }
    for (int row = 0; row < H * T; row++) {
        double p[T], sum = 0;
        for (int j = 0; j < T; j++) {
            double a = 0;
            for (int i = 0; i < D; i++) {
                a += (double)in[0][row * D + i] * in[1][(row / T * T + j) * D + i];
            }
            sum += p[j] = exp(a / sqrt(D));
        }
        for (int i = 0; i < D; i++) {
            double a = 0;
            for (int j = 0; j < T; j++) {
                a += p[j] / sum * in[2][(row / T * T + j) * D + i];
            }
            want[row * D + i] = (float)a;
        }
    }
    void *out = device_bytes(N * sizeof(uint16_t));
    attention_forward(stream, out, device[0], device[1], device[2], H, T, D);
    check_near(down_bf16(out, N), want, N, 5e-3);
    case_free();
}

static void optimizer(void **state) { /* the first step goes by the sign of the gradient */
    enum { N = 1000 };
    (void)state;
    adamw_rule_t rule = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 10, 1000};
    float *p = noise(N), *g = noise(N), *p_d = up(p, N), *half = zeros(N / 2);
    adamw(stream, p_d, half, zeros(N), zeros(N), up(g, N), N, rule);
    for (int i = 0; i < N; i++) {
        p[i] -= 1e-2f * (g[i] / (fabsf(g[i]) + 1e-8f) + 0.1f * p[i]);
    }
    check_near(down(p_d, N), p, N, 1e-5);
    check_near(down_bf16(half, N), p, N, 1e-2);
    case_free();
}

static double ccc_of(const float *x, const float *y, int n) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < n; i++) {
        mx += x[i] / (double)n;
        my += y[i] / (double)n;
    }
    for (int i = 0; i < n; i++) {
        xx += pow(x[i] - mx, 2) / n;
        yy += pow(y[i] - my, 2) / n;
        xy += (x[i] - mx) * (y[i] - my) / n;
    }
    return 1 - 2 * xy / (xx + yy + (mx - my) * (mx - my));
}

static void concordance(void **state) {
    enum { N = 777 };
    (void)state;
    float *x = noise(N), *y = noise(N), *loss = zeros(1), *gradient = zeros(N);
    for (int i = 0; i < N; i++) {
        x[i] = 0.5f * x[i] + 0.3f * y[i] + 0.1f;
    }
    ccc_loss(stream, loss, gradient, up(x, N), up(y, N), N);
    float want = (float)ccc_of(x, y, N), *by_differences = host_array(N), h = 1e-2f;
    for (int i = 0; i < N; i++) {
        float old = x[i];
        x[i] = old + h;
        double above = ccc_of(x, y, N);
        x[i] = old - h;
        by_differences[i] = (float)((above - ccc_of(x, y, N)) / (2 * h));
        x[i] = old;
    }
    check_near(down(loss, 1), &want, 1, 1e-5);
    check_near(down(gradient, N), by_differences, N, 1e-5);
    case_free();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layernorm),
        cmocka_unit_test(attention),
        cmocka_unit_test(optimizer),
        cmocka_unit_test(concordance),
    };
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    int failures = RUN_TESTS(tests);
    cudaStreamDestroy(stream);
    return failures;
}
