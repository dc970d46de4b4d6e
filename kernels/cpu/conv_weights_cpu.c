/* The gradient of conv's weights over a run of shards in the order of the canonical tree. Of one
 * shard: patches' dz, so many rows at a time, whose sum is added to what the rows before have left:
 * of n rows, no chain of additions is longer than a part or than n parts of it. It is summed as
 * [group, tap, in, out], so that patches are the left factor as they are gathered, and put into the
 * weight's order at the end. What waits for its right side is added by the part that ends this. */
#include "kernels/cpu/conv_cpu.h"
#include "kernels/cpu/weights_tree.h"

enum {
    PART_ROWS_LEAST = 32,
    PART_ROWS_MOST = 128,       /* of a panel of dz that stays in the first-level cache */
    PART_ELEMENTS = 128 * 1024, /* of patches */
    STRIP_COLS = 16,            /* of patches at a time: a cache line */
    ALIGN_ELEMENTS = 16,
};
_Static_assert(WAITING_MAX + 1 <= ADDENDS_MAX, "a tile adds to what is there, and ends what waits");

static int64_t weight_count(const conv_plan_t *plan) {
    return plan->base.description.out.cols * plan->width;
}

int64_t REAL(conv_weights_plan)(conv_plan_t *plan) {
    const op_description_t *d = &plan->base.description;
    int64_t rows = PART_ELEMENTS / plan->width;
    plan->part_rows = max_i64(PART_ROWS_LEAST, min_i64(rows, PART_ROWS_MOST));
    plan->total_offset = align_up(plan->part_rows * stride_apart(plan->width), ALIGN_ELEMENTS);
    plan->right_offset =
        plan->total_offset + align_up(weight_count(plan) + d->out.cols, ALIGN_ELEMENTS);
    return plan->right_offset + plan->part_rows * panel_cols(plan->out);
}

typedef struct weights_job {
    const op_use_t *uses;
    const conv_plan_t *plan; /* of the first use: all are alike but for their rows */
    int64_t leaf_rows;       /* of one shard, all uses one after the other */
    float *patches, *right;
} weights_job_t;

/* Rows [begin, begin + rows) of a leaf and one group. */
typedef struct part {
    int shard;
    int64_t group, begin, rows;
    const float *left;
    int64_t left_row;
    target_t target;
} part_t;

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

static patches_t patches_of(const weights_job_t *job, const op_use_t *use) {
    patches_t patches = {
        .cols = job->plan->in, .width = job->plan->width, .from = use->call->in[0]};
    memcpy(patches.axis, use->plan->description.attributes.axis, sizeof patches.axis);
    return patches;
}

/* --- a part ---------------------------------------------------------------------------------- */

/* Rows [begin, end) of the leaf. */
static void gather(const weights_job_t *job, const part_t *part, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end;) {
        segment_t s = segment_at(job, at, end);
        patches_t patches = patches_of(job, s.use);
        REAL(conv_gather)
        (&patches, part->shard, part->group * job->plan->in, s.row, s.rows,
         job->patches + (at - part->begin) * part->left_row, part->left_row);
        at += s.rows;
    }
}

/* Columns of d_out as they were before relu, 0 beyond `cols`. */
static void pack_right(const weights_job_t *job, const part_t *part, int64_t col, int64_t cols,
                       float *panel) {
    int64_t width = panel_cols(cols), end = part->begin + part->rows;
    for (int64_t at = part->begin; at < end;) {
        segment_t s = segment_at(job, at, end);
        const op_call_t *call = s.use->call;
        for (int64_t r = s.row; r < s.row + s.rows; r++, panel += width) {
            const float *dy = row_of(call->d_out, part->shard, r) + col;
            if (conv_has_relu(s.use->plan)) {
                before_relu(row_of(call->out, part->shard, r) + col, dy, cols, panel);
            } else {
                memcpy(panel, dy, (size_t)cols * sizeof *panel);
            }
            memset(panel + cols, 0, (size_t)(width - cols) * sizeof *panel);
        }
        at += s.rows;
    }
}

