/* conv: y = act(b + W * x) and the gradient of x, as products of patches with weights in panels,
 * by code of product.h. A row does not know which rows are in its block. Compiled for each
 * instruction set.
 *
 * The gradient of x is a convolution, too: place p of the input is read by the results q with
 * p = q stride + j dilation - before. The places of one remainder by the strides (a phase) are all
 * read by the same taps, so that each phase is a product of its own that skips nothing. */
#include "kernels/cpu/conv_cpu.h"

enum {
    BLOCK_BYTES = 384 * 1024, /* of patches that stay near while all panels pass */
    BLOCK_ROWS_LEAST = 16,
    BLOCK_ROWS_USUAL = 128, /* more where patches are narrow */
    BLOCK_ROWS_MOST = 256,
};

_Static_assert(sizeof(unit_t) == sizeof(float), "units and floats share a workspace");

static bool is_winograd(const conv_pass_t *pass) { return pass->winograd != WINOGRAD_NONE; }

/* Of the patches that are multiplied at a time. */
typedef struct shape {
    int64_t rows, lines, row; /* row: from one to the next */
} shape_t;

/* Some lines of many rows rather than all of few: so weights are read for many rows, too. */
static shape_t shape_of(const conv_pass_t *pass) {
    const patches_t *patches = &pass->patches;
    int64_t line = max_i64(line_width(patches), 1), lines = max_i64(line_count(patches), 1);
    int64_t most = BLOCK_BYTES / (int64_t)sizeof(act_t);
    shape_t shape = {.lines = min_i64(lines, max_i64(1, most / BLOCK_ROWS_USUAL / line))};
    if (line % UNIT_K != 0) {
        shape.lines = lines; /* a chunk is of whole units */
    }
    int64_t rows = most / (shape.lines * line) / TILE_ROWS * TILE_ROWS;
    rows = max_i64(BLOCK_ROWS_LEAST, min_i64(rows, BLOCK_ROWS_MOST));
    shape.rows = align_up(rows, TILE_ROWS); /* as blocks are cut */
    shape.row = row_apart(shape.lines * line);
    return shape;
}

/* Patches of a block, or pointers to their rows and what stands for padding. */
static int64_t left_count(const conv_pass_t *pass) {
    enum { POINTER_FLOATS = sizeof(void *) / sizeof(float) };
    shape_t shape = shape_of(pass);
    int64_t taps = shape.lines * pass->patches.axis[2].size;
    int64_t pointers = align_up(shape.rows * taps * POINTER_FLOATS, LINE_UNITS);
    return max_i64(floats_of(shape.rows * shape.row), pointers + floats_of(pass->patches.cols));
}

/* Of one thread: these, sums of those that go on, and results that are spread. */
static int64_t block_count(const conv_pass_t *pass) {
    if (is_winograd(pass)) {
        return REAL(conv_winograd_block)(pass);
    }
    shape_t shape = shape_of(pass);
    int64_t spread = pass->spread ? floats_of(shape.rows * pass->n) : 0;
    return left_count(pass) + shape.rows * align_up(pass->n, LINE_UNITS) + spread;
}

static int64_t panels_count(const conv_pass_t *pass) {
    if (is_winograd(pass)) {
        return REAL(conv_winograd_panels)(pass);
    }
    return pass->plan->base.description.attributes.groups * units_of(patch_width(&pass->patches)) *
           panel_cols(pass->n);
}

/* --- passes ---------------------------------------------------------------------------------- */

/* How a pass reads its axes; all_taps: those that meet padding alone, too. */
static void finish(conv_pass_t *pass, bool all_taps) {
    pass->winograd = REAL(conv_winograd)(pass);
    if (is_winograd(pass)) {
        return;
    }
    for (int a = 0; a < OP_AXES && !all_taps; a++) {
        REAL(conv_trim)(&pass->patches.axis[a], &pass->taps[a]);
    }
    pass->planes = REAL(conv_planes)(pass->patches.axis);
}

