/* The reduction between GPUs. Per step and bucket b, on rank P:
 *
 *   compute stream (the device's)            stream of messages
 *   backward writes the parts of b
 *   publish: event ready[b]             -->  waits for it; sends every other rank its slice of each
 *                                            part, receives the own slice of theirs
 *                                            several hosts: below; moved[b]
 *   finish: waits for moved[b]          <--
 *     folds the own slice: the additions of the canonical tree, into the own part 0
 *   the caller updates the own slices of the weights
 *   share: event updated                -->  waits; sends the own slices to all, receives theirs
 *   waits for shared                    <--  event shared
 *
 * So the next backward overwrites parts, and the next forward reads weights, only after all
 * messages of the step. Slices differ in length by a chunk, so weights are gathered by messages.
 *
 * Several hosts with several ranks (levels.h): "every other rank" is those of the own host, "its
 * slice" also those of other hosts' ranks for which it stands in. It joins what its host has of
 * these into the host's largest subtrees, on the stream of messages, so backward goes on, and sends
 * them to whom the slices belong: each part of a host goes to each other host once, by one GPU. The
 * weights go the same way back: the own slices to one rank of each other host, which hands them on
 * to its own. What is joined is needed until it is sent, so its place is every bucket's.
 *
 * All ranks publish the buckets in one order: NCCL pairs messages by it. The host waits where the
 * caller says so (reduce_wait), where a rank that does not come is reported. All of a step can be
 * recorded (device.h): nothing in it waits for the device, and messages begin and end on the
 * compute stream. */
#include <stdlib.h>

#include "comm/levels.h"
#include "comm/nccl/nccl_group.h"
#include "comm/reduce_internal.h"
#include "kernels/base/bytes.h"

typedef struct owned {
    nccl_group_t *group;
    cudaStream_t compute, messages;
    cudaEvent_t *ready, *moved; /* by bucket */
    cudaEvent_t updated, shared, asked, answered, called;
    bool recorded; /* the step that was called last: its events are those of a graph */
    levels_t levels;
    level_part_t *parts; /* what the own slices are the sum of */
    int part_count, local_begin, local_count, node_count;
    fold_plan_t sum, join; /* of the own slices; of what this host has of others' */
    float *received;       /* by part of another rank: of the own slices, end to end */
    float *scratch;        /* by scratch piece of the sum: the longest own slice */
    float *joined;         /* by rank to stand in for, by part of this host and piece of the join */
    int64_t slices_length, longest;      /* elements: of all own slices, of one */
    int64_t *joined_at, *joined_longest; /* by rank: elements */
} owned_t;

static int64_t length_of(range_t range) { return range.end - range.begin; }

/* --- messages -------------------------------------------------------------------------------- */

static float *received_at(const reduce_t *reduce, int part, int bucket) {
    const owned_t *own = reduce->own;
    return own->received + part * own->slices_length + reduce->slice_at[bucket];
}

/* Where part i of own->parts, of this host, is read for the slice of `owner`. */
static float *local_at(const reduce_t *reduce, int i, int owner, int bucket) {
    const owned_t *own = reduce->own;
    if (own->parts[i].rank == reduce->comm->rank) {
        return reduce->parts[own->parts[i].part] + reduce_slice_range(reduce, bucket, owner).begin;
    }
    return owner == reduce->comm->rank ? received_at(reduce, i, bucket)
                                       : own->joined + own->joined_at[owner] +
                                             (i - own->local_begin) * own->joined_longest[owner];
}

/* An operand of the join. */
static float *joined_at(const reduce_t *reduce, int operand, int owner, int bucket) {
    const owned_t *own = reduce->own;
    return operand >= 0 ? local_at(reduce, own->local_begin + operand, owner, bucket)
                        : own->joined + own->joined_at[owner] +
                              (own->local_count - 1 - operand) * own->joined_longest[owner];
}

/* Inside a group, whose end reports what goes wrong. */
static void send_floats(const reduce_t *reduce, const float *from, range_t range, int peer) {
    const owned_t *own = reduce->own;
    if (length_of(range) > 0) {
        (void)ncclSend(from, (size_t)length_of(range), ncclFloat32, peer, nccl_handle(own->group),
                       own->messages);
    }
}

