/* A shard behind its checksums. The input is a mode and edits (position, count, bytes) of a small
 * valid shard:
 *   'S'  of what HDF5 wrote: index tables, texts and values (its structure has checksums of its
 *        own); then the trailer is made anew
 *   'D'  of the lengths and places of its arrays; HDF5's checksums and the trailer are put right.
 *        Not of all structure: HDF5 1.10 itself reads freed memory then (README.md)
 *   'T'  of the trailer, whose checksum is put right
 *   'R'  of the trailer, raw
 * What opens is loaded, and read as a data set. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "data-sharding/dataset.h"
#include "data-sharding/manifest.h"
#include "data-sharding/shard.h"
#include "data-sharding/shard_trailer.h"
#include "fuzz/fuzz.h"
#include "kernels/base/bytes.h"
#include "kernels/base/file.h"

#define SHARD "shard-00000.h5"
enum { RECORDINGS = 2, TRACKS = 3, STEPS = 7, DIM_MAX = 3, FOOT_BYTES = 24, FIELDS_MAX = 32 };

/* HDF5's own checksum: in its library, though in no header. */
uint32_t H5_checksum_lookup3(const void *key, size_t length, uint32_t initval);

typedef struct base {
    char *data;
    size_t bytes, hdf5_bytes;
} base_t;

static void write_base(const char *path) {
    float values[STEPS * DIM_MAX] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t valid[STEPS] = {1, 1, 1, 0, 1, 1, 1};
    shard_span_t spans[RECORDINGS] = {{0, 4, 2, 0}, {4, 3, 2, 0.5}};
    char *const names[TRACKS] = {"a", "b", "y"};
    static const int64_t dims[TRACKS] = {3, 2, 1};
    shard_track_t tracks[TRACKS];
    for (int i = 0; i < TRACKS; i++) {
        tracks[i] = (shard_track_t){.name = names[i],
                                    .is_target = i == 2,
                                    .dim = dims[i],
                                    .steps = STEPS,
                                    .spans = spans,
                                    .values = values,
                                    .valid = valid};
    }
    shard_recording_t recordings[RECORDINGS] = {{"r0", "s0001", "", "", "train", "0"},
                                                {"r1", "s0002", "", "", "test", "1"}};
    shard_content_t content = {.importer = "fuzz",
                               .source = "none",
                               .licence = "none",
                               .terms = "none",
                               .recording_count = RECORDINGS,
                               .recordings = recordings,
                               .track_count = TRACKS,
                               .tracks = tracks};
    REQUIRE(shard_write(path, &content, NULL) == STATUS_OK);
}

static base_t make_base(const char *dir) {
    base_t base = {0};
    char *path = fuzz_path(dir, "base.h5");
    uint64_t trailer_bytes = 0;
    write_base(path);
    REQUIRE(file_read(path, &base.data, &base.bytes) == STATUS_OK);
    REQUIRE(unlink(path) == 0);
    memcpy(&trailer_bytes, base.data + base.bytes - FOOT_BYTES + 8, sizeof trailer_bytes);
    base.hdf5_bytes = base.bytes - (size_t)trailer_bytes;
    free(path);
    return base;
}

static void edit(char *part, size_t part_bytes, const uint8_t *data, size_t bytes) {
    while (bytes >= 3) {
        size_t at = (data[0] | (size_t)data[1] << 8) % part_bytes, count = data[2] % 16 + 1u;
        data += 3;
        bytes -= 3;
        for (size_t i = 0; i < count && bytes > 0; i++, data++, bytes--) {
            part[(at + i) % part_bytes] = (char)*data;
        }
    }
}

/* Of the message at `at`, the fields of 8 bytes that are a length (dataspace) or a place and a
 * length (contiguous layout). */
static int list_fields(const char *data, size_t at, size_t fields[FIELDS_MAX]) {
    const char *body = data + at + 4;
    int count = 0, type = data[at];
    size_t first = type == 1 ? 4 : 2;
    if (type == 1 && body[0] == 2) {
        count = body[1];
    } else if (type == 8 && body[1] == 1) {
        count = 2;
    }
    for (int i = 0; i < count; i++) {
        fields[i] = at + 4 + first + 8 * (size_t)i;
    }
    return count;
}

/* One object header: *number fields were passed; the one numbered `wanted` becomes `value`. */
static void set_field(char *header, int wanted, const void *value, int *number) {
    int flags = header[5];
    size_t width = (size_t)1 << (flags & 3), chunk = 0;
    size_t head = 6 + (size_t)((flags & 32) != 0 ? 16 : 0) + (size_t)((flags & 16) != 0 ? 4 : 0);
    memcpy(&chunk, header + head, width);
    size_t end = head + width + chunk, message = (flags & 4) != 0 ? 6 : 4;
    REQUIRE(message == 4);
    for (size_t at = head + width; at + message <= end;) {
        size_t fields[FIELDS_MAX];
        int count = list_fields(header, at, fields);
        for (int i = 0; i < count; i++, (*number)++) {
            if (*number == wanted) {
                memcpy(header + fields[i], value, 8);
            }
        }
        at += message + ((uint8_t)header[at + 1] | (size_t)(uint8_t)header[at + 2] << 8);
    }
    uint32_t sum = H5_checksum_lookup3(header, end, 0);
    memcpy(header + end, &sum, sizeof sum);
}

