#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data-sharding/h5_file.h"
#include "data-sharding/shard.h"
#include "data-sharding/shard_trailer.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

typedef struct bulk_list {
    trailer_range_t *ranges;
    int64_t count;
} bulk_list_t;

void shard_content_free(shard_content_t *content) {
    for (int64_t i = 0; i < content->recording_count; i++) {
        shard_recording_t *r = &content->recordings[i];
        free(r->name);
        free(r->subject);
        free(r->session);
        free(r->group);
        free(r->split);
        free(r->source_hash);
    }
    for (int i = 0; i < content->track_count; i++) {
        free(content->tracks[i].name);
        free(content->tracks[i].spans);
        free(content->tracks[i].values);
        free(content->tracks[i].valid);
    }
    free(content->recordings);
    free(content->tracks);
    free(content->importer);
    free(content->source);
    free(content->licence);
    free(content->terms);
    *content = (shard_content_t){0};
}

static void bulk_add(bulk_list_t *list, int64_t offset, int64_t bytes) {
    for (int64_t part; bytes > 0; offset += part, bytes -= part) {
        part = min_i64(bytes, RANGE_BYTES_MAX);
        list->ranges = array_grow(list->ranges, list->count, sizeof *list->ranges);
        list->ranges[list->count++] =
            (trailer_range_t){(uint64_t)offset, (uint64_t)part, 0, RANGE_BULK};
    }
}

/* Short recordings share a block; one that is longer than a block begins one, and is cut. */
static void bulk_blocks(bulk_list_t *list, const shard_track_t *track, int64_t recordings,
                        int64_t file_offset, int64_t step_bytes) {
    int64_t begin = 0, end = 0;
    for (int64_t i = 0; i < recordings; i++) {
        int64_t next = track->spans[i].offset + track->spans[i].length;
        if (end > begin && (next - begin) * step_bytes > RANGE_BYTES_MAX) {
            bulk_add(list, file_offset + begin * step_bytes, (end - begin) * step_bytes);
            begin = end;
        }
        end = next;
    }
    bulk_add(list, file_offset + begin * step_bytes, (end - begin) * step_bytes);
}

static void bulk_pictures(bulk_list_t *list, const shard_track_t *track, int64_t file_offset,
                          int64_t step_bytes) {
    int64_t together = range_pictures(step_bytes);
    for (int64_t step = 0; step < track->steps; step += together) {
        int64_t steps = min_i64(together, track->steps - step);
        bulk_add(list, file_offset + step * step_bytes, steps * step_bytes);
    }
}

static char *track_path(const shard_track_t *track, const char *leaf) {
    return text_format("%s/%s%s%s", track->is_target ? "targets" : "modalities", track->name,
                       leaf[0] != '\0' ? "/" : "", leaf);
}

static status_t put_track_array(h5_file_t *file, const shard_track_t *track, const char *leaf,
                                array_type_t type, int64_t rows, int64_t columns,
                                const void *data) {
    char *path = track_path(track, leaf);
    status_t status = h5_put_array(file, path, type, rows, columns, data);
    free(path);
    return status;
}

static array_type_t values_type(const shard_track_t *track) {
    return track->kind == TRACK_PIXELS ? ARRAY_BYTE : ARRAY_FLOAT32;
}

static status_t put_track_group(h5_file_t *file, const shard_track_t *track) {
    char *path = track_path(track, "");
    status_t status = h5_put_group(file, path);
    free(path);
    return status;
}

static status_t put_values(h5_file_t *file, const shard_track_t *track) {
    return put_track_array(file, track, "values", values_type(track), track->steps, track->dim,
                           track->values);
}

static status_t put_track(h5_file_t *file, const shard_track_t *track, int64_t recordings,
                          bool begun) {
    if (!begun) {
        TRY(put_track_group(file, track));
    }
    char *path = track_path(track, "");
    status_t status = h5_put_text(file, path, "kind", track_kind_name(track->kind));
    if (status == STATUS_OK && track->kind == TRACK_PIXELS) {
        status = h5_put_shape(file, path, "shape", track->shape);
    }
    free(path);
    TRY(status);
    TRY(put_track_array(file, track, "index", ARRAY_SPAN, recordings, 0, track->spans));
    if (!begun) {
        TRY(put_values(file, track));
    }
    return put_track_array(file, track, "valid", ARRAY_BYTE, track->steps, 0, track->valid);
}

static status_t put_column(h5_file_t *file, const shard_content_t *content, const char *name,
                           size_t member) {
    char **texts = alloc_zero(max_i64(content->recording_count, 1), sizeof *texts);
    for (int64_t i = 0; i < content->recording_count; i++) {
        const char *recording = (const char *)&content->recordings[i];
        memcpy(&texts[i], recording + member, sizeof texts[i]);
    }
    status_t status = h5_put_strings(file, name, texts, content->recording_count);
    free(texts);
    return status;
}