static void receive_floats(const reduce_t *reduce, float *to, range_t range, int peer) {
    const owned_t *own = reduce->own;
    if (length_of(range) > 0) {
        (void)ncclRecv(to, (size_t)length_of(range), ncclFloat32, peer, nccl_handle(own->group),
                       own->messages);
    }
}

static const levels_t *levels_of(const reduce_t *reduce) {
    return &((const owned_t *)reduce->own)->levels;
}

static int local_ranks(const reduce_t *reduce) {
    const levels_t *levels = levels_of(reduce);
    int host = levels->host_of[reduce->comm->rank];
    return levels->first[host + 1] - levels->first[host];
}

/* The others of this host, by i from 1 on: each rank begins with its next. */
static int local_peer(const reduce_t *reduce, int i) {
    const levels_t *levels = levels_of(reduce);
    int rank = reduce->comm->rank, first = levels->first[levels->host_of[rank]];
    return first + (rank - first + i) % local_ranks(reduce);
}

/* To and from ranks of this host: of all slices that the receiver joins. */
static void send_parts(const reduce_t *reduce, int bucket, int peer) {
    for (int owner = 0; owner < reduce->comm->size; owner++) {
        range_t slice = reduce_slice_range(reduce, bucket, owner);
        bool joins = levels_joins(levels_of(reduce), peer, owner);
        for (int part = 0; part < reduce->part_count && joins; part++) {
            send_floats(reduce, reduce->parts[part] + slice.begin, slice, peer);
        }
    }
}

static void receive_parts(const reduce_t *reduce, int bucket) {
    const owned_t *own = reduce->own;
    int rank = reduce->comm->rank, end = own->local_begin + own->local_count;
    for (int owner = 0; owner < reduce->comm->size; owner++) {
        range_t slice = reduce_slice_range(reduce, bucket, owner);
        bool joins = levels_joins(&own->levels, rank, owner);
        for (int i = own->local_begin; i < end && joins; i++) {
            if (own->parts[i].rank != rank) {
                receive_floats(reduce, local_at(reduce, i, owner, bucket), slice,
                               own->parts[i].rank);
            }
        }
    }
}

/* Another host's rank for whose slices this one stands in. */
static bool stands_in(const reduce_t *reduce, int owner) {
    return owner != reduce->comm->rank &&
           levels_joins(levels_of(reduce), reduce->comm->rank, owner);
}

static void join(const reduce_t *reduce, int bucket, int owner) {
    const owned_t *own = reduce->own;
    int64_t count = length_of(reduce_slice_range(reduce, bucket, owner));
    for (int k = 0; k < own->join.count && count > 0; k++) {
        const fold_t *at = &own->join.folds[k];
        reduce->add(reduce->device, joined_at(reduce, at->out, owner, bucket),
                    joined_at(reduce, at->a, owner, bucket),
                    joined_at(reduce, at->b, owner, bucket), count);
    }
}

static void exchange_joined(const reduce_t *reduce, int bucket) {
    const owned_t *own = reduce->own;
    int rank = reduce->comm->rank;
    for (int owner = 0; owner < reduce->comm->size; owner++) {
        for (int n = 0; stands_in(reduce, owner) && n < own->node_count; n++) {
            send_floats(reduce, joined_at(reduce, own->join.values[n], owner, bucket),
                        reduce_slice_range(reduce, bucket, owner), owner);
        }
    }
    for (int i = 0; i < own->part_count; i++) {
        if (own->levels.host_of[own->parts[i].rank] != own->levels.host_of[rank]) {
            receive_floats(reduce, received_at(reduce, i, bucket),
                           reduce_slice_range(reduce, bucket, rank), own->parts[i].rank);
        }
    }
}

static void send_weights(const reduce_t *reduce, int bucket, int owner, int peer) {
    range_t slice = reduce_slice_range(reduce, bucket, owner);
    send_floats(reduce, reduce->weights + slice.begin, slice, peer);
}

static void receive_weights(const reduce_t *reduce, int bucket, int owner, int peer) {
    range_t slice = reduce_slice_range(reduce, bucket, owner);
    receive_floats(reduce, reduce->weights + slice.begin, slice, peer);
}

