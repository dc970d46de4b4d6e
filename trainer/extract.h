/* extract.h - what the backbones of a model make of a data directory, stored once: a directory in
 * which these features stand in the place of their modalities. A training on it has the bits of one
 * through the frozen backbones. */
#ifndef JMT_EXTRACT_H
#define JMT_EXTRACT_H

#include "trainer/trainer.h"

typedef struct extracted {
    int count; /* modalities that have a backbone, and that the data has */
    const modality_config_t *modality[CONFIG_MODALITIES_MAX]; /* of the trainer's configuration */
    int64_t dim[CONFIG_MODALITIES_MAX];
    bool scaled; /* by the training people, before the backbone */
    bool known;  /* somebody is: of the weights, or of the scales */
} extracted_t;

/* Collective. trainer: not for training, with its weights, opened on `path`. trained_on: of the
 * checkpoint that they are of; NULL: they are what the configuration begins with. STATUS_INPUT
 * where no modality has a backbone, or `out` holds something. */
status_t extract_features(const trainer_t *trainer, const char *trained_on, const char *path,
                          const char *out, extracted_t *extracted_out) MUST_CHECK;

#endif
