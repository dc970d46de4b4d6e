/* The gradient of linear's weights over a run of shards in the order of the canonical tree:
 * dW = dz' x and db, or, transposed, dW = x' dy and db = 0. Shards whose rows fit are a group: the
 * right factor in panels, the left one strip by strip, and the tree over the group is walked tile
 * by tile, so that what waits for its right side lies in the first-level cache. Groups meet in
 * memory (weights_tree.h). */
#include "kernels/cpu/linear_cpu.h"
#include "kernels/cpu/weights_tree.h"

enum { TILE_ELEMENTS = TILE_ROWS * TILE_COLS, GROUP_UNITS_LEAST = 32, ALIGN_ELEMENTS = 16 };

/* The gradient has the rows of the left factor's columns and the columns of the right one's. */
static const matrix_t *left_of(const linear_plan_t *plan, const op_call_t *call) {
    return is_transposed(plan) ? &call->in[0] : &call->d_out;
}
static const matrix_t *right_of(const linear_plan_t *plan, const op_call_t *call) {
    return is_transposed(plan) ? &call->d_out : &call->in[0];
}

static int64_t right_cols(const linear_plan_t *plan) {
    const op_description_t *d = &plan->base.description;
    return is_transposed(plan) ? d->out.cols : d->in[0].cols;
}
static int64_t left_cols(const linear_plan_t *plan) {
    const op_description_t *d = &plan->base.description;
    return is_transposed(plan) ? d->in[0].cols : d->out.cols;
}

int64_t REAL(linear_weights_plan)(linear_plan_t *plan) {
    int64_t width = panel_cols(right_cols(plan)), threads = plan->threads;
    int64_t units = GROUP_BYTES / (int64_t)sizeof(unit_t) / width;
    plan->group_units = max_i64(GROUP_UNITS_LEAST, min_i64(units, GROUP_UNITS_MOST));
    plan->strips_offset = plan->group_units * width;
    plan->tiles_offset = plan->strips_offset + threads * plan->group_units * STRIP_COLS;
    return plan->tiles_offset + threads * TREE_TILES * TILE_ELEMENTS;
}

_Static_assert(WAITING_MAX + TREE_TILES + 1 <= ADDENDS_MAX, "a tile may end all that waits");

typedef struct weights_job {
    const op_use_t *uses;
    int use_count;
    const linear_plan_t *plan; /* of the first use: all have the same columns */
    int64_t rows, cols;        /* of the gradient */
    int64_t leaf_units;        /* of rows of one shard, all uses one after the other */
    unit_t *panels, *strips;
    float *tiles;
} weights_job_t;

/* Units [begin, end) of the leaves from `shard` on, all leaves or a part of one. Those of rows that
 * do not count are left out: they would add 0. */
typedef struct group {
    int shard, leaves;
    int64_t begin, end;
    target_t target;
    int16_t at[GROUP_UNITS_MOST + 1]; /* by leaf: units before it that are not left out */
} group_t;

/* --- packing --------------------------------------------------------------------------------- */

typedef struct segment {
    const op_call_t *call;
    const matrix_t *left, *right;
    bool relu;
    int shard;
    int64_t shard_rows, row, rows, units;
} segment_t;

static int64_t units_of_use(const op_use_t *use) {
    return units_of(use->plan->description.out.rows);
}

/* The rows of one use and one shard that begin with unit `at` of the group's leaves. */
static segment_t segment_at(const weights_job_t *job, const group_t *group, int64_t at) {
    int64_t unit = at % job->leaf_units;
    int use = 0;
    while (unit >= units_of_use(&job->uses[use])) {
        unit -= units_of_use(&job->uses[use++]);
    }
    const op_use_t *of = &job->uses[use];
    int64_t units = min_i64(units_of_use(of) - unit, group->end - at), row = unit * UNIT_K;
    const linear_plan_t *plan = (const linear_plan_t *)of->plan;
    return (segment_t){.call = of->call,
                       .left = left_of(plan, of->call),
                       .right = right_of(plan, of->call),
                       .relu = has_relu(plan),
                       .shard = group->shard + (int)(at / job->leaf_units),
                       .shard_rows = of->plan->description.out.rows,
                       .row = row,
                       .rows = min_i64(of->plan->description.out.rows - row, units * UNIT_K),
                       .units = units};
}

/* How many units do not count from the segment's first on; if that does, 0, and the segment is cut
 * to those that do. first: something of a leaf stays. */
