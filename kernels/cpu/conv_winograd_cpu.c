/* Convolutions with fewer multiplications: Lavin & Gray, "Fast Algorithms for Convolutional Neural
 * Networks" (2016), section 4. Neighbouring results of an axis with three taps are
 * A' [(G g) * (B' d)]: F(2, 3) takes four products for two results of one axis (section 4.1)
 * instead of six, F(2x2, 3x3) 16 for four results of two axes instead of 36. Larger tiles (section
 * 4.3) take fewer still, and are too far from the sums for what trained batch norms make of it.
 *
 * By pairs of bf16, numbers are transformed in float, from bf16 or from weights in float, and then
 * rounded once, to within u = 2^-8 of themselves; sums and A' are float's again. The mean square of
 * an error by rounding is at most u^2 / 3 of that of what is rounded. F(2, 3) of independent
 * numbers of variance 1: B' d have 2; G g 1, 3/4, 3/4, 1; a result, which has 3 a column, is the
 * sum of three products, whose errors have 5 times that of one factor: 5/3 an axis, 25/9 for two.
 * With both factors rounded a result is sqrt(2 * 25/9 / 3) u = 1.36 u off beside its norm, where
 * the direct form, which rounds weights alone, is u / sqrt(3) = 0.58 u. Numbers that resemble their
 * neighbours cancel less of what was rounded: they have less in the differences.
 *
 * The products of one position of the transformed tiles are one matrix product over the columns
 * (and the taps of the first axis, where the others are transformed), by code of product.h. A tile
 * lies at the same place of its sample whatever is computed beside it, and each element is summed
 * in the same order, so that a sample does not know its company here either. */
#include "kernels/cpu/conv_cpu.h"

#if defined(__FMA__)

enum {
    TAPS = 3,
    SIDE = 4, /* of what a tile of 2x2 results reads */
    SPACE_POSITIONS = SIDE * SIDE,
    SPACE_RESULTS = 2 * 2,
    TIME_RESULTS = 2,
    COLS_LEAST = 32,          /* below, transforming takes what multiplying saves */
    BLOCK_BYTES = 768 * 1024, /* transformed, of a block of tiles */
    BLOCK_ROWS_LEAST = 64,    /* of a product: so many use a weight that was read */
    LEFT_AT_ONCE = 32,        /* rows of a panel that are near when they are transformed */
    LINE_FLOATS = LINE_BYTES / sizeof(float),
    LINE_ACTS = LINE_BYTES / sizeof(act_t),
};

/* --- extents --------------------------------------------------------------------------------- */

typedef struct grid {
    const conv_pass_t *pass;
    bool space;
    int64_t k, row;              /* columns read; from one transformed row of them to the next */
    int64_t positions, taps;     /* products of a tile; taps that they sum over */
    int64_t in_steps, steps;     /* of the first axis: transformed, and multiplied */
    int64_t down, across;        /* tiles of a plane */
    int64_t block;               /* tiles that are multiplied at a time, at all steps */
    int64_t in_apart, out_apart; /* from one position to the next */
} grid_t;

static grid_t grid_of(const conv_pass_t *pass, winograd_t winograd) {
    const op_axis_t *axis = pass->patches.axis;
    bool space = winograd == WINOGRAD_SPACE;
    grid_t grid = {.pass = pass, .space = space, .k = pass->patches.cols};
    grid.row = stride_apart(align_up(grid.k, VECTOR_COLS));
    grid.positions = space ? SPACE_POSITIONS : SIDE;
    grid.taps = space ? axis[0].size : 1;
    grid.steps = space ? axis[0].out : div_up(axis[0].out, TIME_RESULTS);
    grid.in_steps = space ? axis[0].in : grid.steps;
    grid.down = space ? div_up(axis[1].out, 2) : axis[1].out;
    grid.across = space ? div_up(axis[2].out, 2) : axis[2].out;
    int64_t tile = grid.in_steps * grid.row * (int64_t)sizeof(act_t) +
                   grid.steps * TILE_COLS * (int64_t)sizeof(float);
    int64_t most = BLOCK_BYTES / grid.positions / tile;
    most = max_i64(most, div_up(BLOCK_ROWS_LEAST, grid.steps));
    grid.block = max_i64(TILE_ROWS, most / TILE_ROWS * TILE_ROWS);
    /* Positions a power of two apart would take each other's place in the first cache. */
    grid.in_apart = grid.in_steps * grid.block * grid.row + LINE_ACTS;
    grid.out_apart = grid.steps * grid.block * TILE_COLS + LINE_FLOATS;
    return grid;
}

