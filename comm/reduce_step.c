/* One step of the reduction on hosts. Who may touch what, and why it is safe; ranks P and Q of one
 * host, step t; the weights are the same memory for both:
 *
 *   P                                        Q
 *   reads the weights, writes its parts
 *   (forward, backward)
 *   publish b: flag P.published[b] = t  -->  finish: waits for all buckets of all ranks, reads its
 *                                            own slice of P's parts, writes the sums to its own
 *                                            slice of its own part 0
 *                                              (no other rank reads that slice of it)
 *                                            the caller updates Q's slices of the weights
 *   share: waits for all ranks          <--  share: flag Q.updated = t
 *
 * - P may overwrite its parts after share(t): it saw updated = t of all, so all have finished
 *   reading.
 * - Q may update its slices after finish(t): it saw every rank of the host publish all buckets of
 *   t, and a rank reads weights no more once it has published its last.
 * - P may read the weights after share(t): it saw updated = t of all, and who raises that has
 *   updated its slices and received what comes from other hosts through it.
 * - What is written outside of steps (initial weights, a checkpoint) one rank writes, between two
 *   agreements of the callers (reduce.h).
 * - Flags only grow and have one writer; store-release after the data, load-acquire before.
 *
 * Between hosts a message stands for flag and memory. Parts: receive buffers of bucket b are posted
 * in publish(b, t), after finish(t-1) read them; sends are complete before finish returns, and
 * touch only other ranks' slices. Until finish the communication thread moves them
 * (reduce_thread.c). Weights: a slice goes to one rank of each other host, which receives it where
 * all of its host read it; it is posted in share(t), hence after finish(t), like an update of the
 * own. Receives and sends are complete before the flag `updated`. */
#include <stdlib.h>

#include "comm/reduce_internal.h"
#include "kernels/base/bytes.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "flags are shared between processes");

static flag_t *flag_at(const reduce_t *reduce, int local, int flag) {
    return (flag_t *)reduce->windows.base[local] + flag;
}

static void raise_flag(reduce_t *reduce, int flag) {
    if (reduce->windows.count > 0) {
        atomic_store_explicit(&flag_at(reduce, reduce->comm->local_index, flag)->step, reduce->step,
                              memory_order_release);
    }
}

static bool flag_is_up(const reduce_t *reduce, int local, int flag) {
    return atomic_load_explicit(&flag_at(reduce, local, flag)->step, memory_order_acquire) >=
           reduce->step;
}

/* What a wait is for: a flag of some ranks of this host, then a group of messages. */
typedef struct awaited {
    reduce_t *reduce;
    int flag;         /* -1: none */
    int local, until; /* the next rank to look at; the first not to look at */
    int group;        /* -1: none */
} awaited_t;

static status_t awaited_poll(void *context, bool *done_out) {
    awaited_t *awaited = context;
    bool flags = true, messages = true;
    if (awaited->group >= 0) {
        TRY(reduce_messages_poll(awaited->reduce, awaited->group, &messages));
    }
    while (flags && awaited->flag >= 0 && awaited->local < awaited->until) {
        flags = flag_is_up(awaited->reduce, awaited->local, awaited->flag);
        awaited->local += flags;
    }
    *done_out = flags && messages;
    return STATUS_OK;
}

static bool awaited_missing(void *context, int rank) {
    awaited_t *awaited = context;
    comm_t *comm = awaited->reduce->comm;
    for (int i = awaited->local; awaited->flag >= 0 && i < awaited->until; i++) {
        if (comm->local_ranks[i] == rank) {
            return !flag_is_up(awaited->reduce, i, awaited->flag);
        }
    }
    return awaited->group >= 0 && reduce_messages_missing(awaited->reduce, awaited->group, rank);
}

