/* NCCL between processes over shared memory: communicators, groups, and the calls. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sim_nccl.h"

enum { GROUPED = 1024 };

sim_number_t sim_nccl_number(int type) {
    switch (type) {
    case ncclInt8:
        return SIM_I8;
    case ncclUint8:
        return SIM_U8;
    case ncclInt32:
        return SIM_I32;
    case ncclUint32:
        return SIM_U32;
    case ncclInt64:
        return SIM_I64;
    case ncclUint64:
        return SIM_U64;
    case ncclFloat32:
        return SIM_F32;
    case ncclFloat64:
        return SIM_F64;
    case ncclBfloat16:
        return SIM_BF16;
    default:
        sim_report(NULL, "NCCL type %d is not simulated", type);
    }
}

char *sim_nccl_data(const struct ncclComm *comm, int rank) {
    return comm->board->data + (size_t)rank * SIM_CHUNK_BYTES;
}

sim_channel_t *sim_nccl_channel(const struct ncclComm *comm, int from, int to) {
    sim_channel_t *all = (sim_channel_t *)(void *)sim_nccl_data(comm, comm->ranks);
    return &all[from * comm->ranks + to];
}

/* --- who does what ------------------------------------------------------------------------------ */

static struct ncclComm *waiting;

void sim_nccl_enter(struct ncclComm *comm, const char *text) {
    sim_member_t *me = &comm->board->members[comm->rank];
    snprintf(me->doing, sizeof me->doing, "%s", text);
    atomic_store(&me->is_inside, 1);
}

void sim_nccl_leave(struct ncclComm *comm) {
    atomic_store(&comm->board->members[comm->rank].is_inside, 0);
}

static bool is_gone(const sim_member_t *member) {
    int pid = atomic_load(&member->pid);
    return pid != 0 && kill(pid, 0) != 0 && errno == ESRCH;
}

static const char *describe_all(void) {
    static char text[2000];
    size_t at = (size_t)snprintf(text, sizeof text, "rank %d waits for other ranks", waiting->rank);
    for (int rank = 0; rank < waiting->ranks && at < sizeof text; rank++) {
        const sim_member_t *member = &waiting->board->members[rank];
        at += (size_t)snprintf(text + at, sizeof text - at, "\n    rank %d %s %s%s", rank,
                               atomic_load(&member->is_inside) ? "is in" : "has left",
                               *member->doing != '\0' ? member->doing : "nothing yet",
                               is_gone(member) ? " (its process is gone)" : "");
    }
    return text;
}

void sim_nccl_look(struct ncclComm *comm) {
    for (int rank = 0; rank < comm->ranks && comm->error == ncclSuccess; rank++) {
        const sim_member_t *member = &comm->board->members[rank];
        bool aborted = atomic_load(&member->aborted);
        if (rank != comm->rank && (aborted || is_gone(member))) {
            comm->error = ncclRemoteError;
            snprintf(comm->why, sizeof comm->why, "rank %d has %s", rank,
                     aborted ? "aborted" : "died");
        }
    }
}

/* Real NCCL often notices nothing of a rank that is gone: SIMGPU_NCCL_NOTICES=0. */
void sim_nccl_blocked(struct ncclComm *comm) {
    if (sim_setting("SIMGPU_NCCL_NOTICES", 1) != 0) {
        sim_nccl_look(comm);
    }
    waiting = comm;
    sim_wait_external(describe_all);
}

/* --- groups ------------------------------------------------------------------------------------- */

static int depth;
static struct {
    sim_op_t *op;
    cudaStream_t stream;
    struct ncclComm *comm; /* of messages; NULL: a collective */
} group[GROUPED];
static int group_count;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes" /* nccl.h has them without (void) */
ncclResult_t ncclGroupStart(void) {
    depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void) {
    if (depth == 0) {
        return ncclInvalidUsage;
    }
    if (--depth > 0) {
        return ncclSuccess;
    }
    for (int i = 0; i < group_count; i++) {
        sim_enqueue(group[i].stream, group[i].op);
    }
    group_count = 0;
    return ncclSuccess;
}
#pragma GCC diagnostic pop

