/* The gradient of conv's weights over a run of shards in the order of the canonical tree. Of one
 * shard: patches' dz, so many rows at a time (a part), whose sum is added to what the rows before
 * have left: of n rows, no chain of additions is longer than a part or than n parts of it. It is
 * summed as [group, tap, in, out] and put into the weight's order at the end. What waits for its
 * right side is added by the part that ends this. Patches are gathered some lines at a time, so
 * that a sum is read and written once for many rows; a part of one plane does without the taps that
 * meet padding there. */
#include "kernels/cpu/conv_cpu.h"
#include "kernels/cpu/weights_tree.h"

enum {
    PART_ROWS_LEAST = 32,
    PART_ROWS_MOST = 128 * UNIT_K, /* of a panel of dz that stays in the first-level cache */
    PART_BYTES = 768 * 1024,       /* of one line of patches */
    CHUNK_BYTES = 512 * 1024,      /* of some */
    STRIP_COLS = 16,               /* of patches at a time: a cache line of units */
    GATHER_ROWS = 8,
    POINT_ROWS = 4 * TILE_ROWS,
    POINT_COLS_LEAST = 32, /* below, finding a row takes longer than copying it */
    ALIGN_ELEMENTS = 16,
    PLANES_MOST = 32, /* taps of the first axis that are told apart */
};
_Static_assert(WAITING_MAX + 1 <= ADDENDS_MAX, "a tile adds to what is there, and ends what waits");
_Static_assert(PART_ROWS_MOST % UNIT_K == 0 && GATHER_ROWS % UNIT_K == 0, "whole units");

static int64_t weight_count(const conv_plan_t *plan) {
    return plan->base.description.out.cols * plan->width;
}

/* What a thread needs for some rows of a chunk: these, or zeros and where each tap reads. */
static int64_t rows_count(const conv_plan_t *plan) {
    enum { POINTER_FLOATS = sizeof(void *) / sizeof(float) };
    int64_t taps = plan->chunk_lines * plan->base.description.attributes.axis[2].size;
    if (plan->in < POINT_COLS_LEAST) {
        return floats_of(GATHER_ROWS * row_apart(taps * plan->in));
    }
    return floats_of(plan->in) + align_up(POINT_ROWS * taps * POINTER_FLOATS, LINE_UNITS);
}

/* The workspace: what each thread has for some rows, patches, dz, sums. */
int64_t REAL(conv_weights_plan)(conv_plan_t *plan) {
    const op_description_t *d = &plan->base.description;
    const op_axis_t *axis = d->attributes.axis;
    int64_t line = axis[2].size * plan->in, lines = axis[0].size * axis[1].size;
    int64_t numbers = PART_BYTES / (int64_t)sizeof(act_t), some = CHUNK_BYTES / sizeof(act_t);
    plan->part_rows = max_i64(PART_ROWS_LEAST, min_i64(numbers / line, PART_ROWS_MOST));
    plan->part_rows = align_up(plan->part_rows, UNIT_K);
    plan->chunk_lines = min_i64(lines, max_i64(1, some / plan->part_rows / line));
    int64_t width = plan->chunk_lines * line, units = units_of(plan->part_rows);
    plan->left_offset = plan->threads * rows_count(plan);
    plan->right_offset = plan->left_offset + align_up(width, STRIP_COLS) * units;
    plan->total_offset = plan->right_offset + panel_cols(plan->out) * units;
    plan->total_offset = align_up(plan->total_offset, ALIGN_ELEMENTS);
    return plan->total_offset + weight_count(plan) + d->out.cols;
}

typedef struct weights_job {
    const op_use_t *uses;
    const conv_plan_t *plan; /* of the first use: all are alike but for their rows */
    op_axis_t axis[OP_AXES]; /* without taps that no row needs: their gradient is 0 */
    tap_run_t taps[OP_AXES];
    planes_t planes;
    int64_t width;     /* of such a patch */
    int64_t leaf_rows; /* of one shard, all uses one after the other */
    int64_t gathered_row;
    float *gathered;
    unit_t *left, *right;
    int64_t parts_of_tap[PLANES_MOST]; /* of the first axis: parts of a leaf that need it */
} weights_job_t;

