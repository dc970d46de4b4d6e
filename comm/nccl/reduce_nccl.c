/* The reduction between GPUs. Per step and bucket b, on rank P:
 *
 *   compute stream (the device's)            stream of messages
 *   backward writes the parts of b
 *   publish: event ready[b]             -->  waits for it; sends every other rank its slice of each
 *                                            part, receives the own slice of theirs; moved[b]
 *   finish: waits for moved[b]          <--
 *     folds the own slice: the additions of the canonical tree, into the own part 0
 *   the caller updates the own slices of the weights
 *   share: event updated                -->  waits; sends the own slices to all, receives theirs
 *   waits for shared                    <--  event shared
 *
 * So the next backward overwrites parts, and the next forward reads weights, only after all
 * messages of the step. Slices differ in length by a chunk, so weights are gathered by messages.
 *
 * All ranks publish the buckets in one order: NCCL pairs messages by it. The host waits where the
 * caller says so (reduce_wait), where a rank that does not come is reported. All of a step can be
 * recorded (device.h): nothing in it waits for the device, and messages begin and end on the
 * compute stream. */
#include <stdlib.h>

#include "comm/nccl/nccl_group.h"
#include "comm/reduce_internal.h"
#include "kernels/base/bytes.h"

typedef struct owned {
    nccl_group_t *group;
    cudaStream_t compute, messages;
    cudaEvent_t *ready, *moved; /* by bucket */
    cudaEvent_t updated, shared, asked, answered, called;
    float *received; /* by source of another rank: its part of the own slices, end to end */
    float *scratch;  /* by scratch piece of the folds: the longest own slice */
    int64_t slices_length, longest; /* elements: of all own slices, of one */
    int *source_rank, *source_part;
} owned_t;

static int64_t length_of(range_t range) { return range.end - range.begin; }

/* --- messages -------------------------------------------------------------------------------- */

static float *received_at(const reduce_t *reduce, int source, int bucket) {
    const owned_t *own = reduce->own;
    return own->received + source * own->slices_length + reduce->slice_at[bucket];
}

/* Inside a group, whose end reports what goes wrong. */
static void send_parts(const reduce_t *reduce, int bucket, int peer) {
    const owned_t *own = reduce->own;
    range_t theirs = reduce_slice_range(reduce, bucket, peer);
    for (int part = 0; part < reduce->part_count && length_of(theirs) > 0; part++) {
        (void)ncclSend(reduce->parts[part] + theirs.begin, (size_t)length_of(theirs), ncclFloat32,
                       peer, nccl_handle(own->group), own->messages);
    }
}

static void receive_parts(const reduce_t *reduce, int bucket) {
    const owned_t *own = reduce->own;
    range_t mine = reduce_slice_range(reduce, bucket, reduce->comm->rank);
    for (int i = 0; i < reduce->source_count && length_of(mine) > 0; i++) {
        if (own->source_rank[i] != reduce->comm->rank) {
            (void)ncclRecv(received_at(reduce, i, bucket), (size_t)length_of(mine), ncclFloat32,
                           own->source_rank[i], nccl_handle(own->group), own->messages);
        }
    }
}

static void exchange_weights(const reduce_t *reduce, int bucket, int peer) {
    const owned_t *own = reduce->own;
    range_t mine = reduce_slice_range(reduce, bucket, reduce->comm->rank);
    range_t theirs = reduce_slice_range(reduce, bucket, peer);
    if (length_of(mine) > 0) {
        (void)ncclSend(reduce->weights + mine.begin, (size_t)length_of(mine), ncclFloat32, peer,
                       nccl_handle(own->group), own->messages);
    }
    if (length_of(theirs) > 0) {
        (void)ncclRecv(reduce->weights + theirs.begin, (size_t)length_of(theirs), ncclFloat32, peer,
                       nccl_handle(own->group), own->messages);
    }
}

static status_t follow(cudaStream_t stream, cudaEvent_t event, cudaStream_t recorded_on,
                       const char *operation) {
    TRY(nccl_cuda_status(cudaEventRecord(event, recorded_on), operation));
    return nccl_cuda_status(cudaStreamWaitEvent(stream, event, 0), operation);
}

static range_t bucket_range(const reduce_t *reduce, int bucket) {
    return reduce_range(&reduce->layout, reduce->layout.buckets[bucket]);
}

static void fold_local(const reduce_t *reduce, int bucket) {
    range_t all = bucket_range(reduce, bucket);
    float *into = reduce->parts[0] + all.begin;
    for (int part = 1; part < reduce->part_count && length_of(all) > 0; part++) {
        reduce->add(reduce->device, into, into, reduce->parts[part] + all.begin, length_of(all));
    }
}

/* --- a step ---------------------------------------------------------------------------------- */