/* By pairs products in time save what their transforms take; and pairs are of one row. */
static winograd_t form_of(const conv_pass_t *pass) {
    const op_axis_t *axis = pass->patches.axis;
    bool fits = pass->plan->base.description.attributes.groups == 1 && !pass->spread &&
                pass->patches.cols >= COLS_LEAST && pass->patches.cols % UNIT_K == 0 &&
                pass->n >= COLS_LEAST && axis[0].size <= TAPS;
    for (int a = 0; a < OP_AXES; a++) {
        fits = fits && axis[a].stride == 1 && axis[a].dilation == 1;
    }
    if (fits && axis[1].size == TAPS && axis[2].size == TAPS) {
        return WINOGRAD_SPACE;
    }
    fits = fits && UNIT_K == 1 && axis[0].size == TAPS && axis[1].size == 1 && axis[2].size == 1;
    return fits ? WINOGRAD_TIME : WINOGRAD_NONE;
}

/* Taps of the first axis that a result at `step` reads. */
static range_t taps_at(const op_axis_t *axis, int64_t step) {
    int64_t begin = max_i64(0, axis->before - step);
    return (range_t){begin, max_i64(begin, min_i64(axis->size, axis->in + axis->before - step))};
}

/* Compared are products of a sample, for each number of a tap of the weight: the direct form meets
 * no padding on the first axis either. A transformed number costs about as much as so many. */
winograd_t REAL(conv_winograd)(const conv_pass_t *pass) {
    enum { PRODUCTS_OF_NUMBER = 32 * UNIT_K };
    const op_axis_t *axis = pass->patches.axis;
    winograd_t form = form_of(pass);
    if (form == WINOGRAD_NONE) {
        return form;
    }
    grid_t grid = grid_of(pass, form);
    int64_t tiles = grid.down * grid.across, live = 0;
    for (int64_t step = 0; step < axis[0].out; step++) {
        range_t taps = taps_at(&axis[0], step);
        live += taps.end - taps.begin;
    }
    int64_t direct = live * axis[1].out * axis[1].size * axis[2].out * axis[2].size;
    int64_t fewer = grid.positions * tiles * (grid.space ? live : grid.steps);
    bool pays = direct - fewer >= PRODUCTS_OF_NUMBER * grid.positions * grid.taps;
    return pays ? form : WINOGRAD_NONE;
}

int64_t REAL(conv_winograd_panels)(const conv_pass_t *pass) {
    grid_t grid = grid_of(pass, pass->winograd);
    return align_up(grid.positions * grid.taps * units_of(grid.k) * panel_cols(pass->n),
                    LINE_FLOATS);
}

/* A block's transformed input, a panel of its products, and what padding reads; before that, a
 * panel of the weight. */
int64_t REAL(conv_winograd_block)(const conv_pass_t *pass) {
    grid_t grid = grid_of(pass, pass->winograd);
    int64_t tiles = floats_of(grid.positions * grid.in_apart) + grid.positions * grid.out_apart +
                    floats_of(grid.row);
    int64_t weight = window_taps(pass->patches.axis) * LEFT_AT_ONCE * TILE_COLS;
    return align_up(max_i64(tiles, weight), LINE_FLOATS);
}

/* --- transforms ------------------------------------------------------------------------------ */