/* Rows [begin, begin + rows) of a leaf and one group. */
typedef struct part {
    int shard;
    int64_t group, begin, rows;
    range_t lines;
    target_t target;
} part_t;

/* Some lines of its patches. */
typedef struct chunk {
    range_t lines;
    int64_t first, width; /* of the columns of a patch */
    target_t target;
} chunk_t;

/* Rows of a part that are of one use. */
typedef struct segment {
    const op_use_t *use;
    int64_t row, rows;
} segment_t;

static int64_t rows_of_use(const op_use_t *use) { return use->plan->description.out.rows; }

/* What begins with row `at` of the leaf and ends before `end`. */
static segment_t segment_at(const weights_job_t *job, int64_t at, int64_t end) {
    const op_use_t *use = job->uses;
    int64_t before = 0;
    while (at - before >= rows_of_use(use)) {
        before += rows_of_use(use++);
    }
    int64_t row = at - before;
    return (segment_t){use, row, min_i64(rows_of_use(use) - row, end - at)};
}

/* As the use has it, but with the taps of the job. */
static patches_t patches_of(const weights_job_t *job, const op_use_t *use) {
    patches_t patches = {.cols = job->plan->in, .from = use->call->in[0]};
    memcpy(patches.axis, use->plan->description.attributes.axis, sizeof patches.axis);
    for (int a = 0; a < OP_AXES; a++) {
        patches.axis[a].size = job->axis[a].size;
        patches.axis[a].before -= job->taps[a].first * patches.axis[a].dilation;
    }
    return patches;
}

/* --- a part ---------------------------------------------------------------------------------- */

/* Rows [begin, end) of the leaf, one after the other; what lacks of whole units is 0. */
static void gather(const weights_job_t *job, const part_t *part, const chunk_t *chunk,
                   int64_t begin, int64_t end, act_t *to) {
    int64_t row = job->gathered_row, group = part->group * job->plan->in;
    for (int64_t at = begin; at < end;) {
        segment_t s = segment_at(job, at, end);
        patches_t patches = patches_of(job, s.use);
        REAL(conv_gather)
        (&patches, part->shard, group, s.row, s.rows, chunk->lines, to + (at - begin) * row, row);
        at += s.rows;
    }
    if ((end - begin) % UNIT_K != 0) {
        memset(to + (end - begin) * row, 0, (size_t)row * sizeof *to);
    }
}

/* Some units of two rows (one, where a unit is one number) into a strip. */
static inline void place_units(const act_t *restrict first, const act_t *restrict second,
                               int64_t cols, unit_t *restrict strip) {
    for (int64_t i = 0; i < cols; i++) {
        strip[i] = unit_pair(first[i], second[i]);
    }
}

/* Gathered rows into strips: [strip][units][STRIP_COLS]. */
static void place_strips(const act_t *from, int64_t row, int64_t width, int64_t units,
                         int64_t part_units, unit_t *to) {
    int64_t whole = width / STRIP_COLS * STRIP_COLS;
    for (int64_t u = 0; u < units; u++, from += UNIT_K * row, to += STRIP_COLS) {
        const act_t *second = from + (UNIT_K - 1) * row;
        unit_t *strip = to;
        for (int64_t c = 0; c < whole; c += STRIP_COLS, strip += part_units * STRIP_COLS) {
            place_units(from + c, second + c, STRIP_COLS, strip);
        }
        place_units(from + whole, second + whole, width - whole, strip);
    }
}

static void gather_rows(const weights_job_t *job, const part_t *part, const chunk_t *chunk,
                        int64_t begin, int64_t rows, act_t *memory, unit_t *to) {
    gather(job, part, chunk, begin, begin + rows, memory);
    place_strips(memory, job->gathered_row, chunk->width, units_of(rows), units_of(part->rows), to);
}

