/* sim_device.h - the device side of CUDA C++ for a host compiler: one thread at a time, as a fiber.
 * .cu files include it instead of what nvcc brings along. */
#ifndef JMT_SIM_DEVICE_H
#define JMT_SIM_DEVICE_H

#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#include "sim_calls.h"

#define __launch_bounds__(...)
#undef __shared__
#define __shared__              static /* sim_shared.ld puts them together */
#define DYNAMIC_SHARED(T, name) T *name = static_cast<T *>(sim_dynamic_shared())

extern "C" const uint3 threadIdx, blockIdx;
extern "C" const dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

/* Identity of a barrier: its place in the source. Compilers duplicate calls, so return addresses
 * would not do. */
#define SIM_HERE   const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SIM_INLINE static inline __attribute__((unused))
/* The checker does not look at these by itself. */
#define SIM_RAW __attribute__((noinline, no_sanitize("thread"), unused))

/* --- barriers, shuffles, votes -------------------------------------------------------------- */

SIM_INLINE void __syncthreads(SIM_HERE) { sim_syncthreads(file, line); }
SIM_INLINE int __syncthreads_count(int p, SIM_HERE) { return sim_syncthreads_count(p, file, line); }
SIM_INLINE int __syncthreads_or(int p, SIM_HERE) {
    return sim_syncthreads_count(p, file, line) > 0;
}
SIM_INLINE int __syncthreads_and(int p, SIM_HERE) {
    return sim_syncthreads_count(!p, file, line) == 0;
}
SIM_INLINE void __syncwarp(unsigned mask = ~0u, SIM_HERE) {
    sim_warp(mask, SIM_SYNC, 0, 0, file, line);
}
SIM_INLINE void __threadfence() { sim_threadfence(); }
SIM_INLINE void __threadfence_block() {}
SIM_INLINE void __threadfence_system() { sim_threadfence(); }

