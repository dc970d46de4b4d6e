/* backbone_info.h - one row for each backbone: what a step of its modality is, and which settings
 * of modalities.NAME it reads. Everything that asks what a backbone is for asks here. */
#ifndef JMT_BACKBONE_INFO_H
#define JMT_BACKBONE_INFO_H

#include <stdbool.h>

/* A clip of pictures, or one picture; mel bands over time, [bands, frames] or [frames, bands]; a
 * signal. */
typedef enum { STEP_CLIP, STEP_PICTURE, STEP_MEL, STEP_PATCH, STEP_SIGNAL } step_kind_t;

/* Of each kind of data the one that jmt config --for begins with stands first. */
#define BACKBONE_LIST(X)                                                                           \
    X(r2plus1d_18, STEP_CLIP, "frozen size upsample width reduce batch_norm")                      \
    X(r3d_18, STEP_CLIP, "frozen size upsample width reduce batch_norm")                           \
    X(i3d, STEP_CLIP, "frozen size upsample batch_norm")                                           \
    X(ir_resnet_50, STEP_PICTURE, "frozen size upsample batch_norm")                               \
    X(resnet_50, STEP_PICTURE, "frozen size upsample reduce batch_norm")                           \
    X(resnet_18, STEP_MEL, "frozen reduce batch_norm")                                             \
    X(vggish, STEP_PATCH, "frozen")                                                                \
    X(cnn_1d, STEP_SIGNAL, "frozen fc_relu")

#define BACKBONE_ENUM_(name, step, reads) BACKBONE_##name,
typedef enum { BACKBONE_LIST(BACKBONE_ENUM_) BACKBONE_COUNT } backbone_id_t;

typedef struct backbone_info {
    backbone_id_t id;
    const char *name;
    step_kind_t step;
    const char *reads; /* settings that not every modality reads, spaces between */
} backbone_info_t;

const backbone_info_t *backbone_info(const char *name); /* NULL: "none" */
const backbone_info_t *backbone_first(bool (*of)(const backbone_info_t *info));
bool backbone_sees(const backbone_info_t *info);  /* pictures */
bool backbone_hears(const backbone_info_t *info); /* log-mel */
bool backbone_feels(const backbone_info_t *info); /* signals */

#endif