static int64_t trim(segment_t *s, bool first) {
    const live_t *live = s->call->live;
    int64_t each = live != NULL ? s->shard_rows / live->samples : 1;
    if (live == NULL || each % UNIT_K != 0) {
        return 0;
    }
    int64_t sample = s->row / each, at = s->row % each;
    row_range_t range = live_rows(live, s->shard * live->samples + sample, each);
    int64_t begin = range.begin / UNIT_K * UNIT_K, end = align_up(range.end, UNIT_K);
    bool counts = at >= begin && at < end;
    if (!counts && !first) {
        int64_t next = at < begin && begin < end ? begin : each;
        return min_i64((next - at) / UNIT_K, s->units);
    }
    s->units = counts ? min_i64(s->units, (end - at) / UNIT_K) : 1;
    s->rows = min_i64(s->rows, s->units * UNIT_K);
    return 0;
}

static int64_t leaf_units_of(const group_t *group) {
    return (group->end - group->begin) / group->leaves;
}

/* The next one that counts from unit *at on, which is moved to its first; false: there is none. */
static bool next_segment(const weights_job_t *job, const group_t *group, int64_t *at,
                         segment_t *segment_out) {
    for (int64_t skipped = 1; *at < group->end; *at += skipped) {
        *segment_out = segment_at(job, group, *at);
        skipped = trim(segment_out, (*at - group->begin) % leaf_units_of(group) == 0);
        if (skipped == 0) {
            return true;
        }
    }
    return false;
}

static int64_t packed_units(const group_t *group) { return group->at[group->leaves]; }

static void count_units(const weights_job_t *job, group_t *group) {
    segment_t s;
    memset(group->at, 0, sizeof group->at);
    for (int64_t at = group->begin; next_segment(job, group, &at, &s); at += s.units) {
        int64_t leaf = (at - group->begin) / leaf_units_of(group);
        group->at[leaf + 1] = (int16_t)(group->at[leaf + 1] + s.units);
    }
    for (int leaf = 0; leaf < group->leaves; leaf++) {
        group->at[leaf + 1] = (int16_t)(group->at[leaf + 1] + group->at[leaf]);
    }
}

static void pack_panel(const weights_job_t *job, const group_t *group, int64_t col) {
    int64_t cols = min_i64(TILE_COLS, job->cols - col);
    unit_t *panel = job->panels + packed_units(group) * col;
    segment_t s;
    for (int64_t at = group->begin; next_segment(job, group, &at, &s); at += s.units) {
        REAL(product_pack)
        (s.rows, cols, row_of(*s.right, s.shard, s.row) + col, s.right->row_stride, panel);
        panel += s.units * panel_cols(cols);
    }
}

/* Columns of the left factor's rows, as they were before relu. */
static void pack_before_relu(const segment_t *s, int64_t col, int64_t cols, unit_t *strip) {
    const act_t *dy = row_of(*s->left, s->shard, s->row) + col;
    const act_t *y = row_of(s->call->out, s->shard, s->row) + col;
    int64_t rows = s->rows, dy_row = s->left->row_stride, y_row = s->call->out.row_stride;
    for (int64_t r = 0; r < rows; r += UNIT_K, strip += panel_cols(cols)) {
#ifdef ACTIVATION_BF16
        act_t pair[UNIT_K][STRIP_COLS];
        int64_t count = min_i64(UNIT_K, rows - r);
        for (int64_t i = 0; i < count; i++) {
            before_relu(y + (r + i) * y_row, dy + (r + i) * dy_row, cols, pair[i]);
        }
        REAL(product_pack)(count, cols, pair[0], STRIP_COLS, strip);
#else
        before_relu(y + r * y_row, dy + r * dy_row, cols, strip);
#endif
    }
}

/* Columns of the left factor, unit after unit, as in a panel. */
static void pack_strip(const weights_job_t *job, const group_t *group, int64_t col, int64_t cols,
                       unit_t *strip) {
    segment_t s;
    for (int64_t at = group->begin; next_segment(job, group, &at, &s); at += s.units) {
        if (s.relu) {
            pack_before_relu(&s, col, cols, strip);
        } else {
            REAL(product_pack)
            (s.rows, cols, row_of(*s.left, s.shard, s.row) + col, s.left->row_stride, strip);
        }
        strip += s.units * panel_cols(cols);
    }
}

/* --- what need not be packed ----------------------------------------------------------------- */

/* A factor's rows, unit after unit. */
typedef struct factor {
    const unit_t *first;
    int64_t stride;
} factor_t;

/* Of a group whose rows lie as they would in a strip or a panel, but for the stride. */
static bool lies_ready(const weights_job_t *job, const group_t *group, const matrix_t *matrix,
                       factor_t *factor) {
#ifdef ACTIVATION_BF16
    (void)job;
    (void)group;
    (void)matrix;
    (void)factor;
    return false;
#else
    bool all = packed_units(group) == group->end - group->begin;
    if (job->use_count > 1 || !all || (group->leaves > 1 && !shards_follow(matrix))) {
        return false;
    }
    *factor = (factor_t){row_of(*matrix, group->shard, group->begin), matrix->row_stride};
    return true;
#endif
}

