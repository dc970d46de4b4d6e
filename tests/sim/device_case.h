/* device_case.h - arrays on the simulated GPU for its tests; freed all at once. */
#ifndef JMT_TEST_DEVICE_CASE_H
#define JMT_TEST_DEVICE_CASE_H

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

enum { CASE_ARRAYS = 64 };

static void *case_device[CASE_ARRAYS], *case_host[CASE_ARRAYS];
static int case_device_count, case_host_count;

static inline float *host_array(int64_t n) {
    REQUIRE(case_host_count < CASE_ARRAYS);
    return case_host[case_host_count++] = alloc_zero(n, sizeof(float));
}

static inline float *noise(int64_t n) { /* -1 .. 1 */
    static uint64_t salt;
    rng_key_t key = {7, ++salt, 0};
    float *p = host_array(n);
    for (int64_t i = 0; i < n; i++) {
        p[i] = (float)rng_u32(key, (uint64_t)i) * 0x1p-31f - 1.0f;
    }
    return p;
}

static inline void *device_bytes(size_t bytes) {
    void *p = NULL;
    REQUIRE(case_device_count < CASE_ARRAYS);
    REQUIRE(cudaMalloc(&p, bytes) == cudaSuccess);
    return case_device[case_device_count++] = p;
}

static inline float *up(const float *host, int64_t n) {
    float *p = device_bytes((size_t)n * sizeof *p);
    cudaMemcpy(p, host, (size_t)n * sizeof *p, cudaMemcpyHostToDevice);
    return p;
}

static inline float *zeros(int64_t n) { return up(host_array(n), n); }

static inline float *down(const float *device, int64_t n) {
    float *p = host_array(n);
    cudaDeviceSynchronize();
    cudaMemcpy(p, device, (size_t)n * sizeof *p, cudaMemcpyDeviceToHost);
    return p;
}

static inline uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float from_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline void *up_bf16(const float *host, int64_t n) {
    uint16_t *halves = alloc_zero(n, sizeof *halves);
    for (int64_t i = 0; i < n; i++) {
        halves[i] = to_bf16(host[i]);
    }
    void *p = device_bytes((size_t)n * sizeof *halves);
    cudaMemcpy(p, halves, (size_t)n * sizeof *halves, cudaMemcpyHostToDevice);
    free(halves);
    return p;
}

static inline float *down_bf16(const void *device, int64_t n) {
    uint16_t *halves = alloc_zero(n, sizeof *halves);
    float *p = host_array(n);
    cudaDeviceSynchronize();
    cudaMemcpy(halves, device, (size_t)n * sizeof *halves, cudaMemcpyDeviceToHost);
    for (int64_t i = 0; i < n; i++) {
        p[i] = from_bf16(halves[i]);
    }
    free(halves);
    return p;
}

static inline void check_near(const float *got, const float *want, int64_t n, double most) {
    for (int64_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - want[i]) <= most)) {
            fail_msg("element %lld: %g instead of %g", (long long)i, (double)got[i],
                     (double)want[i]);
        }
    }
}

static inline void case_free(void) {
    cudaDeviceSynchronize();
    while (case_device_count > 0) {
        cudaFree(case_device[--case_device_count]);
    }
    while (case_host_count > 0) {
        free(case_host[--case_host_count]);
    }
}

#endif
