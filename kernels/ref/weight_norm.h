/* weight_norm.h - weight normalisation (Salimans and Kingma, 2016) by output: no epsilon, as in
 * PyTorch. W[o] = g[o] v[o] / |v[o]|; v and W are [out, width]. */
#ifndef JMT_KERNELS_REF_WEIGHT_NORM_H
#define JMT_KERNELS_REF_WEIGHT_NORM_H

#include "kernels/ref/real.h"

/* g / |v| */
static inline real_t weight_norm_scale(const real_t *v, real_t g, int64_t width) {
    return (real_t)((double)g / sqrt(lanes_dot(v, v, width)));
}

/* dg = dW.v / |v|; dv = g / |v| (dW - v dW.v / |v|^2), and d_v comes with dW in it. */
static inline void weight_norm_gradient(int64_t out, int64_t width, const real_t *v,
                                        const real_t *g, real_t *d_v, real_t *d_g) {
    for (int64_t o = 0; o < out; o++) {
        const real_t *from = v + o * width;
        real_t *to = d_v + o * width;
        double square = lanes_dot(from, from, width), along = lanes_dot(to, from, width);
        real_t scale = (real_t)((double)g[o] / sqrt(square)), part = (real_t)(along / square);
        d_g[o] = (real_t)(along / sqrt(square));
        for (int64_t i = 0; i < width; i++) {
            to[i] = scale * (to[i] - part * from[i]);
        }
    }
}

#endif
