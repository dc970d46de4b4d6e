#include "unit/raw_import.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data-sharding/import.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "unit/data_case.h"
#include "unit/raw_case.h"

status_t run_import(const char *importer, const char *place, const char *const *sets,
                    int set_count) {
    char *source = place_path(place, "source"), *out = place_path(place, "data");
    status_t status = dir_remove(out);
    char *key = place_path(place, "data.key");
    unlink(key);
    if (status == STATUS_OK) {
        status = import_run(importer, source, out, sets, set_count);
    }
    free(key);
    free(out);
    free(source);
    return status;
}

dataset_t *open_data(const char *place) {
    char *path = place_path(place, "data");
    dataset_config_t config = {.path = path, .window = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    free(path);
    return dataset;
}

dataset_t *open_gsr(const char *place, int64_t readings, int64_t folds, int64_t fold) {
    static const char *const names[] = {"gsr"}, *const targets[] = {"pain"};
    const clip_config_t clip = {readings, 1};
    char *path = place_path(place, "data");
    dataset_config_t config = {.path = path,
                               .window = 4,
                               .split_seed = 1,
                               .rate_hz = 1.0,
                               .folds = folds,
                               .fold = fold,
                               .modalities = names,
                               .modality_count = 1,
                               .clips = &clip,
                               .targets = targets,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    CHECK_OK(dataset_open(&config, &dataset));
    free(path);
    return dataset;
}

taken_t take(const dataset_t *dataset, int64_t recording, const char *name, bool is_target) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    const shard_t *shard = dataset->shards[r->shard];
    taken_t t = {.track = shard_track(shard, name, is_target)};
    assert_non_null(t.track);
    t.span = t.track->spans[r->row];
    t.values = alloc_zero(max_i64(t.span.length, 1), (size_t)shard_step_bytes(t.track));
    t.valid = alloc_zero(max_i64(t.span.length, 1), 1);
    CHECK_OK(shard_read_values(shard, t.track, t.span.offset, t.span.length, t.values));
    CHECK_OK(shard_read_valid(shard, t.track, t.span.offset, t.span.length, t.valid));
    return t;
}

void taken_free(taken_t *t) {
    free(t->values);
    free(t->valid);
}

const uint8_t *picture(const taken_t *t, int64_t step) {
    return (const uint8_t *)t->values + step * t->track->dim;
}

void check_voice(const taken_t *t, int number, double slack) {
    assert_int_equal(t->track->kind, TRACK_LOG_MEL);
    assert_true(t->span.rate_hz == 100.0);
    const float *db = t->values;
    int64_t middle = t->span.length / 2;
    double constant =
        raw_hear(db + middle * 64) - raw_heard(number, t->span.start_s + (double)middle / 100.0);
    assert_true(fabs(constant) < 0.5);
    for (int64_t i = 12; i < t->span.length - 12; i++) {
        double heard = raw_hear(db + i * 64) - constant;
        double want = raw_heard(number, t->span.start_s + (double)i / 100.0);
        if (fabs(heard - want) > slack) {
            fail_msg("frame %d of %d: heard %.3f, want %.3f", (int)i, (int)t->span.length, heard,
                     want);
        }
    }
}

void expect_refused(const char *importer, const char *place, const char *set, const char *error) {
    const char *const sets[] = {set};
    CHECK_FAILS(run_import(importer, place, sets, set != NULL), STATUS_INPUT, error);
}
