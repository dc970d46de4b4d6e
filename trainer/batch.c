#include "trainer/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/models.h"

void batch_open(executor_t *executor, const graph_t *graph, const dataset_t *dataset,
                const standardize_t *standardize, const int64_t *dims, const config_t *config,
                batch_t *batch_out) {
    batch_t batch = {.dataset = dataset,
                     .standardize = standardize,
                     .executor = executor,
                     .slots = executor_samples(executor),
                     .length = graph_length(graph),
                     .modality_count = graph_input_count(graph),
                     .target_count = graph_output_count(graph),
                     .dims = dims};
    batch.stream_count = model_streams_of(config, batch.stream_of);
    batch.target = alloc_zero(batch.target_count, sizeof *batch.target);
    for (int t = 0; t < batch.target_count; t++) {
        batch.target[t] = alloc_zero(batch.slots * batch.length, sizeof(float));
    }
    *batch_out = batch;
}

void batch_close(batch_t *batch) {
    for (int t = 0; t < batch->target_count; t++) {
        free(batch->target[t]);
    }
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int t = 0; batch->labels[s] != NULL && t < batch->target_count; t++) {
            free(batch->labels[s][t]);
        }
        free(batch->labels[s]);
    }
    free(batch->target);
    *batch = (batch_t){0};
}

static void fill_empty(batch_t *batch, float *const *features, uint8_t *const *masks,
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

enum { MODALITIES_MAX = 64 };

status_t batch_fill(batch_t *batch, split_t split, int64_t slot, int64_t sample) {
    float *features[MODALITIES_MAX], *targets[MODALITIES_MAX];
    uint8_t *masks[MODALITIES_MAX];
    REQUIRE(batch->modality_count <= MODALITIES_MAX && batch->target_count <= MODALITIES_MAX);
    for (int m = 0; m < batch->modality_count; m++) {
        features[m] =
            (float *)executor_input(batch->executor, m) + slot * batch->length * batch->dims[m];
        masks[m] = executor_mask(batch->executor, m) + slot * batch->length;
    }
    for (int t = 0; t < batch->target_count; t++) {
        targets[t] = batch->target[t] + slot * batch->length;
    }
    if (sample < 0) {
        fill_empty(batch, features, masks, targets);
        return STATUS_OK;
    }
    TRY(dataset_read(batch->dataset, split, sample, features, masks, targets));
    for (int t = 0; batch->labels[split] != NULL && t < batch->target_count; t++) {
        memcpy(targets[t], batch->labels[split][t] + sample * batch->length,
               (size_t)batch->length * sizeof(float));
    }
    for (int m = 0; m < batch->modality_count; m++) {
        standardize_apply(batch->standardize, m, features[m], masks[m], batch->length);
    }
    return STATUS_OK;
}

static void hide(batch_t *batch, int m, int64_t slot) {
    int64_t elements = batch->length * batch->dims[m];
    memset((float *)executor_input(batch->executor, m) + slot * elements, 0,
           (size_t)elements * sizeof(float));
    memset(executor_mask(batch->executor, m) + slot * batch->length, 0, (size_t)batch->length);
}

void batch_drop_modalities(batch_t *batch, int64_t slot, int64_t sample, uint64_t seed,
                           uint64_t step, double probability) {
    const rng_key_t key = {seed, rng_name("modality_dropout"), step};
    int count = batch->stream_count, stays = -1;
    bool there[CONFIG_MODALITIES_MAX] = {false};
    double drawn[CONFIG_MODALITIES_MAX], largest = -1.0;
    for (int m = 0; m < batch->modality_count; m++) {
        const uint8_t *mask = executor_mask(batch->executor, m) + slot * batch->length;
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
        if (drawn[s] < probability && s != stays) {
            hide(batch, m, slot);
        }
    }
}

static bool has_label(const batch_t *batch, float *const *labels, int64_t at) {
    bool any = false;
    for (int t = 0; t < batch->target_count; t++) {
        any |= !isnan(labels[t][at]);
    }
    return any;
}

/* places[i] gets the labels that were at places[order[i]]. */
static void deal(batch_t *batch, float **labels, rng_key_t key, const int64_t *places,
                 int64_t count) {
    int64_t *order = alloc_zero(max_i64(count, 1), sizeof *order);
    float *kept = alloc_zero(max_i64(count, 1), sizeof *kept);
    rng_permutation(key, count, order);
    for (int t = 0; t < batch->target_count; t++) {
        for (int64_t i = 0; i < count; i++) {
            kept[i] = labels[t][places[order[i]]];
        }
        for (int64_t i = 0; i < count; i++) {
            labels[t][places[i]] = kept[i];
        }
    }
    free(order);
    free(kept);
}

/* Number of each sample's person, in the order of first appearance. */
static int64_t *number_people(const dataset_t *dataset, split_t split, int64_t samples) {
    int64_t *person = alloc_zero(max_i64(samples, 1), sizeof *person), people = 0;
    const char **aliases = alloc_zero(max_i64(samples, 1), sizeof *aliases);
    for (int64_t s = 0; s < samples; s++) {
        const char *alias = dataset_sample(dataset, split, s).subject;
        int64_t p = 0;
        while (p < people && strcmp(aliases[p], alias) != 0) {
            p++;
        }
        if (p == people) {
            aliases[people++] = alias;
        }
        person[s] = p;
    }
    free(aliases);
    return person;
}

/* person NULL: everybody's labels together. */
static void deal_all(batch_t *batch, float **labels, const int64_t *person, uint64_t seed,
                     split_t split, int64_t samples) {
    int64_t *places = alloc_zero(max_i64(samples * batch->length, 1), sizeof *places);
    int64_t people = 1;
    for (int64_t s = 0; person != NULL && s < samples; s++) {
        people = max_i64(people, person[s] + 1);
    }
    for (int64_t p = 0; p < people; p++) {
        int64_t count = 0;
        for (int64_t i = 0; i < samples * batch->length; i++) {
            bool his = person == NULL || person[i / batch->length] == p;
            if (his && has_label(batch, labels, i)) {
                places[count++] = i;
            }
        }
        uint64_t turn = (uint64_t)p * SPLIT_COUNT + (uint64_t)split;
        deal(batch, labels, (rng_key_t){seed, rng_name("permute_labels"), turn}, places, count);
    }
    free(places);
}

status_t batch_permute_labels(batch_t *batch, split_t split, bool within_person, uint64_t seed) {
    int64_t samples = dataset_sample_count(batch->dataset, split), length = batch->length;
    float **labels = alloc_zero(batch->target_count, sizeof *labels);
    for (int t = 0; t < batch->target_count; t++) {
        labels[t] = alloc_zero(samples * length, sizeof **labels);
    }
    status_t status = STATUS_OK;
    for (int64_t s = 0; s < samples && status == STATUS_OK; s++) {
        status = batch_fill(batch, split, 0, s);
        for (int t = 0; t < batch->target_count; t++) {
            memcpy(labels[t] + s * length, batch->target[t], (size_t)length * sizeof **labels);
        }
    }
    int64_t *person = within_person ? number_people(batch->dataset, split, samples) : NULL;
    deal_all(batch, labels, person, seed, split, samples);
    free(person);
    batch->labels[split] = labels; /* freed by batch_close */
    return status;
}
