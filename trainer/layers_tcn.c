/* The temporal convolutional network of layers.h. */
#include <math.h>

#include "trainer/layers.h"

static parameter_t make(graph_t *graph, const char *prefix, const char *suffix, int64_t rows,
                        int64_t columns, init_t init) {
    return graph_parameter(graph, name_of("%s.%s", prefix, suffix).text, rows, columns, init);
}

static void fix(graph_t *graph, const tcn_spec_t *spec, parameter_t first, parameter_t last) {
    for (parameter_t p = first; p <= last && spec->fixed; p++) {
        graph_parameter_fix(graph, p);
    }
}

/* PyTorch's weight_norm(Conv1d): v and bias as the convolution begins, g = |v|. */
static temporal_t conv_make(graph_t *graph, const char *name, const tcn_spec_t *spec, int block,
                            int64_t in, int64_t out) {
    int64_t taps = spec->kernel, dilation = (int64_t)1 << block, span = (taps - 1) * dilation;
    init_t uniform = {.bound = 1.0 / sqrt((double)(in * taps))};
    temporal_t conv = {.period = spec->period,
                       .taps = taps,
                       .dilation = dilation,
                       .before = spec->causal ? span : span / 2};
    conv.v = make(graph, name, "weight_v", out, in * taps, uniform);
    conv.g = make(graph, name, "weight_g", out, 1, (init_t){.row_norms = true, .of = conv.v});
    conv.bias = make(graph, name, "bias", out, 0, uniform);
    graph_parameter_window(graph, conv.v, 1, &taps);
    graph_parameter_window(graph, conv.g, 1, (int64_t[]){1});
    fix(graph, spec, conv.v, conv.bias);
    return conv;
}

tcn_t tcn_make(graph_t *graph, const char *name, const tcn_spec_t *spec, int64_t in, int64_t out) {
    REQUIRE(spec->blocks <= TCN_BLOCKS_MAX);
    tcn_t tcn = {.spec = *spec};
    for (int b = 0; b < (int)spec->blocks; b++) {
        tcn_block_t *block = &tcn.block[b];
        int64_t width = b == 0 ? in : out;
        for (int c = 0; c < 2; c++) {
            name_t conv = name_of("%s.%d.conv%d", name, b, c + 1);
            block->conv[c] = conv_make(graph, conv.text, spec, b, c == 0 ? width : out, out);
        }
        block->resized = width != out;
        if (block->resized) {
            name_t downsample = name_of("%s.%d.downsample", name, b);
            block->downsample = linear_make(graph, downsample.text, width, out);
            graph_parameter_window(graph, block->downsample.weight, 1, (int64_t[]){1});
            fix(graph, spec, block->downsample.weight, block->downsample.bias);
        }
    }
    return tcn;
}

static value_t block_apply(graph_t *graph, const char *name, const tcn_block_t *block,
                           const tcn_spec_t *spec, stream_t x) {
    stream_t y = x;
    for (int c = 0; c < 2; c++) {
        name_t conv = name_of("%s.conv%d", name, c + 1), relu = name_of("%s.relu%d", name, c + 1);
        y.x = graph_temporal_conv(graph, conv.text, y.x, y.mask, &block->conv[c]);
        y.x = graph_leaky_relu(graph, relu.text, y.x, -1);
        if (spec->dropout > 0.0) {
            name_t drop = name_of("%s.dropout%d", name, c + 1);
            y.x = graph_dropout_channels(graph, drop.text, y.x, spec->period, spec->dropout);
        }
    }
    value_t shortcut = x.x;
    if (block->resized) {
        shortcut = linear_apply(graph, name_of("%s.downsample", name).text, block->downsample, x.x,
                                ACTIVATION_NONE);
    }
    return graph_leaky_relu(graph, name_of("%s.relu", name).text, y.x, shortcut);
}

value_t tcn_apply(graph_t *graph, const char *name, const tcn_t *tcn, stream_t x) {
    for (int b = 0; b < (int)tcn->spec.blocks; b++) {
        x.x = block_apply(graph, name_of("%s.%d", name, b).text, &tcn->block[b], &tcn->spec, x);
    }
    return x.x;
}
