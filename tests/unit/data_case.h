/* data_case.h - data directories for tests: a place that goes away, and hand-made recordings. */
#ifndef JMT_DATA_CASE_H
#define JMT_DATA_CASE_H

#include <stddef.h>
#include <stdint.h>

#include "data-sharding/dataset.h"
#include "data-sharding/dataset_writer.h"

/* A fresh directory for one test, removed by place_remove. */
char *place_make(void);
void place_remove(char *place);

/* PLACE/NAME, caller frees; and a file of that name. */
char *place_path(const char *place, const char *name);
void place_write(const char *place, const char *name, const void *data, size_t bytes);
void place_text(const char *place, const char *name, const char *text);

/* That importing what lies there ends with STATUS_INPUT and this error, and leaves nothing. */
void import_refused(const char *importer, const char *place, const char *error);

/* A recording whose numbers say where they come from: feature d of modality "a" (dim 3) at step t
 * is 100 * number + t + d / 8, modality "b" (dim 2) is its negative, target "y" is t / 64. */
typedef struct hand_recording {
    const char *name, *subject, *split;
    int64_t number, steps;
    int64_t gap_begin, gap_end;             /* steps of "a" that are invalid, and hold NaN */
    int64_t label_gap_begin, label_gap_end; /* and of "y" */
    const char *group;                      /* NULL: none */
} hand_recording_t;

float hand_feature(int64_t number, int64_t step, int64_t d);

/* Writes them to PLACE/data in so many shards. Returns its path, caller frees. */
char *hand_data(const char *place, const hand_recording_t *recordings, int count, int64_t shards);

/* One recording of one person "p" with these three signals, as they are. */
char *raw_data(const char *place, const writer_signal_t signals[3], const char *split);

/* The alias of a recording's subject, caller frees. */
char *hand_alias(const hand_recording_t *recordings, int count, const char *subject);

/* Both modalities, the target, no fractions. */
dataset_config_t hand_config(const char *path, int64_t window, int64_t stride);

/* Room for one sample of a data set of 2 modalities (dims 3 and 2) and 1 target. */
typedef struct hand_sample {
    float *features[2], *target[1];
    uint8_t *mask[2];
} hand_sample_t;
hand_sample_t hand_sample(int64_t window);
void hand_sample_free(hand_sample_t *sample);

/* Opens and reads everything there is; the first error. */
status_t read_everything(const char *path);

#endif
