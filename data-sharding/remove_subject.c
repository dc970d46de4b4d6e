#include "data-sharding/remove_subject.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-sharding/alias.h"
#include "data-sharding/manifest.h"
#include "data-sharding/out_directory.h"
#include "data-sharding/shard.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

/* A shard without a person: what it holds, and which recordings of the old one these are. */
typedef struct kept {
    const shard_t *old;
    shard_content_t content;
    int64_t *rows; /* of the old shard */
} kept_t;

static void keep_recordings(kept_t *kept, const char *alias) {
    const shard_content_t *old = shard_content(kept->old);
    shard_content_t *content = &kept->content;
    content->recordings = alloc_zero(max_i64(old->recording_count, 1), sizeof(shard_recording_t));
    kept->rows = alloc_zero(max_i64(old->recording_count, 1), sizeof *kept->rows);
    for (int64_t i = 0; i < old->recording_count; i++) {
        const shard_recording_t *r = &old->recordings[i];
        if (strcmp(r->subject, alias) != 0) {
            kept->rows[content->recording_count] = i;
            content->recordings[content->recording_count++] = (shard_recording_t){
                .name = text_copy(r->name),
                .subject = text_copy(r->subject),
                .session = text_copy(r->session),
                .group = text_copy(r->group),
                .split = text_copy(r->split),
                .source_hash = text_copy(r->source_hash),
            };
        }
    }
}

/* Packs the steps of the kept recordings to the front; their values stay where they are. */
static status_t keep_track(const kept_t *kept, const shard_track_t *old, shard_track_t *track) {
    *track = *old;
    track->name = text_copy(old->name);
    track->spans = alloc_zero(max_i64(kept->content.recording_count, 1), sizeof *track->spans);
    track->valid = alloc_zero(max_i64(old->steps, 1), 1);
    track->steps = 0;
    for (int64_t i = 0; i < kept->content.recording_count; i++) {
        shard_span_t span = old->spans[kept->rows[i]];
        TRY(shard_read_valid(kept->old, old, span.offset, span.length,
                             track->valid + track->steps));
        span.offset = track->steps;
        track->spans[i] = span;
        track->steps += span.length;
    }
    return STATUS_OK;
}

/* As shard_source_t wants it. */
static status_t read_kept(void *context, int number, int64_t first, int64_t steps, void *out) {
    const kept_t *kept = context;
    const shard_track_t *old = &shard_content(kept->old)->tracks[number];
    const shard_track_t *track = &kept->content.tracks[number];
    char *to = out;
    for (int64_t i = 0; i < kept->content.recording_count && steps > 0; i++) {
        const shard_span_t *span = &track->spans[i];
        int64_t count = min_i64(steps, span->offset + span->length - first);
        if (count > 0) {
            int64_t begin = old->spans[kept->rows[i]].offset + (first - span->offset);
            TRY(shard_read_values(kept->old, old, begin, count, to));
            first += count;
            steps -= count;
            to += count * shard_step_bytes(track);
        }
    }
    return STATUS_OK;
}

static status_t write_without(const shard_t *shard, const char *to, const char *alias) {
    const shard_content_t *old = shard_content(shard);
    kept_t kept = {
        .old = shard,
        .content = {.importer = text_copy(old->importer),
                    .source = text_copy(old->source),
                    .licence = text_copy(old->licence),
                    .terms = text_copy(old->terms),
                    .track_count = old->track_count,
                    .tracks = alloc_zero(max_i64(old->track_count, 1), sizeof(shard_track_t))}};
    keep_recordings(&kept, alias);
    status_t status = STATUS_OK;
    for (int i = 0; i < old->track_count && status == STATUS_OK; i++) {
        status = keep_track(&kept, &old->tracks[i], &kept.content.tracks[i]);
    }
    if (status == STATUS_OK) {
        const shard_source_t source = {read_kept, &kept};
        status = shard_write(to, &kept.content, &source);
    }
    shard_content_free(&kept.content);
    free(kept.rows);
    return status;
}

static int64_t recordings_of(const shard_content_t *content, const char *alias) {
    int64_t count = 0;
    for (int64_t i = 0; i < content->recording_count; i++) {
        count += strcmp(content->recordings[i].subject, alias) == 0;
    }
    return count;
}

/* A shard with the person is rewritten without, one without is linked (or rewritten, where links
 * are not to be had), one of the person alone goes. */
