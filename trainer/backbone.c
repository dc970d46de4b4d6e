#include "trainer/backbone.h"

#include <stdlib.h>
#include <string.h>

#include "configs/backbone_info.h"
#include "kernels/base/bytes.h"
#include "trainer/upsample.h"

enum { MEL_BANDS = 64, COLOURS = 3 };

/* Of colours between 0 and 1 (jmt.md 1.2): as the weights of Kinetics-400 want them, and those of
 * ImageNet; to -1 .. 1. */
static const float kinetics[] = {0.43216f, 0.394666f, 0.37645f, 0.22803f, 0.22145f, 0.216989f};
static const float imagenet[] = {0.485f, 0.456f, 0.406f, 0.229f, 0.224f, 0.225f};
static const float halves[] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f};

typedef struct backbone_row {
    double epsilon, momentum; /* of its batch norms, as PyTorch counts */
    const float *colours;     /* the mean of each, then the deviation */
    value_t (*build)(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
} backbone_row_t;

static const backbone_row_t rows[BACKBONE_COUNT] = {
    [BACKBONE_r2plus1d_18] = {1e-5, 0.1, kinetics, backbone_r2plus1d_18},
    [BACKBONE_r3d_18] = {1e-5, 0.1, kinetics, backbone_r3d_18},
    [BACKBONE_i3d] = {1e-3, 0.01, halves, backbone_i3d},
    [BACKBONE_ir_resnet_50] = {1e-5, 0.1, halves, backbone_ir_resnet_50},
    [BACKBONE_resnet_50] = {1e-5, 0.1, imagenet, backbone_resnet_50},
    [BACKBONE_resnet_18] = {1e-5, 0.1, NULL, backbone_resnet_18},
    [BACKBONE_vggish] = {0.0, 0.0, NULL, backbone_vggish},
    [BACKBONE_cnn_1d] = {0.0, 0.0, NULL, backbone_cnn_1d},
};

static const backbone_info_t *info_of(const modality_config_t *modality) {
    return backbone_info(modality->backbone);
}

/* Of a step of the model's clip; 0: it takes what comes. */
static int64_t taken_dim(const backbone_info_t *info, const modality_config_t *modality) {
    if (info == NULL || backbone_feels(info)) {
        return 0;
    }
    return backbone_sees(info) ? modality->size * modality->size * COLOURS : MEL_BANDS;
}

static int64_t enlarged(const modality_config_t *modality) {
    return modality->upsample * modality->upsample;
}

int64_t modality_step_dim(const modality_config_t *modality) {
    return modality->dim != 0 ? modality->dim
                              : taken_dim(info_of(modality), modality) / enlarged(modality);
}

int64_t modality_model_dim(const modality_config_t *modality, int64_t step_dim) {
    return step_dim * enlarged(modality) * modality->clip;
}

bool modality_takes_pixels(const modality_config_t *modality) {
    const backbone_info_t *info = info_of(modality);
    return info != NULL && backbone_sees(info);
}

/* dim: of a step of the model. */
static status_t check_dim(const backbone_info_t *info, const modality_config_t *modality,
                          int64_t dim) {
    int64_t wanted = taken_dim(info, modality) / enlarged(modality);
    int64_t there = dim / modality->clip / enlarged(modality);
    if (wanted != 0 && there != wanted) {
        return status_fail(STATUS_INPUT,
                           "modalities.%s has %lld numbers a step, but backbone %s%s takes %lld; "
                           "set backbone%s as the data was made",
                           modality->name, (long long)there, info->name,
                           backbone_sees(info) ? " of this size" : "", (long long)wanted,
                           backbone_sees(info) ? " and size" : "");
    }
    return STATUS_OK;
}

/* The cells of a step. */
static grid_t grid_of(const backbone_info_t *info, const modality_config_t *modality) {
    int64_t clip = modality->clip, size = modality->size;
    switch (info->step) {
    case STEP_CLIP:
        return (grid_t){.axes = 3, .extent = {clip, size, size}};
    case STEP_PICTURE:
        return (grid_t){.axes = 2, .extent = {1, size, size}};
    case STEP_MEL:
        return (grid_t){.axes = 2, .extent = {1, MEL_BANDS, clip}};
    case STEP_PATCH:
        return (grid_t){.axes = 2, .extent = {1, clip, MEL_BANDS}};
    default:
        return (grid_t){.axes = 1, .extent = {1, 1, clip}};
    }
}

static norm_rule_t rule_of(const modality_config_t *modality) {
    bool shard = strcmp(modality->batch_norm, "shard") == 0;
    bool global = strcmp(modality->batch_norm, "global") == 0;
    return modality->frozen ? NORM_FROZEN : shard ? NORM_SHARD : global ? NORM_GLOBAL : NORM_FROZEN;
}

status_t backbone_input(graph_t *graph, const modality_config_t *modality, int64_t dim,
                        stream_t *x_out, int64_t *dim_out) {
    const backbone_info_t *info = info_of(modality);
    if (info == NULL) {
        x_out->x = graph_input(graph, modality->name, dim, &x_out->mask);
        *dim_out = dim;
        return STATUS_OK;
    }
    TRY(check_dim(info, modality, dim));
    if (info->step == STEP_PICTURE && modality->clip != 1) {
        return status_fail(STATUS_INPUT,
                           "modalities.%s.backbone %s takes one picture of a step, not a clip of "
                           "%lld; leave clip out",
                           modality->name, info->name, (long long)modality->clip);
    }
    const backbone_row_t *row = &rows[info->id];
    name_t name = name_of("%s.backbone", modality->name);
    trunk_t trunk = {.graph = graph,
                     .name = name.text,
                     .frozen = modality->frozen,
                     .norm = rule_of(modality),
                     .epsilon = row->epsilon,
                     .momentum = row->momentum};
    grid_t x = grid_of(info, modality);
    int64_t cells = x.extent[0] * x.extent[1] * x.extent[2];
    x.x = graph_input_cells(graph, modality->name, cells, dim / cells, &x.steps);
    *x_out = (stream_t){row->build(&trunk, modality, x), x.steps};
    *dim_out = graph_columns_of(graph, x_out->x);
    return STATUS_OK;
}

/* --- what is fed to them --------------------------------------------------------------------- */

/* x may end where the bytes end: from the first on none is overwritten before it was read. */
static void widen_pixels(float *x, const uint8_t *bytes, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        x[i] = (float)bytes[i] / 255.0f;
    }
}