static sim_op_t *grouped(sim_op_t *op, cudaStream_t stream, struct ncclComm *comm) {
    if (group_count == GROUPED) {
        sim_report(NULL, "NCCL: more than %d calls in a group are not simulated", GROUPED);
    }
    group[group_count].op = op;
    group[group_count].stream = stream;
    group[group_count++].comm = comm;
    return op;
}

/* --- collectives -------------------------------------------------------------------------------- */

static ncclResult_t start(const sim_call_t *wanted, const void *send, void *receive,
                          struct ncclComm *comm, cudaStream_t stream, const void *pc) {
    if (comm->error != ncclSuccess) {
        return comm->error;
    }
    bool reads = wanted->kind != SIM_BROADCAST || wanted->root == comm->rank;
    if (!sim_is_device(receive) || (reads && !sim_is_device(send))) {
        sim_report(pc, "%s: a buffer is not device memory", sim_collective_name(wanted->kind));
    }
    sim_call_t call = *wanted;
    call.number = ++comm->number;
    if (sim_setting("SIMGPU_SAME_BUFFERS", 0) != 0) { /* ranks that allocate alike */
        call.where = sim_memory_offset(receive);
    }
    ncclGroupStart();
    grouped(sim_collective_new(comm, &call, send, receive), stream, NULL);
    return ncclGroupEnd();
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
    sim_call_t call = {.kind = SIM_ALL_REDUCE, .type = type, .op = op, .count = count};
    return start(&call, send, receive, comm, stream, SIM_PC);
}

ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
    sim_call_t call = {.kind = SIM_BROADCAST, .type = type, .root = root, .count = count};
    return start(&call, send, receive, comm, stream, SIM_PC);
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
    sim_call_t call = {.kind = SIM_ALL_GATHER, .type = type, .count = count};
    return start(&call, send, receive, comm, stream, SIM_PC);
}

ncclResult_t ncclReduceScatter(const void *send, void *receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
    sim_call_t call = {.kind = SIM_REDUCE_SCATTER, .type = type, .op = op, .count = count};
    return start(&call, send, receive, comm, stream, SIM_PC);
}

/* --- messages ----------------------------------------------------------------------------------- */

static ncclResult_t message(bool sends, void *data, size_t count, int type, int peer,
                            struct ncclComm *comm, cudaStream_t stream, const void *pc) {
    if (comm->error != ncclSuccess) {
        return comm->error;
    }
    if (peer < 0 || peer >= comm->ranks) {
        return ncclInvalidArgument;
    }
    if (count > 0 && !sim_is_device(data)) {
        sim_report(pc, "%s: the buffer is not device memory", sends ? "ncclSend" : "ncclRecv");
    }
    ncclGroupStart();
    sim_op_t *op = NULL;
    for (int i = 0; i < group_count; i++) {
        if (group[i].comm == comm && group[i].stream == stream) {
            op = group[i].op;
        }
    }
    op = op != NULL ? op : grouped(sim_messages_new(comm), stream, comm);
    sim_messages_add(op, sends, peer, data, count, type);
    return ncclGroupEnd();
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
    return message(true, (void *)(uintptr_t)data, count, type, peer, comm, stream, SIM_PC);
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
    return message(false, data, count, type, peer, comm, stream, SIM_PC);
}

/* --- communicators ------------------------------------------------------------------------------ */

ncclResult_t ncclGetUniqueId(ncclUniqueId *out) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    memset(out, 0, sizeof *out);
    snprintf(out->internal, sizeof out->internal, "/simgpu-%d-%lld%09ld", getpid(),
             (long long)now.tv_sec, now.tv_nsec);
    int file = shm_open(out->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (file < 0) {
        return ncclSystemError;
    }
    close(file);
    return ncclSuccess;
}

static void wait_for_all(struct ncclComm *comm) {
    double limit_s = sim_now_s() + (double)sim_setting("SIMGPU_TIMEOUT", 20);
    for (;;) {
        int here = 0;
        for (int rank = 0; rank < comm->ranks; rank++) {
            here += atomic_load(&comm->board->members[rank].pid) != 0;
        }
        if (here == comm->ranks) {
            return;
        }
        if (sim_now_s() > limit_s) {
            sim_report(NULL, "timeout: ncclCommInitRank: %d of %d ranks came", here, comm->ranks);
        }
        nanosleep(&(struct timespec){0, 200000}, NULL);
    }
}

