#include "data-sharding/manifest.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data-sharding/shard.h"
#include "kernels/base/bytes.h"

void manifest_free(manifest_t *manifest) {
    for (int i = 0; i < manifest->file_count; i++) {
        free(manifest->files[i].name);
    }
    free(manifest->files);
    free(manifest->importer);
    free(manifest->source);
    free(manifest->licence);
    free(manifest->terms);
    free(manifest->key_id);
    free(manifest->facts);
    free(manifest->trained_on);
    *manifest = (manifest_t){0};
}

status_t manifest_add_shard(manifest_t *manifest, const char *dir, const char *name) {
    char *path = text_format("%s/%s", dir, name);
    shard_t *shard = NULL;
    struct stat info;
    status_t status = shard_open(path, &shard);
    if (status == STATUS_OK && stat(path, &info) != 0) {
        status = status_fail_errno(STATUS_FAILED, "shard %s: cannot read its length", path);
    }
    if (status == STATUS_OK) {
        manifest->files =
            array_grow(manifest->files, manifest->file_count, sizeof(manifest_file_t));
        manifest_file_t *file = &manifest->files[manifest->file_count++];
        *file = (manifest_file_t){.name = text_copy(name), .bytes = (int64_t)info.st_size};
        int64_t bytes;
        const void *trailer = shard_trailer(shard, &bytes);
        sha256_memory(trailer, (size_t)bytes, file->trailer);
    }
    shard_close(shard);
    free(path);
    return status;
}

status_t manifest_write(const char *dir, const manifest_t *manifest) {
    json_t *files = json_array();
    for (int i = 0; i < manifest->file_count; i++) {
        const manifest_file_t *file = &manifest->files[i];
        json_array_append_new(files,
                              json_pack("{s:s, s:I, s:s}", "name", file->name, "bytes",
                                        (json_int_t)file->bytes, "trailer_sha256", file->trailer));
    }
    json_t *facts = manifest->facts == NULL ? json_object() : json_loads(manifest->facts, 0, NULL);
    REQUIRE(facts != NULL);
    json_t *root = json_pack(
        "{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:o, s:o}", "format",
        "jmt-dataset", "format_version", (json_int_t)SHARD_VERSION, "importer", manifest->importer,
        "source", manifest->source, "licence", manifest->licence, "terms", manifest->terms,
        "key_id", manifest->key_id, "recordings", (json_int_t)manifest->recordings, "subjects",
        (json_int_t)manifest->subjects, "window", (json_int_t)manifest->window, "rate_hz",
        manifest->rate_hz, "facts", facts, "files", files);
    if (root == NULL) {
        return status_fail(STATUS_INPUT, "cannot write %s/%s: a text is not valid UTF-8", dir,
                           MANIFEST_NAME);
    }
    if (manifest->trained_on != NULL) {
        json_object_set_new(root, "trained_on", json_loads(manifest->trained_on, 0, NULL));
    }
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(root);
    char hash[SHA256_TEXT_BYTES];
    sha256_memory(text, strlen(text), hash);
    char *path = text_format("%s/%s", dir, MANIFEST_NAME);
    char *hash_path = text_format("%s/%s", dir, MANIFEST_HASH_NAME);
    status_t status = file_write_durable(path, text, strlen(text));
    if (status == STATUS_OK) {
        status = file_write_durable(hash_path, hash, strlen(hash));
    }
    free(hash_path);
    free(path);
    free(text);
    return status;
}

static status_t check_hash(const char *dir, const char *text, size_t bytes) {
    char *path = text_format("%s/%s", dir, MANIFEST_HASH_NAME);
    char *stored = NULL;
    size_t stored_bytes = 0;
    status_t status = STATUS_OK;
    if (!file_exists(path)) {
        status = status_fail(STATUS_INPUT, "%s: missing; restore it or import again", path);
    } else {
        status = file_read(path, &stored, &stored_bytes);
    }
    char hash[SHA256_TEXT_BYTES];
    sha256_memory(text, bytes, hash);
    if (status == STATUS_OK &&
        (stored_bytes != strlen(hash) || memcmp(stored, hash, stored_bytes))) {
        status = status_fail(STATUS_FAILED,
                             "%s/%s: damaged, or changed by hand: it does not match %s; restore it "
                             "or import again",
                             dir, MANIFEST_NAME, MANIFEST_HASH_NAME);
    }
    free(stored);
    free(path);
    return status;
}

