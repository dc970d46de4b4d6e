#include "trainer/trainer.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "kernels/base/rng.h"
#include "trainer/control.h"
#include "trainer/export.h"
#include "trainer/fold.h"
#include "trainer/model_data.h"
#include "trainer/models.h"
#include "trainer/same_on_ranks.h"
#include "trainer/step_sums.h"
#include "trainer/trained_on.h"

/* --- opening --------------------------------------------------------------------------------- */

static status_t open_device(const config_t *config, const comm_t *comm, const char *needed,
                            const device_t **device_out) {
    bool automatic = strcmp(config->device, "auto") == 0;
    const char *name = automatic ? needed : config->device;
    int index = comm != NULL ? comm_process_index(comm) : 0;
    int count = comm != NULL ? comm_process_count(comm) : 1;
    TRY(device_open(name, index, count, device_out));
    (*device_out)->set_strict(*device_out, strcmp(config->precision, "f32_strict") == 0);
    if (strcmp((*device_out)->name, needed) != 0) {
        device_close(*device_out);
        *device_out = NULL;
        return status_fail(STATUS_INPUT,
                           "backend %s does not compute on device %s; set device: %s, or backend: "
                           "%s",
                           config->backend, name, needed,
                           strcmp(name, "cuda") == 0 ? "cuda" : "cpu");
    }
    return STATUS_OK;
}

status_t trainer_kernels(const config_t *config, const comm_t *comm, const kernels_t **kernels_out,
                         const device_t **device_out) {
    dtype_t dtype = strcmp(config->precision, "bf16") == 0 ? DTYPE_BF16 : DTYPE_F32;
    TRY(kernels_for(config->backend, dtype, kernels_out));
    TRY(kernels_set_threads((int)config->threads));
    return open_device(config, comm, (*kernels_out)->device, device_out);
}

/* The precision, and what else decides how products are formed. */
static const char *products(const config_t *config, const kernels_t *kernels,
                            const device_t *device) {
    if (kernels->pairs) {
        return "bf16, by pairs";
    }
    bool f32 = strcmp(config->precision, "f32") == 0;
    return f32 && !device->host ? "f32, by TF32" : config->precision;
}

status_t trainer_fingerprint(const config_t *config, const kernels_t *kernels,
                             const device_t *device, char **text_out) {
    const char *isa = NULL;
    TRY(kernels_isa(&isa));
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:s}", "backend",
                               kernels->backend, "device", device->kind, "isa", isa, "library",
                               kernels_library_version(kernels->backend), "layers",
                               (json_int_t)LAYERS_VERSION, "threads", (json_int_t)config->threads,
                               "precision", products(config, kernels, device), "virtual_shards",
                               (json_int_t)config->virtual_shards, "reduce", config->reduce);
    *text_out = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(object);
    return STATUS_OK;
}

static void name_streams(trainer_t *t) {
    int indices[CONFIG_MODALITIES_MAX];
    t->modality_count = model_modalities(t->config, indices);
    for (int m = 0; m < t->modality_count; m++) {
        t->modality_names[m] = t->config->modalities[indices[m]].name;
    }
    for (int i = 0; i < t->config->target_count; i++) {
        t->target_names[i] = t->config->targets[i].name;
    }
}

static status_t open_data(trainer_t *t, const char *path, const standardize_t *fitted) {
    TRY(model_data_open(t->config, path, fitted, &t->dataset));
    return model_data_dims(t->config, t->dataset, t->dims);
}

status_t trainer_check_ranks(const config_t *config, int ranks) {
    int shards = (int)config->virtual_shards;
    if (ranks > shards) {
        return status_fail(STATUS_INPUT,
                           "%d ranks but virtual_shards is %d: a rank would have no work; start at "
                           "most %d ranks or raise virtual_shards",
                           ranks, shards, shards);
    }
    return STATUS_OK;
}

static status_t check_sizes(const trainer_t *t, bool for_training) {
    const config_t *config = t->config;
    if (for_training) {
        TRY(trainer_check_ranks(config, comm_size(t->comm)));
        TRY(model_data_check(config, t->dataset));
    }
    if (for_training && dataset_sample_count(t->dataset, SPLIT_TRAIN) == 0) {
        return status_fail(STATUS_INPUT, "no training samples in %s", config->data.path);
    }
    return STATUS_OK;
}

