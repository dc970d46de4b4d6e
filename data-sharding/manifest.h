/* manifest.h - dataset.json of a data directory and dataset.sha256, which covers it. */
#ifndef JMT_MANIFEST_H
#define JMT_MANIFEST_H

#include <stdint.h>

#include "kernels/base/file.h"
#include "kernels/base/status.h"

#define MANIFEST_NAME      "dataset.json"
#define MANIFEST_HASH_NAME "dataset.sha256"

typedef struct manifest_file {
    char *name;
    int64_t bytes;
    char trailer[SHA256_TEXT_BYTES]; /* SHA-256 of the shard's trailer, hence of all its bytes */
} manifest_file_t;

typedef struct manifest {
    int64_t format_version;
    char *importer, *source, *licence, *terms;
    int64_t recordings, subjects;
    int64_t window; /* the data is meant to be cut by it, in steps; 0: any */
    double rate_hz; /* of those steps; 0: that of the targets */
    char *key_id;   /* of the key file that explains the aliases */
    char *facts;    /* what the importer knows besides, a JSON object; NULL: nothing */
    /* Of embeddings: who their backbones were trained on, as JSON of the trainer; NULL: nobody. */
    char *trained_on;
    int file_count;
    manifest_file_t *files;
} manifest_t;

/* A directory that is missing or none of ours is STATUS_INPUT, a damaged manifest STATUS_FAILED. */
status_t manifest_read(const char *dir, manifest_t *manifest_out) MUST_CHECK;
status_t manifest_write(const char *dir, const manifest_t *manifest) MUST_CHECK;
void manifest_free(manifest_t *manifest);

/* Appends the entry of a shard that lies in dir. */
status_t manifest_add_shard(manifest_t *manifest, const char *dir, const char *name) MUST_CHECK;

#endif
