/* dataset_writer_internal.h - what dataset_writer.c and dataset_resume.c share. */
#ifndef JMT_DATASET_WRITER_INTERNAL_H
#define JMT_DATASET_WRITER_INTERNAL_H

#include "data-sharding/dataset_writer.h"
#include "data-sharding/import_journal.h"
#include "data-sharding/manifest.h"
#include "data-sharding/shard.h"
#include "kernels/base/work.h"

struct dataset_writer {
    writer_config_t config;
    char *out, *aside;
    char **aliases;
    bool *subject_used;
    shard_content_t pending;
    steps_store_t *store;    /* of them */
    steps_file_t **pictures; /* of the pending recordings: [recording][track], but what is ahead */
    shard_ahead_t *ahead;    /* pictures of the pending shard's first track of such */
    int ahead_track;         /* -1: there is none */
    int64_t pending_bytes;
    int64_t added;
    import_journal_t journal; /* key "": none is kept */
    int64_t begin;
    bool published;
    work_t work;
    manifest_t manifest;
};

/* Makes OUT.tmp anew, or takes what is in it and may be gone on with. */
status_t dataset_writer_start(dataset_writer_t *writer) MUST_CHECK;

#endif