/* The own slices to one rank of each other host; those of whom this rank stands in for. */
static void weights_between_hosts(const reduce_t *reduce, int bucket) {
    const levels_t *levels = levels_of(reduce);
    int rank = reduce->comm->rank;
    for (int host = 0; host < levels->hosts; host++) {
        if (host != levels->host_of[rank]) {
            send_weights(reduce, bucket, rank, levels_stand_in(levels, rank, host));
        }
    }
    for (int owner = 0; owner < reduce->comm->size; owner++) {
        if (stands_in(reduce, owner)) {
            receive_weights(reduce, bucket, owner, owner);
        }
    }
}

static void weights_within_host(const reduce_t *reduce, int bucket) {
    const levels_t *levels = levels_of(reduce);
    for (int i = 1; i < local_ranks(reduce); i++) {
        int peer = local_peer(reduce, i);
        for (int owner = 0; owner < reduce->comm->size; owner++) {
            if (levels_joins(levels, reduce->comm->rank, owner)) {
                send_weights(reduce, bucket, owner, peer);
            } else if (levels_joins(levels, peer, owner)) {
                receive_weights(reduce, bucket, owner, peer);
            }
        }
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

/* What this host has of other hosts' slices is joined behind its messages, and goes there. */
static status_t publish_to_hosts(const reduce_t *reduce, int bucket, const char *operation) {
    const owned_t *own = reduce->own;
    reduce->device->divert(reduce->device, own->messages);
    for (int owner = 0; owner < reduce->comm->size; owner++) {
        if (stands_in(reduce, owner)) {
            join(reduce, bucket, owner);
        }
    }
    reduce->device->divert(reduce->device, NULL);
    (void)ncclGroupStart();
    exchange_joined(reduce, bucket);
    return nccl_end_group(own->group, operation);
}

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
    for (int i = 1; i < local_ranks(reduce) && !reduce->fast; i++) {
        send_parts(reduce, bucket, local_peer(reduce, i));
    }
    if (!reduce->fast) {
        receive_parts(reduce, bucket);
    }
    TRY(nccl_end_group(own->group, operation));
    if (own->levels.hosts > 1 && !reduce->fast) {
        TRY(publish_to_hosts(reduce, bucket, operation));
    }
    trace_end(reduce->trace, TRACK_MAIN);
    return nccl_cuda_status(cudaEventRecord(own->moved[bucket], own->messages), operation);
}

/* An operand of the sum. */
static float *summed_at(const reduce_t *reduce, int operand, int bucket) {
    const owned_t *own = reduce->own;
    int rank = reduce->comm->rank;
    if (operand == FOLD_RESULT) {
        return reduce->parts[0] + reduce_slice_range(reduce, bucket, rank).begin;
    }
    return operand < 0                        ? own->scratch + (-1 - operand) * own->longest
           : own->parts[operand].rank == rank ? local_at(reduce, operand, rank, bucket)
                                              : received_at(reduce, operand, bucket);
}

static void fold(const reduce_t *reduce, int bucket) {
    const owned_t *own = reduce->own;
    int64_t count = length_of(reduce_slice_range(reduce, bucket, reduce->comm->rank));
    for (int k = 0; k < own->sum.count && count > 0; k++) {
        const fold_t *at = &own->sum.folds[k];
        reduce->add(reduce->device, summed_at(reduce, at->out, bucket),
                    summed_at(reduce, at->a, bucket), summed_at(reduce, at->b, bucket), count);
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

static bool is_recorded(const owned_t *own) {
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    return cudaStreamIsCapturing(own->compute, &status) != cudaSuccess ||
           status != cudaStreamCaptureStatusNone;
}

static status_t share(reduce_t *reduce) {
    const char *operation = "reduce_share";
    owned_t *own = reduce->own;
    TRY(follow(own->messages, own->updated, own->compute, operation));
    int buckets = reduce->layout.bucket_count;
    int lag = own->levels.hosts > 1; /* a bucket comes in while the one before is handed on */
    for (int b = 0; b < buckets + lag; b++) {
        trace_begin_row(reduce->trace, "all-gather", "bucket", b >= lag ? b - lag : 0,
                        own->messages);
        (void)ncclGroupStart();
        if (lag > 0 && b < buckets) {
            weights_between_hosts(reduce, b);
        }
        if (b >= lag) {
            weights_within_host(reduce, b - lag);
        }
        TRY(nccl_end_group(own->group, operation));
        trace_end(reduce->trace, TRACK_MAIN);
    }
    own->recorded = is_recorded(own);
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

/* What has not come of a step that was called; one that is replayed does not say. */
static status_t tell_bucket(const reduce_t *reduce, status_t status) {
    const owned_t *own = reduce->own;
    for (int i = 0; i < reduce->layout.bucket_count; i++) {
        if (cudaEventQuery(own->moved[reduce->order[i]]) != cudaSuccess) {
            return status_fail(status, "%s (gradients of bucket %d have not come)", status_text(),
                               reduce->order[i]);
        }
    }
    return status_fail(status, "%s (all gradients have come, weights have not)", status_text());
}

static status_t wait_for_all(reduce_t *reduce) {
    const char *operation = "reduce_wait";
    owned_t *own = reduce->own;
    TRY(nccl_cuda_status(cudaEventRecord(own->called, own->compute), operation));
    status_t status = nccl_wait(own->group, own->called, operation);
    return status != STATUS_FAILED || own->recorded ? status : tell_bucket(reduce, status);
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

/* Place for what this host has of the slices of other hosts' ranks; its length. */
static int64_t plan_joined(reduce_t *reduce) {
    owned_t *own = reduce->own;
    int64_t length = 0;
    for (int owner = 0; owner < reduce->comm->size; owner++) {
        own->joined_at[owner] = length;
        for (int b = 0; b < reduce->layout.bucket_count && stands_in(reduce, owner); b++) {
            own->joined_longest[owner] = max_i64(own->joined_longest[owner],
                                                 length_of(reduce_slice_range(reduce, b, owner)));
        }
        own->joined_longest[owner] = align_up(own->joined_longest[owner], 64);
        length += (own->local_count + own->join.pieces) * own->joined_longest[owner];
    }
    return length;
}

static void plan_parts(reduce_t *reduce) {
    owned_t *own = reduce->own;
    int rank = reduce->comm->rank, shards = reduce->layout.shards;
    tree_node_t nodes[TREE_NODES_MAX];
    levels_open(&own->levels, reduce->comm->size, reduce->comm->host_of);
    reduce->joining_hosts = reduce->fast ? 1 : own->levels.hosts;
    own->parts = levels_parts(&own->levels, shards, rank, &own->part_count, &own->local_begin,
                              &own->local_count);
    tree_node_t *leaves = alloc_zero(own->part_count, sizeof *leaves);
    for (int i = 0; i < own->part_count; i++) {
        leaves[i] = own->parts[i].leaves;
    }
    own->sum = fold_plan_sum(shards, leaves, own->part_count);
    own->node_count = levels_cover(&own->levels, shards, own->levels.host_of[rank], nodes);
    own->join =
        fold_plan_nodes(nodes, own->node_count, leaves + own->local_begin, own->local_count);
    free(leaves);
    for (int b = 0; b < reduce->layout.bucket_count; b++) {
        own->longest = max_i64(own->longest, reduce->slice_at[b + 1] - reduce->slice_at[b]);
    }
    own->slices_length = reduce->slice_at[reduce->layout.bucket_count];
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
        TRY(alloc_floats(reduce, own->part_count * own->slices_length, "other ranks' gradients",
                         &own->received));
        TRY(alloc_floats(reduce, own->sum.pieces * own->longest, "sums of gradients",
                         &own->scratch));
        TRY(alloc_floats(reduce, plan_joined(reduce), "gradients for other hosts", &own->joined));
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
    own->joined_at = alloc_zero(reduce->comm->size, sizeof *own->joined_at);
    own->joined_longest = alloc_zero(reduce->comm->size, sizeof *own->joined_longest);
    plan_parts(reduce);
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

static void give_up(reduce_t *reduce) {
    owned_t *own = reduce->own;
    if (own->group != NULL) {
        nccl_give_up(own->group);
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
    device->release(device, own->joined);
    device->release(device, reduce->weights);
    for (int part = 0; part < reduce->part_count; part++) {
        device->release(device, reduce->parts[part]);
    }
    levels_close(&own->levels);
    fold_plan_free(&own->sum);
    fold_plan_free(&own->join);
    free(own->parts);
    free(own->joined_at);
    free(own->joined_longest);
    free(own->ready);
    free(own->moved);
    free(own);
}

extern const reduce_way_t reduce_nccl; /* plugin.c */
const reduce_way_t reduce_nccl = {open_nccl, close_nccl, publish,      finish, share,
                                  moved,     gather,     wait_for_all, give_up};
