/* VGGish (jmt.md 1.3; Hershey et al., CNN Architectures for Large-Scale Audio Classification,
 * ICASSP 2017) over 96 frames of 64 mel bands, with the names of the public PyTorch weights. */
#include "trainer/backbone.h"

value_t backbone_vggish(const trunk_t *trunk, const modality_config_t *modality, grid_t x) {
    (void)modality;
    static const struct {
        const char *conv;
        int64_t channels;
        const char *pool; /* behind it; NULL: none */
    } layers[] = {{"features.0", 64, "features.2"}, {"features.3", 128, "features.5"},
                  {"features.6", 256, NULL},        {"features.8", 256, "features.10"},
                  {"features.11", 512, NULL},       {"features.13", 512, "features.15"}};
    window_t window = window_2d(3, 1, 1), pair = window_2d(2, 2, 0);
    for (int i = 0; i < (int)(sizeof layers / sizeof layers[0]); i++) {
        x = trunk_conv(trunk, layers[i].conv, x, layers[i].channels, &window, ACTIVATION_RELU);
        if (layers[i].pool != NULL) {
            x = trunk_pool(trunk, layers[i].pool, x, POOL_MAX, &pair);
        }
    }
    /* Place by place, channels within, as the published weights have it. */
    int64_t places = x.extent[0] * x.extent[1] * x.extent[2];
    value_t y = graph_select_token(trunk->graph, name_of("%s.flat", trunk->name).text, x.x,
                                   (int)places, NO_MASK, TOKEN_CONCAT);
    y = trunk_linear(trunk, "embeddings.0", y, 4096, ACTIVATION_RELU);
    y = trunk_linear(trunk, "embeddings.2", y, 4096, ACTIVATION_RELU);
    return trunk_linear(trunk, "embeddings.4", y, 128, ACTIVATION_RELU);
}
