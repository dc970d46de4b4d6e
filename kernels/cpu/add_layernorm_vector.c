/* Layer normalisation of a sum. A row is read three times from the first-level cache; its sums run
 * over the lanes in float, of values whose mean is taken off before they are squared.
 *
 * Of rows of few whole vectors that follow one another in memory, as many as a vector has lanes go
 * side by side: what their sums lack is added for all of them at once. The same bits. */
#include "kernels/cpu/parts.h"
#include "kernels/cpu/vector.h"

static const float EPSILON = 1e-5F;

typedef struct summands {
    const float *x, *y; /* y NULL: x alone */
} summands_t;

static summands_t summands_of(const op_plan_t *plan, const op_call_t *call, int shard,
                              int64_t row) {
    bool two = plan->description.input_count == 2;
    return (summands_t){row_of(call->in[0], shard, row),
                        two ? row_of(call->in[1], shard, row) : NULL};
}

/* 0 in lanes from `count` on. */
INLINE vec_t sum_at(summands_t in, int64_t c, int64_t count) {
    vec_t x = load_lanes(in.x + c, count);
    if (in.y != NULL) {
        x += load_lanes(in.y + c, count);
    }
    return x;
}

/* Sums over a row run in chains side by side, none of which waits for the others. */
enum { CHAINS = 4, BLOCK = CHAINS * WIDTH };
#define EACH_CHAIN _Pragma("GCC unroll 4") for (int i = 0; i < CHAINS; i++)

INLINE float chains_added(const vec_t total[CHAINS]) {
    return lanes_added((total[0] + total[1]) + (total[2] + total[3]));
}

/* Of `left` columns from c on, at most BLOCK. */
INLINE void add_sums(summands_t in, int64_t c, int64_t left, vec_t total[CHAINS]) {
    EACH_CHAIN {
        if (i * WIDTH < left) {
            total[i] += sum_at(in, c + i * WIDTH, left - i * WIDTH);
        }
    }
}

INLINE void add_squares(summands_t in, vec_t mean, int64_t c, int64_t left, vec_t total[CHAINS]) {
    EACH_CHAIN {
        if (i * WIDTH < left) {
            vec_t apart = sum_at(in, c + i * WIDTH, left - i * WIDTH) - mean;
            if (left - i * WIDTH < WIDTH) {
                apart = where(lane_numbers() < (int32_t)(left - i * WIDTH), apart, fill(0.0F));
            }
            total[i] = fused(apart, apart, total[i]);
        }
    }
}

static void row_statistics(summands_t in, int64_t cols, float saved[2]) {
    vec_t sum[CHAINS], square[CHAINS];
    EACH_CHAIN { sum[i] = square[i] = fill(0.0F); }
    int64_t c = 0;
    for (; c + BLOCK <= cols; c += BLOCK) {
        add_sums(in, c, BLOCK, sum);
    }
    add_sums(in, c, cols - c, sum);
    saved[0] = chains_added(sum) / (float)cols;
    vec_t mean = fill(saved[0]);
    for (c = 0; c + BLOCK <= cols; c += BLOCK) {
        add_squares(in, mean, c, BLOCK, square);
    }
    add_squares(in, mean, c, cols - c, square);
    saved[1] = 1.0F / sqrtf(chains_added(square) / (float)cols + EPSILON);
}

static int64_t row_count(const op_plan_t *plan, const op_call_t *call) {
    return (call->shard_end - call->shard_begin) * plan->description.out.rows;
}

/* --- rows side by side ----------------------------------------------------------------------- */

/* Rows that follow one another. */
typedef struct narrow {
    summands_t in;
    const float *gain, *bias, *dz;
    float *saved, *z, *dx[2]; /* dx NULL: not asked for */
} narrow_t;

#define EACH_PART _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++)

/* Of vector v of the row at `first` + i. */
#define PLACE (((first + i) * vectors + v) * WIDTH)

static bool rows_follow(const op_plan_t *plan, const op_call_t *call, matrix_t matrix) {
    const op_shape_t *out = &plan->description.out;
    bool one = call->shard_end - call->shard_begin == 1;
    return matrix.row_stride == out->cols && (one || matrix.shard_stride == out->rows * out->cols);
}

static float *first_row(const op_call_t *call, matrix_t matrix) {
    return matrix.data == NULL ? NULL : row_of(matrix, call->shard_begin, 0);
}