/* Where each tap of rows [begin, end) of the leaf reads; what lacks of whole units is `nothing`. */
static void point(const weights_job_t *job, const part_t *part, const chunk_t *chunk, int64_t begin,
                  int64_t end, const act_t *nothing, const act_t **taps) {
    int64_t count = (chunk->lines.end - chunk->lines.begin) * job->axis[2].size;
    int64_t group = part->group * job->plan->in;
    for (int64_t at = begin; at < end;) {
        segment_t s = segment_at(job, at, end);
        patches_t patches = patches_of(job, s.use);
        int64_t r = at - begin, rows = r % TILE_ROWS == 0 ? s.rows : 1;
        REAL(conv_point)
        (&patches, part->shard, group, s.row, rows, chunk->lines, nothing,
         taps + r / TILE_ROWS * count * TILE_ROWS + r % TILE_ROWS);
        at += rows;
    }
    for (int64_t r = end - begin; r % UNIT_K != 0; r++) {
        for (int64_t t = 0; t < count; t++) {
            taps[(r / TILE_ROWS * count + t) * TILE_ROWS + r % TILE_ROWS] = nothing;
        }
    }
}

/* The units of the columns of a tap from c on, all in one strip. */
static inline void place_run(const act_t *const *tap, int64_t tap_rows, int64_t units, int64_t c,
                             int64_t cols, unit_t *strip) {
    for (int64_t u = 0; u < units; u++, strip += STRIP_COLS) {
        const act_t *const *row = tap + UNIT_K * u / TILE_ROWS * tap_rows + UNIT_K * u % TILE_ROWS;
        place_units(row[0] + c, row[UNIT_K - 1] + c, cols, strip);
    }
}

/* Rows that are pointed to: each is read once and goes where the product wants it. */
static void point_rows(const weights_job_t *job, const part_t *part, const chunk_t *chunk,
                       int64_t begin, int64_t rows, act_t *memory, unit_t *to) {
    int64_t in = job->plan->in, strip_step = units_of(part->rows) * STRIP_COLS;
    int64_t tap_rows = chunk->width / in * TILE_ROWS;
    const act_t **taps = (const act_t **)((float *)memory + floats_of(in));
    point(job, part, chunk, begin, begin + rows, memory, taps);
    for (int64_t first = 0; first < chunk->width; first += in) {
        const act_t *const *tap = taps + first / in * TILE_ROWS;
        for (int64_t c = 0; c < in;) {
            int64_t k = first + c, lane = k % STRIP_COLS;
            int64_t cols = min_i64(STRIP_COLS - lane, in - c);
            unit_t *strip = to + k / STRIP_COLS * strip_step + lane;
            if (cols == STRIP_COLS) {
                place_run(tap, tap_rows, units_of(rows), c, STRIP_COLS, strip);
            } else {
                place_run(tap, tap_rows, units_of(rows), c, cols, strip);
            }
            c += cols;
        }
    }
}

static void gather_chunk(const weights_job_t *job, const part_t *part, const chunk_t *chunk) {
    bool pointed = job->plan->in >= POINT_COLS_LEAST;
    int64_t once = pointed ? POINT_ROWS : GATHER_ROWS, mine = rows_count(job->plan);
    act_t *memory = (act_t *)(job->gathered + omp_get_thread_num() * mine);
    if (pointed) {
        memset(memory, 0, (size_t)job->plan->in * sizeof *memory);
    }
#pragma omp for schedule(static)
    for (int64_t r = 0; r < part->rows; r += once) {
        int64_t rows = min_i64(once, part->rows - r);
        unit_t *to = job->left + r / UNIT_K * STRIP_COLS;
        if (pointed) {
            point_rows(job, part, chunk, part->begin + r, rows, memory, to);
        } else {
            gather_rows(job, part, chunk, part->begin + r, rows, memory, to);
        }
    }
}

/* Columns of d_out as they were before relu, 0 beyond `cols`. */
static void right_row(const segment_t *s, int shard, int64_t row, int64_t col, int64_t cols,
                      act_t to[TILE_COLS]) {
    const op_call_t *call = s->use->call;
    const act_t *dy = row_of(call->d_out, shard, row) + col;
    if (conv_has_relu(s->use->plan)) {
        before_relu(row_of(call->out, shard, row) + col, dy, cols, to);
    } else {
        memcpy(to, dy, (size_t)cols * sizeof *to);
    }
    memset(to + cols, 0, (size_t)(TILE_COLS - cols) * sizeof *to);
}