static conv_pass_t forward_pass(const conv_plan_t *plan) {
    const op_description_t *d = &plan->base.description;
    conv_pass_t pass = {.plan = plan, .n = plan->out, .rows = d->out.rows};
    pass.patches.cols = plan->in;
    memcpy(pass.patches.axis, d->attributes.axis, sizeof pass.patches.axis);
    for (int a = 0; a < OP_AXES; a++) {
        pass.taps[a] = (tap_run_t){0, 1};
    }
    finish(&pass, d->weights_stay); /* plans of other extents may share those */
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
    finish(&pass, false);
    return pass;
}

static bool reads_anything(const conv_pass_t *pass) {
    return patch_width(&pass->patches) > 0 && pass->rows > 0;
}

/* So many phases are packed at once: each needs a few numbers of every line of the weight. */
enum { PHASES_TOGETHER = 8 };
static bool packs_together(const conv_plan_t *plan) {
    return phase_count(plan) > 1 && phase_count(plan) <= PHASES_TOGETHER;
}

/* Where a phase's panels begin. */
static int64_t panels_before(const conv_plan_t *plan, int64_t phase) {
    int64_t count = 0;
    for (int64_t i = 0; i < phase; i++) {
        conv_pass_t pass = backward_pass(plan, i);
        count += reads_anything(&pass) ? align_up(panels_count(&pass), LINE_UNITS) : 0;
    }
    return count;
}

/* --- plan ------------------------------------------------------------------------------------ */

static void widen(conv_plan_t *plan, const conv_pass_t *pass) {
    if (reads_anything(pass)) {
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
    if (packs_together(plan) && description->d_in[0].rows > 0) {
        plan->panels_count = max_i64(plan->panels_count, panels_before(plan, phase_count(plan)));
    }
    plan->panels_count = kept > 0 ? 0 : plan->panels_count;
    count = max_i64(count, plan->panels_count + plan->blocks_count);
    *needs_out = (op_needs_t){.workspace_count = count, .kept_count = kept};
    *plan_out = &plan->base;
    return STATUS_OK;
}

/* --- products -------------------------------------------------------------------------------- */

weight_panels_t REAL(conv_weight_of)(const conv_pass_t *pass) {
    return (weight_panels_t){.plan = pass->plan,
                             .backward = pass->backward,
                             .patches = &pass->patches,
                             .taps = pass->taps,
                             .weight = pass->weight};
}

static void pack_all(const conv_pass_t *pass) {
    if (is_winograd(pass)) {
        REAL(conv_winograd_pack)(pass);
        return;
    }
    int64_t groups = pass->plan->base.description.attributes.groups;
    int64_t k = units_of(patch_width(&pass->patches)), panels = panel_count(pass->n);
    weight_panels_t weight = REAL(conv_weight_of)(pass);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < groups * panels; i++) {
        int64_t group = i / panels, col = panel_begin(pass->n, i % panels);
        unit_t *panel = pass->panels + k * (group * panel_cols(pass->n) + col);
        range_t left = {0, pass->patches.cols};
        REAL(conv_pack)(&weight, group, col, panel_width(pass->n, col), left, panel);
    }
}

/* Rows of results in one plane, whose sums go on from chunk to chunk of their lines. */
typedef struct block {
    int shard;
    int64_t begin, rows, group;
    range_t lines; /* that the plane needs */
    int64_t chunk_lines;
    act_t *patches, *spread;
    int64_t patches_row;
    float *sums;
    const unit_t *panels; /* of all columns of the group */
} block_t;

/* What of a block is multiplied at a time. */
typedef struct chunk {
    range_t lines;
    bool first, last;
    const act_t *left;
    int64_t left_row;
    const act_t *const *taps; /* instead of left; of each TILE_ROWS rows `tap_rows` pointers */
    int64_t tap_rows;
    act_t *out;
    int64_t out_row;
} chunk_t;