#define INLINE     static inline __attribute__((always_inline))
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

/* B' of four numbers, for two results. */
INLINE void inputs_of_2(vector_t *x, int apart) {
    vector_t x1 = x[apart], x2 = x[2 * apart];
    x[0] -= x2;
    x[3 * apart] = x1 - x[3 * apart];
    x[apart] = x1 + x2;
    x[2 * apart] = x2 - x1;
}

/* G of three taps. */
INLINE void factors_of_2(vector_t *x, int apart) {
    vector_t half = VECTOR_SPREAD(0.5F), x1 = x[apart], x2 = x[2 * apart];
    x[apart] = half * (x[0] + x2 + x1);
    x[2 * apart] = half * (x[0] + x2 - x1);
    x[3 * apart] = x2;
}

/* A' of four products. */
INLINE void results_of_2(vector_t *x, int apart) {
    vector_t x1 = x[apart], x2 = x[2 * apart];
    x[0] = x[0] + x1 + x2;
    x[apart] = x1 - x2 - x[3 * apart];
}

/* Columns [c, c + VECTOR_COLS): the last vector overlaps the one before rather than being cut. Only
 * a panel is narrower than a vector: its last columns are cut where they leave it. */
#define EACH_COLS(c, cols)                                                                         \
    for (int64_t begun = 0, c = 0; begun < (cols);                                                 \
         begun += VECTOR_COLS, c = min_i64(begun, (cols)-VECTOR_COLS))

/* What a tile reads. */
typedef struct window {
    const act_t *from[SPACE_POSITIONS], *mask[SPACE_POSITIONS];
} window_t;

INLINE void transform_window(const window_t *window, bool masked, bool space, int64_t cols,
                             act_t *to, int64_t apart) {
    const int positions = space ? SPACE_POSITIONS : SIDE;
    EACH_COLS(c, cols) {
        vector_t x[SPACE_POSITIONS];
        EACH(i, positions) {
            x[i] = load_activation(window->from[i] + c);
            if (masked) {
                bits_t open = load_activation(window->mask[i] + c) > (vector_t){0};
                x[i] = (vector_t)((bits_t)x[i] & open);
            }
        }
        if (space) {
            EACH(i, SIDE) { inputs_of_2(&x[i], SIDE); }
            EACH(i, SIDE) { inputs_of_2(&x[SIDE * i], 1); }
        } else {
            inputs_of_2(x, 1);
        }
        EACH(i, positions) { store_activation(to + i * apart + c, x[i], VECTOR_COLS); }
    }
}

/* Where the results of a tile go; NULL: outside. */
typedef struct results {
    act_t *to[SPACE_RESULTS];
    const float *bias;
    bool relu;
} results_t;

INLINE void transform_products(const float *from, int64_t apart, bool space, int64_t cols,
                               const results_t *results) {
    const int positions = space ? SPACE_POSITIONS : SIDE;
    const int count = space ? SPACE_RESULTS : TIME_RESULTS;
    EACH_COLS(c, cols) {
        vector_t x[SPACE_POSITIONS], bias = {0};
        EACH(i, positions) { x[i] = vector_load(from + i * apart + c); }
        if (space) {
            EACH(i, SIDE) { results_of_2(&x[i], SIDE); }
            EACH(i, 2) { results_of_2(&x[SIDE * i], 1); }
        } else {
            results_of_2(x, 1);
        }
        if (results->bias != NULL) {
            bias = load_part(results->bias + c, cols);
        }
        EACH(i, count) {
            vector_t value = x[space ? i / 2 * SIDE + i % 2 : i] + bias;
            if (results->to[i] != NULL) {
                value = results->relu ? relu_of(value) : value;
                store_activation(results->to[i] + c, value, cols);
            }
        }
    }
}