static ncclResult_t join(struct ncclComm *comm) {
    int nobody = 0, device;
    if (!atomic_compare_exchange_strong(&comm->board->ranks, &nobody, comm->ranks) &&
        nobody != comm->ranks) {
        sim_report(NULL, "ncclCommInitRank: rank %d says %d ranks, another says %d", comm->rank,
                   comm->ranks, nobody);
    }
    sim_member_t *me = &comm->board->members[comm->rank];
    cudaGetDevice(&device);
    atomic_store(&me->device, device + (int)sim_setting("SIMGPU_FIRST_DEVICE", 0));
    nobody = 0;
    if (!atomic_compare_exchange_strong(&me->pid, &nobody, getpid())) {
        sim_report(NULL, "ncclCommInitRank: two processes say they are rank %d", comm->rank);
    }
    wait_for_all(comm);
    for (int rank = 0; rank < comm->ranks; rank++) {
        if (rank != comm->rank &&
            atomic_load(&comm->board->members[rank].device) == atomic_load(&me->device)) {
            return ncclInvalidUsage; /* two ranks on one device */
        }
    }
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *out, int ranks, ncclUniqueId id, int rank) {
    if (ranks < 1 || ranks > SIM_RANKS || rank < 0 || rank >= ranks) {
        return ncclInvalidArgument;
    }
    sim_main_thread();
    struct ncclComm *comm = calloc(1, sizeof *comm);
    int file = shm_open(id.internal, O_RDWR, 0600);
    if (comm == NULL || file < 0) {
        free(comm);
        return ncclSystemError;
    }
    comm->rank = rank;
    comm->ranks = ranks;
    comm->bytes = sizeof *comm->board + (size_t)ranks * SIM_CHUNK_BYTES +
                  (size_t)ranks * (size_t)ranks * sizeof(sim_channel_t);
    bool sized = ftruncate(file, (off_t)comm->bytes) == 0;
    comm->board = mmap(NULL, comm->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (!sized || comm->board == MAP_FAILED) {
        free(comm);
        return ncclSystemError;
    }
    ncclResult_t result = join(comm);
    shm_unlink(id.internal);
    if (result != ncclSuccess) {
        munmap(comm->board, comm->bytes);
        free(comm);
        return result;
    }
    sim_count_live(1, "NCCL communicator", SIM_PC);
    *out = comm;
    return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int *count_out) {
    *count_out = comm->ranks;
    return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank_out) {
    *rank_out = comm->rank;
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error_out) {
    sim_progress(); /* lets the device go on */
    if (sim_setting("SIMGPU_NCCL_NOTICES", 1) != 0) {
        sim_nccl_look(comm);
    }
    *error_out = comm->error;
    return ncclSuccess;
}

static ncclResult_t close_comm(struct ncclComm *comm) {
    sim_drain();
    munmap(comm->board, comm->bytes);
    free(comm);
    sim_count_live(-1, "NCCL communicator", NULL);
    return ncclSuccess;
}

/* What is under way ends without a result. */
ncclResult_t ncclCommAbort(ncclComm_t comm) {
    atomic_store(&comm->board->members[comm->rank].aborted, 1);
    return close_comm(comm);
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    sim_drain();
    return comm->error;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) { return close_comm(comm); }

ncclResult_t ncclGetVersion(int *version_out) {
    *version_out = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t error) {
    switch (error) {
    case ncclSuccess:
        return "no error";
    case ncclSystemError:
        return "unhandled system error";
    case ncclInvalidArgument:
        return "invalid argument";
    case ncclInvalidUsage:
        return "invalid usage";
    case ncclRemoteError:
        return "remote process exited or there was a network error";
    default:
        return "NCCL error";
    }
}

const char *ncclGetLastError(ncclComm_t comm) { return comm != NULL ? comm->why : ""; }
