#include "data-sharding/shard_trailer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "data-sharding/shard.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

static const char HEAD_MAGIC[8] = {'J', 'M', 'T', 'R', 'A', 'N', 'G', 'E'};
static const char FOOT_MAGIC[8] = {'J', 'M', 'T', 'S', 'H', 'A', 'R', 'D'};
static const char HDF5_MAGIC[8] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};

typedef struct trailer_head {
    char magic[8];
    uint64_t version, hdf5_bytes, range_count;
} trailer_head_t;

typedef struct trailer_foot {
    uint64_t hash; /* of the trailer before this field, seeded with the trailer's length */
    uint64_t trailer_bytes;
    char magic[8];
} trailer_foot_t;

static int64_t add_range(trailer_range_t **ranges, int64_t count, const trailer_range_t *range) {
    for (uint64_t done = 0, part; done < range->bytes; done += part) {
        uint64_t left = range->bytes - done;
        part = left < RANGE_BYTES_MAX ? left : RANGE_BYTES_MAX;
        uint64_t hash = part == range->bytes ? range->hash : 0;
        *ranges = array_grow(*ranges, count, sizeof **ranges);
        (*ranges)[count++] = (trailer_range_t){range->offset + done, part, hash, range->kind};
    }
    return count;
}

uint64_t range_hash(const void *data, size_t bytes) { return XXH3_64bits(data, bytes); }

int64_t trailer_hash(trailer_range_t *ranges, int64_t first, int64_t count, int64_t offset,
                     int64_t bytes, const void *data) {
    const char *at = data;
    uint64_t begin = (uint64_t)offset, end = begin + (uint64_t)bytes;
    for (; first < count && ranges[first].offset + ranges[first].bytes <= end; first++) {
        trailer_range_t *r = &ranges[first];
        REQUIRE(r->offset >= begin);
        r->hash = range_hash(at + (r->offset - begin), (size_t)r->bytes);
    }
    return first;
}

/* They follow each other, so that many are read at once; those that have their hash are skipped. */
static status_t hash_ranges(int fd, const char *path, trailer_range_t *ranges, int64_t count) {
    enum { PIECE_BYTES = 1 << 18 };
    char *piece = alloc_aligned(PIECE_BYTES);
    status_t status = STATUS_OK;
    for (int64_t i = 0, end = 0; i < count && status == STATUS_OK; i = max_i64(end, i + 1)) {
        int64_t bytes = 0, offset = (int64_t)ranges[i].offset;
        for (end = i; end < count && ranges[end].hash == 0 &&
                      bytes + (int64_t)ranges[end].bytes <= PIECE_BYTES;
             end++) {
            bytes += (int64_t)ranges[end].bytes;
        }
        status = bytes > 0 ? file_pread(fd, path, offset, bytes, piece) : STATUS_OK;
        if (status == STATUS_OK) {
            trailer_hash(ranges, i, end, offset, bytes, piece);
        }
    }
    free(piece);
    return status;
}

status_t trailer_append(int fd, const char *path, const trailer_range_t *bulk, int64_t bulk_count) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return status_fail_errno(STATUS_FAILED, "shard %s: cannot read its length", path);
    }
    uint64_t end = (uint64_t)info.st_size, at = 0;
    trailer_range_t *ranges = NULL;
    int64_t count = 0;
    for (int64_t i = 0; i < bulk_count; i++) {
        REQUIRE(bulk[i].offset >= at && bulk[i].offset + bulk[i].bytes <= end);
        const trailer_range_t before = {at, bulk[i].offset - at, 0, RANGE_STRUCTURE};
        count = add_range(&ranges, count, &before);
        count = add_range(&ranges, count, &bulk[i]);
        at = bulk[i].offset + bulk[i].bytes;
    }
    const trailer_range_t rest = {at, end - at, 0, RANGE_STRUCTURE};
    count = add_range(&ranges, count, &rest);

    status_t status = hash_ranges(fd, path, ranges, count);
    size_t range_bytes = (size_t)count * sizeof *ranges;
    size_t bytes = sizeof(trailer_head_t) + range_bytes + sizeof(trailer_foot_t);
    char *data = alloc_zero((int64_t)bytes, 1);
    trailer_head_t head = {.version = SHARD_VERSION, .hdf5_bytes = end};
    head.range_count = (uint64_t)count;
    memcpy(head.magic, HEAD_MAGIC, sizeof head.magic);
    memcpy(data, &head, sizeof head);
    memcpy(data + sizeof head, ranges, range_bytes);
    trailer_foot_t foot = {.trailer_bytes = bytes};
    foot.hash = XXH3_64bits_withSeed(data, sizeof head + range_bytes, bytes);
    memcpy(foot.magic, FOOT_MAGIC, sizeof foot.magic);
    memcpy(data + sizeof head + range_bytes, &foot, sizeof foot);
    if (status == STATUS_OK) {
        status = file_pwrite(fd, path, (int64_t)end, (int64_t)bytes, data);
    }
    free(data);
    free(ranges);
    return status;
}

