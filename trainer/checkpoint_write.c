#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/base/bytes.h"
#include "kernels/base/file.h"
#include "trainer/checkpoint.h"
#include "trainer/checkpoint_format.h"
#include "trainer/generation.h"

/* --- parts: what this rank owns -------------------------------------------------------------- */

typedef struct run { /* consecutive own chunks of one tensor */
    int parameter;
    int64_t first_chunk, last_chunk;
    int64_t begin, count; /* elements of the tensor */
} run_t;

static bool continues(const flat_state_t *flat, const run_t *run, int64_t chunk) {
    return flat->chunks[chunk].tensor == run->parameter && run->last_chunk == chunk - 1;
}

static run_t *own_runs(const trainer_t *t, int *count_out) {
    run_t *runs = NULL;
    int count = 0;
    for (int b = 0; b < t->flat.bucket_count; b++) {
        bucket_t own = reduce_slice(t->reduce, b, comm_rank(t->comm));
        for (int64_t c = own.chunk_begin; c < own.chunk_end; c++) {
            const chunk_t *chunk = &t->flat.chunks[c];
            if (count == 0 || !continues(&t->flat, &runs[count - 1], c)) {
                runs = array_grow(runs, count, sizeof *runs);
                runs[count++] = (run_t){.parameter = chunk->tensor,
                                        .first_chunk = c,
                                        .begin = chunk->offset - t->flat.offsets[chunk->tensor]};
            }
            runs[count - 1].last_chunk = c;
            runs[count - 1].count += chunk->count;
        }
    }
    *count_out = count;
    return runs;
}

static void add_fragment(const trainer_t *t, tensor_set_t *part, const char *prefix,
                         const run_t *run, const float *data) {
    const char *name = graph_parameter_info(t->graph, run->parameter).name;
    char *key = text_format("%s/%s@%lld", prefix, name, (long long)run->begin);
    tensor_set_borrow(part, key, TENSOR_F32, 1, &run->count, data);
    free(key);
}

/* Every rank has them; each writes some. */
static void add_constants(const trainer_t *t, tensor_set_t *part) {
    int ranks = comm_size(t->comm);
    for (int p = comm_rank(t->comm); p < graph_parameter_count(t->graph); p += ranks) {
        parameter_info_t info = graph_parameter_info(t->graph, p);
        run_t whole = {.parameter = p, .count = info.count};
        if (flat_state_is_constant(&t->flat, p) && info.fold == NULL) {
            add_fragment(t, part, "weights", &whole, t->weights + t->flat.offsets[p]);
        }
    }
}

/* Weights and states lie in memory as they do in the file: chunks of a tensor are full but for its
 * last. */
static void collect_part(trainer_t *t, tensor_set_t *part) {
    int count = 0;
    run_t *runs = own_runs(t, &count);
    for (int i = 0; i < count; i++) {
        const run_t *run = &runs[i];
        add_fragment(t, part, "weights", run,
                     t->weights + t->flat.offsets[run->parameter] + run->begin);
        for (int s = 0; s < optimizer_state_count(t->optimizer); s++) {
            char prefix[64];
            snprintf(prefix, sizeof prefix, "optimizer/%s", optimizer_state_name(t->optimizer, s));
            add_fragment(t, part, prefix, run,
                         optimizer_state_chunk(t->optimizer, s, run->first_chunk));
        }
    }
    free(runs);
    add_constants(t, part);
}

static status_t write_part(trainer_t *t, const char *directory, bool enospc,
                           char digest_out[SHA256_TEXT_BYTES]) {
    char *path = text_format("%s/" PART_FORMAT, directory, comm_rank(t->comm));
    if (enospc) {
        errno = ENOSPC;
        status_t status = status_fail_errno(STATUS_FAILED, "cannot write %s", path);
        free(path);
        return status;
    }
    tensor_set_t part = {0};
    trainer_read_state(t);
    collect_part(t, &part);
    status_t status = safetensors_write_new(path, &part, digest_out);
    tensor_set_free(&part);
    free(path);
    return status == STATUS_OK ? dir_sync(directory) : status;
}

