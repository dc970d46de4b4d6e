#include "comm/reduce.h"

#include <stdlib.h>
#include <string.h>

#include "comm/reduce_internal.h"
#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "kernels/cuda.h"

/* A window of the host: flags, weights (the first rank's alone), parts; each array on a page of its
 * own. */
enum { WINDOW_ALIGN = 4096 };

static size_t flag_bytes(const reduce_layout_t *layout) {
    return (size_t)align_up((int64_t)sizeof(flag_t) * (FLAG_PUBLISHED + layout->bucket_count),
                            WINDOW_ALIGN);
}

static size_t array_bytes(int64_t elements) {
    return (size_t)align_up(elements * (int64_t)sizeof(float), WINDOW_ALIGN);
}

static size_t weights_bytes(const reduce_layout_t *layout) {
    return array_bytes(layout->elements + layout->constants);
}

int reduce_cover(const reduce_layout_t *layout, int rank, int ranks,
                 tree_node_t leaves_out[TREE_NODES_MAX]) {
    return tree_cover(layout->shards, tree_run(layout->shards, rank, ranks), leaves_out);
}

static bucket_t slice_of(bucket_t bucket, int rank, int ranks) {
    int64_t chunks = bucket.chunk_end - bucket.chunk_begin;
    return (bucket_t){bucket.chunk_begin + share_begin(chunks, ranks, rank),
                      bucket.chunk_begin + share_begin(chunks, ranks, rank + 1)};
}

static size_t parts_at(const reduce_layout_t *layout, bool with_weights) {
    return flag_bytes(layout) + (with_weights ? weights_bytes(layout) : 0);
}

size_t reduce_bytes(const reduce_layout_t *layout, int rank, int ranks, bool with_weights) {
    tree_node_t leaves[TREE_NODES_MAX];
    size_t parts = (size_t)reduce_cover(layout, rank, ranks, leaves);
    return parts_at(layout, with_weights) + parts * array_bytes(layout->elements);
}

size_t reduce_message_bytes(const reduce_layout_t *layout, int rank, int ranks) {
    int64_t elements = 0, parts = 0;
    for (int b = 0; b < layout->bucket_count; b++) {
        range_t slice = reduce_range(layout, slice_of(layout->buckets[b], rank, ranks));
        elements += slice.end - slice.begin;
    }
    for (int r = 0; r < ranks; r++) {
        tree_node_t leaves[TREE_NODES_MAX];
        parts += r == rank ? 0 : reduce_cover(layout, r, ranks, leaves);
    }
    return (size_t)(elements * parts) * sizeof(float);
}

range_t reduce_range(const reduce_layout_t *layout, bucket_t slice) {
    if (slice.chunk_begin == slice.chunk_end) {
        return (range_t){0, 0};
    }
    const chunk_t *last = &layout->chunks[slice.chunk_end - 1];
    return (range_t){layout->chunks[slice.chunk_begin].offset, last->offset + last->count};
}

range_t reduce_slice_range(const reduce_t *reduce, int bucket, int rank) {
    return reduce_range(&reduce->layout, reduce_slice(reduce, bucket, rank));
}

bucket_t reduce_slice(const reduce_t *reduce, int bucket, int rank) {
    REQUIRE(bucket >= 0 && bucket < reduce->layout.bucket_count);
    return slice_of(reduce->layout.buckets[bucket], rank, reduce->comm->size);
}

int reduce_part_count(const reduce_t *reduce) { return reduce->part_count; }

tree_node_t reduce_part_leaves(const reduce_t *reduce, int part) {
    REQUIRE(part >= 0 && part < reduce->part_count);
    return reduce->leaves[part];
}

static char *window_of(const reduce_t *reduce, int local) {
    return reduce->windows.count > 0 ? reduce->windows.base[local] : reduce->memory;
}

static float *window_weights(const reduce_t *reduce) {
    return (float *)(void *)(window_of(reduce, 0) + flag_bytes(&reduce->layout));
}

static float *window_part(const reduce_t *reduce, int local, int part) {
    const reduce_layout_t *layout = &reduce->layout;
    size_t parts = (size_t)part * array_bytes(layout->elements);
    return (float *)(void *)(window_of(reduce, local) + parts_at(layout, local == 0) + parts);
}

float *reduce_part(reduce_t *reduce, int part) {
    REQUIRE(part >= 0 && part < reduce->part_count);
    return reduce->parts[part];
}

float *reduce_weights(reduce_t *reduce) { return reduce->weights; }

bool reduce_writes_weights(const reduce_t *reduce) {
    return reduce->way != &reduce_host || reduce->comm->local_index == 0;
}

const float *reduce_gradient(const reduce_t *reduce) { return reduce->parts[0]; }

int reduce_joining_hosts(const reduce_t *reduce) { return reduce->joining_hosts; }

