/* Opening a communicator of NCCL's over MPI, waiting for it, giving it up. */
#include "comm/nccl/nccl_group.h"

#include <stdlib.h>

#include "kernels/base/bytes.h"
#include "kernels/base/clock.h"

struct nccl_group {
    comm_t *comm;
    ncclComm_t handle;
    bool has_failed;
};

ncclComm_t nccl_handle(const nccl_group_t *group) { return group->handle; }

status_t nccl_cuda_status(cudaError_t error, const char *operation) {
    return error == cudaSuccess ? STATUS_OK
                                : status_fail(STATUS_FAILED, "%s: %s; run `jmt doctor`", operation,
                                              cudaGetErrorString(error));
}

status_t nccl_status(nccl_group_t *group, ncclResult_t result, const char *operation) {
    if (result == ncclSuccess || result == ncclInProgress) {
        return STATUS_OK;
    }
    group->has_failed = true;
    return status_fail(STATUS_FAILED, "%s: NCCL: %s (%s); see NCCL_DEBUG=INFO", operation,
                       ncclGetErrorString(result), ncclGetLastError(group->handle));
}

/* --- waiting --------------------------------------------------------------------------------- */

typedef struct awaited {
    nccl_group_t *group;
    cudaEvent_t event;
    const waiting_t *waiting;
} awaited_t;

static status_t poll(void *context, bool *done_out) {
    awaited_t *awaited = context;
    nccl_group_t *group = awaited->group;
    const char *operation = awaited->waiting->operation;
    ncclResult_t state = ncclSuccess;
    TRY(nccl_status(group, ncclCommGetAsyncError(group->handle, &state), operation));
    status_t status = nccl_status(group, state, operation);
    if (status != STATUS_OK) {
        return comm_one_reports(group->comm, awaited->waiting, status);
    }
    cudaError_t event = awaited->event == NULL ? cudaSuccess : cudaEventQuery(awaited->event);
    *done_out = state == ncclSuccess && event == cudaSuccess;
    return event == cudaErrorNotReady ? STATUS_OK : nccl_cuda_status(event, operation);
}

status_t nccl_wait(nccl_group_t *group, cudaEvent_t event, const char *operation) {
    waiting_t waiting = {operation, poll, NULL, NULL};
    awaited_t awaited = {group, event, &waiting};
    waiting.context = &awaited;
    group->comm->looked_s = clock_s();
    group->comm->deadline_s = group->comm->looked_s + group->comm->timeout_s;
    status_t status = comm_wait(group->comm, &waiting);
    group->has_failed = group->has_failed || status != STATUS_OK;
    return status;
}

status_t nccl_end_group(nccl_group_t *group, const char *operation) {
    TRY(nccl_status(group, ncclGroupEnd(), operation));
    return nccl_wait(group, NULL, operation);
}

/* --- opening --------------------------------------------------------------------------------- */

static status_t share_id(comm_t *comm, ncclUniqueId *id_out) {
    status_t status = STATUS_OK;
    if (comm->rank == 0) {
        ncclResult_t result = ncclGetUniqueId(id_out);
        if (result != ncclSuccess) {
            status = status_fail(STATUS_FAILED, "NCCL does not start: %s; see NCCL_DEBUG=INFO",
                                 ncclGetErrorString(result));
        }
    }
    TRY(comm_agree(comm, status, "open NCCL"));
    return comm_broadcast(comm, id_out, sizeof *id_out, "open NCCL");
}

static status_t join(nccl_group_t *group) {
    ncclUniqueId id;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    TRY(share_id(group->comm, &id));
    ncclResult_t result =
        ncclCommInitRankConfig(&group->handle, group->comm->size, id, group->comm->rank, &config);
    TRY(nccl_status(group, result, "open NCCL"));
    return nccl_wait(group, NULL, "open NCCL");
}

status_t nccl_open(comm_t *comm, nccl_group_t **group_out) {
    nccl_group_t *group = alloc_zero(1, sizeof *group);
    group->comm = comm;
    status_t status = comm_agree(comm, join(group), "open NCCL");
    if (status != STATUS_OK) {
        group->has_failed = true;
        nccl_close(group);
        return status;
    }
    *group_out = group;
    return STATUS_OK;
}

void nccl_give_up(nccl_group_t *group) {
    if (group->handle != NULL && (group->has_failed || comm_is_broken(group->comm))) {
        (void)ncclCommAbort(group->handle);
        group->handle = NULL;
    }
}

void nccl_close(nccl_group_t *group) {
    if (group == NULL) {
        return;
    }
    nccl_give_up(group);
    if (group->handle != NULL) {
        (void)ncclCommDestroy(group->handle);
    }
    free(group);
}