/* --- manifest -------------------------------------------------------------------------------- */

static json_t *tensor_list(const trainer_t *t) {
    json_t *list = json_object();
    for (int p = 0; p < graph_parameter_count(t->graph); p++) {
        parameter_info_t info = graph_parameter_info(t->graph, p);
        if (info.fold != NULL) {
            continue;
        }
        json_t *dims = json_array();
        for (int d = 0; d < info.rank; d++) {
            json_array_append_new(dims, json_integer(info.dims[d]));
        }
        json_object_set_new(list, info.name, dims);
    }
    return list;
}

/* Tensors that have no optimiser state. */
static json_t *constant_list(const trainer_t *t) {
    json_t *list = json_array();
    for (int p = 0; p < graph_parameter_count(t->graph); p++) {
        parameter_info_t info = graph_parameter_info(t->graph, p);
        if (flat_state_is_constant(&t->flat, p) && info.fold == NULL) {
            json_array_append_new(list, json_string(info.name));
        }
    }
    return list;
}

static json_t *file_digests(const trainer_t *t, const char *digests, const char *statistics) {
    json_t *files = json_object();
    for (int r = 0; r < comm_size(t->comm); r++) {
        char name[64];
        snprintf(name, sizeof name, PART_FORMAT, r);
        json_object_set_new(files, name, json_string(digests + (size_t)r * SHA256_TEXT_BYTES));
    }
    json_object_set_new(files, STATISTICS_FILE, json_string(statistics));
    return files;
}

static json_t *bests_array(const progress_t *p) {
    json_t *bests = json_array();
    for (int i = 0; i < CONFIG_BEST_MAX; i++) {
        char text[40];
        snprintf(text, sizeof text, "%a", p->bests[i]); /* exact; nan */
        json_array_append_new(bests, json_string(text));
    }
    return bests;
}

/* What resuming needs to go on at the same place. */
static json_t *position_object(const trainer_t *t, int64_t generation) {
    const progress_t *p = &t->progress;
    char best[40];
    snprintf(best, sizeof best, "%a", p->best_value); /* exact */
    return json_pack(
        "{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:I, s:I, s:I}", "format_version",
        CHECKPOINT_FORMAT, "program", "jmt", "generation", (json_int_t)generation, "step",
        (json_int_t)p->step, "epoch", (json_int_t)p->epoch, "batch", (json_int_t)p->batch,
        "best_step", (json_int_t)p->best_step, "best_value", best, "bests", bests_array(p),
        "bad_epochs", (json_int_t)p->bad_epochs, "updates",
        (json_int_t)optimizer_updates(t->optimizer), "train_count", (json_int_t)t->train_count);
}

static json_t *manifest_object(const trainer_t *t, int64_t generation, const char *digests,
                               const char *statistics) {
    json_t *states = json_array();
    for (int s = 0; s < optimizer_state_count(t->optimizer); s++) {
        json_array_append_new(states, json_string(optimizer_state_name(t->optimizer, s)));
    }
    char *fingerprint = NULL, *config = config_yaml(t->config);
    REQUIRE(trainer_fingerprint(t->config, t->kernels, t->device, &fingerprint) == STATUS_OK);
    json_t *manifest = position_object(t, generation);
    json_t *content = json_pack(
        "{s:I, s:I, s:I, s:s, s:s, s:s, s:o, s:o, s:o}", "seed", (json_int_t)t->config->seed,
        "virtual_shards", (json_int_t)t->shards, "parameters",
        (json_int_t)graph_parameter_elements(t->graph), "fingerprint", fingerprint, "config",
        config, "data", dataset_identity(t->dataset), "optimizer_states", states, "tensors",
        tensor_list(t), "files", file_digests(t, digests, statistics));
    REQUIRE(manifest != NULL && content != NULL);
    char *trained_on = trainer_trained_on(t);
    json_object_set_new(content, "trained_on", json_loads(trained_on, 0, NULL));
    json_object_set_new(content, "constants", constant_list(t));
    json_object_set_new(content, "init", json_loads(t->origin.files, 0, NULL));
    json_object_set_new(content, "initial_hash", json_string(t->initial_hash));
    json_object_update(manifest, content);
    free(trained_on);
    json_decref(content);
    free(fingerprint);
    free(config);
    return manifest;
}