/* A row of a panel, from rows of a unit's numbers whose taps are `from_apart` apart. */
INLINE void transform_taps(const float *from, int64_t from_apart, bool space, int64_t cols,
                           unit_t *to, int64_t to_apart) {
    const int positions = space ? SPACE_POSITIONS : SIDE;
    for (int64_t c = 0; c < cols; c += VECTOR_COLS, from += VECTOR_COLS) {
        vector_t x[UNIT_K][SPACE_POSITIONS];
        EACH(u, UNIT_K) {
            const float *row = from + u * TILE_COLS;
            if (space) {
                EACH(i, TAPS * TAPS) {
                    x[u][i / TAPS * SIDE + i % TAPS] = vector_load(row + i * from_apart);
                }
                EACH(i, TAPS) { factors_of_2(&x[u][i], SIDE); }
                EACH(i, SIDE) { factors_of_2(&x[u][SIDE * i], 1); }
            } else {
                EACH(i, TAPS) { x[u][i] = vector_load(row + i * from_apart); }
                factors_of_2(x[u], 1);
            }
        }
        EACH(i, positions) { unit_store(to + i * to_apart + c, x[0][i], x[UNIT_K - 1][i]); }
    }
}

/* --- weights --------------------------------------------------------------------------------- */

/* A panel: [position, tap, unit of columns read] rows. */
static void pack_panel(const grid_t *grid, const weight_panels_t *weight, int64_t col, int64_t cols,
                       float *direct, unit_t *panel) {
    int64_t width = panel_cols(cols), units = units_of(grid->k), apart = grid->taps * units * width;
    int64_t plane = grid->space ? TAPS * TAPS : 1;
    for (int64_t begin = 0; begin < grid->k; begin += LEFT_AT_ONCE) {
        range_t left = {begin, min_i64(begin + LEFT_AT_ONCE, grid->k)};
        int64_t count = left.end - left.begin, tap = count * TILE_COLS;
        REAL(conv_pack_floats)(weight, col, cols, left, direct);
        for (int64_t j = 0; j < grid->taps; j++) {
            unit_t *to = panel + (j * units + begin / UNIT_K) * width;
            for (int64_t i = 0; i < count; i += UNIT_K, to += width) {
                const float *from = direct + j * plane * tap + i * TILE_COLS;
                if (grid->space) {
                    transform_taps(from, tap, true, width, to, apart);
                } else {
                    transform_taps(from, tap, false, width, to, apart);
                }
            }
        }
    }
}

static float *memory_of(const grid_t *grid) {
    const conv_pass_t *pass = grid->pass;
    return pass->blocks + omp_get_thread_num() * REAL(conv_winograd_block)(pass);
}

void REAL(conv_winograd_pack)(const conv_pass_t *pass) {
    grid_t grid = grid_of(pass, pass->winograd);
    weight_panels_t weight = REAL(conv_weight_of)(pass);
    int64_t rows = grid.positions * grid.taps * units_of(grid.k);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < panel_count(pass->n); i++) {
        int64_t col = panel_begin(pass->n, i);
        pack_panel(&grid, &weight, col, panel_width(pass->n, col), memory_of(&grid),
                   pass->panels + rows * col);
    }
}

/* --- blocks ---------------------------------------------------------------------------------- */

typedef struct block {
    const grid_t *grid;
    int shard;
    int64_t begin, count; /* tiles: over the planes of one sample after the other */
    act_t *in, *nothing;
    float *out;
} block_t;

/* The first row of a sample, and the tile's place in each of its planes. */
typedef struct place {
    int64_t sample, y, x;
} place_t;
static place_t place_of(const grid_t *grid, int64_t tile) {
    int64_t line = tile / grid->across, side = grid->space ? 2 : 1;
    return (place_t){line / grid->down, line % grid->down * side, tile % grid->across * side};
}

/* Of the tile after it: without dividing. */
static void next_place(const grid_t *grid, place_t *place) {
    int64_t side = grid->space ? 2 : 1;
    place->x += side;
    if (place->x == grid->across * side) {
        place->x = 0;
        place->y += side;
    }
    if (place->y == grid->down * side) {
        place->y = 0;
        place->sample++;
    }
}