/* Before the reduction is opened nothing is gathered. */
static status_t gather_shards(void *context, double *all, int64_t count) {
    trainer_t *t = context;
    for (int r = 0; r <= comm_size(t->comm); r++) {
        t->shard_begins[r] = tree_run(t->shards, r, comm_size(t->comm)).begin * count;
    }
    return reduce_gather(t->reduce, all, t->shard_begins, "batch norm");
}

static status_t open_model(trainer_t *t, bool for_training) {
    TRY(model_build(t->config, t->dims, &t->graph));
    TRY(flat_state_make(t->graph, &t->flat));
    if (!for_training) {
        TRY(predictor_open(t->config, t->dims, t->kernels, t->device, t->samples_per_shard,
                           t->shard_count, &t->predictor));
        t->executor = predictor_executor(t->predictor);
        return STATUS_OK;
    }
    TRY(step_sums_open(t, &t->sums));
    executor_config_t executor = {.kernels = t->kernels,
                                  .device = t->device,
                                  .samples_per_shard = t->samples_per_shard,
                                  .shard_count = t->shard_count,
                                  .shard_first = t->shard_first,
                                  .backward = true,
                                  .gather = gather_shards,
                                  .gather_context = t,
                                  .batch_shards = t->shards};
    return executor_open(t->graph, &executor, &t->executor);
}

static void bind(trainer_t *t) {
    executor_state_t state = {.offsets = t->flat.offsets, .weights = reduce_weights(t->reduce)};
    for (int i = 0; i < reduce_part_count(t->reduce); i++) {
        state.parts[i] = reduce_part(t->reduce, i);
        state.part_leaves[i] = reduce_part_leaves(t->reduce, i);
        state.part_count = i + 1;
    }
    executor_bind(t->executor, &state);
}

static int64_t weights_elements(const trainer_t *t) { return t->flat.elements + t->flat.constants; }

/* What no other rank takes part in. */
static status_t open_own_state(trainer_t *t) {
    size_t bytes = (size_t)weights_elements(t) * sizeof(float);
    TRY(mirror_open_of(t->device, reduce_weights(t->reduce), bytes, "weights", &t->mirror));
    t->weights = t->mirror.host;
    return optimizer_open(t->config, t->kernels, t->device, t->graph, &t->flat, t->comm, t->reduce,
                          &t->optimizer);
}

static status_t open_state(trainer_t *t, bool for_training) {
    if (!for_training) {
        t->own_weights = alloc_aligned((size_t)weights_elements(t) * sizeof(float));
        t->weights = t->own_weights;
        return STATUS_OK;
    }
    reduce_layout_t layout = flat_state_layout(&t->flat, t->shards);
    bool fast = strcmp(t->config->reduce, "fast") == 0;
    TRY(reduce_open(t->comm, &layout, fast, t->device, t->kernels->add, &t->reduce));
    bind(t);
    return comm_agree(t->comm, open_own_state(t), "open device");
}

/* Control row (data.permute_labels): who learns from permuted labels, and selects by them, knows
 * nothing about the test. */
static status_t open_orders(trainer_t *t) {
    t->train_count = dataset_sample_count(t->dataset, SPLIT_TRAIN);
    t->order = alloc_zero(t->train_count, sizeof *t->order);
    t->sample_order = model_data_order(t->config, t->dataset);
    t->order_epoch = -1;
    bool within = strcmp(t->config->data.permute_within, "person") == 0;
    status_t status = STATUS_OK;
    for (int split = SPLIT_TRAIN; t->config->data.permute_labels && split <= SPLIT_VALID; split++) {
        if (status == STATUS_OK) {
            status =
                batch_permute_labels(&t->batch, (split_t)split, within, (uint64_t)t->config->seed);
        }
    }
    return comm_agree(t->comm, status, "read labels");
}

static status_t same_settings(const trainer_t *t) {
    char *fingerprint = NULL;
    TRY(trainer_fingerprint(t->config, t->kernels, t->device, &fingerprint));
    char *yaml = config_yaml(t->config), *text = text_format("%snumerics: %s", yaml, fingerprint);
    status_t status = same_on_ranks(t->comm, text);
    free(text);
    free(yaml);
    free(fingerprint);
    return status;
}

/* No two ranks may compute on one GPU: they would wait for each other. */
static status_t check_shared(comm_t *comm, const device_t *device) {
    int ranks = comm_size(comm);
    char(*ids)[DEVICE_TEXT_BYTES] = alloc_zero(ranks, sizeof *ids);
    status_t status = comm_all_gather(comm, device->id, sizeof device->id, ids, "open device");
    for (int a = 0; a < ranks && status == STATUS_OK; a++) {
        for (int b = 0; b < a && status == STATUS_OK; b++) {
            if (ids[a][0] != '\0' && strcmp(ids[a], ids[b]) == 0) {
                status = status_fail(STATUS_UNAVAILABLE,
                                     "ranks %d and %d have the same GPU (%s); start one rank for "
                                     "each GPU, or let each see another (Slurm: --gpus-per-task=1)",
                                     b, a, ids[a]);
            }
        }
    }
    free(ids);
    return comm_agree(comm, status, NULL);
}