static status_t write_manifest(const trainer_t *t, int64_t generation, const char *directory,
                               const char *digests) {
    char statistics[SHA256_TEXT_BYTES], digest[SHA256_TEXT_BYTES];
    tensor_set_t set = {0};
    char *path = text_format("%s/" STATISTICS_FILE, directory);
    standardize_save(&t->standardize, t->modality_names, &set);
    target_fit_save(t->config, &t->target_fit, &set);
    status_t status = safetensors_write_new(path, &set, statistics);
    free(path);
    tensor_set_free(&set);
    TRY(status);
    json_t *manifest = manifest_object(t, generation, digests, statistics);
    char *text = json_dumps(manifest, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    json_decref(manifest);
    path = text_format("%s/" MANIFEST_FILE, directory);
    status = file_write_new(path, &(file_piece_t){text, strlen(text)}, 1, digest);
    digest[SHA256_TEXT_BYTES - 1] = '\n';
    free(text);
    free(path);
    if (status == STATUS_OK) {
        char ignored[SHA256_TEXT_BYTES];
        path = text_format("%s/" DIGEST_FILE, directory);
        status = file_write_new(path, &(file_piece_t){digest, sizeof digest}, 1, ignored);
        free(path);
    }
    return status == STATUS_OK ? dir_sync(directory) : status;
}

/* --- pruning --------------------------------------------------------------------------------- */

static bool linked(const char *root, char **names, int count, const char *step_name) {
    for (int i = 0; i < count; i++) {
        char *path = text_format("%s/%s", root, names[i]), target[256];
        ssize_t length = readlink(path, target, sizeof target - 1);
        free(path);
        if (length > 0 && (size_t)length == strlen(step_name) &&
            strncmp(target, step_name, (size_t)length) == 0) {
            return true;
        }
    }
    return false;
}

/* Renamed first: a half-deleted directory never has a checkpoint's name. */
static status_t unpublish(const char *root, const char *name) {
    char *path = text_format("%s/%s", root, name);
    char *aside = text_format("%s/.deleting-%s", root, name);
    status_t status = dir_remove(aside); /* of a killed writer */
    if (status == STATUS_OK && rename(path, aside) != 0) {
        status = status_fail_errno(STATUS_FAILED, "cannot remove %s", path);
    }
    status = status == STATUS_OK ? dir_sync(root) : status;
    status = status == STATUS_OK ? dir_remove(aside) : status;
    free(path);
    free(aside);
    return status;
}

static bool is_leftover(const char *name) {
    return strncmp(name, ".writing-", 9) == 0 || strncmp(name, ".deleting-", 10) == 0;
}

static status_t prune(const char *root, int64_t keep) {
    char **names = NULL;
    int count = 0;
    TRY(dir_list(root, &names, &count));
    status_t status = STATUS_OK;
    int64_t kept = 0;
    for (int i = count - 1; i >= 0 && status == STATUS_OK; i--) { /* names sort by step */
        if (is_leftover(names[i])) {
            char *path = text_format("%s/%s", root, names[i]);
            errno = 0;
            status = dir_remove(path);
            bool is_written = errno == ENOTEMPTY || errno == ENOENT;
            if (status != STATUS_OK && is_written) {
                status = STATUS_OK; /* by a start that this one took over from: next time */
            }
            free(path);
        } else if (strncmp(names[i], "step-", 5) == 0 && !linked(root, names, count, names[i]) &&
                   ++kept > keep) {
            status = unpublish(root, names[i]);
        }
    }
    names_free(names, count);
    return status;
}

/* --- publishing ------------------------------------------------------------------------------ */

/* root is the caller's to sync. */
static status_t link_step(const char *root, const char *name, const char *step_name) {
    char *link = text_format("%s/%s", root, name), *aside = text_format("%s/.%s.tmp", root, name);
    status_t status = STATUS_OK;
    unlink(aside);
    if (symlink(step_name, aside) != 0 || rename(aside, link) != 0) {
        status = status_fail_errno(STATUS_FAILED, "cannot write %s", link);
    }
    free(link);
    free(aside);
    return status;
}

/* One rename. Where an earlier life of the run left this step, the two change places, so that the
 * name never stands for nothing; what becomes of the old one is the pruning's affair. */
static status_t rename_step(const char *root, const char *aside, const char *step_name) {
    char *final = text_format("%s/%s", root, step_name);
    status_t status = STATUS_OK;
    int result = rename(aside, final);
    if (result != 0 && (errno == EEXIST || errno == ENOTEMPTY)) {
        result = renameat2(AT_FDCWD, aside, AT_FDCWD, final, RENAME_EXCHANGE);
        if (result != 0 && (errno == EINVAL || errno == ENOSYS)) { /* this file system cannot */
            status = unpublish(root, step_name);
            result = status == STATUS_OK ? rename(aside, final) : 0;
        }
    }
    if (result != 0) {
        status = status_fail_errno(STATUS_FAILED, "cannot publish %s", final);
    }
    free(final);
    return status == STATUS_OK ? dir_sync(root) : status;
}

/* `best` before `last`: a run that was killed in between goes on from the old `last` and comes here
 * again. Nothing of this may happen once another start owns the directory. */
static status_t publish(const checkpoint_order_t *order, const char *aside, int64_t step) {
    int lock = -1;
    TRY(generation_lock(order->root, order->generation, &lock));
    char *step_name = text_format(STEP_FORMAT, (long long)step);
    status_t status = rename_step(order->root, aside, step_name);
    for (int i = 0; i < order->best_count && status == STATUS_OK; i++) {
        status = link_step(order->root, order->best[i], step_name);
    }
    status = status == STATUS_OK ? link_step(order->root, "last", step_name) : status;
    status = status == STATUS_OK ? dir_sync(order->root) : status;
    status = status == STATUS_OK ? prune(order->root, order->keep) : status;
    generation_unlock(lock);
    free(step_name);
    return status;
}

/* Parts and their digests from all ranks, then the manifest and the rename by rank 0. Everyone
 * leaves by the agreements. */
static status_t write_into(trainer_t *t, const char *aside, const checkpoint_order_t *order) {
    bool first = comm_rank(t->comm) == 0;
    status_t status = STATUS_OK;
    if (first) {
        status = dir_remove(aside);
        status = status == STATUS_OK ? dir_make(aside) : status;
    }
    TRY(comm_agree(t->comm, status, "save checkpoint"));
    char digest[SHA256_TEXT_BYTES] = "";
    status = write_part(t, aside, order->enospc, digest);
    TRY(comm_agree(t->comm, status, "save checkpoint"));
    char *digests = alloc_zero(comm_size(t->comm), SHA256_TEXT_BYTES);
    status = comm_all_gather(t->comm, digest, SHA256_TEXT_BYTES, digests, "save checkpoint");
    if (status == STATUS_OK && first) {
        status = write_manifest(t, order->generation, aside, digests);
        status = status == STATUS_OK ? publish(order, aside, t->progress.step) : status;
    }
    free(digests);
    return comm_agree(t->comm, status, "save checkpoint");
}

status_t checkpoint_write(trainer_t *t, const checkpoint_order_t *order) {
    char *aside = text_format("%s/.writing-%lld-%lld", order->root, (long long)order->generation,
                              (long long)t->progress.step);
    status_t status = write_into(t, aside, order);
    if (status != STATUS_OK && comm_rank(t->comm) == 0) {
        char *cause = text_copy(status_text());
        if (dir_remove(aside) != STATUS_OK) { /* the next start's pruning will */
            status = status_fail(status, "%s", cause);
        }
        free(cause);
    }
    free(aside);
    return status;
}
