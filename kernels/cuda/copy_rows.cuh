/* copy_rows.cuh - rows as they are, or as 0 where a mask says so, to one place or to several. */
#ifndef JMT_KERNELS_CUDA_COPY_ROWS_CUH
#define JMT_KERNELS_CUDA_COPY_ROWS_CUH

#include "kernels/cuda/kernel.cuh"

template <class T> struct copy_rows_op {
    view<T> from;
    int count;
    view<T> to[OP_INPUTS_MAX];
    mask_t mask; /* rows masked out are 0 */

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float x[CHUNK<T>] = {0};
        if (valid(mask, shard, row)) {
            load<T, WIDE>(from.at(shard, row) + col, left, x);
        }
        for (int i = 0; i < count; i++) {
            store<T, WIDE>(to[i].at(shard, row) + col, left, x);
        }
    }
};

static inline bool is_same_place(const matrix_t &a, const matrix_t &b) {
    return a.data == b.data && a.row_stride == b.row_stride;
}

/* To each of `to` that is present and elsewhere. */
template <class T>
static void launch_copy_rows(const op_plan_t *plan, const op_call_t *call, const matrix_t &from,
                             const matrix_t *to, int count, mask_t mask, int64_t rows,
                             int64_t cols) {
    copy_rows_op<T> op = {};
    op.from = view_of<T>(from);
    op.mask = mask;
    bool wide = is_wide<T>(from);
    for (int i = 0; i < count; i++) {
        if (to[i].data != nullptr && (mask.data != nullptr || !is_same_place(to[i], from))) {
            op.to[op.count++] = view_of<T>(to[i]);
            wide = wide && is_wide<T>(to[i]);
        }
    }
    if (op.count > 0) {
        launch_rows<T>(plan, call, op, wide, rows, cols);
    }
}

#endif
