/* Clips of pictures from bytes: a block for each picture, a thread for every 128th of its places.
 * What lies between is computed again where it is needed, as bytes are read faster than floats. Is
 * compiled without contraction, as the host's. */
#include "kernels/cuda/kernel.cuh"

namespace {

/* The same in all threads. */
__device__ float mean_grey(const picture_t &picture, bool jitters, double *sums) {
    __syncthreads(); /* who reads the last one's */
    sums[threadIdx.x] = picture_lane_grey(&picture, threadIdx.x, jitters);
    for (unsigned half = PICTURE_LANES / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) {
            sums[threadIdx.x] += sums[threadIdx.x + half];
        }
    }
    __syncthreads();
    return static_cast<float>(sums[0] / static_cast<double>(picture.size * picture.size));
}

template <class T>
__global__ void __launch_bounds__(PICTURE_LANES) make_pictures(pictures_call_t call) {
    __shared__ double sums[PICTURE_LANES];
    const int64_t index = blockIdx.x, token = index / call.clip;
    const int64_t side = call.size * call.times, pixels = side * side;
    T *out = static_cast<T *>(call.out) + index * pixels * PICTURE_COLOURS;
    const bool is_there = call.mask[token] != 0;
    picture_t picture = {};
    if (is_there) {
        picture.bytes = call.bytes + index * call.size * call.size * PICTURE_COLOURS;
        picture.size = call.size;
        picture.change = call.changes[token];
        picture.mean = picture.change.colours ? mean_grey(picture, false, sums) : 0.0f;
        picture.jitter_mean = picture.change.jittered ? mean_grey(picture, true, sums) : 0.0f;
    }
    for (int64_t i = threadIdx.x; i < pixels; i += PICTURE_LANES) {
        float rgb[PICTURE_COLOURS] = {0.0f, 0.0f, 0.0f};
        if (is_there) {
            picture_enlarged(&picture, call.scale, call.times, i / side, i % side, rgb);
        }
        for (int c = 0; c < PICTURE_COLOURS; c++) {
            narrow(out + i * PICTURE_COLOURS + c, rgb[c]);
        }
    }
}

} // namespace

extern "C" void pictures_cuda(const pictures_call_t *call) {
    const int64_t pictures = call->tokens * call->clip;
    cudaStream_t stream = cuda_context_of(call->device)->stream;
    REQUIRE(pictures < INT32_MAX);
    if (pictures == 0) {
        return;
    }
    if (call->dtype == DTYPE_BF16) {
        LAUNCH((make_pictures<bf16>), static_cast<unsigned>(pictures), PICTURE_LANES, 0, stream,
               *call);
    } else {
        LAUNCH((make_pictures<float>), static_cast<unsigned>(pictures), PICTURE_LANES, 0, stream,
               *call);
    }
    CUDA_REQUIRE(cudaGetLastError());
}
