/* conv: y = act(b + W * x) and the gradient of x, as products of patches with weights in panels,
 * by code of product.h. A row does not know which rows are in its block. Compiled for each
 * instruction set.
 *
 * The gradient of x is a convolution, too: place p of the input is read by the results q with
 * p = q stride + j dilation - before. The places of one remainder by the strides (a phase) are all
 * read by the same taps, so that each phase is a product of its own that skips nothing. */
#include "kernels/cpu/conv_cpu.h"

enum {
    BLOCK_ELEMENTS = 64 * 1024, /* of patches that stay near while all panels pass */
    BLOCK_ROWS_LEAST = 16,
    BLOCK_ROWS_MOST = 256,
};

/* What the taps of a pass are in the weight: tap j of an axis is first + j * step. */
typedef struct tap_run {
    int64_t first, step;
} tap_run_t;

typedef struct conv_pass {
    const conv_plan_t *plan;
    bool backward;
    patches_t patches;
    tap_run_t taps[OP_AXES];
    int64_t n, rows; /* columns of one group, rows of one shard: of the result */
    matrix_t out;
    op_axis_t places[OP_AXES];  /* where the result's rows lie in out */
    bool spread;                /* not one after the other */
    const float *weight, *bias; /* bias NULL: none */
    bool relu;
    float *panels; /* of one group after the other */
    bool packed;   /* they are there already */
    float *blocks;
    int shard_begin, shard_end;
} conv_pass_t;

static int64_t block_rows(int64_t width) {
    int64_t rows = BLOCK_ELEMENTS / width / TILE_ROWS * TILE_ROWS;
    return max_i64(BLOCK_ROWS_LEAST, min_i64(rows, BLOCK_ROWS_MOST));
}

/* Of one thread: patches, and results that are spread. */
static int64_t block_count(const conv_pass_t *pass) {
    int64_t width = pass->patches.width;
    int64_t patches = align_up(block_rows(width) * stride_apart(width), LINE_UNITS);
    return patches + (pass->spread ? align_up(block_rows(width) * pass->n, LINE_UNITS) : 0);
}

static int64_t panels_count(const conv_pass_t *pass) {
    return pass->plan->base.description.attributes.groups * pass->patches.width *
           panel_cols(pass->n);
}

/* --- passes ---------------------------------------------------------------------------------- */

static conv_pass_t forward_pass(const conv_plan_t *plan) {
    const op_description_t *d = &plan->base.description;
    conv_pass_t pass = {.plan = plan, .n = plan->out, .rows = d->out.rows};
    pass.patches.cols = plan->in;
    pass.patches.width = plan->width;
    memcpy(pass.patches.axis, d->attributes.axis, sizeof pass.patches.axis);
    for (int a = 0; a < OP_AXES; a++) {
        pass.taps[a] = (tap_run_t){0, 1};
    }
    return pass;
}

static int64_t phase_count(const conv_plan_t *plan) {
    const op_axis_t *axis = plan->base.description.attributes.axis;
    return axis[0].stride * axis[1].stride * axis[2].stride;
}

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* One axis of a phase: places phase + i * stride of the input, i < reads->out, and the taps that
 * reach them, the last first, so that they read results in rising order. */
static void phase_axis(const op_axis_t *x, int64_t phase, op_axis_t *reads, op_axis_t *places,
                       tap_run_t *taps) {
    int64_t divisor = common_divisor(x->stride, x->dilation), count = 0;
    *taps = (tap_run_t){0, -x->stride / divisor};
    for (int64_t j = 0; j < x->size; j++) {
        if ((phase + x->before - j * x->dilation) % x->stride == 0) {
            taps->first = j;
            count++;
        }
    }
    int64_t out = phase < x->in ? (x->in - phase - 1) / x->stride + 1 : 0;
    int64_t first_read = (phase + x->before - taps->first * x->dilation) / x->stride;
    *reads = (op_axis_t){.in = x->out,
                         .out = out,
                         .size = count,
                         .stride = 1,
                         .dilation = x->dilation / divisor,
                         .before = -first_read};
    *places = (op_axis_t){
        .in = x->in, .out = out, .size = 1, .stride = x->stride, .dilation = 1, .before = -phase};
}

