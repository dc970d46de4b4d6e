/* A convolution's weight in panels: [tap, row] of the left factor's columns by the result's, from
 * W [out, in, taps] or its transposed. Either way the numbers that lie side by side in W are of one
 * column of the panel, so that blocks of four columns by four numbers are transposed. */
#include "kernels/cpu/conv_cpu.h"

/* Rows of the left factor at a time: so many that what is written stays in the first cache. */
enum { NUMBERS_AT_ONCE = 128, COLS_AT_ONCE = 16, ROWS_AHEAD = 4 };

/* The tap of a pass that is this tap of the weight; -1: the pass does without it. */
static int64_t tap_of(const weight_panels_t *weight, int64_t tap) {
    const op_axis_t *axis = weight->plan->base.description.attributes.axis;
    int64_t at = 0, step = 1;
    for (int a = OP_AXES - 1; a >= 0; a--) {
        const tap_run_t *run = &weight->taps[a];
        int64_t size = weight->patches->axis[a].size;
        int64_t distance = tap % axis[a].size - run->first, j = distance / run->step;
        if (distance % run->step != 0 || j < 0 || j >= size) {
            return -1;
        }
        at += j * step;
        step *= size;
        tap /= axis[a].size;
    }
    return at;
}

/* Numbers of W that lie side by side for each column, and the panel's rows that they go to. */
typedef struct run {
    const float *from;
    int64_t col_step, cols, count;
    int64_t row[NUMBERS_AT_ONCE + 4]; /* -1: none */
} run_t;

/* Four columns by four numbers; what no row wants goes to `nowhere`. */
static void pack_block(const run_t *run, int64_t q, int64_t begin, int64_t end, float *to,
                       int64_t to_row) {
    float nowhere[TILE_COLS];
    float *row[4];
    for (int i = 0; i < 4; i++) {
        row[i] = run->row[q + i] < 0 ? nowhere : to + run->row[q + i] * to_row;
    }
    /* Beyond the run only the next column may be read, where there is one. */
    bool over = q + 4 > run->count, far = q + 4 > run->count + run->col_step;
    int64_t most = far ? begin : over ? min_i64(end, run->cols - 1) : end, c = begin;
    for (; c + 4 <= most; c += 4) {
        const float *from = run->from + c * run->col_step + q;
        __m128 x0 = _mm_loadu_ps(from), x1 = _mm_loadu_ps(from + run->col_step);
        __m128 x2 = _mm_loadu_ps(from + 2 * run->col_step);
        __m128 x3 = _mm_loadu_ps(from + 3 * run->col_step);
        _MM_TRANSPOSE4_PS(x0, x1, x2, x3);
        _mm_storeu_ps(row[0] + c, x0);
        _mm_storeu_ps(row[1] + c, x1);
        _mm_storeu_ps(row[2] + c, x2);
        _mm_storeu_ps(row[3] + c, x3);
    }
    for (int64_t i = 0; i < min_i64(4, run->count - q); i++) {
        for (int64_t j = c; j < end; j++) {
            row[i][j] = run->from[j * run->col_step + q + i];
        }
    }
}

/* Of a later run, what some columns have from number q on: the processor does not foresee it, as it
 * lies in as many places as there are columns, or jumps from row to row. Little at a time, so that
 * it arrives while others are packed. */
static void fetch_ahead(const run_t *run, const float *from, int64_t q, int64_t begin,
                        int64_t end) {
    int64_t line = LINE_BYTES / (int64_t)sizeof *from;
    if (run->col_step > run->count) {
        for (int64_t c = begin; c < end; c++) {
            __builtin_prefetch(from + c * run->col_step + min_i64(q, run->count - 1));
        }
    } else if (q == 0) {
        for (int64_t i = begin * run->col_step; i < end * run->col_step; i += line) {
            __builtin_prefetch(from + i);
        }
    }
}

/* Lines of the panel are written whole, before the next. ahead: of a later run; NULL: none. */
static void pack_run(const run_t *run, const float *ahead, float *to, int64_t to_row) {
    if (run->col_step == 1 && run->row[0] >= 0) { /* of one tap */
        memcpy(to + run->row[0] * to_row, run->from, (size_t)run->cols * sizeof *to);
        return;
    }
    for (int64_t c = 0; c < run->cols; c += COLS_AT_ONCE) {
        int64_t end = min_i64(c + COLS_AT_ONCE, run->cols), due = 0;
        for (int64_t q = 0; q < run->count;) {
            if (ahead != NULL && q >= due) {
                fetch_ahead(run, ahead, due, c, end);
                due += LINE_BYTES / (int64_t)sizeof *ahead;
            }
            if (run->row[q] < 0) {
                q++;
                continue;
            }
            pack_block(run, q, c, end, to, to_row);
            q += 4;
        }
    }
}

typedef struct source {
    const float *from; /* at the panel's first column */
    int64_t left, left_step, col_step, cols, taps;
    int64_t tap[NUMBERS_AT_ONCE]; /* tap_of of the first */
} source_t;

static source_t source_of(const weight_panels_t *weight, int64_t group, int64_t col, int64_t cols) {
    const conv_plan_t *plan = weight->plan;
    int64_t col_step = weight->backward ? plan->taps : plan->width;
    source_t source = {.from = weight->weight + group * plan->out * plan->width + col * col_step,
                       .left = weight->patches->cols,
                       .left_step = weight->backward ? plan->width : plan->taps,
                       .col_step = col_step,
                       .cols = cols,
                       .taps = plan->taps};
    for (int64_t t = 0; t < min_i64(plan->taps, NUMBERS_AT_ONCE); t++) {
        source.tap[t] = tap_of(weight, t);
    }
    return source;
}

