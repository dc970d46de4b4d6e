#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint_format.h"
#include "trainer/fold.h"
#include "trainer/models.h"

/* A checkpoint, intact or not: what a damaged one lacks is found when it is read. */
static bool is_checkpoint(const char *directory) {
    char *digest = text_format("%s/" DIGEST_FILE, directory);
    char *statistics = text_format("%s/" STATISTICS_FILE, directory);
    bool found = file_exists(digest) || file_exists(statistics);
    free(digest);
    free(statistics);
    return found;
}

/* NULL: there is none. */
static char *newest_step(const char *root) {
    char **names = NULL, *found = NULL;
    int count = 0;
    if (!dir_exists(root) || dir_list(root, &names, &count) != STATUS_OK) {
        return NULL;
    }
    for (int i = count - 1; i >= 0 && found == NULL; i--) {
        if (strncmp(names[i], "step-", 5) == 0) {
            found = text_format("%s/%s", root, names[i]);
        }
    }
    names_free(names, count);
    return found;
}

status_t checkpoint_resolve(const char *path, char **directory_out) {
    static const char *const roots[] = {"", "/checkpoints"};
    char *found = is_checkpoint(path) ? text_copy(path) : NULL;
    for (int i = 0; i < ARRAY_LEN(roots) && found == NULL; i++) {
        char *root = text_format("%s%s", path, roots[i]);
        found = text_format("%s/last", root);
        if (!is_checkpoint(found)) {
            free(found);
            found = newest_step(root);
        }
        free(root);
    }
    if (found == NULL) {
        return status_fail(STATUS_INPUT,
                           "no checkpoint at %s; give a run directory or one of its checkpoints",
                           path);
    }
    *directory_out = found;
    return STATUS_OK;
}

static status_t damaged(const char *directory, const char *file, const char *what) {
    return status_fail(STATUS_FAILED, "checkpoint %s is damaged: %s %s; use an older one",
                       directory, file, what);
}

/* --- verifying ------------------------------------------------------------------------------- */

static status_t read_manifest(const char *directory, json_t **manifest_out) {
    char *path = text_format("%s/" MANIFEST_FILE, directory), *text = NULL, *digest = NULL;
    size_t bytes = 0, digest_bytes = 0;
    status_t status = file_read(path, &text, &bytes);
    free(path);
    if (status != STATUS_OK) {
        return damaged(directory, MANIFEST_FILE, "cannot be read");
    }
    path = text_format("%s/" DIGEST_FILE, directory);
    status = file_read(path, &digest, &digest_bytes);
    free(path);
    char actual[SHA256_TEXT_BYTES];
    sha256_memory(text, bytes, actual);
    actual[SHA256_TEXT_BYTES - 1] = '\n';
    bool same = status == STATUS_OK && digest_bytes == SHA256_TEXT_BYTES &&
                memcmp(actual, digest, SHA256_TEXT_BYTES) == 0;
    free(digest);
    json_t *manifest = same ? json_loadb(text, bytes, 0, NULL) : NULL;
    free(text);
    if (!json_is_object(manifest)) {
        json_decref(manifest);
        return damaged(directory, MANIFEST_FILE, "does not match " DIGEST_FILE);
    }
    if (json_integer_value(json_object_get(manifest, "format_version")) != CHECKPOINT_FORMAT) {
        json_decref(manifest);
        return status_fail(STATUS_INPUT,
                           "checkpoint %s has another format version; this program "
                           "reads version %d",
                           directory, CHECKPOINT_FORMAT);
    }
    *manifest_out = manifest;
    return STATUS_OK;
}

/* Every file that the manifest names has its digest, and there is no other file. */
static status_t verify_files(const char *directory, const json_t *manifest) {
    json_t *files = json_object_get(manifest, "files"), *digest;
    const char *name;
    json_object_foreach(files, name, digest) {
        if (strchr(name, '/') != NULL) {
            return damaged(directory, MANIFEST_FILE, "names a file outside");
        }
        char actual[SHA256_TEXT_BYTES], *path = text_format("%s/%s", directory, name);
        status_t status = sha256_file(path, actual);
        free(path);
        if (status != STATUS_OK) {
            return damaged(directory, name, "cannot be read");
        }
        if (!json_is_string(digest) || strcmp(actual, json_string_value(digest)) != 0) {
            return damaged(directory, name, "has another SHA-256");
        }
    }
    char **names = NULL;
    int count = 0;
    TRY(dir_list(directory, &names, &count));
    status_t status = STATUS_OK;
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        if (strcmp(names[i], MANIFEST_FILE) != 0 && strcmp(names[i], DIGEST_FILE) != 0 &&
            json_object_get(files, names[i]) == NULL) {
            status = damaged(directory, names[i], "is not in the manifest");
        }
    }
    names_free(names, count);
    return status;
}

