#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-sharding/h5_file.h"
#include "data-sharding/log_mel.h"
#include "data-sharding/shard.h"
#include "data-sharding/shard_trailer.h"
#include "kernels/base/bytes.h"

struct shard {
    char *path;
    int fd;
    trailer_t trailer;
    shard_content_t content;
};

static status_t get_column(h5_file_t *file, shard_content_t *content, const char *name,
                           size_t member) {
    char **texts;
    int64_t count;
    TRY(h5_get_strings(file, name, &texts, &count));
    if (content->recordings == NULL) {
        content->recordings = alloc_zero(max_i64(count, 1), sizeof *content->recordings);
        content->recording_count = count;
    }
    if (count != content->recording_count) {
        h5_strings_free(texts, count);
        return status_fail(STATUS_INPUT, "%s has %lld rows, not %lld; import it again", name,
                           (long long)count, (long long)content->recording_count);
    }
    for (int64_t i = 0; i < count; i++) {
        memcpy((char *)&content->recordings[i] + member, &texts[i], sizeof texts[i]);
    }
    free(texts);
    return STATUS_OK;
}

static status_t get_recordings(h5_file_t *file, shard_content_t *content) {
    TRY(get_column(file, content, "recordings/name", offsetof(shard_recording_t, name)));
    TRY(get_column(file, content, "recordings/subject", offsetof(shard_recording_t, subject)));
    TRY(get_column(file, content, "recordings/session", offsetof(shard_recording_t, session)));
    TRY(get_column(file, content, "recordings/group", offsetof(shard_recording_t, group)));
    TRY(get_column(file, content, "recordings/split", offsetof(shard_recording_t, split)));
    return get_column(file, content, "recordings/source_hash",
                      offsetof(shard_recording_t, source_hash));
}

/* Recordings follow each other without a gap and fill the track. */
static status_t check_spans(const shard_t *shard, const shard_track_t *track) {
    int64_t recordings = shard->content.recording_count, at = 0, bad = -1;
    for (int64_t i = 0; i < recordings && bad < 0; i++) {
        const shard_span_t *span = &track->spans[i];
        bool fits = span->offset == at && span->length >= 0 && span->length <= track->steps - at;
        bool timed = span->length == 0 ||
                     (isfinite(span->start_s) && isfinite(span->rate_hz) && span->rate_hz > 0.0);
        bad = fits && timed ? -1 : i;
        at += fits ? span->length : 0;
    }
    if (bad >= 0 || at != track->steps) {
        return status_fail(STATUS_INPUT,
                           "shard %s: the index of %s does not fit its values at row %lld; import "
                           "it again",
                           shard->path, track->name, (long long)(bad >= 0 ? bad : recordings));
    }
    return STATUS_OK;
}

static status_t unfitting(const shard_t *shard, const char *group, const shard_track_t *track) {
    return status_fail(STATUS_INPUT, "shard %s: %s/%s has unfitting shapes; import it again",
                       shard->path, group, track->name);
}

/* Before version 3 all tracks were features. */
static status_t get_kind(h5_file_t *file, const shard_t *shard, const char *group,
                         shard_track_t *track) {
    char *path = text_format("%s/%s", group, track->name), *kind = NULL;
    status_t status = STATUS_OK;
    if (h5_has_attribute(file, path, "kind")) {
        status = h5_get_text(file, path, "kind", &kind);
    }
    if (status == STATUS_OK && kind != NULL && !track_kind_find(kind, &track->kind)) {
        status = status_fail(STATUS_INPUT,
                             "shard %s: %s is of a kind \"%s\" that this program does not know; "
                             "use the jmt that wrote it",
                             shard->path, path, kind);
    }
    if (status == STATUS_OK && track->kind == TRACK_PIXELS) {
        status = h5_get_shape(file, path, "shape", track->shape);
    }
    free(kind);
    free(path);
    return status;
}

static bool fits(const shard_track_t *track, const h5_extent_t *values, const h5_extent_t *valid) {
    int64_t dim = values->columns;
    const int64_t *shape = track->shape;
    bool whole = track->kind != TRACK_PIXELS ||
                 (shape[0] > 0 && shape[1] > 0 && shape[2] > 0 && shape[0] <= dim &&
                  shape[1] <= dim / shape[0] && shape[2] == dim / shape[0] / shape[1] &&
                  dim % (shape[0] * shape[1]) == 0);
    bool plain = track->is_target              ? dim == 1 && track->kind == TRACK_FEATURES
                 : track_is_sound(track->kind) ? dim == LOG_MEL_BANDS
                                               : true;
    return dim > 0 && values->rows == valid->rows && whole && plain;
}