/* Vectors of a row; 0: rows go one by one. Without what one direction alone has. */
static int narrow_of(const op_plan_t *plan, const op_call_t *call, narrow_t *narrow) {
    const op_description_t *d = &plan->description;
    int64_t vectors = d->out.cols / WIDTH, stride = call->saved_shard_stride;
    bool two = d->input_count == 2, one = call->shard_end - call->shard_begin == 1;
    *narrow = (narrow_t){
        .in = {first_row(call, call->in[0]), two ? first_row(call, call->in[1]) : NULL},
        .gain = call->weight[0],
        .bias = call->weight[1],
        .saved = (float *)call->saved + call->shard_begin * stride,
    };
    bool whole = vectors * WIDTH == d->out.cols && (vectors == 1 || vectors == 2 || vectors == 4);
    bool follow = rows_follow(plan, call, call->in[0]) &&
                  (!two || rows_follow(plan, call, call->in[1])) &&
                  (one || stride == 2 * d->out.rows);
    return whole && follow ? (int)vectors : 0;
}

/* The counts as constants, so that the compiler unrolls. */
#define OF_VECTORS(run, count, ...)                                                                \
    do {                                                                                           \
        if ((count) == 1) {                                                                        \
            run(__VA_ARGS__, 1);                                                                   \
        } else if ((count) == 2) {                                                                 \
            run(__VA_ARGS__, 2);                                                                   \
        } else {                                                                                   \
            run(__VA_ARGS__, 4);                                                                   \
        }                                                                                          \
    } while (0)

INLINE vec_t narrow_sum(const narrow_t *n, int64_t place) {
    vec_t x = load(n->in.x + place);
    if (n->in.y != NULL) {
        x += load(n->in.y + place);
    }
    return x;
}

/* As chains_added() before lanes are. */
INLINE vec_t parts_added(const vec_t part[CHAINS], const int vectors) {
    vec_t total = part[0];
    if (vectors > 1) {
        total += part[1];
    }
    if (vectors > 2) {
        total += part[2] + part[3];
    }
    return total;
}

/* Of WIDTH rows the mean and the inverse deviation. */
INLINE void narrow_statistics(const narrow_t *n, int64_t first, const int vectors) {
    vec_t row[WIDTH], part[CHAINS], cols = fill((float)(vectors * WIDTH));
    float mean[WIDTH], inverse[WIDTH], *saved = n->saved + 2 * first;
    EACH_LANE {
        EACH_PART { part[v] = narrow_sum(n, PLACE); }
        row[i] = parts_added(part, vectors);
    }
    store(mean, lanes_added_of_rows(row) / cols);
    EACH_LANE {
        EACH_PART {
            vec_t apart = narrow_sum(n, PLACE) - fill(mean[i]);
            part[v] = apart * apart;
        }
        row[i] = parts_added(part, vectors);
    }
    vec_t variance = lanes_added_of_rows(row) / cols;
    store(inverse, fill(1.0F) / root(variance + fill(EPSILON)));
    EACH_LANE {
        saved[2 * i] = mean[i];
        saved[2 * i + 1] = inverse[i];
    }
}

INLINE vec_t narrow_normalized(const narrow_t *n, int64_t row, int64_t place) {
    return (narrow_sum(n, place) - fill(n->saved[2 * row])) * fill(n->saved[2 * row + 1]);
}

INLINE void narrow_forward(narrow_t n, int64_t begin, int64_t end, const int vectors) {
    vec_t gain[CHAINS], bias[CHAINS];
    EACH_PART {
        gain[v] = load(n.gain + v * WIDTH);
        bias[v] = load(n.bias + v * WIDTH);
    }
    for (int64_t first = begin; first < end; first += WIDTH) {
        narrow_statistics(&n, first, vectors);
        EACH_LANE {
            EACH_PART {
                vec_t x = narrow_normalized(&n, first + i, PLACE);
                store(n.z + PLACE, fused(x, gain[v], bias[v]));
            }
        }
    }
}

/* The sums over the gradients of WIDTH rows, divided by their columns. */
INLINE void narrow_means(const narrow_t *n, int64_t first, const vec_t gain[CHAINS],
                         float mean[WIDTH], float slope[WIDTH], const int vectors) {
    vec_t g[CHAINS], along[CHAINS], sum[WIDTH], cols = fill((float)(vectors * WIDTH));
    vec_t sum_along[WIDTH];
    EACH_LANE {
        EACH_PART {
            g[v] = gain[v] * load(n->dz + PLACE);
            along[v] = g[v] * narrow_normalized(n, first + i, PLACE);
        }
        sum[i] = parts_added(g, vectors);
        sum_along[i] = parts_added(along, vectors);
    }
    store(mean, lanes_added_of_rows(sum) / cols);
    store(slope, lanes_added_of_rows(sum_along) / cols);
}