/* How many numbers the files could hold at most. */
static int64_t room_of(const char *directory, const json_t *manifest) {
    int64_t bytes = 0;
    json_t *digest;
    const char *name;
    json_object_foreach(json_object_get(manifest, "files"), name, digest) {
        char *path = text_format("%s/%s", directory, name);
        struct stat info;
        bytes += stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
        free(path);
    }
    return bytes / (int64_t)sizeof(float);
}

/* TENSOR_RANK_MAX dims at most, and no more numbers than room: else -1. */
static int64_t count_of(const json_t *dims, int64_t room) {
    int64_t count = 1;
    if (!json_is_array(dims) || json_array_size(dims) > TENSOR_RANK_MAX) {
        return -1;
    }
    for (size_t d = 0; d < json_array_size(dims); d++) {
        const json_t *item = json_array_get(dims, d);
        int64_t dim = json_integer_value(item);
        if (!json_is_integer(item) || dim < 1 || dim > room / count) {
            return -1;
        }
        count *= dim;
    }
    return count;
}

/* It has no optimiser state. */
static bool is_constant(const json_t *manifest, const char *tensor) {
    size_t i;
    json_t *name;
    bool found = false;
    json_array_foreach(json_object_get(manifest, "constants"), i, name) {
        found |= json_is_string(name) && strcmp(json_string_value(name), tensor) == 0;
    }
    return found;
}

/* What is made room for by the manifest is no more than the files can fill. */
static status_t verify_tensors(const char *directory, const json_t *manifest) {
    int64_t room = room_of(directory, manifest);
    size_t i;
    json_t *dims, *state;
    const char *name;
    const json_t *states = json_object_get(manifest, "optimizer_states");
    json_array_foreach(states, i, state) {
        if (!json_is_string(state)) {
            return damaged(directory, MANIFEST_FILE, "names no optimiser state");
        }
    }
    json_object_foreach(json_object_get(manifest, "tensors"), name, dims) {
        int64_t states_of = is_constant(manifest, name) ? 0 : (int64_t)json_array_size(states);
        int64_t count = count_of(dims, room);
        if (count < 0 || count > room / (1 + states_of)) {
            return damaged(directory, MANIFEST_FILE, "lists tensors that its files cannot hold");
        }
        room -= count * (1 + states_of);
    }
    return STATUS_OK;
}

/* --- assembling ------------------------------------------------------------------------------ */

static void add_whole(checkpoint_t *c, const char *prefix, const json_t *manifest, bool all) {
    const char *name;
    json_t *dims_json;
    json_object_foreach(json_object_get(manifest, "tensors"), name, dims_json) {
        if (!all && is_constant(manifest, name)) {
            continue;
        }
        int64_t dims[TENSOR_RANK_MAX] = {0};
        int rank = (int)min_i64((int64_t)json_array_size(dims_json), TENSOR_RANK_MAX);
        for (int d = 0; d < rank; d++) {
            dims[d] = json_integer_value(json_array_get(dims_json, (size_t)d));
        }
        char *key = text_format("%s/%s", prefix, name);
        tensor_set_add(&c->tensors, key, TENSOR_F32, rank, dims);
        free(key);
    }
}

/* Copies one fragment NAME@BEGIN to its place; counts elements so that gaps are found. */
static bool place_fragment(checkpoint_t *c, const tensor_t *fragment, int64_t *filled) {
    char *name = text_copy(fragment->name), *at = strrchr(name, '@');
    bool placed = false;
    if (at != NULL && fragment->type == TENSOR_F32) {
        *at = '\0';
        int64_t begin = strtoll(at + 1, NULL, 10), count = tensor_count(fragment);
        const tensor_t *whole = tensor_set_find(&c->tensors, name);
        if (whole != NULL && begin >= 0 && count <= tensor_count(whole) - begin) {
            memcpy((float *)whole->data + begin, fragment->data, (size_t)count * sizeof(float));
            *filled += count;
            placed = true;
        }
    }
    free(name);
    return placed;
}