/* ahead: the track whose values come first in the file; -1: none. */
static status_t put_content(h5_file_t *file, const shard_content_t *content, int ahead) {
    if (ahead >= 0) {
        TRY(h5_put_group(file, "modalities"));
        TRY(put_track_group(file, &content->tracks[ahead]));
        TRY(put_values(file, &content->tracks[ahead]));
    }
    TRY(h5_put_text(file, "/", "format", "jmt-shard"));
    TRY(h5_put_integer(file, "format_version", SHARD_VERSION));
    TRY(h5_put_text(file, "/", "importer", content->importer));
    TRY(h5_put_text(file, "/", "source", content->source));
    TRY(h5_put_text(file, "/", "licence", content->licence));
    TRY(h5_put_text(file, "/", "terms", content->terms));
    TRY(h5_put_group(file, "recordings"));
    TRY(put_column(file, content, "recordings/name", offsetof(shard_recording_t, name)));
    TRY(put_column(file, content, "recordings/subject", offsetof(shard_recording_t, subject)));
    TRY(put_column(file, content, "recordings/session", offsetof(shard_recording_t, session)));
    TRY(put_column(file, content, "recordings/group", offsetof(shard_recording_t, group)));
    TRY(put_column(file, content, "recordings/split", offsetof(shard_recording_t, split)));
    TRY(put_column(file, content, "recordings/source_hash",
                   offsetof(shard_recording_t, source_hash)));
    if (ahead < 0) {
        TRY(h5_put_group(file, "modalities"));
    }
    TRY(h5_put_group(file, "targets"));
    for (int i = 0; i < content->track_count; i++) {
        TRY(put_track(file, &content->tracks[i], content->recording_count, i == ahead));
    }
    return STATUS_OK;
}

/* at_out: where the array lies; -1: it has no bytes. */
static status_t find_bulk(h5_file_t *file, const shard_track_t *track, const char *leaf,
                          array_type_t type, int64_t *at_out) {
    char *path = track_path(track, leaf);
    h5_extent_t extent;
    status_t status = h5_get_extent(file, path, type, &extent);
    free(path);
    TRY(status);
    *at_out = extent.offset;
    return STATUS_OK;
}

static status_t add_bulk(h5_file_t *file, const shard_content_t *content,
                         const shard_track_t *track, bulk_list_t *list, int64_t *values_at) {
    bool pictures = track->kind == TRACK_PIXELS;
    int64_t valid_at = -1;
    TRY(find_bulk(file, track, "values", values_type(track), values_at));
    TRY(find_bulk(file, track, "valid", ARRAY_BYTE, &valid_at));
    if (*values_at >= 0 && pictures) {
        bulk_pictures(list, track, *values_at, shard_step_bytes(track));
    } else if (*values_at >= 0) {
        bulk_blocks(list, track, content->recording_count, *values_at, shard_step_bytes(track));
    }
    if (valid_at >= 0) {
        bulk_blocks(list, track, content->recording_count, valid_at, 1);
    }
    return STATUS_OK;
}

static int by_offset(const void *a, const void *b) {
    uint64_t x = ((const trailer_range_t *)a)->offset, y = ((const trailer_range_t *)b)->offset;
    return x < y ? -1 : x > y;
}

static status_t list_bulk(const char *path, const shard_content_t *content, bulk_list_t *list,
                          int64_t *values_at) {
    h5_file_t *file;
    TRY(h5_open(path, &file));
    status_t status = STATUS_OK;
    for (int i = 0; i < content->track_count && status == STATUS_OK; i++) {
        status = add_bulk(file, content, &content->tracks[i], list, &values_at[i]);
    }
    status_t closed = h5_close(file);
    if (list->count > 0) {
        qsort(list->ranges, (size_t)list->count, sizeof *list->ranges, by_offset);
    }
    return status != STATUS_OK ? status : closed;
}

