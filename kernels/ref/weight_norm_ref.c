/* Weight normalisation (Salimans and Kingma, 2016) by output: no epsilon, as in PyTorch. */
#include "kernels/ref/real.h"

void REAL(weight_norm)(const weight_norm_t *norm, const real_t *v, const real_t *g, real_t *w) {
    int64_t width = norm->in * norm->taps, met = norm->taps_end - norm->taps_begin;
    for (int64_t o = 0; o < norm->out; o++) {
        const real_t *from = v + o * width;
        real_t *to = w + o * norm->in * met;
        real_t scale = (real_t)((double)g[o] / sqrt(lanes_dot(from, from, width)));
        for (int64_t i = 0; met == norm->taps && i < width; i++) {
            to[i] = scale * from[i];
        }
        for (int64_t i = 0; met < norm->taps && i < norm->in; i++) {
            for (int64_t j = 0; j < met; j++) {
                to[i * met + j] = scale * from[i * norm->taps + norm->taps_begin + j];
            }
        }
    }
}

/* The gradient of a row of W, with 0 for the taps that are not in it. */
static void spread(const weight_norm_t *norm, const real_t *d_w, real_t *d_v) {
    int64_t met = norm->taps_end - norm->taps_begin;
    if (met == norm->taps) {
        copy_row(d_v, d_w, norm->in * met);
        return;
    }
    memset(d_v, 0, (size_t)(norm->in * norm->taps) * sizeof(real_t));
    for (int64_t i = 0; i < norm->in; i++) {
        for (int64_t j = 0; j < met; j++) {
            d_v[i * norm->taps + norm->taps_begin + j] = d_w[i * met + j];
        }
    }
}

/* dg = dW.v / |v|; dv = g / |v| (dW - v dW.v / |v|^2) */
void REAL(weight_norm_backward)(const weight_norm_t *norm, const real_t *v, const real_t *g,
                                const real_t *d_w, real_t *d_v, real_t *d_g) {
    int64_t width = norm->in * norm->taps, met = norm->taps_end - norm->taps_begin;
    for (int64_t o = 0; o < norm->out; o++) {
        const real_t *from = v + o * width;
        real_t *to = d_v + o * width;
        spread(norm, d_w + o * norm->in * met, to);
        double square = lanes_dot(from, from, width), along = lanes_dot(to, from, width);
        real_t scale = (real_t)((double)g[o] / sqrt(square)), part = (real_t)(along / square);
        d_g[o] = (real_t)(along / sqrt(square));
        for (int64_t i = 0; i < width; i++) {
            to[i] = scale * (to[i] - part * from[i]);
        }
    }
}