static status_t read_parts(const char *directory, const json_t *manifest, bool states,
                           checkpoint_t *c) {
    json_t *digest;
    const char *name;
    int64_t filled = 0, wanted = 0;
    for (int i = 0; i < c->tensors.count; i++) {
        wanted += tensor_count(&c->tensors.tensors[i]);
    }
    json_object_foreach(json_object_get(manifest, "files"), name, digest) {
        tensor_set_t part = {0};
        bool is_part = strcmp(name, STATISTICS_FILE) != 0;
        char *path = text_format("%s/%s", directory, name);
        status_t status = safetensors_read_some(path, is_part && !states ? "weights/" : "", &part);
        free(path);
        TRY(status);
        if (!is_part) {
            c->statistics = part;
            continue;
        }
        bool good = true;
        for (int i = 0; i < part.count && good; i++) {
            good = place_fragment(c, &part.tensors[i], &filled);
        }
        tensor_set_free(&part);
        if (!good) {
            return damaged(directory, name, "has a fragment of no tensor");
        }
    }
    return filled == wanted ? STATUS_OK : damaged(directory, "a part", "is missing elements");
}

static char *string_of(const json_t *manifest, const char *key) {
    const char *text = json_string_value(json_object_get(manifest, key));
    return text_copy(text != NULL ? text : "");
}

static int64_t integer_of(const json_t *manifest, const char *key) {
    return json_integer_value(json_object_get(manifest, key));
}

static void take_fields(const json_t *manifest, checkpoint_t *c) {
    char *best = string_of(manifest, "best_value");
    c->progress = (progress_t){.step = integer_of(manifest, "step"),
                               .epoch = integer_of(manifest, "epoch"),
                               .batch = integer_of(manifest, "batch"),
                               .best_step = integer_of(manifest, "best_step"),
                               .best_value = strtod(best, NULL),
                               .bad_epochs = integer_of(manifest, "bad_epochs")};
    free(best);
    for (int i = 0; i < CONFIG_BEST_MAX; i++) { /* an older program's has none */
        const json_t *bests = json_object_get(manifest, "bests");
        const char *text = json_string_value(json_array_get(bests, (size_t)i));
        c->progress.bests[i] = text != NULL ? strtod(text, NULL) : (double)NAN;
    }
    c->updates = integer_of(manifest, "updates");
    c->seed = integer_of(manifest, "seed");
    c->virtual_shards = integer_of(manifest, "virtual_shards");
    c->parameters = integer_of(manifest, "parameters");
    c->train_count = integer_of(manifest, "train_count");
    c->fingerprint = string_of(manifest, "fingerprint");
    c->config_yaml = string_of(manifest, "config");
    c->data_identity = string_of(manifest, "data");
    const json_t *trained_on = json_object_get(manifest, "trained_on");
    char *people = json_is_object(trained_on) ? json_dumps(trained_on, JSON_COMPACT) : NULL;
    c->trained_on = people != NULL ? people : text_copy("");
    const json_t *init = json_object_get(manifest, "init");
    char *files = json_is_object(init) ? json_dumps(init, JSON_INDENT(1)) : NULL;
    c->init_files = files != NULL ? files : text_copy("{}");
    c->initial_hash = string_of(manifest, "initial_hash");
}

static void add_states(checkpoint_t *c, const json_t *manifest) {
    size_t i;
    json_t *state;
    json_array_foreach(json_object_get(manifest, "optimizer_states"), i, state) {
        char prefix[128];
        snprintf(prefix, sizeof prefix, "optimizer/%s", json_string_value(state));
        add_whole(c, prefix, manifest, false);
    }
}

static status_t read_directory(const char *directory, bool states, checkpoint_t *c) {
    json_t *manifest = NULL;
    TRY(read_manifest(directory, &manifest));
    status_t status = verify_files(directory, manifest);
    if (status == STATUS_OK) {
        status = verify_tensors(directory, manifest);
    }
    if (status == STATUS_OK) {
        take_fields(manifest, c);
        add_whole(c, "weights", manifest, true);
        if (states) {
            add_states(c, manifest);
        }
        status = read_parts(directory, manifest, states, c);
    }
    json_decref(manifest);
    return status;
}

/* `last` and `best-METRIC` are links, which a run that is going on moves. */
static char *without_links(char *directory) {
    char *real = realpath(directory, NULL);
    if (real == NULL) {
        return directory; /* reading it says why */
    }
    free(directory);
    return real;
}

static status_t read_checkpoint(const char *path, bool states, checkpoint_t *checkpoint_out) {
    char *directory = NULL;
    TRY(checkpoint_resolve(path, &directory));
    directory = without_links(directory);
    checkpoint_t c = {0};
    status_t status = read_directory(directory, states, &c);
    free(directory);
    if (status != STATUS_OK) {
        checkpoint_free(&c);
        return status;
    }
    *checkpoint_out = c;
    return STATUS_OK;
}

status_t checkpoint_read(const char *path, checkpoint_t *checkpoint_out) {
    return read_checkpoint(path, true, checkpoint_out);
}

status_t checkpoint_read_weights(const char *path, checkpoint_t *checkpoint_out) {
    return read_checkpoint(path, false, checkpoint_out);
}

