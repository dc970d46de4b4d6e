/* internal.h - what the files of comm/ share. Nobody else includes it. */
#ifndef JMT_COMM_INTERNAL_H
#define JMT_COMM_INTERNAL_H

#include <mpi.h>
#include <stdatomic.h>

#include "comm/comm.h"

enum {
    TAG_GROUP = 1,  /* gathers and broadcasts: matched by their order */
    TAG_REDUCE = 2, /* this + 2 * bucket: parts; one more: weights */
    HOST_NAME_BYTES = 64,
    BOARD_NAME_WORDS = 12,
};

/* What a rank tells the ranks of its host about itself. Words, so that a reader that comes while
 * the name changes sees a muddled name at worst, never a data race. */
typedef struct board {
    _Atomic uint64_t operations; /* collective operations begun */
    _Atomic uint64_t inside;     /* 1 until the last of them ended */
    _Atomic uint64_t name[BOARD_NAME_WORDS];
    _Atomic uint64_t reporter; /* on the host's first rank: 1 + the rank that reports a time-out */
} board_t;

/* One segment of memory per rank of this host, all mapped here. */
typedef struct shared {
    int count;
    void **base; /* by index on the host */
    size_t *bytes;
} shared_t;

typedef struct transport {
    status_t (*gather)(comm_t *comm, const void *mine, void *all, const size_t *lengths,
                       const size_t *offsets, const char *operation);
    status_t (*broadcast)(comm_t *comm, void *data, size_t bytes, const char *operation);
    void (*close)(comm_t *comm);
    void (*abort)(int exit_code);
} transport_t;

struct comm {
    const transport_t *transport;
    MPI_Comm mpi;        /* over MPI only */
    struct mover *mover; /* a thread that calls MPI, too; NULL: none */
    int rank, size;
    double looked_s;              /* when the clock was last looked at in this operation */
    bool supervised;              /* COMM_SUPERVISED */
    double timeout_s, deadline_s; /* the deadline is of the operation now running */
    comm_moving_t *moving;        /* NULL: the deadline stands */
    void *moving_context;
    double wait_s, wait_cpu_s;
    status_t worst;  /* of all agreements */
    status_t broken; /* not OK after a time-out or an MPI error: nothing is sent any more */
    uint64_t operations;

    int host, host_count;
    int *host_of;                        /* by rank */
    char (*host_names)[HOST_NAME_BYTES]; /* by host */
    int *local_ranks, local_count;       /* the ranks of this host, ascending */
    int local_index;                     /* of this rank among them */
    int process_index, process_count;    /* these two of the group of all */
    bool crowded;                        /* more ranks than processors on this host */
    shared_t boards;

    MPI_Request *requests;     /* 2 * size: from and to each rank */
    size_t *lengths, *offsets; /* of an all-gather of equal pieces */
    int32_t *votes;            /* of an agreement */
};

extern const transport_t comm_transport_self, comm_transport_mpi;

/* comm_mpi.c: start MPI, learn who is on which host. */
status_t comm_mpi_open(comm_t *comm) MUST_CHECK;
status_t comm_mpi_split(comm_t *whole, int group, comm_t *comm) MUST_CHECK;
status_t comm_mpi_check(comm_t *comm, int code, const char *operation) MUST_CHECK;

/* reduce_thread.c: around each call of MPI that may come while the mover makes some. */
void comm_hold_mpi(const comm_t *comm);
void comm_release_mpi(const comm_t *comm);

/* comm_wait.c: the frame of every operation, and the only loop that waits. */
typedef struct waiting {
    const char *operation;
    status_t (*poll)(void *context, bool *done_out);
    /* At the deadline: does `rank` owe us something? NULL: none but its own host can know. */
    bool (*missing)(void *context, int rank);
    void *context;
} waiting_t;
status_t comm_enter(comm_t *comm, const char *operation) MUST_CHECK;
status_t comm_leave(comm_t *comm, status_t status) MUST_CHECK; /* returns status */
status_t comm_wait(comm_t *comm, const waiting_t *waiting) MUST_CHECK;
/* What several ranks find at about the same time: `status` where it is to be reported. */
status_t comm_one_reports(comm_t *comm, const waiting_t *waiting, status_t status) MUST_CHECK;
bool comm_other_reports(const comm_t *comm); /* a rank of this host has given us up */

/* comm_shm.c. Collective over all ranks. */
status_t comm_shared_open(comm_t *comm, size_t bytes, const char *purpose,
                          shared_t *shared_out) MUST_CHECK;
void comm_shared_close(shared_t *shared);

#endif
