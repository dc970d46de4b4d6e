#include "data-sharding/dataset_writer_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-sharding/alias.h"
#include "data-sharding/out_directory.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

enum { SHARD_BYTES_GOAL = 256 << 20 };

static bool plain_name(const char *name) {
    for (const char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr("_-.", *c) == NULL) {
            return false;
        }
    }
    return name[0] != '\0' && name[0] != '.' && strlen(name) < 64;
}

static status_t check_config(const writer_config_t *config, const char *out) {
    for (int i = 0; i < config->track_count; i++) {
        const writer_track_t *track = &config->tracks[i];
        const int64_t *shape = track->shape;
        REQUIRE(track->kind != TRACK_PIXELS || shape[0] * shape[1] * shape[2] == track->dim);
        if (!plain_name(track->name) || track->dim < 1 || (track->is_target && track->dim != 1)) {
            return status_fail(STATUS_INPUT,
                               "%s \"%s\" with %lld features cannot be stored; use letters, digits "
                               "and _-. and at least one feature",
                               track->is_target ? "target" : "modality", track->name,
                               (long long)track->dim);
        }
    }
    return out_directory_check(out);
}

static void start_shard(dataset_writer_t *writer) {
    const writer_config_t *config = &writer->config;
    shard_content_t *content = &writer->pending;
    *content = (shard_content_t){
        .importer = text_copy(config->importer),
        .source = text_copy(config->source),
        .licence = text_copy(config->licence),
        .terms = text_copy(config->terms),
        .track_count = config->track_count,
        .tracks = alloc_zero(max_i64(config->track_count, 1), sizeof(shard_track_t)),
    };
    for (int i = 0; i < config->track_count; i++) {
        content->tracks[i].name = text_copy(config->tracks[i].name);
        content->tracks[i].is_target = config->tracks[i].is_target;
        content->tracks[i].dim = config->tracks[i].dim;
        content->tracks[i].kind = config->tracks[i].kind;
        memcpy(content->tracks[i].shape, config->tracks[i].shape, sizeof config->tracks[i].shape);
    }
    writer->pending_bytes = 0;
}

status_t dataset_writer_open(const writer_config_t *config, dataset_writer_t **writer_out) {
    char *out = out_directory_name(config->out); /* OUT.key and OUT.tmp lie beside it */
    status_t status = check_config(config, out);
    if (status != STATUS_OK) {
        free(out);
        return status;
    }
    dataset_writer_t *writer = alloc_zero(1, sizeof *writer);
    writer->config = *config;
    writer->out = out;
    writer->aside = text_format("%s.tmp", out);
    writer->aliases = alias_deal(config->salt, config->subject_count);
    writer->subject_used = alloc_zero(max_i64(config->subject_count, 1), sizeof(bool));
    writer->store = steps_store_open(writer->aside, STEPS_MEMORY_BYTES);
    writer->ahead_track = -1;
    for (int i = config->track_count - 1; i >= 0; i--) {
        writer->ahead_track = config->tracks[i].kind == TRACK_PIXELS ? i : writer->ahead_track;
    }
    start_shard(writer);
    status = dataset_writer_start(writer);
    if (status != STATUS_OK) {
        dataset_writer_close(writer);
        return status;
    }
    work_begin(&writer->work, "writing", "recordings", config->recording_count);
    *writer_out = writer;
    return STATUS_OK;
}

int64_t dataset_writer_begin(const dataset_writer_t *writer) { return writer->begin; }

static void drop_pictures(dataset_writer_t *writer) {
    int64_t count = writer->pending.recording_count * writer->config.track_count;
    for (int64_t i = 0; writer->pictures != NULL && i < count; i++) {
        steps_file_close(writer->pictures[i]);
    }
    free(writer->pictures);
    writer->pictures = NULL;
    shard_ahead_close(writer->ahead);
    writer->ahead = NULL;
}

/* Steps of a track of pictures, out of the files of the pending recordings. */
static status_t read_pictures(void *context, int track, int64_t first, int64_t steps, void *out) {
    const dataset_writer_t *writer = context;
    const shard_track_t *t = &writer->pending.tracks[track];
    char *to = out;
    for (int64_t r = 0; r < writer->pending.recording_count && steps > 0; r++) {
        const shard_span_t *span = &t->spans[r];
        int64_t count = min_i64(steps, span->offset + span->length - first);
        if (count > 0) {
            const steps_file_t *file = writer->pictures[r * writer->config.track_count + track];
            TRY(steps_file_read(file, first - span->offset, count, to));
            first += count;
            steps -= count;
            to += count * shard_step_bytes(t);
        }
    }
    return STATUS_OK;
}

/* After each shard: from here on the import can go on behind it. */
static status_t write_journal(dataset_writer_t *writer, int64_t items) {
    if (writer->journal.key[0] == '\0') {
        return STATUS_OK;
    }
    writer->journal.items = items;
    writer->journal.added = writer->added;
    writer->journal.shards = writer->manifest.file_count;
    return journal_write(writer->aside, &writer->journal);
}