/* Narrow rows of whole vectors, whose gradient is what stands there. */
static bool left_in_place(const weights_job_t *job, const group_t *group, factor_t *left) {
    const matrix_t *matrix = left_of(job->plan, job->uses[0].call);
    bool narrow = matrix->row_stride <= STRIDE_IN_PLACE && job->rows % VECTOR_COLS == 0;
    return narrow && !has_relu(job->plan) && lies_ready(job, group, matrix, left);
}

/* One panel, whose rows have no gaps. */
static bool right_in_place(const weights_job_t *job, const group_t *group, factor_t *right) {
    const matrix_t *matrix = right_of(job->plan, job->uses[0].call);
    bool panel = job->cols <= TILE_COLS && matrix->row_stride == panel_cols(job->cols);
    return panel && lies_ready(job, group, matrix, right);
}

/* --- the tree over a group ------------------------------------------------------------------- */

/* How many waiting values leaf i of n ends: adding neighbours, as carries go when one counts. */
static int carries(int i, int n, int waiting) {
    return i == n - 1 ? waiting : __builtin_ctz(~(unsigned)i);
}

/* left: from the tile's first row on; panels: all of the group's. */
static void sum_tile(const weights_job_t *job, const group_t *group, factor_t left,
                     const unit_t *panels, int64_t row, int64_t rows, int64_t col, float *tiles) {
    int64_t cols = min_i64(TILE_COLS, job->cols - col), group_units = packed_units(group);
    int64_t place = row * job->cols + col;
    int64_t line = job->cols * (int64_t)sizeof(float), width = cols * (int64_t)sizeof(float);
    const target_t *target = &group->target;
    for (int i = target->waiting->count; group_units > FEW_UNITS && i >= 0; i--) {
        const sums_t *sums = i > 0 ? &target->waiting->left[i - 1] : &target->out;
        prefetch_tile(sums->weight + place, line, rows, width);
    }
    tile_end_t end;
    end.bias = NULL;
    end.relu = false;
    tile_t tile = {
        .rows = rows, .cols = cols, .a_row = UNIT_K, .a_col = UNIT_K * left.stride, .end = &end};
    int waiting = 0;
    for (int leaf = 0; leaf < group->leaves; leaf++) {
        bool last = leaf == group->leaves - 1;
        int joined = carries(leaf, group->leaves, waiting);
        end.addend_count = joined;
        for (int i = 0; i < joined; i++) {
            end.addends[i] = (addend_t){tiles + --waiting * TILE_ELEMENTS, TILE_COLS};
        }
        if (last) {
            target_end(target, place, job->cols, &end);
        }
        tile.k = group->at[leaf + 1] - group->at[leaf];
        tile.a = (const act_t *)(left.first + group->at[leaf] * left.stride);
        tile.panel = panels + group_units * col + group->at[leaf] * panel_cols(cols);
        tile.c = last ? target->out.weight + place : tiles + waiting * TILE_ELEMENTS;
        tile.c_row = last ? job->cols : TILE_COLS;
        REAL(product_tile)(&tile);
        waiting++;
    }
}

/* Of a vector of columns, over a leaf's rows in order. */
static vector_t sum_rows(factor_t left, int64_t units) {
    vector_t total = {0};
#pragma GCC unroll 4
    for (int64_t u = units; u > 0; u--, left.first += left.stride) {
        bits_t pair;
        memcpy(&pair, left.first, sizeof pair);
#ifdef ACTIVATION_BF16
        total += (vector_t)(pair << 16);
        total += (vector_t)(pair & ~0xFFFF);
#else
        total += (vector_t)pair;
#endif
    }
    return total;
}

static void sum_bias(const group_t *group, factor_t left, int64_t col, int64_t cols) {
    float sums[STRIP_COLS];
    for (int64_t c = 0; c < cols; c += VECTOR_COLS) {
        factor_t from = {left.first + c, left.stride};
        vector_t sides[TREE_TILES], total = {0};
        int waiting = 0;
        for (int leaf = 0; leaf < group->leaves; leaf++) {
            int64_t units = group->at[leaf + 1] - group->at[leaf];
            total = sum_rows(from, units);
            for (int i = carries(leaf, group->leaves, waiting); i > 0; i--) {
                total = sides[--waiting] + total;
            }
            sides[waiting++] = total;
            from.first += units * from.stride;
        }
        vector_store(sums + c, total);
    }
    target_bias(&group->target, col, cols, sums);
}

