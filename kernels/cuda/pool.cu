/* Pooling over a grid: a thread for each chunk of columns of a row of the result, and in the
 * backward of a row of the input, which asks the windows that may have read it in their order. */
#include <limits.h>

#include "kernels/cuda/kernel.cuh"

namespace {

/* What a window reads of one axis: begin, begin + step ... Axes and windows are counted by int, for
 * the registers that their divisions take. */
struct span_t {
    int begin, count, step;
};

struct pool_shape {
    pool_rule_t rule;
    op_axis_t axis[OP_AXES];
    mask_t mask;
};

__device__ __forceinline__ span_t span_of(const op_axis_t &axis, int64_t o, bool adaptive) {
    if (adaptive) {
        const int64_t begin = o * axis.in / axis.out;
        const int64_t end = ((o + 1) * axis.in + axis.out - 1) / axis.out;
        return span_t{static_cast<int>(begin), static_cast<int>(end - begin), 1};
    }
    return span_t{static_cast<int>(o * axis.stride - axis.before), static_cast<int>(axis.size),
                  static_cast<int>(axis.dilation)};
}

struct places_t {
    span_t span[OP_AXES];
    int64_t origin; /* the grid's first row */
    int taps;
};

__device__ __forceinline__ places_t places_of(const pool_shape &p, int64_t row) {
    places_t places;
    places.taps = 1;
#pragma unroll
    for (int i = OP_AXES - 1; i >= 0; i--) {
        places.span[i] = span_of(p.axis[i], row % p.axis[i].out, p.rule == POOL_ADAPTIVE);
        places.taps *= places.span[i].count;
        row /= p.axis[i].out;
    }
    places.origin = row * p.axis[0].in * p.axis[1].in * p.axis[2].in;
    return places;
}

/* The row that a tap reads; -1: it is outside, or masked out. */
__device__ __forceinline__ int64_t source_of(const pool_shape &p, const places_t &places, int shard,
                                             int tap) {
    int64_t source = places.origin, step = 1;
#pragma unroll
    for (int i = OP_AXES - 1; i >= 0; i--) {
        const span_t &span = places.span[i];
        const int at = span.begin + tap % span.count * span.step;
        if (at < 0 || at >= p.axis[i].in) {
            return -1;
        }
        source += at * step;
        step *= p.axis[i].in;
        tap /= span.count;
    }
    return valid(p.mask, shard, source) ? source : -1;
}

/* What the sum of a window is divided by, at least 1. */
__device__ __forceinline__ float divisor_of(const pool_shape &p, const places_t &places,
                                            int shard) {
    int inside = 0;
    for (int tap = 0; tap < places.taps; tap++) {
        inside += source_of(p, places, shard, tap) >= 0 ? 1 : 0;
    }
    const int all = p.rule == POOL_AVERAGE && inside > 0 ? places.taps : inside;
    return static_cast<float>(all > 0 ? all : 1);
}

template <class T> struct pool_op {
    pool_shape p;
    view<T> in, out;
    float *saved; /* where each column's largest was found: a tap's number, -1 for none; or NULL */
    int64_t saved_stride, cols;

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        const places_t places = places_of(p, row);
        float y[CHUNK<T>] = {0}, x[CHUNK<T>], found[CHUNK<T>];
        bool any = false;
        for (int k = 0; k < CHUNK<T>; k++) {
            found[k] = -1.0f;
        }
        for (int tap = 0; tap < places.taps; tap++) {
            const int64_t source = source_of(p, places, shard, tap);
            if (source < 0) {
                continue;
            }
            load<T, WIDE>(in.at(shard, source) + col, left, x);
            for (int k = 0; k < CHUNK<T>; k++) {
                if (p.rule != POOL_MAX) {
                    y[k] += x[k];
                } else if (!any || x[k] > y[k] || isnan(x[k])) { /* all_finite() has to see it */
                    y[k] = x[k];
                    found[k] = static_cast<float>(tap);
                }
            }
            any = true;
        }
        if (p.rule != POOL_MAX) {
            const float divisor = divisor_of(p, places, shard);
            for (int k = 0; k < CHUNK<T>; k++) {
                y[k] /= divisor;
            }
        }
        store<T, WIDE>(out.at(shard, row) + col, left, y);
        if (saved != nullptr) {
            float *to = saved + shard * saved_stride + row * cols + col;
            for (int k = 0; k < CHUNK<T> && k < left; k++) {
                to[k] = found[k];
            }
        }
    }
};

