#include "trainer/layers_grid.h"

#include <math.h>

#include "kernels/base/bytes.h"

window_t window_3d(const int64_t size[OP_AXES], const int64_t stride[OP_AXES],
                   const int64_t padding[OP_AXES]) {
    window_t window;
    for (int a = 0; a < OP_AXES; a++) {
        window.size[a] = size[a];
        window.stride[a] = stride[a];
        window.before[a] = window.after[a] = padding[a];
    }
    return window;
}

window_t window_2d(int64_t size, int64_t stride, int64_t padding) {
    return window_3d((int64_t[]){1, size, size}, (int64_t[]){1, stride, stride},
                     (int64_t[]){0, padding, padding});
}

window_t window_1d(int64_t size, int64_t stride, int64_t padding) {
    return window_3d((int64_t[]){1, 1, size}, (int64_t[]){1, 1, stride},
                     (int64_t[]){0, 0, padding});
}

window_t window_same(grid_t x, const int64_t size[OP_AXES], const int64_t stride[OP_AXES]) {
    window_t window = window_3d(size, stride, (int64_t[]){0, 0, 0});
    for (int a = 0; a < OP_AXES; a++) {
        int64_t rest = x.extent[a] % stride[a];
        int64_t total = max_i64(size[a] - (rest == 0 ? stride[a] : rest), 0);
        window.before[a] = total / 2;
        window.after[a] = total - total / 2;
    }
    return window;
}

static name_t in_trunk(const trunk_t *trunk, const char *name) {
    return name_of("%s.%s", trunk->name, name);
}

static int64_t channels_of(const trunk_t *trunk, grid_t x) {
    return graph_columns_of(trunk->graph, x.x);
}

/* The grid behind a window, and what the operation is told of it. */
static grid_t through(const trunk_t *trunk, const char *name, grid_t x, const window_t *window,
                      op_axis_t axis_out[OP_AXES]) {
    grid_t out = {.x = -1, .axes = x.axes, .steps = x.steps};
    for (int a = 0; a < OP_AXES; a++) {
        int64_t places = x.extent[a] + window->before[a] + window->after[a] - window->size[a];
        graph_require(trunk->graph, in_trunk(trunk, name).text, places >= 0,
                      "its window is larger than what is left of the clip or picture; take longer "
                      "clips or larger pictures");
        out.extent[a] = max_i64(places, 0) / window->stride[a] + 1;
        axis_out[a] = (op_axis_t){.in = x.extent[a],
                                  .out = out.extent[a],
                                  .size = window->size[a],
                                  .stride = window->stride[a],
                                  .dilation = 1,
                                  .before = window->before[a]};
    }
    return out;
}

static parameter_t make(const trunk_t *trunk, const char *name, const char *suffix, int64_t rows,
                        int64_t columns, init_t init) {
    name_t full = name_of("%s.%s.%s", trunk->name, name, suffix);
    parameter_t parameter = graph_parameter(trunk->graph, full.text, rows, columns, init);
    if (trunk->frozen) {
        graph_parameter_fix(trunk->graph, parameter);
    }
    return parameter;
}

/* Outside a weight has the axes that its grids use. */
static void shape_weight(const trunk_t *trunk, parameter_t weight, int axes,
                         const window_t *window) {
    graph_parameter_window(trunk->graph, weight, axes, window->size + OP_AXES - axes);
}

static int64_t taps_of(const window_t *window) {
    return window->size[0] * window->size[1] * window->size[2];
}

/* --- convolutions ---------------------------------------------------------------------------- */

grid_t trunk_conv(const trunk_t *trunk, const char *name, grid_t x, int64_t channels,
                  const window_t *window, activation_t activation) {
    op_axis_t axis[OP_AXES];
    grid_t out = through(trunk, name, x, window, axis);
    int64_t width = channels_of(trunk, x) * taps_of(window);
    init_t uniform = {.bound = 1.0 / sqrt((double)width)};
    parameter_t weight = make(trunk, name, "weight", channels, width, uniform);
    parameter_t bias = make(trunk, name, "bias", channels, 0, uniform);
    shape_weight(trunk, weight, x.axes, window);
    out.x = graph_conv(trunk->graph, in_trunk(trunk, name).text, x.x, weight, bias, axis, 1,
                       activation);
    return out;
}

