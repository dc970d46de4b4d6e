/* linear: y = act(x W' + b) and the gradient of x, for all rows of all shards of a call at once.
 * The weight is packed into panels in the workspace, panel by panel as they are first needed, and
 * blocks of rows pass over them. */
#include "kernels/cpu/linear_cpu.h"

/* Panels of k rows that hold n columns, in floats, as which a unit counts. */
static int64_t panels_count(int64_t k, int64_t n) { return units_of(k) * panel_cols(n); }
_Static_assert(sizeof(unit_t) == sizeof(float), "units and floats share a workspace");

static int64_t block_stride(int64_t k) { return stride_apart(align_up(k, UNIT_K)); }

/* The left factor is not read in its place: a row's last unit would end in the next row. */
static bool is_moved(int64_t k, bool masked, int64_t left_row) {
    return masked || rows_collide(left_row) || k % UNIT_K != 0;
}

/* Panels, and a block of the left factor if that is moved. */
static int64_t workspace_count(int64_t k, int64_t n, bool masked, int64_t left_row) {
    int64_t block = is_moved(k, masked, left_row) ? BLOCK_ROWS * block_stride(k) : 0;
    return panels_count(k, n) + block / (int64_t)(sizeof(float) / sizeof(act_t));
}

status_t REAL(linear_plan)(const op_description_t *description, op_plan_t **plan_out,
                           op_needs_t *needs_out) {
    const op_shape_t *in = &description->in[0], *out = &description->out;
    REQUIRE(description->input_count == 1 && in->rows == out->rows);
    REQUIRE(!description->attributes.transposed ||
            description->attributes.activation == ACTIVATION_NONE);
    linear_plan_t *plan = alloc_zero(1, sizeof *plan);
    plan->base.description = *description;
    plan->threads = omp_get_max_threads();
    int64_t count = workspace_count(in->cols, out->cols, false, in->row_stride);
    if (description->d_out.rows > 0) {
        count = max_i64(count, workspace_count(out->cols, in->cols, has_relu(plan),
                                               description->d_out.row_stride));
        count = max_i64(count, REAL(linear_weights_plan)(plan));
    }
    int64_t kept = description->weights_stay ? panels_count(in->cols, out->cols) : 0;
    *needs_out = (op_needs_t){.workspace_count = count - kept, .kept_count = kept};
    *plan_out = &plan->base;
    return STATUS_OK;
}

/* --- one product over all rows --------------------------------------------------------------- */

/* out = left right, where right is [k, n] or, transposed, [n, k]. */
typedef struct rows_product {
    int64_t k, n;
    matrix_t left, out;
    const float *right;
    bool transposed;
    const float *bias; /* NULL: none */
    bool relu;
    const matrix_t *mask; /* left counts where this is above 0; NULL: everywhere */
    unit_t *panels;
    bool packed;  /* they are there already */
    act_t *block; /* a block of the left factor, masked or moved; row stride block_stride() */
    int shard_begin, shard_end;
    int64_t rows;                      /* of one shard */
    const live_t *live;                /* NULL: all */
    int64_t sample_rows, sample_begin; /* rows of a sample; the first of shard 0 */
} rows_product_t;

static void pack(const rows_product_t *product, int64_t col, int64_t cols) {
    unit_t *panel = product->panels + units_of(product->k) * col;
    if (product->transposed) {
        REAL(product_pack_transposed)
        (product->k, cols, product->right + col * product->k, product->k, panel);
    } else {
        REAL(product_pack_weights)(product->k, cols, product->right + col, product->n, panel);
    }
}