static void chunk_of_panel(const conv_pass_t *pass, const block_t *block, const chunk_t *chunk,
                           const unit_t *panel, int64_t col) {
    int64_t cols = panel_width(pass->n, col), line = line_width(&pass->patches);
    int64_t out_bytes = sizeof(act_t);
    panel += units_of(chunk->lines.begin * line) * panel_cols(cols);
    const float *bias = pass->bias != NULL ? pass->bias + block->group * pass->n + col : NULL;
    tile_end_t end = {.bias = chunk->last ? bias : NULL, .relu = chunk->last && pass->relu};
    for (int64_t r = 0; r < block->rows; r += TILE_ROWS) {
        float *sums = block->sums + r * pass->n + col;
        tile_t tile = {.rows = min_i64(TILE_ROWS, block->rows - r),
                       .cols = cols,
                       .k = units_of((chunk->lines.end - chunk->lines.begin) * line),
                       .a = chunk->left + r * chunk->left_row,
                       .a_row = chunk->left_row,
                       .a_col = UNIT_K,
                       .tap_units = units_of(pass->patches.cols),
                       .panel = panel,
                       .start = chunk->first ? NULL : sums,
                       .start_row = pass->n,
                       .c = sums,
                       .c_row = pass->n,
                       .end = &end};
        if (chunk->taps != NULL) {
            tile.taps = chunk->taps + r / TILE_ROWS * chunk->tap_rows;
        }
        if (chunk->last) {
            tile.out = chunk->out + r * chunk->out_row + col;
            tile.c_row = chunk->out_row;
            prefetch_tile(tile.out, tile.c_row * out_bytes, tile.rows, cols * out_bytes);
        }
        REAL(product_tile)(&tile);
    }
}

/* Padding is read before the pointers, which are as many as the chunk has taps. */
static void point(const conv_pass_t *pass, const block_t *block, chunk_t *chunk) {
    const patches_t *patches = &pass->patches;
    act_t *nothing = block->patches;
    const act_t **taps = (const act_t **)((float *)block->patches + floats_of(patches->cols));
    memset(nothing, 0, (size_t)patches->cols * sizeof *nothing);
    REAL(conv_point)
    (patches, block->shard, block->group * patches->cols, block->begin, block->rows, chunk->lines,
     nothing, taps);
    chunk->taps = taps;
    chunk->tap_rows = (chunk->lines.end - chunk->lines.begin) * patches->axis[2].size * TILE_ROWS;
}

/* These lines of a block's patches: where they lie, pointed to, or copied. */
static chunk_t chunk_of(const conv_pass_t *pass, const block_t *block, range_t lines) {
    const patches_t *patches = &pass->patches;
    chunk_t chunk = {.lines = lines,
                     .first = lines.begin == block->lines.begin,
                     .last = lines.end == block->lines.end,
                     .left = block->patches,
                     .left_row = block->patches_row,
                     .out = block->spread,
                     .out_row = pass->n};
    if (!pass->spread) {
        chunk.out = row_of(pass->out, block->shard, block->begin) + block->group * pass->n;
        chunk.out_row = pass->out.row_stride;
    }
    if (REAL(conv_in_place)(patches)) {
        chunk.left =
            row_of(patches->from, block->shard, block->begin) + block->group * patches->cols;
        chunk.left_row = patches->from.row_stride;
    } else if (REAL(conv_can_point)(patches)) {
        point(pass, block, &chunk);
    } else {
        REAL(conv_gather)
        (patches, block->shard, block->group * patches->cols, block->begin, block->rows, lines,
         block->patches, chunk.left_row);
    }
    return chunk;
}

static void spread(const conv_pass_t *pass, const block_t *block, int64_t col) {
    for (int64_t r = 0; r < block->rows; r++) {
        int64_t row = window_source(pass->places, block->begin + r, 0);
        copy_row(row_of(pass->out, block->shard, row) + col, block->spread + r * pass->n, pass->n);
    }
}

static block_t block_of(const conv_pass_t *pass, int shard, range_t rows, int64_t group) {
    float *memory = pass->blocks + omp_get_thread_num() * block_count(pass);
    shape_t shape = shape_of(pass);
    int64_t units = units_of(patch_width(&pass->patches));
    return (block_t){
        .shard = shard,
        .begin = rows.begin,
        .rows = rows.end - rows.begin,
        .group = group,
        .lines = REAL(conv_lines)(&pass->patches, &pass->planes, rows.begin),
        .chunk_lines = shape.lines,
        .patches = (act_t *)memory,
        .patches_row = shape.row,
        .sums = memory + left_count(pass),
        .spread = (act_t *)(memory + left_count(pass) + shape.rows * align_up(pass->n, LINE_UNITS)),
        .panels = pass->panels + units * group * panel_cols(pass->n)};
}

