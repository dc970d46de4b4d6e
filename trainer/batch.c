#include "trainer/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/batch_fill.h"
#include "trainer/models.h"

/* --- places ---------------------------------------------------------------------------------- */

static size_t aligned(size_t bytes) { return (size_t)align_up((int64_t)bytes, 64); }

static size_t feature_bytes(const batch_t *batch, int m) {
    return (size_t)(batch->slots * batch->length * batch->dims[m]) * sizeof(float);
}

static size_t mask_bytes(const batch_t *batch) { return (size_t)(batch->slots * batch->length); }

static size_t target_bytes(const batch_t *batch) { return mask_bytes(batch) * sizeof(float); }

static bool is_far(const batch_t *batch) { return !executor_device(batch->executor)->host; }

static int64_t tokens(const batch_t *batch) { return batch->slots * batch->length; }

/* Where a modality is made worse that is done to its numbers, on the host. */
static void choose_bytes(batch_t *batch) {
    for (int m = 0; m < batch->modality_count; m++) {
        bool worse = batch->corrupts[m][0].kind != CORRUPTION_NONE ||
                     (batch->corruption.kind != CORRUPTION_NONE && batch->corruption.modality == m);
        batch->as_bytes[m] = is_far(batch) && batch->info[m].kind == TRACK_PIXELS && !worse;
    }
}

static size_t change_bytes(const batch_t *batch) {
    return aligned((size_t)tokens(batch) * sizeof(picture_change_t));
}

/* What lies where in a batch that goes to the device as a whole. */
static void lay_out(batch_t *batch) {
    size_t element = dtype_bytes(executor_dtype(batch->executor)), bytes = 0;
    for (int m = 0; m < batch->modality_count; m++) {
        batch->feature_at[m] = bytes;
        bytes += aligned(batch->as_bytes[m] ? (size_t)(tokens(batch) * tokens_given(batch, m))
                                            : feature_bytes(batch, m) / sizeof(float) * element);
        batch->change_at[m] = bytes;
        bytes += batch->as_bytes[m] ? change_bytes(batch) : 0;
        batch->mask_at[m] = bytes;
        bytes += aligned(mask_bytes(batch));
    }
    for (int t = 0; t < batch->target_count; t++) {
        batch->target_at[t] = bytes;
        bytes += aligned(target_bytes(batch));
    }
    batch->whole_bytes = bytes;
}

/* inputs: those of the executor, where they are the host's and float; else memory of its own, which
 * for another device is one piece, but for features that are not yet of its type. */
static status_t place_open(const batch_t *batch, bool inputs, batch_place_t *place) {
    const device_t *device = executor_device(batch->executor);
    void *whole = NULL;
    if (is_far(batch)) {
        TRY(device->alloc_pinned(device, batch->whole_bytes, "a batch", &whole));
    }
    place->whole = whole;
    place->features = alloc_zero(batch->modality_count, sizeof *place->features);
    place->pixels = alloc_zero(batch->modality_count, sizeof *place->pixels);
    place->changes = alloc_zero(batch->modality_count, sizeof *place->changes);
    place->masks = alloc_zero(batch->modality_count, sizeof *place->masks);
    place->target = alloc_zero(batch->target_count, sizeof *place->target);
    for (int m = 0; m < batch->modality_count; m++) {
        if (batch->as_bytes[m]) {
            place->pixels[m] = (uint8_t *)place->whole + batch->feature_at[m];
            place->changes[m] = (void *)(place->whole + batch->change_at[m]);
        } else {
            place->features[m] = whole != NULL && !batch->staged
                                     ? (void *)(place->whole + batch->feature_at[m])
                                 : inputs ? executor_input(batch->executor, m)
                                          : alloc_aligned(feature_bytes(batch, m));
        }
        place->masks[m] = whole != NULL ? (uint8_t *)place->whole + batch->mask_at[m]
                          : inputs      ? executor_mask(batch->executor, m)
                                        : alloc_aligned(mask_bytes(batch));
    }
    for (int t = 0; t < batch->target_count; t++) {
        place->target[t] = whole != NULL ? (void *)(place->whole + batch->target_at[t])
                                         : alloc_aligned(target_bytes(batch));
    }
    return STATUS_OK;
}