static conv_pass_t backward_pass(const conv_plan_t *plan, int64_t phase) {
    const op_description_t *d = &plan->base.description;
    const op_axis_t *axis = d->attributes.axis;
    conv_pass_t pass = {.plan = plan, .backward = true, .n = plan->in};
    for (int a = OP_AXES - 1; a >= 0; a--) {
        phase_axis(&axis[a], phase % axis[a].stride, &pass.patches.axis[a], &pass.places[a],
                   &pass.taps[a]);
        phase /= axis[a].stride;
    }
    pass.spread = phase_count(plan) > 1;
    pass.rows = d->in[0].rows / window_in(axis) * window_out(pass.patches.axis);
    pass.patches.cols = plan->out;
    pass.patches.width = window_taps(pass.patches.axis) * plan->out;
    return pass;
}

/* --- plan ------------------------------------------------------------------------------------ */

static void widen(conv_plan_t *plan, const conv_pass_t *pass) {
    if (pass->patches.width > 0 && pass->rows > 0) {
        plan->panels_count = max_i64(plan->panels_count, align_up(panels_count(pass), LINE_UNITS));
        plan->blocks_count = max_i64(plan->blocks_count, plan->threads * block_count(pass));
    }
}

status_t REAL(conv_plan)(const op_description_t *description, op_plan_t **plan_out,
                         op_needs_t *needs_out) {
    int64_t groups = description->attributes.groups;
    REQUIRE(description->input_count == 1 && groups > 0 && window_fits(description));
    REQUIRE(description->in[0].cols % groups == 0 && description->out.cols % groups == 0);
    conv_plan_t *plan = alloc_zero(1, sizeof *plan);
    plan->base.description = *description;
    plan->threads = omp_get_max_threads();
    plan->in = description->in[0].cols / groups;
    plan->out = description->out.cols / groups;
    plan->taps = window_taps(description->attributes.axis);
    plan->width = plan->taps * plan->in;
    conv_pass_t pass = forward_pass(plan);
    int64_t kept = description->weights_stay ? panels_count(&pass) : 0, count = 0;
    widen(plan, &pass);
    if (description->d_out.rows > 0) {
        count = REAL(conv_weights_plan)(plan);
    }
    for (int64_t i = 0; i < phase_count(plan) && description->d_in[0].rows > 0; i++) {
        pass = backward_pass(plan, i);
        widen(plan, &pass);
    }
    plan->panels_count = kept > 0 ? 0 : plan->panels_count;
    count = max_i64(count, plan->panels_count + plan->blocks_count);
    *needs_out = (op_needs_t){.workspace_count = count, .kept_count = kept};
    *plan_out = &plan->base;
    return STATUS_OK;
}

/* --- panels ---------------------------------------------------------------------------------- */

/* The tap of the weight behind a pass's tap. */
static int64_t tap_of(const conv_pass_t *pass, int64_t tap) {
    const op_axis_t *axis = pass->plan->base.description.attributes.axis;
    int64_t at = 0, step = 1;
    for (int a = OP_AXES - 1; a >= 0; a--) {
        const tap_run_t *run = &pass->taps[a];
        int64_t size = pass->patches.axis[a].size;
        at += (run->first + tap % size * run->step) * step;
        step *= axis[a].size;
        tap /= size;
    }
    return at;
}

/* Some of a panel: to[tap, left, col] = from[left, col, tap], with steps of each. */
typedef struct strip {
    const float *from;
    int64_t left, left_step, right_step, taps, cols;
    float *to;
    int64_t tap_step, row;
} strip_t;
enum { TAPS_AT_ONCE = 64 };

/* Where the columns of one row lie near to each other. */
static void pack_rows(const strip_t *strip, const int64_t *tap) {
    for (int64_t i = 0; i < strip->left; i++) {
        for (int64_t j = 0; j < strip->taps; j++) {
            const float *weight = strip->from + i * strip->left_step + tap[j];
            float *to = strip->to + j * strip->tap_step + i * strip->row;
            for (int64_t c = 0; c < strip->cols; c++) {
                to[c] = weight[c * strip->right_step];
            }
        }
    }
}

/* Where they lie far apart: through a copy that the first cache holds. Its rows are no power of two
 * apart, which would put them all into the same places of that cache. */