SIM_INLINE int sim_lane() {
    return int((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32);
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
SIM_INLINE unsigned __ballot_sync(unsigned mask, int p, SIM_HERE) {
    return unsigned(sim_warp(mask, SIM_BALLOT, p != 0, 0, file, line));
}
SIM_INLINE int __any_sync(unsigned mask, int p, SIM_HERE) {
    return sim_warp(mask, SIM_BALLOT, p != 0, 0, file, line) != 0;
}
SIM_INLINE int __all_sync(unsigned mask, int p, SIM_HERE) {
    return sim_warp(mask, SIM_BALLOT, p == 0, 0, file, line) == 0;
}

/* --- atomics: one OS thread runs all fibers, so plain arithmetic is atomic ------------------ */

template <class T, class F> SIM_RAW static T sim_atomic(T *p, F f) {
    sim_access(p, sizeof *p, SIM_ATOMIC, __builtin_return_address(0));
    T old = *p;
    *p = f(old);
    return old;
}
template <class T> static T atomicAdd(T *p, T v) {
    return sim_atomic(p, [v](T old) { return T(old + v); });
}
template <class T> static T atomicSub(T *p, T v) {
    return sim_atomic(p, [v](T old) { return T(old - v); });
}
template <class T> static T atomicMax(T *p, T v) {
    return sim_atomic(p, [v](T old) { return old > v ? old : v; });
}
template <class T> static T atomicMin(T *p, T v) {
    return sim_atomic(p, [v](T old) { return old < v ? old : v; });
}
template <class T> static T atomicOr(T *p, T v) {
    return sim_atomic(p, [v](T old) { return T(old | v); });
}
template <class T> static T atomicAnd(T *p, T v) {
    return sim_atomic(p, [v](T old) { return T(old & v); });
}
template <class T> static T atomicExch(T *p, T v) {
    return sim_atomic(p, [v](T) { return v; });
}
template <class T> static T atomicCAS(T *p, T expected, T v) {
    return sim_atomic(p, [expected, v](T old) { return old == expected ? v : old; });
}
SIM_INLINE unsigned atomicInc(unsigned *p, unsigned most) {
    return sim_atomic(p, [most](unsigned old) { return old >= most ? 0u : old + 1; });
}

/* --- loads and stores with hints, asynchronous copies --------------------------------------- */

template <class T> static T __ldg(const T *p) { return *p; }
template <class T> static T __ldcg(const T *p) { return *p; }
template <class T> static T __ldcs(const T *p) { return *p; }
template <class T> static void __stcg(T *p, T v) { *p = v; }
template <class T> static void __stcs(T *p, T v) { *p = v; }

SIM_RAW static void __pipeline_memcpy_async(void *shared, const void *global, size_t n,
                                            size_t zero_bytes = 0) {
    sim_copy_async(shared, global, n, zero_bytes, __builtin_return_address(0));
}
SIM_INLINE void __pipeline_commit() { sim_copy_commit(); }
SIM_RAW static void __pipeline_wait_prior(size_t prior) {
    sim_copy_wait(unsigned(prior), __builtin_return_address(0));
}

/* --- arithmetic ----------------------------------------------------------------------------- */

SIM_INLINE float rsqrtf(float x) { return 1.0f / sqrtf(x); }
SIM_INLINE double rsqrt(double x) { return 1.0 / sqrt(x); }
#define __expf(x)    expf(x) /* glibc has names of its own like these */
#define __logf(x)    logf(x)
#define __powf(x, y) powf(x, y)
SIM_INLINE float __fdividef(float a, float b) { return a / b; }
SIM_INLINE float __frcp_rn(float x) { return 1.0f / x; }
SIM_INLINE float __fsqrt_rn(float x) { return sqrtf(x); }
SIM_INLINE float __fdiv_rn(float a, float b) { return a / b; }
SIM_INLINE float __fmul_rn(float a, float b) { return a * b; }
SIM_INLINE float __fadd_rn(float a, float b) { return a + b; }
SIM_INLINE float __fsub_rn(float a, float b) { return a - b; }
SIM_INLINE float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
SIM_INLINE double __dmul_rn(double a, double b) { return a * b; }
SIM_INLINE double __dadd_rn(double a, double b) { return a + b; }
SIM_INLINE float __saturatef(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
SIM_INLINE int __float2int_rn(float x) { return int(rintf(x)); }
SIM_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
SIM_INLINE int __clz(int x) { return x == 0 ? 32 : __builtin_clz(unsigned(x)); }
SIM_INLINE int __ffs(int x) { return __builtin_ffs(x); }
SIM_INLINE unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++) {
        y |= (x >> i & 1) << (31 - i);
    }
    return y;
}
SIM_INLINE unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
SIM_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    __extension__ typedef unsigned __int128 wide;
    return (unsigned long long)(wide(a) * b >> 64);
}
template <class To, class From> static To sim_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
SIM_INLINE int __float_as_int(float x) { return sim_bits<int>(x); }
SIM_INLINE float __int_as_float(int x) { return sim_bits<float>(x); }
SIM_INLINE unsigned __float_as_uint(float x) { return sim_bits<unsigned>(x); }
SIM_INLINE float __uint_as_float(unsigned x) { return sim_bits<float>(x); }
SIM_INLINE long long __double_as_longlong(double x) { return sim_bits<long long>(x); }
SIM_INLINE double __longlong_as_double(long long x) { return sim_bits<double>(x); }
template <class T> static T min(T a, T b) { return b < a ? b : a; }
template <class T> static T max(T a, T b) { return a < b ? b : a; }

/* --- launches ------------------------------------------------------------------------------- */

/* Arguments are converted to the kernel's parameter types and copied at once. */
template <class... P> struct sim_bound {
    void (*kernel)(P...);
    std::tuple<P...> args;
    static void call(void *p) {
        auto *bound = static_cast<sim_bound *>(p);
        std::apply(bound->kernel, bound->args);
    }
    static void drop(void *p) { delete static_cast<sim_bound *>(p); }
};
template <class... P, class... A>
static void sim_launch_kernel(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                              size_t shared_bytes, cudaStream_t stream, A &&...args) {
    static_assert(sizeof(std::tuple<P...>) <= 4096, "kernel parameters fill at most 4 KiB");
    using bound = sim_bound<P...>;
    sim_launch(name, reinterpret_cast<const void *>(kernel), bound::call, bound::drop,
               new bound{kernel, std::tuple<P...>(static_cast<P>(std::forward<A>(args))...)},
               sizeof(bound), grid, block, shared_bytes, stream);
}
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                     \
    sim_launch_kernel(#kernel, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)

/* The runtime's template of the same name takes the kernel itself. */
template <class... P>
static cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute name, int value) {
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), name, value);
}

#endif