/* Rows of one shard and the columns of one panel. */
static void block_of_panel(const rows_product_t *product, const act_t *left, int64_t left_row,
                           act_t *out, int64_t rows, int64_t col) {
    int64_t units = units_of(product->k), out_bytes = sizeof(act_t);
    int64_t cols = min_i64(TILE_COLS, product->n - col);
    tile_end_t end = {.bias = product->bias != NULL ? product->bias + col : NULL,
                      .relu = product->relu};
    tile_t tile = {.cols = cols,
                   .k = units,
                   .a = left,
                   .a_row = left_row,
                   .a_col = UNIT_K,
                   .panel = product->panels + units * col,
                   .out = out + col,
                   .c_row = product->out.row_stride,
                   .end = &end};
    if (units <= FEW_UNITS) {
        tile.rows = rows;
        REAL(product_few)(&tile);
        return;
    }
    for (; rows > 0; rows -= TILE_ROWS) {
        tile.rows = min_i64(TILE_ROWS, rows);
        prefetch_tile(tile.out, tile.c_row * out_bytes, tile.rows, cols * out_bytes);
        REAL(product_tile)(&tile);
        tile.a += TILE_ROWS * left_row;
        tile.out += TILE_ROWS * tile.c_row;
    }
}

/* Rows of the left factor into the block. */
static void move_rows(const rows_product_t *product, int shard, int64_t begin, int64_t rows) {
    int64_t k = product->k, to_row = block_stride(k), left_row = product->left.row_stride;
    const act_t *left = row_of(product->left, shard, begin);
    bool masked = product->mask != NULL;
    const act_t *mask = masked ? row_of(*product->mask, shard, begin) : NULL;
    int64_t mask_row = masked ? product->mask->row_stride : 0;
    act_t *block = product->block;
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        act_t *to = block + r * to_row;
        if (masked) {
            before_relu(mask + r * mask_row, left + r * left_row, k, to);
        } else {
            copy_row(to, left + r * left_row, k);
        }
        for (int64_t c = k; c % UNIT_K != 0; c++) {
            to[c] = 0;
        }
    }
}

static void run_block(const rows_product_t *product, int shard, int64_t begin, int64_t rows,
                      bool first) {
    int64_t left_row = product->left.row_stride;
    const act_t *left = row_of(product->left, shard, begin);
    if (is_moved(product->k, product->mask != NULL, left_row)) {
        move_rows(product, shard, begin, rows);
        left = product->block;
        left_row = block_stride(product->k);
    }
#pragma omp for schedule(static)
    for (int64_t col = 0; col < product->n; col += TILE_COLS) {
        if (first) {
            pack(product, col, min_i64(TILE_COLS, product->n - col));
        }
        block_of_panel(product, left, left_row, row_of(product->out, shard, begin), rows, col);
    }
}

/* The rows of a shard that count in the sample that row `at` is in. */
static row_range_t live_at(const rows_product_t *product, int shard, int64_t at) {
    int64_t each = product->sample_rows, sample = at / each;
    int64_t number = product->sample_begin + shard * (product->rows / each) + sample;
    row_range_t range = live_rows(product->live, number, each);
    return (row_range_t){sample * each + range.begin, sample * each + range.end};
}

/* The next rows from `at` on that count. A sample that begins where the one before ends goes on
 * with its run. */
static row_range_t next_run(const rows_product_t *product, int shard, int64_t at) {
    int64_t rows = product->rows, each = product->sample_rows;
    row_range_t run = {rows, rows};
    if (product->live == NULL) {
        return (row_range_t){at, rows};
    }
    for (; at < rows; at = (at / each + 1) * each) {
        run = live_at(product, shard, at);
        run.begin = max_i64(run.begin, at);
        if (run.begin < run.end) {
            break;
        }
    }
    while (at < rows && run.end % each == 0 && run.end < rows) {
        row_range_t next = live_at(product, shard, run.end);
        if (next.begin != run.end || next.end == run.end) {
            break;
        }
        run.end = next.end;
    }
    return at < rows ? run : (row_range_t){rows, rows};
}

static void run_rows(const rows_product_t *product) {
    bool first = !product->packed;
    for (int s = product->shard_begin; s < product->shard_end; s++) {
        row_range_t run = {0, 0};
        while ((run = next_run(product, s, run.end)).begin < product->rows) {
            for (int64_t r = run.begin; r < run.end; r += BLOCK_ROWS) {
                run_block(product, s, r, min_i64(BLOCK_ROWS, run.end - r), first);
                first = false;
            }
        }
    }
}

