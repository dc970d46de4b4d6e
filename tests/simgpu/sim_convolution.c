/* The arithmetic of cuDNN's graphs: convolutions of one to three spatial dimensions, forward and
 * both gradients, in float (sums of filters in double); pointwise operations. */
#include <stdlib.h>

#include "sim_dnn.h"

/* Sizes with ones in front of the spatial dimensions that are not there. */
typedef struct shape {
    int64_t n, c, k, groups, group_c, group_k;
    int64_t in[SIM_SPATIAL], filter[SIM_SPATIAL], out[SIM_SPATIAL];
    int64_t pad[SIM_SPATIAL], stride[SIM_SPATIAL], dilation[SIM_SPATIAL];
    int64_t taps; /* points of the filter */
} shape_t;

/* One image's channels at an input point, a filter point and an output point that meet. */
typedef void meet_t(void *context, const shape_t *s, int64_t x, int64_t tap, int64_t y);

typedef struct arrays {
    float *x, *y;
    float *w_by_k; /* [tap][group][c][k] */
    float *w_by_c; /* [tap][k][c] */
    double *w_sum; /* as w_by_k */
} arrays_t;

static void *must(void *p) {
    if (p == NULL) {
        sim_report(NULL, "no memory for a convolution");
    }
    return p;
}

static shape_t shape_of(const sim_node_t *node, const sim_tensor_t *tensors) {
    const sim_tensor_t *x = &tensors[node->x], *w = &tensors[node->w], *y = &tensors[node->y];
    shape_t s = {.n = x->dim[0], .c = x->dim[1], .k = w->dim[0], .group_c = w->dim[1], .taps = 1};
    s.groups = s.c / s.group_c;
    s.group_k = s.k / s.groups;
    int absent = SIM_SPATIAL - node->spatial;
    for (int i = 0; i < SIM_SPATIAL; i++) {
        int d = i - absent;
        s.in[i] = d < 0 ? 1 : x->dim[d + 2];
        s.filter[i] = d < 0 ? 1 : w->dim[d + 2];
        s.out[i] = d < 0 ? 1 : y->dim[d + 2];
        s.pad[i] = d < 0 ? 0 : node->pad[d];
        s.stride[i] = d < 0 ? 1 : node->stride[d];
        s.dilation[i] = d < 0 ? 1 : node->dilation[d];
        s.taps *= s.filter[i];
    }
    return s;
}

/* The input point that filter point f meets at output point o; -1: beside the input. */
static int64_t input_at(const shape_t *s, const int64_t *o, const int64_t *f) {
    int64_t at = 0;
    for (int i = 0; i < SIM_SPATIAL; i++) {
        int64_t p = o[i] * s->stride[i] - s->pad[i] + f[i] * s->dilation[i];
        if (p < 0 || p >= s->in[i]) {
            return -1;
        }
        at = at * s->in[i] + p;
    }
    return at;
}

static bool next(int64_t *at, const int64_t *size) {
    for (int i = SIM_SPATIAL - 1; i >= 0; i--) {
        if (++at[i] < size[i]) {
            return true;
        }
        at[i] = 0;
    }
    return false;
}

static void for_all(const shape_t *s, meet_t *meet, void *context) {
    int64_t in = s->in[0] * s->in[1] * s->in[2], y = 0;
    for (int64_t n = 0; n < s->n; n++) {
        int64_t o[SIM_SPATIAL] = {0};
        do {
            int64_t f[SIM_SPATIAL] = {0}, tap = 0;
            do {
                int64_t x = input_at(s, o, f);
                if (x >= 0) {
                    meet(context, s, n * in + x, tap, y);
                }
                tap++;
            } while (next(f, s->filter));
            y++;
        } while (next(o, s->out));
    }
}

static void meet_forward(void *context, const shape_t *s, int64_t at_x, int64_t tap, int64_t at_y) {
    const arrays_t *a = context;
    const float *w = a->w_by_k + tap * s->group_c * s->k;
    for (int64_t c = 0; c < s->c; c++, w += s->group_k) {
        float x = a->x[at_x * s->c + c];
        float *restrict y = a->y + at_y * s->k + c / s->group_c * s->group_k;
        for (int64_t k = 0; k < s->group_k; k++) {
            y[k] += x * w[k];
        }
    }
}

