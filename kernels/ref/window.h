/* window.h - what a window over a grid reads (op_axis_t). */
#ifndef JMT_KERNELS_REF_WINDOW_H
#define JMT_KERNELS_REF_WINDOW_H

#include "kernels/kernels.h"

static inline int64_t window_in(const op_axis_t axis[OP_AXES]) {
    return axis[0].in * axis[1].in * axis[2].in;
}

static inline int64_t window_out(const op_axis_t axis[OP_AXES]) {
    return axis[0].out * axis[1].out * axis[2].out;
}

/* The input's row that this tap of this output row reads; -1: outside. */
static inline int64_t window_source(const op_axis_t axis[OP_AXES], int64_t row, int64_t tap) {
    int64_t source = 0, step = 1;
    for (int a = OP_AXES - 1; a >= 0; a--) {
        const op_axis_t *x = &axis[a];
        int64_t at = row % x->out * x->stride + tap % x->size * x->dilation - x->before;
        if (at < 0 || at >= x->in) {
            return -1;
        }
        source += at * step;
        step *= x->in;
        row /= x->out;
        tap /= x->size;
    }
    return source + row * step;
}

static inline bool window_rows_fit(const op_description_t *d) {
    const op_axis_t *axis = d->attributes.axis;
    bool fits = true;
    for (int a = 0; a < OP_AXES; a++) {
        fits = fits && axis[a].in > 0 && axis[a].out > 0;
    }
    return fits && d->in[0].rows % window_in(axis) == 0 &&
           d->in[0].rows / window_in(axis) * window_out(axis) == d->out.rows;
}

static inline bool window_fits(const op_description_t *d) {
    bool fits = window_rows_fit(d);
    for (int a = 0; a < OP_AXES; a++) {
        const op_axis_t *x = &d->attributes.axis[a];
        fits = fits && x->size > 0 && x->stride > 0 && x->dilation > 0 && x->before >= 0;
    }
    return fits;
}

#endif