reduce_times_t reduce_last_times(const reduce_t *reduce) { return reduce->times; }

static void check_layout(const reduce_layout_t *layout) {
    int64_t end = 0, chunk = 0;
    for (int64_t c = 0; c < layout->chunk_count; c++) {
        const chunk_t *at = &layout->chunks[c];
        REQUIRE(at->offset >= end && at->count >= 1 && at->count <= CHUNK_ELEMENTS);
        end = at->offset + at->count;
    }
    REQUIRE(end <= layout->elements);
    for (int b = 0; b < layout->bucket_count; b++) {
        REQUIRE(layout->buckets[b].chunk_begin == chunk);
        REQUIRE(layout->buckets[b].chunk_end >= chunk);
        chunk = layout->buckets[b].chunk_end;
    }
    REQUIRE(chunk == layout->chunk_count && layout->shards > 0);
}

static void layout_digest(const reduce_layout_t *layout, bool fast,
                          char text_out[SHA256_TEXT_BYTES]) {
    int64_t numbers[] = {layout->elements,     layout->constants, layout->chunk_count,
                         layout->bucket_count, layout->shards,    fast};
    sha256_t *hash = sha256_open();
    sha256_add(hash, numbers, sizeof numbers);
    sha256_add(hash, layout->chunks, (size_t)layout->chunk_count * sizeof *layout->chunks);
    sha256_add(hash, layout->buckets, (size_t)layout->bucket_count * sizeof *layout->buckets);
    sha256_close(hash, text_out);
}

/* Ranks with different layouts would add weights to biases without a word. */
static status_t agree_layout(comm_t *comm, const reduce_layout_t *layout, bool fast) {
    char mine[SHA256_TEXT_BYTES] = {0};
    layout_digest(layout, fast, mine);
    char(*all)[SHA256_TEXT_BYTES] = alloc_zero(comm->size, sizeof *all);
    status_t status = comm_all_gather(comm, mine, sizeof mine, all, "compare layouts");
    if (status == STATUS_OK) {
        if (memcmp(all[0], mine, sizeof mine) != 0) {
            status =
                status_fail(STATUS_FAILED, "this rank's model or V differs from rank 0's; give "
                                           "all ranks the same program and configuration");
        } else if (comm->size > layout->shards) {
            status = status_fail(STATUS_INPUT,
                                 "%d ranks but only %d virtual shards; start at most %d ranks or "
                                 "raise virtual_shards",
                                 comm->size, layout->shards, layout->shards);
        }
        status = comm_agree(comm, status, "reduce_open");
    }
    free(all);
    return status;
}

static status_t open_memory(reduce_t *reduce) {
    comm_t *comm = reduce->comm;
    size_t bytes = reduce_bytes(&reduce->layout, comm->rank, comm->size, comm->local_index == 0);
    if (comm->host_count == comm->size) { /* nobody to share with, anywhere */
        reduce->memory = alloc_aligned(bytes);
        return STATUS_OK;
    }
    TRY(comm_shared_open(comm, bytes, "the reduction", &reduce->windows));
    reduce->memory = reduce->windows.base[comm->local_index];
    return STATUS_OK;
}

static void plan_sources(reduce_t *reduce) {
    comm_t *comm = reduce->comm;
    tree_node_t leaves[TREE_NODES_MAX];
    for (int r = 0; r < comm->size; r++) {
        reduce->source_count += reduce_cover(&reduce->layout, r, comm->size, leaves);
    }
    reduce->sources = alloc_zero(reduce->source_count, sizeof *reduce->sources);
    for (int r = 0, local = 0, i = 0; r < comm->size; r++) {
        bool here = comm->host_of[r] == comm->host;
        int parts = reduce_cover(&reduce->layout, r, comm->size, leaves);
        for (int part = 0; part < parts; part++) {
            reduce->sources[i++] =
                (source_t){r, part, !here, here ? window_part(reduce, local, part) : NULL};
        }
        local += here;
    }
}

status_t reduce_open_windows(reduce_t *reduce) {
    TRY(open_memory(reduce));
    reduce->weights = window_weights(reduce);
    for (int part = 0; part < reduce->part_count; part++) {
        reduce->parts[part] = window_part(reduce, reduce->comm->local_index, part);
    }
    plan_sources(reduce);
    return STATUS_OK;
}

static const reduce_way_t *way_of(const reduce_t *reduce) {
    if (reduce->device->host) {
        return &reduce_host;
    }
    if (reduce->comm->size == 1) {
        return &reduce_alone;
    }
    const reduce_way_t *between = cuda_reduce_way();
    return between != NULL ? between : &reduce_none;
}

