/* ResNet-18 on one log-mel picture (jmt.md 1.3; He et al., Deep Residual Learning, CVPR 2016), as
 * torchvision has it but for its one input channel. */
#include <string.h>

#include "trainer/backbone.h"

static grid_t block(const trunk_t *trunk, const char *name, grid_t x, int64_t planes,
                    int64_t stride) {
    window_t first = window_2d(3, stride, 1), second = window_2d(3, 1, 1);
    grid_t y = trunk_conv_norm(trunk, name_of("%s.conv1", name).text, name_of("%s.bn1", name).text,
                               x, planes, &first, ACTIVATION_RELU);
    y = trunk_conv_norm(trunk, name_of("%s.conv2", name).text, name_of("%s.bn2", name).text, y,
                        planes, &second, ACTIVATION_NONE);
    if (stride != 1) {
        window_t window = window_2d(1, stride, 0);
        name_t conv = name_of("%s.downsample.0", name), norm = name_of("%s.downsample.1", name);
        x = trunk_conv_norm(trunk, conv.text, norm.text, x, planes, &window, ACTIVATION_NONE);
    }
    return trunk_add_relu(trunk, name, y, x);
}

value_t backbone_resnet_18(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    window_t stem = window_2d(7, 2, 3), pool = window_2d(3, 2, 1);
    x = trunk_conv_norm(trunk, "conv1", "bn1", x, 64, &stem, ACTIVATION_RELU);
    x = trunk_pool(trunk, "maxpool", x, POOL_MAX, &pool);
    for (int layer = 0; layer < 4; layer++) {
        for (int i = 0; i < 2; i++) {
            x = block(trunk, name_of("layer%d.%d", layer + 1, i).text, x, (int64_t)64 << layer,
                      layer > 0 && i == 0 ? 2 : 1);
        }
    }
    if (strcmp(modality->reduce, "flatten") == 0) {
        return trunk_flatten(trunk, "fc", x, 512);
    }
    return trunk_pool_all(trunk, "avgpool", x,
                          strcmp(modality->reduce, "max") == 0 ? POOL_MAX : POOL_AVERAGE);
}