/* The lines of a block in about equal chunks. */
static int64_t chunk_count(const block_t *block) {
    return max_i64(1, div_up(block->lines.end - block->lines.begin, block->chunk_lines));
}
static range_t lines_of(const block_t *block, int64_t chunk) {
    int64_t lines = block->lines.end - block->lines.begin, chunks = chunk_count(block);
    return (range_t){block->lines.begin + share_begin(lines, chunks, chunk),
                     block->lines.begin + share_begin(lines, chunks, chunk + 1)};
}

static void run_block(const conv_pass_t *pass, int shard, range_t rows, int64_t group) {
    block_t block = block_of(pass, shard, rows, group);
    int64_t units = units_of(patch_width(&pass->patches));
    for (int64_t i = 0; i < chunk_count(&block); i++) {
        chunk_t chunk = chunk_of(pass, &block, lines_of(&block, i));
        for (int64_t col = 0; col < pass->n; col += panel_width(pass->n, col)) {
            chunk_of_panel(pass, &block, &chunk, block.panels + units * col, col);
        }
    }
    if (pass->spread) {
        spread(pass, &block, group * pass->n);
    }
}

/* Few rows, for which each panel is read once: it is packed when it is due, in the place of the one
 * before, and so does not leave the cache. */
static bool is_one_block(const conv_pass_t *pass) {
    const patches_t *patches = &pass->patches;
    return pass->plan->threads == 1 && !pass->packed && !is_winograd(pass) &&
           pass->shard_end - pass->shard_begin == 1 && pass->planes.rows == 0 &&
           pass->rows <= shape_of(pass).rows &&
           (REAL(conv_in_place)(patches) || REAL(conv_can_point)(patches));
}

static void run_one_block(const conv_pass_t *pass) {
    weight_panels_t weight = REAL(conv_weight_of)(pass);
    for (int64_t g = 0; g < pass->plan->base.description.attributes.groups; g++) {
        block_t block = block_of(pass, pass->shard_begin, (range_t){0, pass->rows}, g);
        for (int64_t col = 0; col < pass->n; col += panel_width(pass->n, col)) {
            range_t left = {0, pass->patches.cols};
            REAL(conv_pack)(&weight, g, col, panel_width(pass->n, col), left, pass->panels);
            for (int64_t i = 0; i < chunk_count(&block); i++) {
                chunk_t chunk = chunk_of(pass, &block, lines_of(&block, i));
                chunk_of_panel(pass, &block, &chunk, pass->panels, col);
            }
        }
        if (pass->spread) {
            spread(pass, &block, g * pass->n);
        }
    }
}

/* Blocks of a plane are about equal, and enough for every thread. */
static void run_blocks(const conv_pass_t *pass) {
    if (!pass->packed) {
        pack_all(pass);
    }
    if (is_winograd(pass)) {
        REAL(conv_winograd_blocks)(pass);
        return;
    }
    int64_t groups = pass->plan->base.description.attributes.groups, most = shape_of(pass).rows;
    int64_t plane = pass->planes.rows > 0 ? pass->planes.rows : pass->rows;
    int64_t planes = pass->rows / plane, threads = pass->plan->threads;
    int64_t share = div_up(plane, max_i64(1, threads / max_i64(1, planes * groups)));
    int64_t blocks = div_up(plane, min_i64(most, max_i64(share, BLOCK_ROWS_LEAST)));
    int64_t rows = align_up(div_up(plane, blocks), TILE_ROWS), shards = pass->shard_end;
    blocks = div_up(plane, rows);
#pragma omp for schedule(static)
    for (int64_t i = pass->shard_begin * planes * blocks * groups;
         i < shards * planes * blocks * groups; i++) {
        int64_t at = i / groups, first = at / blocks % planes * plane, begin = at % blocks * rows;
        range_t range = {first + begin, first + min_i64(begin + rows, plane)};
        run_block(pass, (int)(at / blocks / planes), range, i % groups);
    }
}

/* Nothing of OpenMP's is opened for one thread. */
static void run_threads(const conv_pass_t *pass) {
    if (is_one_block(pass)) {
        run_one_block(pass);
        return;
    }
    if (pass->plan->threads == 1) {
        run_blocks(pass);
        return;
    }
#pragma omp parallel num_threads(pass->plan->threads)
    run_blocks(pass);
}