status_t reduce_open(comm_t *comm, const reduce_layout_t *layout, bool fast, const device_t *device,
                     reduce_add_t *add, reduce_t **reduce_out) {
    check_layout(layout);
    TRY(agree_layout(comm, layout, fast));
    reduce_t *reduce = alloc_zero(1, sizeof *reduce);
    reduce->comm = comm;
    reduce->layout = *layout;
    reduce->fast = fast && comm->size > 1;
    reduce->device = device;
    reduce->add = add;
    reduce->way = way_of(reduce);
    reduce->joining_hosts = 1;
    reduce->part_count = reduce_cover(layout, comm->rank, comm->size, reduce->leaves);
    reduce->order = alloc_zero(layout->bucket_count, sizeof *reduce->order);
    reduce->slice_at = alloc_zero(layout->bucket_count + 1, sizeof *reduce->slice_at);
    reduce->published_ns = alloc_zero(layout->bucket_count, sizeof *reduce->published_ns);
    for (int b = 0; b < layout->bucket_count; b++) {
        range_t slice = reduce_slice_range(reduce, b, comm->rank);
        reduce->slice_at[b + 1] = reduce->slice_at[b] + slice.end - slice.begin;
    }
    status_t status = reduce->way->open(reduce);
    if (status != STATUS_OK) {
        reduce_close(reduce);
        return status;
    }
    *reduce_out = reduce;
    return STATUS_OK;
}

void reduce_give_up(reduce_t *reduce) {
    if (reduce != NULL && reduce->way->give_up != NULL) {
        reduce->way->give_up(reduce);
    }
}

void reduce_close(reduce_t *reduce) {
    if (reduce == NULL) {
        return;
    }
    reduce->way->close(reduce);
    free(reduce->sources);
    fold_plan_free(&reduce->plan);
    free(reduce->scratch);
    free(reduce->slice_at);
    free(reduce->order);
    free(reduce->published_ns);
    free(reduce);
}

/* --- a step ---------------------------------------------------------------------------------- */

status_t reduce_publish(reduce_t *reduce, int bucket) {
    REQUIRE(bucket >= 0 && bucket < reduce->layout.bucket_count);
    REQUIRE(reduce->published < reduce->layout.bucket_count);
    if (comm_is_broken(reduce->comm)) {
        return reduce->comm->broken;
    }
    if (reduce->published == 0) {
        reduce->step++;
        reduce->begun_s = clock_s();
        reduce->exposed_s = 0.0;
    }
    for (int i = 0; i < reduce->published; i++) {
        REQUIRE(reduce->order[i] != bucket && "published twice");
    }
    reduce->order[reduce->published++] = bucket;
    reduce->published_ns[bucket] = trace_now(reduce->trace);
    return reduce->way->publish(reduce, bucket);
}

status_t reduce_gather(reduce_t *reduce, double *all, const int64_t *begins,
                       const char *operation) {
    if (reduce->comm->size == 1) {
        return STATUS_OK;
    }
    bool enters = reduce->way->wait != NULL; /* between hosts it is an operation of comm's */
    if (enters) {
        TRY(comm_enter(reduce->comm, operation));
    }
    trace_begin_operation(reduce->trace, TRACK_MAIN, operation, "reduce.gather");
    status_t status = reduce->way->gather(reduce, all, begins, operation);
    trace_end(reduce->trace, TRACK_MAIN);
    return enters ? comm_leave(reduce->comm, status) : status;
}

status_t reduce_wait(reduce_t *reduce) {
    if (reduce->comm->size == 1 || reduce->way->wait == NULL) {
        return STATUS_OK;
    }
    TRY(comm_enter(reduce->comm, "reduce_wait"));
    return comm_leave(reduce->comm, reduce->way->wait(reduce));
}

void reduce_set_trace(reduce_t *reduce, trace_t *trace) { reduce->trace = trace; }

int reduce_moved(reduce_t *reduce) { return reduce->way->moved(reduce); }

status_t reduce_finish(reduce_t *reduce) {
    double start_s = clock_s();
    REQUIRE(reduce->published == reduce->layout.bucket_count);
    TRY(comm_enter(reduce->comm, "reduce_finish"));
    status_t status = reduce->way->finish(reduce);
    reduce->exposed_s += clock_s() - start_s;
    return comm_leave(reduce->comm, status);
}

status_t reduce_share(reduce_t *reduce) {
    double start_s = clock_s();
    TRY(comm_enter(reduce->comm, "reduce_share"));
    status_t status = reduce->comm->size > 1 ? reduce->way->share(reduce) : STATUS_OK;
    reduce->published = 0;
    double end_s = clock_s();
    reduce->times.total_ms = 1e3 * (end_s - reduce->begun_s);
    reduce->times.exposed_ms = 1e3 * (reduce->exposed_s + end_s - start_s);
    return comm_leave(reduce->comm, status);
}
