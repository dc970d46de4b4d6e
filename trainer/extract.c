#include "trainer/extract.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data-sharding/extract_data.h"
#include "kernels/base/bytes.h"
#include "kernels/base/work.h"
#include "trainer/backbone.h"
#include "trainer/trained_on.h"

/* A window in a slot of the executor: `steps` steps of the own share, from `at` on. */
typedef struct stretch {
    int64_t recording, first, at, steps;
} stretch_t;

typedef struct extract {
    const trainer_t *t;
    const char *trained_on; /* of the checkpoint; NULL: there is none */
    extracted_t made;
    int index[CONFIG_MODALITIES_MAX]; /* of each among the model's modalities */
    predictor_t *predictor;
    executor_t *executor; /* its */
    int64_t slots, length;
    stretch_t *filled; /* [slots] */
    int64_t filled_count;
    float *features; /* of one slot, as wide as the widest */
    uint8_t *masks;  /* [modality][slots][length] */
    embedding_t all[CONFIG_MODALITIES_MAX], own[CONFIG_MODALITIES_MAX];
    work_t work;
} extract_t;

/* --- opening --------------------------------------------------------------------------------- */

/* A track goes where features of it come: all who read it have to be among them. */
static status_t check_shared(const extract_t *x) {
    const trainer_t *t = x->t;
    for (int m = 0; m < t->modality_count; m++) {
        const modality_config_t *modality = t->batch.modality[m];
        bool made = strcmp(modality->backbone, "none") != 0;
        for (int i = 0; i < x->made.count && !made; i++) {
            if (strcmp(modality_track(x->made.modality[i]), modality_track(modality)) == 0) {
                return status_fail(STATUS_INPUT,
                                   "modalities %s and %s read one track, and %s has no backbone; "
                                   "leave it out of model.modalities to extract the other",
                                   x->made.modality[i]->name, modality->name, modality->name);
            }
        }
    }
    return STATUS_OK;
}

static status_t find_modalities(extract_t *x) {
    const trainer_t *t = x->t;
    for (int m = 0; m < t->modality_count; m++) {
        const modality_config_t *modality = t->batch.modality[m];
        if (strcmp(modality->backbone, "none") != 0 && !dataset_is_built_in(t->dataset, m)) {
            x->made.scaled |= t->batch.info[m].scaled && t->standardize.count > 0;
            if (strcmp(modality->augment, "none") != 0) {
                return status_fail(STATUS_INPUT,
                                   "modalities.%s.augment changes clips at every step, so their "
                                   "features cannot be made once; set it to none",
                                   modality->name);
            }
            x->index[x->made.count] = m;
            x->made.modality[x->made.count++] = modality;
        }
    }
    TRY(check_shared(x));
    if (x->made.count == 0) {
        return status_fail(STATUS_INPUT, "no modality of the model has a backbone, so there is "
                                         "nothing to extract; set modalities.NAME.backbone");
    }
    return STATUS_OK;
}

static status_t build(extract_t *x, graph_t *graph) {
    graph_predict(graph);
    for (int i = 0; i < x->made.count; i++) {
        stream_t stream;
        TRY(backbone_input(graph, x->made.modality[i], x->t->dims[x->index[i]], &stream,
                           &x->made.dim[i]));
        graph_output(graph, x->made.modality[i]->name, stream.x);
    }
    return graph_check(graph);
}

static status_t open_predictor(extract_t *x) {
    const trainer_t *t = x->t;
    graph_t *graph = graph_open(x->length);
    status_t status = build(x, graph);
    if (status != STATUS_OK) {
        graph_close(graph);
        return status;
    }
    TRY(predictor_open_graph(graph, t->kernels, t->device, t->samples_per_shard, t->shard_count,
                             &x->predictor));
    predictor_load(x->predictor, t->graph, t->flat.offsets, t->weights);
    x->executor = predictor_executor(x->predictor);
    x->slots = executor_samples(x->executor);
    return STATUS_OK;
}

