/* What a convolution's rows read, side by side. */
#include "kernels/cpu/conv_cpu.h"

bool REAL(conv_in_place)(const patches_t *patches) {
    bool same = patches->mask == NULL && !rows_collide(patches->from.row_stride);
    for (int a = 0; a < OP_AXES; a++) {
        const op_axis_t *x = &patches->axis[a];
        same = same && x->size == 1 && x->stride == 1 && x->before == 0 && x->in == x->out;
    }
    return same;
}

static void clear(float *to, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        to[i] = 0;
    }
}

typedef struct reader {
    const patches_t *patches;
    int shard;
    int64_t col;
    bool joined; /* taps of the last axis read one run of numbers */
} reader_t;

static void read_rows(const reader_t *reader, int64_t row, int64_t count, float *to) {
    const patches_t *p = reader->patches;
    const float *from = row_of(p->from, reader->shard, row) + reader->col;
    if (p->mask != NULL) {
        before_relu(row_of(*p->mask, reader->shard, row) + reader->col, from, count, to);
    } else {
        copy(to, from, count);
    }
}

/* The taps of the last axis on a line that begins with row `line`; the first reads place `at`. */
static void read_line(const reader_t *reader, int64_t line, int64_t at, float *to) {
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

/* The patch of the place o of the grid whose first row is `origin`. */
static void read_patch(const reader_t *reader, int64_t origin, const int64_t o[OP_AXES],
                       float *to) {
    const op_axis_t *axis = reader->patches->axis;
    int64_t line_width = axis[2].size * reader->patches->cols;
    int64_t at[OP_AXES];
    for (int a = 0; a < OP_AXES; a++) {
        at[a] = o[a] * axis[a].stride - axis[a].before;
    }
    for (int64_t j = 0; j < axis[0].size; j++) {
        int64_t plane = at[0] + j * axis[0].dilation;
        for (int64_t k = 0; k < axis[1].size; k++, to += line_width) {
            int64_t line = at[1] + k * axis[1].dilation;
            if (plane >= 0 && plane < axis[0].in && line >= 0 && line < axis[1].in) {
                int64_t row = origin + (plane * axis[1].in + line) * axis[2].in;
                read_line(reader, row, at[2], to);
            } else {
                clear(to, line_width);
            }
        }
    }
}

void REAL(conv_gather)(const patches_t *patches, int shard, int64_t col, int64_t begin,
                       int64_t rows, float *to, int64_t to_row) {
    const op_axis_t *axis = patches->axis;
    const matrix_t *mask = patches->mask;
    int64_t cols = patches->cols;
    reader_t reader = {.patches = patches, .shard = shard, .col = col};
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
        for (int a = OP_AXES - 1; a >= 0 && ++o[a] == axis[a].out; a--) {
            o[a] = 0;
            origin += a == 0 ? window_in(axis) : 0;
        }
    }
}