static void sum_bias(const part_t *part, int64_t col, int64_t cols, const float *panel) {
    float total[TILE_COLS] = {0};
    int64_t width = panel_cols(cols);
    for (int64_t r = 0; r < part->rows; r++, panel += width) {
        for (int64_t c = 0; c < width; c++) {
            total[c] += panel[c];
        }
    }
    target_bias(&part->target, col, cols, total);
}

/* Some columns of the patches and a panel of dz. */
static void sum_strip(const weights_job_t *job, const part_t *part, int64_t strip, int64_t col) {
    const conv_plan_t *plan = job->plan;
    int64_t cols = min_i64(TILE_COLS, plan->out - col);
    int64_t end_row = min_i64(strip + STRIP_COLS, plan->width);
    for (int64_t k = strip; k < end_row; k += TILE_ROWS) {
        int64_t place = (part->group * plan->width + k) * plan->out + col;
        tile_end_t end = {.addend_count = 0};
        target_end(&part->target, place, plan->out, &end);
        tile_t tile = {.rows = min_i64(TILE_ROWS, end_row - k),
                       .cols = cols,
                       .k = part->rows,
                       .a = part->left + k,
                       .a_row = 1,
                       .a_col = part->left_row,
                       .panel = job->right + part->rows * col,
                       .c = part->target.out.weight + place,
                       .c_row = plan->out,
                       .end = &end};
        REAL(product_tile)(&tile);
    }
}

static void sum_part(const weights_job_t *job, const part_t *part) {
    const conv_plan_t *plan = job->plan;
    int64_t strips = div_up(plan->width, STRIP_COLS), panels = div_up(plan->out, TILE_COLS);
    if (part->left == job->patches) {
#pragma omp for schedule(static)
        for (int64_t r = 0; r < part->rows; r += TILE_ROWS) {
            int64_t begin = part->begin + r;
            gather(job, part, begin, begin + min_i64(TILE_ROWS, part->rows - r));
        }
    }
#pragma omp for schedule(static)
    for (int64_t p = 0; p < panels; p++) {
        int64_t col = p * TILE_COLS, cols = min_i64(TILE_COLS, plan->out - col);
        float *panel = job->right + part->rows * col;
        pack_right(job, part, part->group * plan->out + col, cols, panel);
        if (plan->base.description.attributes.bias) {
            sum_bias(part, part->group * plan->out + col, cols, panel);
        }
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < panels * strips; i++) {
        sum_strip(job, part, i % strips * STRIP_COLS, i / strips * TILE_COLS);
    }
}

/* Nothing of OpenMP's is opened for one thread. */
static void sum_threads(const weights_job_t *job, const part_t *part) {
    if (job->plan->threads == 1) {
        sum_part(job, part);
        return;
    }
#pragma omp parallel num_threads(job->plan->threads)
    sum_part(job, part);
}

/* --- a shard --------------------------------------------------------------------------------- */

/* Patches, if they are rows of one use, where they lie. */
static void find_left(const weights_job_t *job, part_t *part) {
    segment_t s = segment_at(job, part->begin, part->begin + part->rows);
    patches_t patches = patches_of(job, s.use);
    part->left = job->patches;
    part->left_row = stride_apart(job->plan->width);
    if (s.rows == part->rows && REAL(conv_in_place)(&patches)) {
        part->left = row_of(patches.from, part->shard, s.row) + part->group * job->plan->in;
        part->left_row = patches.from.row_stride;
    }
}

