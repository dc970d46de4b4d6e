/* The sinusoidal encoding of positions 0..period-1, computed once on the host, in double. */
#include "kernels/cuda/add_table.cuh"
#include "kernels/cuda/copy_rows.cuh"

namespace {

struct waves_plan {
    op_plan_t base; /* first */
    float *table;   /* [period, cols], of the device */
};

status_t make_table(waves_plan *waves, int64_t period, int64_t cols) {
    const device_t *device = waves->base.description.device;
    const size_t bytes = static_cast<size_t>(period * cols) * sizeof(float);
    void *table = nullptr;
    TRY(device->alloc(device, bytes, "sinusoidal positions", &table));
    float *values = static_cast<float *>(alloc_zero(period * cols, sizeof(float)));
    for (int64_t t = 0; t < period; t++) {
        for (int64_t c = 0; c < cols; c++) {
            const double even = static_cast<double>(c / 2 * 2) / static_cast<double>(cols);
            const double angle = static_cast<double>(t) * pow(10000.0, -even);
            const double wave = c % 2 == 0 ? sin(angle) : cos(angle);
            values[t * cols + c] = static_cast<float>(wave / sqrt(static_cast<double>(cols)));
        }
    }
    device->copy_in(device, table, values, bytes);
    free(values);
    waves->table = static_cast<float *>(table);
    return STATUS_OK;
}

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const int64_t period = description->attributes.period;
    REQUIRE(description->input_count == 1 && all_rows_alike(description));
    REQUIRE(period > 0 && description->out.rows % period == 0);
    waves_plan *waves = static_cast<waves_plan *>(cuda_plan_open(description, sizeof(waves_plan)));
    const status_t status = make_table(waves, period, description->out.cols);
    if (status != STATUS_OK) {
        free(waves);
        return status;
    }
    *needs_out = op_needs_t{};
    *plan_out = &waves->base;
    return STATUS_OK;
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    launch_add_table<T>(plan, call, reinterpret_cast<const waves_plan *>(plan)->table);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    launch_copy_rows<T>(plan, call, call->d_out, call->d_in, 1, mask_t{}, shape->rows, shape->cols);
}

} // namespace

extern "C" void add_waves_plan_close_cuda(op_plan_t *plan) {
    if (plan != nullptr) {
        const device_t *device = plan->description.device;
        device->release(device, reinterpret_cast<waves_plan *>(plan)->table);
        free(plan);
    }
}

CUDA_OP(add_waves)