static bool follow(matrix_t matrix) {
    return matrix.shard_stride == matrix.rows * matrix.row_stride;
}

static void enter(matrix_t *matrix, int shard) { matrix->data = row_of(*matrix, shard, 0); }

/* Shards that follow one another without a gap are one of more samples: a row does not know where
 * it is. */
static void run(const conv_pass_t *pass) {
    conv_pass_t joined = *pass;
    matrix_t mask = {0};
    bool gaps = !follow(pass->patches.from) || !follow(pass->out);
    if (pass->patches.mask != NULL) {
        mask = *pass->patches.mask;
        gaps = gaps || !follow(mask);
        joined.patches.mask = &mask;
        enter(&mask, pass->shard_begin);
    }
    if (gaps) {
        run_threads(pass);
        return;
    }
    enter(&joined.patches.from, pass->shard_begin);
    enter(&joined.out, pass->shard_begin);
    joined.rows *= pass->shard_end - pass->shard_begin;
    joined.shard_begin = 0;
    joined.shard_end = 1;
    run_threads(&joined);
}

/* Places that no tap reaches. */
static void clear_places(const conv_pass_t *pass) {
    for (int s = pass->shard_begin; s < pass->shard_end; s++) {
        for (int64_t r = 0; r < pass->rows; r++) {
            int64_t row = window_source(pass->places, r, 0);
            memset(row_of(pass->out, s, row), 0, (size_t)pass->out.cols * sizeof(act_t));
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
    pass->panels = d->weights_stay ? call->kept : call->workspace;
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

/* Some rows of the weight for all phases, then the next. */
static void pack_together(const conv_pass_t *passes, int64_t count) {
    enum { LEFT_AT_ONCE = 64 };
    const conv_plan_t *plan = passes[0].plan;
    int64_t groups = plan->base.description.attributes.groups, panels = panel_count(plan->in);
#pragma omp parallel for schedule(static) num_threads(plan->threads) if (plan->threads > 1)
    for (int64_t i = 0; i < groups * panels; i++) {
        int64_t group = i / panels, col = panel_begin(plan->in, i % panels);
        for (int64_t at = 0; at < plan->out; at += LEFT_AT_ONCE) {
            range_t left = {at, min_i64(at + LEFT_AT_ONCE, plan->out)};
            for (int64_t p = 0; p < count; p++) {
                const conv_pass_t *pass = &passes[p];
                weight_panels_t weight = REAL(conv_weight_of)(pass);
                int64_t k = units_of(patch_width(&pass->patches));
                unit_t *panel = pass->panels + k * (group * panel_cols(plan->in) + col);
                if (reads_anything(pass)) {
                    REAL(conv_pack)
                    (&weight, group, col, panel_width(plan->in, col), left, panel);
                }
            }
        }
    }
}

static conv_pass_t backward_call(const conv_plan_t *plan, int64_t phase, const op_call_t *call) {
    conv_pass_t pass = backward_pass(plan, phase);
    pass.patches.from = call->d_out;
    pass.patches.mask = conv_has_relu(&plan->base) ? &call->out : NULL;
    pass.out = call->d_in[0];
    pass.weight = call->weight[0];
    pass.packed = packs_together(plan);
    pass.panels = (unit_t *)call->workspace + (pass.packed ? panels_before(plan, phase) : 0);
    pass.blocks = (float *)call->workspace + plan->panels_count;
    pass.shard_begin = call->shard_begin;
    pass.shard_end = call->shard_end;
    return pass;
}

void REAL(conv_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const conv_plan_t *conv = (const conv_plan_t *)plan;
    int64_t phases = phase_count(conv);
    if (call->d_in[0].data == NULL) {
        return;
    }
    if (packs_together(conv)) {
        conv_pass_t passes[PHASES_TOGETHER];
        for (int64_t i = 0; i < phases; i++) {
            passes[i] = backward_call(conv, i, call);
        }
        pack_together(passes, phases);
    }
    for (int64_t i = 0; i < phases; i++) {
        conv_pass_t pass = backward_call(conv, i, call);
        if (reads_anything(&pass)) {
            run(&pass);
        } else if (pass.rows > 0) {
            clear_places(&pass);
        }
    }
}
