/* backbone.h - what makes one row of features of a clip, picture or signal (jmt.md 1.2-1.4). Each
 * architecture is a file backbone_*.c with a row in backbone.c; its parameters are called
 * MODALITY.backbone.NAME, NAME as in the public PyTorch weights. */
#ifndef JMT_BACKBONE_H
#define JMT_BACKBONE_H

#include "configs/config.h"
#include "data-sharding/track_kind.h"
#include "kernels/kernels.h"
#include "trainer/augment.h"
#include "trainer/layers_grid.h"

/* The modality's input in `graph` and, where it has a backbone, that: one row for each step. dim:
 * the numbers of a step; *dim_out: of the row. STATUS_INPUT where the backbone takes another. */
status_t backbone_input(graph_t *graph, const modality_config_t *modality, int64_t dim,
                        stream_t *x_out, int64_t *dim_out) MUST_CHECK;

/* Numbers that a step of the data has by the configuration, its `dim` or what its backbone takes;
 * 0: it does not say. And what a step of the model has of that: clips, of enlarged pictures. */
int64_t modality_step_dim(const modality_config_t *modality);
int64_t modality_model_dim(const modality_config_t *modality, int64_t step_dim);

bool modality_takes_pixels(const modality_config_t *modality);

/* What a modality's backbone does to what dataset_read_tokens gives for one sample, before the
 * graph; looked up once. */
typedef struct feed {
    bool bytes, hears, turns; /* of pixels; of log-mel, which some take as [bands, frames] */
    const float *colours;     /* bytes only */
    augment_rule_t rule;
    uint64_t name;             /* of its draws */
    int64_t clip, size, times; /* size: of the data's pictures, which become so many times that */
    int64_t step, given;       /* elements of a step of the model, and of the clip in the data */
    float *scratch, *clip_scratch; /* one thread prepares at a time */
} feed_t;

/* kind and dim: of a step of the data; pixels have a backbone that takes them. */
feed_t feed_open(const modality_config_t *modality, track_kind_t kind, int64_t dim);
void feed_close(feed_t *feed);

/* x: [steps, feed's step] of floats, of which the data are the first [steps, clip, dim], in place;
 * bytes: pixels instead, which lie at the end of x's memory (feed_bytes). Rows of steps that are
 * masked stay zeros. chance: of a training sample, by which it is changed as the modality says;
 * NULL: it is not. */
uint8_t *feed_bytes(const feed_t *feed, int64_t steps, float *x);
typedef struct chance {
    uint64_t seed, step, sample;
} chance_t;
void feed_prepare(const feed_t *feed, int64_t steps, const uint8_t *mask, const chance_t *chance,
                  float *x);
/* The same of pixels by a table's `pictures`: what it does to each (fields of `call` that do not
 * differ from batch to batch), and what chance changes of each step. */
void feed_describe(const feed_t *feed, pictures_call_t *call);
void feed_changes(const feed_t *feed, int64_t steps, const chance_t *chance,
                  picture_change_t *changes);

/* The architectures: [length, columns] of x. */
value_t backbone_r2plus1d_18(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
value_t backbone_r3d_18(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
value_t backbone_resnet_18(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
value_t backbone_resnet_50(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
value_t backbone_ir_resnet_50(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
value_t backbone_i3d(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
value_t backbone_vggish(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
value_t backbone_cnn_1d(const trunk_t *trunk, const modality_config_t *modality, grid_t x);

#endif
