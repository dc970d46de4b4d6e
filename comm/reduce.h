/* reduce.h - gradients in, updated weights out: the one reduction algorithm.
 *
 * Flat state is cut into chunks (at most CHUNK_ELEMENTS of one tensor), chunks into buckets, each
 * bucket into one contiguous run of chunks per rank (its slice). Every rank folds its shards into
 * `part_count` subtrees of the canonical tree (tree.h) and writes their gradients into parts that
 * live in memory other ranks of the host can read. Then, per bucket:
 *   1. reduce_publish(bucket)  this rank's parts of the bucket are complete (during backward)
 *   2. reduce_finish           waits for all, finishes the tree on the own slices: sums are left in
 *                              the own gradient slice (reduce_gradient)
 *   3. the caller updates the weights of its own slices, in place
 *   4. reduce_share            every rank sees every slice's weights
 * Ranks of one host read each other's parts and share one copy of the weights; ranks of other hosts
 * get messages. Same bits either way. This is ZeRO-1: optimiser state exists once, with the owner
 * of the slice.
 *
 * Weights, parts and sums lie in the memory of the device. Where that is not the host's, all but
 * publish's and finish's own bookkeeping is ordered with what else is called with the device
 * (device.h), and returns before it is done. */
#ifndef JMT_REDUCE_H
#define JMT_REDUCE_H

#include "comm/comm.h"
#include "comm/tree.h"
#include "kernels/trace.h"

enum { CHUNK_ELEMENTS = 4096 };

typedef struct chunk {
    int64_t offset; /* elements into the flat state */
    int32_t count;  /* 1 .. CHUNK_ELEMENTS */
    int32_t tensor; /* index of the tensor in flat order */
} chunk_t;

typedef struct bucket {
    int64_t chunk_begin, chunk_end;
} bucket_t;

typedef struct reduce_layout { /* pointers stay the caller's and outlive the reduction */
    int64_t elements;          /* length of the flat state, padding included */
    const chunk_t *chunks;
    int64_t chunk_count;
    const bucket_t *buckets; /* cover all chunks in order */
    int bucket_count;
    int shards;        /* V: leaves of the tree */
    int64_t constants; /* elements behind the flat state in the weights: neither reduced nor sent */
} reduce_layout_t;

typedef struct reduce reduce_t;

/* out[i] = a[i] + b[i] of floats, elementwise; out may be a or b. */
typedef void reduce_add_t(const device_t *device, void *out, const void *a, const void *b,
                          int64_t count);

/* Collective. fast: the library's all-reduce instead of the tree (gives up same bits by name); all
 * ranks then publish the buckets in the same order. Refuses more ranks than shards, and ranks whose
 * layouts differ. The device stays the caller's and outlives the reduction. */
status_t reduce_open(comm_t *comm, const reduce_layout_t *layout, bool fast, const device_t *device,
                     reduce_add_t *add, reduce_t **reduce_out) MUST_CHECK;
void reduce_close(reduce_t *reduce); /* collective; NULL allowed */
/* If an operation has failed, and if comm is broken: what a device waits for other ranks with ends
 * without a result, so that who waits for the device does. Recordings of steps are closed before,
 * nothing but reduce_close comes behind. Does nothing if all is well. NULL allowed. */
void reduce_give_up(reduce_t *reduce);

/* This rank's subtrees, left to right, and the memory of their gradients (float, flat order). */
int reduce_part_count(const reduce_t *reduce);
tree_node_t reduce_part_leaves(const reduce_t *reduce, int part);
float *reduce_part(reduce_t *reduce, int part);

/* The weights, flat, float. Ranks that compute on one host have them in common: from reduce_finish
 * to reduce_share each writes its own slices, and outside of steps one rank of them writes
 * (reduce_writes_weights), between two agreements before and after which the others read. A rank
 * reads them from reduce_share until its last bucket is published. On devices each has a copy. */
float *reduce_weights(reduce_t *reduce);
bool reduce_writes_weights(const reduce_t *reduce);

/* Between GPUs: hosts whose ranks join their gradients before they go to another; 1: all exchange
 * with all. */
int reduce_joining_hosts(const reduce_t *reduce);

/* Chunks of bucket b that rank owns: [begin, end). */
bucket_t reduce_slice(const reduce_t *reduce, int bucket, int rank);

/* Whom to tell of buckets on their way and of waiting for others; between two steps. NULL, as it
 * begins: nobody. */
void reduce_set_trace(reduce_t *reduce, trace_t *trace);

/* Once per bucket and step, in any order (with fast, and between GPUs, in one order on all ranks).
 * The parts of that bucket are not the caller's from here
 * until reduce_finish (own slices of part 0) and reduce_share (everything). */
status_t reduce_publish(reduce_t *reduce, int bucket) MUST_CHECK;
/* Buckets of this step whose messages have come and gone while the caller did something else; 0 on
 * one host, where nothing has to move. For those who want to know; nothing waits for it. */
int reduce_moved(reduce_t *reduce);
/* Collective; after all buckets were published. */
status_t reduce_finish(reduce_t *reduce) MUST_CHECK;
/* Collective: doubles of every rank, in memory of the device: rank r's are all[begins[r]] to
 * all[begins[r + 1]]; the own are there, and the others' are brought. operation: as for comm.h. */
status_t reduce_gather(reduce_t *reduce, double *all, const int64_t *begins,
                       const char *operation) MUST_CHECK;
/* Collective. Waits for what has been called with the device; who does not come is reported. On the
 * host there is nothing to wait for. */
status_t reduce_wait(reduce_t *reduce) MUST_CHECK;
/* Finished gradient sums; valid on the own slices after reduce_finish, until the parts are
 * overwritten (they lie in part 0). Flat state order. */
const float *reduce_gradient(const reduce_t *reduce);
/* Collective. After it all weights are up to date, and parts are the caller's again: nobody still
 * reads them. On a device that is not the host's: in the order of what is called with it. */
status_t reduce_share(reduce_t *reduce) MUST_CHECK;

typedef struct reduce_times {
    double total_ms;   /* first publish to last byte, last step */
    double exposed_ms; /* of that, waited for by the main thread */
} reduce_times_t;
reduce_times_t reduce_last_times(const reduce_t *reduce);

/* For `plan`: bytes of shared or private memory that reduce_open takes for this layout, with the
 * weights (the host's first rank) or without, and what the messages of other hosts take on top,
 * were all other ranks there. */
size_t reduce_bytes(const reduce_layout_t *layout, int rank, int ranks, bool with_weights);
size_t reduce_message_bytes(const reduce_layout_t *layout, int rank, int ranks);

#endif