static status_t publish(reduce_t *reduce, int bucket) {
    const char *operation = "reduce_publish";
    owned_t *own = reduce->own;
    if (reduce->fast) {
        fold_local(reduce, bucket);
    }
    TRY(follow(own->messages, own->ready[bucket], own->compute, operation));
    trace_begin_row(reduce->trace, reduce->fast ? "all-reduce" : "all-to-all", "bucket", bucket,
                    own->messages);
    (void)ncclGroupStart();
    range_t all = bucket_range(reduce, bucket);
    if (reduce->fast && length_of(all) > 0) {
        float *part = reduce->parts[0] + all.begin;
        (void)ncclAllReduce(part, part, (size_t)length_of(all), ncclFloat32, ncclSum,
                            nccl_handle(own->group), own->messages);
    }
    for (int i = 1; i < reduce->comm->size && !reduce->fast; i++) {
        send_parts(reduce, bucket, (reduce->comm->rank + i) % reduce->comm->size);
    }
    if (!reduce->fast) {
        receive_parts(reduce, bucket);
    }
    TRY(nccl_end_group(own->group, operation));
    trace_end(reduce->trace, TRACK_MAIN);
    return nccl_cuda_status(cudaEventRecord(own->moved[bucket], own->messages), operation);
}

static const float *read_at(const reduce_t *reduce, int operand, int bucket, int64_t begin) {
    const owned_t *own = reduce->own;
    if (operand < 0) {
        return own->scratch + (-1 - operand) * own->longest;
    }
    return own->source_rank[operand] == reduce->comm->rank
               ? reduce->parts[own->source_part[operand]] + begin
               : received_at(reduce, operand, bucket);
}

static void fold(const reduce_t *reduce, int bucket) {
    const owned_t *own = reduce->own;
    range_t mine = reduce_slice_range(reduce, bucket, reduce->comm->rank);
    for (int k = 0; k < reduce->fold_count && length_of(mine) > 0; k++) {
        const fold_t *at = &reduce->folds[k];
        float *out = at->out == FOLD_RESULT ? reduce->parts[0] + mine.begin
                                            : own->scratch + (-1 - at->out) * own->longest;
        reduce->add(reduce->device, out, read_at(reduce, at->a, bucket, mine.begin),
                    read_at(reduce, at->b, bucket, mine.begin), length_of(mine));
    }
}

static status_t finish(reduce_t *reduce) {
    const char *operation = "reduce_finish";
    owned_t *own = reduce->own;
    for (int i = 0; i < reduce->published; i++) {
        int bucket = reduce->order[i];
        TRY(nccl_cuda_status(cudaStreamWaitEvent(own->compute, own->moved[bucket], 0), operation));
        if (!reduce->fast) {
            trace_begin_row(reduce->trace, "tree", "bucket", bucket, own->compute);
            fold(reduce, bucket);
            trace_end(reduce->trace, TRACK_MAIN);
        }
    }
    return STATUS_OK;
}

static status_t share(reduce_t *reduce) {
    const char *operation = "reduce_share";
    owned_t *own = reduce->own;
    TRY(follow(own->messages, own->updated, own->compute, operation));
    for (int b = 0; b < reduce->layout.bucket_count; b++) {
        trace_begin_row(reduce->trace, "all-gather", "bucket", b, own->messages);
        (void)ncclGroupStart();
        for (int i = 1; i < reduce->comm->size; i++) {
            exchange_weights(reduce, b, (reduce->comm->rank + i) % reduce->comm->size);
        }
        TRY(nccl_end_group(own->group, operation));
        trace_end(reduce->trace, TRACK_MAIN);
    }
    return follow(own->compute, own->shared, own->messages, operation);
}

static status_t gather(reduce_t *reduce, double *all, const int64_t *begins,
                       const char *operation) {
    owned_t *own = reduce->own;
    int rank = reduce->comm->rank, size = reduce->comm->size;
    TRY(follow(own->messages, own->asked, own->compute, operation));
    (void)ncclGroupStart();
    for (int i = 1; i < size; i++) {
        int peer = (rank + i) % size;
        (void)ncclSend(all + begins[rank], (size_t)(begins[rank + 1] - begins[rank]), ncclFloat64,
                       peer, nccl_handle(own->group), own->messages);
        (void)ncclRecv(all + begins[peer], (size_t)(begins[peer + 1] - begins[peer]), ncclFloat64,
                       peer, nccl_handle(own->group), own->messages);
    }
    TRY(nccl_end_group(own->group, operation));
    return follow(own->compute, own->answered, own->messages, operation);
}

static status_t wait_for_all(reduce_t *reduce) {
    const char *operation = "reduce_wait";
    owned_t *own = reduce->own;
    TRY(nccl_cuda_status(cudaEventRecord(own->called, own->compute), operation));
    return nccl_wait(own->group, own->called, operation);
}

static int moved(reduce_t *reduce) {
    const owned_t *own = reduce->own;
    int count = 0;
    while (count < reduce->published &&
           cudaEventQuery(own->moved[reduce->order[count]]) == cudaSuccess) {
        count++;
    }
    return count;
}

/* --- opening --------------------------------------------------------------------------------- */