static void pack_cols(const strip_t *strip, const int64_t *tap) {
    enum { COPY_ROW = 2 * TAPS_AT_ONCE + 5 };
    float copy[TILE_COLS * COPY_ROW];
    int64_t count = strip->left * strip->left_step;
    REQUIRE(count <= COPY_ROW);
    for (int64_t c = 0; c < strip->cols; c++) {
        memcpy(copy + c * COPY_ROW, strip->from + c * strip->right_step,
               (size_t)count * sizeof *copy);
    }
    strip_t near = *strip;
    near.from = copy;
    near.right_step = COPY_ROW;
    pack_rows(&near, tap);
}

/* Columns [col, col + cols) of a group's weight: [tap, cols of the patches] rows of `cols`, of
 * W [out, in, taps] (forward) or of its transposed. */
static void pack(const conv_pass_t *pass, int64_t group, int64_t col, int64_t cols, float *panel) {
    const conv_plan_t *plan = pass->plan;
    int64_t panel_row = panel_cols(cols), taps = window_taps(pass->patches.axis);
    int64_t left = pass->patches.cols;
    int64_t left_step = pass->backward ? plan->width : plan->taps;
    int64_t right_step = pass->backward ? plan->taps : plan->width;
    const float *from = pass->weight + group * plan->out * plan->width + col * right_step;
    int64_t block = conv_block_of(taps);
    if (cols < panel_row) {
        memset(panel, 0, (size_t)(taps * left * panel_row) * sizeof *panel);
    }
    for (int64_t first = 0; first < taps; first += TAPS_AT_ONCE) {
        int64_t tap[TAPS_AT_ONCE], count = min_i64(TAPS_AT_ONCE, taps - first);
        for (int64_t j = 0; j < count; j++) {
            tap[j] = tap_of(pass, first + j);
        }
        for (int64_t i = 0; i < left; i += block) {
            strip_t strip = {.from = from + i * left_step,
                             .left = min_i64(block, left - i),
                             .left_step = left_step,
                             .right_step = right_step,
                             .taps = count,
                             .cols = cols,
                             .to = panel + (first * left + i) * panel_row,
                             .tap_step = left * panel_row,
                             .row = panel_row};
            if (pass->backward || plan->taps > TAPS_AT_ONCE) {
                pack_rows(&strip, tap);
            } else {
                pack_cols(&strip, tap);
            }
        }
    }
}

static void pack_all(const conv_pass_t *pass) {
    int64_t groups = pass->plan->base.description.attributes.groups, k = pass->patches.width;
    int64_t panels = div_up(pass->n, TILE_COLS);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < groups * panels; i++) {
        int64_t group = i / panels, col = i % panels * TILE_COLS;
        float *panel = pass->panels + k * (group * panel_cols(pass->n) + col);
        pack(pass, group, col, min_i64(TILE_COLS, pass->n - col), panel);
    }
}

/* --- products -------------------------------------------------------------------------------- */

typedef struct block {
    int shard;
    int64_t begin, rows;
    const float *left;
    int64_t left_row;
    float *out;
    int64_t out_row;
} block_t;

static void block_of_panel(const conv_pass_t *pass, const block_t *block, int64_t group,
                           int64_t col) {
    int64_t cols = min_i64(TILE_COLS, pass->n - col), k = pass->patches.width;
    tile_end_t end = {.bias = pass->bias != NULL ? pass->bias + group * pass->n + col : NULL,
                      .relu = pass->relu};
    for (int64_t r = 0; r < block->rows; r += TILE_ROWS) {
        tile_t tile = {.rows = min_i64(TILE_ROWS, block->rows - r),
                       .cols = cols,
                       .k = k,
                       .a = block->left + r * block->left_row,
                       .a_row = block->left_row,
                       .a_col = 1,
                       .panel = pass->panels + k * (group * panel_cols(pass->n) + col),
                       .c = block->out + r * block->out_row + col,
                       .c_row = block->out_row,
                       .end = &end};
        REAL(product_tile)(&tile);
    }
}

static void spread(const conv_pass_t *pass, const block_t *block, int64_t col) {
    for (int64_t r = 0; r < block->rows; r++) {
        int64_t row = window_source(pass->places, block->begin + r, 0);
        copy_row(row_of(pass->out, block->shard, row) + col, block->out + r * block->out_row,
                 pass->n);
    }
}