static status_t wait_for(awaited_t awaited, const char *operation) {
    waiting_t waiting = {operation, awaited_poll, awaited_missing, &awaited};
    trace_begin(awaited.reduce->trace, TRACK_MAIN, "wait for ranks");
    status_t status = comm_wait(awaited.reduce->comm, &waiting);
    trace_end(awaited.reduce->trace, TRACK_MAIN);
    return status;
}

/* Bucket i of order has come from all: its messages, and the parts of this host's ranks. */
static void trace_bucket(const reduce_t *reduce, int i) {
    int bucket = reduce->order[i];
    trace_since(reduce->trace, TRACK_MAIN, "reduce", "bucket", bucket, reduce->published_ns[bucket],
                true);
}

static status_t publish(reduce_t *reduce, int bucket) {
    raise_flag(reduce, FLAG_PUBLISHED + bucket);
    return reduce_mover_start(reduce);
}

static status_t finish(reduce_t *reduce) {
    trace_t *trace = reduce->trace;
    int moved = 0; /* which the thread has told of */
    TRY(reduce_mover_stop(reduce, &moved));
    for (int i = 0; i < reduce->published; i++) {
        int bucket = reduce->order[i];
        awaited_t all = {reduce, FLAG_PUBLISHED + bucket, 0, reduce->windows.count, bucket};
        TRY(wait_for(all, "reduce_finish"));
        if (i >= moved) {
            trace_bucket(reduce, i);
        }
        if (!reduce->fast) {
            trace_begin_number(trace, TRACK_MAIN, "add parts", "bucket", bucket);
            reduce_fold(reduce, bucket);
            trace_end(trace, TRACK_MAIN);
        }
    }
    return STATUS_OK;
}

/* Whoever waits for messages knows which rank is late, and speaks before those of its host that
 * wait for it. */
static const double AFTER_MESSAGES_S = 1.0;

static status_t share(reduce_t *reduce) {
    const char *operation = "reduce_share";
    int weights = reduce->layout.bucket_count;
    TRY(reduce_messages_start(reduce, weights));
    TRY(wait_for((awaited_t){reduce, -1, 0, 0, weights}, operation));
    raise_flag(reduce, FLAG_UPDATED);
    reduce->comm->deadline_s += reduce->comm->host_count > 1 ? AFTER_MESSAGES_S : 0.0;
    return wait_for((awaited_t){reduce, FLAG_UPDATED, 0, reduce->windows.count, -1}, operation);
}

static status_t gather(reduce_t *reduce, double *all, const int64_t *begins,
                       const char *operation) {
    for (int r = 0; r < reduce->comm->size; r++) {
        reduce->lengths[r] = (size_t)(begins[r + 1] - begins[r]) * sizeof *all;
        reduce->offsets[r] = (size_t)begins[r] * sizeof *all;
    }
    return comm_all_gather_v(reduce->comm, all + begins[reduce->comm->rank], all, reduce->lengths,
                             reduce->offsets, operation);
}

/* --- opening --------------------------------------------------------------------------------- */

static status_t open_host(reduce_t *reduce) {
    reduce->lengths = alloc_zero(reduce->comm->size, sizeof *reduce->lengths);
    reduce->offsets = alloc_zero(reduce->comm->size, sizeof *reduce->offsets);
    TRY(reduce_open_windows(reduce));
    reduce_plan_folds(reduce);
    TRY(reduce_messages_open(reduce));
    /* Refused on one rank, refused on all. */
    return comm_agree(reduce->comm, reduce_mover_open(reduce), "reduce_open");
}

static void close_host(reduce_t *reduce) {
    reduce_mover_close(reduce);
    reduce_messages_close(reduce);
    if (reduce->windows.count > 0) {
        comm_shared_close(&reduce->windows);
    } else {
        free(reduce->memory);
    }
    free(reduce->lengths);
    free(reduce->offsets);
}

const reduce_way_t reduce_host = {open_host,          close_host, publish, finish, share,
                                  reduce_mover_moved, gather,     NULL,    NULL};