/* He's initialisation, by fan out. */
static init_t normal_init(int64_t channels, const window_t *window) {
    return (init_t){.deviation = sqrt(2.0 / (double)(channels * taps_of(window)))};
}

static batch_norm_t make_norm(const trunk_t *trunk, const char *name, int64_t channels) {
    batch_norm_t norm = {.rule = trunk->norm, .epsilon = trunk->epsilon};
    norm.gain = make(trunk, name, "weight", channels, 0, (init_t){.constant = 1.0});
    norm.bias = make(trunk, name, "bias", channels, 0, (init_t){0});
    norm.mean = make(trunk, name, "running_mean", channels, 0, (init_t){0});
    norm.variance = make(trunk, name, "running_var", channels, 0, (init_t){.constant = 1.0});
    double momentum = norm.rule == NORM_FROZEN ? 0.0 : trunk->momentum;
    graph_parameter_statistic(trunk->graph, norm.mean, momentum);
    graph_parameter_statistic(trunk->graph, norm.variance, momentum);
    return norm;
}

/* The parameters of the state are read by nobody but the two folded ones. */
static value_t folded_conv(const trunk_t *trunk, const char *conv, const char *norm, grid_t x,
                           int64_t channels, const op_axis_t axis[OP_AXES],
                           activation_t activation) {
    graph_t *graph = trunk->graph;
    int64_t width = channels_of(trunk, x) * window_taps(axis);
    name_t left = name_of("%s.%s.weight", trunk->name, conv), norm_name = in_trunk(trunk, norm);
    name_t weight_name = name_of("%s.%s.folded.weight", trunk->name, conv);
    name_t bias_name = name_of("%s.%s.folded.bias", trunk->name, conv);
    fold_t fold = {.left = left.text, .norm = norm_name.text, .epsilon = trunk->epsilon};
    parameter_t weight = graph_parameter_folded(graph, weight_name.text, channels, width, &fold);
    fold.left = NULL;
    parameter_t bias = graph_parameter_folded(graph, bias_name.text, channels, 0, &fold);
    return graph_conv(graph, in_trunk(trunk, conv).text, x.x, weight, bias, axis, 1, activation);
}

/* Which rows of a grid count: all cells of the steps that are there. */
static row_mask_t cells_mask(const trunk_t *trunk, grid_t x) {
    int64_t rows = graph_rows_of(trunk->graph, x.x);
    return graph_mask_seen(trunk->graph, x.steps, rows, graph_length(trunk->graph), false);
}

grid_t trunk_norm(const trunk_t *trunk, const char *name, grid_t x) {
    batch_norm_t norm = make_norm(trunk, name, channels_of(trunk, x));
    row_mask_t mask = norm.rule == NORM_FROZEN ? NO_MASK : cells_mask(trunk, x);
    x.x = graph_batch_norm(trunk->graph, in_trunk(trunk, name).text, x.x, mask, &norm);
    return x;
}

/* Its place in the graph is the caller's to make. */
static parameter_t bare_weight(const trunk_t *trunk, const char *name, grid_t x, int64_t channels,
                               const window_t *window) {
    parameter_t weight =
        make(trunk, name, "weight", channels, channels_of(trunk, x) * taps_of(window),
             normal_init(channels, window));
    shape_weight(trunk, weight, x.axes, window);
    return weight;
}

grid_t trunk_bare_conv(const trunk_t *trunk, const char *name, grid_t x, int64_t channels,
                       const window_t *window) {
    op_axis_t axis[OP_AXES];
    grid_t out = through(trunk, name, x, window, axis);
    parameter_t weight = bare_weight(trunk, name, x, channels, window);
    out.x = graph_conv(trunk->graph, in_trunk(trunk, name).text, x.x, weight, -1, axis, 1,
                       ACTIVATION_NONE);
    return out;
}