status_t trainer_check_devices(const config_t *config, comm_t *comm) {
    const kernels_t *kernels = NULL;
    const device_t *device = NULL;
    status_t status = trainer_kernels(config, comm, &kernels, &device);
    status = comm_agree(comm, status, "open device");
    if (status == STATUS_OK) {
        status = check_shared(comm, device);
    }
    device_close(device);
    return status;
}

static status_t open_devices(trainer_t *t) {
    status_t status = trainer_kernels(t->config, t->comm, &t->kernels, &t->device);
    if (status == STATUS_OK) {
        status = kernels_on_host(t->kernels, &t->host_kernels);
    }
    TRY(comm_agree(t->comm, status, "open device"));
    TRY(same_settings(t));
    return check_shared(t->comm, t->device);
}

static status_t open_all(trainer_t *t, const char *data_path, const standardize_t *standardize,
                         const target_fit_t *target_fit, bool for_training) {
    TRY(open_devices(t));
    name_streams(t);
    status_t status = open_data(t, data_path, standardize);
    if (status == STATUS_OK) {
        status = check_sizes(t, for_training);
    }
    TRY(comm_agree(t->comm, status, "open data"));
    TRY(same_on_ranks(t->comm, dataset_identity(t->dataset)));
    if (target_fit != NULL) {
        t->target_fit = *target_fit;
    } else {
        TRY(comm_agree(t->comm, target_fit_open(t->config, t->dataset, &t->target_fit),
                       "read labels"));
    }
    if (standardize != NULL) {
        t->standardize = *standardize;
    } else if (strcmp(t->config->data.standardize, "train") == 0) {
        TRY(standardize_fit(t->comm, t->dataset, t->modality_count, &t->standardize));
    }
    TRY(comm_agree(t->comm, open_model(t, for_training), "build model"));
    TRY(open_state(t, for_training));
    status = batch_open(t->executor, t->graph, t->dataset, &t->standardize, t->dims, t->config,
                        &t->batch);
    if (status == STATUS_OK && t->device->range_begin != NULL) {
        status = trainer_trace(t, 0);
    }
    TRY(comm_agree(t->comm, status, "open data"));
    return open_orders(t);
}

status_t trainer_open(const config_t *config, comm_t *comm, const char *data_path,
                      const standardize_t *standardize, const target_fit_t *target_fit,
                      bool for_training, trainer_t **trainer_out) {
    trainer_t *t = alloc_zero(1, sizeof *t);
    t->config = config;
    t->comm = comm;
    t->shards = (int)config->virtual_shards;
    t->samples_per_shard = config->batch / config->virtual_shards;
    tree_node_t run = tree_run(t->shards, comm_rank(comm), comm_size(comm));
    t->shard_first = run.begin;
    t->shard_begins = alloc_zero(comm_size(comm) + 1, sizeof *t->shard_begins);
    t->shard_count = for_training || run.end > run.begin ? run.end - run.begin : 1;
    t->progress.best_step = -1;
    for (int i = 0; i < CONFIG_BEST_MAX; i++) {
        t->progress.bests[i] = (double)NAN;
    }
    if (t->shard_count < 1) {
        t->shard_count = 1; /* more ranks than shards: refused in check_sizes */
    }
    if (!for_training) { /* as many at a time as in training, each as it would be alone */
        int64_t slots = t->shard_count * t->samples_per_shard;
        t->samples_per_shard = predictor_samples(config, config->data.window);
        t->shard_count = (int)div_up(slots, t->samples_per_shard);
    }
    status_t status = open_all(t, data_path, standardize, target_fit, for_training);
    if (status != STATUS_OK) {
        trainer_close(t);
        return status;
    }
    *trainer_out = t;
    return STATUS_OK;
}

status_t trainer_trace(trainer_t *t, int64_t slices) {
    trace_close(t->trace);
    t->trace = NULL;
    status_t status = trace_open(t->device, slices, &t->trace);
    if (t->reduce != NULL) {
        reduce_set_trace(t->reduce, t->trace);
    }
    executor_set_trace(t->executor, t->trace);
    t->batch.trace = t->trace;
    return status;
}

