/* The device side of CUDA C++ for a host compiler: one thread at a time, as a fiber. */
#pragma once
#include "simgpu.h"
#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#define __launch_bounds__(...)
#undef __shared__
#define __shared__              static __attribute__((section("simgpu_shared")))
#define DYNAMIC_SHARED(T, name) T *name = static_cast<T *>(sim_dynamic_shared())

extern "C" const uint3 threadIdx, blockIdx;
extern "C" const dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

#define SIM_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
static inline void __syncthreads(SIM_HERE) { sim_syncthreads(file, line); }
static inline int __syncthreads_count(int p, SIM_HERE) {
    return sim_syncthreads_count(p, file, line);
}
static inline int __syncthreads_or(int p, SIM_HERE) {
    return sim_syncthreads_count(p, file, line) > 0;
}
static inline int __syncthreads_and(int p, SIM_HERE) {
    return sim_syncthreads_count(!p, file, line) == 0;
}
static inline void __syncwarp(unsigned mask = ~0u, SIM_HERE) {
    sim_warp(mask, SIM_SYNC, 0, 0, file, line);
}
static inline void __threadfence() { sim_threadfence(); }
static inline void __threadfence_block() {}

static inline int sim_lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}
template <class T>
static T sim_shuffle(unsigned mask, T v, int source, const char *file, int line) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &v, sizeof v);
    bits = sim_warp(mask, SIM_SHUFFLE, bits, source, file, line);
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
}
template <class T> static T __shfl_sync(unsigned mask, T v, int from, int width = 32, SIM_HERE) {
    int lane = sim_lane();
    return sim_shuffle(mask, v, lane / width * width + (from & (width - 1)), file, line);
}
template <class T>
static T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, SIM_HERE) {
    int lane = sim_lane(), from = lane ^ bits;
    return sim_shuffle(mask, v, from / width > lane / width ? lane : from, file, line);
}
template <class T>
static T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, SIM_HERE) {
    int lane = sim_lane(), from = lane + int(by);
    return sim_shuffle(mask, v, from / width != lane / width ? lane : from, file, line);
}
template <class T>
static T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, SIM_HERE) {
    int lane = sim_lane(), from = lane - int(by);
    return sim_shuffle(mask, v, from < lane / width * width ? lane : from, file, line);
}
static inline unsigned __ballot_sync(unsigned mask, int p, SIM_HERE) {
    return unsigned(sim_warp(mask, SIM_BALLOT, p != 0, 0, file, line));
}
static inline int __any_sync(unsigned mask, int p, SIM_HERE) {
    return sim_warp(mask, SIM_BALLOT, p != 0, 0, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int p, SIM_HERE) {
    return sim_warp(mask, SIM_BALLOT, p != 0, 0, file, line) == mask;
}

/* One OS thread runs all fibers, so plain arithmetic is atomic; the checker must know. */
#define SIM_RAW __attribute__((noinline, no_sanitize("thread")))
template <class T, class F> SIM_RAW static T sim_atomic(T *p, F f) {
    sim_access(p, sizeof *p, SIM_ATOMIC, __builtin_return_address(0));
    T old = *p;
    *p = f(old);
    return old;
}
template <class T> static T atomicAdd(T *p, T v) {
    return sim_atomic(p, [v](T o) { return T(o + v); });
}
template <class T> static T atomicMax(T *p, T v) {
    return sim_atomic(p, [v](T o) { return o > v ? o : v; });
}
template <class T> static T atomicMin(T *p, T v) {
    return sim_atomic(p, [v](T o) { return o < v ? o : v; });
}
template <class T> static T atomicExch(T *p, T v) {
    return sim_atomic(p, [v](T) { return v; });
}
template <class T> static T atomicCAS(T *p, T c, T v) {
    return sim_atomic(p, [c, v](T o) { return o == c ? v : o; });
}

template <class T> static T __ldg(const T *p) { return *p; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
#define __expf(x)    expf(x) /* glibc has names of its own like these */
#define __logf(x)    logf(x)
#define __powf(x, y) powf(x, y)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __float_as_int(float x) {
    int i;
    std::memcpy(&i, &x, 4);
    return i;
}
static inline float __int_as_float(int i) {
    float x;
    std::memcpy(&x, &i, 4);
    return x;
}
template <class T> static T min(T a, T b) { return b < a ? b : a; }
template <class T> static T max(T a, T b) { return a < b ? b : a; }

/* LAUNCH: arguments are converted to the kernel's parameter types and copied at once. */
template <class... P> struct sim_call {
    void (*kernel)(P...);
    std::tuple<P...> args;
    static void call(void *p) {
        auto *c = static_cast<sim_call *>(p);
        std::apply(c->kernel, c->args);
    }
    static void drop(void *p) { delete static_cast<sim_call *>(p); }
};
template <class... P, class... A>
static void sim_launch_kernel(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                              size_t smem, cudaStream_t stream, A &&...args) {
    static_assert(sizeof(std::tuple<P...>) <= 4096, "kernel parameters fill at most 4 KiB");
    using call = sim_call<P...>;
    sim_launch(name, reinterpret_cast<const void *>(kernel), call::call, call::drop,
               new call{kernel, std::tuple<P...>(static_cast<P>(std::forward<A>(args))...)},
               sizeof(call), grid, block, smem, stream);
}
#define LAUNCH(kernel, grid, block, smem, stream, ...)                                             \
    sim_launch_kernel(#kernel, kernel, grid, block, smem, stream, __VA_ARGS__)
