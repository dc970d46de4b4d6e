#include "trainer/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/bytes.h"
#include "trainer/mirror.h"

enum { STATES_MAX = 2 };

struct optimizer {
    const config_t *config;
    const kernels_t *kernels;
    const device_t *device;
    const graph_t *graph;
    const flat_state_t *flat;
    comm_t *comm;
    reduce_t *reduce;
    optimizer_kind_t kind;
    int state_count;
    mirror_t state[STATES_MAX];
    mirror_t spans; /* own chunks in flat order */
    int64_t span_count;
    int64_t *own_offset; /* by chunk: where its state begins in state[], -1: not ours */
    int64_t own_elements;
    int64_t updates;
    double *partials; /* on the device: squares by chunk, those of rank 0's spans first */
    int64_t *begins;  /* by rank, and behind the last: in partials */
    mirror_t order;   /* by chunk: where in partials */
    double *ordered;  /* on the device: squares by chunk */
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
            o->begins[r + 1] += slice.chunk_end - slice.chunk_begin;
        }
        bucket_t own = reduce_slice(o->reduce, b, rank);
        for (int64_t c = own.chunk_begin; c < own.chunk_end; c++) {
            o->own_offset[c] = o->own_elements;
            o->own_elements += align_up(o->flat->chunks[c].count, FLAT_ALIGNMENT);
            o->span_count++;
        }
    }
    for (int r = 0; r < ranks; r++) {
        o->begins[r + 1] += o->begins[r];
    }
}

static optimizer_span_t span_of(const optimizer_t *o, int64_t c) {
    const chunk_t *chunk = &o->flat->chunks[c];
    parameter_info_t info = graph_parameter_info(o->graph, chunk->tensor);
    optimizer_span_t span = {.offset = chunk->offset,
                             .state = o->own_offset[c],
                             .count = chunk->count,
                             .role = SPAN_FIXED};
    if (info.role == PARAMETER_LEARNED) {
        span.role = SPAN_LEARNED;
    } else if (info.role == PARAMETER_RUNNING) {
        span.role = SPAN_RUNNING;
        span.momentum = info.momentum;
    }
    return span;
}

static void order_chunks(const optimizer_t *o, int64_t *order) {
    int64_t next = 0;
    for (int r = 0; r < comm_size(o->comm); r++) {
        for (int b = 0; b < o->flat->bucket_count; b++) {
            bucket_t slice = reduce_slice(o->reduce, b, r);
            for (int64_t c = slice.chunk_begin; c < slice.chunk_end; c++) {
                order[c] = next++;
            }
        }
    }
}

static status_t open_squares(optimizer_t *o) {
    size_t bytes = (size_t)o->flat->chunk_count * sizeof(double);
    void *memory = NULL;
    TRY(o->device->alloc(o->device, bytes, "the optimizer", &memory));
    o->partials = memory;
    TRY(o->device->alloc(o->device, bytes, "the optimizer", &memory));
    o->ordered = memory;
    TRY(mirror_open(o->device, (size_t)o->flat->chunk_count * sizeof(int64_t), "the optimizer",
                    &o->order));
    order_chunks(o, o->order.host);
    mirror_write(&o->order);
    return STATUS_OK;
}

static status_t open_spans(optimizer_t *o) {
    size_t spans = (size_t)o->span_count * sizeof(optimizer_span_t);
    TRY(mirror_open(o->device, spans, "the optimizer", &o->spans));
    optimizer_span_t *own = o->spans.host;
    int64_t next = 0;
    for (int64_t c = 0; c < o->flat->chunk_count; c++) {
        if (o->own_offset[c] >= 0) {
            own[next++] = span_of(o, c);
        }
    }
    mirror_write(&o->spans);
    return STATUS_OK;
}

static status_t open_memory(optimizer_t *o) {
    size_t bytes = (size_t)o->own_elements * sizeof(float);
    for (int s = 0; s < o->state_count; s++) {
        TRY(mirror_open(o->device, bytes, "the optimizer", &o->state[s]));
    }
    TRY(open_squares(o));
    return open_spans(o);
}