static void open_places(extract_t *x) {
    int64_t widest = 0;
    for (int i = 0; i < x->made.count; i++) {
        widest = max_i64(widest, x->t->dims[x->index[i]]);
        x->all[i] = x->own[i] = (embedding_t){.name = x->made.modality[i]->name,
                                              .track = modality_track(x->made.modality[i]),
                                              .dim = x->made.dim[i]};
    }
    x->filled = alloc_zero(x->slots, sizeof *x->filled);
    x->features = alloc_aligned((size_t)(x->length * widest) * sizeof *x->features);
    x->masks = alloc_zero(x->made.count * x->slots, (size_t)x->length);
}

static status_t open_all(extract_t *x) {
    x->length = x->t->config->data.window;
    TRY(find_modalities(x));
    TRY(open_predictor(x));
    open_places(x);
    return STATUS_OK;
}

static void forget(embedding_t *embeddings, int count) {
    for (int i = 0; i < count; i++) {
        free(embeddings[i].values);
        free(embeddings[i].valid);
        embeddings[i].values = NULL;
        embeddings[i].valid = NULL;
    }
}

static void close_all(extract_t *x) {
    forget(x->all, x->made.count);
    forget(x->own, x->made.count);
    free(x->filled);
    free(x->features);
    free(x->masks);
    predictor_close(x->predictor);
}

/* --- windows --------------------------------------------------------------------------------- */

static uint8_t *mask_of(const extract_t *x, int i, int64_t slot) {
    return x->masks + (i * x->slots + slot) * x->length;
}

/* stretch NULL: an empty slot. */
static status_t fill_slot(extract_t *x, int64_t slot, const stretch_t *stretch) {
    dtype_t dtype = executor_dtype(x->executor);
    for (int i = 0; i < x->made.count; i++) {
        int m = x->index[i];
        int64_t elements = x->length * x->t->dims[m];
        uint8_t *mask = mask_of(x, i, slot);
        if (stretch != NULL) {
            TRY(batch_fill_stretch(&x->t->batch, m, stretch->recording, stretch->first,
                                   stretch->steps, x->features, mask));
        } else {
            memset(x->features, 0, (size_t)elements * sizeof *x->features);
            memset(mask, 0, (size_t)x->length);
        }
        char *input = executor_input(x->executor, i);
        dtype_from_float(dtype, input + (size_t)(slot * elements) * dtype_bytes(dtype), x->features,
                         elements);
        memcpy(executor_mask(x->executor, i) + slot * x->length, mask, (size_t)x->length);
    }
    return STATUS_OK;
}

static status_t keep_row(const extract_t *x, int i, matrix_t made, const stretch_t *stretch,
                         int64_t slot, int64_t step) {
    const embedding_t *to = &x->own[i];
    float *row = to->values + (stretch->at + step) * to->dim;
    bool valid = mask_of(x, i, slot)[step] != 0;
    to->valid[stretch->at + step] = valid;
    if (!valid) {
        memset(row, 0, (size_t)to->dim * sizeof *row);
        return STATUS_OK;
    }
    executor_read_row(x->executor, made, slot * x->length + step, row);
    for (int64_t d = 0; d < to->dim; d++) {
        if (!isfinite(row[d])) {
            return status_fail(STATUS_INPUT,
                               "recording %s, step %lld: backbone %s of %s gives a number that is "
                               "not finite; check its weights (init.%s)",
                               dataset_recording(x->t->dataset, stretch->recording).name,
                               (long long)(stretch->first + step), x->made.modality[i]->backbone,
                               to->name, to->name);
        }
    }
    return STATUS_OK;
}

static status_t run_filled(extract_t *x) {
    for (int64_t slot = x->filled_count; slot < x->slots; slot++) {
        TRY(fill_slot(x, slot, NULL));
    }
    predictor_run(x->predictor);
    for (int i = 0; i < x->made.count; i++) {
        matrix_t made = executor_fetch(x->executor, executor_output(x->executor, i));
        for (int64_t k = 0; k < x->filled_count * x->length; k++) {
            const stretch_t *stretch = &x->filled[k / x->length];
            if (k % x->length < stretch->steps) {
                TRY(keep_row(x, i, made, stretch, k / x->length, k % x->length));
            }
        }
    }
    x->filled_count = 0;
    return x->t->device->check(x->t->device);
}

