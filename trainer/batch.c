#include "trainer/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/models.h"

/* --- places ---------------------------------------------------------------------------------- */

static size_t feature_bytes(const batch_t *batch, int m) {
    return (size_t)(batch->slots * batch->length * batch->dims[m]) * sizeof(float);
}

static size_t mask_bytes(const batch_t *batch) { return (size_t)(batch->slots * batch->length); }

static size_t target_bytes(const batch_t *batch) { return mask_bytes(batch) * sizeof(float); }

/* owned: with memory of its own; else on the executor's inputs. */
static void place_open(const batch_t *batch, bool owned, batch_place_t *place) {
    place->features = alloc_zero(batch->modality_count, sizeof *place->features);
    place->masks = alloc_zero(batch->modality_count, sizeof *place->masks);
    place->target = alloc_zero(batch->target_count, sizeof *place->target);
    for (int m = 0; m < batch->modality_count; m++) {
        place->features[m] = owned ? alloc_aligned(feature_bytes(batch, m))
                                   : (float *)executor_input(batch->executor, m);
        place->masks[m] =
            owned ? alloc_aligned(mask_bytes(batch)) : executor_mask(batch->executor, m);
    }
    for (int t = 0; t < batch->target_count; t++) {
        place->target[t] = place == &batch->direct ? batch->labels_of_batch[t].host
                                                   : alloc_aligned(target_bytes(batch));
    }
}

static void place_close(const batch_t *batch, bool owned, batch_place_t *place) {
    for (int m = 0; owned && m < batch->modality_count; m++) {
        free(place->features[m]);
        free(place->masks[m]);
    }
    for (int t = 0; t < batch->target_count && place != &batch->direct; t++) {
        free(place->target[t]);
    }
    free(place->features);
    free(place->masks);
    free(place->target);
}

size_t batch_ahead_bytes(const graph_t *graph, int64_t slots, int64_t ahead) {
    int64_t steps = slots * graph_length(graph);
    int64_t each = graph_output_count(graph) * (int64_t)sizeof(float);
    for (int m = 0; m < graph_input_count(graph); m++) {
        each += graph_input_dim(graph, m) * (int64_t)sizeof(float) + 1;
    }
    return (size_t)(ahead * steps * each);
}

/* corrupts: room for all kinds and `none` behind them. */
static status_t corrupts_of(const modality_config_t *modality, int index, corruption_t *corrupts) {
    const char *next = modality->corrupt;
    for (int i = 0; next[0] != '\0'; i++) {
        int length = (int)strcspn(next, " ");
        char *word = text_format("%.*s", length, next);
        corrupts[i].modality = index;
        status_t status = corruption_parse(word, &corrupts[i].kind, &corrupts[i].level);
        free(word);
        TRY(status);
        next += length + (next[length] == ' ');
    }
    return STATUS_OK;
}

/* --- opening --------------------------------------------------------------------------------- */

static status_t make(void *context, int place, int64_t item);

static void close_labels(batch_t *batch) {
    for (int t = 0; t < batch->target_count; t++) {
        mirror_close(&batch->labels_of_batch[t]);
    }
}

static status_t open_labels(batch_t *batch) {
    const device_t *device = executor_device(batch->executor);
    status_t status = STATUS_OK;
    for (int t = 0; t < batch->target_count && status == STATUS_OK; t++) {
        status = mirror_open(device, target_bytes(batch), "labels", &batch->labels_of_batch[t]);
    }
    return status;
}

status_t batch_open(executor_t *executor, const graph_t *graph, const dataset_t *dataset,
                    const standardize_t *standardize, const int64_t *dims, const config_t *config,
                    batch_t *batch_out) {
    batch_t batch = {.dataset = dataset,
                     .standardize = standardize,
                     .executor = executor,
                     .slots = executor_samples(executor),
                     .length = graph_length(graph),
                     .modality_count = graph_input_count(graph),
                     .target_count = graph_output_count(graph),
                     .dims = dims,
                     .ahead = (int)config->data.prefetch};
    int indices[CONFIG_MODALITIES_MAX], ahead = batch.ahead;
    model_modalities(config, indices);
    for (int m = 0; m < batch.modality_count; m++) {
        batch.modality[m] = &config->modalities[indices[m]];
        batch.info[m] = dataset_modality(dataset, m);
        TRY(corrupts_of(batch.modality[m], m, batch.corrupts[m]));
    }
    batch.staged = executor_dtype(executor) != DTYPE_F32;
    batch.stream_count = model_streams_of(config, batch.stream_of);
    status_t status = open_labels(&batch);
    if (status == STATUS_OK) {
        status = prefetch_open(ahead, make, batch_out, &batch.prefetch);
    }
    if (status != STATUS_OK) {
        close_labels(&batch);
        return status;
    }
    batch.scratch = dataset_scratch_open(dataset);
    for (int m = 0; m < batch.modality_count; m++) {
        batch.feed[m] = feed_open(batch.modality[m], batch.info[m].kind, batch.info[m].dim);
    }
    place_open(&batch, batch.staged, &batch.direct);
    batch.target = batch.direct.target;
    batch.places = alloc_zero(max_i64(ahead, 1), sizeof *batch.places);
    for (int i = 0; i < ahead; i++) {
        place_open(&batch, true, &batch.places[i]);
    }
    *batch_out = batch;
    return STATUS_OK;
}