static status_t copy_shard(const char *from, const char *to, const char *alias, bool *kept_out,
                           int64_t *removed) {
    shard_t *shard;
    TRY(shard_open(from, &shard));
    int64_t count = recordings_of(shard_content(shard), alias);
    *removed += count;
    *kept_out = count < shard_content(shard)->recording_count;
    status_t status = STATUS_OK;
    bool linked = count == 0 && link(from, to) == 0;
    if (*kept_out && !linked) {
        status = write_without(shard, to, alias);
    }
    shard_close(shard);
    return status;
}

static status_t copy_all(const char *dir, const char *aside, const char *alias,
                         const manifest_t *old, manifest_t *manifest, int64_t *removed) {
    for (int i = 0; i < old->file_count; i++) {
        char *from = text_format("%s/%s", dir, old->files[i].name);
        char *to = text_format("%s/%s", aside, old->files[i].name);
        bool kept;
        status_t status = copy_shard(from, to, alias, &kept, removed);
        free(to);
        free(from);
        TRY(status);
        if (kept) {
            TRY(manifest_add_shard(manifest, aside, old->files[i].name));
        }
    }
    if (manifest->file_count == 0) {
        return status_fail(STATUS_INPUT, "%s: holds only this person; remove the directory", dir);
    }
    return STATUS_OK;
}

/* What a kill between two renames of swap_dirs left. */
static status_t recover(const char *dir, const char *old) {
    if (!dir_exists(dir) && dir_exists(old) && rename(old, dir) != 0) {
        return status_fail_errno(STATUS_FAILED, "cannot put %s back to %s", old, dir);
    }
    return dir_remove(old);
}

static status_t swap_dirs(const char *dir, const char *aside, const char *old) {
    if (renameat2(AT_FDCWD, aside, AT_FDCWD, dir, RENAME_EXCHANGE) == 0) {
        return STATUS_OK;
    }
    /* A file system that cannot exchange. */
    if (rename(dir, old) != 0 || rename(aside, dir) != 0) {
        return status_fail_errno(STATUS_FAILED, "cannot put %s into the place of %s", aside, dir);
    }
    return dir_remove(old);
}

typedef struct places {
    char *dir, *aside, *old;
} places_t;

/* The facts are not kept: they were found with the person. Who the backbones of embeddings were
 * trained on stays true, and names nobody. */
static status_t rewrite(const manifest_t *old, const char *alias, const places_t *at) {
    manifest_t manifest = {.importer = text_copy(old->importer),
                           .source = text_copy(old->source),
                           .licence = text_copy(old->licence),
                           .terms = text_copy(old->terms),
                           .key_id = text_copy(old->key_id),
                           .trained_on =
                               old->trained_on != NULL ? text_copy(old->trained_on) : NULL,
                           .window = old->window,
                           .rate_hz = old->rate_hz};
    int64_t removed = 0;
    status_t status = dir_make(at->aside);
    if (status == STATUS_OK) {
        status = copy_all(at->dir, at->aside, alias, old, &manifest, &removed);
    }
    if (status == STATUS_OK && removed > 0) {
        manifest.recordings = old->recordings - removed;
        manifest.subjects = old->subjects - 1;
        status = manifest_write(at->aside, &manifest);
        if (status == STATUS_OK) {
            status = swap_dirs(at->dir, at->aside, at->old);
        }
    }
    manifest_free(&manifest);
    return status;
}

static status_t remove_alias(const char *name, const char *key_file, const places_t *at) {
    manifest_t manifest;
    char *alias = NULL;
    TRY(recover(at->dir, at->old));
    TRY(dir_remove(at->aside)); /* of a run that was killed; may still hold the person */
    TRY(manifest_read(at->dir, &manifest));
    status_t status = key_find(key_file, manifest.key_id, name, &alias);
    if (status == STATUS_OK) {
        status = rewrite(&manifest, alias, at);
        if (dir_remove(at->aside) != STATUS_OK && status == STATUS_OK) {
            status = STATUS_FAILED; /* which still holds the person: the name stays in the key */
        }
    }
    free(alias);
    manifest_free(&manifest);
    return status == STATUS_OK ? key_remove(key_file, name) : status;
}

status_t shard_remove_subject(const char *name, const char *key_file, const char *dir) {
    char *plain = out_directory_name(dir);
    places_t at = {plain, text_format("%s.tmp", plain), text_format("%s.old", plain)};
    status_t status = remove_alias(name, key_file, &at);
    free(at.old);
    free(at.aside);
    free(plain);
    return status;
}
