#include "kernels/cuda/elementwise.cuh"

namespace {

/* Written so that a NaN passes: all_finite() has to see it. */
struct relu_function {
    static __device__ __forceinline__ float value(float x) { return x <= 0.0f ? 0.0f : x; }
    static __device__ __forceinline__ float gradient(float y, float dy) {
        return y > 0.0f ? dy : 0.0f;
    }
};

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    return element_plan(description, plan_out, needs_out);
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    element_forward<T, relu_function>(plan, call);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    element_backward_data<T, relu_function>(plan, call);
}

} // namespace

CUDA_OP(relu)