void batch_close(batch_t *batch) {
    prefetch_close(batch->prefetch);
    place_close(batch, batch->staged, &batch->direct);
    for (int i = 0; i < batch->ahead; i++) {
        place_close(batch, true, &batch->places[i]);
    }
    free(batch->places);
    dataset_scratch_close(batch->scratch);
    for (int m = 0; m < batch->modality_count; m++) {
        feed_close(&batch->feed[m]);
    }
    close_labels(batch);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int t = 0; batch->labels[s] != NULL && t < batch->target_count; t++) {
            free(batch->labels[s][t]);
        }
        free(batch->labels[s]);
    }
    *batch = (batch_t){0};
}

/* --- one sample ------------------------------------------------------------------------------ */

static void fill_empty(const batch_t *batch, float *const *features, uint8_t *const *masks,
                       float *const *targets) {
    for (int m = 0; m < batch->modality_count; m++) {
        memset(features[m], 0, (size_t)(batch->length * batch->dims[m]) * sizeof(float));
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

static status_t fill(const batch_t *batch, const batch_place_t *place, split_t split, int64_t slot,
                     int64_t sample, const chance_t *chance) {
    float *features[STREAMS_MAX], *targets[STREAMS_MAX];
    uint8_t *masks[STREAMS_MAX];
    void *tokens[STREAMS_MAX];
    for (int m = 0; m < batch->modality_count; m++) {
        int64_t elements = batch->length * batch->dims[m];
        features[m] = place->features[m] + slot * elements;
        tokens[m] = tokens_of(batch, m, features[m]);
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
    int64_t elements = batch->length * batch->dims[m];
    memset(place->features[m] + slot * elements, 0, (size_t)elements * sizeof(float));
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

/* --- a stream of batches --------------------------------------------------------------------- */

static status_t fill_place(const batch_t *batch, const batch_place_t *place, int64_t item) {
    const batch_stream_t *stream = &batch->stream;
    int64_t first = stream->begin + item * stream->stride;
    for (int64_t slot = 0; slot < batch->slots; slot++) {
        int64_t at = first + slot, sample = -1;
        if (at < stream->end) {
            sample = stream->order != NULL ? stream->order[at] : at;
        }
        const chance_t chance = {stream->seed, stream->step + (uint64_t)item, (uint64_t)sample};
        TRY(fill(batch, place, stream->split, slot, sample, stream->augments ? &chance : NULL));
        if (sample >= 0 && stream->modality_dropout > 0.0) {
            drop_modalities(batch, place, slot, sample, stream->step + (uint64_t)item);
        }
    }
    return STATUS_OK;
}

/* On the reader's thread: reads what batch_start left, and writes the place. */
static status_t make(void *context, int place_index, int64_t item) {
    const batch_t *batch = context;
    const batch_place_t *place = batch->ahead > 0 ? &batch->places[place_index] : &batch->direct;
    track_t track = batch->ahead > 0 ? TRACK_READER : TRACK_MAIN;
    bool trains = batch->stream.split == SPLIT_TRAIN;
    int64_t number = trains ? (int64_t)batch->stream.step + item + 1 : item;
    trace_begin_number(batch->trace, track, "read batch", trains ? "step" : "batch", number);
    status_t status = fill_place(batch, place, item);
    trace_end(batch->trace, track);
    return status;
}

void batch_start(batch_t *batch, const batch_stream_t *stream) {
    prefetch_stop(batch->prefetch);
    batch->stream = *stream;
    batch->next = stream->begin;
    prefetch_start(batch->prefetch, stream->count);
}

void batch_stop(batch_t *batch) { prefetch_stop(batch->prefetch); }

static void copy_in(batch_t *batch, const batch_place_t *place) {
    for (int m = 0; m < batch->modality_count; m++) {
        dtype_from_float(executor_dtype(batch->executor), executor_input(batch->executor, m),
                         place->features[m], batch->slots * batch->length * batch->dims[m]);
        memcpy(executor_mask(batch->executor, m), place->masks[m], mask_bytes(batch));
    }
    for (int t = 0; t < batch->target_count && place != &batch->direct; t++) {
        memcpy(batch->target[t], place->target[t], target_bytes(batch));
    }
}

const void *batch_device_target(const batch_t *batch, int target) {
    return batch->labels_of_batch[target].there;
}

status_t batch_next(batch_t *batch, int64_t *samples_out) {
    int place = 0;
    TRY(prefetch_next(batch->prefetch, &place));
    if (batch->ahead > 0 || batch->staged) {
        copy_in(batch, batch->ahead > 0 ? &batch->places[place] : &batch->direct);
    }
    prefetch_give_back(batch->prefetch);
    for (int t = 0; t < batch->target_count; t++) {
        mirror_write(&batch->labels_of_batch[t]);
    }
    *samples_out = min_i64(batch->slots, max_i64(0, batch->stream.end - batch->next));
    batch->next += batch->stream.stride;
    return STATUS_OK;
}