static void place_close(const batch_t *batch, bool inputs, batch_place_t *place) {
    const device_t *device = executor_device(batch->executor);
    bool far = is_far(batch);
    for (int m = 0; place->features != NULL && m < batch->modality_count; m++) {
        free((far && !batch->staged) || inputs ? NULL : place->features[m]);
        free(far || inputs ? NULL : place->masks[m]);
    }
    for (int t = 0; place->target != NULL && t < batch->target_count; t++) {
        free(far ? NULL : place->target[t]);
    }
    if (far) {
        device->release_pinned(device, place->whole);
    }
    free(place->features);
    free(place->pixels);
    free(place->changes);
    free(place->masks);
    free(place->target);
    *place = (batch_place_t){0};
}

/* Of a step; pixels go to a device as bytes, with a change each, unless they are made worse. */
static int64_t step_bytes(const graph_t *graph, const config_t *config, int m, bool far) {
    int indices[CONFIG_MODALITIES_MAX];
    model_modalities(config, indices);
    const modality_config_t *modality = &config->modalities[indices[m]];
    if (far && modality_takes_pixels(modality) && modality->corrupt[0] == '\0') {
        return graph_input_dim(graph, m) / (modality->upsample * modality->upsample) +
               (int64_t)sizeof(picture_change_t);
    }
    return graph_input_dim(graph, m) * (int64_t)sizeof(float);
}

size_t batch_ahead_bytes(const graph_t *graph, const config_t *config, bool far, int64_t ahead) {
    int64_t each = graph_output_count(graph) * (int64_t)sizeof(float);
    for (int m = 0; m < graph_input_count(graph); m++) {
        each += step_bytes(graph, config, m, far) + 1;
    }
    return (size_t)(ahead * config->batch * graph_length(graph) * each);
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

status_t batch_takes(const batch_t *batch, int m, corruption_kind_t kind) {
    if (kind != CORRUPTION_MUTED || dataset_has_silence(batch->dataset, m)) {
        return STATUS_OK;
    }
    return status_fail(STATUS_INPUT,
                       "what silence is among %s is not known; muted is for sound and signals of "
                       "raw media, take missing or drop for %s",
                       track_kind_name(batch->info[m].kind), batch->modality[m]->name);
}

static status_t open_corrupts(batch_t *batch, int m) {
    TRY(corrupts_of(batch->modality[m], m, batch->corrupts[m]));
    for (int i = 0; batch->corrupts[m][i].kind != CORRUPTION_NONE; i++) {
        status_t status = batch_takes(batch, m, batch->corrupts[m][i].kind);
        if (status != STATUS_OK) {
            return status_prefix(status, "modalities.%s.corrupt", batch->modality[m]->name);
        }
    }
    return STATUS_OK;
}

/* --- opening --------------------------------------------------------------------------------- */

static status_t make(void *context, int place, int64_t item);

/* What came, and what comes meanwhile. */
static status_t open_on_device(batch_t *batch) {
    const device_t *device = executor_device(batch->executor);
    void *memory = NULL;
    TRY(device->alloc(device, batch->whole_bytes, "a batch", &memory));
    batch->current = memory;
    TRY(device->alloc(device, batch->whole_bytes, "a batch", &memory));
    batch->arriving = memory;
    device->ahead_begin(device);
    return STATUS_OK;
}

static bool takes_inputs(const batch_t *batch) { return !is_far(batch) && !batch->staged; }

static status_t open_places(batch_t *batch) {
    lay_out(batch);
    batch->places = alloc_zero(max_i64(batch->ahead, 1), sizeof *batch->places);
    if (is_far(batch)) {
        TRY(open_on_device(batch));
    }
    TRY(place_open(batch, takes_inputs(batch), &batch->direct));
    batch->target = batch->direct.target;
    for (int i = 0; i < batch->ahead; i++) {
        TRY(place_open(batch, false, &batch->places[i]));
    }
    return STATUS_OK;
}

static void close_places(batch_t *batch) {
    const device_t *device = executor_device(batch->executor);
    place_close(batch, takes_inputs(batch), &batch->direct);
    for (int i = 0; i < batch->ahead; i++) {
        place_close(batch, false, &batch->places[i]);
    }
    free(batch->places);
    batch->places = NULL;
    device->release(device, batch->current);
    device->release(device, batch->arriving);
    batch->current = batch->arriving = NULL;
}

/* Those who read the old places are to be done. */
status_t batch_corrupt(batch_t *batch, const corruption_t *corruption) {
    bool before[CONFIG_MODALITIES_MAX];
    batch_stop(batch);
    memcpy(before, batch->as_bytes, sizeof before);
    batch->corruption = *corruption;
    choose_bytes(batch);
    if (memcmp(before, batch->as_bytes, sizeof before) == 0) {
        return STATUS_OK;
    }
    close_places(batch);
    return open_places(batch);
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
    int indices[CONFIG_MODALITIES_MAX];
    if (is_far(&batch) && batch.ahead > 0) {
        batch.ahead++; /* one is on its way, or has arrived, until the next is asked for */
    }
    model_modalities(config, indices);
    for (int m = 0; m < batch.modality_count; m++) {
        batch.modality[m] = &config->modalities[indices[m]];
        batch.info[m] = dataset_modality(dataset, m);
        TRY(open_corrupts(&batch, m));
    }
    batch.staged = executor_dtype(executor) != DTYPE_F32;
    batch.stream_count = model_streams_of(config, batch.stream_of);
    choose_bytes(&batch);
    status_t status = open_places(&batch);
    if (status == STATUS_OK) {
        status = prefetch_open(batch.ahead, make, batch_out, &batch.prefetch);
    }
    if (status != STATUS_OK) {
        close_places(&batch);
        return status;
    }
    batch.scratch = dataset_scratch_open(dataset);
    batch.there = alloc_zero(batch.slots, sizeof *batch.there);
    batch.labelled = alloc_zero(batch.slots, sizeof *batch.labelled);
    for (int m = 0; m < batch.modality_count; m++) {
        batch.feed[m] = feed_open(batch.modality[m], batch.info[m].kind, batch.info[m].dim);
    }
    *batch_out = batch;
    return STATUS_OK;
}

void batch_close(batch_t *batch) {
    batch_stop(batch);
    prefetch_close(batch->prefetch);
    close_places(batch);
    dataset_scratch_close(batch->scratch);
    free(batch->there);
    free(batch->labelled);
    for (int m = 0; m < batch->modality_count; m++) {
        feed_close(&batch->feed[m]);
    }
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int t = 0; batch->labels[s] != NULL && t < batch->target_count; t++) {
            free(batch->labels[s][t]);
        }
        free(batch->labels[s]);
    }
    *batch = (batch_t){0};
}

