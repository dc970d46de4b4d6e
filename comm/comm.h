/* comm.h - the only view of the process group. One process, or many over MPI; no MPI type crosses.
 *
 * Collective calls are made by all ranks in the same order. Nothing blocks for ever: each call
 * polls until comm_config_t.timeout_s, then fails with one line naming this rank, the operation and
 * the rank that is late. Only the main thread calls. */
#ifndef JMT_COMM_H
#define JMT_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct comm comm_t;

/* Set in the environment by who reports a process that dies, and ends the others: those that notice
 * it give that 3 s before they speak. */
#define COMM_SUPERVISED "JMT_SUPERVISED"

typedef struct comm_config {
    double timeout_s; /* deadline of one operation */
} comm_config_t;

/* Collective. Uses MPI if this process was started by mpirun or srun (PMIx), else stands alone: a
 * process on its own never pays for MPI's start. Refuses (STATUS_INPUT) N singletons: SLURM_NTASKS
 * > 1 but no process manager. */
status_t comm_open(const comm_config_t *config, comm_t **comm_out) MUST_CHECK;
void comm_close(comm_t *comm); /* collective if all is well; NULL allowed */

/* Collective over `comm`. Ranks that name the same group (>= 0) become a process group of their
 * own, in the order of their ranks; ranks that are all alone need MPI no more. What goes wrong in
 * a group stays there until its ranks bring it to comm_agree(comm). Close it before `comm`. */
status_t comm_split(comm_t *comm, int group, comm_t **group_out) MUST_CHECK;

/* Deadline for the operations that follow (the configuration is read after the group exists). */
void comm_set_timeout(comm_t *comm, double timeout_s);

/* For operations that wait for work of unknown length: at the deadline `moving` is asked whether
 * anything has moved since it was last asked; if so the deadline is put off by timeout_s. NULL:
 * nobody is asked. */
typedef bool comm_moving_t(void *context);
void comm_set_watch(comm_t *comm, comm_moving_t *moving, void *context);

int comm_rank(const comm_t *comm);
int comm_size(const comm_t *comm);
int comm_host_count(const comm_t *comm); /* distinct hosts in the group */
/* Which of the job's processes on this host this one is, and of how many; in every group alike. */
int comm_process_index(const comm_t *comm);
int comm_process_count(const comm_t *comm);
double comm_wait_s(const comm_t *comm);     /* total time spent waiting for others, this process */
double comm_wait_cpu_s(const comm_t *comm); /* CPU time burnt in those waits (polling) */

/* Collective. The worst status of all ranks. On ranks whose own status is not the reported one,
 * returns STATUS_PEER carrying nothing to print; the lowest rank with the worst status gets it back
 * with its own text, prefixed "rank R: OPERATION: " if there are several ranks and operation is not
 * NULL (NULL: the cause is the same everywhere, as with a configuration). So exactly one rank
 * prints. The exit code that all ranks should use: comm_exit_status(). */
status_t comm_agree(comm_t *comm, status_t mine, const char *operation) MUST_CHECK;
status_t comm_exit_status(const comm_t *comm); /* worst agreed so far; STATUS_OK if none */
/* After a time-out or an MPI error nothing is sent any more: every call returns an error,
 * comm_agree the caller's own status, comm_close cannot be collective. Print if status is not PEER,
 * then comm_abort(). (The order among errors is UNAVAILABLE, INPUT, FAILED, then STOPPED.) */
bool comm_is_broken(const comm_t *comm);

/* Collective. Every rank gives `bytes` and receives size*bytes in rank order. */
status_t comm_all_gather(comm_t *comm, const void *mine, size_t bytes, void *all_out,
                         const char *operation) MUST_CHECK;
/* Collective, of different lengths: all_out is given by the caller, piece r at offsets[r] with
 * lengths[r] bytes, both known to all. */
status_t comm_all_gather_v(comm_t *comm, const void *mine, void *all_out, const size_t *lengths,
                           const size_t *offsets, const char *operation) MUST_CHECK;
/* Collective. Rank 0's bytes to all. */
status_t comm_broadcast(comm_t *comm, void *data, size_t bytes, const char *operation) MUST_CHECK;
status_t comm_barrier(comm_t *comm, const char *operation) MUST_CHECK;

/* Ends the job now, on every rank, with this exit code (MPI_Abort). For panic and time-outs. */
_Noreturn void comm_abort(comm_t *comm, int exit_code);

#endif