INLINE void narrow_backward(narrow_t n, int64_t begin, int64_t end, const int vectors) {
    vec_t gain[CHAINS];
    EACH_PART { gain[v] = load(n.gain + v * WIDTH); }
    for (int64_t first = begin; first < end; first += WIDTH) {
        float mean[WIDTH], slope[WIDTH];
        narrow_means(&n, first, gain, mean, slope, vectors);
        EACH_LANE {
            EACH_PART {
                vec_t x = narrow_normalized(&n, first + i, PLACE);
                vec_t part = fused(x, fill(slope[i]), fill(mean[i]));
                vec_t g = gain[v] * load(n.dz + PLACE);
                vec_t gradient = fill(n.saved[2 * (first + i) + 1]) * (g - part);
                for (int k = 0; k < 2; k++) {
                    if (n.dx[k] != NULL) {
                        store(n.dx[k] + PLACE, gradient);
                    }
                }
            }
        }
    }
}

INLINE void narrow_weights(narrow_t n, int64_t rows, float *d_gain, float *d_bias,
                           const int vectors) {
    vec_t gain[CHAINS], bias[CHAINS];
    EACH_PART { gain[v] = bias[v] = fill(0.0F); }
    for (int64_t r = 0; r < rows; r++) {
        EACH_PART {
            int64_t place = (r * vectors + v) * WIDTH;
            vec_t dz = load(n.dz + place);
            gain[v] = fused(dz, narrow_normalized(&n, r, place), gain[v]);
            bias[v] += dz;
        }
    }
    EACH_PART {
        store(d_gain + v * WIDTH, gain[v]);
        store(d_bias + v * WIDTH, bias[v]);
    }
}

/* The rows of [begin, end) that have not gone side by side begin with the one that is returned. */
static int64_t rows_narrow_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin,
                                   int64_t end) {
    narrow_t n;
    int vectors = narrow_of(plan, call, &n);
    if (vectors == 0 || !rows_follow(plan, call, call->out)) {
        return begin;
    }
    n.z = first_row(call, call->out);
    end -= (end - begin) % WIDTH;
    OF_VECTORS(narrow_forward, vectors, n, begin, end);
    return end;
}

static int64_t rows_narrow_backward(const op_plan_t *plan, const op_call_t *call, int64_t begin,
                                    int64_t end) {
    narrow_t n;
    int vectors = narrow_of(plan, call, &n);
    bool follow = rows_follow(plan, call, call->d_out);
    for (int i = 0; i < plan->description.input_count; i++) {
        n.dx[i] = first_row(call, call->d_in[i]);
        follow = follow && (n.dx[i] == NULL || rows_follow(plan, call, call->d_in[i]));
    }
    if (vectors == 0 || !follow) {
        return begin;
    }
    n.dz = first_row(call, call->d_out);
    end -= (end - begin) % WIDTH;
    OF_VECTORS(narrow_backward, vectors, n, begin, end);
    return end;
}

/* --- rows one by one ------------------------------------------------------------------------- */

static void rows_forward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                         int part) {
    (void)part;
    const op_description_t *d = &plan->description;
    const float *gain = call->weight[0], *bias = call->weight[1];
    int64_t cols = d->out.cols;
    for (int64_t i = rows_narrow_forward(plan, call, begin, end); i < end; i++) {
        int s = call->shard_begin + (int)(i / d->out.rows);
        int64_t r = i % d->out.rows;
        float *saved = (float *)call->saved + s * call->saved_shard_stride + 2 * r;
        summands_t in = summands_of(plan, call, s, r);
        row_statistics(in, cols, saved);
        vec_t mean = fill(saved[0]), inverse = fill(saved[1]);
        float *z = row_of(call->out, s, r);
        for (int64_t c = 0; c < cols; c += WIDTH) {
            vec_t x = (sum_at(in, c, cols - c) - mean) * inverse;
            vec_t factor = load_lanes(gain + c, cols - c);
            store_lanes(z + c, fused(x, factor, load_lanes(bias + c, cols - c)), cols - c);
        }
    }
}

void REAL(add_layernorm_forward)(const op_plan_t *plan, const op_call_t *call) {
    int64_t rows = row_count(plan, call);
    parts_run(rows_forward, plan, call, rows, rows * plan->description.out.cols);
}

typedef struct gradient_row {
    summands_t in;
    const float *gain, *dz;
    vec_t mean, inverse; /* of the row */
} gradient_row_t;

INLINE vec_t normalized(const gradient_row_t *row, int64_t c, int64_t count) {
    return (sum_at(row->in, c, count) - row->mean) * row->inverse;
}

/* g = gain * dz, 0 outside the row */
INLINE vec_t scaled(const gradient_row_t *row, int64_t c, int64_t count) {
    return load_lanes(row->gain + c, count) * load_lanes(row->dz + c, count);
}

INLINE void add_gradients(const gradient_row_t *row, int64_t c, int64_t left, vec_t sum[CHAINS],
                          vec_t along[CHAINS]) {
    EACH_CHAIN {
        if (i * WIDTH < left) {
            vec_t g = scaled(row, c + i * WIDTH, left - i * WIDTH);
            sum[i] += g;
            along[i] = fused(g, normalized(row, c + i * WIDTH, left - i * WIDTH), along[i]);
        }
    }
}

