/* The gradient of conv's weights over a run of shards in the order of the canonical tree. Of one
 * shard: patches' dz, part of the rows by part, each going on from what the last one left. It is
 * summed as [group, tap, in, out], so that patches are the left factor as they are gathered, and
 * put into the weight's order at the end. What waits for its right side is added by the part that
 * ends this. */
#include "kernels/base/tree_split.h"
#include "kernels/cpu/conv_cpu.h"

enum {
    PART_ROWS_LEAST = 32,
    PART_ROWS_MOST = 128,       /* of a panel of dz that stays in the first-level cache */
    PART_ELEMENTS = 128 * 1024, /* of patches */
    STRIP_COLS = 16,            /* of patches at a time: a cache line */
    ALIGN_ELEMENTS = 16,
    WAITING_MAX = ADDENDS_MAX,
};

static int64_t weight_count(const conv_plan_t *plan) {
    return plan->base.description.out.cols * plan->width;
}

int64_t REAL(conv_weights_plan)(conv_plan_t *plan) {
    const op_description_t *d = &plan->base.description;
    int64_t rows = PART_ELEMENTS / plan->width;
    plan->part_rows = max_i64(PART_ROWS_LEAST, min_i64(rows, PART_ROWS_MOST));
    plan->total_offset = align_up(plan->part_rows * patch_stride(plan->width), ALIGN_ELEMENTS);
    plan->right_offset =
        plan->total_offset + align_up(weight_count(plan) + d->out.cols, ALIGN_ELEMENTS);
    return plan->right_offset + plan->part_rows * panel_cols(plan->out);
}

/* A gradient, whole: [group, tap, in, out] and, with a bias, its own. */
typedef struct sums {
    float *weight, *bias;
} sums_t;

typedef struct weights_job {
    const op_use_t *uses;
    int use_count;
    const conv_plan_t *plan; /* of the first use: all have the same columns */
    int64_t count;           /* of a gradient, rounded up */
    float *patches, *right;
} weights_job_t;

/* Left sides that wait for what is being computed, innermost first. */
typedef struct waiting {
    sums_t left[WAITING_MAX];
    int count;
} waiting_t;

/* Rows [begin, begin + rows) of one use, one shard and one group. */
typedef struct part {
    const op_use_t *use;
    patches_t patches;
    const float *left;
    int64_t left_row;
    int shard;
    int64_t group, begin, rows;
    bool goes_on, ends; /* not the first of the shard; the last */
    sums_t out;
    const waiting_t *waiting;
} part_t;

/* --- a part ---------------------------------------------------------------------------------- */

/* Columns of d_out as they were before relu, 0 beyond `cols`. */
static void pack_right(const part_t *part, int64_t col, int64_t cols, float *panel) {
    const op_call_t *call = part->use->call;
    int64_t width = panel_cols(cols);
    for (int64_t r = part->begin; r < part->begin + part->rows; r++, panel += width) {
        const float *dy = row_of(call->d_out, part->shard, r) + col;
        if (conv_has_relu(part->use->plan)) {
            conv_before_relu(row_of(call->out, part->shard, r) + col, dy, cols, panel);
        } else {
            memcpy(panel, dy, (size_t)cols * sizeof *panel);
        }
        memset(panel + cols, 0, (size_t)(width - cols) * sizeof *panel);
    }
}

static void sum_bias(const part_t *part, int64_t col, int64_t cols, const float *panel) {
    float total[TILE_COLS] = {0}, *bias = part->out.bias + col;
    int64_t width = panel_cols(cols);
    for (int64_t c = 0; c < cols && part->goes_on; c++) {
        total[c] = bias[c];
    }
    for (int64_t r = 0; r < part->rows; r++, panel += width) {
        for (int64_t c = 0; c < width; c++) {
            total[c] += panel[c];
        }
    }
    for (int i = 0; i < part->waiting->count && part->ends; i++) {
        for (int64_t c = 0; c < cols; c++) {
            total[c] = part->waiting->left[i].bias[col + c] + total[c];
        }
    }
    memcpy(bias, total, (size_t)cols * sizeof *bias);
}

/* Some columns of the patches and a panel of dz. */
static void sum_strip(const weights_job_t *job, const part_t *part, int64_t strip, int64_t col) {
    const conv_plan_t *plan = job->plan;
    int64_t cols = min_i64(TILE_COLS, plan->out - col);
    int64_t end_row = min_i64(strip + STRIP_COLS, plan->width);
    for (int64_t k = strip; k < end_row; k += TILE_ROWS) {
        int64_t place = (part->group * plan->width + k) * plan->out + col;
        tile_end_t end = {.addend_count = part->waiting->count};
        for (int i = 0; i < end.addend_count; i++) {
            end.addends[i] = (addend_t){part->waiting->left[i].weight + place, plan->out};
        }
        tile_t tile = {.rows = min_i64(TILE_ROWS, end_row - k),
                       .cols = cols,
                       .k = part->rows,
                       .a = part->left + k,
                       .a_row = 1,
                       .a_col = part->left_row,
                       .panel = job->right + part->rows * col,
                       .c = part->out.weight + place,
                       .c_row = plan->out,
                       .goes_on = part->goes_on,
                       .end = part->ends ? &end : NULL};
        REAL(product_tile)(&tile);
    }
}

