#include "trainer/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"

enum { STATES_MAX = 2 };

struct optimizer {
    const config_t *config;
    const kernels_t *kernels;
    const graph_t *graph;
    const flat_state_t *flat;
    comm_t *comm;
    reduce_t *reduce;
    optimizer_kind_t kind;
    int state_count;
    float *state[STATES_MAX];
    int64_t *own_offset; /* by chunk: where its state begins in state[], -1: not ours */
    int64_t own_elements;
    int64_t updates;
    double *own_partials, *partials, *ordered; /* squares by chunk */
    size_t *lengths, *offsets;                 /* of each rank's partials */
};

static optimizer_kind_t kind_of(const char *name) {
    if (strcmp(name, "sgd") == 0) {
        return OPTIMIZER_SGD;
    }
    return strcmp(name, "adam") == 0 ? OPTIMIZER_ADAM : OPTIMIZER_ADAMW;
}

/* Own chunks in flat order get consecutive places; counts of all ranks' partials for the gather. */
static void assign_slices(optimizer_t *o) {
    int rank = comm_rank(o->comm), ranks = comm_size(o->comm);
    for (int64_t c = 0; c < o->flat->chunk_count; c++) {
        o->own_offset[c] = -1;
    }
    for (int b = 0; b < o->flat->bucket_count; b++) {
        for (int r = 0; r < ranks; r++) {
            bucket_t slice = reduce_slice(o->reduce, b, r);
            o->lengths[r] += (size_t)(slice.chunk_end - slice.chunk_begin) * sizeof(double);
        }
        bucket_t own = reduce_slice(o->reduce, b, rank);
        for (int64_t c = own.chunk_begin; c < own.chunk_end; c++) {
            o->own_offset[c] = o->own_elements;
            o->own_elements += align_up(o->flat->chunks[c].count, FLAT_ALIGNMENT);
        }
    }
    for (int r = 1; r < ranks; r++) {
        o->offsets[r] = o->offsets[r - 1] + o->lengths[r - 1];
    }
}

status_t optimizer_open(const config_t *config, const kernels_t *kernels, const graph_t *graph,
                        const flat_state_t *flat, comm_t *comm, reduce_t *reduce,
                        optimizer_t **optimizer_out) {
    optimizer_t *o = alloc_zero(1, sizeof *o);
    o->config = config;
    o->kernels = kernels;
    o->graph = graph;
    o->flat = flat;
    o->comm = comm;
    o->reduce = reduce;
    o->kind = kind_of(config->optimizer.name);
    o->own_offset = alloc_zero(flat->chunk_count, sizeof *o->own_offset);
    o->own_partials = alloc_zero(flat->chunk_count, sizeof *o->own_partials);
    o->partials = alloc_zero(flat->chunk_count, sizeof *o->partials);
    o->ordered = alloc_zero(flat->chunk_count, sizeof *o->ordered);
    o->lengths = alloc_zero(comm_size(comm), sizeof *o->lengths);
    o->offsets = alloc_zero(comm_size(comm), sizeof *o->offsets);
    assign_slices(o);
    o->state_count = o->kind == OPTIMIZER_SGD ? config->optimizer.momentum > 0.0 : 2;
    for (int s = 0; s < o->state_count; s++) {
        o->state[s] = alloc_aligned((size_t)o->own_elements * sizeof(float));
    }
    *optimizer_out = o;
    return STATUS_OK;
}

void optimizer_close(optimizer_t *o) {
    if (o == NULL) {
        return;
    }
    for (int s = 0; s < o->state_count; s++) {
        free(o->state[s]);
    }
    free(o->own_offset);
    free(o->own_partials);
    free(o->partials);
    free(o->ordered);
    free(o->lengths);
    free(o->offsets);
    free(o);
}

static parameter_info_t role_of(const optimizer_t *o, const chunk_t *chunk) {
    return graph_parameter_info(o->graph, chunk->tensor);
}

