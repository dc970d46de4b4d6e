/* IR-ResNet-50 on one picture of a face (jmt.md 1.2; Deng et al., ArcFace, CVPR 2019): blocks of
 * batch norm, convolution, PReLU, convolution, batch norm beside a shortcut, the first of each of
 * four stages halving the picture; then a Linear to 512 between batch norms. */
#include "trainer/backbone.h"

static grid_t block(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                    int64_t stride) {
    window_t first = window_2d(3, 1, 1), second = window_2d(3, stride, 1);
    window_t point = window_2d(1, stride, 0);
    grid_t y = trunk_norm(trunk, name_of("%s.res_layer.0", name).text, x);
    y = trunk_bare_conv(trunk, name_of("%s.res_layer.1", name).text, y, planes, &first);
    y = trunk_prelu(trunk, name_of("%s.res_layer.2", name).text, y);
    name_t conv = name_of("%s.res_layer.3", name), norm = name_of("%s.res_layer.4", name);
    y = trunk_conv_norm(trunk, conv.text, norm.text, y, planes, &second, ACTIVATION_NONE);
    if (graph_columns_of(trunk->graph, x.x) == planes) {
        x = trunk_pool(trunk, name_of("%s.shortcut_layer", name).text, x, POOL_MAX, &point);
    } else {
        conv = name_of("%s.shortcut_layer.0", name);
        norm = name_of("%s.shortcut_layer.1", name);
        x = trunk_conv_norm(trunk, conv.text, norm.text, x, planes, &point, ACTIVATION_NONE);
    }
    return trunk_add(trunk, name, y, x);
}

value_t backbone_ir_resnet_50(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    (void)modality;
    static const int blocks[] = {3, 4, 14, 3};
    window_t window = window_2d(3, 1, 1);
    x = trunk_conv_norm(trunk, "input_layer.0", "input_layer.1", x, 64, &window, ACTIVATION_NONE);
    x = trunk_prelu(trunk, "input_layer.2", x);
    for (int stage = 0, i = 0; stage < 4; stage++) {
        for (int k = 0; k < blocks[stage]; k++, i++) {
            x = block(trunk, name_of("body.%d", i).text, x, (int64_t)64 << stage, k == 0 ? 2 : 1);
        }
    }
    x = trunk_norm(trunk, "output_layer.0", x);
    if (!trunk->frozen) {
        x.x = graph_dropout(trunk->graph, name_of("%s.output_layer.1", trunk->name).text, x.x, 0.4);
    }
    grid_t y = {.axes = 0, .extent = {1, 1, 1}, .steps = x.steps};
    y.x = trunk_flatten(trunk, "output_layer.3", x, 512);
    return trunk_norm(trunk, "output_layer.4", y).x;
}
