/* add_table.cuh - row r plus row r % period of a table [period, cols] of floats. */
#ifndef JMT_KERNELS_CUDA_ADD_TABLE_CUH
#define JMT_KERNELS_CUDA_ADD_TABLE_CUH

#include "kernels/cuda/kernel.cuh"

template <class T> struct add_table_op {
    view<T> in, out;
    const float *table;
    int64_t period, cols;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        float x[CHUNK<T>], added[CHUNK<T>];
        load<T, WIDE>(in.at(shard, row) + col, left, x);
        load_floats<T, WIDE>(table + row % period * cols + col, left, added);
        for (int k = 0; k < CHUNK<T>; k++) {
            x[k] += added[k];
        }
        store<T, WIDE>(out.at(shard, row) + col, left, x);
    }
};

template <class T>
static void launch_add_table(const op_plan_t *plan, const op_call_t *call, const float *table) {
    const op_description_t *d = &plan->description;
    const add_table_op<T> op = {view_of<T>(call->in[0]), view_of<T>(call->out), table,
                                d->attributes.period, d->out.cols};
    const bool wide = is_wide<T>(call->in[0]) && is_wide<T>(call->out) && is_wide_flat(table) &&
                      d->out.cols % 4 == 0;
    launch_rows<T>(plan, call, op, wide, d->out.rows, d->out.cols);
}

#endif