/* --- a stream of batches --------------------------------------------------------------------- */

static const batch_place_t *place_at(const batch_t *batch, int place) {
    return batch->ahead > 0 ? &batch->places[place] : &batch->direct;
}

/* -1: behind the last. */
static int64_t sample_at(const batch_stream_t *stream, int64_t at) {
    return at >= stream->end ? -1 : stream->order != NULL ? stream->order[at] : at;
}

static status_t fill_place(const batch_t *batch, const batch_place_t *place, int64_t item) {
    const batch_stream_t *stream = &batch->stream;
    int64_t first = stream->begin + item * stream->stride;
    for (int64_t slot = 0; slot < batch->slots; slot++) {
        TRY(batch_fill_slot(batch, place, slot, sample_at(stream, first + slot),
                            stream->step + (uint64_t)item));
    }
    for (int m = 0; place->whole != NULL && batch->staged && m < batch->modality_count; m++) {
        if (!batch->as_bytes[m]) {
            dtype_from_float(executor_dtype(batch->executor), place->whole + batch->feature_at[m],
                             place->features[m], tokens(batch) * batch->dims[m]);
        }
    }
    return STATUS_OK;
}

/* On the reader's thread: reads what batch_start left, and writes the place. */
static status_t make(void *context, int place_index, int64_t item) {
    const batch_t *batch = context;
    track_t track = batch->ahead > 0 ? TRACK_READER : TRACK_MAIN;
    bool trains = batch->stream.split == SPLIT_TRAIN;
    int64_t number = trains ? (int64_t)batch->stream.step + item + 1 : item;
    trace_begin_number(batch->trace, track, "read batch", trains ? "step" : "batch", number);
    status_t status = fill_place(batch, place_at(batch, place_index), item);
    trace_end(batch->trace, track);
    return status;
}

void batch_start(batch_t *batch, const batch_stream_t *stream) {
    batch_stop(batch);
    batch->stream = *stream;
    batch->next = stream->begin;
    prefetch_start(batch->prefetch, stream->count);
}

void batch_stop(batch_t *batch) {
    const device_t *device = executor_device(batch->executor);
    if (batch->holds || batch->is_sent) { /* from places that are the reader's from here on */
        device->ahead_end(device);
        device->synchronize(device);
    }
    batch->holds = batch->is_sent = false;
    prefetch_stop(batch->prefetch);
}

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