static void pack_right(const weights_job_t *job, const part_t *part, int64_t col, int64_t cols,
                       unit_t *panel) {
    act_t rows[UNIT_K][TILE_COLS];
    int64_t width = panel_cols(cols), end = part->begin + part->rows, waiting = 0;
    for (int64_t at = part->begin; at < end;) {
        segment_t s = segment_at(job, at, end);
        int64_t whole = waiting == 0 && !conv_has_relu(s.use->plan) ? s.rows / UNIT_K * UNIT_K : 0;
        matrix_t dy = s.use->call->d_out;
        REAL(product_pack)
        (whole, cols, row_of(dy, part->shard, s.row) + col, dy.row_stride, panel);
        panel += units_of(whole) * width;
        for (int64_t r = s.row + whole; r < s.row + s.rows; r++) {
            right_row(&s, part->shard, r, col, cols, rows[waiting]);
            if (++waiting == UNIT_K) {
                REAL(product_pack)(UNIT_K, width, rows[0], TILE_COLS, panel);
                panel += width;
                waiting = 0;
            }
        }
        at += s.rows;
    }
    if (waiting > 0) {
        REAL(product_pack)(waiting, width, rows[0], TILE_COLS, panel);
    }
}

static void sum_bias(const part_t *part, int64_t col, int64_t cols, const unit_t *panel) {
    float total[TILE_COLS] = {0};
    int64_t width = panel_cols(cols);
    for (int64_t u = 0; u < units_of(part->rows); u++, panel += width) {
        for (int i = 0; i < UNIT_K; i++) {
            for (int64_t c = 0; c < width; c++) {
                total[c] += unit_part(panel[c], i);
            }
        }
    }
    target_bias(&part->target, col, cols, total);
}

/* Some columns of the patches and a panel of dz. */
static void sum_strip(const weights_job_t *job, const part_t *part, const chunk_t *chunk,
                      int64_t strip, int64_t col) {
    const conv_plan_t *plan = job->plan;
    int64_t cols = panel_width(plan->out, col), units = units_of(part->rows);
    int64_t end_row = min_i64(strip + STRIP_COLS, chunk->width), line = sizeof(float) * plan->out;
    for (int64_t k = strip; k < end_row; k += TILE_ROWS) {
        int64_t place = (part->group * job->width + chunk->first + k) * plan->out + col;
        int64_t rows = min_i64(TILE_ROWS, end_row - k);
        tile_end_t end; /* all of it would be cleared for each tile */
        end.addend_count = 0;
        end.bias = NULL;
        end.relu = false;
        target_end(&chunk->target, place, plan->out, &end);
        tile_t tile = {.rows = rows,
                       .cols = cols,
                       .k = units,
                       .a = (const act_t *)(job->left + strip * units + k - strip),
                       .a_row = UNIT_K,
                       .a_col = UNIT_K * STRIP_COLS,
                       .panel = job->right + units * col,
                       .c = chunk->target.out.weight + place,
                       .c_row = plan->out,
                       .end = &end};
        prefetch_tile(tile.c, line, rows, cols * (int64_t)sizeof(float));
        REAL(product_tile)(&tile);
    }
}

static void sum_chunk(const weights_job_t *job, const part_t *part, const chunk_t *chunk) {
    int64_t strips = div_up(chunk->width, STRIP_COLS), panels = panel_count(job->plan->out);
    gather_chunk(job, part, chunk);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < panels * strips; i++) {
        int64_t col = panel_begin(job->plan->out, i / strips);
        sum_strip(job, part, chunk, i % strips * STRIP_COLS, col);
    }
}

/* --- parts ----------------------------------------------------------------------------------- */

/* How many parts before this one had a tap of the first axis. */
typedef struct progress {
    int64_t parts[PLANES_MOST];
} progress_t;