static status_t flush(dataset_writer_t *writer) {
    if (writer->pending.recording_count == 0) {
        return STATUS_OK;
    }
    char *name = text_format("shard-%05d.h5", writer->manifest.file_count);
    char *path = text_format("%s/%s", writer->aside, name);
    const shard_source_t source = {read_pictures, writer, writer->ahead, writer->ahead_track};
    status_t status = shard_write(path, &writer->pending, &source);
    if (status == STATUS_OK) {
        status = manifest_add_shard(&writer->manifest, writer->aside, name);
    }
    free(path);
    free(name);
    drop_pictures(writer);
    shard_content_free(&writer->pending);
    start_shard(writer);
    return status;
}

static void append_values(shard_track_t *track, const writer_signal_t *signal) {
    size_t row = (size_t)shard_step_bytes(track);
    track->values = realloc(track->values, (size_t)max_i64(track->steps + signal->steps, 1) * row);
    REQUIRE(track->values != NULL);
    if (signal->steps > 0) {
        memcpy(track->values + track->steps * track->dim, signal->values,
               (size_t)signal->steps * row);
    }
}

static int64_t steps_of(const writer_signal_t *signal) {
    return signal->pictures != NULL ? steps_file_count(signal->pictures) : signal->steps;
}

static void append_signal(shard_track_t *track, int64_t recording, const writer_signal_t *signal) {
    int64_t added = steps_of(signal);
    const uint8_t *valid =
        signal->pictures != NULL ? steps_file_valid(signal->pictures) : signal->valid;
    track->spans = array_grow(track->spans, recording, sizeof *track->spans);
    track->spans[recording] = (shard_span_t){track->steps, added, signal->rate_hz, signal->start_s};
    if (track->kind != TRACK_PIXELS) {
        append_values(track, signal);
    }
    track->valid = realloc(track->valid, (size_t)max_i64(track->steps + added, 1));
    REQUIRE(track->valid != NULL);
    if (added > 0 && valid != NULL) {
        memcpy(track->valid + track->steps, valid, (size_t)added);
    } else {
        memset(track->valid + track->steps, 1, (size_t)added);
    }
    track->steps += added;
}

static char *hash_signals(const dataset_writer_t *writer, const writer_recording_t *recording) {
    sha256_t *hash = sha256_open();
    for (int i = 0; i < writer->config.track_count; i++) {
        const writer_signal_t *signal = &recording->signals[i];
        int64_t dim = writer->config.tracks[i].dim, steps = steps_of(signal);
        sha256_add(hash, &steps, sizeof steps);
        if (signal->pictures != NULL) {
            char digest[SHA256_TEXT_BYTES];
            steps_file_hash(signal->pictures, digest);
            sha256_add(hash, digest, sizeof digest - 1);
        } else if (steps > 0) {
            sha256_add(hash, signal->values, (size_t)(steps * dim) * sizeof(float));
        }
    }
    char text[SHA256_TEXT_BYTES];
    sha256_close(hash, text);
    return text_copy(text);
}

/* From here on the steps files are the writer's, whatever comes. */
static status_t take_over(dataset_writer_t *writer, const writer_recording_t *recording) {
    int64_t steps = 0, index = writer->pending.recording_count;
    int tracks = writer->config.track_count;
    for (int i = 0; i < tracks; i++) {
        const writer_signal_t *signal = &recording->signals[i];
        bool pixels = writer->config.tracks[i].kind == TRACK_PIXELS;
        REQUIRE(pixels ? signal->values == NULL && signal->steps == 0 : signal->pictures == NULL);
        REQUIRE(signal->pictures == NULL ||
                steps_file_step_bytes(signal->pictures) == writer->config.tracks[i].dim);
        steps = max_i64(steps, steps_of(signal));
    }
    if (steps == 0) {
        for (int i = 0; i < tracks; i++) {
            steps_file_close(recording->signals[i].pictures);
        }
        return status_fail(STATUS_INPUT,
                           "recording \"%s\" has no steps; leave it out of the source",
                           recording->name);
    }
    size_t bytes = (size_t)((index + 1) * tracks) * sizeof *writer->pictures;
    writer->pictures = realloc(writer->pictures, bytes);
    REQUIRE(writer->pictures != NULL);
    for (int i = 0; i < tracks; i++) {
        steps_file_t *pictures = recording->signals[i].pictures;
        writer->pictures[index * tracks + i] = pictures;
        if (pictures != NULL && i != writer->ahead_track) { /* waits for the shard */
            steps_file_trim(pictures);
        }
    }
    return STATUS_OK;
}