static void run_block(const conv_pass_t *pass, int shard, int64_t begin, int64_t group) {
    const patches_t *patches = &pass->patches;
    int64_t width = patches->width, most = block_rows(width);
    float *memory = pass->blocks + omp_get_thread_num() * block_count(pass);
    block_t block = {.shard = shard,
                     .begin = begin,
                     .rows = min_i64(most, pass->rows - begin),
                     .left = memory,
                     .left_row = stride_apart(width),
                     .out = memory + align_up(most * stride_apart(width), LINE_UNITS),
                     .out_row = pass->n};
    if (!pass->spread) {
        block.out = row_of(pass->out, shard, begin) + group * pass->n;
        block.out_row = pass->out.row_stride;
    }
    if (REAL(conv_in_place)(patches)) {
        block.left = row_of(patches->from, shard, begin) + group * patches->cols;
        block.left_row = patches->from.row_stride;
    } else {
        REAL(conv_gather)
        (patches, shard, group * patches->cols, begin, block.rows, memory, block.left_row);
    }
    for (int64_t col = 0; col < pass->n; col += TILE_COLS) {
        block_of_panel(pass, &block, group, col);
    }
    if (pass->spread) {
        spread(pass, &block, group * pass->n);
    }
}

static void run_blocks(const conv_pass_t *pass) {
    if (!pass->packed) {
        pack_all(pass);
    }
    int64_t groups = pass->plan->base.description.attributes.groups;
    int64_t rows = block_rows(pass->patches.width), blocks = div_up(pass->rows, rows);
    int64_t shards = pass->shard_end - pass->shard_begin;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < shards * blocks * groups; i++) {
        int shard = pass->shard_begin + (int)(i / (blocks * groups));
        run_block(pass, shard, i / groups % blocks * rows, i % groups);
    }
}

/* Nothing of OpenMP's is opened for one thread. */
static void run(const conv_pass_t *pass) {
    if (pass->plan->threads == 1) {
        run_blocks(pass);
        return;
    }
#pragma omp parallel num_threads(pass->plan->threads)
    run_blocks(pass);
}

/* Places that no tap reaches. */
static void clear_places(const conv_pass_t *pass) {
    for (int s = pass->shard_begin; s < pass->shard_end; s++) {
        for (int64_t r = 0; r < pass->rows; r++) {
            int64_t row = window_source(pass->places, r, 0);
            memset(row_of(pass->out, s, row), 0, (size_t)pass->out.cols * sizeof(float));
        }
    }
}

/* --- calls ----------------------------------------------------------------------------------- */

static void forward_call(conv_pass_t *pass, const op_call_t *call) {
    const op_description_t *d = &pass->plan->base.description;
    float *workspace = call->workspace;
    pass->patches.from = call->in[0];
    pass->out = call->out;
    pass->weight = call->weight[0];
    pass->bias = d->attributes.bias ? call->weight[1] : NULL;
    pass->relu = conv_has_relu(&pass->plan->base);
    pass->packed = d->weights_stay;
    pass->panels = d->weights_stay ? call->kept : workspace;
    pass->blocks = workspace + pass->plan->panels_count;
    pass->shard_begin = call->shard_begin;
    pass->shard_end = call->shard_end;
}

void REAL(conv_prepare)(const op_plan_t *plan, const op_call_t *call) {
    conv_pass_t pass = forward_pass((const conv_plan_t *)plan);
    forward_call(&pass, call);
    pack_all(&pass);
}

void REAL(conv_forward)(const op_plan_t *plan, const op_call_t *call) {
    conv_pass_t pass = forward_pass((const conv_plan_t *)plan);
    forward_call(&pass, call);
    run(&pass);
}

void REAL(conv_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const conv_plan_t *conv = (const conv_plan_t *)plan;
    for (int64_t i = 0; i < phase_count(conv) && call->d_in[0].data != NULL; i++) {
        conv_pass_t pass = backward_pass(conv, i);
        pass.patches.from = call->d_out;
        pass.patches.mask = conv_has_relu(plan) ? &call->out : NULL;
        pass.out = call->d_in[0];
        pass.weight = call->weight[0];
        pass.panels = call->workspace;
        pass.blocks = pass.panels + conv->panels_count;
        pass.shard_begin = call->shard_begin;
        pass.shard_end = call->shard_end;
        if (pass.rows > 0 && pass.patches.width > 0) {
            run(&pass);
        } else if (pass.rows > 0) {
            clear_places(&pass);
        }
    }
}
