/* Our side of tests/bench/loader: batches of floats from shards, checksums on, read ahead by one
 * thread.
 *
 *     loader_jmt DATA WINDOW BATCH MODALITY... TARGET TARGET    (the last two are targets)
 *
 * Reads lines: "sums" prints the sum of every batch of the epoch, anything else the milliseconds of
 * an epoch. The order is a fixed stride over the samples, as the peer's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset.h"
#include "data-sharding/prefetch.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"

enum { PLACES = 2, TARGETS = 2, MODALITIES_MAX = 8, STRIDE = 611 };

typedef struct loader {
    dataset_t *dataset;
    int64_t window, batch, samples;
    int modalities;
    float *features[PLACES][MODALITIES_MAX], *targets[PLACES][TARGETS];
    uint8_t *masks[PLACES][MODALITIES_MAX];
} loader_t;

static int64_t samples_of(const loader_t *l, int64_t item) {
    return min_i64(l->batch, l->samples - item * l->batch);
}

static status_t fill(void *context, int place, int64_t item) {
    const loader_t *l = context;
    for (int64_t i = 0; i < samples_of(l, item); i++) {
        float *features[MODALITIES_MAX], *targets[TARGETS];
        uint8_t *masks[MODALITIES_MAX];
        for (int m = 0; m < l->modalities; m++) {
            int64_t dim = dataset_modality_dim(l->dataset, m);
            features[m] = l->features[place][m] + i * l->window * dim;
            masks[m] = l->masks[place][m] + i * l->window;
        }
        for (int t = 0; t < TARGETS; t++) {
            targets[t] = l->targets[place][t] + i * l->window;
        }
        int64_t sample = (item * l->batch + i) * STRIDE % l->samples;
        TRY(dataset_read(l->dataset, SPLIT_TRAIN, sample, features, masks, targets));
    }
    return STATUS_OK;
}

static double sum_of(const loader_t *l, int place, int64_t item) {
    double sum = 0.0;
    int64_t steps = samples_of(l, item) * l->window;
    for (int m = 0; m < l->modalities; m++) {
        for (int64_t i = 0; i < steps * dataset_modality_dim(l->dataset, m); i++) {
            sum += (double)l->features[place][m][i];
        }
    }
    for (int64_t i = 0; i < steps; i++) {
        for (int t = 0; t < TARGETS; t++) {
            float target = l->targets[place][t][i];
            sum += isnan(target) ? 0.0 : (double)target;
        }
    }
    return sum;
}

static status_t epoch(const loader_t *l, prefetch_t *prefetch, bool sums) {
    double begin_s = clock_s();
    int64_t batches = div_up(l->samples, l->batch);
    prefetch_start(prefetch, batches);
    for (int64_t item = 0; item < batches; item++) {
        int place = 0;
        TRY(prefetch_next(prefetch, &place));
        if (sums) {
            printf("%s%.17g", item == 0 ? "[" : ", ", sum_of(l, place, item));
        }
        prefetch_give_back(prefetch);
    }
    if (sums) {
        printf("]\n");
    } else {
        printf("%.6f\n", 1e3 * (clock_s() - begin_s));
    }
    fflush(stdout);
    return STATUS_OK;
}

static status_t serve(char **words, int count) {
    loader_t l = {.window = strtol(words[1], NULL, 10),
                  .batch = strtol(words[2], NULL, 10),
                  .modalities = count - 3 - TARGETS};
    const char *const *names = (const char *const *)words;
    dataset_config_t config = {.path = words[0],
                               .window = l.window,
                               .modalities = names + 3,
                               .modality_count = l.modalities,
                               .target_count = TARGETS,
                               .targets = names + 3 + l.modalities};
    TRY(dataset_open(&config, &l.dataset));
    l.samples = dataset_sample_count(l.dataset, SPLIT_TRAIN);
    size_t steps = (size_t)(l.batch * l.window);
    for (int p = 0; p < PLACES; p++) {
        for (int m = 0; m < l.modalities; m++) {
            size_t dim = (size_t)dataset_modality_dim(l.dataset, m);
            l.features[p][m] = alloc_aligned(steps * dim * sizeof(float));
            l.masks[p][m] = alloc_aligned(steps);
        }
        for (int t = 0; t < TARGETS; t++) {
            l.targets[p][t] = alloc_aligned(steps * sizeof(float));
        }
    }
    prefetch_t *prefetch = NULL;
    TRY(prefetch_open(PLACES, fill, &l, &prefetch));
    char line[64];
    status_t status = STATUS_OK;
    while (status == STATUS_OK && fgets(line, sizeof line, stdin) != NULL) {
        status = epoch(&l, prefetch, strcmp(line, "sums\n") == 0);
    }
    prefetch_close(prefetch);
    dataset_close(l.dataset);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 4 + TARGETS || argc > 4 + TARGETS + MODALITIES_MAX) {
        return 2;
    }
    status_t status = serve(argv + 1, argc - 1);
    if (status != STATUS_OK) {
        fprintf(stderr, "jmt: error: %s\n", status_text());
    }
    return (int)status;
}
