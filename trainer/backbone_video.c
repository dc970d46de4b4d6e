/* R(2+1)D-18 and R3D-18 (jmt.md 1.2; Tran et al., A Closer Look at Spatiotemporal Convolutions,
 * CVPR 2018), as torchvision has them: a stem, then four layers of two residual blocks with 64,
 * 128, 256 and 512 planes (or another width, doubled likewise), each layer but the first halving
 * time and space. */
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/backbone.h"

typedef grid_t (*conv_rule_t)(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                              int64_t stride, int64_t middle, activation_t activation);

/* A convolution over space, then one over time, a batch norm behind each. */
static grid_t conv_2plus1d(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                           int64_t stride, int64_t middle, activation_t activation) {
    window_t space = window_2d(3, stride, 1);
    window_t time =
        window_3d((int64_t[]){3, 1, 1}, (int64_t[]){stride, 1, 1}, (int64_t[]){1, 0, 0});
    name_t name_0 = name_of("%s.0.0", name), name_1 = name_of("%s.0.1", name);
    name_t name_3 = name_of("%s.0.3", name), name_norm = name_of("%s.1", name);
    x = trunk_conv_norm(trunk, name_0.text, name_1.text, x, middle, &space, ACTIVATION_RELU);
    return trunk_conv_norm(trunk, name_3.text, name_norm.text, x, planes, &time, activation);
}

static grid_t conv_3d(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                      int64_t stride, int64_t middle, activation_t activation) {
    (void)middle;
    window_t window =
        window_3d((int64_t[]){3, 3, 3}, (int64_t[]){stride, stride, stride}, (int64_t[]){1, 1, 1});
    return trunk_conv_norm(trunk, name_of("%s.0", name).text, name_of("%s.1", name).text, x, planes,
                           &window, activation);
}

/* As many in the middle as give R(2+1)D the parameters of a 3 x 3 x 3 convolution. */
static int64_t middle_of(int64_t in, int64_t out) { return 27 * in * out / (9 * in + 3 * out); }

static grid_t block(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                    int64_t stride, conv_rule_t conv) {
    int64_t in = graph_columns_of(trunk->graph, x.x), middle = middle_of(in, planes);
    grid_t y =
        conv(trunk, name_of("%s.conv1", name).text, x, planes, stride, middle, ACTIVATION_RELU);
    y = conv(trunk, name_of("%s.conv2", name).text, y, planes, 1, middle, ACTIVATION_NONE);
    if (stride != 1 || in != planes) {
        window_t window = window_3d((int64_t[]){1, 1, 1}, (int64_t[]){stride, stride, stride},
                                    (int64_t[]){0, 0, 0});
        name_t conv_name = name_of("%s.downsample.0", name);
        name_t norm_name = name_of("%s.downsample.1", name);
        x = trunk_conv_norm(trunk, conv_name.text, norm_name.text, x, planes, &window,
                            ACTIVATION_NONE);
    }
    return trunk_add_relu(trunk, name, y, x);
}

/* All that follows the stem. */
static value_t layers(const trunk_t *trunk, const modality_config_t *modality, grid_t x,
                      conv_rule_t conv) {
    for (int layer = 0; layer < 4; layer++) {
        int64_t planes = modality->width << layer;
        for (int i = 0; i < 2; i++) {
            int64_t stride = layer > 0 && i == 0 ? 2 : 1;
            x = block(trunk, name_of("layer%d.%d", layer + 1, i).text, x, planes, stride, conv);
        }
    }
    if (strcmp(modality->reduce, "flatten") == 0) {
        return trunk_flatten(trunk, "fc", x, 512);
    }
    return trunk_pool_all(trunk, "pool", x,
                          strcmp(modality->reduce, "max") == 0 ? POOL_MAX : POOL_AVERAGE);
}

value_t backbone_r2plus1d_18(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    window_t space = window_2d(7, 2, 3);
    window_t time = window_3d((int64_t[]){3, 1, 1}, (int64_t[]){1, 1, 1}, (int64_t[]){1, 0, 0});
    int64_t middle = max_i64(45 * modality->width / 64, 1);
    x = trunk_conv_norm(trunk, "stem.0", "stem.1", x, middle, &space, ACTIVATION_RELU);
    x = trunk_conv_norm(trunk, "stem.3", "stem.4", x, modality->width, &time, ACTIVATION_RELU);
    return layers(trunk, modality, x, conv_2plus1d);
}

value_t backbone_r3d_18(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    window_t stem = window_3d((int64_t[]){3, 7, 7}, (int64_t[]){1, 2, 2}, (int64_t[]){1, 3, 3});
    x = trunk_conv_norm(trunk, "stem.0", "stem.1", x, modality->width, &stem, ACTIVATION_RELU);
    return layers(trunk, modality, x, conv_3d);
}
