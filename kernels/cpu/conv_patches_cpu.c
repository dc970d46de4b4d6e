/* What a convolution's rows read, side by side, and which of the taps read anything. */
#include "kernels/cpu/conv_cpu.h"

/* --- taps ------------------------------------------------------------------------------------ */

/* Of a positive divisor, rounded down. */
static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

range_t REAL(conv_live_taps)(const op_axis_t *axis, int64_t first, int64_t last) {
    range_t live = {0, 0};
    for (int64_t j = 0; j < axis->size; j++) {
        int64_t shift = axis->before - j * axis->dilation; /* reads place o * stride - shift */
        int64_t begin = max_i64(first, -floor_div(-shift, axis->stride));
        int64_t end = min_i64(last, floor_div(axis->in - 1 + shift, axis->stride));
        if (begin <= end) {
            live.begin = live.end == 0 ? j : live.begin;
            live.end = j + 1;
        }
    }
    return live;
}

void REAL(conv_trim)(op_axis_t *axis, tap_run_t *taps) {
    range_t live = REAL(conv_live_taps)(axis, 0, axis->out - 1);
    if (live.end > live.begin) {
        axis->size = live.end - live.begin;
        axis->before -= live.begin * axis->dilation;
        taps->first += live.begin * taps->step;
    }
}

planes_t REAL(conv_planes)(const op_axis_t axis[OP_AXES]) {
    enum { ROWS_LEAST = 32 }; /* below, what is saved is less than what smaller products cost */
    int64_t rows = axis[1].out * axis[2].out;
    bool differ = axis[0].size > 1 && axis[0].out > 1 && rows >= ROWS_LEAST;
    return (planes_t){differ ? rows : 0, axis[0].out};
}

range_t REAL(conv_lines)(const patches_t *patches, const planes_t *planes, int64_t row) {
    const op_axis_t *axis = patches->axis;
    range_t lines = {0, line_count(patches)};
    bool whole_units = axis[1].size * line_width(patches) % UNIT_K == 0;
    if (whole_units && (planes->rows > 0 || axis[0].out == 1)) {
        int64_t o = planes->rows > 0 ? row / planes->rows % planes->count : 0;
        range_t live = REAL(conv_live_taps)(&axis[0], o, o);
        lines = (range_t){live.begin * axis[1].size, live.end * axis[1].size};
    }
    return lines;
}

bool REAL(conv_in_place)(const patches_t *patches) {
    bool same = patches->mask == NULL && !rows_collide(patches->from.row_stride) &&
                patches->cols % UNIT_K == 0;
    for (int a = 0; a < OP_AXES; a++) {
        const op_axis_t *x = &patches->axis[a];
        same = same && x->size == 1 && x->stride == 1 && x->before == 0 && x->in == x->out;
    }
    return same;
}

/* --- gathering ------------------------------------------------------------------------------- */

static void clear(act_t *to, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = 0;
    }
}

typedef struct reader {
    const patches_t *patches;
    int shard;
    int64_t col;
    range_t lines;
    bool joined; /* taps of the last axis read one run of numbers */
} reader_t;

static void read_rows(const reader_t *reader, int64_t row, int64_t count, act_t *restrict to) {
    const patches_t *p = reader->patches;
    const act_t *restrict from = row_of(p->from, reader->shard, row) + reader->col;
    if (p->mask != NULL) {
        before_relu(row_of(*p->mask, reader->shard, row) + reader->col, from, count, to);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        to[i] = from[i];
    }
}

/* The taps of the last axis on a line that begins with row `line`; the first reads place `at`. */
static void read_line(const reader_t *reader, int64_t line, int64_t at, act_t *to) {
    const op_axis_t *x = &reader->patches->axis[OP_AXES - 1];
    int64_t cols = reader->patches->cols;
    if (reader->joined) {
        int64_t begin = min_i64(max_i64(-at, 0), x->size);
        int64_t end = max_i64(min_i64(x->in - at, x->size), begin);
        clear(to, begin * cols);
        if (begin < end) {
            read_rows(reader, line + at + begin, (end - begin) * cols, to + begin * cols);
        }
        clear(to + end * cols, (x->size - end) * cols);
        return;
    }
    for (int64_t j = 0; j < x->size; j++, at += x->dilation, to += cols) {
        if (at >= 0 && at < x->in) {
            read_rows(reader, line + at, cols, to);
        } else {
            clear(to, cols);
        }
    }
}

/* Of the patch of the place o of the grid whose first row is `origin`. */
static void read_patch(const reader_t *reader, int64_t origin, const int64_t o[OP_AXES],
                       act_t *to) {
    const op_axis_t *axis = reader->patches->axis;
    int64_t width = line_width(reader->patches), at[OP_AXES];
    for (int a = 0; a < OP_AXES; a++) {
        at[a] = o[a] * axis[a].stride - axis[a].before;
    }
    int64_t j = reader->lines.begin / axis[1].size, k = reader->lines.begin % axis[1].size;
    for (int64_t i = reader->lines.begin; i < reader->lines.end; i++, to += width) {
        int64_t plane = at[0] + j * axis[0].dilation, line = at[1] + k * axis[1].dilation;
        if (plane >= 0 && plane < axis[0].in && line >= 0 && line < axis[1].in) {
            int64_t row = origin + (plane * axis[1].in + line) * axis[2].in;
            read_line(reader, row, at[2], to);
        } else {
            clear(to, width);
        }
        if (++k == axis[1].size) {
            k = 0;
            j++;
        }
    }
}

