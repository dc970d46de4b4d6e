/* dataset.h - a directory of shards as splits of fixed-length samples.
 *
 * A sample is a window of `window` steps of one recording: shorter is padded and masked, longer is
 * cut every `stride` steps (the last window is moved back so that it ends with the recording; a
 * step that two windows cover is scored once, in the earlier one). Steps are those of a clock of
 * `rate_hz` that runs while there are targets; at time t every signal shows its sample floor((t -
 * start) * rate), the last one known, and none before its first, after its last or in a gap.
 * Windows in which nothing is scored are left out and counted, if targets are wanted. Knows no
 * ranks: who reads which sample is the caller's affair (sample_order.h). Every read checks the
 * block's checksum.
 *
 * A modality with a clip of T > 1 steps has T of its own steps at each step of a window, in order
 * of time, ending with the one shown there: every `dilation`-th. Of pixels and features, where not
 * all of these are valid, the last T of every e-th of those valid in the same stretch of time,
 * counted from its end, e = valid / T at least 1; fewer than T: all, and the last one repeated. A
 * signal keeps its time: a step missing shows the one before (before the first, the first). Of
 * sound (log_mel) a step missing is silence, and each clip is normalised by itself. Where none is
 * valid the step of the window is masked. */
#ifndef JMT_DATASET_H
#define JMT_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "data-sharding/track_kind.h"
#include "kernels/base/status.h"

typedef enum { SPLIT_TRAIN, SPLIT_VALID, SPLIT_TEST, SPLIT_COUNT } split_t;
const char *split_name(split_t split); /* "train" | "valid" | "test" */

typedef struct clip_config {
    int64_t steps, dilation; /* 0 counts as 1 */
} clip_config_t;

typedef struct dataset_config {
    const char *path;
    int64_t window; /* steps per sample, >= 1 */
    double rate_hz; /* of the steps of samples; 0: that of the targets */
    double shift;   /* of a step, 0 to 1: by so much later the clock begins */
    int64_t stride; /* 0: window; at most window, or steps would be left out */
    /* Recordings that the importer marked train or test keep that; without any mark, subjects are
     * dealt by a permutation keyed by split_seed: test_fraction of them to test. Then
     * valid_fraction of the training SUBJECTS become valid, by the same key. At least one subject
     * each where the fraction is positive. */
    double valid_fraction, test_fraction;
    int64_t split_seed;
    /* Each feature to mean 0 and deviation 1 over all of a person's valid samples, which need no
     * labels but all of the person's data, also of a test person: transductive. */
    bool standardize_person;
    /* Not 0: the same from the first so many seconds of each of a person's recordings alone, on
     * their clocks. A feature that does not vary there is only shifted. A modality of which a
     * person has no valid sample there, or a single one, but has more later, is STATUS_INPUT. */
    double baseline_s;
    /* Not 0: marks and test_fraction play no part. All subjects are dealt to `folds` folds (-1: as
     * many as there are subjects) by a permutation keyed by split_seed, sizes differing by at most
     * one; those of `fold` are the test. */
    int64_t folds, fold;
    /* What is dealt to folds. FOLDS_GROUP: groups of recordings, such as videos, so that people are
     * on both sides. FOLDS_BOTH: people and groups; the fold's people with its groups are the test,
     * the others with the other groups are trained on, and the rest of the recordings is left out.
     * FOLDS_LEAKY: recordings, whoever they are of, so that people are on both sides; where
     * valid_fraction is positive the validation is the test itself. For beside published numbers
     * that were made so. */
    enum { FOLDS_SUBJECT, FOLDS_GROUP, FOLDS_BOTH, FOLDS_LEAKY } folds_by;
    /* Time that the built-in modalities tell apart; 0: each step. They are named like others:
     * `clock` has one feature for each stretch of the longest recording, `stimulus` for each
     * stretch of each group of recordings (its video, say). At each step one feature is 1; a time
     * or a group that no training recording has is masked. */
    double clock_step_s;
    bool allow_subject_overlap; /* else a subject in two splits is STATUS_INPUT, naming the alias */
    const char *const *modalities; /* wanted, in this order; a missing one is STATUS_INPUT */
    int modality_count;
    const clip_config_t *clips; /* by modality; NULL: single steps */
    /* Or a missing one counts as there, as wide as `dims` says (by modality) and masked everywhere.
     * Not where it misses in some shards only, and one at least must be there. */
    bool mask_missing;
    const int64_t *dims; /* mask_missing only */
    const char *const *targets;
    int target_count;
    const bool *last_only; /* by target; NULL: none. Of a window's labels the last alone counts */
    /* Recordings, with spaces between, that are in no split where they would be in SPLIT_TRAIN;
     * NULL: none. */
    const char *skip;
    bool whole_windows; /* of SPLIT_TRAIN: none that begins less than a window before the end */
    bool every_window;  /* of valid and test, also those in which nothing is scored */
} dataset_config_t;