/* Edits of 9 bytes: the number of a field and its value. */
static void edit_fields(const base_t *base, char *data, const uint8_t *edits, size_t bytes) {
    for (; bytes >= 9; edits += 9, bytes -= 9) {
        int number = 0;
        for (size_t at = 0; at + 16 < base->hdf5_bytes; at++) {
            if (base->data[at] == 'O' && memcmp(base->data + at, "OHDR", 4) == 0) {
                set_field(data + at, edits[0], edits + 1, &number);
            }
        }
    }
}

static void write_shard(const char *dir, const base_t *base, int mode, const uint8_t *edits,
                        size_t edit_bytes) {
    char *data = alloc_zero((int64_t)base->bytes, 1), *trailer = data + base->hdf5_bytes;
    size_t trailer_bytes = base->bytes - base->hdf5_bytes;
    memcpy(data, base->data, base->bytes);
    if (mode != 'S' && mode != 'D') {
        edit(trailer, trailer_bytes, edits, edit_bytes);
        if (mode == 'T') {
            size_t hashed = trailer_bytes - FOOT_BYTES;
            uint64_t hash = XXH3_64bits_withSeed(trailer, hashed, trailer_bytes);
            memcpy(trailer + hashed, &hash, sizeof hash);
        }
        fuzz_write(dir, SHARD, data, base->bytes);
    } else {
        if (mode == 'S') {
            edit(data, base->hdf5_bytes, edits, edit_bytes);
        } else {
            edit_fields(base, data, edits, edit_bytes);
        }
        fuzz_write(dir, SHARD, data, base->hdf5_bytes);
        char *path = fuzz_path(dir, SHARD);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        REQUIRE(fd >= 0 && trailer_append(fd, path, NULL, 0) == STATUS_OK && close(fd) == 0);
        free(path);
    }
    free(data);
}

static status_t load(const char *dir) {
    char *path = fuzz_path(dir, SHARD);
    shard_t *shard = NULL;
    status_t status = shard_open(path, &shard);
    free(path);
    TRY(status);
    const shard_content_t *content = shard_content(shard);
    for (int i = 0; i < content->track_count && status == STATUS_OK; i++) {
        const shard_track_t *track = &content->tracks[i];
        void *values = alloc_zero(max_i64(track->steps, 1), (size_t)shard_step_bytes(track));
        status = shard_read_values(shard, track, 0, track->steps, values);
        if (status == STATUS_OK) {
            status = shard_read_valid(shard, track, 0, track->steps, values);
        }
        free(values);
    }
    shard_close(shard);
    return status;
}

static void read_samples(const dataset_t *dataset) {
    enum { WINDOW = 4 };
    float a[WINDOW * 3], b[WINDOW * 2], y[WINDOW];
    uint8_t masks[2][WINDOW];
    float *const features[] = {a, b}, *const target[] = {y};
    uint8_t *const mask[] = {masks[0], masks[1]};
    if (dataset_modality_dim(dataset, 0) != 3 || dataset_modality_dim(dataset, 1) != 2) {
        return;
    }
    for (split_t split = SPLIT_TRAIN; split < SPLIT_COUNT; split++) {
        for (int64_t i = 0; i < dataset_sample_count(dataset, split); i++) {
            if (dataset_read(dataset, split, i, features, mask, target) != STATUS_OK) {
                return;
            }
        }
    }
}

static void read_dataset(const char *dir) {
    manifest_t manifest = {.importer = "fuzz",
                           .source = "none",
                           .licence = "none",
                           .terms = "none",
                           .key_id = "0",
                           .recordings = RECORDINGS,
                           .subjects = RECORDINGS};
    REQUIRE(manifest_add_shard(&manifest, dir, SHARD) == STATUS_OK);
    REQUIRE(manifest_write(dir, &manifest) == STATUS_OK);
    free(manifest.files[0].name);
    free(manifest.files);
    static const char *const modalities[] = {"a", "b"}, *const targets[] = {"y"};
    dataset_config_t config = {.path = dir,
                               .window = 4,
                               .modalities = modalities,
                               .modality_count = 2,
                               .targets = targets,
                               .target_count = 1};
    dataset_t *dataset = NULL;
    if (dataset_open(&config, &dataset) == STATUS_OK) {
        read_samples(dataset);
        dataset_close(dataset);
    }
}

bool fuzz_shard(const uint8_t *data, size_t bytes) {
    if (bytes == 0) {
        return false;
    }
    char *dir = fuzz_dir_make();
    static base_t base; /* the same for every input, and slow to make */
    if (base.data == NULL) {
        base = make_base(dir);
    }
    write_shard(dir, &base, data[0], data + 1, bytes - 1);
    bool accepted = load(dir) == STATUS_OK;
    if (accepted) {
        read_dataset(dir);
    }
    fuzz_dir_remove(dir);
    return accepted;
}