static void scale_colours(const float *colours, float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        int c = (int)(i % COLOURS);
        x[i] = (x[i] - colours[c]) / colours[COLOURS + c];
    }
}

/* [frames, bands] to the picture [bands, frames]. */
static void turn(float *x, int64_t frames, float *scratch) {
    memcpy(scratch, x, (size_t)(frames * MEL_BANDS) * sizeof *x);
    for (int64_t f = 0; f < frames; f++) {
        for (int64_t b = 0; b < MEL_BANDS; b++) {
            x[b * frames + f] = scratch[f * MEL_BANDS + b];
        }
    }
}

feed_t feed_open(const modality_config_t *modality, track_kind_t kind, int64_t dim) {
    const backbone_info_t *info = info_of(modality);
    feed_t feed = {.bytes = kind == TRACK_PIXELS,
                   .hears = info != NULL && backbone_hears(info),
                   .rule = augment_rule(modality->augment),
                   .name = rng_name(name_of("%s.augment", modality->name).text),
                   .clip = modality->clip,
                   .size = modality->size / modality->upsample,
                   .times = modality->upsample,
                   .step = modality_model_dim(modality, dim),
                   .given = modality->clip * dim};
    feed.turns = feed.hears && info->step == STEP_MEL && feed.clip > 1;
    feed.colours = feed.bytes ? rows[info->id].colours : NULL;
    int64_t picture = feed.size * feed.size * COLOURS;
    int64_t scratch = feed.bytes ? picture : feed.hears ? feed.given : 0;
    feed.scratch = alloc_aligned((size_t)scratch * sizeof *feed.scratch);
    int64_t clip = feed.times > 1 ? feed.given : 0;
    feed.clip_scratch = alloc_aligned((size_t)clip * sizeof *feed.scratch);
    return feed;
}

