#include "trainer/backbone.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/augment.h"

/* What a step is: a clip of pictures, or one picture; mel bands over time, [bands, frames] or
 * [frames, bands]; a signal. */
typedef enum { STEP_CLIP, STEP_PICTURE, STEP_MEL, STEP_PATCH, STEP_SIGNAL } step_kind_t;
enum { MEL_BANDS = 64, COLOURS = 3 };

/* Of colours between 0 and 1 (jmt.md 1.2): as the weights of Kinetics-400 want them; to -1 .. 1. */
static const float kinetics[] = {0.43216f, 0.394666f, 0.37645f, 0.22803f, 0.22145f, 0.216989f};
static const float halves[] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f};

static const struct backbone_row {
    const char *name;
    step_kind_t step;
    double epsilon, momentum; /* of its batch norms, as PyTorch counts */
    const float *colours;     /* the mean of each, then the deviation */
    value_t (*build)(const trunk_t *trunk, const modality_config_t *modality, grid_t x);
} rows[] = {
    {"r2plus1d_18", STEP_CLIP, 1e-5, 0.1, kinetics, backbone_r2plus1d_18},
    {"r3d_18", STEP_CLIP, 1e-5, 0.1, kinetics, backbone_r3d_18},
    {"i3d", STEP_CLIP, 1e-3, 0.01, halves, backbone_i3d},
    {"ir_resnet_50", STEP_PICTURE, 1e-5, 0.1, halves, backbone_ir_resnet_50},
    {"resnet_18", STEP_MEL, 1e-5, 0.1, NULL, backbone_resnet_18},
    {"vggish", STEP_PATCH, 0.0, 0.0, NULL, backbone_vggish},
    {"cnn_1d", STEP_SIGNAL, 0.0, 0.0, NULL, backbone_cnn_1d},
};

static const struct backbone_row *row_of(const modality_config_t *modality) {
    for (int i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].name, modality->backbone) == 0) {
            return &rows[i];
        }
    }
    return NULL; /* "none" */
}

static bool has_pictures(const struct backbone_row *row) {
    return row->step == STEP_CLIP || row->step == STEP_PICTURE;
}

/* Of a step of the data; 0: it takes what comes. */
static int64_t taken_dim(const struct backbone_row *row, const modality_config_t *modality) {
    if (row == NULL || row->step == STEP_SIGNAL) {
        return 0;
    }
    return has_pictures(row) ? modality->size * modality->size * COLOURS : MEL_BANDS;
}

int64_t modality_step_dim(const modality_config_t *modality) {
    return modality->dim != 0 ? modality->dim : taken_dim(row_of(modality), modality);
}

bool modality_takes_pixels(const modality_config_t *modality) {
    const struct backbone_row *row = row_of(modality);
    return row != NULL && has_pictures(row);
}

/* dim: of a step of the model. */
static status_t check_dim(const struct backbone_row *row, const modality_config_t *modality,
                          int64_t dim) {
    int64_t wanted = taken_dim(row, modality), there = dim / modality->clip;
    if (wanted != 0 && there != wanted) {
        return status_fail(STATUS_INPUT,
                           "modalities.%s has %lld numbers a step, but backbone %s%s takes %lld; "
                           "set backbone%s as the data was made",
                           modality->name, (long long)there, row->name,
                           has_pictures(row) ? " of this size" : "", (long long)wanted,
                           has_pictures(row) ? " and size" : "");
    }
    return STATUS_OK;
}

/* The cells of a step. */
static grid_t grid_of(const struct backbone_row *row, const modality_config_t *modality) {
    int64_t clip = modality->clip, size = modality->size;
    switch (row->step) {
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
    bool shard = !modality->frozen && strcmp(modality->batch_norm, "shard") == 0;
    return shard ? NORM_SHARD : NORM_FROZEN;
}

status_t backbone_input(graph_t *graph, const modality_config_t *modality, int64_t dim,
                        stream_t *x_out, int64_t *dim_out) {
    const struct backbone_row *row = row_of(modality);
    if (row == NULL) {
        x_out->x = graph_input(graph, modality->name, dim, &x_out->mask);
        *dim_out = dim;
        return STATUS_OK;
    }
    TRY(check_dim(row, modality, dim));
    if (row->step == STEP_PICTURE && modality->clip != 1) {
        return status_fail(STATUS_INPUT,
                           "modalities.%s.backbone %s takes one picture of a step, not a clip of "
                           "%lld; leave clip out",
                           modality->name, row->name, (long long)modality->clip);
    }
    name_t name = name_of("%s.backbone", modality->name);
    trunk_t trunk = {.graph = graph,
                     .name = name.text,
                     .frozen = modality->frozen,
                     .norm = rule_of(modality),
                     .epsilon = row->epsilon,
                     .momentum = row->momentum};
    grid_t x = grid_of(row, modality);
    int64_t cells = x.extent[0] * x.extent[1] * x.extent[2];
    x.x = graph_input_cells(graph, modality->name, cells, dim / cells, &x.steps);
    *x_out = (stream_t){row->build(&trunk, modality, x), x.steps};
    *dim_out = graph_columns_of(graph, x_out->x);
    return STATUS_OK;
}

/* --- what is fed to them --------------------------------------------------------------------- */

/* From its first byte on, so that no byte is overwritten before it was read. */
static void widen_pixels(float *x, int64_t count) {
    const uint8_t *bytes = (const uint8_t *)x + 3 * count;
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

/* One token: of pictures between 0 and 1, or of sound. */
static void augment(const modality_config_t *modality, bool bytes, const chance_t *chance,
                    int64_t token, float *x) {
    augment_rule_t rule = augment_rule(modality->augment);
    name_t name = name_of("%s.augment", modality->name);
    rng_key_t key = {chance->seed, rng_name(name.text), chance->step};
    uint64_t clip = (chance->sample << 16) + (uint64_t)token; /* windows are at most 65536 long */
    if (bytes) {
        augment_pictures(rule, key, clip, modality->clip, modality->size, x);
    } else {
        augment_sound(rule, key, clip, modality->clip, MEL_BANDS, x);
    }
}

void backbone_prepare(const modality_config_t *modality, bool bytes, int64_t steps, int64_t dim,
                      const uint8_t *mask, const chance_t *chance, float *x) {
    const struct backbone_row *row = row_of(modality);
    int64_t step = modality->clip * dim;
    bool mel = row != NULL && (row->step == STEP_MEL || row->step == STEP_PATCH);
    bool turns = mel && row->step == STEP_MEL && modality->clip > 1;
    if (!bytes && !mel) {
        return;
    }
    float *scratch = turns ? alloc_aligned((size_t)step * sizeof *scratch) : NULL;
    if (bytes) {
        widen_pixels(x, steps * step);
    }
    for (int64_t t = 0; t < steps; t++) {
        float *token = x + t * step;
        if (mask[t] == 0) {
            memset(token, 0, (size_t)step * sizeof *x);
            continue;
        }
        if (chance != NULL && strcmp(modality->augment, "none") != 0) {
            augment(modality, bytes, chance, t, token);
        }
        if (bytes) {
            scale_colours(row->colours, token, step);
        }
        if (turns) {
            turn(token, modality->clip, scratch);
        }
    }
    free(scratch);
}
