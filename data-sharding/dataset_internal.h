/* dataset_internal.h - what dataset.c, dataset_split.c and dataset_read.c share. */
#ifndef JMT_DATASET_INTERNAL_H
#define JMT_DATASET_INTERNAL_H

#include "data-sharding/dataset.h"
#include "data-sharding/shard.h"
#include "kernels/base/file.h"

typedef struct dataset_recording {
    int shard;
    int64_t row;            /* within the shard */
    int64_t subject, group; /* group -1: none */
    /* Its clock, which the wanted targets set, or the modalities where it has no target: steps
     * 0..length-1 at start_s + step / rate_hz. */
    double start_s, rate_hz;
    int64_t length;
    split_t split; /* SPLIT_COUNT: in none */
} dataset_recording_t;

typedef struct dataset_sample {
    int64_t recording, first, steps;
    int64_t scored_from; /* steps before it are scored by an earlier window */
} dataset_sample_t;

typedef struct person_scale {
    double mean, factor; /* of one feature of one person */
    int64_t count;
} person_scale_t;

/* BUILT_IN_MASKED: wanted, but not in the data. */
typedef enum { BUILT_IN_NONE, BUILT_IN_CLOCK, BUILT_IN_STIMULUS, BUILT_IN_MASKED } built_in_t;

struct dataset {
    int64_t window, stride;
    bool every_window;  /* of valid and test */
    bool whole_windows; /* of train */
    int modality_count, target_count;
    int64_t *dims;                               /* by modality */
    modality_info_t *infos;                      /* likewise */
    const shard_track_t **modalities, **targets; /* [count * shard_count + shard] */
    built_in_t *built_in;                        /* by modality: others have no tracks, no masks */
    double clock_step_s;
    int64_t stretches, trained_stretches; /* of the longest (training) recording */
    int64_t group_count;
    double baseline_s;              /* 0: people are scaled by all of their data */
    bool baseline_is_all;           /* for somebody, of a modality */
    bool *trained;                  /* by group: has a training recording */
    uint8_t **masks;                /* like modalities: validity in memory */
    person_scale_t **person_scales; /* by modality: [subject, dim]; NULL: none */
    float **labels;                 /* like targets: NaN where not valid */
    bool *last_only;                /* by target: of a window's labels the last alone counts */
    shard_t **shards;
    int shard_count;
    dataset_recording_t *recordings;
    int64_t recording_count;
    const char **subjects; /* aliases in the order of their first recording */
    int64_t subject_count;
    int64_t fold_count; /* 0: none */
    int64_t *split_recordings[SPLIT_COUNT];
    int64_t split_recording_count[SPLIT_COUNT];
    int64_t split_subject_count[SPLIT_COUNT];
    dataset_sample_t *samples[SPLIT_COUNT];
    int64_t sample_count[SPLIT_COUNT], unlabelled_count[SPLIT_COUNT];
    char identity[SHA256_TEXT_BYTES];
    char *key_id, *trained_on;
};

static inline const shard_recording_t *dataset_origin(const dataset_t *dataset, int64_t recording) {
    const dataset_recording_t *r = &dataset->recordings[recording];
    return &shard_content(dataset->shards[r->shard])->recordings[r->row];
}

/* A signal's sample at each step of its recording's clock. */
typedef struct signal_line {
    double offset, ratio; /* sample = floor(offset + step * ratio) */
    int64_t samples;
} signal_line_t;
signal_line_t signal_line(const dataset_recording_t *recording, const shard_span_t *span);
int64_t signal_place(const signal_line_t *line, int64_t step);  /* also where there is none */
int64_t signal_sample(const signal_line_t *line, int64_t step); /* -1: none there */

/* What reading one signal for some steps of a recording's clock needs to know. */
typedef struct signal_reader {
    const shard_t *shard;
    const shard_track_t *track;
    const shard_span_t *span;
    const uint8_t *valid; /* of the span's samples */
    signal_line_t line;
    const char *recording; /* its name */
    int64_t first, steps;
} signal_reader_t;

/* Zero where the mask is 0. tokens: [steps, clip, dim]. */
status_t dataset_read_clips(const signal_reader_t *reader, const modality_info_t *info,
                            dataset_scratch_t *scratch, void *tokens, uint8_t *mask) MUST_CHECK;
/* A row that is marked valid and has to be finite; sample: of the recording, for the error. */
status_t signal_check(const signal_reader_t *reader, int64_t sample, const float *row) MUST_CHECK;

/* The label at a step of the recording's clock; NaN where there is no valid one. */
float dataset_label(const dataset_t *dataset, const dataset_recording_t *recording, int target,
                    int64_t step);

/* Gives every recording its clock; cuts windows of it into samples. */
status_t dataset_set_clocks(const dataset_config_t *config, dataset_t *dataset) MUST_CHECK;
void dataset_cut(dataset_t *dataset);

/* dataset_built_in.c: which modalities are built in; later, once splits are known, their widths. */
status_t dataset_find_built_in(const dataset_config_t *config, dataset_t *dataset) MUST_CHECK;
void dataset_number_groups(dataset_t *dataset);
status_t dataset_open_built_in(const dataset_config_t *config, dataset_t *dataset) MUST_CHECK;
void dataset_read_built_in(const dataset_t *dataset, int64_t recording, int modality, int64_t first,
                           int64_t steps, float *features, uint8_t *mask);

/* Reads all samples of the wanted modalities; then scales a step's features in place. */
status_t dataset_fit_people(dataset_t *dataset) MUST_CHECK;
void dataset_scale_person(const dataset_t *dataset, int64_t subject, int modality, float *row);

/* Gives every recording its split. */
status_t dataset_deal(const dataset_config_t *config, dataset_t *dataset) MUST_CHECK;

#endif