/* Windows of an axis that may have read place `at`: [begin, end). */
struct readers_t {
    int begin, end;
};

__device__ __forceinline__ readers_t readers_of(const op_axis_t &axis, int at, bool adaptive) {
    int64_t begin, end;
    if (adaptive) {
        begin = at * axis.out / axis.in;
        end = ((at + 1) * axis.out + axis.in - 1) / axis.in;
        begin = begin > 0 ? begin - 1 : 0;
        end = end + 1;
    } else {
        const int64_t reach = (axis.size - 1) * axis.dilation, first = at + axis.before - reach;
        begin = first > 0 ? (first + axis.stride - 1) / axis.stride : 0;
        end = (at + axis.before) / axis.stride + 1;
    }
    return readers_t{static_cast<int>(begin), static_cast<int>(end < axis.out ? end : axis.out)};
}

/* The tap of window o that reads `at`; -1: none. */
__device__ __forceinline__ int tap_of(const span_t &span, int at) {
    const int from = at - span.begin;
    if (from < 0 || from % span.step != 0) {
        return -1;
    }
    return from / span.step < span.count ? from / span.step : -1;
}

template <class T> struct pool_backward_op {
    pool_shape p;
    view<T> d_out, d_in;
    const float *saved;
    int64_t saved_stride, cols;

    /* What the window whose row this is gives. */
    template <bool WIDE>
    __device__ __forceinline__ void add(const places_t &places, int shard, int64_t out_row, int tap,
                                        int64_t col, int64_t left, float *dx) const {
        const bool largest = p.rule == POOL_MAX;
        const float divisor = largest ? 1.0f : divisor_of(p, places, shard);
        float dy[CHUNK<T>];
        load<T, WIDE>(d_out.at(shard, out_row) + col, left, dy);
        if (largest) {
            const float *found = saved + shard * saved_stride + out_row * cols + col;
            for (int k = 0; k < CHUNK<T>; k++) {
                dx[k] += k < left && found[k] == static_cast<float>(tap) ? dy[k] : 0.0f;
            }
            return;
        }
        for (int k = 0; k < CHUNK<T>; k++) {
            dx[k] += dy[k] / divisor;
        }
    }

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        const bool adaptive = p.rule == POOL_ADAPTIVE;
        float dx[CHUNK<T>] = {0};
        int64_t rest = row;
        int at[OP_AXES];
        readers_t r[OP_AXES];
#pragma unroll
        for (int i = OP_AXES - 1; i >= 0; i--) {
            at[i] = static_cast<int>(rest % p.axis[i].in);
            rest /= p.axis[i].in;
            r[i] = readers_of(p.axis[i], at[i], adaptive);
        }
        places_t places;
        places.origin = rest * p.axis[0].in * p.axis[1].in * p.axis[2].in;
        const bool use = valid(p.mask, shard, row);
        for (int a = r[0].begin; a < r[0].end && use; a++) {
            places.span[0] = span_of(p.axis[0], a, adaptive);
            const int tap0 = tap_of(places.span[0], at[0]);
            for (int b = r[1].begin; b < r[1].end && tap0 >= 0; b++) {
                places.span[1] = span_of(p.axis[1], b, adaptive);
                const int tap1 = tap_of(places.span[1], at[1]);
                for (int c = r[2].begin; c < r[2].end && tap1 >= 0; c++) {
                    places.span[2] = span_of(p.axis[2], c, adaptive);
                    const int tap2 = tap_of(places.span[2], at[2]);
                    if (tap2 >= 0) {
                        const int64_t out_row =
                            ((rest * p.axis[0].out + a) * p.axis[1].out + b) * p.axis[2].out + c;
                        const int below = places.span[1].count * places.span[2].count;
                        const int tap = tap0 * below + tap1 * places.span[2].count + tap2;
                        places.taps = places.span[0].count * below;
                        add<WIDE>(places, shard, out_row, tap, col, left, dx);
                    }
                }
            }
        }
        store<T, WIDE>(d_in.at(shard, row) + col, left, dx);
    }
};

