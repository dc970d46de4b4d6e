#include "trainer/batch_fill.h"

#include <math.h>
#include <string.h>

#include "kernels/base/rng.h"
#include "trainer/models.h"

static void fill_empty(const batch_t *batch, float *const *features, uint8_t *const *masks,
                       float *const *targets) {
    for (int m = 0; m < batch->modality_count; m++) {
        if (features[m] != NULL) {
            memset(features[m], 0, (size_t)(batch->length * batch->dims[m]) * sizeof(float));
        }
        memset(masks[m], 0, (size_t)batch->length);
    }
    for (int t = 0; t < batch->target_count; t++) {
        for (int64_t i = 0; i < batch->length; i++) {
            targets[t][i] = NAN;
        }
    }
}

/* Where a modality's tokens are read to, before they are prepared in place. */
static void *tokens_of(const batch_t *batch, int m, float *features) {
    bool bytes = batch->info[m].kind == TRACK_PIXELS;
    return bytes ? (void *)feed_bytes(&batch->feed[m], batch->length, features) : features;
}

static void prepare(const batch_t *batch, int m, float *features, const uint8_t *mask,
                    const chance_t *chance) {
    const modality_info_t *info = &batch->info[m];
    if (info->scaled) {
        standardize_apply(batch->standardize, m, features, mask, batch->length, info->clip);
    }
    feed_prepare(&batch->feed[m], batch->length, mask, chance, features);
}

status_t batch_fill_stretch(const batch_t *batch, int m, int64_t recording, int64_t first,
                            int64_t steps, float *features, uint8_t *mask) {
    const modality_info_t *info = &batch->info[m];
    size_t token = (size_t)(info->clip * info->dim) * track_element_bytes(info->kind);
    char *tokens = tokens_of(batch, m, features);
    TRY(dataset_read_stretch(batch->dataset, recording, m, first, steps, batch->scratch, tokens,
                             mask));
    memset(tokens + (size_t)steps * token, 0, (size_t)(batch->length - steps) * token);
    memset(mask + steps, 0, (size_t)(batch->length - steps));
    prepare(batch, m, features, mask, NULL);
    return STATUS_OK;
}

/* By what is asked for of the batch, or of its training samples. */
static bool is_muted(const batch_t *batch, int m, int64_t sample, const chance_t *chance) {
    bool muted = batch->corruption.modality == m && corruption_mutes(&batch->corruption, 0, sample);
    for (int i = 0; chance != NULL && batch->corrupts[m][i].kind != CORRUPTION_NONE; i++) {
        corruption_t corruption = batch->corrupts[m][i];
        corruption.seed = chance->seed;
        muted = muted || corruption_mutes(&corruption, chance->step, sample);
    }
    return muted;
}

/* All that is there of a modality is silence, which is then scaled and prepared as sound is. */
static void mute(const batch_t *batch, split_t split, int m, int64_t sample, float *features,
                 const uint8_t *mask) {
    const modality_info_t *info = &batch->info[m];
    const float *first = NULL;
    for (int64_t i = 0; i < batch->length * info->clip; i++) {
        float *step = features + i * info->dim;
        if (mask[i / info->clip] != 0 && first == NULL) {
            dataset_silence(batch->dataset, split, sample, m, step);
            first = step;
        } else if (mask[i / info->clip] != 0) {
            memcpy(step, first, (size_t)info->dim * sizeof *step);
        }
    }
}

/* A training sample, as its modalities say. */
static void make_worse(const batch_t *batch, const chance_t *chance, int64_t sample,
                       float *const *features, uint8_t *const *masks) {
    for (int m = 0; chance != NULL && m < batch->modality_count; m++) {
        for (int i = 0; batch->corrupts[m][i].kind != CORRUPTION_NONE; i++) {
            corruption_t corruption = batch->corrupts[m][i];
            corruption.seed = chance->seed;
            corrupt(&corruption, chance->step, sample, batch->length, batch->dims[m], features[m],
                    masks[m]);
        }
    }
}

/* NULL: it goes as bytes. */
static float *features_at(const batch_t *batch, const batch_place_t *place, int m, int64_t slot) {
    return batch->as_bytes[m] ? NULL : place->features[m] + slot * batch->length * batch->dims[m];
}

