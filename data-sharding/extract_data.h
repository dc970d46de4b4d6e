/* extract_data.h - a data directory like another, in which embeddings stand in the place of some
 * modalities; everything else is copied as it is: recordings, people, other tracks, terms.
 *
 * An embedding has a step at each step of its recording's clock (dataset.h). Shards are given in
 * order; all is built in OUT.tmp and published by one rename. */
#ifndef JMT_EXTRACT_DATA_H
#define JMT_EXTRACT_DATA_H

#include "data-sharding/dataset.h"

typedef struct embedding {
    const char *name;  /* of the new track */
    const char *track; /* of the data, in whose place it stands; several may share one */
    int64_t dim;
    float *values;  /* [steps of all recordings of the shard, dim] */
    uint8_t *valid; /* likewise */
} embedding_t;

typedef struct extract_data extract_data_t;

/* path: of the directory that `dataset` was opened on; both outlive the writer. */
status_t extract_data_open(const dataset_t *dataset, const char *path, const char *out,
                           extract_data_t **data_out) MUST_CHECK;
status_t extract_data_add(extract_data_t *data, const embedding_t *embeddings,
                          int count) MUST_CHECK;
/* facts: a JSON object of what made the embeddings; becomes the fact `extracted`. trained_on: JSON
 * of the people whom they know (dataset_trained_on); "": nobody. */
status_t extract_data_publish(extract_data_t *data, const char *facts,
                              const char *trained_on) MUST_CHECK;
void extract_data_close(extract_data_t *data); /* NULL allowed; unpublished work is removed */

#endif
