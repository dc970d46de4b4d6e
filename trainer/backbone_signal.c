/* The convolutional network for biosignals of the paper's Table 1 (jmt.md 1.4): two convolutions of
 * 5 samples, ReLU and pooling of pairs behind each, and a Linear. */
#include "trainer/backbone.h"

value_t backbone_cnn_1d(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    window_t first = window_1d(5, 2, 0), second = window_1d(5, 1, 0), pair = window_1d(2, 2, 0);
    x = trunk_conv(trunk, "conv1", x, 32, &first, ACTIVATION_RELU);
    x = trunk_pool(trunk, "pool1", x, POOL_MAX, &pair);
    x = trunk_conv(trunk, "conv2", x, 64, &second, ACTIVATION_RELU);
    x = trunk_pool(trunk, "pool2", x, POOL_MAX, &pair);
    value_t y = trunk_flatten(trunk, "fc1", x, 512);
    return modality->fc_relu ? graph_relu(trunk->graph, name_of("%s.relu", trunk->name).text, y)
                             : y;
}
