/* I3D (jmt.md 1.2; Carreira and Zisserman, Quo Vadis, Action Recognition?, CVPR 2017) with every
 * stride of time set to 1, and a temporal convolutional network over its steps. Names are those of
 * the public PyTorch weights. */
#include "trainer/backbone.h"

enum { BRANCHES = 4 };

typedef struct mixed {
    const char *name;
    int64_t channels[6]; /* 1x1 | 1x1, 3x3x3 | 1x1, 3x3x3 | behind the pooling */
} mixed_t;

static grid_t unit(const trunk_t *trunk, const char *name, grid_t x, int64_t channels, int64_t size,
                   int64_t stride) {
    window_t window = window_same(x, (int64_t[]){size, size, size}, (int64_t[]){1, stride, stride});
    return trunk_conv_norm(trunk, name_of("%s.conv3d", name).text, name_of("%s.bn", name).text, x,
                           channels, &window, ACTIVATION_RELU);
}

static grid_t pool(const trunk_t *trunk, const char *name, grid_t x, int64_t time, int64_t space,
                   int64_t stride) {
    window_t window =
        window_same(x, (int64_t[]){time, space, space}, (int64_t[]){1, stride, stride});
    return trunk_pool(trunk, name, x, POOL_MAX, &window);
}

static grid_t mixed(const trunk_t *trunk, grid_t x, const mixed_t *block) {
    const char *name = block->name;
    const int64_t *n = block->channels;
    grid_t pooled = pool(trunk, name_of("%s.b3a", name).text, x, 3, 3, 1);
    grid_t parts[BRANCHES];
    parts[0] = unit(trunk, name_of("%s.b0", name).text, x, n[0], 1, 1);
    parts[1] = unit(trunk, name_of("%s.b1a", name).text, x, n[1], 1, 1);
    parts[1] = unit(trunk, name_of("%s.b1b", name).text, parts[1], n[2], 3, 1);
    parts[2] = unit(trunk, name_of("%s.b2a", name).text, x, n[3], 1, 1);
    parts[2] = unit(trunk, name_of("%s.b2b", name).text, parts[2], n[4], 3, 1);
    parts[3] = unit(trunk, name_of("%s.b3b", name).text, pooled, n[5], 1, 1);
    return trunk_concat(trunk, name, parts, BRANCHES);
}

static grid_t all_mixed(const trunk_t *trunk, grid_t x, const mixed_t *blocks, int count) {
    for (int i = 0; i < count; i++) {
        x = mixed(trunk, x, &blocks[i]);
    }
    return x;
}

static grid_t inception(const trunk_t *trunk, grid_t x) {
    static const mixed_t third[] = {{"Mixed_3b", {64, 96, 128, 16, 32, 32}},
                                    {"Mixed_3c", {128, 128, 192, 32, 96, 64}}};
    static const mixed_t fourth[] = {{"Mixed_4b", {192, 96, 208, 16, 48, 64}},
                                     {"Mixed_4c", {160, 112, 224, 24, 64, 64}},
                                     {"Mixed_4d", {128, 128, 256, 24, 64, 64}},
                                     {"Mixed_4e", {112, 144, 288, 32, 64, 64}},
                                     {"Mixed_4f", {256, 160, 320, 32, 128, 128}}};
    static const mixed_t fifth[] = {{"Mixed_5b", {256, 160, 320, 32, 128, 128}},
                                    {"Mixed_5c", {384, 192, 384, 48, 128, 128}}};
    x = unit(trunk, "Conv3d_1a_7x7", x, 64, 7, 2);
    x = pool(trunk, "MaxPool3d_2a_3x3", x, 1, 3, 2);
    x = unit(trunk, "Conv3d_2b_1x1", x, 64, 1, 1);
    x = unit(trunk, "Conv3d_2c_3x3", x, 192, 3, 1);
    x = pool(trunk, "MaxPool3d_3a_3x3", x, 1, 3, 2);
    x = all_mixed(trunk, x, third, 2);
    x = pool(trunk, "MaxPool3d_4a_3x3", x, 3, 3, 2);
    x = all_mixed(trunk, x, fourth, 5);
    x = pool(trunk, "MaxPool3d_5a_2x2", x, 2, 2, 2);
    return all_mixed(trunk, x, fifth, 2);
}

/* The mean over space and pairs of steps, the TCN over these, the largest numbers of its rows. */
value_t backbone_i3d(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    (void)modality;
    x = inception(trunk, x);
    window_t window = window_3d((int64_t[]){2, x.extent[1], x.extent[2]}, (int64_t[]){1, 1, 1},
                                (int64_t[]){0, 0, 0});
    x = trunk_pool(trunk, "avg_pool", x, POOL_AVERAGE, &window);
    tcn_spec_t spec = {.blocks = 4,
                       .kernel = 5,
                       .period = x.extent[0],
                       .causal = true,
                       .fixed = trunk->frozen,
                       .dropout = trunk->frozen ? 0.0 : 0.1};
    name_t name = name_of("%s.tcn", trunk->name);
    tcn_t tcn = tcn_make(trunk->graph, name.text, &spec, graph_columns_of(trunk->graph, x.x), 512);
    x.x = tcn_apply(trunk->graph, name.text, &tcn, (stream_t){x.x, NO_MASK});
    return trunk_pool_all(trunk, "pool", x, POOL_MAX);
}