/* The pictures of the last recording, which need no memory then. */
static status_t put_ahead(dataset_writer_t *writer, int64_t recording) {
    steps_file_t **steps =
        &writer->pictures[recording * writer->config.track_count + writer->ahead_track];
    if (*steps == NULL) {
        return STATUS_OK;
    }
    if (writer->ahead == NULL) {
        char *path = text_format("%s/shard-%05d.ahead", writer->aside, writer->manifest.file_count);
        status_t status = shard_ahead_open(path, steps_file_step_bytes(*steps), &writer->ahead);
        free(path);
        TRY(status);
    }
    TRY(shard_ahead_add(writer->ahead, *steps));
    steps_file_close(*steps);
    *steps = NULL;
    return STATUS_OK;
}

status_t dataset_writer_add(dataset_writer_t *writer, const writer_recording_t *recording) {
    REQUIRE(recording->subject >= 0 && recording->subject < writer->config.subject_count);
    TRY(take_over(writer, recording));
    const char *alias = writer->aliases[recording->subject];
    const char *subject = writer->config.subjects[recording->subject];
    shard_content_t *content = &writer->pending;
    int64_t index = content->recording_count;
    content->recordings = array_grow(content->recordings, index, sizeof *content->recordings);
    content->recordings[index] = (shard_recording_t){
        .name = alias_replace(recording->name, subject, alias),
        .subject = text_copy(alias),
        .session = alias_replace(recording->session, subject, alias),
        .group = alias_replace(recording->group, subject, alias),
        .split = text_copy(recording->split),
        .source_hash = hash_signals(writer, recording),
    };
    for (int i = 0; i < content->track_count; i++) {
        append_signal(&content->tracks[i], index, &recording->signals[i]);
        writer->pending_bytes +=
            steps_of(&recording->signals[i]) * (shard_step_bytes(&content->tracks[i]) + 1);
    }
    content->recording_count++;
    if (writer->ahead_track >= 0) {
        TRY(put_ahead(writer, index));
    }
    writer->manifest.recordings++;
    if (!writer->subject_used[recording->subject]) {
        writer->subject_used[recording->subject] = true;
        writer->manifest.subjects++;
    }
    writer->added++;
    int64_t shards = writer->config.shards;
    bool full = shards > 0 ? writer->added >= share_begin(writer->config.recording_count, shards,
                                                          writer->manifest.file_count + 1)
                           : writer->pending_bytes >= SHARD_BYTES_GOAL;
    if (full) {
        TRY(flush(writer));
        TRY(write_journal(writer, recording->item + 1));
    }
    work_done(&writer->work, writer->added);
    return STATUS_OK;
}

steps_store_t *dataset_writer_store(const dataset_writer_t *writer) { return writer->store; }

/* Before their folder is moved or removed. */
static void close_pictures(dataset_writer_t *writer) {
    drop_pictures(writer);
    steps_store_close(writer->store);
    writer->store = NULL;
}

static status_t publish_key(dataset_writer_t *writer) {
    char *path = text_format("%s.key", writer->out);
    status_t status = key_write(path, writer->config.salt, writer->config.subjects, writer->aliases,
                                writer->config.subject_count);
    free(path);
    return status;
}

status_t dataset_writer_publish(dataset_writer_t *writer, const char *facts) {
    TRY(flush(writer));
    manifest_t *manifest = &writer->manifest;
    if (manifest->file_count == 0) {
        return status_fail(STATUS_INPUT, "nothing to import: the source has no recordings");
    }
    manifest->window = writer->config.window;
    manifest->rate_hz = writer->config.rate_hz;
    manifest->importer = text_copy(writer->config.importer);
    manifest->source = text_copy(writer->config.source);
    manifest->licence = text_copy(writer->config.licence);
    manifest->terms = text_copy(writer->config.terms);
    char id[SHA256_TEXT_BYTES];
    key_id(writer->config.salt, writer->config.subjects, writer->config.subject_count, id);
    manifest->key_id = text_copy(id);
    manifest->facts = facts == NULL ? NULL : text_copy(facts);
    char *journal = text_format("%s/" JOURNAL_NAME, writer->aside);
    unlink(journal); /* if there is one */
    free(journal);
    TRY(manifest_write(writer->aside, manifest));
    close_pictures(writer);
    TRY(publish_key(writer));
    TRY(out_directory_publish(writer->aside, writer->out));
    writer->published = true;
    return STATUS_OK;
}

void dataset_writer_close(dataset_writer_t *writer) {
    if (writer == NULL) {
        return;
    }
    work_end(&writer->work);
    close_pictures(writer);
    bool kept = writer->journal.shards > 0 && !writer->published;
    if (!kept && dir_remove(writer->aside) != STATUS_OK) {
        /* The next import to the same place removes it first, and says so if it cannot. */
    }
    for (int64_t i = 0; i < writer->config.subject_count; i++) {
        free(writer->aliases[i]);
    }
    free(writer->aliases);
    free(writer->subject_used);
    shard_content_free(&writer->pending);
    manifest_free(&writer->manifest);
    free(writer->aside);
    free(writer->out);
    free(writer);
}
