#include "comm/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/internal.h"
#include "kernels/base/bytes.h"

static bool has(const char *name) { return getenv(name) != NULL; }

static long number(const char *name) {
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : 0;
}

static bool launched(void) {
    return has("OMPI_COMM_WORLD_SIZE") || has("PMIX_RANK") || has("PMI_RANK");
}

/* Tasks of the srun step that started us; 0 outside one. A batch script has SLURM_PROCID too, but
 * what it starts is one process on purpose. */
static long slurm_tasks(void) {
    if (!has("SLURM_PROCID")) {
        return 0;
    }
    if (has("SLURM_STEP_NUM_TASKS")) {
        return number("SLURM_STEP_NUM_TASKS");
    }
    const char *environment = getenv("ENVIRONMENT");
    bool batch_script = environment != NULL && strcmp(environment, "BATCH") == 0;
    return batch_script && !has("SLURM_STEP_ID") ? 0 : number("SLURM_NTASKS");
}

static status_t refuse_singletons(long tasks) {
    return status_fail(STATUS_INPUT,
                       "started %ld separate processes that cannot find each other; use srun "
                       "--mpi=pmix or jmt launch",
                       tasks);
}

static void comm_free(comm_t *comm) {
    comm_shared_close(&comm->boards);
    free(comm->host_of);
    free(comm->host_names);
    free(comm->local_ranks);
    free(comm->requests);
    free(comm->lengths);
    free(comm->offsets);
    free(comm->votes);
    free(comm);
}

static void open_self(comm_t *comm) {
    comm->transport = &comm_transport_self;
    comm->size = 1;
    comm->host_count = 1;
    comm->host_of = alloc_zero(1, sizeof *comm->host_of);
    comm->local_ranks = alloc_zero(1, sizeof *comm->local_ranks);
    comm->local_count = 1;
    comm->process_count = 1;
    comm->lengths = alloc_zero(1, sizeof *comm->lengths);
    comm->offsets = alloc_zero(1, sizeof *comm->offsets);
    comm->votes = alloc_zero(1, sizeof *comm->votes);
}

/* Slurm counts more tasks than MPI does: the process manager was not MPI's. Under mpirun Slurm's
 * count is that of the allocation. */
static status_t check_size(const comm_t *comm, bool by_mpirun) {
    long tasks = slurm_tasks() > 1 ? slurm_tasks() : number("PMI_SIZE");
    return !by_mpirun && comm->size == 1 && tasks > 1 ? refuse_singletons(tasks) : STATUS_OK;
}

status_t comm_open(const comm_config_t *config, comm_t **comm_out) {
    REQUIRE(config->timeout_s > 0.0);
    if (!launched() && slurm_tasks() > 1) {
        return refuse_singletons(slurm_tasks());
    }
    comm_t *comm = alloc_zero(1, sizeof *comm);
    comm->timeout_s = config->timeout_s;
    comm->supervised = has(COMM_SUPERVISED);
    if (!launched()) {
        open_self(comm);
        *comm_out = comm;
        return STATUS_OK;
    }
    bool by_mpirun = has("OMPI_COMM_WORLD_SIZE"); /* MPI_Init sets it too */
    comm->transport = &comm_transport_mpi;
    status_t status = comm_mpi_open(comm);
    status = status == STATUS_OK ? check_size(comm, by_mpirun) : status;
    if (status != STATUS_OK) {
        comm_close(comm);
        return status;
    }
    comm->process_index = comm->local_index;
    comm->process_count = comm->local_count;
    *comm_out = comm;
    return STATUS_OK;
}

status_t comm_split(comm_t *comm, int group, comm_t **group_out) {
    REQUIRE(group >= 0);
    int32_t own = group, *all = comm->votes;
    TRY(comm_all_gather(comm, &own, sizeof own, all, "split the group")); /* all are there now */
    bool all_alone = true;
    for (int a = 0; a < comm->size; a++) {
        for (int b = 0; b < a; b++) {
            all_alone = all_alone && all[a] != all[b];
        }
    }
    comm_t *part = alloc_zero(1, sizeof *part);
    part->timeout_s = comm->timeout_s;
    part->supervised = comm->supervised;
    if (all_alone) {
        open_self(part);
        part->process_index = comm->process_index;
        part->process_count = comm->process_count;
        *group_out = part;
        return STATUS_OK;
    }
    part->transport = &comm_transport_mpi;
    part->process_index = comm->process_index;
    part->process_count = comm->process_count;
    status_t status = comm_mpi_split(comm, group, part);
    if (status != STATUS_OK) {
        comm_close(part);
        return status;
    }
    *group_out = part;
    return STATUS_OK;
}

void comm_close(comm_t *comm) {
    if (comm == NULL) {
        return;
    }
    comm->transport->close(comm);
    comm_free(comm);
}

void comm_set_watch(comm_t *comm, comm_moving_t *moving, void *context) {
    comm->moving = moving;
    comm->moving_context = context;
}

void comm_set_timeout(comm_t *comm, double timeout_s) {
    REQUIRE(timeout_s > 0.0);
    comm->timeout_s = timeout_s;
}

