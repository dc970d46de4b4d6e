/* Pooling over a grid: a thread for each chunk of columns of a row of the result, and in the
 * backward of a row of the input, which asks the windows that may have read it in their order. */
#include "kernels/cuda/kernel.cuh"

namespace {

/* What a window reads of one axis: begin, begin + step ... */
struct span_t {
    int64_t begin, count, step;
};

struct pool_shape {
    pool_rule_t rule;
    op_axis_t axis[OP_AXES];
    mask_t mask;
};

__device__ __forceinline__ span_t span_of(const op_axis_t &axis, int64_t o, bool adaptive) {
    if (adaptive) {
        const int64_t begin = o * axis.in / axis.out;
        return span_t{begin, ((o + 1) * axis.in + axis.out - 1) / axis.out - begin, 1};
    }
    return span_t{o * axis.stride - axis.before, axis.size, axis.dilation};
}

struct places_t {
    span_t span[OP_AXES];
    int64_t origin; /* the grid's first row */
    int64_t taps;
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
                                             int64_t tap) {
    int64_t source = places.origin, step = 1;
#pragma unroll
    for (int i = OP_AXES - 1; i >= 0; i--) {
        const span_t &span = places.span[i];
        const int64_t at = span.begin + tap % span.count * span.step;
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
    int64_t inside = 0;
    for (int64_t tap = 0; tap < places.taps; tap++) {
        inside += source_of(p, places, shard, tap) >= 0 ? 1 : 0;
    }
    const int64_t all = p.rule == POOL_AVERAGE && inside > 0 ? places.taps : inside;
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
        for (int64_t tap = 0; tap < places.taps; tap++) {
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
    int64_t begin, end;
};

__device__ __forceinline__ readers_t readers_of(const op_axis_t &axis, int64_t at, bool adaptive) {
    readers_t r;
    if (adaptive) {
        r.begin = at * axis.out / axis.in;
        r.end = ((at + 1) * axis.out + axis.in - 1) / axis.in;
        r.begin = r.begin > 0 ? r.begin - 1 : 0;
        r.end = r.end + 1;
    } else {
        const int64_t reach = (axis.size - 1) * axis.dilation, first = at + axis.before - reach;
        r.begin = first > 0 ? (first + axis.stride - 1) / axis.stride : 0;
        r.end = (at + axis.before) / axis.stride + 1;
    }
    r.end = r.end < axis.out ? r.end : axis.out;
    return r;
}

/* The tap of window o that reads `at`; -1: none. */
__device__ __forceinline__ int64_t tap_of(const span_t &span, int64_t at) {
    const int64_t from = at - span.begin;
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
    __device__ __forceinline__ void add(int shard, int64_t out_row, int64_t tap, int64_t col,
                                        int64_t left, float *dx) const {
        float dy[CHUNK<T>];
        load<T, WIDE>(d_out.at(shard, out_row) + col, left, dy);
        if (p.rule == POOL_MAX) {
            const float *found = saved + shard * saved_stride + out_row * cols + col;
            for (int k = 0; k < CHUNK<T>; k++) {
                dx[k] += k < left && found[k] == static_cast<float>(tap) ? dy[k] : 0.0f;
            }
            return;
        }
        const float divisor = divisor_of(p, places_of(p, out_row), shard);
        for (int k = 0; k < CHUNK<T>; k++) {
            dx[k] += dy[k] / divisor;
        }
    }

    template <bool WIDE>
    __device__ void run(int shard, int64_t row, int64_t col, int64_t left) const {
        const bool adaptive = p.rule == POOL_ADAPTIVE;
        float dx[CHUNK<T>] = {0};
        int64_t rest = row, at[OP_AXES];
        readers_t r[OP_AXES];
#pragma unroll
        for (int i = OP_AXES - 1; i >= 0; i--) {
            at[i] = rest % p.axis[i].in;
            rest /= p.axis[i].in;
            r[i] = readers_of(p.axis[i], at[i], adaptive);
        }
        const bool use = valid(p.mask, shard, row);
        for (int64_t a = r[0].begin; a < r[0].end && use; a++) {
            const span_t span0 = span_of(p.axis[0], a, adaptive);
            const int64_t tap0 = tap_of(span0, at[0]);
            for (int64_t b = r[1].begin; b < r[1].end && tap0 >= 0; b++) {
                const span_t span1 = span_of(p.axis[1], b, adaptive);
                const int64_t tap1 = tap_of(span1, at[1]);
                for (int64_t c = r[2].begin; c < r[2].end && tap1 >= 0; c++) {
                    const span_t span2 = span_of(p.axis[2], c, adaptive);
                    const int64_t tap2 = tap_of(span2, at[2]);
                    if (tap2 >= 0) {
                        const int64_t out_row =
                            ((rest * p.axis[0].out + a) * p.axis[1].out + b) * p.axis[2].out + c;
                        const int64_t tap = (tap0 * span1.count + tap1) * span2.count + tap2;
                        add<WIDE>(shard, out_row, tap, col, left, dx);
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
    int64_t in = 1, out = 1;
    bool fits = true;
    for (int a = 0; a < OP_AXES; a++) {
        in *= axis[a].in;
        out *= axis[a].out;
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
    launch_rows<T>(plan, call, op, is_wide<T>(call->d_out) && is_wide<T>(call->d_in[0]),
                   d->in[0].rows, d->in[0].cols);
}

} // namespace

CUDA_OP(pool)