void checkpoint_free(checkpoint_t *c) {
    free(c->fingerprint);
    free(c->config_yaml);
    free(c->data_identity);
    free(c->trained_on);
    free(c->init_files);
    free(c->initial_hash);
    tensor_set_free(&c->tensors);
    tensor_set_free(&c->statistics);
    *c = (checkpoint_t){0};
}

/* --- restoring ------------------------------------------------------------------------------- */

static status_t find_tensor(const checkpoint_t *c, const trainer_t *t, const char *prefix,
                            int parameter, const float **data_out) {
    parameter_info_t info = graph_parameter_info(t->graph, parameter);
    char *key = text_format("%s/%s", prefix, info.name);
    const tensor_t *tensor = tensor_set_find(&c->tensors, key);
    status_t status = STATUS_OK;
    if (tensor == NULL || tensor_count(tensor) != info.count) {
        status = status_fail(STATUS_INPUT,
                             "the checkpoint has no tensor %s of %lld elements; it is "
                             "of another model",
                             key, (long long)info.count);
    } else {
        *data_out = tensor->data;
    }
    free(key);
    return status;
}

static status_t restore_state(const checkpoint_t *c, trainer_t *t, int state) {
    char prefix[128];
    snprintf(prefix, sizeof prefix, "optimizer/%s", optimizer_state_name(t->optimizer, state));
    for (int64_t i = 0; i < t->flat.chunk_count; i++) {
        const chunk_t *chunk = &t->flat.chunks[i];
        float *own = optimizer_state_chunk(t->optimizer, state, i);
        if (own != NULL) {
            const float *data = NULL;
            TRY(find_tensor(c, t, prefix, chunk->tensor, &data));
            memcpy(own, data + (chunk->offset - t->flat.offsets[chunk->tensor]),
                   (size_t)chunk->count * sizeof *own);
        }
    }
    return STATUS_OK;
}

static status_t restore_weights(const checkpoint_t *c, trainer_t *t, float *weights) {
    for (int p = 0; p < graph_parameter_count(t->graph); p++) {
        parameter_info_t info = graph_parameter_info(t->graph, p);
        const float *data = NULL;
        if (info.fold == NULL) {
            TRY(find_tensor(c, t, "weights", p, &data));
            memcpy(weights + t->flat.offsets[p], data, (size_t)info.count * sizeof *data);
        }
    }
    fold_constants(t->host_kernels, t->graph, t->flat.offsets, weights);
    return STATUS_OK;
}

status_t checkpoint_restore(const checkpoint_t *c, trainer_t *t) {
    float *weights = trainer_begin_weights(t);
    status_t status = restore_weights(c, t, weights);
    trainer_end_weights(t, weights);
    TRY(status);
    if (t->optimizer != NULL) {
        for (int s = 0; s < optimizer_state_count(t->optimizer); s++) {
            TRY(restore_state(c, t, s));
        }
        optimizer_set_updates(t->optimizer, c->updates);
        t->progress = c->progress;
        TRY(target_fit_load(t->config, &c->statistics, &t->target_fit));
        trainer_write_state(t);
    }
    return STATUS_OK;
}

/* Statistics are read by name before the data is open: their lengths are the dims. */
static status_t load_statistics(const config_t *config, const checkpoint_t *c, standardize_t *out) {
    int indices[CONFIG_MODALITIES_MAX];
    int count = model_modalities(config, indices);
    const char *names[CONFIG_MODALITIES_MAX];
    int64_t dims[CONFIG_MODALITIES_MAX];
    for (int m = 0; m < count; m++) {
        names[m] = config->modalities[indices[m]].name;
        char *key = text_format("%s.mean", names[m]);
        const tensor_t *mean = tensor_set_find(&c->statistics, key);
        dims[m] = mean != NULL ? tensor_count(mean) : 0;
        free(key);
    }
    return standardize_load(&c->statistics, names, dims, count, out);
}

status_t trainer_open_checkpoint(const config_t *config, comm_t *comm, const char *data_path,
                                 const checkpoint_t *c, trainer_t **trainer_out) {
    standardize_t statistics = {0};
    target_fit_t target_fit;
    trainer_t *t = NULL;
    status_t mine = target_fit_load(config, &c->statistics, &target_fit);
    mine = mine == STATUS_OK ? load_statistics(config, c, &statistics) : mine;
    TRY(comm_agree(comm, mine, "read statistics"));
    TRY(trainer_open(config, comm, data_path, &statistics, &target_fit, false, &t));
    status_t status = comm_agree(comm, checkpoint_restore(c, t), "read checkpoint");
    if (status != STATUS_OK) {
        trainer_close(t);
        return status;
    }
    *trainer_out = t;
    return STATUS_OK;
}
