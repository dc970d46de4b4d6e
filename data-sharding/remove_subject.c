#include "data-sharding/remove_subject.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-sharding/alias.h"
#include "data-sharding/manifest.h"
#include "data-sharding/shard.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

static void free_recording(shard_recording_t *r) {
    free(r->name);
    free(r->subject);
    free(r->session);
    free(r->group);
    free(r->split);
    free(r->source_hash);
}

/* Packs the steps of the kept recordings to the front. */
static void keep_track(shard_track_t *track, const bool *keep, int64_t recordings) {
    int64_t steps = 0, kept = 0;
    for (int64_t i = 0; i < recordings; i++) {
        if (!keep[i]) {
            continue;
        }
        shard_span_t span = track->spans[i];
        memmove(track->values + steps * track->dim, track->values + span.offset * track->dim,
                (size_t)(span.length * track->dim) * sizeof(float));
        memmove(track->valid + steps, track->valid + span.offset, (size_t)span.length);
        span.offset = steps;
        track->spans[kept++] = span;
        steps += span.length;
    }
    track->steps = steps;
}

static void drop_subject(shard_content_t *content, const char *alias) {
    bool *keep = alloc_zero(max_i64(content->recording_count, 1), sizeof *keep);
    for (int64_t i = 0; i < content->recording_count; i++) {
        keep[i] = strcmp(content->recordings[i].subject, alias) != 0;
    }
    for (int i = 0; i < content->track_count; i++) {
        keep_track(&content->tracks[i], keep, content->recording_count);
    }
    int64_t kept = 0;
    for (int64_t i = 0; i < content->recording_count; i++) {
        if (keep[i]) {
            content->recordings[kept++] = content->recordings[i];
        } else {
            free_recording(&content->recordings[i]);
        }
    }
    content->recording_count = kept;
    free(keep);
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
        shard_content_t content = {0};
        status = shard_load(shard, &content);
        if (status == STATUS_OK) {
            drop_subject(&content, alias);
            status = shard_write(to, &content);
        }
        shard_content_free(&content);
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

/* The facts are not kept: they were found with the person. */
static status_t rewrite(const manifest_t *old, const char *alias, const places_t *at) {
    manifest_t manifest = {.importer = text_copy(old->importer),
                           .source = text_copy(old->source),
                           .licence = text_copy(old->licence),
                           .terms = text_copy(old->terms),
                           .key_id = text_copy(old->key_id),
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
    char *plain = text_copy(dir);
    for (size_t end = strlen(plain); end > 1 && plain[end - 1] == '/'; end--) {
        plain[end - 1] = '\0';
    }
    places_t at = {plain, text_format("%s.tmp", plain), text_format("%s.old", plain)};
    status_t status = remove_alias(name, key_file, &at);
    free(at.old);
    free(at.aside);
    free(plain);
    return status;
}
