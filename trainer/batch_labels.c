/* batch_labels.c - the control row: labels dealt out anew. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/batch.h"

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
        status = batch_fill(batch, &batch->direct, split, 0, s);
        for (int t = 0; t < batch->target_count; t++) {
            memcpy(labels[t] + s * length, batch->direct.target[t],
                   (size_t)length * sizeof **labels);
        }
    }
    int64_t *person = within_person ? number_people(batch->dataset, split, samples) : NULL;
    deal_all(batch, labels, person, seed, split, samples);
    free(person);
    batch->labels[split] = labels; /* freed by batch_close */
    return status;
}