static void sum_part(const weights_job_t *job, const part_t *part) {
    const conv_plan_t *plan = job->plan;
    int64_t strips = div_up(plan->width, STRIP_COLS), panels = div_up(plan->out, TILE_COLS);
    if (part->left == job->patches) {
#pragma omp for schedule(static)
        for (int64_t r = 0; r < part->rows; r += TILE_ROWS) {
            REAL(conv_gather)
            (&part->patches, part->shard, part->group * plan->in, part->begin + r,
             min_i64(TILE_ROWS, part->rows - r), job->patches + r * part->left_row, part->left_row);
        }
    }
#pragma omp for schedule(static)
    for (int64_t p = 0; p < panels; p++) {
        int64_t col = p * TILE_COLS, cols = min_i64(TILE_COLS, plan->out - col);
        float *panel = job->right + part->rows * col;
        pack_right(part, part->group * plan->out + col, cols, panel);
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

static void begin_patches(const weights_job_t *job, part_t *part) {
    const op_description_t *d = &part->use->plan->description;
    part->patches = (patches_t){
        .cols = job->plan->in, .width = job->plan->width, .from = part->use->call->in[0]};
    memcpy(part->patches.axis, d->attributes.axis, sizeof part->patches.axis);
    part->left = job->patches;
    part->left_row = patch_stride(job->plan->width);
}

/* All uses of one shard, one after the other. */
static void sum_leaf(const weights_job_t *job, int shard, int64_t group, sums_t out,
                     const waiting_t *waiting) {
    part_t part = {.shard = shard, .group = group, .out = out, .waiting = waiting};
    for (int u = 0; u < job->use_count; u++) {
        part.use = &job->uses[u];
        begin_patches(job, &part);
        bool in_place = REAL(conv_in_place)(&part.patches);
        int64_t rows = part.use->plan->description.out.rows;
        for (part.begin = 0; part.begin < rows; part.begin += part.rows) {
            part.rows = min_i64(job->plan->part_rows, rows - part.begin);
            part.ends = u == job->use_count - 1 && part.begin + part.rows == rows;
            if (in_place) {
                part.left = row_of(part.patches.from, shard, part.begin) + group * job->plan->in;
                part.left_row = part.patches.from.row_stride;
            }
            sum_threads(job, &part);
            part.goes_on = true;
        }
    }
}

/* --- the tree -------------------------------------------------------------------------------- */

static sums_t sums_at(const weights_job_t *job, float *memory) {
    return (sums_t){memory, memory + weight_count(job->plan)};
}

/* out = what waits + the shards' sum */
static void sum_shards(const weights_job_t *job, int begin, int end, sums_t out,
                       const waiting_t *waiting, float *scratch) {
    if (end - begin == 1) {
        int64_t groups = job->plan->base.description.attributes.groups;
        for (int64_t group = 0; group < groups; group++) {
            sum_leaf(job, begin, group, out, waiting);
        }
        return;
    }
    waiting_t none = {.count = 0}, inner = {.count = waiting->count + 1};
    REQUIRE(inner.count <= WAITING_MAX);
    inner.left[0] = sums_at(job, scratch);
    memcpy(inner.left + 1, waiting->left, (size_t)waiting->count * sizeof inner.left[0]);
    int middle = begin + tree_split(end - begin);
    sum_shards(job, begin, middle, inner.left[0], &none, scratch + job->count);
    sum_shards(job, middle, end, out, &inner, scratch + job->count);
}

/* Columns [begin, end) of the outputs, from [group, tap, in, out] to [out, in, tap]. */
static void reorder(const conv_plan_t *plan, const float *from, int64_t begin, int64_t end,
                    float *to) {
    int64_t width = plan->width, taps = plan->taps;
    for (int64_t i = 0; i < plan->in; i++) {
        for (int64_t t = 0; t < taps; t++) {
            for (int64_t o = begin; o < end; o++) {
                int64_t group = o / plan->out;
                to[o * width + i * taps + t] =
                    from[(group * width + t * plan->in + i) * plan->out + o % plan->out];
            }
        }
    }
}

static void reorder_all(const conv_plan_t *plan, const float *from, float *to) {
    int64_t out = plan->base.description.out.cols;
#pragma omp parallel for schedule(static) num_threads(plan->threads) if (plan->threads > 1)
    for (int64_t o = 0; o < out; o += LINE_UNITS) {
        reorder(plan, from, o, min_i64(o + LINE_UNITS, out), to);
    }
}

void REAL(conv_backward_tree)(const op_use_t *uses, int use_count, int shard_begin, int shard_end,
                              void *const d_weight[OP_WEIGHTS_MAX], void *scratch) {
    const conv_plan_t *plan = (const conv_plan_t *)uses[0].plan;
    bool bias = plan->base.description.attributes.bias;
    float *workspace = uses[0].call->workspace;
    weights_job_t job = {.uses = uses, .use_count = use_count, .plan = plan, .patches = workspace};
    job.right = workspace + plan->right_offset;
    job.count =
        align_up(weight_count(plan) + (bias ? plan->base.description.out.cols : 0), ALIGN_ELEMENTS);
    waiting_t none = {.count = 0};
    sums_t total = sums_at(&job, workspace + plan->total_offset);
    sum_shards(&job, shard_begin, shard_end, total, &none, scratch);
    reorder_all(plan, total.weight, d_weight[0]);
    if (bias) {
        memcpy(d_weight[1], total.bias, (size_t)plan->base.description.out.cols * sizeof(float));
    }
}

void REAL(conv_backward_weights)(const op_plan_t *plan, const op_call_t *call) {
    REQUIRE(call->shard_end == call->shard_begin + 1);
    op_use_t use = {plan, call};
    REAL(conv_backward_tree)
    (&use, 1, call->shard_begin, call->shard_end, call->d_weight, NULL);
}
