/* ResNet-18 on one log-mel picture (jmt.md 1.3; He et al., Deep Residual Learning, CVPR 2016), as
 * torchvision has it but for its one input channel; and ResNet-50 on one picture of a face, with
 * which the field's baselines begin, as torchvision has it: the stride is in the middle. */
#include <string.h>

#include "trainer/backbone.h"

/* A convolution with its norm: NAME.convN, NAME.bnN. */
static grid_t part(const trunk_t *trunk, const char *name, int number, grid_t x, int64_t planes,
                   const window_t *window, activation_t activation) {
    return trunk_conv_norm(trunk, name_of("%s.conv%d", name, number).text,
                           name_of("%s.bn%d", name, number).text, x, planes, window, activation);
}

static grid_t shortcut(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                       int64_t stride) {
    window_t window = window_2d(1, stride, 0);
    name_t conv = name_of("%s.downsample.0", name), norm = name_of("%s.downsample.1", name);
    return trunk_conv_norm(trunk, conv.text, norm.text, x, planes, &window, ACTIVATION_NONE);
}

static grid_t basic(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                    int64_t stride) {
    window_t first = window_2d(3, stride, 1), second = window_2d(3, 1, 1);
    grid_t y = part(trunk, name, 1, x, planes, &first, ACTIVATION_RELU);
    y = part(trunk, name, 2, y, planes, &second, ACTIVATION_NONE);
    x = stride != 1 ? shortcut(trunk, name, x, planes, stride) : x;
    return trunk_add_relu(trunk, name, y, x);
}

static grid_t bottleneck(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                         int64_t stride) {
    window_t point = window_2d(1, 1, 0), middle = window_2d(3, stride, 1);
    grid_t y = part(trunk, name, 1, x, planes, &point, ACTIVATION_RELU);
    y = part(trunk, name, 2, y, planes, &middle, ACTIVATION_RELU);
    y = part(trunk, name, 3, y, 4 * planes, &point, ACTIVATION_NONE);
    bool other = graph_columns_of(trunk->graph, x.x) != 4 * planes;
    x = other ? shortcut(trunk, name, x, 4 * planes, stride) : x;
    return trunk_add_relu(trunk, name, y, x);
}

static value_t resnet(const trunk_t *trunk, const modality_config_t *modality, grid_t x,
                      const int blocks[4], bool deep) {
    window_t stem = window_2d(7, 2, 3), pool = window_2d(3, 2, 1);
    x = trunk_conv_norm(trunk, "conv1", "bn1", x, 64, &stem, ACTIVATION_RELU);
    x = trunk_pool(trunk, "maxpool", x, POOL_MAX, &pool);
    for (int layer = 0; layer < 4; layer++) {
        for (int i = 0; i < blocks[layer]; i++) {
            name_t name = name_of("layer%d.%d", layer + 1, i);
            int64_t planes = (int64_t)64 << layer, stride = layer > 0 && i == 0 ? 2 : 1;
            x = deep ? bottleneck(trunk, name.text, x, planes, stride)
                     : basic(trunk, name.text, x, planes, stride);
        }
    }
    if (strcmp(modality->reduce, "flatten") == 0) {
        return trunk_flatten(trunk, "fc", x, 512);
    }
    return trunk_pool_all(trunk, "avgpool", x,
                          strcmp(modality->reduce, "max") == 0 ? POOL_MAX : POOL_AVERAGE);
}

value_t backbone_resnet_18(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    return resnet(trunk, modality, x, (const int[]){2, 2, 2, 2}, false);
}

value_t backbone_resnet_50(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    return resnet(trunk, modality, x, (const int[]){3, 4, 6, 3}, true);
}