/* Chunks are of one tap of the first axis where parts differ by it. */
static void sum_part(const weights_job_t *job, const part_t *part, const progress_t *done) {
    const conv_plan_t *plan = job->plan;
    int64_t panels = panel_count(plan->out), lines = job->axis[1].size;
    int64_t line = job->axis[2].size * plan->in;
#pragma omp for schedule(static)
    for (int64_t p = 0; p < panels; p++) {
        int64_t col = panel_begin(plan->out, p), cols = panel_width(plan->out, col);
        unit_t *panel = job->right + units_of(part->rows) * col;
        pack_right(job, part, part->group * plan->out + col, cols, panel);
        if (plan->base.description.attributes.bias) {
            sum_bias(part, part->group * plan->out + col, cols, panel);
        }
    }
    for (int64_t i = part->lines.begin; i < part->lines.end;) {
        int64_t end = min_i64(part->lines.end, i + plan->chunk_lines);
        chunk_t chunk = {.target = part->target};
        if (job->planes.rows > 0) {
            int64_t tap = i / lines;
            end = min_i64(end, (tap + 1) * lines);
            chunk.target.begins = done->parts[tap] == 0;
            chunk.target.ends = done->parts[tap] + 1 == job->parts_of_tap[tap];
        }
        chunk.lines = (range_t){i, end};
        chunk.first = i * line;
        chunk.width = (end - i) * line;
        sum_chunk(job, part, &chunk);
        i = end;
    }
}

/* Nothing of OpenMP's is opened for one thread. */
static void sum_threads(const weights_job_t *job, const part_t *part, const progress_t *done) {
    if (job->plan->threads == 1) {
        sum_part(job, part, done);
        return;
    }
#pragma omp parallel num_threads(job->plan->threads)
    sum_part(job, part, done);
}

/* The part that begins with this row. Parts are cut by the rows of the leaf, whatever use these are
 * of, and where a plane ends; those of a plane are about equal. */
static void cut_part(const weights_job_t *job, int64_t begin, part_t *part) {
    const planes_t *planes = &job->planes;
    int64_t run = planes->rows > 0 ? planes->rows : job->leaf_rows, most = job->plan->part_rows;
    int64_t rows = align_up(div_up(run, div_up(run, most)), UNIT_K);
    patches_t patches = {.cols = job->plan->in};
    memcpy(patches.axis, job->axis, sizeof patches.axis);
    part->begin = begin;
    part->rows = min_i64(rows, run - begin % run);
    part->lines = (range_t){0, line_count(&patches)};
    if (planes->rows > 0) {
        part->lines = REAL(conv_lines)(&patches, planes, begin);
    }
}

static void count_part(const weights_job_t *job, const part_t *part, int64_t *parts_of_tap) {
    if (job->planes.rows > 0) {
        int64_t lines = job->axis[1].size;
        for (int64_t t = part->lines.begin / lines; t < part->lines.end / lines; t++) {
            parts_of_tap[t]++;
        }
    }
}

/* --- a shard --------------------------------------------------------------------------------- */

static void sum_group(const weights_job_t *job, int64_t group, int shard, sums_t out,
                      const waiting_t *waiting) {
    part_t part = {.shard = shard, .group = group, .target = {out, waiting, true, true}};
    progress_t done = {{0}};
    for (int64_t at = 0; at < job->leaf_rows; at += part.rows) {
        cut_part(job, at, &part);
        part.target.begins = at == 0;
        part.target.ends = at + part.rows == job->leaf_rows;
        sum_threads(job, &part, &done);
        count_part(job, &part, done.parts);
    }
}

static void sum_leaf(const void *of, int begin, int end, sums_t out, const waiting_t *waiting) {
    const weights_job_t *job = of;
    REQUIRE(end == begin + 1);
    for (int64_t i = 0; i < job->plan->base.description.attributes.groups; i++) {
        sum_group(job, i, begin, out, waiting);
    }
}

/* --- calls ----------------------------------------------------------------------------------- */

/* Numbers of one input and another, all taps in turn: where the sums of `out` outputs lie. */
enum { NUMBERS_AT_ONCE = 64, OUT_AT_ONCE = 16 };
typedef struct rows_of {
    const float *first[NUMBERS_AT_ONCE + 4];
    int64_t count;
} rows_of_t;
static const float no_sums[OUT_AT_ONCE] = {0};

