/* sample_kernels.h - kernels as a trainer has them, that the simulator's own tests run. */
#ifndef JMT_TEST_SAMPLE_KERNELS_H
#define JMT_TEST_SAMPLE_KERNELS_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y = (x - mean) / deviation * w + b by row; mean and rstd: [rows]. */
void layernorm_forward(cudaStream_t stream, float *y, float *mean, float *rstd, const float *x,
                       const float *w, const float *b, int rows, int cols);
/* dw and db are added to. */
void layernorm_backward(cudaStream_t stream, float *dx, float *dw, float *db, const float *dy,
                        const float *x, const float *w, const float *mean, const float *rstd,
                        int rows, int cols);
/* [heads][t][d] each, bf16. */
void attention_forward(cudaStream_t stream, void *out, const void *q, const void *k, const void *v,
                       int heads, int t, int d);

typedef struct adamw_rule {
    float rate, beta1, beta2, epsilon, decay;
    float correction1, correction2; /* 1 / (1 - beta^step) */
} adamw_rule_t;
/* n: a multiple of 4; half: the new weights as bf16. */
void adamw(cudaStream_t stream, float *weights, void *half, float *m, float *v, const float *g,
           long n, adamw_rule_t rule);

/* 1 - concordance correlation, and its gradient by the prediction. */
void ccc_loss(cudaStream_t stream, float *loss, float *gradient, const float *prediction,
              const float *gold, int n);

void fill(cudaStream_t stream, float *out, float value, long n);
void scale(cudaStream_t stream, float *out, const float *in, float factor, long n);

#ifdef __cplusplus
}
#endif

#endif