/* No trailer where one should be: say which of the usual causes it looks like. */
static status_t no_trailer(int fd, const char *path, int64_t file_bytes) {
    char magic[8] = {0};
    if (file_bytes >= 8) {
        TRY(file_pread(fd, path, 0, 8, magic));
    }
    if (memcmp(magic, HDF5_MAGIC, 8) == 0) {
        return status_fail(STATUS_INPUT,
                           "shard %s: truncated, or an HDF5 file that is no shard: no checksums at "
                           "its end; restore it or import again",
                           path);
    }
    return status_fail(STATUS_INPUT,
                       "shard %s: not a shard (%lld bytes); restore it or import again", path,
                       (long long)file_bytes);
}

static status_t check_ranges(const char *path, const trailer_head_t *head,
                             const trailer_range_t *ranges) {
    uint64_t at = 0;
    for (uint64_t i = 0; i < head->range_count; i++) {
        if (ranges[i].offset != at || ranges[i].bytes == 0 || ranges[i].bytes > RANGE_BYTES_MAX ||
            ranges[i].kind > RANGE_BULK) {
            return status_fail(STATUS_FAILED, "shard %s: its checksum table has gaps; import again",
                               path);
        }
        at += ranges[i].bytes;
    }
    if (at != head->hdf5_bytes) {
        return status_fail(STATUS_FAILED, "shard %s: its checksum table has gaps; import again",
                           path);
    }
    return STATUS_OK;
}

static status_t check_trailer(const char *path, int64_t file_bytes, trailer_t *trailer) {
    trailer_head_t head;
    trailer_foot_t foot;
    int64_t foot_at = trailer->bytes - (int64_t)sizeof foot;
    memcpy(&head, trailer->data, sizeof head);
    memcpy(&foot, trailer->data + foot_at, sizeof foot);
    uint64_t hash = XXH3_64bits_withSeed(trailer->data, (size_t)foot_at, (uint64_t)trailer->bytes);
    if (hash != foot.hash || memcmp(head.magic, HEAD_MAGIC, sizeof head.magic) != 0) {
        return status_fail(STATUS_FAILED,
                           "shard %s: damaged in its checksum table at byte %lld; restore it or "
                           "import again",
                           path, (long long)(file_bytes - trailer->bytes));
    }
    if (head.version < SHARD_VERSION_OLDEST || head.version > SHARD_VERSION) {
        return status_fail(STATUS_INPUT,
                           "shard %s: format version %llu, this program reads %d to %d; use the "
                           "jmt that wrote it or import again",
                           path, (unsigned long long)head.version, SHARD_VERSION_OLDEST,
                           SHARD_VERSION);
    }
    uint64_t expected = sizeof head + head.range_count * sizeof(trailer_range_t) + sizeof foot;
    if (head.range_count > (uint64_t)trailer->bytes || expected != (uint64_t)trailer->bytes ||
        head.hdf5_bytes + expected != (uint64_t)file_bytes) {
        return status_fail(STATUS_INPUT,
                           "shard %s: its length does not match its checksum table; restore it or "
                           "import again",
                           path);
    }
    trailer->range_count = (int64_t)head.range_count;
    trailer->ranges = (const trailer_range_t *)(const void *)(trailer->data + sizeof head);
    return check_ranges(path, &head, trailer->ranges);
}