static void window_at(const block_t *block, place_t place, int64_t step, window_t *window) {
    const grid_t *grid = block->grid;
    const patches_t *patches = &grid->pass->patches;
    const op_axis_t *axis = patches->axis;
    int64_t origin = place.sample * window_in(axis);
    for (int64_t i = 0; i < grid->positions; i++) {
        int64_t frame = step, y = place.y - axis[1].before, x = place.x - axis[2].before;
        if (grid->space) {
            y += i / SIDE;
            x += i % SIDE;
        } else {
            frame = TIME_RESULTS * step + i - axis[0].before;
        }
        bool inside = frame >= 0 && frame < axis[0].in && y >= 0 && y < axis[1].in && x >= 0 &&
                      x < axis[2].in;
        window->from[i] = window->mask[i] = block->nothing;
        if (inside) {
            int64_t row = origin + (frame * axis[1].in + y) * axis[2].in + x;
            window->from[i] = row_of(patches->from, block->shard, row);
            if (patches->mask != NULL) {
                window->mask[i] = row_of(*patches->mask, block->shard, row);
            }
        }
    }
}

/* Step by step: so each line of a plane is read in order, which the processor foresees. */
static void read_block(const block_t *block) {
    const grid_t *grid = block->grid;
    bool masked = grid->pass->patches.mask != NULL;
    window_t window;
    for (int64_t step = 0; step < grid->in_steps; step++) {
        place_t place = place_of(grid, block->begin);
        act_t *to = block->in + step * grid->block * grid->row;
        for (int64_t i = 0; i < block->count; i++, to += grid->row, next_place(grid, &place)) {
            window_at(block, place, step, &window);
            if (grid->space && masked) {
                transform_window(&window, true, true, grid->k, to, grid->in_apart);
            } else if (grid->space) {
                transform_window(&window, false, true, grid->k, to, grid->in_apart);
            } else {
                transform_window(&window, masked, false, grid->k, to, grid->in_apart);
            }
        }
    }
}

/* One position of the tiles by a panel: rows of one step read the same live taps. */
static void multiply(const block_t *block, int64_t position, int64_t step, const unit_t *panel,
                     int64_t cols) {
    const grid_t *grid = block->grid;
    const op_axis_t *axis = grid->pass->patches.axis;
    range_t live = {0, 1};
    int64_t first = step; /* what the first tap reads */
    if (grid->space) {
        live = taps_at(&axis[0], step);
        first -= axis[0].before;
    }
    const act_t *in = block->in + position * grid->in_apart, *taps[TAPS * TILE_ROWS];
    int64_t units = units_of(grid->k);
    float *out = block->out + position * grid->out_apart + step * grid->block * TILE_COLS;
    tile_end_t nothing_more = {.bias = NULL};
    for (int64_t r = 0; r < block->count; r += TILE_ROWS) {
        int64_t rows = min_i64(TILE_ROWS, block->count - r);
        for (int64_t j = live.begin; j < live.end; j++) {
            const act_t *row = in + ((first + j) * grid->block + r) * grid->row;
            for (int64_t i = 0; i < rows; i++) {
                taps[(j - live.begin) * TILE_ROWS + i] = row + i * grid->row;
            }
        }
        tile_t tile = {.rows = rows,
                       .cols = cols,
                       .k = (live.end - live.begin) * units,
                       .taps = taps,
                       .tap_units = units,
                       .panel = panel + live.begin * units * panel_cols(cols),
                       .c = out + r * TILE_COLS,
                       .c_row = TILE_COLS,
                       .end = &nothing_more};
        REAL(product_tile)(&tile);
    }
}

