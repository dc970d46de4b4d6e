/* dataset_resume.c - an import that goes on behind the whole shards of one that was stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-sharding/dataset_writer_internal.h"
#include "data-sharding/name_table.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "kernels/base/log.h"

/* Of all that decides what the shards hold, but for the source's files themselves. */
static void key_of(const writer_config_t *config, char key[SHA256_TEXT_BYTES]) {
    sha256_t *hash = sha256_open();
    const char *const texts[] = {config->resume_key, config->importer, config->salt};
    for (int i = 0; i < ARRAY_LEN(texts); i++) {
        sha256_add(hash, texts[i], strlen(texts[i]) + 1);
    }
    for (int64_t i = 0; i < config->subject_count; i++) {
        sha256_add(hash, config->subjects[i], strlen(config->subjects[i]) + 1);
    }
    for (int i = 0; i < config->track_count; i++) {
        const writer_track_t *track = &config->tracks[i];
        const int64_t numbers[] = {track->is_target, track->dim, track->kind};
        sha256_add(hash, track->name, strlen(track->name) + 1);
        sha256_add(hash, numbers, sizeof numbers);
    }
    const int64_t numbers[] = {SHARD_VERSION, config->recording_count, config->shards};
    sha256_add(hash, numbers, sizeof numbers);
    sha256_close(hash, key);
}

/* Counts the people of a shard that is there already. */
static status_t take_shard(dataset_writer_t *writer, const char *name) {
    char *path = text_format("%s/%s", writer->aside, name);
    shard_t *shard = NULL;
    status_t status = shard_open(path, &shard);
    free(path);
    TRY(status);
    const shard_content_t *content = shard_content(shard);
    name_table_t people = {0};
    for (int64_t s = 0; s < writer->config.subject_count; s++) {
        name_add(&people, writer->aliases[s]);
    }
    for (int64_t r = 0; r < content->recording_count; r++) {
        int64_t s = name_find(&people, content->recordings[r].subject);
        if (s >= 0 && !writer->subject_used[s]) {
            writer->subject_used[s] = true;
            writer->manifest.subjects++;
        }
    }
    name_table_free(&people);
    writer->manifest.recordings += content->recording_count;
    shard_close(shard);
    return manifest_add_shard(&writer->manifest, writer->aside, name);
}

/* What is neither a whole shard nor the journal was being written when the import was stopped. */
static status_t clear_rest(const dataset_writer_t *writer) {
    char **names;
    int count;
    TRY(dir_list(writer->aside, &names, &count));
    status_t status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        long long number = -1;
        char *whole = NULL, *path = text_format("%s/%s", writer->aside, names[i]);
        if (sscanf(names[i], "shard-%lld.h5", &number) == 1) {
            whole = text_format("shard-%05lld.h5", number);
        }
        bool stays =
            strcmp(names[i], JOURNAL_NAME) == 0 || (whole != NULL && strcmp(whole, names[i]) == 0 &&
                                                    number >= 0 && number < writer->journal.shards);
        if (!stays && unlink(path) != 0) {
            status = status_fail_errno(STATUS_FAILED, "cannot remove %s", path);
        }
        free(whole);
        free(path);
    }
    names_free(names, count);
    return status;
}

static status_t go_on(dataset_writer_t *writer) {
    TRY(clear_rest(writer));
    for (int64_t i = 0; i < writer->journal.shards; i++) {
        char *name = text_format("shard-%05d.h5", (int)i);
        status_t status = take_shard(writer, name);
        free(name);
        TRY(status);
    }
    writer->begin = writer->journal.items;
    writer->added = writer->journal.added;
    log_info("%s: goes on behind %lld shards with %lld recordings", writer->out,
             (long long)writer->journal.shards, (long long)writer->journal.added);
    return STATUS_OK;
}

status_t dataset_writer_start(dataset_writer_t *writer) {
    const writer_config_t *config = &writer->config;
    if (config->resume_key != NULL) {
        char key[SHA256_TEXT_BYTES];
        key_of(config, key);
        journal_read(writer->aside, key, &writer->journal);
        if (writer->journal.shards > 0) {
            return go_on(writer);
        }
    }
    TRY(dir_remove(writer->aside));
    return dir_make(writer->aside);
}
