/* nccl_group.h - the ranks of a comm_t as a communicator of NCCL's; private to comm/nccl/.
 *
 * It is a non-blocking one: calls return before they have done what they do, and nccl_wait() is
 * where the host waits for that, under the deadline of the comm_t. */
#ifndef JMT_COMM_NCCL_GROUP_H
#define JMT_COMM_NCCL_GROUP_H

#include <cuda_runtime_api.h>
#include <nccl.h>

#include "comm/internal.h"

typedef struct nccl_group nccl_group_t;

/* Collective; every rank has chosen a GPU of its own. */
status_t nccl_open(comm_t *comm, nccl_group_t **group_out) MUST_CHECK;
/* Collective if all is well, else what is under way is given up. NULL allowed. */
void nccl_close(nccl_group_t *group);

/* If a call has failed, or the group is broken: nothing is waited for any more, and what is under
 * way ends. All graphs with calls of it have been destroyed: NCCL waits for that. */
void nccl_give_up(nccl_group_t *group);

ncclComm_t nccl_handle(const nccl_group_t *group);

/* STATUS_OK also for calls that go on. */
status_t nccl_status(nccl_group_t *group, ncclResult_t result, const char *operation) MUST_CHECK;
status_t nccl_cuda_status(cudaError_t error, const char *operation) MUST_CHECK;

/* ncclGroupEnd, and until what was called is in its streams: an event that is recorded before that
 * would not be behind it. As for nccl_wait. */
status_t nccl_end_group(nccl_group_t *group, const char *operation) MUST_CHECK;

/* Until NCCL takes further calls and, if it is not NULL, until the event has happened. A rank that
 * does not come, or an error of NCCL's: one rank reports it. Within comm_enter, or for calls that
 * other ranks make about now. */
status_t nccl_wait(nccl_group_t *group, cudaEvent_t event, const char *operation) MUST_CHECK;

#endif