bool grid_fits(const op_description_t *d) {
    const op_axis_t *axis = d->attributes.axis;
    const bool adaptive = d->attributes.pool_rule == POOL_ADAPTIVE;
    int64_t in = 1, out = 1, taps = 1;
    bool fits = true;
    for (int a = 0; a < OP_AXES; a++) {
        in *= axis[a].in;
        out *= axis[a].out;
        /* of ints: a window reaches no further than out strides and size dilations */
        const int64_t reach = axis[a].out * axis[a].stride + axis[a].size * axis[a].dilation;
        taps *= adaptive ? axis[a].in : axis[a].size;
        fits = fits && axis[a].in < INT_MAX && axis[a].out < INT_MAX && taps < INT_MAX &&
               (adaptive || reach < INT_MAX);
        fits = fits && axis[a].in > 0 && axis[a].out > 0;
        fits = fits && (adaptive || (axis[a].size > 0 && axis[a].stride > 0 &&
                                     axis[a].dilation > 0 && axis[a].before >= 0));
    }
    return fits && d->in[0].rows % in == 0 && d->in[0].rows / in * out == d->out.rows;
}

template <class T>
status_t plan(const op_description_t *description, op_plan_t **plan_out, op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    REQUIRE(description->input_count == 1 && in->cols == out->cols && grid_fits(description));
    TRY(plain_plan(description, plan_out, needs_out));
    const bool largest = description->attributes.pool_rule == POOL_MAX;
    needs_out->saved_count = largest ? out->rows * out->cols : 0;
    return STATUS_OK;
}

pool_shape shape_of(const op_plan_t *plan, const op_call_t *call) {
    pool_shape p = {};
    p.rule = plan->description.attributes.pool_rule;
    memcpy(p.axis, plan->description.attributes.axis, sizeof p.axis);
    p.mask = call->mask;
    return p;
}

float *found_of(const op_plan_t *plan, const op_call_t *call) {
    const bool largest = plan->description.attributes.pool_rule == POOL_MAX;
    return largest ? static_cast<float *>(call->saved) : nullptr;
}

template <class T> void forward(const op_plan_t *plan, const op_call_t *call) {
    const op_shape_t *shape = &plan->description.out;
    const pool_op<T> op = {shape_of(plan, call), view_of<T>(call->in[0]),  view_of<T>(call->out),
                           found_of(plan, call), call->saved_shard_stride, shape->cols};
    launch_rows<T>(plan, call, op, is_wide<T>(call->in[0]) && is_wide<T>(call->out), shape->rows,
                   shape->cols);
}

template <class T> void backward_data(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    if (call->d_in[0].data == nullptr) {
        return;
    }
    const pool_backward_op<T> op = {shape_of(plan, call),      view_of<T>(call->d_out),
                                    view_of<T>(call->d_in[0]), found_of(plan, call),
                                    call->saved_shard_stride,  d->out.cols};
    launch_rows<T, 2>(plan, call, op, is_wide<T>(call->d_out) && is_wide<T>(call->d_in[0]),
                      d->in[0].rows, d->in[0].cols);
}

} // namespace

CUDA_OP(pool)
