#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/dataset_internal.h"
#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"

const char *split_name(split_t split) {
    switch (split) {
    case SPLIT_TRAIN:
        return "train";
    case SPLIT_VALID:
        return "valid";
    case SPLIT_TEST:
        return "test";
    case SPLIT_COUNT:
        break;
    }
    panic(__FILE__, __LINE__, "split");
}

/* Moves a fraction of the subjects in `from` to `to`. People are taken in the order of their first
 * recording, which no alias influences. */
static status_t deal_subjects(const dataset_config_t *config, dataset_t *dataset, split_t to,
                              double fraction) {
    if (!(fraction > 0.0)) {
        return STATUS_OK;
    }
    int64_t *candidates = alloc_zero(max_i64(dataset->subject_count, 1), sizeof *candidates);
    bool *seen = alloc_zero(max_i64(dataset->subject_count, 1), sizeof *seen);
    int64_t count = 0;
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        const dataset_recording_t *r = &dataset->recordings[i];
        if (r->split == SPLIT_TRAIN && !seen[r->subject]) {
            seen[r->subject] = true;
            candidates[count++] = r->subject;
        }
    }
    status_t status = STATUS_OK;
    if (count < 2) {
        status = status_fail(STATUS_INPUT,
                             "%s: %lld subject(s) left to train on, none to spare for %s; set its "
                             "fraction to 0 or import more people",
                             config->path, (long long)count, split_name(to));
    } else {
        int64_t moved = min_i64(max_i64(llround(fraction * (double)count), 1), count - 1);
        int64_t *order = alloc_zero(count, sizeof *order);
        rng_permutation((rng_key_t){(uint64_t)config->split_seed, rng_name(split_name(to)), 0},
                        count, order);
        memset(seen, 0, (size_t)dataset->subject_count * sizeof *seen);
        for (int64_t i = 0; i < moved; i++) {
            seen[candidates[order[i]]] = true;
        }
        free(order);
        for (int64_t i = 0; i < dataset->recording_count; i++) {
            dataset_recording_t *r = &dataset->recordings[i];
            if (r->split == SPLIT_TRAIN && seen[r->subject]) {
                r->split = to;
            }
        }
    }
    free(seen);
    free(candidates);
    return status;
}

static status_t take_marks(const dataset_config_t *config, dataset_t *dataset, bool *marked_out) {
    int64_t marked = 0, unmarked = -1;
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        const char *mark = dataset_origin(dataset, i)->split;
        if (mark[0] != '\0' && strcmp(mark, "train") != 0 && strcmp(mark, "test") != 0) {
            return status_fail(STATUS_INPUT,
                               "%s: recording %s is marked \"%s\"; mark it train or test at import",
                               config->path, dataset_origin(dataset, i)->name, mark);
        }
        dataset->recordings[i].split = strcmp(mark, "test") == 0 ? SPLIT_TEST : SPLIT_TRAIN;
        if (mark[0] != '\0') {
            marked++;
        } else {
            unmarked = i;
        }
    }
    if (marked > 0 && unmarked >= 0) {
        return status_fail(STATUS_INPUT,
                           "%s: recording %s has no split mark though others have one; mark all or "
                           "none at import",
                           config->path, dataset_origin(dataset, unmarked)->name);
    }
    *marked_out = marked > 0;
    return STATUS_OK;
}

/* Gives each of `count` people or groups its fold. They are numbered by their first recording,
 * which no alias influences; the permutation says at which place one stands, and every folds-th
 * place is of one fold. */
static status_t deal_folds(const dataset_config_t *config, int64_t count, int64_t folds,
                           const char *what, int64_t **fold_out) {
    if (folds < 2 || folds > count) {
        return status_fail(STATUS_INPUT,
                           "%s: %lld fold(s) of %lld %s(s); set split.folds to 2 or more and "
                           "at most the number of %ss",
                           config->path, (long long)folds, (long long)count, what, what);
    }
    if (config->fold < 0 || config->fold >= folds) {
        return status_fail(STATUS_INPUT,
                           "%s: split.fold %lld, but there are %lld folds; use 0 to "
                           "%lld",
                           config->path, (long long)config->fold, (long long)folds,
                           (long long)folds - 1);
    }
    int64_t *order = alloc_zero(count, sizeof *order), *fold = alloc_zero(count, sizeof *fold);
    rng_permutation((rng_key_t){(uint64_t)config->split_seed, rng_name("folds"), 0}, count, order);
    for (int64_t i = 0; i < count; i++) {
        fold[order[i]] = i % folds;
    }
    free(order);
    *fold_out = fold;
    return STATUS_OK;
}

static status_t check_groups(const dataset_config_t *config, const dataset_t *dataset) {
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        if (dataset->recordings[i].group < 0) {
            return status_fail(STATUS_INPUT,
                               "%s: recording %s has no group, and split.by deals groups to folds; "
                               "import it with one, or use split.by: subject",
                               config->path, dataset_origin(dataset, i)->name);
        }
    }
    return STATUS_OK;
}

static split_t split_of(const dataset_config_t *config, bool subject_held, bool group_held) {
    switch (config->folds_by) {
    case FOLDS_SUBJECT:
        return subject_held ? SPLIT_TEST : SPLIT_TRAIN;
    case FOLDS_GROUP:
        return group_held ? SPLIT_TEST : SPLIT_TRAIN;
    case FOLDS_LEAKY:
        break;
    case FOLDS_BOTH:
        return subject_held && group_held     ? SPLIT_TEST
               : !subject_held && !group_held ? SPLIT_TRAIN
                                              : SPLIT_COUNT;
    }
    panic(__FILE__, __LINE__, "folds_by");
}