/* Recordings begin..end-1 to the own places. */
static status_t make_share(extract_t *x, int64_t begin, int64_t end) {
    int64_t at = 0;
    for (int64_t r = begin; r < end; r++) {
        int64_t steps = dataset_recording(x->t->dataset, r).steps;
        for (int64_t first = 0; first < steps; first += x->length) {
            stretch_t stretch = {r, first, at + first, min_i64(x->length, steps - first)};
            TRY(fill_slot(x, x->filled_count, &stretch));
            x->filled[x->filled_count++] = stretch;
            if (x->filled_count == x->slots) {
                TRY(run_filled(x));
            }
        }
        at += steps;
        work_done(&x->work, r + 1);
    }
    return x->filled_count > 0 ? run_filled(x) : STATUS_OK;
}

/* --- shards ---------------------------------------------------------------------------------- */

static int64_t steps_between(const dataset_t *dataset, int64_t begin, int64_t end) {
    int64_t steps = 0;
    for (int64_t r = begin; r < end; r++) {
        steps += dataset_recording(dataset, r).steps;
    }
    return steps;
}

static void make_room(embedding_t *embeddings, int count, int64_t steps) {
    forget(embeddings, count);
    for (int i = 0; i < count; i++) {
        embeddings[i].values = alloc_zero(max_i64(steps * embeddings[i].dim, 1), sizeof(float));
        embeddings[i].valid = alloc_zero(max_i64(steps, 1), 1);
    }
}

/* Each rank's share of recordings begin..end-1 to all ranks. */
static status_t gather(extract_t *x, int64_t begin, int64_t end) {
    comm_t *comm = x->t->comm;
    int ranks = comm_size(comm);
    size_t *lengths = alloc_zero(ranks, sizeof *lengths);
    size_t *offsets = alloc_zero(ranks, sizeof *offsets);
    status_t status = STATUS_OK;
    for (int k = 0; k < 2 * x->made.count && status == STATUS_OK; k++) {
        embedding_t *own = &x->own[k / 2], *all = &x->all[k / 2];
        size_t bytes = k % 2 == 0 ? (size_t)own->dim * sizeof(float) : 1;
        for (int r = 0; r < ranks; r++) {
            int64_t first = begin + share_begin(end - begin, ranks, r);
            int64_t next = begin + share_begin(end - begin, ranks, r + 1);
            offsets[r] = (size_t)steps_between(x->t->dataset, begin, first) * bytes;
            lengths[r] = (size_t)steps_between(x->t->dataset, first, next) * bytes;
        }
        void *to = k % 2 == 0 ? (void *)all->values : all->valid;
        const void *from = k % 2 == 0 ? (const void *)own->values : own->valid;
        status = comm_all_gather_v(comm, from, to, lengths, offsets, "features");
    }
    free(lengths);
    free(offsets);
    return status;
}

/* Recordings begin..end-1 are a shard. data: NULL on ranks that do not write. */
static status_t make_shard(extract_t *x, int64_t begin, int64_t end, extract_data_t *data) {
    comm_t *comm = x->t->comm;
    int ranks = comm_size(comm), rank = comm_rank(comm);
    int64_t first = begin + share_begin(end - begin, ranks, rank);
    int64_t next = begin + share_begin(end - begin, ranks, rank + 1);
    make_room(x->own, x->made.count, steps_between(x->t->dataset, first, next));
    make_room(x->all, x->made.count, steps_between(x->t->dataset, begin, end));
    TRY(comm_agree(comm, make_share(x, first, next), "extract features"));
    TRY(gather(x, begin, end));
    status_t status = data != NULL ? extract_data_add(data, x->all, x->made.count) : STATUS_OK;
    return comm_agree(comm, status, "write features");
}