static void results_at(const block_t *block, place_t place, int64_t step, int64_t col,
                       results_t *results) {
    const conv_pass_t *pass = block->grid->pass;
    const op_axis_t *axis = pass->patches.axis;
    for (int64_t i = 0; i < (block->grid->space ? SPACE_RESULTS : TIME_RESULTS); i++) {
        int64_t frame = TIME_RESULTS * step + i, y = place.y, x = place.x;
        if (block->grid->space) {
            frame = step;
            y += i / 2;
            x += i % 2;
        }
        results->to[i] = NULL;
        if (frame < axis[0].out && y < axis[1].out && x < axis[2].out) {
            int64_t row = ((place.sample * axis[0].out + frame) * axis[1].out + y) * axis[2].out;
            results->to[i] = row_of(pass->out, block->shard, row + x) + col;
        }
    }
}

static void write_block(const block_t *block, int64_t col, int64_t cols) {
    const grid_t *grid = block->grid;
    const conv_pass_t *pass = grid->pass;
    results_t results = {.bias = pass->bias != NULL ? pass->bias + col : NULL, .relu = pass->relu};
    for (int64_t step = 0; step < grid->steps; step++) {
        place_t place = place_of(grid, block->begin);
        const float *from = block->out + step * grid->block * TILE_COLS;
        for (int64_t i = 0; i < block->count; i++, from += TILE_COLS, next_place(grid, &place)) {
            results_at(block, place, step, col, &results);
            if (grid->space) {
                transform_products(from, grid->out_apart, true, cols, &results);
            } else {
                transform_products(from, grid->out_apart, false, cols, &results);
            }
        }
    }
}

static void run_block(const block_t *block) {
    const grid_t *grid = block->grid;
    int64_t n = grid->pass->n, rows = grid->taps * units_of(grid->k);
    read_block(block);
    for (int64_t col = 0; col < n; col += panel_width(n, col)) {
        int64_t cols = panel_width(n, col), width = panel_cols(cols);
        const unit_t *panels = grid->pass->panels + grid->positions * rows * col;
        for (int64_t p = 0; p < grid->positions; p++) {
            for (int64_t step = 0; step < grid->steps; step++) {
                multiply(block, p, step, panels + p * rows * width, cols);
            }
        }
        write_block(block, col, cols);
    }
}

/* Blocks are about equal, and enough for every thread. */
void REAL(conv_winograd_blocks)(const conv_pass_t *pass) {
    grid_t grid = grid_of(pass, pass->winograd);
    int64_t samples = pass->rows / window_out(pass->patches.axis);
    int64_t tiles = samples * grid.down * grid.across;
    int64_t share = align_up(div_up(tiles, pass->plan->threads), TILE_ROWS);
    int64_t blocks = div_up(tiles, min_i64(grid.block, share));
    int64_t most = align_up(div_up(tiles, blocks), TILE_ROWS);
    blocks = div_up(tiles, most);
    block_t block = {.grid = &grid};
    float *memory = memory_of(&grid);
    block.in = (act_t *)memory;
    block.out = memory + floats_of(grid.positions * grid.in_apart);
    block.nothing = (act_t *)(block.out + grid.positions * grid.out_apart);
    memset(block.nothing, 0, (size_t)grid.k * sizeof *block.nothing);
#pragma omp for schedule(static)
    for (int64_t i = pass->shard_begin * blocks; i < pass->shard_end * blocks; i++) {
        block.shard = (int)(i / blocks);
        block.begin = i % blocks * most;
        block.count = min_i64(most, tiles - block.begin);
        run_block(&block);
    }
}

#else

winograd_t REAL(conv_winograd)(const conv_pass_t *pass) {
    (void)pass;
    return WINOGRAD_NONE;
}

int64_t REAL(conv_winograd_panels)(const conv_pass_t *pass) {
    (void)pass;
    return 0;
}

int64_t REAL(conv_winograd_block)(const conv_pass_t *pass) {
    (void)pass;
    return 0;
}

void REAL(conv_winograd_pack)(const conv_pass_t *pass) { (void)pass; }

void REAL(conv_winograd_blocks)(const conv_pass_t *pass) { (void)pass; }

#endif