static void meet_data(void *context, const shape_t *s, int64_t at_x, int64_t tap, int64_t at_y) {
    const arrays_t *a = context;
    const float *w = a->w_by_c + tap * s->group_c * s->k;
    for (int64_t k = 0; k < s->k; k++, w += s->group_c) {
        float y = a->y[at_y * s->k + k];
        float *restrict x = a->x + at_x * s->c + k / s->group_k * s->group_c;
        for (int64_t c = 0; c < s->group_c; c++) {
            x[c] += y * w[c];
        }
    }
}

static void meet_filter(void *context, const shape_t *s, int64_t at_x, int64_t tap, int64_t at_y) {
    const arrays_t *a = context;
    double *restrict w = a->w_sum + tap * s->group_c * s->k;
    for (int64_t c = 0; c < s->c; c++, w += s->group_k) {
        double x = a->x[at_x * s->c + c];
        const float *y = a->y + at_y * s->k + c / s->group_c * s->group_k;
        for (int64_t k = 0; k < s->group_k; k++) {
            w[k] += x * y[k];
        }
    }
}

/* Where the weight of output channel k, tap and input channel c (of its group) lies. */
static int64_t by_k(const shape_t *s, int64_t k, int64_t tap, int64_t c) {
    return ((tap * s->groups + k / s->group_k) * s->group_c + c) * s->group_k + k % s->group_k;
}

void sim_convolve(const sim_node_t *node, sim_tensor_t *tensors) {
    shape_t s = shape_of(node, tensors);
    int64_t weights = s.k * s.taps * s.group_c;
    float *w = tensors[node->w].value;
    arrays_t a = {.x = tensors[node->x].value,
                  .y = tensors[node->y].value,
                  .w_by_k = must(calloc((size_t)weights, sizeof(float))),
                  .w_by_c = must(calloc((size_t)weights, sizeof(float))),
                  .w_sum = must(calloc((size_t)weights, sizeof(double)))};
    for (int64_t i = 0; i < weights; i++) { /* w: [k][tap][c] */
        int64_t c = i % s.group_c, tap = i / s.group_c % s.taps, k = i / s.group_c / s.taps;
        a.w_by_k[by_k(&s, k, tap, c)] = w[i];
        a.w_by_c[(tap * s.k + k) * s.group_c + c] = w[i];
    }
    for_all(&s,
            node->kind == SIM_FORWARD ? meet_forward
            : node->kind == SIM_DATA  ? meet_data
                                      : meet_filter,
            &a);
    for (int64_t i = 0; i < weights && node->kind == SIM_FILTER; i++) {
        int64_t c = i % s.group_c, tap = i / s.group_c % s.taps, k = i / s.group_c / s.taps;
        w[i] = (float)a.w_sum[by_k(&s, k, tap, c)];
    }
    free(a.w_by_k);
    free(a.w_by_c);
    free(a.w_sum);
}

/* --- pointwise operations ------------------------------------------------------------------- */

/* Index into the dense value of b for element i of y; dimensions of size 1 are repeated. */
static int64_t repeated(const sim_tensor_t *y, const sim_tensor_t *b, int64_t i) {
    int64_t at[SIM_DIMS], index = 0;
    at[1] = i % y->dim[1]; /* C is innermost */
    i /= y->dim[1];
    for (int d = y->dims - 1; d >= 2; d--) {
        at[d] = i % y->dim[d];
        i /= y->dim[d];
    }
    at[0] = i;
    index = b->dim[0] == 1 ? 0 : at[0];
    for (int d = 2; d < y->dims; d++) {
        index = index * b->dim[d] + (b->dim[d] == 1 ? 0 : at[d]);
    }
    return index * b->dim[1] + (b->dim[1] == 1 ? 0 : at[1]);
}

void sim_pointwise(const sim_node_t *node, sim_tensor_t *tensors) {
    const sim_tensor_t *x = &tensors[node->x], *b = node->w < 0 ? NULL : &tensors[node->w];
    sim_tensor_t *y = &tensors[node->y];
    int64_t count = sim_tensor_count(y);
    for (int64_t i = 0; i < count; i++) {
        float value = node->alpha * x->value[repeated(y, x, i)];
        float other = b == NULL ? 0 : node->beta * b->value[repeated(y, b, i)];
        switch (node->mode) {
        case CUDNN_POINTWISE_ADD:
            value += other;
            break;
        case CUDNN_POINTWISE_MUL:
            value *= other;
            break;
        case CUDNN_POINTWISE_RELU_FWD:
            value = value > 0 || value != value ? value : 0;
            break;
        default:
            break; /* CUDNN_POINTWISE_IDENTITY */
        }
        y->value[i] = value;
    }
}
