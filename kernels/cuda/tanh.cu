#include "kernels/cuda/elementwise.cuh"

namespace {

struct tanh_function {
    static __device__ __forceinline__ float value(float x) { return tanhf(x); }
    static __device__ __forceinline__ float gradient(float y, float dy) {
        return dy * (1.0f - y * y);
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    return element_plan(description, plan_out, needs_out);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    element_forward<T, tanh_function>(plan, call);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    element_backward_data<T, tanh_function>(plan, call);
}

} // namespace

CUDA_OP(tanh)