/* The first range that does not begin before `offset`. */
static int64_t first_range(const bulk_list_t *list, int64_t offset) {
    int64_t low = 0, high = list->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if ((int64_t)list->ranges[middle].offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Pieces of pictures hold whole blocks, which are hashed while the cache has them. */
static status_t pour_track(int fd, const char *path, const shard_track_t *track, int index,
                           const shard_source_t *source, bulk_list_t *bulk, int64_t values_at) {
    enum { PIECE_BYTES = 1 << 18 };
    int64_t step_bytes = shard_step_bytes(track), together = range_pictures(step_bytes);
    int64_t room = max_i64(PIECE_BYTES / (step_bytes * together), 1) * together;
    int64_t range = first_range(bulk, values_at), begun = values_at;
    char *piece = alloc_aligned((size_t)(room * step_bytes));
    status_t status = STATUS_OK;
    for (int64_t step = 0; step < track->steps && status == STATUS_OK; step += room) {
        int64_t steps = min_i64(room, track->steps - step), bytes = steps * step_bytes;
        int64_t at = values_at + step * step_bytes;
        status = source->ahead != NULL && index == source->ahead_track
                     ? shard_ahead_read(source->ahead, step, steps, piece)
                     : source->read(source->context, index, step, steps, piece);
        if (status == STATUS_OK && track->kind == TRACK_PIXELS) {
            range = trailer_hash(bulk->ranges, range, bulk->count, at, bytes, piece);
        }
        if (status == STATUS_OK) {
            status = file_pwrite(fd, path, at, bytes, piece);
        }
        file_begin_sync(fd, &begun, at + bytes);
    }
    free(piece);
    return status;
}

/* Values that are not in memory go to their place in the file piece by piece. */
static status_t pour(int fd, const char *path, const shard_content_t *content,
                     const shard_source_t *source, bulk_list_t *bulk, const int64_t *values_at) {
    for (int i = 0; i < content->track_count; i++) {
        const shard_track_t *track = &content->tracks[i];
        if (track->values == NULL && values_at[i] >= 0) {
            REQUIRE(source != NULL);
            TRY(pour_track(fd, path, track, i, source, bulk, values_at[i]));
        }
    }
    return STATUS_OK;
}

static status_t seal(const char *path, const shard_content_t *content, const shard_source_t *source,
                     bulk_list_t *bulk, const int64_t *values_at) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return status_fail_errno(STATUS_FAILED, "shard %s: cannot open", path);
    }
    status_t status = pour(fd, path, content, source, bulk, values_at);
    if (status == STATUS_OK) {
        status = trailer_append(fd, path, bulk->ranges, bulk->count);
    }
    if (status == STATUS_OK && fsync(fd) != 0) {
        status = status_fail_errno(STATUS_FAILED, "shard %s: cannot write", path);
    }
    if (close(fd) != 0 && status == STATUS_OK) {
        status = status_fail_errno(STATUS_FAILED, "shard %s: cannot write", path);
    }
    return status;
}

static status_t write_structure(const char *path, const shard_content_t *content, int ahead) {
    h5_file_t *file;
    TRY(ahead < 0 ? h5_create(path, &file)
                  : h5_create_aligned(path, SHARD_AHEAD_LEAST, SHARD_AHEAD_AT, &file));
    status_t status = put_content(file, content, ahead);
    status_t closed = h5_close(file);
    return status != STATUS_OK ? status : closed;
}

/* What HDF5 made at `path` goes around the values that are there, whose checksums are known. */
static status_t graft(const char *path, const shard_ahead_t *ahead, bulk_list_t *bulk) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return status_fail_errno(STATUS_FAILED, "shard %s: cannot open", path);
    }
    status_t status = shard_ahead_graft(ahead, fd, path);
    close(fd);
    int64_t first = first_range(bulk, SHARD_AHEAD_AT);
    for (int64_t i = first; i < bulk->count; i++) {
        bulk->ranges[i].hash = shard_ahead_hash(ahead, i - first);
    }
    return status;
}

/* made_out: the file that the shard is to be. Values that lie ahead are where HDF5 expects them, or
 * there are so few that it expects them elsewhere: then they are read like others. */
static status_t write_aside(const char *path, const shard_content_t *content,
                            const shard_source_t *source, const char **made_out) {
    int ahead = source != NULL && source->ahead != NULL ? source->ahead_track : -1;
    TRY(write_structure(path, content, ahead));
    bulk_list_t bulk = {0};
    int64_t *values_at = alloc_zero(max_i64(content->track_count, 1), sizeof *values_at);
    status_t status = list_bulk(path, content, &bulk, values_at);
    *made_out = path;
    if (status == STATUS_OK && ahead >= 0 && values_at[ahead] == SHARD_AHEAD_AT) {
        status = graft(path, source->ahead, &bulk);
        values_at[ahead] = -1;
        *made_out = shard_ahead_path(source->ahead);
    }
    if (status == STATUS_OK) {
        status = seal(*made_out, content, source, &bulk, values_at);
    }
    free(values_at);
    free(bulk.ranges);
    return status;
}

status_t shard_write(const char *path, const shard_content_t *content,
                     const shard_source_t *source) {
    char *aside = text_format("%s.tmp", path);
    const char *made = aside;
    status_t status = write_aside(aside, content, source, &made);
    if (status == STATUS_OK && rename(made, path) != 0) {
        status = status_fail_errno(STATUS_FAILED, "shard %s: cannot rename into place", path);
    }
    if (status != STATUS_OK || made != aside) {
        unlink(aside);
    }
    if (status == STATUS_OK) {
        const char *slash = strrchr(path, '/');
        char *parent = slash == NULL ? text_copy(".")
                                     : text_format("%.*s", (int)max_i64(slash - path, 1), path);
        status = dir_sync(parent);
        free(parent);
    }
    free(aside);
    return status;
}