/* Parts are cut by the rows of the leaf, whatever use these are of. */
static void sum_group(const weights_job_t *job, int64_t group, int shard, sums_t out,
                      const waiting_t *waiting) {
    part_t part = {.shard = shard, .group = group, .target = {out, waiting, true, true}};
    for (; part.begin < job->leaf_rows; part.begin += part.rows) {
        part.rows = min_i64(job->plan->part_rows, job->leaf_rows - part.begin);
        part.target.begins = part.begin == 0;
        part.target.ends = part.begin + part.rows == job->leaf_rows;
        find_left(job, &part);
        sum_threads(job, &part);
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

enum { OUT_AT_ONCE = 32, COPY_ROW = 133 }; /* 128 numbers, and rows not a power of two apart */

/* Outputs [begin, end) of one group, from [tap, in, out] to [out, in, tap], for the inputs
 * [first, last): through a copy that the first cache holds. */
static void reorder_block(const conv_plan_t *plan, const float *from, int64_t begin, int64_t end,
                          int64_t first, int64_t last, float *to) {
    float copy[OUT_AT_ONCE * COPY_ROW];
    int64_t taps = plan->taps;
    REQUIRE((last - first) * taps <= COPY_ROW);
    for (int64_t t = 0; t < taps; t++) {
        for (int64_t i = first; i < last; i++) {
            const float *row = from + (t * plan->in + i) * plan->out;
            for (int64_t o = begin; o < end; o++) {
                copy[(o - begin) * COPY_ROW + (i - first) * taps + t] = row[o];
            }
        }
    }
    for (int64_t o = begin; o < end; o++) {
        memcpy(to + o * plan->width + first * taps, copy + (o - begin) * COPY_ROW,
               (size_t)((last - first) * taps) * sizeof *copy);
    }
}

static void reorder(const conv_plan_t *plan, const float *from, int64_t begin, int64_t end,
                    float *to) {
    int64_t block = conv_block_of(plan->taps);
    for (int64_t first = 0; first < plan->in; first += block) {
        int64_t last = min_i64(first + block, plan->in);
        if (block * plan->taps <= COPY_ROW) {
            reorder_block(plan, from, begin, end, first, last, to);
            continue;
        }
        for (int64_t t = 0; t < plan->taps; t++) { /* a window so large that it is alone */
            for (int64_t o = begin; o < end; o++) {
                to[o * plan->width + first * plan->taps + t] =
                    from[(t * plan->in + first) * plan->out + o];
            }
        }
    }
}

static void reorder_all(const conv_plan_t *plan, const float *from, float *to) {
    int64_t out = plan->base.description.out.cols, group_size = plan->out * plan->width;
    int64_t blocks = div_up(plan->out, OUT_AT_ONCE), groups = out / plan->out;
#pragma omp parallel for schedule(static) num_threads(plan->threads) if (plan->threads > 1)
    for (int64_t b = 0; b < groups * blocks; b++) {
        int64_t group = b / blocks, begin = b % blocks * OUT_AT_ONCE;
        reorder(plan, from + group * group_size, begin, min_i64(begin + OUT_AT_ONCE, plan->out),
                to + group * group_size);
    }
}

/* What all uses of a weight have in common. */
static bool is_alike(const conv_plan_t *a, const conv_plan_t *b) {
    return a->in == b->in && a->out == b->out && a->taps == b->taps &&
           a->base.description.attributes.groups == b->base.description.attributes.groups;
}

void REAL(conv_backward_tree)(const op_use_t *uses, int use_count, int shard_begin, int shard_end,
                              void *const d_weight[OP_WEIGHTS_MAX], void *scratch) {
    const conv_plan_t *plan = (const conv_plan_t *)uses[0].plan;
    int64_t biases = plan->base.description.attributes.bias ? plan->base.description.out.cols : 0;
    float *workspace = uses[0].call->workspace, *total = workspace + plan->total_offset;
    weights_job_t job = {.uses = uses, .plan = plan, .patches = workspace};
    job.right = workspace + plan->right_offset;
    for (int u = 0; u < use_count; u++) {
        REQUIRE(is_alike(plan, (const conv_plan_t *)uses[u].plan));
        job.leaf_rows += rows_of_use(&uses[u]);
    }
    weights_tree_t tree = {.sum = sum_leaf,
                           .job = &job,
                           .weight_count = weight_count(plan),
                           .count = align_up(weight_count(plan) + biases, ALIGN_ELEMENTS)};
    waiting_t none = {.count = 0};
    weights_tree_sum(&tree, shard_begin, shard_end, (sums_t){total, total + tree.weight_count},
                     &none, scratch);
    reorder_all(plan, total, d_weight[0]);
    if (biases > 0) {
        memcpy(d_weight[1], total + tree.weight_count, (size_t)biases * sizeof *total);
    }
}

void REAL(conv_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    REQUIRE(call->shard_end == call->shard_begin + 1);
    op_use_t use = {plan, call};
    REAL(conv_backward_tree)
    (&use, 1, call->shard_begin, call->shard_end, call->d_weight, NULL);
}