void REAL(conv_gather)(const patches_t *patches, int shard, int64_t col, int64_t begin,
                       int64_t rows, range_t lines, act_t *to, int64_t to_row) {
    const op_axis_t *axis = patches->axis;
    const matrix_t *mask = patches->mask;
    int64_t cols = patches->cols, width = (lines.end - lines.begin) * line_width(patches);
    reader_t reader = {.patches = patches, .shard = shard, .col = col, .lines = lines};
    reader.joined = axis[2].dilation == 1 && patches->from.row_stride == cols &&
                    (mask == NULL || mask->row_stride == cols);
    int64_t o[OP_AXES], rest = begin;
    for (int a = OP_AXES - 1; a >= 0; a--) {
        o[a] = rest % axis[a].out;
        rest /= axis[a].out;
    }
    int64_t origin = rest * window_in(axis);
    for (int64_t r = 0; r < rows; r++, to += to_row) {
        read_patch(&reader, origin, o, to);
        clear(to + width, align_up(width, UNIT_K) - width);
        for (int a = OP_AXES - 1; a >= 0 && ++o[a] == axis[a].out; a--) {
            o[a] = 0;
            origin += a == 0 ? window_in(axis) : 0;
        }
    }
}

/* --- pointing -------------------------------------------------------------------------------- */

bool REAL(conv_can_point)(const patches_t *patches) {
    enum { COLS_LEAST = 32 }; /* below, finding a row takes longer than copying it */
    return patches->mask == NULL && patches->cols >= COLS_LEAST && patches->cols % UNIT_K == 0 &&
           !rows_collide(patches->from.row_stride);
}

/* Rows [begin, end) read `place`, place + apart ...; step: from tile to tile. */
static inline void point_run(const act_t *place, int64_t apart, int64_t begin, int64_t end,
                             const act_t **to, int64_t step) {
    for (int64_t r = begin; r < end; r++) {
        int64_t tile = (int64_t)((size_t)r / TILE_ROWS), lane = (int64_t)((size_t)r % TILE_ROWS);
        to[tile * step + lane] = place + (r - begin) * apart;
    }
}

/* Where rows of results that are neighbours on the last axis read a line by its taps; the first
 * row's first tap reads place `at`. line NULL: padding. */
static void point_line(const patches_t *patches, const act_t *line, range_t rows, int64_t at,
                       const act_t *nothing, const act_t **to, int64_t step) {
    const op_axis_t *x = &patches->axis[2];
    int64_t row_stride = patches->from.row_stride, count = rows.end - rows.begin;
    for (int64_t j = 0; j < x->size; j++, at += x->dilation, to += TILE_ROWS) {
        int64_t inside = count, after = count; /* from here on, and no more from here on */
        if (line != NULL) {
            inside = min_i64(count, max_i64(0, div_up(-at, x->stride)));
            after = max_i64(inside, min_i64(count, div_up(x->in - at, x->stride)));
        }
        int64_t begin = rows.begin + inside, end = rows.begin + after;
        point_run(nothing, 0, rows.begin, begin, to, step);
        if (begin < end) {
            const act_t *place = line + (at + inside * x->stride) * row_stride;
            point_run(place, x->stride * row_stride, begin, end, to, step);
        }
        point_run(nothing, 0, end, rows.end, to, step);
    }
}

void REAL(conv_point)(const patches_t *patches, int shard, int64_t col, int64_t begin, int64_t rows,
                      range_t lines, const act_t *nothing, const act_t **to) {
    const op_axis_t *axis = patches->axis;
    int64_t step = (lines.end - lines.begin) * axis[2].size * TILE_ROWS, o[OP_AXES], rest = begin;
    for (int a = OP_AXES - 1; a >= 0; a--) {
        o[a] = rest % axis[a].out;
        rest /= axis[a].out;
    }
    int64_t origin = rest * window_in(axis);
    for (int64_t r = 0; r < rows;) {
        range_t some = {r, min_i64(rows, r + axis[2].out - o[2])};
        const act_t **tap = to;
        int64_t j = lines.begin / axis[1].size, k = lines.begin % axis[1].size;
        for (int64_t i = lines.begin; i < lines.end; i++, tap += axis[2].size * TILE_ROWS) {
            int64_t plane = o[0] * axis[0].stride - axis[0].before + j * axis[0].dilation;
            int64_t line = o[1] * axis[1].stride - axis[1].before + k * axis[1].dilation;
            bool inside = plane >= 0 && plane < axis[0].in && line >= 0 && line < axis[1].in;
            int64_t row = origin + (plane * axis[1].in + line) * axis[2].in;
            point_line(patches, inside ? row_of(patches->from, shard, row) + col : NULL, some,
                       o[2] * axis[2].stride - axis[2].before, nothing, tap, step);
            if (++k == axis[1].size) {
                k = 0;
                j++;
            }
        }
        r = some.end;
        o[2] = 0;
        for (int a = OP_AXES - 2; a >= 0 && ++o[a] == axis[a].out; a--) {
            o[a] = 0;
            origin += a == 0 ? window_in(axis) : 0;
        }
    }
}
