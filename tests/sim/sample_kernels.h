/* What the trainer sees: plain C launchers. */
#pragma once
#include <cuda_runtime_api.h>
#ifdef __cplusplus
extern "C" {
#endif
void layernorm_forward(cudaStream_t s, float *y, float *mean, float *rstd, const float *x,
                       const float *w, const float *b, int rows, int cols);
void layernorm_backward(cudaStream_t s, float *dx, float *dw, float *db, const float *dy,
                        const float *x, const float *w, const float *mean, const float *rstd,
                        int rows, int cols);
void attention_forward(cudaStream_t s, void *out_bf16, const void *q_bf16, const void *k_bf16,
                       const void *v_bf16, int heads, int t, int d);
void adamw(cudaStream_t s, float *p, void *p_bf16, float *m, float *v, const float *g, long n,
           float lr, float b1, float b2, float eps, float wd, int step);
void ccc_loss(cudaStream_t s, float *loss, float *grad, const float *pred, const float *gold,
              int n);
void fill(cudaStream_t s, float *p, float value, long n);
void scale(cudaStream_t s, float *y, const float *x, float a, long n);
void last_block_sum(cudaStream_t s, float *out, float *part, unsigned *count, int fence);
/* planted faults */
void bad_missing_barrier(cudaStream_t s, float *out, const float *in, int n);
void bad_divergent(cudaStream_t s, float *out, int n);
void bad_divergent_shuffle(cudaStream_t s, float *out, int n);
void bad_global_index(cudaStream_t s, float *out, int n);
void bad_shared_index(cudaStream_t s, float *out, int n);
void bad_dynamic_shared(cudaStream_t s, float *out, int n);
void bad_block_race(cudaStream_t s, float *out, int n);
void bad_uninitialised(cudaStream_t s, float *out, const float *in, int n);
void bad_host_pointer(cudaStream_t s, float *out, const float *in, int n);
void bad_overflow(cudaStream_t s, int *out, int x);
#ifdef __cplusplus
}
#endif
