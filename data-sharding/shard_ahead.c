#include "data-sharding/shard_ahead.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data-sharding/shard_trailer.h"
#include "kernels/base/bytes.h"

struct shard_ahead {
    char *path;
    int fd;
    int64_t step_bytes, steps;
    int64_t together; /* steps of a block, or of `parts` blocks */
    int64_t parts, group_bytes;
    uint64_t *hashes; /* [groups][parts]; 0: not known */
    int64_t groups;
    int64_t begun; /* file_begin_sync */
};

status_t shard_ahead_open(const char *path, int64_t step_bytes, shard_ahead_t **ahead_out) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return status_fail_errno(STATUS_FAILED, "shard %s: cannot create it", path);
    }
    shard_ahead_t *ahead = alloc_zero(1, sizeof *ahead);
    ahead->path = text_copy(path);
    ahead->fd = fd;
    ahead->step_bytes = step_bytes;
    ahead->together = range_pictures(step_bytes);
    ahead->group_bytes = ahead->together * step_bytes;
    ahead->parts = (ahead->group_bytes + RANGE_BYTES_MAX - 1) / RANGE_BYTES_MAX;
    *ahead_out = ahead;
    return STATUS_OK;
}

void shard_ahead_close(shard_ahead_t *ahead) {
    if (ahead != NULL) {
        close(ahead->fd);
        unlink(ahead->path);
        free(ahead->hashes);
        free(ahead->path);
        free(ahead);
    }
}

const char *shard_ahead_path(const shard_ahead_t *ahead) { return ahead->path; }

uint64_t shard_ahead_hash(const shard_ahead_t *ahead, int64_t block) {
    return block < ahead->groups * ahead->parts ? ahead->hashes[block] : 0;
}

/* Of the groups that are whole within these steps, while the cache has them; a group that spans two
 * recordings is read again by trailer_append. */
static void hash_groups(shard_ahead_t *ahead, int64_t first, int64_t steps, const char *data) {
    int64_t group = (first + ahead->together - 1) / ahead->together;
    int64_t end = (first + steps) / ahead->together;
    for (; ahead->groups < end; ahead->groups++) {
        for (int64_t p = 0; p < ahead->parts; p++) {
            int64_t count = ahead->groups * ahead->parts + p;
            ahead->hashes = array_grow(ahead->hashes, count, sizeof *ahead->hashes);
            ahead->hashes[count] = 0;
        }
    }
    for (; group < end; group++) {
        const char *at = data + (group * ahead->together - first) * ahead->step_bytes;
        for (int64_t p = 0, done = 0; p < ahead->parts; p++, done += RANGE_BYTES_MAX) {
            int64_t bytes = min_i64(RANGE_BYTES_MAX, ahead->group_bytes - done);
            ahead->hashes[group * ahead->parts + p] = range_hash(at + done, (size_t)bytes);
        }
    }
}

status_t shard_ahead_add(shard_ahead_t *ahead, const steps_file_t *file) {
    enum { PIECE_BYTES = 1 << 18 };
    int64_t count = steps_file_count(file);
    int64_t most = max_i64(PIECE_BYTES / ahead->step_bytes, 1);
    char *piece = alloc_aligned((size_t)(most * ahead->step_bytes));
    status_t status = STATUS_OK;
    for (int64_t step = 0; step < count && status == STATUS_OK; step += most) {
        int64_t steps = min_i64(most, count - step), bytes = steps * ahead->step_bytes;
        int64_t at = SHARD_AHEAD_AT + ahead->steps * ahead->step_bytes;
        const void *data = NULL;
        status = steps_file_view(file, step, steps, piece, &data);
        if (status == STATUS_OK) {
            hash_groups(ahead, ahead->steps, steps, data);
            status = file_pwrite(ahead->fd, ahead->path, at, bytes, data);
            ahead->steps += steps;
            file_begin_sync(ahead->fd, &ahead->begun, at + bytes);
        }
    }
    free(piece);
    return status;
}

status_t shard_ahead_read(const shard_ahead_t *ahead, int64_t first, int64_t steps, void *out) {
    return file_pread(ahead->fd, ahead->path, SHARD_AHEAD_AT + first * ahead->step_bytes,
                      steps * ahead->step_bytes, out);
}

static status_t copy_range(int from, const char *from_path, int to, const char *to_path,
                           int64_t begin, int64_t end) {
    enum { PIECE_BYTES = 1 << 18 };
    char *piece = alloc_aligned(PIECE_BYTES);
    status_t status = STATUS_OK;
    for (int64_t at = begin; at < end && status == STATUS_OK; at += PIECE_BYTES) {
        int64_t bytes = min_i64(PIECE_BYTES, end - at);
        status = file_pread(from, from_path, at, bytes, piece);
        if (status == STATUS_OK) {
            status = file_pwrite(to, to_path, at, bytes, piece);
        }
    }
    free(piece);
    return status;
}

status_t shard_ahead_graft(const shard_ahead_t *ahead, int fd, const char *path) {
    int64_t end = SHARD_AHEAD_AT + ahead->steps * ahead->step_bytes;
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return status_fail_errno(STATUS_FAILED, "shard %s: cannot read its length", path);
    }
    REQUIRE(end <= info.st_size);
    TRY(copy_range(fd, path, ahead->fd, ahead->path, 0, SHARD_AHEAD_AT));
    return copy_range(fd, path, ahead->fd, ahead->path, end, info.st_size);
}