static status_t get_track(h5_file_t *file, shard_t *shard, const char *group,
                          shard_track_t *track) {
    h5_extent_t values, valid;
    TRY(get_kind(file, shard, group, track));
    char *path = text_format("%s/%s/values", group, track->name);
    array_type_t type = track->kind == TRACK_PIXELS ? ARRAY_BYTE : ARRAY_FLOAT32;
    status_t status = h5_get_extent(file, path, type, &values);
    free(path);
    TRY(status);
    path = text_format("%s/%s/valid", group, track->name);
    status = h5_get_extent(file, path, ARRAY_BYTE, &valid);
    free(path);
    TRY(status);
    if (!fits(track, &values, &valid)) {
        return unfitting(shard, group, track);
    }
    track->dim = values.columns;
    track->steps = values.rows;
    track->values_at = values.offset;
    track->valid_at = valid.offset;
    path = text_format("%s/%s/index", group, track->name);
    void *spans;
    status = h5_get_spans(file, path, shard->content.recording_count, &spans);
    free(path);
    TRY(status);
    track->spans = spans;
    return check_spans(shard, track);
}

static status_t get_tracks(h5_file_t *file, shard_t *shard, const char *group, bool is_target) {
    char **names;
    int64_t count;
    TRY(h5_list(file, group, &names, &count));
    status_t status = STATUS_OK;
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        shard_content_t *content = &shard->content;
        content->tracks = array_grow(content->tracks, content->track_count, sizeof(shard_track_t));
        shard_track_t *track = &content->tracks[content->track_count++];
        *track = (shard_track_t){.name = text_copy(names[i]), .is_target = is_target};
        status = get_track(file, shard, group, track);
    }
    h5_strings_free(names, count);
    return status;
}

static status_t get_content(h5_file_t *file, shard_t *shard) {
    shard_content_t *content = &shard->content;
    TRY(h5_get_text(file, "/", "importer", &content->importer));
    TRY(h5_get_text(file, "/", "source", &content->source));
    TRY(h5_get_text(file, "/", "licence", &content->licence));
    TRY(h5_get_text(file, "/", "terms", &content->terms));
    TRY(get_recordings(file, content));
    TRY(get_tracks(file, shard, "modalities", false));
    return get_tracks(file, shard, "targets", true);
}

static status_t check_structure(const shard_t *shard) {
    char *buffer = alloc_aligned(RANGE_BYTES_MAX);
    status_t status = STATUS_OK;
    for (int64_t i = 0; i < shard->trailer.range_count && status == STATUS_OK; i++) {
        if (shard->trailer.ranges[i].kind == RANGE_STRUCTURE) {
            status = trailer_check(&shard->trailer, shard->fd, shard->path, i, buffer);
        }
    }
    free(buffer);
    return status;
}

static status_t open_verified(shard_t *shard) {
    shard->fd = open(shard->path, O_RDONLY | O_CLOEXEC);
    if (shard->fd < 0) {
        if (errno == ENOENT) {
            return status_fail(STATUS_INPUT, "shard %s: missing; restore it or import again",
                               shard->path);
        }
        return status_fail_errno(STATUS_FAILED, "shard %s: cannot open", shard->path);
    }
    TRY(trailer_read(shard->fd, shard->path, &shard->trailer));
    TRY(check_structure(shard));
    h5_file_t *file;
    TRY(h5_open(shard->path, &file));
    status_t status = get_content(file, shard);
    status_t closed = h5_close(file);
    return status != STATUS_OK ? status : closed;
}

status_t shard_open(const char *path, shard_t **shard_out) {
    shard_t *shard = alloc_zero(1, sizeof *shard);
    shard->path = text_copy(path);
    status_t status = open_verified(shard);
    if (status != STATUS_OK) {
        shard_close(shard);
        return status;
    }
    *shard_out = shard;
    return STATUS_OK;
}

void shard_close(shard_t *shard) {
    if (shard == NULL) {
        return;
    }
    if (shard->fd >= 0) {
        close(shard->fd);
    }
    shard_content_free(&shard->content);
    trailer_free(&shard->trailer);
    free(shard->path);
    free(shard);
}

const shard_content_t *shard_content(const shard_t *shard) { return &shard->content; }

const shard_track_t *shard_track(const shard_t *shard, const char *name, bool is_target) {
    for (int i = 0; i < shard->content.track_count; i++) {
        const shard_track_t *track = &shard->content.tracks[i];
        if (track->is_target == is_target && strcmp(track->name, name) == 0) {
            return track;
        }
    }
    return NULL;
}

const void *shard_trailer(const shard_t *shard, int64_t *bytes_out) {
    *bytes_out = shard->trailer.bytes;
    return shard->trailer.data;
}

status_t shard_read_values(const shard_t *shard, const shard_track_t *track, int64_t first,
                           int64_t steps, void *values_out) {
    REQUIRE(first >= 0 && steps >= 0 && first + steps <= track->steps);
    int64_t step_bytes = shard_step_bytes(track);
    return trailer_pread(&shard->trailer, shard->fd, shard->path,
                         track->values_at + first * step_bytes, steps * step_bytes, values_out);
}

status_t shard_read_valid(const shard_t *shard, const shard_track_t *track, int64_t first,
                          int64_t steps, uint8_t *valid_out) {
    REQUIRE(first >= 0 && steps >= 0 && first + steps <= track->steps);
    return trailer_pread(&shard->trailer, shard->fd, shard->path, track->valid_at + first, steps,
                         valid_out);
}