grid_t trunk_conv_norm(const trunk_t *trunk, const char *conv, const char *norm, grid_t x,
                       int64_t channels, const window_t *window, activation_t activation) {
    graph_t *graph = trunk->graph;
    if (!graph_predicts(graph) && !trunk->frozen) {
        grid_t out = trunk_norm(trunk, norm, trunk_bare_conv(trunk, conv, x, channels, window));
        if (activation == ACTIVATION_RELU) {
            out.x = graph_relu(graph, name_of("%s.%s.relu", trunk->name, norm).text, out.x);
        }
        return out;
    }
    op_axis_t axis[OP_AXES];
    grid_t out = through(trunk, conv, x, window, axis);
    if (!graph_predicts(graph)) { /* what the folded ones are computed from */
        bare_weight(trunk, conv, x, channels, window);
        make_norm(trunk, norm, channels);
    }
    out.x = folded_conv(trunk, conv, norm, x, channels, axis, activation);
    return out;
}

grid_t trunk_prelu(const trunk_t *trunk, const char *name, grid_t x) {
    init_t quarter = {.constant = 0.25};
    parameter_t slope = make(trunk, name, "weight", channels_of(trunk, x), 0, quarter);
    x.x = graph_prelu(trunk->graph, in_trunk(trunk, name).text, x.x, slope);
    return x;
}

/* --- the rest -------------------------------------------------------------------------------- */

grid_t trunk_pool(const trunk_t *trunk, const char *name, grid_t x, pool_rule_t rule,
                  const window_t *window) {
    op_axis_t axis[OP_AXES];
    grid_t out = through(trunk, name, x, window, axis);
    out.x = graph_pool(trunk->graph, in_trunk(trunk, name).text, x.x, axis, rule);
    return out;
}

grid_t trunk_add(const trunk_t *trunk, const char *name, grid_t x, grid_t y) {
    value_t terms[] = {x.x, y.x};
    x.x = graph_sum(trunk->graph, name_of("%s.%s.add", trunk->name, name).text, terms, 2);
    return x;
}

grid_t trunk_add_relu(const trunk_t *trunk, const char *name, grid_t x, grid_t y) {
    x = trunk_add(trunk, name, x, y);
    x.x = graph_relu(trunk->graph, name_of("%s.%s.relu", trunk->name, name).text, x.x);
    return x;
}

grid_t trunk_concat(const trunk_t *trunk, const char *name, const grid_t *parts, int count) {
    grid_t out = parts[0];
    value_t x[OP_INPUTS_MAX];
    for (int i = 0; i < count; i++) {
        x[i] = parts[i].x;
    }
    out.x = graph_concat(trunk->graph, in_trunk(trunk, name).text, x, count);
    return out;
}

static window_t whole(grid_t x) {
    return window_3d(x.extent, (int64_t[]){1, 1, 1}, (int64_t[]){0, 0, 0});
}

value_t trunk_pool_all(const trunk_t *trunk, const char *name, grid_t x, pool_rule_t rule) {
    window_t window = whole(x);
    return trunk_pool(trunk, name, x, rule, &window).x;
}

value_t trunk_flatten(const trunk_t *trunk, const char *name, grid_t x, int64_t columns) {
    window_t window = whole(x);
    x.axes = 0; /* outside it is a matrix */
    return trunk_conv(trunk, name, x, columns, &window, ACTIVATION_NONE).x;
}

value_t trunk_linear(const trunk_t *trunk, const char *name, value_t x, int64_t columns,
                     activation_t activation) {
    int64_t width = graph_columns_of(trunk->graph, x);
    init_t uniform = {.bound = 1.0 / sqrt((double)width)};
    parameter_t weight = make(trunk, name, "weight", columns, width, uniform);
    parameter_t bias = make(trunk, name, "bias", columns, 0, uniform);
    return graph_linear(trunk->graph, in_trunk(trunk, name).text, x, weight_of(weight),
                        weight_of(bias), activation);
}