/* Numbers [begin, begin + count) of left rows that follow one another: tap t of left row i goes to
 * row t * left_rows + i - base. */
static void run_of(const weight_panels_t *weight, const source_t *source, int64_t begin,
                   int64_t count, int64_t left_rows, int64_t base, run_t *run) {
    int64_t i = begin / source->taps, t = begin % source->taps;
    run->from = source->from + i * source->left_step + t;
    run->col_step = source->col_step;
    run->cols = source->cols;
    run->count = count;
    for (int64_t q = 0; q < count; q++) {
        int64_t tap = t < NUMBERS_AT_ONCE ? source->tap[t] : tap_of(weight, t);
        run->row[q] = tap < 0 ? -1 : tap * left_rows + i - base;
        if (++t == source->taps) {
            t = 0;
            i++;
        }
    }
    for (int64_t q = count; q < count + 4; q++) {
        run->row[q] = -1;
    }
}

/* Left rows at all taps of the pass: row t * left_rows + i - base of `to`. */
static void pack_left(const weight_panels_t *weight, const source_t *source, range_t left,
                      int64_t left_rows, int64_t base, float *to, int64_t to_row) {
    /* Forward the rows follow one another. */
    bool follow = source->left_step == source->taps;
    int64_t together = follow ? left.end - left.begin : 1, ahead = follow ? together : ROWS_AHEAD;
    for (int64_t i = left.begin; i < left.end; i += together) {
        int64_t end = (i + together) * source->taps;
        for (int64_t at = i * source->taps; at < end; at += NUMBERS_AT_ONCE) {
            run_t run;
            run_of(weight, source, at, min_i64(NUMBERS_AT_ONCE, end - at), left_rows, base, &run);
            bool more = i + ahead < source->left;
            pack_run(&run, more ? run.from + ahead * source->left_step : NULL, to, to_row);
        }
    }
}

/* Left rows whose numbers are moved at a time: whole units where there are. */
static int64_t rows_at_once(int64_t taps) {
    return align_up(max_i64(1, NUMBERS_AT_ONCE / 2 / taps), UNIT_K);
}

void REAL(conv_pack_floats)(const weight_panels_t *weight, int64_t col, int64_t cols, range_t left,
                            float *to) {
    source_t source = source_of(weight, 0, col, cols);
    int64_t count = left.end - left.begin, rows = rows_at_once(source.taps);
    if (cols < panel_cols(cols)) {
        int64_t taps = patch_width(weight->patches) / source.left;
        memset(to, 0, (size_t)(taps * count * TILE_COLS) * sizeof *to);
    }
    for (int64_t i = left.begin; i < left.end; i += rows) {
        range_t some = {i, min_i64(i + rows, left.end)};
        pack_left(weight, &source, some, count, left.begin, to, TILE_COLS);
    }
}

#ifdef ACTIVATION_BF16

/* One number after the other: where a unit's two are of different taps, or of very many. */
static void pack_singly(const weight_panels_t *weight, const source_t *source, range_t left,
                        unit_t *panel) {
    int64_t width = patch_width(weight->patches), panel_row = panel_cols(source->cols);
    bf16_t *to = (bf16_t *)panel;
    if (left.begin == 0) {
        memset(panel, 0, (size_t)(units_of(width) * panel_row) * sizeof *panel);
    }
    for (int64_t t = 0; t < source->taps; t++) {
        int64_t tap = tap_of(weight, t);
        for (int64_t i = left.begin; i < left.end && tap >= 0; i++) {
            const float *from = source->from + i * source->left_step + t;
            int64_t k = tap * source->left + i;
            for (int64_t c = 0; c < source->cols; c++) {
                to[(k / UNIT_K * panel_row + c) * UNIT_K + k % UNIT_K] =
                    bf16_of(from[c * source->col_step]);
            }
        }
    }
}

/* Some rows as floats, then rounded by pairs. */
static void pack_units(const weight_panels_t *weight, const source_t *source, range_t left,
                       unit_t *panel) {
    float floats[NUMBERS_AT_ONCE * TILE_COLS];
    int64_t taps = patch_width(weight->patches) / source->left;
    int64_t rows = rows_at_once(source->taps);
    for (int64_t i = left.begin; i < left.end; i += rows) {
        range_t some = {i, min_i64(i + rows, left.end)};
        pack_left(weight, source, some, rows, i, floats, TILE_COLS);
        for (int64_t t = 0; t < taps; t++) {
            REAL(product_pack_weights)
            (some.end - i, source->cols, floats + t * rows * TILE_COLS, TILE_COLS,
             panel + units_of(t * source->left + i) * panel_cols(source->cols));
        }
    }
}

void REAL(conv_pack)(const weight_panels_t *weight, int64_t group, int64_t col, int64_t cols,
                     range_t left, unit_t *panel) {
    source_t source = source_of(weight, group, col, cols);
    if (source.left % UNIT_K == 0 && rows_at_once(source.taps) * source.taps <= NUMBERS_AT_ONCE) {
        pack_units(weight, &source, left, panel);
    } else {
        pack_singly(weight, &source, left, panel);
    }
}

#else

void REAL(conv_pack)(const weight_panels_t *weight, int64_t group, int64_t col, int64_t cols,
                     range_t left, unit_t *panel) {
    source_t source = source_of(weight, group, col, cols);
    int64_t panel_row = panel_cols(cols), rows = rows_at_once(source.taps);
    if (cols < panel_row && left.begin == 0) {
        memset(panel, 0, (size_t)(patch_width(weight->patches) * panel_row) * sizeof *panel);
    }
    for (int64_t i = left.begin; i < left.end; i += rows) {
        range_t some = {i, min_i64(i + rows, left.end)};
        pack_left(weight, &source, some, source.left, 0, panel, panel_row);
    }
}

#endif