static void row_gradient(const gradient_row_t *row, int64_t cols, float *dx[2]) {
    vec_t sum[CHAINS], along[CHAINS];
    EACH_CHAIN { sum[i] = along[i] = fill(0.0F); }
    int64_t begin = 0;
    for (; begin + BLOCK <= cols; begin += BLOCK) {
        add_gradients(row, begin, BLOCK, sum, along);
    }
    add_gradients(row, begin, cols - begin, sum, along);
    vec_t mean = fill(chains_added(sum) / (float)cols);
    vec_t slope = fill(chains_added(along) / (float)cols);
    for (int64_t c = 0; c < cols; c += WIDTH) {
        vec_t part = fused(normalized(row, c, cols - c), slope, mean);
        vec_t gradient = row->inverse * (scaled(row, c, cols - c) - part);
        for (int i = 0; i < 2; i++) {
            if (dx[i] != NULL) {
                store_lanes(dx[i] + c, gradient, cols - c);
            }
        }
    }
}

static gradient_row_t gradient_row_of(const op_plan_t *plan, const op_call_t *call, int shard,
                                      int64_t row) {
    const float *saved = (float *)call->saved + shard * call->saved_shard_stride + 2 * row;
    return (gradient_row_t){
        .in = summands_of(plan, call, shard, row),
        .gain = call->weight[0],
        .dz = row_of(call->d_out, shard, row),
        .mean = fill(saved[0]),
        .inverse = fill(saved[1]),
    };
}

static void rows_backward(const op_plan_t *plan, const op_call_t *call, int64_t begin, int64_t end,
                          int part) {
    (void)part;
    const op_description_t *d = &plan->description;
    for (int64_t j = rows_narrow_backward(plan, call, begin, end); j < end; j++) {
        int s = call->shard_begin + (int)(j / d->out.rows);
        int64_t r = j % d->out.rows;
        gradient_row_t row = gradient_row_of(plan, call, s, r);
        float *dx[2] = {NULL, NULL};
        for (int i = 0; i < d->input_count; i++) {
            dx[i] = call->d_in[i].data == NULL ? NULL : row_of(call->d_in[i], s, r);
        }
        row_gradient(&row, d->out.cols, dx);
    }
}

void REAL(add_layernorm_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    int64_t rows = row_count(plan, call);
    parts_run(rows_backward, plan, call, rows, rows * plan->description.out.cols);
}

/* Some rows at a time, so that each is read from end to end and the sums of a column are fetched
 * for all of them. */
enum { ROWS_AT_ONCE = 4 };
#define EACH_ROW _Pragma("GCC unroll 4") for (int r = 0; r < ROWS_AT_ONCE; r++)

INLINE void add_columns(const gradient_row_t row[ROWS_AT_ONCE], int64_t rows, int64_t c,
                        int64_t count, float *d_gain, float *d_bias) {
    vec_t gain = load_lanes(d_gain + c, count), bias = load_lanes(d_bias + c, count);
    EACH_ROW {
        if (r < rows) {
            vec_t dz = load_lanes(row[r].dz + c, count);
            gain = fused(dz, normalized(&row[r], c, count), gain);
            bias += dz;
        }
    }
    store_lanes(d_gain + c, gain, count);
    store_lanes(d_bias + c, bias, count);
}

void REAL(add_layernorm_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    REQUIRE(call->shard_end == call->shard_begin + 1);
    float *d_gain = call->d_weight[0], *d_bias = call->d_weight[1];
    narrow_t n;
    int vectors = narrow_of(plan, call, &n);
    if (vectors > 0 && rows_follow(plan, call, call->d_out)) {
        n.dz = first_row(call, call->d_out);
        OF_VECTORS(narrow_weights, vectors, n, d->out.rows, d_gain, d_bias);
        return;
    }
    memset(d_gain, 0, (size_t)d->out.cols * sizeof(float));
    memset(d_bias, 0, (size_t)d->out.cols * sizeof(float));
    for (int64_t first = 0; first < d->out.rows; first += ROWS_AT_ONCE) {
        gradient_row_t row[ROWS_AT_ONCE];
        int64_t rows = min_i64(ROWS_AT_ONCE, d->out.rows - first);
        for (int64_t r = 0; r < rows; r++) {
            row[r] = gradient_row_of(plan, call, call->shard_begin, first + r);
        }
        int64_t c = 0;
        for (; rows == ROWS_AT_ONCE && c + WIDTH <= d->out.cols; c += WIDTH) {
            add_columns(row, ROWS_AT_ONCE, c, WIDTH, d_gain, d_bias);
        }
        for (; c < d->out.cols; c += WIDTH) {
            add_columns(row, rows, c, d->out.cols - c, d_gain, d_bias);
        }
    }
}
