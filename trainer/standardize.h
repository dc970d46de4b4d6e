/* standardize.h - z-scores by the training rows: mean and 1/sd of each feature, part of a
 * checkpoint. */
#ifndef JMT_STANDARDIZE_H
#define JMT_STANDARDIZE_H

#include "comm/comm.h"
#include "data-sharding/dataset.h"
#include "trainer/safetensors.h"

typedef struct standardize {
    int count; /* modalities; 0: features pass as they are */
    int64_t *dims;
    float **mean, **scale; /* by modality: [dim] */
} standardize_t;

/* Collective: each rank reads its share of the training recordings; sums are added in the order of
 * recordings, so the result does not depend on the number of ranks. Population variance; a feature
 * that never varies gets scale 1. What is not `scaled` (dataset.h) stays as it is. */
status_t standardize_fit(comm_t *comm, const dataset_t *dataset, int modality_count,
                         standardize_t *out) MUST_CHECK;
/* x: [steps, clip, dim]; steps that are masked stay as they are. */
void standardize_apply(const standardize_t *standardize, int modality, float *x,
                       const uint8_t *mask, int64_t steps, int64_t clip);
void standardize_free(standardize_t *standardize);

/* As tensors "NAME.mean", "NAME.scale". */
void standardize_save(const standardize_t *standardize, const char *const *names,
                      tensor_set_t *set_out);
status_t standardize_load(const tensor_set_t *set, const char *const *names, const int64_t *dims,
                          int count, standardize_t *out) MUST_CHECK;

#endif