status_t optimizer_open(const config_t *config, const kernels_t *kernels, const device_t *device,
                        const graph_t *graph, const flat_state_t *flat, comm_t *comm,
                        reduce_t *reduce, optimizer_t **optimizer_out) {
    optimizer_t *o = alloc_zero(1, sizeof *o);
    o->config = config;
    o->kernels = kernels;
    o->device = device;
    o->graph = graph;
    o->flat = flat;
    o->comm = comm;
    o->reduce = reduce;
    o->kind = kind_of(config->optimizer.name);
    o->own_offset = alloc_zero(flat->chunk_count, sizeof *o->own_offset);
    o->begins = alloc_zero(comm_size(comm) + 1, sizeof *o->begins);
    assign_slices(o);
    o->state_count = o->kind == OPTIMIZER_SGD ? config->optimizer.momentum > 0.0 : 2;
    status_t status = open_memory(o);
    if (status != STATUS_OK) {
        optimizer_close(o);
        return status;
    }
    *optimizer_out = o;
    return STATUS_OK;
}

void optimizer_close(optimizer_t *o) {
    if (o == NULL) {
        return;
    }
    const device_t *device = o->device;
    for (int s = 0; s < o->state_count; s++) {
        mirror_close(&o->state[s]);
    }
    mirror_close(&o->spans);
    mirror_close(&o->order);
    device->release(device, o->partials);
    device->release(device, o->ordered);
    free(o->own_offset);
    free(o->begins);
    free(o);
}

void optimizer_begin(const optimizer_t *o, double learning_rate, step_now_t *now) {
    const config_t *config = o->config;
    now->learning_rate = learning_rate;
    now->keep = 1.0 - learning_rate * config->optimizer.weight_decay;
    now->update_index = o->updates + 1;
    now->correction1 = 1.0 - pow(config->optimizer.beta1, (double)now->update_index);
    now->correction2 = 1.0 - pow(config->optimizer.beta2, (double)now->update_index);
}

status_t optimizer_sum_squares(optimizer_t *o) {
    o->kernels->sum_squares_spans(o->device, reduce_gradient(o->reduce), o->spans.there,
                                  o->span_count, o->partials + o->begins[comm_rank(o->comm)]);
    return reduce_gather(o->reduce, o->partials, o->begins, "gradient norm");
}

void optimizer_judge(optimizer_t *o, const judge_call_t *step) {
    judge_call_t call = *step;
    call.device = o->device;
    call.partials = o->partials;
    call.order = o->order.there;
    call.ordered = o->ordered;
    call.partial_count = o->flat->chunk_count;
    call.clip_norm = o->config->optimizer.clip_norm;
    o->kernels->judge(&call);
}

void optimizer_update(optimizer_t *o, const step_now_t *now) {
    const config_t *config = o->config;
    optimizer_call_t call = {
        .device = o->device,
        .kind = o->kind,
        .weight_decay = config->optimizer.weight_decay,
        .momentum = config->optimizer.momentum,
        .nesterov = config->optimizer.nesterov,
        .beta1 = config->optimizer.beta1,
        .beta2 = config->optimizer.beta2,
        .epsilon = config->optimizer.epsilon,
        .shards = config->virtual_shards,
        .weight = reduce_weights(o->reduce),
        .gradient = reduce_gradient(o->reduce),
        .m = o->state[0].there,
        .v = o->state[1].there,
        .spans = o->spans.there,
        .span_count = o->span_count,
        .now = now,
    };
    o->kernels->optimizer_update(&call);
}

void optimizer_applied(optimizer_t *o) { o->updates++; }

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
    return (float *)o->state[state].host + o->own_offset[chunk];
}

void optimizer_read(optimizer_t *o) {
    for (int s = 0; s < o->state_count; s++) {
        mirror_read(&o->state[s]);
    }
}

void optimizer_write(optimizer_t *o) {
    for (int s = 0; s < o->state_count; s++) {
        mirror_write(&o->state[s]);
    }
}

int64_t optimizer_updates(const optimizer_t *o) { return o->updates; }
void optimizer_set_updates(optimizer_t *o, int64_t updates) { o->updates = updates; }

size_t optimizer_bytes(const optimizer_t *o) {
    return (size_t)o->own_elements * sizeof(float) * (size_t)o->state_count;
}