static status_t fill(const batch_t *batch, const batch_place_t *place, split_t split, int64_t slot,
                     int64_t sample, const chance_t *chance) {
    float *features[STREAMS_MAX], *targets[STREAMS_MAX];
    uint8_t *masks[STREAMS_MAX];
    void *tokens[STREAMS_MAX];
    for (int m = 0; m < batch->modality_count; m++) {
        features[m] = features_at(batch, place, m, slot);
        tokens[m] = batch->as_bytes[m]
                        ? place->pixels[m] + slot * batch->length * tokens_given(batch, m)
                        : tokens_of(batch, m, features[m]);
        masks[m] = place->masks[m] + slot * batch->length;
    }
    for (int t = 0; t < batch->target_count; t++) {
        targets[t] = place->target[t] + slot * batch->length;
    }
    if (sample < 0) {
        fill_empty(batch, features, masks, targets);
        return STATUS_OK;
    }
    TRY(dataset_read_tokens(batch->dataset, split, sample, batch->scratch, tokens, masks, targets));
    for (int t = 0; batch->labels[split] != NULL && t < batch->target_count; t++) {
        memcpy(targets[t], batch->labels[split][t] + sample * batch->length,
               (size_t)batch->length * sizeof(float));
    }
    for (int m = 0; m < batch->modality_count; m++) {
        if (batch->as_bytes[m]) {
            feed_changes(&batch->feed[m], batch->length, chance,
                         place->changes[m] + slot * batch->length);
            continue;
        }
        if (is_muted(batch, m, sample, chance)) {
            mute(batch, split, m, sample, features[m], masks[m]);
        }
        prepare(batch, m, features[m], masks[m], chance);
    }
    make_worse(batch, chance, sample, features, masks);
    int m = batch->corruption.modality;
    if (batch->corruption.kind != CORRUPTION_NONE) {
        corrupt(&batch->corruption, 0, sample, batch->length, batch->dims[m], features[m],
                masks[m]);
    }
    return STATUS_OK;
}

status_t batch_fill(const batch_t *batch, const batch_place_t *place, split_t split, int64_t slot,
                    int64_t sample) {
    return fill(batch, place, split, slot, sample, NULL);
}

static void hide(const batch_t *batch, const batch_place_t *place, int m, int64_t slot) {
    float *features = features_at(batch, place, m, slot);
    if (features != NULL) {
        memset(features, 0, (size_t)(batch->length * batch->dims[m]) * sizeof *features);
    }
    memset(place->masks[m] + slot * batch->length, 0, (size_t)batch->length);
}

/* Keyed by (seed, step, sample); of the streams that have a valid step one always stays. Two
 * modalities that are made one stream go together. */
static void drop_modalities(const batch_t *batch, const batch_place_t *place, int64_t slot,
                            int64_t sample, uint64_t step) {
    const rng_key_t key = {batch->stream.seed, rng_name("modality_dropout"), step};
    int count = batch->stream_count, stays = -1;
    bool there[CONFIG_MODALITIES_MAX] = {false};
    double drawn[CONFIG_MODALITIES_MAX], largest = -1.0;
    for (int m = 0; m < batch->modality_count; m++) {
        const uint8_t *mask = place->masks[m] + slot * batch->length;
        there[batch->stream_of[m]] |= memchr(mask, 1, (size_t)batch->length) != NULL;
    }
    for (int s = 0; s < count; s++) {
        drawn[s] = (double)rng_uniform(key, (uint64_t)(sample * count + s));
        if (there[s] && drawn[s] > largest) {
            largest = drawn[s];
            stays = s;
        }
    }
    for (int m = 0; m < batch->modality_count; m++) {
        int s = batch->stream_of[m];
        if (drawn[s] < batch->stream.modality_dropout && s != stays) {
            hide(batch, place, m, slot);
        }
    }
}

status_t batch_fill_slot(const batch_t *batch, const batch_place_t *place, int64_t slot,
                         int64_t sample, uint64_t step) {
    const batch_stream_t *stream = &batch->stream;
    const chance_t chance = {stream->seed, step, (uint64_t)sample};
    TRY(fill(batch, place, stream->split, slot, sample, stream->augments ? &chance : NULL));
    if (sample >= 0 && stream->modality_dropout > 0.0) {
        drop_modalities(batch, place, slot, sample, step);
    }
    return STATUS_OK;
}