static status_t read_text(const json_t *root, const char *dir, const char *name, char **text_out) {
    const char *text = json_string_value(json_object_get(root, name));
    if (text == NULL) {
        return status_fail(STATUS_INPUT, "%s/%s: no text \"%s\"; import again", dir, MANIFEST_NAME,
                           name);
    }
    *text_out = text_copy(text);
    return STATUS_OK;
}

static status_t read_files(const json_t *root, const char *dir, manifest_t *manifest) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(root, "files"), i, item) {
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *trailer = json_string_value(json_object_get(item, "trailer_sha256"));
        if (name == NULL || trailer == NULL || strchr(name, '/') != NULL ||
            strlen(trailer) != SHA256_TEXT_BYTES - 1) {
            return status_fail(STATUS_INPUT, "%s/%s: files[%zu] is malformed; import again", dir,
                               MANIFEST_NAME, i);
        }
        manifest->files =
            array_grow(manifest->files, manifest->file_count, sizeof(manifest_file_t));
        manifest_file_t *file = &manifest->files[manifest->file_count++];
        *file = (manifest_file_t){.name = text_copy(name)};
        file->bytes = json_integer_value(json_object_get(item, "bytes"));
        memcpy(file->trailer, trailer, SHA256_TEXT_BYTES);
    }
    if (manifest->file_count == 0) {
        return status_fail(STATUS_INPUT, "%s/%s: lists no shard; import again", dir, MANIFEST_NAME);
    }
    return STATUS_OK;
}

static status_t read_root(const json_t *root, const char *dir, manifest_t *manifest) {
    const char *format = json_string_value(json_object_get(root, "format"));
    if (format == NULL || strcmp(format, "jmt-dataset") != 0) {
        return status_fail(STATUS_INPUT,
                           "%s/%s: not a data directory of jmt; make one by jmt shard", dir,
                           MANIFEST_NAME);
    }
    manifest->format_version = json_integer_value(json_object_get(root, "format_version"));
    if (manifest->format_version < SHARD_VERSION_OLDEST ||
        manifest->format_version > SHARD_VERSION) {
        return status_fail(STATUS_INPUT,
                           "%s/%s: format version %lld, this program reads %d to %d; use the jmt "
                           "that wrote it or import again",
                           dir, MANIFEST_NAME, (long long)manifest->format_version,
                           SHARD_VERSION_OLDEST, SHARD_VERSION);
    }
    TRY(read_text(root, dir, "importer", &manifest->importer));
    TRY(read_text(root, dir, "source", &manifest->source));
    TRY(read_text(root, dir, "licence", &manifest->licence));
    TRY(read_text(root, dir, "terms", &manifest->terms));
    TRY(read_text(root, dir, "key_id", &manifest->key_id));
    manifest->recordings = json_integer_value(json_object_get(root, "recordings"));
    manifest->subjects = json_integer_value(json_object_get(root, "subjects"));
    manifest->window = json_integer_value(json_object_get(root, "window"));
    manifest->rate_hz = json_number_value(json_object_get(root, "rate_hz"));
    manifest->facts = json_dumps(json_object_get(root, "facts"), JSON_REAL_PRECISION(12));
    const json_t *people = json_object_get(root, "trained_on");
    manifest->trained_on = json_is_object(people) ? json_dumps(people, JSON_COMPACT) : NULL;
    return read_files(root, dir, manifest);
}

status_t manifest_read(const char *dir, manifest_t *manifest_out) {
    char *path = text_format("%s/%s", dir, MANIFEST_NAME);
    char *text = NULL;
    size_t bytes;
    status_t status = STATUS_OK;
    if (!dir_exists(dir)) {
        status = status_fail(STATUS_INPUT, "%s: no such data directory; make it by jmt shard", dir);
    } else if (!file_exists(path)) {
        status = status_fail(STATUS_INPUT,
                             "%s: not a data directory, it has no %s; make one by jmt shard", dir,
                             MANIFEST_NAME);
    } else {
        status = file_read(path, &text, &bytes);
    }
    if (status == STATUS_OK) {
        status = check_hash(dir, text, bytes);
    }
    if (status == STATUS_OK) {
        json_t *root = json_loadb(text, bytes, 0, NULL);
        manifest_t manifest = {0};
        status = read_root(root, dir, &manifest);
        json_decref(root);
        if (status == STATUS_OK) {
            *manifest_out = manifest;
        } else {
            manifest_free(&manifest);
        }
    }
    free(text);
    free(path);
    return status;
}