/* The live tap that this tap of the weight is; -1: none. */
static int64_t live_tap(const weights_job_t *job, int64_t tap) {
    const op_axis_t *axis = job->plan->base.description.attributes.axis;
    int64_t at = 0, step = 1;
    for (int a = OP_AXES - 1; a >= 0; a--) {
        int64_t j = tap % axis[a].size - job->taps[a].first, size = job->axis[a].size;
        if (j < 0 || j >= size) {
            return -1;
        }
        at += j * step;
        step *= size;
        tap /= axis[a].size;
    }
    return at;
}

/* Of outputs [begin, end): four by four, so that cache lines are written whole. The next rows are
 * fetched meanwhile: they lie in as many places. */
static void reorder_rows(const rows_of_t *rows, const rows_of_t *next, int64_t begin, int64_t end,
                         int64_t width, float *to) {
    for (int64_t q = 0; q < rows->count; q += 4) {
        const float *from[4];
        float *out = to + begin * width + q;
        for (int i = 0; i < 4; i++) {
            from[i] = rows->first[q + i] == no_sums ? no_sums : rows->first[q + i] + begin;
            if (next->first[q + i] != no_sums) {
                __builtin_prefetch(next->first[q + i] + begin);
            }
        }
        int64_t o = 0;
        for (; o + 4 <= end - begin && q + 4 <= rows->count; o += 4, out += 4 * width) {
            __m128 x0 = _mm_loadu_ps(from[0] + o), x1 = _mm_loadu_ps(from[1] + o);
            __m128 x2 = _mm_loadu_ps(from[2] + o), x3 = _mm_loadu_ps(from[3] + o);
            _MM_TRANSPOSE4_PS(x0, x1, x2, x3);
            _mm_storeu_ps(out, x0);
            _mm_storeu_ps(out + width, x1);
            _mm_storeu_ps(out + 2 * width, x2);
            _mm_storeu_ps(out + 3 * width, x3);
        }
        for (; o < end - begin; o++, out += width) {
            for (int64_t i = 0; i < min_i64(4, rows->count - q); i++) {
                out[i] = from[i][o];
            }
        }
    }
}

/* Where the sums of the numbers from k on lie. */
static void find_rows(const weights_job_t *job, const float *from, int64_t k, rows_of_t *rows) {
    const conv_plan_t *plan = job->plan;
    int64_t t = k % plan->taps, in = k / plan->taps;
    rows->count = max_i64(0, min_i64(NUMBERS_AT_ONCE, plan->width - k));
    for (int64_t i = 0; i < NUMBERS_AT_ONCE + 4; i++) {
        int64_t tap = i < rows->count ? live_tap(job, t) : -1;
        rows->first[i] = tap < 0 ? no_sums : from + (tap * plan->in + in) * plan->out;
        if (++t == plan->taps) {
            t = 0;
            in++;
        }
    }
}

/* Outputs [begin, end) of one group, from [live tap, in, out] to [out, in, tap]. */
static void reorder(const weights_job_t *job, const float *from, int64_t begin, int64_t end,
                    float *to) {
    const conv_plan_t *plan = job->plan;
    rows_of_t rows[2];
    find_rows(job, from, 0, &rows[0]);
    for (int64_t k = 0, i = 0; k < plan->width; k += NUMBERS_AT_ONCE, i = 1 - i) {
        find_rows(job, from, k + NUMBERS_AT_ONCE, &rows[1 - i]);
        for (int64_t o = begin; o < end; o += OUT_AT_ONCE) {
            reorder_rows(&rows[i], &rows[1 - i], o, min_i64(o + OUT_AT_ONCE, end), plan->width,
                         to + k);
        }
    }
}