static void send(batch_t *batch, const batch_place_t *place) {
    const device_t *device = executor_device(batch->executor);
    device->copy_ahead(device, batch->arriving, place->whole, batch->whole_bytes);
}

/* Of a modality that came as bytes; of any other: none. */
static void take_pictures(batch_t *batch, int m) {
    pictures_call_t call = {.tokens = tokens(batch),
                            .bytes = (const uint8_t *)batch->current + batch->feature_at[m],
                            .mask = (const uint8_t *)batch->current + batch->mask_at[m],
                            .changes = (const void *)(batch->current + batch->change_at[m])};
    if (batch->as_bytes[m]) {
        feed_describe(&batch->feed[m], &call);
    }
    executor_take_pictures(batch->executor, m, batch->as_bytes[m] ? &call : NULL);
}

/* What has arrived becomes what the executor takes, which makes room for the next. */
static void bring(batch_t *batch, const batch_place_t *place) {
    const device_t *device = executor_device(batch->executor);
    const void *features[STREAMS_MAX], *masks[STREAMS_MAX];
    if (!batch->is_sent) {
        send(batch, place);
    }
    batch->is_sent = false;
    batch->holds = true;
    batch->target = place->target;
    device->ahead_end(device);
    device->copy(device, batch->current, batch->arriving, batch->whole_bytes);
    device->ahead_begin(device);
    for (int m = 0; m < batch->modality_count; m++) {
        features[m] = batch->current + batch->feature_at[m];
        masks[m] = batch->current + batch->mask_at[m];
        take_pictures(batch, m);
    }
    executor_take_from(batch->executor, features, masks);
}

void batch_look_ahead(batch_t *batch) {
    int place = 0;
    if (is_far(batch) && !batch->is_sent && prefetch_ready(batch->prefetch, &place)) {
        send(batch, place_at(batch, place));
        batch->is_sent = true;
    }
}

const void *batch_device_target(const batch_t *batch, int target) {
    return is_far(batch) ? batch->current + batch->target_at[target]
                         : (const void *)batch->direct.target[target];
}

static step_range_t labelled_steps(const batch_t *batch, int64_t slot) {
    step_range_t range = {(int32_t)batch->length, 0};
    for (int t = 0; t < batch->target_count; t++) {
        const float *target = batch->target[t] + slot * batch->length;
        for (int32_t i = 0; i < (int32_t)batch->length; i++) {
            if (!isnan(target[i])) {
                range.begin = i < range.begin ? i : range.begin;
                range.end = i >= range.end ? i + 1 : range.end;
            }
        }
    }
    return range.end > 0 ? range : (step_range_t){0, 0};
}

/* 1 + the last step that a modality has, be it a shifted one behind the sample's own. */
static int64_t steps_there(const batch_t *batch, int64_t slot, int64_t steps) {
    for (int m = 0; m < batch->modality_count; m++) {
        const uint8_t *mask = executor_mask(batch->executor, m) + slot * batch->length;
        for (int64_t i = steps; i < batch->length; i++) {
            steps = mask[i] != 0 ? i + 1 : steps;
        }
    }
    return steps;
}

static void measure(batch_t *batch) {
    const batch_stream_t *stream = &batch->stream;
    for (int64_t slot = 0; slot < batch->slots; slot++) {
        int64_t sample = sample_at(stream, batch->next + slot), steps = 0;
        if (sample >= 0) {
            steps = dataset_sample(batch->dataset, stream->split, sample).steps;
        }
        batch->there[slot] = (step_range_t){0, (int32_t)steps_there(batch, slot, steps)};
        batch->labelled[slot] = labelled_steps(batch, slot);
    }
}

status_t batch_next(batch_t *batch, int64_t *samples_out) {
    int place = 0;
    if (batch->holds) {
        prefetch_give_back(batch->prefetch);
        batch->holds = false;
    }
    TRY(prefetch_next(batch->prefetch, &place));
    if (is_far(batch)) {
        bring(batch, place_at(batch, place));
    } else {
        if (batch->ahead > 0 || batch->staged) {
            copy_in(batch, place_at(batch, place));
        }
        measure(batch);
        prefetch_give_back(batch->prefetch);
    }
    *samples_out = min_i64(batch->slots, max_i64(0, batch->stream.end - batch->next));
    batch->next += batch->stream.stride;
    return STATUS_OK;
}