status_t optimizer_norm(optimizer_t *o, double *norm_out) {
    const float *gradient = reduce_gradient(o->reduce);
    int rank = comm_rank(o->comm);
    int64_t count = 0;
    for (int b = 0; b < o->flat->bucket_count; b++) {
        bucket_t own = reduce_slice(o->reduce, b, rank);
        for (int64_t c = own.chunk_begin; c < own.chunk_end; c++) {
            const chunk_t *chunk = &o->flat->chunks[c];
            bool counts = role_of(o, chunk).role == PARAMETER_LEARNED;
            o->own_partials[count++] =
                counts ? o->kernels->sum_squares(gradient + chunk->offset, chunk->count) : 0.0;
        }
    }
    TRY(comm_all_gather_v(o->comm, o->own_partials, o->partials, o->lengths, o->offsets,
                          "gradient norm"));
    int64_t next = 0;
    for (int r = 0; r < comm_size(o->comm); r++) {
        for (int b = 0; b < o->flat->bucket_count; b++) {
            bucket_t slice = reduce_slice(o->reduce, b, r);
            for (int64_t c = slice.chunk_begin; c < slice.chunk_end; c++) {
                o->ordered[c] = o->partials[next++];
            }
        }
    }
    *norm_out = sqrt(tree_sum(o->ordered, o->flat->chunk_count));
    return STATUS_OK;
}

/* sums: over the shards of what a running parameter averages (kernels.h, batch_norm). */
static void average(const parameter_info_t *info, const float *sums, int64_t shards, float *weights,
                    int64_t count) {
    for (int64_t i = 0; i < count && info->role == PARAMETER_RUNNING; i++) {
        double seen = (double)sums[i] / (double)shards, w = (double)weights[i];
        weights[i] = (float)(w + info->momentum * (seen - w));
    }
}

void optimizer_update(optimizer_t *o, double learning_rate, double norm) {
    const config_t *config = o->config;
    double clip = config->optimizer.clip_norm;
    o->updates++;
    optimizer_call_t call = {
        .kind = o->kind,
        .learning_rate = learning_rate,
        .weight_decay = config->optimizer.weight_decay,
        .momentum = config->optimizer.momentum,
        .nesterov = config->optimizer.nesterov,
        .beta1 = config->optimizer.beta1,
        .beta2 = config->optimizer.beta2,
        .epsilon = config->optimizer.epsilon,
        .update_index = o->updates,
        .gradient_scale = clip > 0.0 && norm > clip ? clip / norm : 1.0,
    };
    const float *gradient = reduce_gradient(o->reduce);
    float *weights = reduce_weights(o->reduce);
    int rank = comm_rank(o->comm);
    for (int b = 0; b < o->flat->bucket_count; b++) {
        bucket_t own = reduce_slice(o->reduce, b, rank);
        for (int64_t c = own.chunk_begin; c < own.chunk_end; c++) {
            const chunk_t *chunk = &o->flat->chunks[c];
            parameter_info_t info = role_of(o, chunk);
            if (info.role != PARAMETER_LEARNED) {
                average(&info, gradient + chunk->offset, config->virtual_shards,
                        weights + chunk->offset, chunk->count);
                continue;
            }
            call.weight = weights + chunk->offset;
            call.gradient = gradient + chunk->offset;
            call.m = optimizer_state_chunk(o, 0, c);
            call.v = optimizer_state_chunk(o, 1, c);
            call.count = chunk->count;
            o->kernels->optimizer_update(&call);
        }
    }
}

int optimizer_state_count(const optimizer_t *o) { return o->state_count; }

const char *optimizer_state_name(const optimizer_t *o, int state) {
    if (o->kind == OPTIMIZER_SGD) {
        return "momentum_buffer";
    }
    return state == 0 ? "exp_avg" : "exp_avg_sq";
}

float *optimizer_state_chunk(optimizer_t *o, int state, int64_t chunk) {
    if (state >= o->state_count || o->own_offset[chunk] < 0) {
        return NULL;
    }
    return o->state[state] + o->own_offset[chunk];
}

int64_t optimizer_updates(const optimizer_t *o) { return o->updates; }
void optimizer_set_updates(optimizer_t *o, int64_t updates) { o->updates = updates; }

size_t optimizer_bytes(const optimizer_t *o) {
    return (size_t)o->own_elements * sizeof(float) * (size_t)o->state_count;
}