/* Rows [row, row + rows) of the gradient. */
static void sum_strip(const weights_job_t *job, const group_t *group, factor_t left,
                      const unit_t *panels, int64_t row, int64_t rows, float *tiles) {
    if (is_transposed(job->plan)) {
        float none[STRIP_COLS] = {0};
        target_bias(&group->target, row, rows, none);
    } else {
        sum_bias(group, left, row, rows);
    }
    for (int64_t col = 0; col < job->cols; col += TILE_COLS) {
        for (int64_t r = 0; r < rows; r += TILE_ROWS) {
            factor_t from = {left.first + r, left.stride};
            int64_t height = min_i64(TILE_ROWS, rows - r);
            sum_tile(job, group, from, panels, row + r, height, col, tiles);
        }
    }
}

static void sum_group(const weights_job_t *job, const group_t *group) {
    int thread = omp_get_thread_num();
    unit_t *strip = job->strips + thread * job->plan->group_units * STRIP_COLS;
    float *tiles = job->tiles + (int64_t)thread * TREE_TILES * TILE_ELEMENTS;
    factor_t whole, panel = {job->panels, 0};
    bool left_lies = left_in_place(job, group, &whole);
    if (!right_in_place(job, group, &panel)) {
#pragma omp for schedule(static)
        for (int64_t col = 0; col < job->cols; col += TILE_COLS) {
            pack_panel(job, group, col);
        }
    }
#pragma omp for schedule(static)
    for (int64_t row = 0; row < job->rows; row += STRIP_COLS) {
        int64_t rows = min_i64(STRIP_COLS, job->rows - row);
        factor_t left = {strip, panel_cols(rows)};
        if (left_lies) {
            left = (factor_t){whole.first + row, whole.stride};
        } else {
            pack_strip(job, group, row, rows, strip);
        }
        sum_strip(job, group, left, panel.first, row, rows, tiles);
    }
}

/* Nothing of OpenMP's is opened for one thread. */
static void sum_threads(const weights_job_t *job, const group_t *group) {
    if (job->plan->threads == 1) {
        sum_group(job, group);
        return;
    }
#pragma omp parallel num_threads(job->plan->threads)
    sum_group(job, group);
}

/* --- the tree over groups -------------------------------------------------------------------- */

/* A leaf that does not fit is summed part by part, in its place. */
static void sum_leaves(const void *of, int begin, int end, sums_t out, const waiting_t *waiting) {
    const weights_job_t *job = of;
    int64_t units = (end - begin) * job->leaf_units, parts = div_up(units, job->plan->group_units);
    for (int64_t i = 0; i < parts; i++) {
        group_t group = {.shard = begin,
                         .leaves = end - begin,
                         .begin = share_begin(units, (int)parts, (int)i),
                         .end = share_begin(units, (int)parts, (int)i + 1),
                         .target = {out, waiting, i == 0, i == parts - 1}};
        count_units(job, &group);
        sum_threads(job, &group);
    }
}

void REAL(linear_backward_tree)(const op_use_t *uses, int use_count, int shard_begin, int shard_end,
                                void *const d_weight[OP_WEIGHTS_MAX], void *scratch) {
    const op_call_t *call = uses[0].call;
    const linear_plan_t *plan = (const linear_plan_t *)uses[0].plan;
    unit_t *workspace = call->workspace;
    weights_job_t job = {.uses = uses,
                         .use_count = use_count,
                         .plan = plan,
                         .rows = left_cols(plan),
                         .cols = right_cols(plan),
                         .panels = workspace,
                         .strips = workspace + plan->strips_offset,
                         .tiles = (float *)call->workspace + plan->tiles_offset};
    for (int u = 0; u < use_count; u++) {
        job.leaf_units += units_of_use(&uses[u]);
    }
    int64_t fit = plan->group_units / job.leaf_units;
    weights_tree_t tree = {.sum = sum_leaves,
                           .job = &job,
                           .fit = (int)min_i64(fit, shard_end - shard_begin),
                           .weight_count = job.rows * job.cols,
                           .count = align_up(job.rows * (job.cols + 1), ALIGN_ELEMENTS)};
    waiting_t none = {.count = 0};
    weights_tree_sum(&tree, shard_begin, shard_end, (sums_t){d_weight[0], d_weight[1]}, &none,
                     scratch);
}

void REAL(linear_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    REQUIRE(call->shard_end == call->shard_begin + 1);
    op_use_t use = {plan, call};
    REAL(linear_backward_tree)
    (&use, 1, call->shard_begin, call->shard_end, call->d_weight, NULL);
}