static status_t make_shards(extract_t *x, extract_data_t *data) {
    const dataset_t *dataset = x->t->dataset;
    int64_t count = dataset_recordings(dataset), begin = 0;
    work_begin(&x->work, "extracting", "recordings", count);
    for (int file = 0; file < dataset_file_count(dataset); file++) {
        int64_t end = begin;
        while (end < count && dataset_recording(dataset, end).file == file) {
            end++;
        }
        status_t status = make_shard(x, begin, end, data);
        if (status != STATUS_OK) {
            work_end(&x->work);
            return status;
        }
        begin = end;
    }
    work_end(&x->work);
    return STATUS_OK;
}

/* --- what made them -------------------------------------------------------------------------- */

/* Of all that the backbone is made of. */
static void hash_weights(const trainer_t *t, const char *modality, char hash_out[65]) {
    name_t prefix = name_of("%s.backbone.", modality);
    tensor_set_t set = {0};
    for (int p = 0; p < graph_parameter_count(t->graph); p++) {
        parameter_info_t info = graph_parameter_info(t->graph, p);
        if (info.fold == NULL && strncmp(info.name, prefix.text, strlen(prefix.text)) == 0) {
            tensor_set_borrow(&set, info.name, TENSOR_F32, info.rank, info.dims,
                              t->weights + t->flat.offsets[p]);
        }
    }
    tensor_set_hash(&set, hash_out);
    tensor_set_free(&set);
}

static char *facts_of(const extract_t *x) {
    json_t *facts = json_object();
    for (int i = 0; i < x->made.count; i++) {
        const modality_config_t *modality = x->made.modality[i];
        char hash[65];
        hash_weights(x->t, modality->name, hash);
        json_object_set_new(facts, modality->name,
                            json_pack("{s:s, s:I, s:I, s:s}", "backbone", modality->backbone,
                                      "clip", (json_int_t)modality->clip, "dilation",
                                      (json_int_t)modality->dilation, "weights_sha256", hash));
    }
    char *text = json_dumps(facts, JSON_COMPACT);
    json_decref(facts);
    return text;
}

/* Whom the features know: who the weights were trained on, and those whose scales went into them.
 * A backbone that was frozen in its run knows only who came before. */
static char *people_of(const extract_t *x) {
    const trainer_t *t = x->t;
    bool learned = x->made.scaled;
    for (int i = 0; i < x->made.count; i++) {
        learned |= !x->made.modality[i]->frozen;
    }
    if (x->trained_on != NULL) {
        return learned ? text_copy(x->trained_on) : trained_on_before(x->trained_on);
    }
    return x->made.scaled ? trainer_trained_on(t) : text_copy(t->origin.trained_on);
}

static status_t publish(const extract_t *x, const char *people, extract_data_t *data) {
    char *facts = facts_of(x);
    status_t status = extract_data_publish(data, facts, people);
    free(facts);
    return status;
}

static status_t extract_all(extract_t *x, const char *path, const char *out) {
    const trainer_t *t = x->t;
    extract_data_t *data = NULL;
    bool writes = comm_rank(t->comm) == 0;
    status_t status = open_all(x);
    if (status == STATUS_OK && writes) {
        status = extract_data_open(t->dataset, path, out, &data);
    }
    status = comm_agree(t->comm, status, "begin to extract");
    if (status == STATUS_OK) {
        status = make_shards(x, data);
    }
    if (status == STATUS_OK) {
        char *people = people_of(x);
        x->made.known = people[0] != '\0';
        status = writes ? publish(x, people, data) : STATUS_OK;
        status = comm_agree(t->comm, status, "publish features");
        free(people);
    }
    extract_data_close(data);
    return status;
}

status_t extract_features(const trainer_t *trainer, const char *trained_on, const char *path,
                          const char *out, extracted_t *extracted_out) {
    extract_t x = {.t = trainer, .trained_on = trained_on};
    status_t status = extract_all(&x, path, out);
    close_all(&x);
    if (status == STATUS_OK) {
        *extracted_out = x.made;
    }
    return status;
}