static void plan_sources(reduce_t *reduce) {
    owned_t *own = reduce->own;
    tree_node_t leaves[TREE_NODES_MAX];
    for (int r = 0; r < reduce->comm->size; r++) {
        reduce->source_count += reduce_cover(&reduce->layout, r, reduce->comm->size, leaves);
    }
    own->source_rank = alloc_zero(reduce->source_count, sizeof *own->source_rank);
    own->source_part = alloc_zero(reduce->source_count, sizeof *own->source_part);
    for (int r = 0, i = 0; r < reduce->comm->size; r++) {
        int parts = reduce_cover(&reduce->layout, r, reduce->comm->size, leaves);
        for (int part = 0; part < parts; part++, i++) {
            own->source_rank[i] = r;
            own->source_part[i] = part;
        }
    }
    reduce_plan_folds(reduce);
    for (int b = 0; b < reduce->layout.bucket_count; b++) {
        own->longest = max_i64(own->longest, reduce->slice_at[b + 1] - reduce->slice_at[b]);
    }
    own->slices_length = reduce->slice_at[reduce->layout.bucket_count];
}

static int scratch_pieces(const reduce_t *reduce) {
    int pieces = 0;
    for (int k = 0; k < reduce->fold_count; k++) {
        int out = reduce->folds[k].out;
        pieces = out < 0 && -out > pieces ? -out : pieces;
    }
    return pieces;
}

static status_t alloc_floats(const reduce_t *reduce, int64_t count, const char *what,
                             float **memory_out) {
    void *memory = NULL;
    TRY(reduce->device->alloc(reduce->device, (size_t)count * sizeof(float), what, &memory));
    *memory_out = memory;
    return STATUS_OK;
}

static status_t open_memory(reduce_t *reduce) {
    owned_t *own = reduce->own;
    int64_t elements = reduce->layout.elements;
    TRY(alloc_floats(reduce, elements + reduce->layout.constants, "weights", &reduce->weights));
    for (int part = 0; part < reduce->part_count; part++) {
        TRY(alloc_floats(reduce, elements, "gradients", &reduce->parts[part]));
    }
    if (!reduce->fast) {
        TRY(alloc_floats(reduce, reduce->source_count * own->slices_length,
                         "other ranks' gradients", &own->received));
        TRY(alloc_floats(reduce, scratch_pieces(reduce) * own->longest, "sums of gradients",
                         &own->scratch));
    }
    return STATUS_OK;
}

static status_t open_event(cudaEvent_t *event_out) {
    return nccl_cuda_status(cudaEventCreateWithFlags(event_out, cudaEventDisableTiming),
                            "open the reduction");
}

static status_t open_streams(reduce_t *reduce) {
    owned_t *own = reduce->own;
    int least = 0, greatest = 0;
    own->compute = reduce->device->stream(reduce->device);
    TRY(nccl_cuda_status(cudaDeviceGetStreamPriorityRange(&least, &greatest),
                         "open the reduction"));
    TRY(nccl_cuda_status(
        cudaStreamCreateWithPriority(&own->messages, cudaStreamNonBlocking, greatest),
        "open the reduction"));
    for (int b = 0; b < reduce->layout.bucket_count; b++) {
        TRY(open_event(&own->ready[b]));
        TRY(open_event(&own->moved[b]));
    }
    TRY(open_event(&own->updated));
    TRY(open_event(&own->asked));
    TRY(open_event(&own->answered));
    TRY(open_event(&own->called));
    return open_event(&own->shared);
}

static status_t open_nccl(reduce_t *reduce) {
    owned_t *own = alloc_zero(1, sizeof *own);
    reduce->own = own;
    own->ready = alloc_zero(reduce->layout.bucket_count, sizeof(cudaEvent_t));
    own->moved = alloc_zero(reduce->layout.bucket_count, sizeof(cudaEvent_t));
    plan_sources(reduce);
    status_t status = open_memory(reduce);
    status = status == STATUS_OK ? open_streams(reduce) : status;
    TRY(comm_agree(reduce->comm, status, "open the reduction"));
    return nccl_open(reduce->comm, &own->group);
}

static void close_event(cudaEvent_t event) {
    if (event != NULL) {
        (void)cudaEventDestroy(event);
    }
}

static void close_nccl(reduce_t *reduce) {
    owned_t *own = reduce->own;
    const device_t *device = reduce->device;
    nccl_close(own->group); /* first: what is under way ends, or is given up */
    if (own->messages != NULL) {
        (void)cudaStreamDestroy(own->messages);
    }
    for (int b = 0; b < reduce->layout.bucket_count; b++) {
        close_event(own->ready[b]);
        close_event(own->moved[b]);
    }
    close_event(own->updated);
    close_event(own->shared);
    close_event(own->asked);
    close_event(own->answered);
    close_event(own->called);
    device->release(device, own->received);
    device->release(device, own->scratch);
    device->release(device, reduce->weights);
    for (int part = 0; part < reduce->part_count; part++) {
        device->release(device, reduce->parts[part]);
    }
    free(own->source_rank);
    free(own->source_part);
    free(own->ready);
    free(own->moved);
    free(own);
}

extern const reduce_way_t reduce_nccl; /* plugin.c */
const reduce_way_t reduce_nccl = {open_nccl, close_nccl, publish, finish,
                                  share,     moved,      gather,  wait_for_all};