/* What is between the runs. */
static void clear_rest(const rows_product_t *product) {
    for (int s = product->shard_begin; s < product->shard_end && product->live != NULL; s++) {
        for (int64_t at = 0; at < product->rows;) {
            row_range_t run = next_run(product, s, at);
            for (; at < run.begin; at++) {
                memset(row_of(product->out, s, at), 0, (size_t)product->n * sizeof(act_t));
            }
            at = run.end;
        }
    }
}

/* Nothing of OpenMP's is opened for one thread. */
static void run_threads(const linear_plan_t *plan, const rows_product_t *product) {
    clear_rest(product);
    if (plan->threads == 1) {
        run_rows(product);
        return;
    }
#pragma omp parallel num_threads(plan->threads)
    run_rows(product);
}

static void enter(matrix_t *matrix, int shard) { matrix->data = row_of(*matrix, shard, 0); }

/* Shards that follow one another without a gap are one shard: a row does not know where it is. */
static void run(const linear_plan_t *plan, rows_product_t *product, const live_t *live) {
    if (live != NULL) {
        product->live = live;
        product->sample_rows = product->rows / live->samples;
    }
    rows_product_t joined = *product;
    matrix_t mask = {0};
    bool gaps = !shards_follow(&product->left) || !shards_follow(&product->out);
    if (product->mask != NULL) {
        mask = *product->mask;
        gaps = gaps || !shards_follow(&mask);
        joined.mask = &mask;
        enter(&mask, product->shard_begin);
    }
    if (gaps) {
        run_threads(plan, product);
        return;
    }
    enter(&joined.left, product->shard_begin);
    enter(&joined.out, product->shard_begin);
    joined.sample_begin = live != NULL ? product->shard_begin * live->samples : 0;
    joined.rows *= product->shard_end - product->shard_begin;
    joined.shard_begin = 0;
    joined.shard_end = 1;
    run_threads(plan, &joined);
}

static rows_product_t forward_of(const op_plan_t *plan, const op_call_t *call) {
    const op_description_t *d = &plan->description;
    bool transposed = is_transposed((const linear_plan_t *)plan);
    unit_t *workspace = call->workspace;
    int64_t panels = d->weights_stay ? 0 : panels_count(d->in[0].cols, d->out.cols);
    return (rows_product_t){.k = d->in[0].cols,
                            .n = d->out.cols,
                            .left = call->in[0],
                            .out = call->out,
                            .right = call->weight[0],
                            .transposed = !transposed,
                            .bias = transposed ? NULL : call->weight[1],
                            .relu = has_relu((const linear_plan_t *)plan),
                            .panels = d->weights_stay ? call->kept : workspace,
                            .packed = d->weights_stay,
                            .block = (act_t *)(workspace + panels),
                            .shard_begin = call->shard_begin,
                            .shard_end = call->shard_end,
                            .rows = d->out.rows};
}

void REAL(linear_prepare)(const op_plan_t *plan, const op_call_t *call) {
    rows_product_t product = forward_of(plan, call);
    for (int64_t col = 0; col < product.n; col += TILE_COLS) {
        pack(&product, col, min_i64(TILE_COLS, product.n - col));
    }
}

void REAL(linear_forward)(const op_plan_t *plan, const op_call_t *call) {
    rows_product_t product = forward_of(plan, call);
    run((const linear_plan_t *)plan, &product, call->live);
}

void REAL(linear_backward_data)(const op_plan_t *plan, const op_call_t *call) {
    const linear_plan_t *linear = (const linear_plan_t *)plan;
    const op_description_t *d = &plan->description;
    if (call->d_in[0].data == NULL) {
        return;
    }
    unit_t *panels = call->workspace;
    rows_product_t product = {.k = d->out.cols,
                              .n = d->in[0].cols,
                              .left = call->d_out,
                              .out = call->d_in[0],
                              .right = call->weight[0],
                              .transposed = is_transposed(linear),
                              .mask = has_relu(linear) ? &call->out : NULL,
                              .panels = panels,
                              .block = (act_t *)(panels + panels_count(d->out.cols, d->in[0].cols)),
                              .shard_begin = call->shard_begin,
                              .shard_end = call->shard_end,
                              .rows = d->out.rows};
    run(linear, &product, call->live);
}