status_t trailer_read(int fd, const char *path, trailer_t *trailer_out) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return status_fail_errno(STATUS_FAILED, "shard %s: cannot read its length", path);
    }
    int64_t file_bytes = (int64_t)info.st_size;
    int64_t least = (int64_t)(sizeof(trailer_head_t) + sizeof(trailer_foot_t));
    if (file_bytes < least) {
        return no_trailer(fd, path, file_bytes);
    }
    trailer_foot_t foot;
    TRY(file_pread(fd, path, file_bytes - (int64_t)sizeof foot, sizeof foot, &foot));
    if (memcmp(foot.magic, FOOT_MAGIC, sizeof foot.magic) != 0) {
        return no_trailer(fd, path, file_bytes);
    }
    if (foot.trailer_bytes < (uint64_t)least || foot.trailer_bytes > (uint64_t)file_bytes) {
        return status_fail(STATUS_FAILED,
                           "shard %s: damaged at its end; restore it or import again", path);
    }
    trailer_t trailer = {.bytes = (int64_t)foot.trailer_bytes};
    trailer.data = alloc_aligned((size_t)trailer.bytes);
    status_t status = file_pread(fd, path, file_bytes - trailer.bytes, trailer.bytes, trailer.data);
    if (status == STATUS_OK) {
        status = check_trailer(path, file_bytes, &trailer);
    }
    if (status != STATUS_OK) {
        free(trailer.data);
        return status;
    }
    *trailer_out = trailer;
    return STATUS_OK;
}

void trailer_free(trailer_t *trailer) {
    free(trailer->data);
    *trailer = (trailer_t){0};
}

status_t trailer_check(const trailer_t *trailer, int fd, const char *path, int64_t range,
                       void *buffer) {
    const trailer_range_t *r = &trailer->ranges[range];
    TRY(file_pread(fd, path, (int64_t)r->offset, (int64_t)r->bytes, buffer));
    if (range_hash(buffer, (size_t)r->bytes) != r->hash) {
        return status_fail(STATUS_FAILED,
                           "shard %s: damaged in bytes %llu to %llu (%s); restore it or import "
                           "again",
                           path, (unsigned long long)r->offset,
                           (unsigned long long)(r->offset + r->bytes - 1),
                           r->kind == RANGE_BULK ? "values" : "structure");
    }
    return STATUS_OK;
}

static int64_t range_holding(const trailer_t *trailer, uint64_t offset) {
    int64_t low = 0, high = trailer->range_count - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        if (trailer->ranges[middle].offset <= offset) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

status_t trailer_pread(const trailer_t *trailer, int fd, const char *path, int64_t offset,
                       int64_t bytes, void *out) {
    if (bytes == 0) {
        return STATUS_OK;
    }
    int64_t count = trailer->range_count;
    const trailer_range_t *last = count > 0 ? &trailer->ranges[count - 1] : NULL;
    uint64_t covered = last == NULL ? 0 : last->offset + last->bytes;
    if (offset < 0 || (uint64_t)offset + (uint64_t)bytes > covered) {
        return status_fail(STATUS_INPUT, "shard %s: values lie behind HDF5's end; import again",
                           path);
    }
    int64_t range = range_holding(trailer, (uint64_t)offset);
    char buffer[RANGE_BYTES_MAX]; /* on the stack: a step of training allocates nothing */
    status_t status = STATUS_OK;
    int64_t end = offset + bytes;
    for (; range < trailer->range_count && status == STATUS_OK; range++) {
        int64_t begin = (int64_t)trailer->ranges[range].offset;
        int64_t length = (int64_t)trailer->ranges[range].bytes;
        if (begin >= end) {
            break;
        }
        int64_t from = max_i64(begin, offset), to = min_i64(begin + length, end);
        char *target = (char *)out + (from - offset);
        if (to - from == length) {
            status = trailer_check(trailer, fd, path, range, target);
            continue;
        }
        status = trailer_check(trailer, fd, path, range, buffer);
        if (status == STATUS_OK) {
            memcpy(target, buffer + (from - begin), (size_t)(to - from));
        }
    }
    return status;
}