int comm_rank(const comm_t *comm) { return comm->rank; }
int comm_size(const comm_t *comm) { return comm->size; }
int comm_host_count(const comm_t *comm) { return comm->host_count; }
int comm_process_index(const comm_t *comm) { return comm->process_index; }
int comm_process_count(const comm_t *comm) { return comm->process_count; }
double comm_wait_s(const comm_t *comm) { return comm->wait_s; }
double comm_wait_cpu_s(const comm_t *comm) { return comm->wait_cpu_s; }
status_t comm_exit_status(const comm_t *comm) { return comm->worst; }
bool comm_is_broken(const comm_t *comm) { return comm->broken != STATUS_OK; }

/* How bad a status is: an error outranks a requested stop, and both outrank hearsay. */
static int severity(status_t status) {
    switch (status) {
    case STATUS_OK:
        return 0;
    case STATUS_PEER:
        return 1;
    case STATUS_STOPPED:
        return 2;
    case STATUS_FAILED:
        return 3;
    case STATUS_INPUT:
        return 4;
    case STATUS_UNAVAILABLE:
        return 5;
    }
    return 3;
}

static void remember(comm_t *comm, status_t status) {
    if (status == STATUS_PEER) {
        status = STATUS_FAILED;
    }
    if (severity(status) > severity(comm->worst)) {
        comm->worst = status;
    }
}

/* The agreement itself failed: this rank's own error must not be lost behind that. */
static status_t not_agreed(comm_t *comm, status_t mine, const char *mine_text, status_t status) {
    remember(comm, status);
    if (status == STATUS_PEER || severity(mine) <= severity(STATUS_PEER)) {
        return status;
    }
    char *late_text = text_copy(status_text());
    status_fail(mine, "%s; then %s", mine_text, late_text);
    free(late_text);
    remember(comm, mine);
    return mine;
}

/* An inner agreement may have prefixed the text already. */
static status_t prefix_mine(const comm_t *comm, status_t status, const char *operation) {
    if (comm->size == 1 || operation == NULL) {
        return status;
    }
    char head[32];
    int length = snprintf(head, sizeof head, "rank %d: ", comm->rank);
    if (strncmp(status_text(), head, (size_t)length) == 0) {
        return status;
    }
    return status_prefix(status, "rank %d: %s", comm->rank, operation);
}

static status_t agree(comm_t *comm, status_t mine, const char *operation) {
    int worst = 0, reporter = 0;
    int32_t own = (int32_t)mine, *all = comm->votes;
    status_t status =
        comm_all_gather(comm, &own, sizeof own, all, operation != NULL ? operation : "agreement");
    for (int r = 0; r < comm->size && status == STATUS_OK; r++) {
        if (severity((status_t)all[r]) > worst) {
            worst = severity((status_t)all[r]);
            reporter = r;
        }
    }
    if (status != STATUS_OK || worst == 0) {
        return status;
    }
    status_t reported = (status_t)all[reporter];
    remember(comm, reported);
    if (reporter == comm->rank && reported != STATUS_PEER) {
        return prefix_mine(comm, mine, operation);
    }
    return status_fail(STATUS_PEER, "rank %d reports the error", reporter);
}

status_t comm_agree(comm_t *comm, status_t mine, const char *operation) {
    if (comm->broken == STATUS_OK && comm_other_reports(comm)) {
        comm->broken = STATUS_PEER; /* what is wrong here came from the job's end */
        return status_fail(STATUS_PEER, "another rank reports a time-out");
    }
    if (comm->broken != STATUS_OK) {
        remember(comm, mine == STATUS_OK ? comm->broken : mine);
        return mine == STATUS_OK ? comm->broken : mine;
    }
    if (mine == STATUS_OK) {
        status_t status = agree(comm, mine, operation);
        return comm_is_broken(comm) ? not_agreed(comm, mine, "", status) : status;
    }
    char *mine_text = text_copy(status_text());
    status_t status = agree(comm, mine, operation);
    if (comm_is_broken(comm)) {
        status = not_agreed(comm, mine, mine_text, status);
    }
    free(mine_text);
    return status;
}

status_t comm_all_gather_v(comm_t *comm, const void *mine, void *all_out, const size_t *lengths,
                           const size_t *offsets, const char *operation) {
    TRY(comm_enter(comm, operation));
    status_t status = comm->transport->gather(comm, mine, all_out, lengths, offsets, operation);
    return comm_leave(comm, status);
}

status_t comm_all_gather(comm_t *comm, const void *mine, size_t bytes, void *all_out,
                         const char *operation) {
    for (int r = 0; r < comm->size; r++) {
        comm->lengths[r] = bytes;
        comm->offsets[r] = (size_t)r * bytes;
    }
    return comm_all_gather_v(comm, mine, all_out, comm->lengths, comm->offsets, operation);
}

status_t comm_broadcast(comm_t *comm, void *data, size_t bytes, const char *operation) {
    TRY(comm_enter(comm, operation));
    return comm_leave(comm, comm->transport->broadcast(comm, data, bytes, operation));
}

status_t comm_barrier(comm_t *comm, const char *operation) {
    char none = 0;
    return comm_all_gather(comm, &none, 0, &none, operation);
}

_Noreturn void comm_abort(comm_t *comm, int exit_code) {
    if (comm != NULL) {
        comm->transport->abort(exit_code);
    }
    _exit(exit_code);
}