void feed_close(feed_t *feed) {
    free(feed->scratch);
    free(feed->clip_scratch);
}

uint8_t *feed_bytes(const feed_t *feed, int64_t steps, float *x) {
    return (uint8_t *)(x + steps * feed->step) - steps * feed->given;
}

static rng_key_t key_of(const feed_t *feed, const chance_t *chance) {
    return (rng_key_t){chance->seed, feed->name, chance->step};
}

/* Windows are at most 65536 long. */
static uint64_t clip_of(const chance_t *chance, int64_t token) {
    return (chance->sample << 16) + (uint64_t)token;
}

/* One token: of pictures between 0 and 1, or of sound. */
static void augment(const feed_t *feed, const chance_t *chance, int64_t token, float *x) {
    rng_key_t key = key_of(feed, chance);
    uint64_t clip = clip_of(chance, token);
    if (feed->bytes) {
        augment_pictures(feed->rule, key, clip, feed->clip, feed->size, feed->scratch, x);
    } else {
        augment_sound(feed->rule, key, clip, feed->clip, MEL_BANDS, feed->scratch, x);
    }
}

/* A token from where it was read to where it belongs. */
static void prepare_token(const feed_t *feed, int64_t steps, int64_t t, const chance_t *chance,
                          float *x) {
    float *token = x + t * feed->step, *work = feed->times > 1 ? feed->clip_scratch : token;
    if (feed->bytes) {
        widen_pixels(work, feed_bytes(feed, steps, x) + t * feed->given, feed->given);
    } else if (feed->times > 1) {
        memcpy(work, x + t * feed->given, (size_t)feed->given * sizeof *x);
    }
    if (chance != NULL && feed->rule != AUGMENT_NONE) {
        augment(feed, chance, t, work);
    }
    if (feed->bytes) {
        scale_colours(feed->colours, work, feed->given);
    }
    int64_t picture = feed->size * feed->size * COLOURS;
    for (int64_t f = 0; feed->times > 1 && f < feed->clip; f++) {
        upsample_picture(feed->size, feed->times, work + f * picture,
                         token + f * picture * feed->times * feed->times);
    }
    if (feed->turns) {
        turn(token, feed->clip, feed->scratch);
    }
}

/* Bytes lie behind what becomes of them, so the first token comes first; floats that are enlarged
 * lie before it, so the last does. */
void feed_prepare(const feed_t *feed, int64_t steps, const uint8_t *mask, const chance_t *chance,
                  float *x) {
    if (!feed->bytes && !feed->hears && feed->times == 1) {
        return;
    }
    for (int64_t i = 0; i < steps; i++) {
        int64_t t = feed->bytes || feed->times == 1 ? i : steps - 1 - i;
        if (mask[t] == 0) {
            memset(x + t * feed->step, 0, (size_t)feed->step * sizeof *x);
        } else {
            prepare_token(feed, steps, t, chance, x);
        }
    }
}

void feed_describe(const feed_t *feed, pictures_call_t *call) {
    call->clip = feed->clip;
    call->size = feed->size;
    call->times = feed->times;
    memcpy(call->scale, feed->colours, sizeof call->scale);
}

void feed_changes(const feed_t *feed, int64_t steps, const chance_t *chance,
                  picture_change_t *changes) {
    memset(changes, 0, (size_t)steps * sizeof *changes);
    for (int64_t t = 0; t < steps && chance != NULL; t++) {
        changes[t] = augment_draw(feed->rule, key_of(feed, chance), clip_of(chance, t), feed->size);
    }
}