typedef struct dataset dataset_t;

status_t dataset_open(const dataset_config_t *config, dataset_t **dataset_out) MUST_CHECK;
void dataset_close(dataset_t *dataset);

int64_t dataset_window(const dataset_t *dataset);
int64_t dataset_modality_dim(const dataset_t *dataset, int modality); /* of one step */

typedef struct modality_info {
    track_kind_t kind; /* pixels are bytes, all others floats */
    int64_t dim;       /* elements of a step */
    int64_t shape[3];  /* of pixels: height, width, channels, whose product is dim */
    int64_t clip,
        dilation; /* a step of a window is [clip, dim] elements, of every dilation-th step */
    /* Whether statistics of features mean something: not of pixels, of clips of sound, which are
     * normalised by themselves, of embeddings, and of built-in modalities. */
    bool scaled;
} modality_info_t;
modality_info_t dataset_modality(const dataset_t *dataset, int modality);
bool dataset_is_built_in(const dataset_t *dataset, int modality);
int64_t dataset_sample_count(const dataset_t *dataset, split_t split);
/* Windows left out because no wanted target has a label in them. */
int64_t dataset_unlabelled_count(const dataset_t *dataset, split_t split);
int64_t dataset_subject_count(const dataset_t *dataset, split_t split);
int dataset_file_count(const dataset_t *dataset);
/* Whether one window holds more than half of all that was recorded of a person, for most people:
 * then a step's place in the window tells how late in the session it is. */
bool dataset_window_is_session(const dataset_t *dataset);
/* Whether somebody's baseline is all that there is of one of the person's modalities. */
bool dataset_baseline_is_all(const dataset_t *dataset);
int64_t dataset_fold_count(const dataset_t *dataset); /* 0: not dealt to folds */

typedef struct sample_info {
    const char *recording; /* name as imported (an alias carries no person's name) */
    const char *subject;   /* alias */
    int64_t first_step;    /* of the recording's clock */
    int64_t steps;         /* valid length, <= window; the rest is padding */
    int file;              /* which shard file holds it, 0..dataset_file_count-1 */
} sample_info_t;
sample_info_t dataset_sample(const dataset_t *dataset, split_t split, int64_t sample);

typedef struct frames_info {
    double offset, ratio; /* step p of the recording's clock is at frame offset + p * ratio */
    int64_t count;
} frames_info_t;
/* Frames of the sample's recording: steps of the first wanted target that it has; else of the first
 * modality of pixels; else of the first modality. */
frames_info_t dataset_frames(const dataset_t *dataset, split_t split, int64_t sample);
/* The target's labels at all these frames: [count]; NaN where there is no valid one. */
void dataset_frame_labels(const dataset_t *dataset, split_t split, int64_t sample, int target,
                          float *labels_out);

/* Memory in which clips are gathered, large enough for any window: reads then allocate nothing. Of
 * one thread at a time. */