static void reorder_all(const weights_job_t *job, const float *from, float *to) {
    enum { OUT_OF_ONE = 64 };
    const conv_plan_t *plan = job->plan;
    int64_t out = plan->base.description.out.cols, groups = out / plan->out;
    int64_t blocks = div_up(plan->out, OUT_OF_ONE);
#pragma omp parallel for schedule(static) num_threads(plan->threads) if (plan->threads > 1)
    for (int64_t b = 0; b < groups * blocks; b++) {
        int64_t group = b / blocks, begin = b % blocks * OUT_OF_ONE;
        reorder(job, from + group * plan->out * job->width, begin,
                min_i64(begin + OUT_OF_ONE, plan->out), to + group * plan->out * plan->width);
    }
}

/* What all uses of a weight have in common. */
static bool is_alike(const conv_plan_t *a, const conv_plan_t *b) {
    const op_attributes_t *x = &a->base.description.attributes;
    const op_attributes_t *y = &b->base.description.attributes;
    bool alike = a->in == b->in && a->out == b->out && x->groups == y->groups;
    for (int i = 0; i < OP_AXES; i++) {
        alike = alike && x->axis[i].size == y->axis[i].size;
    }
    return alike;
}

/* Taps that no use needs are left out. Planes are told apart where all uses have the same. */
static void find_taps(weights_job_t *job, int use_count) {
    const op_attributes_t *first = &job->uses[0].plan->description.attributes;
    memcpy(job->axis, first->axis, sizeof job->axis);
    bool same = true;
    for (int u = 1; u < use_count; u++) {
        const op_attributes_t *other = &job->uses[u].plan->description.attributes;
        same = same && memcmp(first->axis, other->axis, sizeof first->axis) == 0;
    }
    for (int a = 0; a < OP_AXES; a++) {
        job->taps[a] = (tap_run_t){0, 1};
        if (same) {
            REAL(conv_trim)(&job->axis[a], &job->taps[a]);
        }
    }
    job->planes = REAL(conv_planes)(job->axis);
    if (!same || job->axis[0].size > PLANES_MOST) {
        job->planes.rows = 0;
    }
    job->width = window_taps(job->axis) * job->plan->in;
    part_t part;
    for (int64_t at = 0; at < job->leaf_rows && job->planes.rows > 0; at += part.rows) {
        cut_part(job, at, &part);
        count_part(job, &part, job->parts_of_tap);
    }
}

void REAL(conv_backward_tree)(const op_use_t *uses, int use_count, int shard_begin, int shard_end,
                              void *const d_weight[OP_WEIGHTS_MAX], void *scratch) {
    const conv_plan_t *plan = (const conv_plan_t *)uses[0].plan;
    int64_t biases = plan->base.description.attributes.bias ? plan->base.description.out.cols : 0;
    float *workspace = uses[0].call->workspace, *total = workspace + plan->total_offset;
    int64_t line = plan->base.description.attributes.axis[2].size * plan->in;
    weights_job_t job = {.uses = uses, .plan = plan, .gathered = workspace};
    job.gathered_row = row_apart(plan->chunk_lines * line);
    job.left = (unit_t *)uses[0].call->workspace + plan->left_offset;
    job.right = (unit_t *)uses[0].call->workspace + plan->right_offset;
    for (int u = 0; u < use_count; u++) {
        REQUIRE(is_alike(plan, (const conv_plan_t *)uses[u].plan));
        job.leaf_rows += rows_of_use(&uses[u]);
    }
    find_taps(&job, use_count);
    int64_t count = plan->base.description.out.cols * job.width;
    weights_tree_t tree = {.sum = sum_leaf,
                           .job = &job,
                           .weight_count = count,
                           .count = align_up(count + biases, ALIGN_ELEMENTS)};
    waiting_t none = {.count = 0};
    weights_tree_sum(&tree, shard_begin, shard_end, (sums_t){total, total + count}, &none, scratch);
    reorder_all(&job, total, d_weight[0]);
    if (biases > 0) {
        memcpy(d_weight[1], total + count, (size_t)biases * sizeof *total);
    }
}

void REAL(conv_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    REQUIRE(call->shard_end == call->shard_begin + 1);
    op_use_t use = {plan, call};
    REAL(conv_backward_tree)
    (&use, 1, call->shard_begin, call->shard_end, call->d_weight, NULL);
}