/* Whoever a recording is of. */
static status_t take_leaky_fold(const dataset_config_t *config, dataset_t *dataset) {
    int64_t *fold = NULL, count = dataset->recording_count;
    dataset->fold_count = config->folds < 0 ? count : config->folds;
    TRY(deal_folds(config, count, dataset->fold_count, "recording", &fold));
    for (int64_t i = 0; i < count; i++) {
        dataset->recordings[i].split = fold[i] == config->fold ? SPLIT_TEST : SPLIT_TRAIN;
    }
    free(fold);
    return STATUS_OK;
}

static status_t take_fold(const dataset_config_t *config, dataset_t *dataset) {
    if (config->folds_by == FOLDS_LEAKY) {
        return take_leaky_fold(config, dataset);
    }
    bool people = config->folds_by != FOLDS_GROUP, groups = config->folds_by != FOLDS_SUBJECT;
    int64_t most = people ? dataset->subject_count : dataset->group_count;
    if (people && groups) {
        most = min_i64(most, dataset->group_count);
    }
    int64_t folds = config->folds < 0 ? most : config->folds;
    int64_t *subject_fold = NULL, *group_fold = NULL;
    status_t status = groups ? check_groups(config, dataset) : STATUS_OK;
    if (status == STATUS_OK && people) {
        status = deal_folds(config, dataset->subject_count, folds, "subject", &subject_fold);
    }
    if (status == STATUS_OK && groups) {
        status = deal_folds(config, dataset->group_count, folds, "group", &group_fold);
    }
    for (int64_t i = 0; i < dataset->recording_count && status == STATUS_OK; i++) {
        dataset_recording_t *r = &dataset->recordings[i];
        r->split = split_of(config, people && subject_fold[r->subject] == config->fold,
                            groups && group_fold[r->group] == config->fold);
    }
    dataset->fold_count = folds;
    free(subject_fold);
    free(group_fold);
    return status;
}

static status_t check_overlap(const dataset_config_t *config, dataset_t *dataset) {
    unsigned *held = alloc_zero(max_i64(dataset->subject_count, 1), sizeof *held);
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        held[dataset->recordings[i].subject] |= 1u << dataset->recordings[i].split;
    }
    status_t status = STATUS_OK;
    for (int64_t s = 0; s < dataset->subject_count && status == STATUS_OK; s++) {
        int splits = 0, last = 0, first = -1;
        for (int split = 0; split < SPLIT_COUNT; split++) {
            if ((held[s] >> split & 1u) != 0) {
                dataset->split_subject_count[split]++;
                first = first < 0 ? split : first;
                last = split;
                splits++;
            }
        }
        if (splits > 1 && !config->allow_subject_overlap) {
            status = status_fail(STATUS_INPUT,
                                 "%s: subject %s is in both %s and %s; mark its recordings alike, "
                                 "or set split.allow_subject_overlap",
                                 config->path, dataset->subjects[s], split_name((split_t)first),
                                 split_name((split_t)last));
        }
    }
    free(held);
    return status;
}

/* Of words with single spaces between. */
static bool is_word(const char *words, const char *word) {
    size_t length = strlen(word);
    for (const char *at = words; length > 0 && at != NULL && at[0] != '\0';) {
        size_t own = strcspn(at, " ");
        if (own == length && strncmp(at, word, own) == 0) {
            return true;
        }
        at += own + (at[own] == ' ');
    }
    return false;
}

static void skip_recordings(const dataset_config_t *config, dataset_t *dataset) {
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        dataset_recording_t *r = &dataset->recordings[i];
        bool named = is_word(config->skip, dataset_origin(dataset, i)->name);
        r->split = named && r->split == SPLIT_TRAIN ? SPLIT_COUNT : r->split;
    }
}

status_t dataset_deal(const dataset_config_t *config, dataset_t *dataset) {
    bool marked = false;
    if (config->folds != 0) {
        TRY(take_fold(config, dataset));
    } else {
        TRY(take_marks(config, dataset, &marked));
    }
    if (config->folds == 0 && !marked) {
        TRY(deal_subjects(config, dataset, SPLIT_TEST, config->test_fraction));
    }
    bool leaky = config->folds != 0 && config->folds_by == FOLDS_LEAKY;
    if (!leaky) {
        TRY(deal_subjects(config, dataset, SPLIT_VALID, config->valid_fraction));
    }
    skip_recordings(config, dataset);
    TRY(check_overlap(config, dataset));
    for (int split = 0; split < SPLIT_COUNT; split++) {
        dataset->split_recordings[split] =
            alloc_zero(max_i64(dataset->recording_count, 1), sizeof(int64_t));
    }
    for (int64_t i = 0; i < dataset->recording_count; i++) {
        split_t split = dataset->recordings[i].split;
        if (split == SPLIT_COUNT) {
            continue;
        }
        dataset->split_recordings[split][dataset->split_recording_count[split]++] = i;
        if (leaky && split == SPLIT_TEST && config->valid_fraction > 0.0) {
            dataset->split_recordings[SPLIT_VALID][dataset->split_recording_count[SPLIT_VALID]++] =
                i;
        }
    }
    return STATUS_OK;
}
