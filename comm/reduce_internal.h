/* reduce_internal.h - what reduce*.c share. */
#ifndef JMT_COMM_REDUCE_INTERNAL_H
#define JMT_COMM_REDUCE_INTERNAL_H

#include "comm/fold_plan.h"
#include "comm/internal.h"
#include "comm/reduce.h"

/* A run of the flat state, in elements. */
typedef struct range {
    int64_t begin, end;
} range_t;

/* Where one part of one rank is read: in its owner's window, or where messages leave it. */
typedef struct source {
    int rank, part;
    bool remote;
    const float *base; /* of the flat state; of the own slices, one after the other, if remote */
} source_t;

/* Counts steps; one per cache line, in the window of the rank that writes it. */
typedef struct flag {
    _Alignas(64) _Atomic uint64_t step;
} flag_t;
enum { FLAG_UPDATED, FLAG_PUBLISHED }; /* the last + bucket */

typedef struct messages reduce_messages_t;
typedef struct mover reduce_mover_t;

/* How parts and weights get from rank to rank, which is a matter of where they lie. `open` makes
 * reduce->weights and reduce->parts, and what else it takes; `close` frees all of it, also what is
 * left of a failed open. Both are collective, like finish and share; the frame of an operation
 * (comm_enter, comm_leave, published, order, times) is reduce.c's. */
typedef struct reduce_way {
    status_t (*open)(reduce_t *reduce);
    void (*close)(reduce_t *reduce);
    status_t (*publish)(reduce_t *reduce, int bucket); /* the last in reduce->order */
    status_t (*finish)(reduce_t *reduce);
    status_t (*share)(reduce_t *reduce); /* size > 1 */
    int (*moved)(reduce_t *reduce);      /* reduce_moved */
    status_t (*gather)(reduce_t *reduce, double *all, const int64_t *begins,
                       const char *operation); /* size > 1 */
    status_t (*wait)(reduce_t *reduce);        /* size > 1; NULL: nothing to wait for */
    void (*give_up)(reduce_t *reduce);         /* reduce_give_up; NULL: nothing goes on by itself */
} reduce_way_t;

extern const reduce_way_t reduce_host;  /* reduce_step.c: shared memory and messages */
extern const reduce_way_t reduce_alone; /* reduce_alone.c: one rank, on any device */
extern const reduce_way_t reduce_none;  /* refuses */

struct reduce {
    comm_t *comm;
    reduce_layout_t layout;
    bool fast;
    const device_t *device;
    reduce_add_t *add;
    const reduce_way_t *way;
    void *own; /* the way's */

    float
        *weights; /* flat, with the constants; on the device; on hosts in the first rank's window */
    float *parts[TREE_NODES_MAX]; /* flat; on the device */
    int part_count, joining_hosts;
    tree_node_t leaves[TREE_NODES_MAX];

    shared_t windows;          /* host; count 0: `memory` is the only one */
    char *memory;              /* host: this rank's window */
    size_t *lengths, *offsets; /* host: of a gather, by rank */
    source_t *sources;         /* of all ranks, left to right */
    int source_count;
    fold_plan_t plan; /* host: of the own slices */
    float *scratch;
    int64_t
        *slice_at; /* by bucket: where the own slice starts when own slices are laid end to end */
    reduce_messages_t *messages; /* NULL if nothing goes by message */
    reduce_mover_t *mover;       /* NULL on one host */

    uint64_t step; /* the one being reduced, or the last */
    int published; /* buckets of it */
    int *order;    /* these, as they were published */
    double begun_s, exposed_s;
    reduce_times_t times;
    trace_t *trace;        /* NULL: none */
    int64_t *published_ns; /* by bucket, for it; -1: not kept */
};

range_t reduce_range(const reduce_layout_t *layout, bucket_t slice);
range_t reduce_slice_range(const reduce_t *reduce, int bucket, int rank);
int reduce_cover(const reduce_layout_t *layout, int rank, int ranks,
                 tree_node_t leaves_out[TREE_NODES_MAX]);

status_t
reduce_open_windows(reduce_t *reduce) MUST_CHECK; /* host: memory, weights, parts, sources */

/* reduce_fold.c: the additions, planned once. */
void reduce_plan_folds(reduce_t *reduce);
void reduce_fold(reduce_t *reduce, int bucket);       /* all ranks' parts of the own slice */
void reduce_fold_local(reduce_t *reduce, int bucket); /* own parts of the whole bucket */

/* reduce_mpi.c. Request groups: one per bucket for its gradients, then one for the weights. */
status_t reduce_messages_open(reduce_t *reduce) MUST_CHECK;
void reduce_messages_close(reduce_t *reduce);
status_t reduce_messages_start(reduce_t *reduce, int group) MUST_CHECK;
status_t reduce_messages_poll(reduce_t *reduce, int group, bool *done_out) MUST_CHECK;
/* Returns MPI's code and touches nothing but the messages: for the communication thread too. */
int reduce_messages_test(reduce_t *reduce, int group, bool *done_out);
bool reduce_messages_missing(reduce_t *reduce, int group, int rank);

/* reduce_thread.c: moves messages while the main thread computes. Open after the messages, close
 * before them. */
status_t reduce_mover_open(reduce_t *reduce) MUST_CHECK;
void reduce_mover_close(reduce_t *reduce);
/* Starts the messages of a bucket, the last in reduce->order. */
status_t reduce_mover_start(reduce_t *reduce) MUST_CHECK;
/* From here on MPI is the caller's alone. moved_out: as many buckets were seen to have moved. */
status_t reduce_mover_stop(reduce_t *reduce, int *moved_out) MUST_CHECK;
int reduce_mover_moved(reduce_t *reduce);

#endif