void trainer_close(trainer_t *t) {
    if (t == NULL) {
        return;
    }
    /* First: all else waits for the device, and that perhaps for a rank that does not come. */
    if (t->recording != NULL) {
        t->device->recorder->close(t->device, t->recording);
    }
    reduce_give_up(t->reduce);
    step_sums_close(t->sums);
    if (t->executor != NULL && t->batch.executor != NULL) {
        batch_close(&t->batch);
    }
    trace_close(t->trace); /* the reader has ended */
    optimizer_close(t->optimizer);
    if (t->predictor == NULL) {
        executor_close(t->executor);
    }
    predictor_close(t->predictor);
    mirror_close(&t->mirror);
    reduce_close(t->reduce);
    if (t->flat.offsets != NULL) {
        flat_state_free(&t->flat);
    }
    free(t->own_weights);
    weights_origin_free(&t->origin);
    graph_close(t->graph);
    standardize_free(&t->standardize);
    dataset_close(t->dataset);
    sample_order_close(t->sample_order);
    free(t->order);
    free(t->shard_begins);
    device_close(t->device);
    free(t);
}

int64_t trainer_batches(const trainer_t *t) {
    return sample_batches(t->train_count, t->config->batch);
}

double trainer_flop_per_sample(const trainer_t *t) { return 2.0 * executor_step_macs(t->executor); }

status_t trainer_evaluate(trainer_t *t, split_t split, const char *doing,
                          evaluation_t **evaluation_out) {
    t->order_epoch = -1; /* the stream of an epoch under way ends here */
    if (t->predictor != NULL) {
        predictor_load(t->predictor, t->graph, t->flat.offsets, t->weights);
    }
    return evaluate_split(t->comm, t->config, &t->target_fit, t->host_kernels, &t->batch,
                          t->samples_per_shard, split, doing, evaluation_out);
}

/* --- weights --------------------------------------------------------------------------------- */

void trainer_read_state(trainer_t *t) {
    if (t->optimizer != NULL) {
        mirror_read(&t->mirror);
        optimizer_read(t->optimizer);
    }
}

void trainer_write_state(trainer_t *t) {
    if (t->optimizer != NULL) {
        mirror_write(&t->mirror);
        optimizer_write(t->optimizer);
        t->device->synchronize(t->device); /* the host may change them again */
    }
}

float *trainer_begin_weights(trainer_t *t) {
    bool ours = t->reduce == NULL || reduce_writes_weights(t->reduce);
    return ours ? t->weights : alloc_aligned((size_t)weights_elements(t) * sizeof(float));
}

void trainer_end_weights(trainer_t *t, float *weights) {
    if (weights != t->weights) {
        free(weights);
    }
}

static status_t begin_with_files(trainer_t *t, float *weights) {
    weights_origin_free(&t->origin);
    status_t status = weights_init(t->config, t->graph, t->flat.offsets, weights, &t->origin);
    TRY(comm_agree(t->comm, status, NULL));
    TRY(same_on_ranks(t->comm, t->origin.files));
    char *people = trained_on_join(t->origin.trained_on, dataset_trained_on(t->dataset));
    free(t->origin.trained_on);
    t->origin.trained_on = people; /* features begin with somebody's weights, too */
    weights_origin_say(&t->origin, t->dataset, t->config->split.allow_subject_overlap);
    return STATUS_OK;
}

char *trainer_trained_on(const trainer_t *t) {
    char *own = trained_on_text(t->dataset), *joined = trained_on_join(own, t->origin.trained_on);
    free(own);
    return joined;
}

static status_t fill_weights(trainer_t *t, bool files, float *weights) {
    flat_state_init(&t->flat, t->graph, (uint64_t)t->config->seed, weights);
    if (files) {
        TRY(begin_with_files(t, weights));
    }
    fold_constants(t->host_kernels, t->graph, t->flat.offsets, weights);
    tensor_set_t initial = {0};
    export_parameters(t->graph, t->flat.offsets, weights, &initial);
    tensor_set_hash(&initial, t->initial_hash);
    tensor_set_free(&initial);
    status_t status = model_is_control(t->config) ? control_fit(t, weights) : STATUS_OK;
    trainer_write_state(t);
    return comm_agree(t->comm, status, "initialise weights");
}

status_t trainer_init_weights(trainer_t *t, bool files) {
    float *weights = trainer_begin_weights(t);
    status_t status = fill_weights(t, files, weights);
    trainer_end_weights(t, weights);
    return status;
}