typedef struct dataset_scratch dataset_scratch_t;
dataset_scratch_t *dataset_scratch_open(const dataset_t *dataset);
void dataset_scratch_close(dataset_scratch_t *scratch); /* NULL allowed */

/* What a step of silence is among what dataset_read_tokens gives of the sample: the bands that
 * sound of zeros has, a signal of zeros; scaled for the person as all else. step_out: [dim], the
 * same in every step of a clip. Only of modalities that have silence: sound and signals. */
bool dataset_has_silence(const dataset_t *dataset, int modality);
void dataset_silence(const dataset_t *dataset, split_t split, int64_t sample, int modality,
                     float *step_out);

/* Fills one sample. tokens[m]: [window, clip, dim] bytes or floats, as dataset_modality says, zero
 * where mask[m][t] is 0; mask[m]: [window] bytes; target[t]: [window] floats, NaN where there is no
 * valid label (padding, and steps that an earlier window already scores). A value that is not
 * finite where the mask says valid is STATUS_INPUT, naming recording, modality and step.
 * scratch: NULL where no modality has clips or pixels. Thread-safe for different outputs. */
status_t dataset_read_tokens(const dataset_t *dataset, split_t split, int64_t sample,
                             dataset_scratch_t *scratch, void *const *tokens, uint8_t *const *mask,
                             float *const *target) MUST_CHECK;

/* The same where all modalities are single steps of floats. */
status_t dataset_read(const dataset_t *dataset, split_t split, int64_t sample,
                      float *const *features, uint8_t *const *mask,
                      float *const *target) MUST_CHECK;

/* The same of one modality at steps first..first+steps-1 of any recording's clock: tokens [steps,
 * clip, dim], mask [steps]. Clips and pixels: at most a window of steps. */
status_t dataset_read_stretch(const dataset_t *dataset, int64_t recording, int modality,
                              int64_t first, int64_t steps, dataset_scratch_t *scratch,
                              void *tokens, uint8_t *mask) MUST_CHECK;

/* Of a modality that is `scaled`: per-feature sums over the valid steps of one training recording,
 * for standardisation: count, and sum and sum of squares [dim] in double. Recordings are numbered
 * 0..dataset_recordings(split)-1. */
int64_t dataset_recording_count(const dataset_t *dataset, split_t split);
status_t dataset_recording_sums(const dataset_t *dataset, split_t split, int64_t recording,
                                int modality, int64_t *count_out, double *sum,
                                double *sum_squares) MUST_CHECK;

/* Values of a target in the training split: for majority and class counts. */
status_t dataset_target_values(const dataset_t *dataset, split_t split, int target,
                               float **values_out,
                               int64_t *count_out) MUST_CHECK; /* caller frees; valid labels only */

typedef struct recording_info {
    const char *name, *subject; /* alias */
    const char *group;          /* "": none */
    const char *content;        /* 64 hex digits: SHA-256 of its signals as they were imported */
    split_t split;              /* SPLIT_COUNT: in none */
    int file;                   /* as of sample_info_t */
    int64_t steps;              /* of its clock: at start_s + step / rate_hz */
    double start_s, rate_hz;
} recording_info_t;
/* All recordings, whatever their split, in the order of the files. */
int64_t dataset_recordings(const dataset_t *dataset);
recording_info_t dataset_recording(const dataset_t *dataset, int64_t recording);

/* Aliases of two data sets with the same one mean the same people (key_id of alias.h). */
const char *dataset_key_id(const dataset_t *dataset);

/* Who the backbones that made its embeddings were trained on, as their writer said; "": nobody. */
const char *dataset_trained_on(const dataset_t *dataset);

/* SHA-256 over the verified content of all shards (their trailers): identity of the data, for
 * manifests and resume. 64 hex digits. */
const char *dataset_identity(const dataset_t *dataset);

#endif
